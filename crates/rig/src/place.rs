//! Where a scene keeps its data: SQLite in the data folder, or a schema on a PostgreSQL server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use evergrant_testkit::cluster::Cluster;

/// A database.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the data folder.
    Sqlite,
    /// A schema of a server.
    Postgres {
        /// The server.
        cluster: Arc<Cluster>,
        /// The schema.
        schema: String,
    },
}

impl Place {
    /// An empty schema on this server.
    pub fn on(cluster: &Arc<Cluster>) -> Self {
        Place::Postgres { cluster: cluster.clone(), schema: cluster.schema() }
    }

    /// Its name in figures.
    pub fn name(&self) -> &'static str {
        match self {
            Place::Sqlite => "SQLite",
            Place::Postgres { .. } => "PostgreSQL",
        }
    }

    /// Where the service finds it, if not in its data folder.
    pub fn url(&self) -> Option<String> {
        match self {
            Place::Sqlite => None,
            Place::Postgres { schema, .. } => Some(schema.clone()),
        }
    }

    /// Where a service finds it that gets there by a wire whose socket lies in this folder.
    ///
    /// # Panics
    /// Where there is no server.
    pub fn through(&self, folder: &Path) -> String {
        let Place::Postgres { cluster, schema } = self else { unreachable!("SQLite has no server") };
        cluster.through(schema, folder)
    }

    /// The server.
    ///
    /// # Panics
    /// Where there is none.
    pub fn cluster(&self) -> &Cluster {
        let Place::Postgres { cluster, .. } = self else { unreachable!("SQLite has no server") };
        cluster
    }

    /// Takes the right to write from everybody else, until it is dropped. `database` is SQLite's file.
    ///
    /// # Panics
    /// When it cannot be had.
    pub fn lock(&self, database: &Path) -> Lock {
        match self {
            Place::Sqlite => {
                let other = open(database);
                other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
                Lock::Sqlite { _connection: other }
            }
            Place::Postgres { cluster, schema } => {
                let mut psql = cluster.client(schema);
                let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql runs");
                let mut input = child.stdin.take().expect("its input");
                writeln!(input, "BEGIN; LOCK TABLE lives IN EXCLUSIVE MODE; SELECT 'locked';").expect("it listens");
                let mut answer = String::new();
                let output = child.stdout.take().expect("its output");
                BufReader::new(output).read_line(&mut answer).expect("it answers");
                assert_eq!(answer, "locked\n");
                Lock::Postgres { input: Some(input), child }
            }
        }
    }

    /// Runs a statement in the database, as its owner; what it selects, one text for each row, columns with `|` between.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, database: &Path, statement: &str) -> Vec<String> {
        match self {
            Place::Sqlite => rows(&open(database), statement),
            Place::Postgres { cluster, schema } => {
                let done = cluster.client(schema).args(["-c", statement]).output().expect("psql runs");
                let words = String::from_utf8_lossy(&done.stderr);
                assert!(done.status.success(), "{statement}: {words}");
                String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect()
            }
        }
    }
}

/// What nobody else can write to, as long as it is there.
#[derive(Debug)]
pub enum Lock {
    /// A transaction that writes.
    Sqlite {
        /// Holds it.
        _connection: rusqlite::Connection,
    },
    /// A client that holds a lock on the table of lives.
    Postgres {
        /// Its end is the lock's.
        input: Option<std::process::ChildStdin>,
        /// The client.
        child: Child,
    },
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Lock::Postgres { input, child } = self {
            drop(input.take());
            let _ = child.wait();
        }
    }
}

fn open(database: &Path) -> rusqlite::Connection {
    use rusqlite::config::DbConfig;
    let other = rusqlite::Connection::open(database).expect("the database opens");
    other.busy_timeout(Duration::from_secs(10)).expect("a time limit");
    // What a killed process left behind is for its successor to find.
    other.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("a setting");
    other
}

fn rows(connection: &rusqlite::Connection, statement: &str) -> Vec<String> {
    let mut prepared = connection.prepare(statement).expect("a statement");
    let columns = prepared.column_count();
    if columns == 0 {
        prepared.execute([]).expect("it runs");
        return Vec::new();
    }
    let row = |row: &rusqlite::Row<'_>| {
        let text = |at| row.get::<_, rusqlite::types::Value>(at).map(|value| shown(&value));
        Ok((0..columns).map(text).collect::<Result<Vec<_>, _>>()?.join("|"))
    };
    let found = prepared.query_map([], row).expect("it runs");
    found.collect::<Result<_, _>>().expect("it can be read")
}

fn shown(value: &rusqlite::types::Value) -> String {
    use rusqlite::types::Value;
    match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
