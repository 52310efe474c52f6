//! What holds for every command: exit codes, one document, secrets never in arguments, help that helps.

use std::process::Command;

use evergrant_core::planted::Bug;

use super::Shell;

#[test]
fn wrong_usage_ends_with_2_and_names_the_nearest_command() {
    let ran = Shell::new().run(&["conections"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("connections"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    let ran = Shell::new().run(&["connections", "list", "--statsu", "x", "--json"]);
    assert_eq!((ran.code, ran.document()["code"].as_str()), (2, Some("wrong_usage")), "{}", ran.stdout);
    assert!(ran.stderr.contains("--status"), "{}", ran.stderr);
}

#[test]
fn a_service_that_does_not_answer_is_try_later_and_says_which_one() {
    let shell = Shell::new().with("EVERGRANT_API_KEY", "any").with("EVERGRANT_URL", "http://127.0.0.1:1");
    let ran = shell.run(&["connections", "list", "--json"]);
    assert_eq!(ran.code, 6);
    assert_eq!(ran.document()["action"], "retry");
    assert!(ran.stderr.contains("127.0.0.1:1"), "{}", ran.stderr);
}

#[test]
fn without_an_api_key_the_way_to_one_is_told() {
    let ran = Shell::new().run(&["integrations", "list"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("EVERGRANT_API_KEY") && ran.stderr.contains("keys create"), "{}", ran.stderr);
}

#[test]
fn a_secret_in_an_argument_is_refused_and_not_repeated() {
    for arguments in [
        ["integrations", "add", "strava", "--client-id", "1", "--client-secret", "hush-hush"].as_slice(),
        ["integrations", "add", "strava", "--client-id", "1", "--client-secret=hush-hush"].as_slice(),
    ] {
        let ran = Shell::new().run(arguments);
        assert_eq!(ran.code, 2);
        assert!(ran.stderr.contains("--client-secret-stdin"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
    }
    let ran = Shell::new().run(&["connections", "list", "--api-key", "hush-hush"]);
    assert_eq!(ran.code, 2);
    assert!(!ran.stderr.contains("hush-hush"), "{}", ran.stderr);
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = Shell::new().run(&["completions", shell]);
        assert_eq!((ran.code, ran.stdout.contains("connect-link")), (0, true), "{shell}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let shell = Shell::new();
    assert!(shell.run(&["man"]).stdout.starts_with(".ie"), "roff");
    assert!(shell.run(&["man", "connections", "token"]).stdout.contains("min\\-ttl"));
    assert_eq!(shell.run(&["man", "connections", "tokens"]).code, 2);
    assert_eq!(shell.run(&["man", "--out", "pages"]).code, 0);
    let pages = std::fs::read_dir(shell.folder().join("pages")).unwrap().count();
    assert!(pages > 15, "{pages} pages");
}

#[test]
fn nothing_is_coloured_when_not_on_a_terminal() {
    for arguments in [["--help"].as_slice(), &["nonsense"], &["connections", "list"]] {
        let ran = Shell::new().run(arguments);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:?}");
    }
}

#[test]
fn a_command_without_a_document_refuses_json_instead_of_ignoring_it() {
    assert_eq!(Shell::new().run(&["completions", "bash", "--json"]).code, 2);
}

#[cfg(target_os = "linux")]
#[test]
fn the_limits_of_the_process_forbid_core_files() {
    let mut child = Shell::new();
    child = child.with("EVERGRANT_API_KEY", "any");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut running = child.command(&["connections", "list", "--url", &url]).spawn().unwrap();
    // It has reached its request, so the first thing in `main` is done.
    let (stream, _) = listener.accept().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.id()));
    drop(stream);
    running.wait().unwrap();
    // As root the file can be read; as anybody else its being closed is the proof.
    if let Ok(limits) = limits {
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert!(core.split_whitespace().filter(|word| *word == "0").count() == 2, "{core}");
    }
}

#[test]
fn the_program_that_people_run_knows_nothing_of_planted_bugs() {
    let mut grep = Command::new("grep");
    grep.args(["--text", "--only-matching", "--fixed-strings", "--regexp=EVERGRANT_PLANTED"]);
    grep.args(Bug::ALL.map(|bug| format!("--regexp={}", bug.name()))).arg(env!("CARGO_BIN_EXE_evergrant"));
    let found = grep.output().expect("grep runs");
    assert_eq!(found.status.code(), Some(1), "in it stand: {}", String::from_utf8_lossy(&found.stdout));
}
