//! The writer and its groups, when the disk is full, may not be written, or a use fails or panics.

use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use super::base::Base;
use super::{Household, Turn, Unit, Writer, values};
use crate::error::{StoreError, Trouble};
use crate::pace::Threads;

#[derive(Default)]
struct Log {
    applied: Vec<u32>,
}

struct Noting(Arc<Mutex<Log>>);

impl Household<u32> for Noting {
    fn before(&mut self, _: &Unit<'_, u32>) -> Result<(), StoreError> {
        Ok(())
    }
    fn after(&mut self, effects: Vec<u32>, _: Option<Turn>) {
        self.0.lock().expect("the log").applied.extend(effects);
    }
}

struct Rig {
    writer: Arc<Writer<u32>>,
    log: Arc<Mutex<Log>>,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new(prepare: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let raw = Connection::open(folder.path().join("test.db")).expect("a database");
        raw.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE things (id BIGINT PRIMARY KEY, bytes BLOB)")
            .expect("a table");
        raw.execute_batch(prepare).expect("what the test needs");
        let log = Arc::new(Mutex::new(Log::default()));
        let writer = Writer::start(Base::Sqlite(raw), Box::new(Noting(log.clone())), &Threads::Own).expect("a thread");
        Rig { writer: Arc::new(writer), log, folder }
    }

    async fn put(&self, id: u32, bytes: usize) -> Result<(), StoreError> {
        self.writer
            .run(move |unit| {
                let bytes = vec![0u8; bytes];
                unit.after_commit(id);
                unit.run_one("things", "INSERT INTO things (id, bytes) VALUES (?1, ?2)", values![id, bytes])
            })
            .await
    }

    /// What somebody else sees in the file.
    fn seen(&self) -> Vec<u32> {
        let raw = Connection::open(self.folder.path().join("test.db")).expect("the database");
        let mut rows = raw.prepare("SELECT id FROM things ORDER BY id").expect("a statement");
        let ids = rows.query_map([], |row| row.get(0)).expect("rows");
        ids.collect::<Result<_, _>>().expect("ids")
    }

    /// Keeps the writer busy until the returned sender is dropped, so that what comes meanwhile makes one group.
    fn hold(&self) -> std::sync::mpsc::SyncSender<()> {
        let (hold, held) = std::sync::mpsc::sync_channel::<()>(0);
        let (started, wait) = std::sync::mpsc::sync_channel::<()>(0);
        let writer = self.writer.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        std::thread::spawn(move || {
            runtime.block_on(writer.run(move |_| {
                drop(started);
                let _ = held.recv();
                Ok(())
            }))
        });
        let _ = wait.recv();
        hold
    }
}

#[tokio::test]
async fn a_use_that_fails_or_panics_in_a_group_is_taken_back_alone() {
    let rig = Rig::new("");
    rig.put(3, 1).await.unwrap();
    let hold = rig.hold();
    let group = async {
        tokio::join!(
            rig.put(1, 1),
            rig.put(3, 1),
            rig.writer.run(|unit| -> Result<(), StoreError> {
                unit.after_commit(99);
                unit.run("INSERT INTO things (id) VALUES (99)", &[])?;
                panic!("in the middle of a use")
            }),
            rig.put(2, 1),
        )
    };
    let release = async {
        tokio::task::yield_now().await;
        drop(hold);
    };
    let ((first, second, third, fourth), ()) = tokio::join!(group, release);
    assert!(first.is_ok() && fourth.is_ok());
    assert!(matches!(second, Err(StoreError::Defect { .. })), "{second:?}");
    assert!(matches!(third, Err(StoreError::Defect { .. })), "{third:?}");
    assert_eq!(rig.seen(), [1, 2, 3]);
    assert_eq!(rig.log.lock().unwrap().applied, [3, 1, 2], "only what stays has effects, in order");
}

#[tokio::test]
async fn whoever_was_answered_is_in_the_file() {
    let rig = Arc::new(Rig::new(""));
    let mut all = tokio::task::JoinSet::new();
    for id in 0..200 {
        let rig = rig.clone();
        all.spawn(async move {
            rig.put(id, 10).await.unwrap();
            assert!(rig.seen().contains(&id));
        });
    }
    all.join_all().await;
    assert_eq!(rig.log.lock().unwrap().applied.len(), 200);
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_of_the_group_stays() {
    let rig = Rig::new("PRAGMA max_page_count = 40");
    let mut stored = Vec::new();
    let error = loop {
        let id = stored.len() as u32;
        match rig.put(id, 4000).await {
            Ok(()) => stored.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Unavailable { trouble: Trouble::Full, .. }), "{error:?}");
    assert!(error.to_string().contains("free space"), "{error}");
    assert_eq!(rig.seen(), stored);
    let freed = rig.writer.run(|unit| unit.run("DELETE FROM things WHERE id = 0", &[])).await;
    assert_eq!(freed.unwrap(), 1, "when there is room again it goes on");
    rig.put(0, 3000).await.unwrap();
}

#[tokio::test]
async fn a_database_that_may_not_be_written_is_told() {
    let rig = Rig::new("PRAGMA query_only = 1");
    let error = rig.put(1, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { trouble: Trouble::ReadOnly, .. }), "{error:?}");
}

#[tokio::test]
async fn a_database_that_another_program_holds_is_told() {
    let rig = Rig::new("PRAGMA busy_timeout = 20");
    let other = Connection::open(rig.folder.path().join("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = rig.put(1, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { trouble: Trouble::Locked, .. }), "{error:?}");
    other.execute_batch("ROLLBACK").unwrap();
    rig.put(1, 1).await.unwrap();
}

#[tokio::test]
async fn after_closing_nothing_is_let_in_and_what_waited_is_stored() {
    let rig = Rig::new("");
    let hold = rig.hold();
    let (waited, ()) = tokio::join!(rig.put(1, 1), async {
        tokio::task::yield_now().await;
        drop(hold);
        rig.writer.close();
    });
    waited.unwrap();
    assert_eq!(rig.seen(), [1]);
    let error = rig.put(2, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { trouble: Trouble::Closed, .. }));
}
