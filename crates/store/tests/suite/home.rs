//! An installation on a folder of its own, with its database on SQLite or on PostgreSQL, and ways to look at what is kept
//! and to change it behind the store's back.

use std::marker::PhantomData;
use std::path::PathBuf;

use evergrant_store::journal::JournalOptions;
use evergrant_store::{Database, DatabaseServer, MasterKey, OpenError, OpenOptions, Report, Store};
use evergrant_testkit::cluster::Cluster;
use tempfile::TempDir;

use crate::support::{MASTER, entropy, integration, node, now};

/// A kind of database.
pub trait Kind {
    /// So many random sequences are tried against the model at every commit.
    const MODEL_CASES: u32;

    /// A new, empty one, for an installation on this folder.
    fn make(folder: &TempDir) -> Place;
}

/// SQLite.
pub struct File;
/// PostgreSQL.
pub struct Server;

/// Where a database is.
pub enum Place {
    File(PathBuf),
    Url(String),
}

impl Kind for File {
    const MODEL_CASES: u32 = 400;

    fn make(folder: &TempDir) -> Place {
        Place::File(folder.path().join("evergrant.db"))
    }
}

impl Kind for Server {
    const MODEL_CASES: u32 = 20;

    fn make(_: &TempDir) -> Place {
        Place::Url(Cluster::shared().schema())
    }
}

/// An installation on a folder of its own.
pub struct Home<K> {
    pub folder: TempDir,
    pub place: Place,
    kind: PhantomData<K>,
}

impl<K: Kind> Home<K> {
    pub const MODEL_CASES: u32 = K::MODEL_CASES;

    pub fn new() -> Self {
        Home::on(tempfile::tempdir().expect("a folder for the test"))
    }

    /// On a folder in memory, where there is one: for what writes so often that only the disk would be tested.
    pub fn in_memory() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        if memory.is_dir() { Home::on(TempDir::new_in(memory).expect("a folder in memory")) } else { Home::new() }
    }

    fn on(folder: TempDir) -> Self {
        Home { place: K::make(&folder), folder, kind: PhantomData }
    }

    /// In a database of its own on the server, where all connections belong to it.
    pub fn in_a_database() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        Home { place: Place::Url(Cluster::shared().database()), folder, kind: PhantomData }
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        match &self.place {
            Place::File(file) => file.clone(),
            Place::Url(url) => unreachable!("{url} is no file"),
        }
    }

    pub fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    pub fn options(&self) -> OpenOptions {
        let database = match &self.place {
            Place::File(file) => Database::from(file.clone()),
            Place::Url(url) => Database::from(DatabaseServer::parse(url).expect("a URL")),
        };
        let key = MasterKey::from_hex(MASTER).expect("64 digits");
        let mut options = OpenOptions::new(database, self.folder.path().to_owned(), key, node());
        // The tests tell the time.
        options.database_clock = false;
        options.journal = JournalOptions { segment_bytes: 64 << 10, ..JournalOptions::default() };
        options
    }

    pub fn open(&self) -> Store {
        self.try_open().expect("the store opens")
    }

    pub fn try_open(&self) -> Result<Store, OpenError> {
        Store::open(&self.options(), entropy(), now())
    }

    /// A store with the integration `strava`.
    pub async fn with_strava(&self) -> Store {
        let store = self.open();
        store.add_integration(integration("strava"), Report::default()).await.expect("it is added");
        store
    }

    /// Changes the database behind the store's back; says how many rows it hit. Bytes are written as `x'0a1b'`.
    pub fn alter(&self, statement: &str) -> usize {
        match &self.place {
            Place::File(file) => {
                let raw = rusqlite::Connection::open(file).expect("the file opens");
                raw.execute(statement, []).expect("a statement")
            }
            Place::Url(_) => {
                let hit = self.on_server(|raw| raw.execute(&statement.replace(" x'", " '\\x"), &[]));
                usize::try_from(hit).expect("a number of rows")
            }
        }
    }

    /// What a query for one number finds.
    pub fn number(&self, query: &str) -> i64 {
        match &self.place {
            Place::File(file) => {
                let raw = rusqlite::Connection::open(file).expect("the file opens");
                raw.query_row(query, [], |row| row.get(0)).expect("a number")
            }
            Place::Url(_) => self.on_server(|raw| raw.query_one(query, &[])?.try_get(0)),
        }
    }

    /// What a query for bytes finds.
    pub fn bytes(&self, query: &str) -> Vec<u8> {
        match &self.place {
            Place::File(file) => {
                let raw = rusqlite::Connection::open(file).expect("the file opens");
                raw.query_row(query, [], |row| row.get(0)).expect("bytes")
            }
            Place::Url(_) => self.on_server(|raw| raw.query_one(query, &[])?.try_get(0)),
        }
    }

    /// A copy of the database, to be put back by [`Home::restore`]; while the store is closed.
    pub fn back_up(&self) -> Vec<u8> {
        match &self.place {
            Place::File(file) => std::fs::read(file).expect("the file"),
            Place::Url(_) => {
                self.on_server(|raw| {
                    raw.batch_execute(
                        "DO $$ DECLARE name TEXT; BEGIN EXECUTE 'CREATE SCHEMA ' || current_schema() || '_copy'; \
                         FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP \
                         EXECUTE format('CREATE TABLE %I.%I AS TABLE %I', current_schema() || '_copy', name, name); \
                         END LOOP; END $$",
                    )
                });
                Vec::new()
            }
        }
    }

    /// Puts a copy back.
    pub fn restore(&self, copy: &[u8]) {
        match &self.place {
            Place::File(file) => std::fs::write(file, copy).expect("the file"),
            Place::Url(_) => self.on_server(|raw| {
                raw.batch_execute(
                    "DO $$ DECLARE name TEXT; BEGIN SET LOCAL session_replication_role = replica; \
                     FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP \
                     EXECUTE format('DELETE FROM %I', name); \
                     EXECUTE format('INSERT INTO %I SELECT * FROM %I.%I', name, current_schema() || '_copy', name); \
                     END LOOP; END $$",
                )
            }),
        }
    }

    /// Whether a text stands anywhere in what is kept: in a file, or in a row that the server shows.
    pub fn shows(&self, text: &str) -> bool {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.journal()).expect("the journal").map(|file| file.expect("a file").path()).collect();
        if let Place::File(file) = &self.place {
            files.extend([file.clone(), self.folder.path().join("evergrant.db-wal")]);
        }
        let in_files = files.iter().any(|file| {
            let bytes = std::fs::read(file).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        });
        in_files || matches!(self.place, Place::Url(_)) && self.rows_show(text)
    }

    fn rows_show(&self, text: &str) -> bool {
        let tables = self.on_server(|raw| {
            let rows = raw.query("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()", &[])?;
            rows.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<Vec<_>, _>>()
        });
        tables.iter().any(|table| {
            let query = format!("SELECT COUNT(*) FROM {table} WHERE {table}::text LIKE '%{text}%'");
            self.number(&query) > 0
        })
    }

    /// On a thread of its own: the client must not run where async tasks run.
    pub fn on_server<T: Send>(
        &self,
        work: impl FnOnce(&mut postgres::Client) -> Result<T, postgres::Error> + Send,
    ) -> T {
        let Place::Url(url) = &self.place else { unreachable!("a file is no server") };
        let done = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let mut client = postgres::Client::connect(url, postgres::NoTls)?;
                work(&mut client)
            });
            work.join().expect("the thread ends")
        });
        done.expect("the server does it")
    }
}
