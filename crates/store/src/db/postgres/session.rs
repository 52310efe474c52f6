//! One connection to the server, made again when it is gone, with its prepared statements.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::ToSql;
use postgres::{Client, Row, SimpleQueryMessage, Statement};

use super::super::value::Value;
use super::server::DatabaseServer;
use super::trouble::{is_cut, refused, trouble};
use crate::error::{OpenError, StoreError, Trouble};

/// The oldest PostgreSQL that this is tested with.
const OLDEST_SERVER: i64 = 150_000;
/// Statements kept prepared; beyond it all are forgotten and prepared again as they come.
const STATEMENTS: usize = 512;
/// After a connection that did not come about, the next try waits so long, twice as long after each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What every connection needs. A stronger `synchronous_commit` than `on` stays as it is.
const SETTINGS: &str = "SET client_min_messages = 'warning'; SET default_transaction_isolation = 'read committed'; \
     SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It writes: a process that stops in the middle of a group must not hold the turn for long.
    Writes,
    /// It reads.
    Reads,
    /// It hears what others have committed.
    Listens,
}

impl Role {
    const fn settings(self) -> &'static str {
        match self {
            Role::Writes => {
                "SET statement_timeout = '20s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '1500ms'"
            }
            Role::Reads => {
                "SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '30s'"
            }
            Role::Listens => {
                "SET statement_timeout = '10s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'; \
                 DO $$ BEGIN EXECUTE 'LISTEN ' || quote_ident(left('evergrant ' || current_schema(), 60)); END $$"
            }
        }
    }
}

/// A connection.
pub(crate) struct Session {
    server: DatabaseServer,
    role: Role,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    client: Option<Client>,
    statements: HashMap<Box<str>, Statement>,
    /// A statement failed: the server takes no other one until what is open is taken back.
    failed: bool,
    pause: Option<Pause>,
}

/// No connection came about; until then nobody tries again.
struct Pause {
    until: Instant,
    length: Duration,
    why: StoreError,
}

impl Session {
    pub fn new(server: DatabaseServer, role: Role) -> Self {
        Session { server, role, state: RefCell::default() }
    }

    pub fn server(&self) -> &DatabaseServer {
        &self.server
    }

    /// Connects if there is no connection, unless it was tried just now.
    pub fn ready(&self) -> Result<(), StoreError> {
        let state = &mut *self.state.borrow_mut();
        if state.client.as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(());
        }
        state.forget();
        let length = match &state.pause {
            Some(pause) if Instant::now() < pause.until => return Err(pause.why.clone()),
            Some(pause) => (pause.length * 2).min(LONGEST_PAUSE),
            None => FIRST_PAUSE,
        };
        let connected = self.server.connect().map_err(refused).and_then(|mut client| {
            client.batch_execute(SETTINGS).map_err(trouble)?;
            client.batch_execute(self.role.settings()).map_err(trouble)?;
            Ok(client)
        });
        match connected {
            Ok(client) => {
                *state = State { client: Some(client), ..State::default() };
                Ok(())
            }
            Err(why) => {
                state.pause = Some(Pause { until: Instant::now() + length, length, why: why.clone() });
                Err(why)
            }
        }
    }

    /// How long nobody tries to connect; none where there is a connection.
    pub fn pause(&self) -> Option<Duration> {
        let state = self.state.borrow();
        state.pause.as_ref().map(|pause| pause.until.saturating_duration_since(Instant::now()))
    }

    /// Begins a transaction. A connection that was cut while it was idle is made again first.
    pub fn begin(&self, text: &str) -> Result<(), StoreError> {
        self.ready()?;
        match self.batch(text) {
            Err(error) if is_cut(&error) => {
                self.ready()?;
                self.batch(text)
            }
            other => other,
        }
    }

    /// Begins a snapshot that sees every commit that was answered before; says which data key is the newest in it.
    pub fn begin_reading(&self) -> Result<u32, StoreError> {
        const TEXT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT keys FROM turn WHERE one = 1";
        self.ready()?;
        let ask = || self.with(|state| state.client()?.simple_query(TEXT).map_err(trouble));
        let answer = match ask() {
            Err(error) if is_cut(&error) => {
                self.ready()?;
                ask()
            }
            other => other,
        };
        let answer = answer.inspect_err(|_| self.roll_back())?;
        let keys = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        self.state.borrow_mut().failed = false;
        Ok(keys.unwrap_or_default())
    }

    /// Reads one snapshot.
    pub fn snapshot<T>(&self, work: impl FnOnce(&Session) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let read = work(self);
        self.roll_back();
        read
    }

    /// Waits for a call of another node, at most so long; false where there is no connection to hear it on.
    pub(super) fn heard(&self, patience: Duration) -> bool {
        let state = &mut *self.state.borrow_mut();
        let Some(client) = state.client.as_mut().filter(|client| !client.is_closed()) else { return false };
        let mut calls = client.notifications();
        let first = calls.timeout_iter(patience).next();
        // All others that have come are answered by the same look.
        while let Ok(Some(_)) = calls.iter().next() {}
        first.is_ok()
    }

    /// Takes back what is open. Where the connection is gone the server has done so.
    pub fn roll_back(&self) {
        if self.batch("ROLLBACK").is_err() {
            self.state.borrow_mut().forget();
        }
    }

    /// Whether a statement has failed since the last savepoint that was gone back to.
    pub fn has_failed(&self) -> bool {
        self.state.borrow().failed
    }

    /// Whether the connection is gone.
    pub fn is_cut(&self) -> bool {
        self.state.borrow().client.as_ref().is_none_or(Client::is_closed)
    }

    /// Runs fixed text without values, perhaps several statements.
    pub fn batch(&self, text: &str) -> Result<(), StoreError> {
        let done = self.with(|state| state.client()?.batch_execute(text).map_err(trouble));
        if done.is_ok() {
            self.state.borrow_mut().failed = false;
        }
        done
    }

    /// Runs a statement; says how many rows it hit.
    pub fn run(&self, text: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let hit = self.with(|state| {
            let statement = state.prepare(text)?;
            state.client()?.execute(&statement, &parameters(values)).map_err(trouble)
        })?;
        Ok(usize::try_from(hit).unwrap_or(usize::MAX))
    }

    /// The rows of a statement.
    pub fn rows(&self, text: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.with(|state| {
            let statement = state.prepare(text)?;
            state.client()?.query(&statement, &parameters(values)).map_err(trouble)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let state = &mut *self.state.borrow_mut();
        let done = work(state);
        if let Err(error) = &done {
            state.failed = true;
            if is_cut(error) {
                state.forget();
                state.failed = true;
            }
        }
        done
    }

    /// Proves that what was committed on this server stays committed.
    pub fn prove(&self) -> Result<(), OpenError> {
        let text = "SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding'), \
                    current_setting('fsync'), current_setting('full_page_writes'), \
                    current_setting('synchronous_commit'), pg_is_in_recovery()::int";
        let rows = self.rows(text, &[])?;
        let unfit = |what: String| OpenError::UnfitServer { database: self.server.to_string(), what };
        let row = rows.first().ok_or_else(|| unfit("it does not tell its settings".to_owned()))?;
        let word = |at: usize| row.try_get::<_, String>(at).unwrap_or_default();
        let version: i64 = row.try_get(0).unwrap_or_default();
        if version < OLDEST_SERVER {
            return Err(unfit(format!("it is PostgreSQL {}; 15 or newer is needed", version / 10_000)));
        }
        for (at, name, right) in [(1, "server_encoding", "UTF8"), (2, "fsync", "on"), (3, "full_page_writes", "on")] {
            if word(at) != right {
                return Err(unfit(format!("its `{name}` is {} instead of {right}", word(at))));
            }
        }
        if !["on", "remote_apply"].contains(&word(4).as_str()) {
            return Err(unfit(format!("`synchronous_commit` stays {}", word(4))));
        }
        match row.try_get::<_, i32>(5) {
            Ok(0) => Ok(()),
            _ => Err(unfit("it is a standby, which cannot be written".to_owned())),
        }
    }
}

impl State {
    fn forget(&mut self) {
        self.client = None;
        self.statements.clear();
        self.failed = false;
    }

    fn client(&mut self) -> Result<&mut Client, StoreError> {
        self.client.as_mut().ok_or(StoreError::Unavailable { trouble: Trouble::Unreachable, cause: None })
    }

    fn prepare(&mut self, text: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(text) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        let statement = self.client()?.prepare(&numbered(text)).map_err(trouble)?;
        self.statements.insert(text.into(), statement.clone());
        Ok(statement)
    }
}

/// The common subset writes `?1`, this server `$1`. A question mark stands for nothing else in a statement.
fn numbered(text: &str) -> String {
    text.replace('?', "$")
}

fn parameters<'a>(values: &'a [Value<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}
