//! A PostgreSQL server of a test program's own: made at its first use, gone when the program ends, however it ends.
//!
//! The programs are those of the machine (`postgres` and `initdb`, 15 or newer), settings are the ones they come with:
//! what is answered is on the disk. The server listens on a socket in its own folder, never on the network. Each test gets
//! a schema of its own in one database. The words of the database are sorted as in English, so that nothing relies on the
//! order of bytes by chance.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Runs as the server's own user and does what its input says, line by line: `stop` and `crash` end the server, `start`
/// starts it; each is answered when it is done. Its input ends when the test program ends: then the server is stopped
/// and its folder removed.
const KEEPER: &str = r#"
set -eu
dir=$(mktemp -d "${TMPDIR:-/tmp}/evergrant-pg.XXXXXX")
trap 'rm -rf "$dir"' EXIT
"$1/initdb" -D "$dir/data" -U evergrant -A trust -E UTF8 --locale-provider=icu --icu-locale=en-US --locale=C.UTF-8 \
  >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
start() {
  "$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=300 -c unix_socket_permissions=0777 \
    >>"$dir/log" 2>&1 </dev/null &
  server=$!
  tries=0
  until "$1/pg_isready" -q -h "$dir" -d postgres; do
    tries=$((tries + 1))
    if [ $tries -gt 1200 ] || ! kill -0 $server 2>/dev/null; then cat "$dir/log" >&2; kill $server || true; exit 1; fi
    sleep 0.05
  done
}
stop() {
  if [ -n "$server" ]; then kill "-$1" "$server"; wait "$server" || true; fi
  server=
}
start "$1"
chmod 755 "$dir"
echo "$dir"
while read -r wish; do
  case "$wish" in
    stop) stop INT ;;
    crash) stop QUIT ;;
    start) start "$1" ;;
  esac
  echo done
done
stop INT
"#;

/// A server of this test program.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    keeper: Mutex<Keeper>,
}

/// Who looks after the server, and does what is written to its input.
#[derive(Debug)]
struct Keeper {
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
    // Waited for by the system when the test program ends.
    _child: Child,
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

    /// One of its own, for a test that stops it.
    ///
    /// # Panics
    /// As [`Cluster::shared`].
    pub fn start() -> Cluster {
        let programs = programs();
        let mut keeper = as_its_user();
        keeper.args(["sh", "-c", KEEPER, "keeper"]).arg(&programs);
        keeper.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().expect("a shell for the database server");
        let input = keeper.stdin.take().expect("its input");
        let mut answers = BufReader::new(keeper.stdout.take().expect("its output"));
        let mut folder = String::new();
        answers.read_line(&mut folder).expect("the server's folder");
        assert!(!folder.is_empty(), "the database server did not start; what it said stands above");
        let keeper = Mutex::new(Keeper { input, answers, _child: keeper });
        Cluster { folder: folder.trim_end().into(), programs, keeper }
    }

    /// Ends the server at once, as a crash does: nothing is written any more, and the next start recovers. Blocks until it
    /// is gone.
    pub fn crash(&self) {
        self.wish("crash");
    }

    /// Stops the server in order. Blocks until it is gone.
    pub fn stop(&self) {
        self.wish("stop");
    }

    /// Starts the server again. Blocks until it takes connections.
    pub fn start_again(&self) {
        self.wish("start");
    }

    fn wish(&self, wish: &str) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(keeper.input, "{wish}").expect("the server's keeper listens");
        let mut answer = String::new();
        keeper.answers.read_line(&mut answer).expect("the server's keeper answers");
        assert_eq!(answer, "done\n", "the server's keeper could not {wish} it; what it said stands above");
    }

    /// The socket that the server listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// The folder of the server: its files lie in `data`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The URL of a new, empty schema.
    pub fn schema(&self) -> String {
        let name = new_name();
        self.run(&format!("CREATE SCHEMA {name}"));
        format!("{}&options=-c%20search_path%3D{name}", url_at(&self.folder, "postgres"))
    }

    /// The URL of a new, empty database: for who wants to know which connections are his.
    pub fn database(&self) -> String {
        let name = new_name();
        self.run(&format!("CREATE DATABASE {name}"));
        url_at(&self.folder, &name)
    }

    /// The same schema through a socket in another folder.
    pub fn through(&self, schema: &str, folder: &Path) -> String {
        schema.replacen(&self.folder.display().to_string(), &folder.display().to_string(), 1)
    }

    /// A client of a schema, which does what its input says.
    pub fn client(&self, schema: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", schema]);
        psql
    }

    /// Runs a statement as the server's owner.
    pub fn run(&self, statement: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "evergrant", "-d", "postgres", "-h"]);
        let done = psql.arg(&self.folder).args(["-c", statement]).output().expect("psql runs");
        assert!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }
}

fn url_at(folder: &Path, database: &str) -> String {
    format!("postgres://evergrant@/{database}?host={}", folder.display())
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
