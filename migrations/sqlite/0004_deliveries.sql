-- What is told to others: to whom, what, and how far each telling has come. Written in the transaction of what it tells.
CREATE TABLE webhooks (
  id TEXT NOT NULL PRIMARY KEY,
  declared BIGINT NOT NULL,
  url TEXT NOT NULL,
  description TEXT,
  kinds TEXT,
  integrations TEXT,
  secrets BLOB NOT NULL,
  version BIGINT NOT NULL,
  failing_since BIGINT,
  disabled_at BIGINT,
  disabled_why TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- How many messages about a connection have been written: the sequence that receivers see.
CREATE TABLE told (
  connection_id TEXT NOT NULL PRIMARY KEY,
  count BIGINT NOT NULL
);

-- Of those that follow each other (a lane), only the first has a `next_at`; its end gives one to the next.
CREATE TABLE deliveries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  channel TEXT NOT NULL,
  target TEXT NOT NULL,
  lane TEXT,
  message TEXT NOT NULL,
  kind TEXT NOT NULL,
  integration TEXT,
  connection_id TEXT,
  subject TEXT,
  document TEXT NOT NULL,
  batch TEXT,
  state TEXT NOT NULL,
  tries BIGINT NOT NULL,
  next_at BIGINT,
  claimed_until BIGINT NOT NULL,
  claimed_by TEXT,
  last_at BIGINT,
  last_status BIGINT,
  last_detail TEXT,
  at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX deliveries_due ON deliveries (channel, target, next_at) WHERE state = 'waiting' AND next_at IS NOT NULL;
CREATE INDEX deliveries_next ON deliveries (next_at) WHERE state = 'waiting' AND next_at IS NOT NULL;
CREATE INDEX deliveries_lane ON deliveries (target, lane, seq) WHERE state = 'waiting' AND lane IS NOT NULL;
CREATE INDEX deliveries_target ON deliveries (target, seq);
CREATE INDEX deliveries_claimed ON deliveries (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX deliveries_subject ON deliveries (subject) WHERE subject IS NOT NULL;
CREATE INDEX deliveries_connection ON deliveries (connection_id) WHERE connection_id IS NOT NULL;
CREATE INDEX deliveries_mails ON deliveries (integration, at) WHERE channel = 'email';
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE ended_at IS NOT NULL;

-- How a person is reached, and the mails that were sent lately.
CREATE TABLE contacts (
  subject TEXT NOT NULL PRIMARY KEY,
  document TEXT NOT NULL,
  mailed_at BIGINT,
  mails_since BIGINT,
  mails BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
