//! Beginning: `init`, starts that are refused and why, and the end by SIGTERM.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Ran, Running, Shell};

/// An installation on a free port: a shell in whose folder `init` has run, and the admin key.
fn installation() -> (Shell, String) {
    let shell = Shell::new();
    let made = shell.run(&["init", "--listen", "127.0.0.1:0", "--json"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let key = made.document()["api_key"].as_str().expect("an API key").to_owned();
    (shell, key)
}

fn database(shell: &Shell) -> PathBuf {
    shell.folder().join("evergrant-data/evergrant.db")
}

fn master_key(shell: &Shell) -> PathBuf {
    shell.folder().join("evergrant-data/master.key")
}

#[test]
fn init_makes_everything_once_and_refuses_to_overwrite() {
    let shell = Shell::new();
    let made = shell.run(&["init"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stdout.starts_with("eg_live_") && made.stdout.lines().count() == 1, "{}", made.stdout);
    assert!(made.stderr.contains("master.key") && made.stderr.contains("loses every token"), "{}", made.stderr);
    assert_eq!(fs::metadata(master_key(&shell)).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(master_key(&shell)).unwrap();
    for (arguments, named) in [
        (["init", "--json"].as_slice(), "evergrant.toml"),
        (&["init", "--json", "--config", "other.toml"], "evergrant.db"),
        (&["init", "--json", "--config", "third.toml", "--database-url", "sqlite:third.db"], "master.key"),
    ] {
        let again = shell.run(arguments);
        assert_eq!((again.code, again.document()["code"].as_str()), (1, Some("conflict")), "{}", again.stderr);
        assert!(again.stderr.contains(named) && again.stderr.contains("nothing was changed"), "{}", again.stderr);
    }
    assert_eq!(fs::read(master_key(&shell)).unwrap(), before);
    assert!(!shell.folder().join("other.toml").exists() && !shell.folder().join("third.toml").exists());
}

#[test]
fn an_init_that_cannot_be_finished_leaves_nothing() {
    let shell = Shell::new();
    // The journal is larger than any file may be here.
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -f 1000; exec \"$0\" init", env!("CARGO_BIN_EXE_evergrant")]);
    let output = limited.env_clear().current_dir(shell.folder()).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(fs::read_dir(shell.folder()).unwrap().count(), 0, "{output:?}");
    assert_eq!(shell.run(&["init"]).code, 0);
}

#[test]
fn flags_of_init_stand_in_its_file() {
    let shell = Shell::new();
    let made =
        shell.run(&["init", "--config", "a.toml", "--data-dir", "elsewhere", "--listen", "127.0.0.1:0", "--json"]);
    assert_eq!(made.document()["data_dir"], "elsewhere");
    let serving = Running::serve(&shell, &["--config", "a.toml"]);
    assert!(serving.said.contains("elsewhere/master.key"), "{}", serving.said);
    assert_eq!(serving.terminate().0, Some(0));
}

/// Puts a file back as it was when this is dropped.
struct Kept {
    path: PathBuf,
    content: Vec<u8>,
}

impl Kept {
    fn of(path: PathBuf) -> Self {
        Kept { content: fs::read(&path).expect("the file"), path }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        fs::write(&self.path, &self.content).expect("the file is put back");
    }
}

fn overwrite(file: &Path, at: usize, with: &[u8]) {
    let mut content = fs::read(file).expect("the database");
    content[at..at + with.len()].copy_from_slice(with);
    fs::write(file, content).expect("it is damaged");
}

#[test]
fn data_that_cannot_be_used_refuses_the_start_and_is_a_finding_of_the_doctor() {
    let (shell, _) = installation();
    let (key, db) = (master_key(&shell), database(&shell));
    type Damage<'a> = Box<dyn Fn() + 'a>;
    let table: [(&str, Damage<'_>, &[&str]); 8] = [
        (
            "another key",
            Box::new(|| fs::write(&key, "ab".repeat(32)).unwrap()),
            &["fingerprint", "master.key", "Give the right key"],
        ),
        ("no key at all", Box::new(|| fs::write(&key, "hello").unwrap()), &["64 hexadecimal digits", "master.key"]),
        ("a missing key", Box::new(|| fs::remove_file(&key).unwrap()), &["is missing", "Put the key back"]),
        (
            "a missing database",
            Box::new(|| fs::remove_file(&db).unwrap()),
            &["journal is there", "Put the database back"],
        ),
        ("another program's file", Box::new(|| fs::write(&db, "hello").unwrap()), &["damaged", "Restore it"]),
        ("a broken head", Box::new(|| overwrite(&db, 0, &[0xaa; 100])), &["damaged", "Restore it"]),
        ("a broken middle", Box::new(|| overwrite(&db, 4096 * 3, &[0xaa; 4096 * 40])), &["damaged", "Restore it"]),
        // SQLite keeps the number of the schema in bytes 60 to 63.
        (
            "a later schema",
            Box::new(|| overwrite(&db, 60, &99u32.to_be_bytes())),
            &["later version", "Run that version"],
        ),
    ];
    for (what, damage, words) in &table {
        let kept = [Kept::of(key.clone()), Kept::of(db.clone())];
        damage();
        let damaged = [fs::read(&key).ok(), fs::read(&db).ok()];
        let refused = shell.run(&["serve"]);
        assert_eq!(refused.code, 5, "{what}: {}", refused.stderr);
        let found = shell.run(&["doctor", "--json"]);
        assert_eq!((found.code, &found.document()["ok"]), (1, &false.into()), "{what}: {}", found.stdout);
        for word in *words {
            assert!(refused.stderr.contains(word), "{what}: {word} in {}", refused.stderr);
            assert!(found.stdout.contains(word), "{what}: {word} in {}", found.stdout);
        }
        assert_eq!([fs::read(&key).ok(), fs::read(&db).ok()], damaged, "{what}: something was changed");
        drop(kept);
    }
    // The key was put back with the mode of any file.
    let open = shell.run(&["doctor", "--json"]);
    assert!(open.code == 1 && open.stdout.contains("chmod 600"), "{}", open.stdout);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let well = shell.run(&["doctor", "--json"]);
    assert_eq!((well.code, &well.document()["ok"]), (0, &true.into()), "{}", well.stdout);
    // The widget in pages that people see, of a service that only this machine reaches.
    let apart = shell.with("EVERGRANT_WIDGET_ORIGINS", "https://app.example").run(&["doctor", "--json"]);
    assert!(apart.code == 1 && apart.stdout.contains("Set `public_url`"), "{}", apart.stdout);
}

/// What the file says, the flags, a variable; the exit code, and words of the refusal.
type Row<'a> = (&'a str, &'a [&'a str], Option<(&'a str, &'a str)>, i32, &'a [&'a str]);

#[test]
fn a_configuration_that_cannot_be_refuses_the_start_by_the_name_under_which_it_was_set() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let free = ["--listen", "127.0.0.1:0"];
    let elsewhere = ["--listen", "127.0.0.1:0", "--data-dir", "evergrant.toml/x"];
    let table: [Row<'_>; 11] = [
        ("listn = 'x'", &[], None, 5, &["evergrant.toml, line 1", "`listen`"]),
        ("listen = ", &[], None, 5, &["evergrant.toml, line 1"]),
        ("", &["--config", "nowhere.toml"], None, 5, &["nowhere.toml", "evergrant init"]),
        ("", &["--listen", "here"], None, 2, &["--listen", "127.0.0.1:8420"]),
        ("", &["--listen", &taken], None, 5, &[&taken, "EVERGRANT_LISTEN"]),
        ("", &elsewhere, None, 5, &["evergrant.toml/x", "`data_dir`"]),
        ("", &["--public-url", "http://auth.example.com"], None, 2, &["--public-url", "https"]),
        ("", &[], Some(("EVERGRANT_LISTEN", "here")), 5, &["EVERGRANT_LISTEN"]),
        ("", &[], Some(("EVERGRANT_LISTN", "here")), 5, &["EVERGRANT_LISTN", "`EVERGRANT_LISTEN`"]),
        ("", &free, Some(("EVERGRANT_BOOTSTRAP_KEY", "secret-but-no-key")), 5, &["EVERGRANT_BOOTSTRAP_KEY"]),
        ("", &free, Some(("EVERGRANT_MASTER_KEY", "secret-but-no-key")), 5, &["EVERGRANT_MASTER_KEY", "64 hex"]),
    ];
    for (file, arguments, variable, code, words) in table {
        let mut shell = Shell::new();
        if let Some((name, value)) = variable {
            shell = shell.with(name, value);
        }
        fs::write(shell.folder().join("evergrant.toml"), file).unwrap();
        let Ran { code: ended, stderr, .. } = shell.run(&[&["serve"], arguments].concat());
        assert_eq!(ended, code, "{file} {arguments:?} {variable:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word} in {stderr}");
        }
        assert!(!stderr.contains("secret-but"), "{stderr}");
    }
}

#[test]
fn one_data_folder_has_one_process_and_the_others_ask_it() {
    let (shell, key) = installation();
    let serving = Running::serve(&shell, &[]);
    let second = shell.run(&["serve"]);
    assert_eq!(second.code, 6);
    assert!(second.stderr.contains("in use by another process") && second.stderr.contains("evergrant.lock"));
    for arguments in [["keys", "list", "--json"].as_slice(), &["doctor", "--json"]] {
        let held = shell.run(arguments);
        assert_eq!((held.code, held.document()["code"].as_str()), (6, Some("try_later")), "{}", held.stderr);
        assert!(held.stderr.contains("EVERGRANT_API_KEY"), "{}", held.stderr);
        let url = serving.url();
        let asked = shell.run(&[arguments, &["--url", &url]].concat());
        assert_eq!(asked.code, 6, "no key, no answer: {}", asked.stderr);
    }
    // The key needs no service, and says the same beside one.
    let beside = shell.run(&["master-key", "fingerprint", "--json"]);
    assert_eq!(beside.document()["fingerprint"].as_str().map(str::len), Some(8), "{}", beside.stderr);
    let address = serving.url().replace("http://", "");
    let shell = shell.with("EVERGRANT_API_KEY", &key);
    // The service listens where the configuration says: then the key alone is enough.
    let asked = shell.run(&["keys", "list", "--json", "--listen", &address]);
    assert_eq!(asked.document()["items"][0]["name"], "first admin key", "{}", asked.stderr);
    assert_eq!(shell.run(&["doctor", "--json", "--listen", &address]).document()["ok"], true);
    let (code, said) = serving.terminate();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(shell.run(&["keys", "list"]).code, 0);
}

#[test]
fn a_first_start_without_init_says_where_the_master_key_is() {
    let shell = Shell::new();
    let serving = Running::serve(&shell, &["--listen", "127.0.0.1:0"]);
    assert!(serving.said.contains("master.key") && serving.said.contains("loses every token"), "{}", serving.said);
    assert_eq!(serving.terminate().0, Some(0));
    let again = Running::serve(&shell, &["--listen", "127.0.0.1:0"]);
    assert!(!again.said.contains("loses every token"), "{}", again.said);
}

#[test]
fn where_nothing_was_made_the_way_to_begin_is_told() {
    let shell = Shell::new();
    for arguments in [["keys", "list"].as_slice(), &["master-key", "fingerprint"]] {
        let ran = shell.run(arguments);
        assert_eq!(ran.code, 3, "{arguments:?}");
        assert!(ran.stderr.contains("evergrant init"), "{}", ran.stderr);
    }
    let ran = shell.run(&["doctor"]);
    assert!(ran.code == 1 && ran.stdout.contains("evergrant init"), "{}", ran.stdout);
    assert_eq!(fs::read_dir(shell.folder()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_does_not_stop_the_service() {
    let (shell, key) = installation();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let shell = shell.with("EVERGRANT_API_KEY", &key).with("RUST_LOG", "trace");
    let mut serving = shell.command(&["serve", "--listen", &address]).stderr(full).spawn().unwrap();
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(serving.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    let url = format!("http://{address}");
    for _ in 0..5 {
        let ran = shell.run(&["keys", "create", "--permissions", "connect", "--url", &url]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    let pid = rustix::process::Pid::from_child(&serving);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(serving.wait().unwrap().code(), Some(0));
}

/// The program as somebody for whom modes count: root may write everything, so it becomes nobody.
fn as_anybody(shell: &Shell, arguments: &[&str]) -> std::process::Output {
    let program = shell.folder().join("evergrant");
    let mut command = shell.command(&[]);
    if rustix::process::geteuid().is_root() {
        // The build folder may lie where nobody can get. Copied by a process of its own: a program that is open for writing
        // here, if only in a child that another test is starting, cannot be run.
        if !program.exists() {
            let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_evergrant")).arg(&program).status();
            assert!(copied.expect("cp runs").success());
        }
        fs::set_permissions(shell.folder(), fs::Permissions::from_mode(0o755)).expect("a folder to walk through");
        command = std::process::Command::new(&program);
        std::os::unix::process::CommandExt::uid(&mut command, NOBODY).env_clear().current_dir(shell.folder());
    }
    command.args(arguments).stdin(std::process::Stdio::null()).output().expect("the program runs")
}

/// The user without rights of most systems.
const NOBODY: u32 = 65534;

fn give_to_nobody(path: &Path) {
    std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give away");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder").flatten() {
            give_to_nobody(&entry.path());
        }
    }
}

#[test]
fn what_may_not_be_read_or_written_refuses_the_start_and_says_whose_it_should_be() {
    let (shell, _) = installation();
    let folder = shell.folder().join("evergrant-data");
    if rustix::process::geteuid().is_root() {
        give_to_nobody(&folder);
    }
    let table = [
        (folder.clone(), 0o500, "may not be written"),
        (database(&shell), 0o400, "belongs to the user that runs the service"),
        (master_key(&shell), 0o000, "readable for the user that runs the service"),
    ];
    for (path, mode, words) in table {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for (arguments, code) in [(["serve"].as_slice(), 5), (&["doctor"], 1), (&["keys", "list"], 5)] {
            let output = as_anybody(&shell, arguments);
            let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
            assert_eq!(output.status.code(), Some(code), "{path:?} {arguments:?}: {said}");
            assert!(said.contains(words), "{path:?} {arguments:?}: {words} in {said}");
        }
        fs::set_permissions(&path, before).unwrap();
    }
    let well = as_anybody(&shell, &["doctor"]);
    assert_eq!(well.status.code(), Some(0), "{}", String::from_utf8_lossy(&well.stdout));
    // Nobody is told to begin anew beside data that he may not look at.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
    let blind = as_anybody(&shell, &["keys", "list"]);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let said = String::from_utf8_lossy(&blind.stderr);
    assert!(blind.status.code() == Some(5) && !said.contains("evergrant init"), "{said}");
}
