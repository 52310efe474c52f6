//! `providers`: the catalogue from the command line, and what it makes of the answers that providers were seen to give.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Stdio};

use serde::Deserialize;

use super::Shell;

/// So many programs at a time.
const AT_ONCE: usize = 12;

#[derive(Deserialize)]
struct Case {
    provider: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: String,
    class: String,
}

fn classify(shell: &Shell, case: &Case) -> Child {
    let status = case.status.to_string();
    let mut arguments = vec!["providers", "classify", &case.provider, "--status", &status, "--json"];
    let headers: Vec<String> = case.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    for header in &headers {
        arguments.extend(["--header", header]);
    }
    let mut child = shell.command(&arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
    child.stdin.take().expect("its input").write_all(case.body.as_bytes()).expect("it reads");
    child
}

#[test]
fn every_answer_of_the_facts_is_classified_as_stated() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../../core/tests/facts/refresh-answers.json")).unwrap();
    assert_eq!(cases.len(), 84);
    let shell = Shell::new();
    let mut wrong = Vec::new();
    for some in cases.chunks(AT_ONCE) {
        let running: Vec<Child> = some.iter().map(|case| classify(&shell, case)).collect();
        for (case, child) in some.iter().zip(running) {
            let output = child.wait_with_output().unwrap();
            let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let complete = document["reason"].is_string() && document.get("next_try").is_some();
            if !output.status.success() || document["class"] != *case.class || !complete {
                wrong.push(format!("{} {} {}: {document}", case.provider, case.status, case.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_follows_an_answer_is_told_with_its_class() {
    let shell = Shell::new();
    for (provider, status, header, body, class, next) in [
        ("strava", "400", "x: y", r#"{"error":"invalid_grant"}"#, "invalid_grant", serde_json::Value::Null),
        ("strava", "429", "retry-after: 30", "", "rate_limited", 30.0.into()),
        ("google", "401", "x: y", r#"{"error":"invalid_client"}"#, "invalid_client", 900.0.into()),
        ("google", "403", "x: y", "", "auth_rejected", 300.0.into()),
    ] {
        let arguments = ["providers", "classify", provider, "--status", status, "--header", header];
        let document = shell.run_with(&[&arguments[..], &["--json"]].concat(), body).document();
        assert_eq!((document["class"].as_str(), &document["next_try"]), (Some(class), &next), "{document}");
        let text = shell.run_with(&arguments, body).stdout;
        assert!(text.contains(class) && text.contains("next try"), "{text}");
    }
}

#[test]
fn entries_are_listed_found_and_shown() {
    let shell = Shell::new();
    let all = shell.run(&["providers", "list", "--json"]).document();
    assert!(all.as_array().unwrap().len() >= 300);
    let found = shell.run(&["providers", "list", "--search", "GOOGLE", "--json"]).document();
    assert!(!found.as_array().unwrap().is_empty());
    for entry in found.as_array().unwrap() {
        let text = format!("{} {} {}", entry["id"], entry["name"], entry["category"]);
        assert!(text.to_lowercase().contains("google"), "{text}");
    }
    assert_eq!(shell.run(&["providers", "show", "strava", "--json"]).document()["policy"]["margin"], 1800.0);
    let page = shell.run(&["providers", "show", "zendesk"]).stdout;
    for said in ["# Zendesk", "/oauth/callback/<integration>", "`subdomain`", "30 min", "## What goes wrong"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let unknown = shell.run(&["providers", "show", "strva", "--json"]);
    assert_eq!((unknown.code, unknown.document()["code"].as_str()), (3, Some("not_found")));
    assert!(unknown.stderr.contains("`strava`"), "{}", unknown.stderr);
}

#[test]
fn lint_names_file_line_and_what_would_be_right() {
    let shell = Shell::new();
    assert_eq!(shell.run(&["providers", "lint"]).code, 0);
    let entry = "name = 'Acme'\nauthorize_url = 'https://acme.example/a'\ntokn_url = 'https://acme.example/t'\n";
    std::fs::write(shell.folder().join("acme.toml"), entry).unwrap();
    let ran = shell.run(&["providers", "lint", "acme.toml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("acme.toml:3") && ran.stdout.contains("`token_url`"), "{}", ran.stdout);
    assert_eq!(shell.run(&["providers", "lint", "nowhere.toml"]).code, 1);
}

#[test]
fn entries_of_ones_own_need_one_file_and_no_new_program() {
    let shell = Shell::new();
    let folder = shell.folder().join("entries");
    std::fs::create_dir(&folder).unwrap();
    let folder_text = folder.to_string_lossy().into_owned();
    let over = ["--catalog", folder_text.as_str(), "--json"];
    let acme = "name = 'Acme'\nsources = ['https://acme.example/docs']\nauthorize_url = 'https://acme.example/a'\n\
                token_url = 'https://acme.example/t'\n[[rules]]\nstatus = [418]\nclass = 'invalid_grant'\n\
                evidence = 'https://acme.example/docs'\n";
    std::fs::write(folder.join("acme.toml"), acme).unwrap();
    std::fs::write(folder.join("gmail.toml"), "name = 'Our Gmail'\nextends = 'google'\n").unwrap();
    let all = shell.run(&[&["providers", "list"], &over[..]].concat()).document();
    let built_in = shell.run(&["providers", "list", "--json"]).document();
    assert_eq!(all.as_array().unwrap().len(), built_in.as_array().unwrap().len() + 1);
    let gmail = shell.run(&[&["providers", "show", "gmail"], &over[..]].concat()).document();
    assert_eq!(gmail["name"], "Our Gmail");
    let answer =
        shell.run_with(&[&["providers", "classify", "acme", "--status", "418"], &over[..]].concat(), "").document();
    assert_eq!(answer["class"], "invalid_grant");
    std::fs::write(folder.join("bad.toml"), "name = 'Bad'\n\ntoken_ulr = 'x'\n").unwrap();
    let refused = shell.run(&[&["providers", "list"], &over[..]].concat());
    assert!(refused.code != 0 && refused.stderr.contains("bad.toml, line 3: `token_ulr`"), "{}", refused.stderr);
}

#[test]
fn ten_broken_entries_are_each_named_by_file_and_line() {
    let shell = Shell::new();
    let head =
        "name = 'Acme NUMBER'\nsources = ['https://acme.example/docs']\nauthorize_url = 'https://acme.example/a'\n";
    let token = "token_url = 'https://acme.example/t'\n";
    let shop = "[variables.shop]\npattern = '[a-z.]+'\ntitle = 'the shop'\nexample = 'x.example'\n";
    let broken: [(String, usize, &str); 10] = [
        (format!("{head}{token}tokn_format = 'json'\n"), 5, "`token_format`"),
        (format!("{head}{token}pkce = 7\n"), 5, "`pkce`"),
        (head.to_owned(), 1, "expected the token endpoint"),
        (format!("{head}token_url = 'http://acme.example/t'\n"), 4, "an address with https"),
        (format!("{head}token_url = 'https://stranger.example/t'\n"), 4, "secrets go to stranger.example"),
        (format!("{head}token_url = 'https://{{shop}}/t'\n{shop}"), 5, "decides at whose domain"),
        (format!("{head}token_url = 'https://{{shop}}.acme.example/t'\n"), 4, "`shop` to be described"),
        (
            format!("{}{token}", head.replace("sources = ['https://acme.example/docs']", "")),
            1,
            "nothing says where this comes from",
        ),
        (format!("{head}{token}replay = 'single'\n"), 1, "nothing says how long access tokens live"),
        (format!("{head}{token}[[rules]]\nclass = 'invalid_grant'\n"), 5, "at least one condition"),
    ];
    let mut files = vec!["providers".to_owned(), "lint".to_owned()];
    for (number, (text, ..)) in broken.iter().enumerate() {
        let file = format!("acme-{number}.toml");
        std::fs::write(shell.folder().join(&file), text.replace("NUMBER", &number.to_string())).unwrap();
        files.push(file);
    }
    // Each file by itself, and all at once: what cannot be used hides nothing of what is wrong with the others.
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let all = shell.run(&files);
    assert_eq!(all.code, 1);
    for (number, (_, line, says)) in broken.iter().enumerate() {
        let file = format!("acme-{number}.toml");
        let alone = shell.run(&["providers", "lint", &file]);
        assert_eq!(alone.code, 1);
        let place = format!("{file}:{line}: ");
        for ran in [&alone, &all] {
            let told = ran.stdout.lines().any(|told| told.starts_with(&place) && told.contains(says));
            assert!(told, "{place}{says}\n{}", ran.stdout);
        }
    }
}

#[test]
fn an_issuer_that_does_not_describe_itself_is_told_with_everything_that_was_tried() {
    let shell = Shell::new();
    let nonsense = shell.run(&["providers", "discover", "auth.example.com"]);
    assert_eq!(nonsense.code, 1);
    assert!(nonsense.stderr.contains("such as https://auth.example.com"), "{}", nonsense.stderr);
    // Nobody listens on port 9; and an address of this machine is not asked at all unless that is allowed.
    for (more, says) in
        [(&["--allow-private-networks"][..], "9/.well-known/openid-configuration: "), (&[], "private networks")]
    {
        let ran = shell.run(&[&["providers", "discover", "http://127.0.0.1:9"], more].concat());
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        assert!(ran.stderr.contains(says) && ran.stderr.contains("by hand"), "{}", ran.stderr);
    }
}
