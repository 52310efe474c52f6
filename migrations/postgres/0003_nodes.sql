-- Who does what is under way, so that another node takes over only what a dead one left behind.
ALTER TABLE idempotency ADD COLUMN node TEXT COLLATE "C";
CREATE INDEX idempotency_open ON idempotency (node) WHERE answer IS NULL;
ALTER TABLE connect_sessions ADD COLUMN node TEXT COLLATE "C";
CREATE INDEX connect_sessions_parked ON connect_sessions (id) WHERE code IS NOT NULL;
-- A new data key under an older one, for nodes that hold the master key of before a rotation; erased after minutes.
ALTER TABLE data_keys ADD COLUMN handed BYTEA;
