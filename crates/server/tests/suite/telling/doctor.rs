//! What the doctor says of those who are to be told.

use evergrant_testkit::peers::Receivers;
use serde_json::{Value, json};

use crate::cli::Shell;
use crate::world::text;

/// What was found, by the name of the check: its result, and what is wrong.
fn found(document: &Value, check: &str) -> (String, String) {
    let checks = document["checks"].as_array().cloned().unwrap_or_default();
    let one = checks.into_iter().find(|one| one["check"] == check).unwrap_or_default();
    let findings = one["findings"].as_array().cloned().unwrap_or_default();
    let all: Vec<String> =
        findings.iter().map(|one| format!("{} {}", text(&one["what"]), text(&one["remedy"]))).collect();
    (text(&one["result"]), all.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_whether_those_who_are_to_be_told_can_be_and_what_to_mend() {
    let receivers = Receivers::start(&Receivers::folder()).await.unwrap();
    receivers.set(&json!({ "smtp": { "login": ["mailer", "5mtp-s3cret"] } })).await.unwrap();
    let shell = Shell::new();
    assert_eq!(shell.run(&["init", "--listen", "127.0.0.1:0", "--allow-private-networks"]).code, 0);
    let file = shell.folder().join("evergrant.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let put = |name: &str, content: &str| std::fs::write(shell.folder().join(name), content).unwrap();
    put("password", "5mtp-s3cret\n");
    put("authority", &receivers.about.ca);
    put("secret", "whsec_ZGVjbGFyZWQtc2VjcmV0LW9mLXRoZS1lbmRwb2ludA==");
    let (url, port) = (&receivers.about.url, receivers.about.starttls_port);
    put("slack", &format!("{url}/slack/s3cret-part"));
    let lines = format!(
        "{before}\n[email]\nhost = '127.0.0.1'\nport = {port}\nfrom = 'tools@acme.example'\nca_file = 'authority'\n\
         username = 'mailer'\npassword_file = 'password'\n[slack]\nurl_file = 'slack'\n[[webhooks]]\nname = 'app'\n\
         url = '{url}/hook/app'\nsecret_file = 'secret'\n"
    );
    let doctor = |lines: &str| {
        std::fs::write(&file, lines).unwrap();
        shell.run(&["doctor", "--json"])
    };
    let well = doctor(&lines);
    for check in ["mail", "slack", "webhooks"] {
        assert_eq!(found(&well.document(), check), ("ok".to_owned(), String::new()), "{check}: {}", well.stdout);
    }
    assert_eq!(well.code, 0, "{}", well.stdout);
    // A look mails nobody and posts nothing.
    assert!(receivers.mails().await.unwrap().is_empty() && receivers.chats("slack").await.unwrap().is_empty());
    assert!(receivers.said().await.unwrap().iter().all(|said| said["what"] == "login"));

    put("password", "another\n");
    let (result, why) = found(&doctor(&lines).document(), "mail");
    assert!(result == "wrong" && why.contains("(535)") && why.contains("password_file"), "{why}");
    let (result, why) = found(&doctor(&lines.replace("ca_file = 'authority'\n", "")).document(), "mail");
    assert!(result == "wrong" && why.to_lowercase().contains("certificate") && why.contains("ca_file"), "{why}");
    let closed = lines.replace(&format!("port = {port}"), "port = 1").replace(url.as_str(), "http://127.0.0.1:1");
    put("slack", "http://127.0.0.1:1/slack/s3cret-part");
    let ran = doctor(&closed);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    for check in ["mail", "slack", "webhooks"] {
        let (result, why) = found(&ran.document(), check);
        assert!(result == "wrong" && why.contains("cannot be reached"), "{check}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("s3cret"), "{}", ran.stdout);
    put("authority", "no certificate");
    let refused = doctor(&lines);
    assert!(refused.stdout.contains("ca_file") && refused.stdout.contains("PEM"), "{}", refused.stdout);
    let none = doctor(&before);
    assert_eq!((none.code, found(&none.document(), "mail").0), (0, "not_checked".to_owned()), "{}", none.stdout);
}
