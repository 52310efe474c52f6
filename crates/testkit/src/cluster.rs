//! A PostgreSQL server of a test program's own: made at its first use, gone when the program ends, however it ends.
//!
//! The programs are those of the machine (`postgres` and `initdb`, 15 or newer), settings are the ones they come with:
//! what is answered is on the disk. The server listens on a socket in its own folder, never on the network. Each test gets
//! a schema of its own in one database. The words of the database are sorted as in English, so that nothing relies on the
//! order of bytes by chance.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Runs as the server's own user. Its input ends when the test program ends: then the server is stopped and its folder
/// removed.
const KEEPER: &str = r#"
set -eu
dir=$(mktemp -d "${TMPDIR:-/tmp}/evergrant-pg.XXXXXX")
trap 'rm -rf "$dir"' EXIT
"$1/initdb" -D "$dir/data" -U evergrant -A trust -E UTF8 --locale-provider=icu --icu-locale=en-US --locale=C.UTF-8 \
  >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
"$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=300 -c unix_socket_permissions=0777 \
  >>"$dir/log" 2>&1 </dev/null &
server=$!
chmod 755 "$dir"
tries=0
until "$1/pg_isready" -q -h "$dir" -d postgres; do
  tries=$((tries + 1))
  if [ $tries -gt 600 ] || ! kill -0 $server 2>/dev/null; then cat "$dir/log" >&2; kill $server || true; exit 1; fi
  sleep 0.1
done
echo "$dir"
read -r end || true
kill -INT $server
wait $server || true
"#;

/// The server of this test program.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    // Its input is held open by this.
    _keeper: Mutex<Child>,
}

impl Cluster {
    /// The one of this process; made at the first call.
    ///
    /// # Panics
    /// Where the machine has no PostgreSQL: `cargo xtask test` installs it or says what to install.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Cluster::start)
    }

    fn start() -> Cluster {
        let programs = programs();
        let mut keeper = as_its_user();
        keeper.args(["sh", "-c", KEEPER, "keeper"]).arg(&programs);
        keeper.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().expect("a shell for the database server");
        let answer = keeper.stdout.take().expect("its output");
        let mut folder = String::new();
        BufReader::new(answer).read_line(&mut folder).expect("the server's folder");
        assert!(!folder.is_empty(), "the database server did not start; what it said stands above");
        Cluster { folder: folder.trim_end().into(), programs, _keeper: Mutex::new(keeper) }
    }

    /// The folder of the server: its files lie in `data`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The URL of a new, empty schema.
    pub fn schema(&self) -> String {
        let name = new_name();
        self.run(&format!("CREATE SCHEMA {name}"));
        format!("{}&options=-c%20search_path%3D{name}", self.url("postgres"))
    }

    /// The URL of a new, empty database: for who wants to know which connections are his.
    pub fn database(&self) -> String {
        let name = new_name();
        self.run(&format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Runs a statement as the server's owner.
    pub fn run(&self, statement: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "evergrant", "-d", "postgres", "-h"]);
        let done = psql.arg(&self.folder).args(["-c", statement]).output().expect("psql runs");
        assert!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://evergrant@/{database}?host={}", self.folder.display())
    }
}

fn new_name() -> String {
    static MADE: Mutex<u32> = Mutex::new(0);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    *made += 1;
    format!("home_{made}")
}

/// PostgreSQL refuses to run as root: then it runs as the user that its package made.
pub(crate) fn as_its_user() -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        return command;
    }
    Command::new("env")
}

/// The folder of `postgres`, `initdb`, `pg_isready` and `psql`: the newest of the distribution, or that in `PATH`.
pub(crate) fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut versions: Vec<(u32, PathBuf)> =
        versions.filter_map(|entry| Some((number(&entry.path())?, entry.path().join("bin")))).collect();
    versions.retain(|(_, folder)| folder.join("initdb").exists());
    versions.sort();
    if let Some((_, folder)) = versions.pop() {
        return folder;
    }
    let found = Command::new("sh").args(["-c", "dirname \"$(command -v initdb)\""]).output().expect("a shell");
    let folder = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    assert!(folder.join("initdb").exists(), "PostgreSQL is not there: `cargo xtask test` says what to install");
    folder
}
