-- Ids are TEXT, times BIGINT milliseconds, documents JSON in TEXT, secrets sealed BLOBs bound to table, row, column and
-- generation. What changes often and is found by time (lives) lies apart from what is wide (connections, grants).

CREATE TABLE meta (
  name TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
);

CREATE TABLE data_keys (
  id BIGINT NOT NULL PRIMARY KEY,
  wrapped BLOB NOT NULL,
  sealings BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE integrations (
  name TEXT NOT NULL PRIMARY KEY,
  source TEXT NOT NULL,
  provider TEXT NOT NULL,
  client_id TEXT NOT NULL,
  client_secrets BLOB NOT NULL,
  scopes TEXT NOT NULL,
  return_urls TEXT NOT NULL,
  policy TEXT NOT NULL,
  paused BIGINT NOT NULL,
  shared_accounts BIGINT NOT NULL,
  health TEXT NOT NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE connections (
  id TEXT NOT NULL PRIMARY KEY,
  integration TEXT NOT NULL REFERENCES integrations (name),
  subject TEXT NOT NULL,
  account_id TEXT,
  account_kind TEXT NOT NULL,
  account_name TEXT,
  label TEXT,
  metadata TEXT NOT NULL,
  provider_data TEXT NOT NULL,
  requested_scopes TEXT NOT NULL,
  last_use TEXT,
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
  connection_id TEXT NOT NULL PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
  integration TEXT NOT NULL,
  status TEXT NOT NULL,
  life TEXT NOT NULL,
  generation BIGINT NOT NULL,
  expires_at BIGINT,
  next_at BIGINT,
  forced_at BIGINT,
  lease_until BIGINT NOT NULL,
  lease_owner TEXT,
  fence BIGINT NOT NULL,
  attempt TEXT,
  sending_at BIGINT,
  version BIGINT NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE INDEX lives_due ON lives (integration, next_at, expires_at) WHERE next_at IS NOT NULL;
CREATE INDEX lives_leased ON lives (lease_owner) WHERE lease_owner IS NOT NULL;
CREATE INDEX lives_status ON lives (integration, status);

CREATE TABLE grants (
  connection_id TEXT NOT NULL PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
  generation BIGINT NOT NULL,
  token_type TEXT NOT NULL,
  access_token BLOB,
  refresh_token BLOB
);

CREATE TABLE spares (
  id TEXT NOT NULL PRIMARY KEY,
  connection_id TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
  generation BIGINT NOT NULL,
  token_type TEXT NOT NULL,
  access_token BLOB,
  refresh_token BLOB,
  facts TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX spares_connection ON spares (connection_id);
CREATE INDEX spares_age ON spares (created_at);

CREATE TABLE attempts (
  id TEXT NOT NULL PRIMARY KEY,
  connection_id TEXT NOT NULL,
  integration TEXT,
  node TEXT NOT NULL,
  generation BIGINT NOT NULL,
  sending_at BIGINT NOT NULL,
  ended_at BIGINT,
  class TEXT,
  detail TEXT,
  result TEXT
);
CREATE INDEX attempts_ended ON attempts (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE outcomes (
  hour BIGINT NOT NULL,
  integration TEXT NOT NULL,
  class TEXT NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (hour, integration, class)
);

CREATE TABLE connect_sessions (
  id TEXT NOT NULL PRIMARY KEY,
  link_hash BLOB NOT NULL UNIQUE,
  payload BLOB NOT NULL,
  subject TEXT,
  connection_id TEXT,
  state TEXT NOT NULL,
  handle_hash BLOB UNIQUE,
  handle_until BIGINT,
  code BLOB,
  pending BLOB,
  result TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX connect_sessions_end ON connect_sessions (expires_at);
CREATE INDEX connect_sessions_subject ON connect_sessions (subject) WHERE subject IS NOT NULL;
CREATE INDEX connect_sessions_pending ON connect_sessions (id) WHERE pending IS NOT NULL;

CREATE TABLE oauth_states (
  hash BLOB NOT NULL PRIMARY KEY,
  session_id TEXT NOT NULL REFERENCES connect_sessions (id) ON DELETE CASCADE,
  integration TEXT NOT NULL,
  cookie_hash BLOB NOT NULL,
  payload BLOB NOT NULL,
  taken_at BIGINT,
  result TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oauth_states_end ON oauth_states (expires_at);
CREATE INDEX oauth_states_session ON oauth_states (session_id);

CREATE TABLE api_keys (
  id TEXT NOT NULL PRIMARY KEY,
  hash BLOB NOT NULL,
  environment TEXT NOT NULL,
  name TEXT,
  permissions TEXT NOT NULL,
  integrations TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  revoked_at BIGINT
);

CREATE TABLE notices (
  id TEXT NOT NULL PRIMARY KEY,
  about TEXT NOT NULL,
  kind TEXT NOT NULL,
  integration TEXT NOT NULL,
  connection_id TEXT,
  subject TEXT,
  detail TEXT NOT NULL,
  at BIGINT NOT NULL,
  read_at BIGINT
);
-- Each kind is told once in an episode, whoever decides it twice.
CREATE UNIQUE INDEX notices_once ON notices (about, kind);
CREATE INDEX notices_subject ON notices (subject, id) WHERE subject IS NOT NULL;
CREATE INDEX notices_connection ON notices (connection_id) WHERE connection_id IS NOT NULL;
CREATE INDEX notices_read ON notices (read_at) WHERE read_at IS NOT NULL;

CREATE TABLE preferences (
  subject TEXT NOT NULL PRIMARY KEY,
  document TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  integration TEXT,
  connection_id TEXT,
  subject TEXT,
  data TEXT NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX events_subject ON events (subject) WHERE subject IS NOT NULL;
CREATE INDEX events_connection ON events (connection_id) WHERE connection_id IS NOT NULL;
CREATE INDEX events_age ON events (at);

CREATE TABLE outbox (
  id TEXT NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  integration TEXT NOT NULL,
  connection_id TEXT,
  payload BLOB NOT NULL,
  tries BIGINT NOT NULL,
  next_at BIGINT NOT NULL,
  claimed_until BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (kind, next_at);

CREATE TABLE jobs (
  id TEXT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL,
  node TEXT NOT NULL,
  document TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  finished_at BIGINT
);
CREATE INDEX jobs_running ON jobs (state) WHERE finished_at IS NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE idempotency (
  caller TEXT NOT NULL,
  name TEXT NOT NULL,
  request_hash BLOB NOT NULL,
  answer BLOB,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (caller, name)
);
CREATE INDEX idempotency_end ON idempotency (expires_at);

CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  detail TEXT NOT NULL,
  hash BLOB NOT NULL
);
