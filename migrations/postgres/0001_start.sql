-- Ids are TEXT in the order of their bytes, times BIGINT milliseconds, documents JSON in TEXT, secrets sealed BYTEAs bound to
-- table, row, column and generation. What changes often and is found by time (lives) lies apart from what is wide
-- (connections, grants). Step by step the same as for SQLite, under the same numbers.

CREATE TABLE meta (
  name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  value BYTEA NOT NULL
);

CREATE TABLE data_keys (
  id BIGINT NOT NULL PRIMARY KEY,
  wrapped BYTEA NOT NULL,
  sealings BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE integrations (
  name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  source TEXT COLLATE "C" NOT NULL,
  provider TEXT COLLATE "C" NOT NULL,
  client_id TEXT COLLATE "C" NOT NULL,
  client_secrets BYTEA NOT NULL,
  scopes TEXT COLLATE "C" NOT NULL,
  return_urls TEXT COLLATE "C" NOT NULL,
  policy TEXT COLLATE "C" NOT NULL,
  paused BIGINT NOT NULL,
  shared_accounts BIGINT NOT NULL,
  health TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE connections (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  integration TEXT COLLATE "C" NOT NULL REFERENCES integrations (name),
  subject TEXT COLLATE "C" NOT NULL,
  account_id TEXT COLLATE "C",
  account_kind TEXT COLLATE "C" NOT NULL,
  account_name TEXT COLLATE "C",
  label TEXT COLLATE "C",
  metadata TEXT COLLATE "C" NOT NULL,
  provider_data TEXT COLLATE "C" NOT NULL,
  requested_scopes TEXT COLLATE "C" NOT NULL,
  last_use TEXT COLLATE "C",
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
-- One account of one client is connected once for a subject; without an account the subject itself is the key.
CREATE UNIQUE INDEX connections_account ON connections (integration, account_id, account_kind, subject)
  WHERE account_id IS NOT NULL;
CREATE UNIQUE INDEX connections_unnamed ON connections (integration, subject) WHERE account_id IS NULL;
CREATE INDEX connections_subject ON connections (subject, integration);
CREATE INDEX connections_integration ON connections (integration, id);

CREATE TABLE lives (
  connection_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
  integration TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  life TEXT COLLATE "C" NOT NULL,
  generation BIGINT NOT NULL,
  expires_at BIGINT,
  next_at BIGINT,
  forced_at BIGINT,
  lease_until BIGINT NOT NULL,
  lease_owner TEXT COLLATE "C",
  fence BIGINT NOT NULL,
  attempt TEXT COLLATE "C",
  sending_at BIGINT,
  version BIGINT NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE INDEX lives_due ON lives (integration, next_at, expires_at) WHERE next_at IS NOT NULL;
CREATE INDEX lives_leased ON lives (lease_owner) WHERE lease_owner IS NOT NULL;
CREATE INDEX lives_status ON lives (integration, status);

CREATE TABLE grants (
  connection_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
  generation BIGINT NOT NULL,
  token_type TEXT COLLATE "C" NOT NULL,
  access_token BYTEA,
  refresh_token BYTEA
);

CREATE TABLE spares (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  connection_id TEXT COLLATE "C" NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
  generation BIGINT NOT NULL,
  token_type TEXT COLLATE "C" NOT NULL,
  access_token BYTEA,
  refresh_token BYTEA,
  facts TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX spares_connection ON spares (connection_id);
CREATE INDEX spares_age ON spares (created_at);

CREATE TABLE attempts (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  connection_id TEXT COLLATE "C" NOT NULL,
  integration TEXT COLLATE "C",
  node TEXT COLLATE "C" NOT NULL,
  generation BIGINT NOT NULL,
  sending_at BIGINT NOT NULL,
  ended_at BIGINT,
  class TEXT COLLATE "C",
  detail TEXT COLLATE "C",
  result TEXT COLLATE "C"
);
CREATE INDEX attempts_ended ON attempts (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE outcomes (
  hour BIGINT NOT NULL,
  integration TEXT COLLATE "C" NOT NULL,
  class TEXT COLLATE "C" NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (hour, integration, class)
);

CREATE TABLE connect_sessions (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  link_hash BYTEA NOT NULL UNIQUE,
  payload BYTEA NOT NULL,
  subject TEXT COLLATE "C",
  connection_id TEXT COLLATE "C",
  state TEXT COLLATE "C" NOT NULL,
  handle_hash BYTEA UNIQUE,
  handle_until BIGINT,
  code BYTEA,
  pending BYTEA,
  result TEXT COLLATE "C",
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX connect_sessions_end ON connect_sessions (expires_at);
CREATE INDEX connect_sessions_subject ON connect_sessions (subject) WHERE subject IS NOT NULL;
CREATE INDEX connect_sessions_pending ON connect_sessions (id) WHERE pending IS NOT NULL;

CREATE TABLE oauth_states (
  hash BYTEA NOT NULL PRIMARY KEY,
  session_id TEXT COLLATE "C" NOT NULL REFERENCES connect_sessions (id) ON DELETE CASCADE,
  integration TEXT COLLATE "C" NOT NULL,
  cookie_hash BYTEA NOT NULL,
  payload BYTEA NOT NULL,
  taken_at BIGINT,
  result TEXT COLLATE "C",
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oauth_states_end ON oauth_states (expires_at);
CREATE INDEX oauth_states_session ON oauth_states (session_id);

CREATE TABLE api_keys (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  hash BYTEA NOT NULL,
  environment TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C",
  permissions TEXT COLLATE "C" NOT NULL,
  integrations TEXT COLLATE "C",
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  revoked_at BIGINT
);

CREATE TABLE notices (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  about TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  integration TEXT COLLATE "C" NOT NULL,
  connection_id TEXT COLLATE "C",
  subject TEXT COLLATE "C",
  detail TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  read_at BIGINT
);
-- Each kind is told once in an episode, whoever decides it twice.
CREATE UNIQUE INDEX notices_once ON notices (about, kind);
CREATE INDEX notices_subject ON notices (subject, id) WHERE subject IS NOT NULL;
CREATE INDEX notices_connection ON notices (connection_id) WHERE connection_id IS NOT NULL;
CREATE INDEX notices_read ON notices (read_at) WHERE read_at IS NOT NULL;

CREATE TABLE preferences (
  subject TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  document TEXT COLLATE "C" NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE events (
  seq BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  kind TEXT COLLATE "C" NOT NULL,
  integration TEXT COLLATE "C",
  connection_id TEXT COLLATE "C",
  subject TEXT COLLATE "C",
  data TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX events_subject ON events (subject) WHERE subject IS NOT NULL;
CREATE INDEX events_connection ON events (connection_id) WHERE connection_id IS NOT NULL;
CREATE INDEX events_age ON events (at);

CREATE TABLE outbox (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  kind TEXT COLLATE "C" NOT NULL,
  integration TEXT COLLATE "C" NOT NULL,
  connection_id TEXT COLLATE "C",
  payload BYTEA NOT NULL,
  tries BIGINT NOT NULL,
  next_at BIGINT NOT NULL,
  claimed_until BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (kind, next_at);

CREATE TABLE jobs (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  state TEXT COLLATE "C" NOT NULL,
  node TEXT COLLATE "C" NOT NULL,
  document TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  finished_at BIGINT
);
CREATE INDEX jobs_running ON jobs (state) WHERE finished_at IS NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE idempotency (
  caller TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  request_hash BYTEA NOT NULL,
  answer BYTEA,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (caller, name)
);
CREATE INDEX idempotency_end ON idempotency (expires_at);

CREATE TABLE audit (
  sequence BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT COLLATE "C" NOT NULL,
  action TEXT COLLATE "C" NOT NULL,
  target TEXT COLLATE "C" NOT NULL,
  detail TEXT COLLATE "C" NOT NULL,
  hash BYTEA NOT NULL
);
