//! A PostgreSQL server that a test has to itself, so that it can be stopped, frozen, and have its files put back.
//!
//! As [`crate::cluster`]: the machine's own programs, on a socket in a folder of its own, gone when the program ends. A
//! shell beside it does what is asked, one order a line, as the server's user.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::cluster::{as_its_user, programs};

const KEEPER: &str = r#"
set -u
bin=$1
dir=$(mktemp -d "${TMPDIR:-/tmp}/evergrant-own-pg.XXXXXX")
postmaster() { head -n 1 "$dir/data/postmaster.pid"; }
children() { grep -l "^PPid:[[:space:]]*$(postmaster)\$" /proc/[0-9]*/status 2>/dev/null | cut -d / -f 3; }
everybody() { kill "$1" $(postmaster) $(children); }
end() { everybody -CONT; "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop; rm -rf "$dir"; }
trap 'end >/dev/null 2>&1' EXIT
chmod 755 "$dir"
"$bin/initdb" -D "$dir/data" -U evergrant -A trust -E UTF8 --locale=C.UTF-8 >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$dir'" "unix_socket_permissions = 0777" \
  "max_connections = 50" >>"$dir/data/postgresql.conf"
echo "$dir"
while read -r order; do
  case $order in
    start) "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 start ;;
    stop) "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop ;;
    shutdown) "$bin/pg_ctl" -D "$dir/data" -m fast -w stop ;;
    keep) rm -rf "$dir/kept" && cp -a "$dir/data" "$dir/kept" ;;
    "put back") rm -rf "$dir/data" && cp -a "$dir/kept" "$dir/data" && rm -f "$dir/data/postmaster.pid" ;;
    freeze) everybody -STOP ;;
    thaw) everybody -CONT ;;
  esac >>"$dir/log" 2>&1
  if [ $? -eq 0 ]; then echo done; else tail -n 20 "$dir/log" >&2; echo failed; fi
done
"#;

/// A server with files of its own.
#[derive(Debug)]
pub struct OwnCluster {
    folder: PathBuf,
    programs: PathBuf,
    keeper: Mutex<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What can be done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It starts, and recovers.
    Start,
    /// It ends at once, as in a crash.
    Stop,
    /// It ends in order.
    Shutdown,
    /// Its files are copied aside; while it is stopped.
    Keep,
    /// The files that were copied aside take their place again; while it is stopped.
    PutBack,
    /// All its processes are stopped where they are.
    Freeze,
    /// They go on.
    Thaw,
}

impl OwnCluster {
    /// A new one, started.
    ///
    /// # Panics
    /// Where the machine has no PostgreSQL.
    pub fn start() -> Self {
        let programs = programs();
        let mut keeper = as_its_user();
        keeper.args(["sh", "-c", KEEPER, "keeper"]).arg(&programs);
        keeper.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = keeper.spawn().expect("a shell for the database server");
        let mut answers = BufReader::new(child.stdout.take().expect("its output"));
        let orders = child.stdin.take();
        let mut folder = String::new();
        answers.read_line(&mut folder).expect("the server's folder");
        assert!(!folder.is_empty(), "the database server was not made; what it said stands above");
        let keeper = Mutex::new(Keeper { child, orders, answers });
        let cluster = OwnCluster { folder: folder.trim_end().into(), programs, keeper };
        cluster.now(Deed::Start);
        cluster
    }

    /// Does something to it; returns when it is done.
    ///
    /// # Panics
    /// If it cannot be done; what was said stands on stderr.
    pub fn now(&self, deed: Deed) {
        let order = match deed {
            Deed::Start => "start",
            Deed::Stop => "stop",
            Deed::Shutdown => "shutdown",
            Deed::Keep => "keep",
            Deed::PutBack => "put back",
            Deed::Freeze => "freeze",
            Deed::Thaw => "thaw",
        };
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = keeper.orders.as_mut().expect("it runs");
        writeln!(orders, "{order}").expect("the shell listens");
        let mut answer = String::new();
        keeper.answers.read_line(&mut answer).expect("the shell answers");
        assert_eq!(answer.trim_end(), "done", "{order}");
    }

    /// The folder of the socket and the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its first database is.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Where a database of it is.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://evergrant@/{database}?host={}", self.folder.display())
    }

    /// One of PostgreSQL's own programs (`pg_dump`, `pg_restore`, `psql`), told where this server is.
    pub fn program(&self, name: &str) -> Command {
        let mut program = Command::new(self.programs.join(name));
        program.arg("-h").arg(&self.folder).args(["-U", "evergrant"]);
        program
    }

    /// Runs a statement as the server's owner.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn run(&self, statement: &str) -> String {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", statement]);
        let done = psql.output().expect("psql runs");
        assert!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        // The end of its input ends the server and removes the files.
        keeper.orders.take();
        let _ = keeper.child.wait();
    }
}
