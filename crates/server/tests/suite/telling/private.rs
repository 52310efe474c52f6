//! Mails on the way: TLS by the server's certificate or nothing at all, and a login only inside it.

use evergrant_testkit::peers::Receivers;
use serde_json::{Value, json};

use super::{DEAD, MAIL, Told};
use crate::waiting::{LONG, wait_for};
use crate::world::text;

const BEFORE: &str =
    "[refresh]\nbackground = false\nforce_interval = 0\n[notices]\nmail_delay = 0\nretries = [60, 60, 60]\n";

/// Ways to a mail server that wants a login: `port` and `tls` of the configuration, and whether its authority is known.
struct Way {
    port: fn(&Receivers) -> u16,
    tls: &'static str,
    host: &'static str,
    knows_authority: bool,
}

/// The configuration, with the password and the authority in files.
fn lines(way: &Way, receivers: &Receivers, folder: &std::path::Path) -> String {
    let (password, authority) = (folder.join("password"), folder.join("authority"));
    std::fs::write(&password, "5mtp-s3cret\n").expect("a file can be written");
    std::fs::write(&authority, &receivers.about.ca).expect("a file can be written");
    let known = if way.knows_authority { format!("ca_file = '{}'\n", authority.display()) } else { String::new() };
    format!(
        "{BEFORE}[email]\nhost = '{}'\nport = {}\ntls = '{}'\nfrom = 'tools@acme.example'\nusername = 'mailer'\n\
         password_file = '{}'\n{known}",
        way.host,
        (way.port)(receivers),
        way.tls,
        password.display()
    )
}

/// A world that mails this way, and a person of whom there is something to tell.
async fn telling(way: &Way, folder: &std::path::Path) -> Told {
    let receivers = Receivers::start(&Receivers::folder()).await.expect("those who are told start");
    receivers.set(&json!({ "smtp": { "login": ["mailer", "5mtp-s3cret"] } })).await.expect("the receivers listen");
    let lines = lines(way, &receivers, folder);
    let world = crate::world::World::with(&lines, evergrant_testkit::JudgeConfig::default()).await;
    let told = Told { world, receivers };
    told.endpoint("ops", json!({ "events": ["channel.failed"] })).await;
    let id = told.connected("acme", "user-1", "alice").await;
    told.reach("user-1", json!({ "email": "alice@mail.example" })).await;
    told.refuses("acme", DEAD);
    told.force(&id).await;
    told
}

#[tokio::test]
async fn a_mail_goes_by_starttls_and_by_tls_from_the_start_and_signs_in_inside() {
    let ways = [
        Way {
            port: |receivers| receivers.about.starttls_port,
            tls: "starttls",
            host: "127.0.0.1",
            knows_authority: true,
        },
        Way { port: |receivers| receivers.about.smtps_port, tls: "tls", host: "127.0.0.1", knows_authority: true },
    ];
    for way in ways {
        let folder = tempfile::tempdir().unwrap();
        let told = telling(&way, folder.path()).await;
        let mail = told.mails(1).await.remove(0);
        assert_eq!((&mail["tls"], &mail["signed_in"]), (&json!(true), &json!(true)), "{}: {mail}", way.tls);
        let said = told.receivers.said().await.unwrap();
        assert!(said.len() >= 2 && said.iter().all(|one| one["tls"] == true), "{}: {said:#?}", way.tls);
        told.world.stop().await;
    }
}

#[tokio::test]
async fn where_tls_cannot_be_trusted_or_is_not_there_nothing_is_said_and_the_operator_hears_why() {
    let port_without = |receivers: &Receivers| receivers.about.smtp_port;
    let starttls = |receivers: &Receivers| receivers.about.starttls_port;
    let smtps = |receivers: &Receivers| receivers.about.smtps_port;
    let ways: [(&str, Way); 5] = [
        (
            "an authority that nobody knows",
            Way { port: starttls, tls: "starttls", host: "127.0.0.1", knows_authority: false },
        ),
        ("the same, from the start", Way { port: smtps, tls: "tls", host: "127.0.0.1", knows_authority: false }),
        (
            "a certificate for another name",
            Way { port: starttls, tls: "starttls", host: "localhost", knows_authority: true },
        ),
        ("a server without TLS", Way { port: port_without, tls: "starttls", host: "127.0.0.1", knows_authority: true }),
        ("the same, from the start", Way { port: port_without, tls: "tls", host: "127.0.0.1", knows_authority: true }),
    ];
    for (what, way) in ways {
        let folder = tempfile::tempdir().unwrap();
        let told = telling(&way, folder.path()).await;
        let alert = told.taken_of("ops", "channel.failed").await;
        let words = text(&alert["body"]["data"]["what"]);
        assert!(words.starts_with("The mail server cannot be reached"), "{what}: {words}");
        println!("{what}: {words}");
        if what.contains("authority") || what.contains("another name") {
            assert!(words.to_lowercase().contains("certificate"), "{what}: {words}");
        }
        assert!(!words.contains("5mtp-s3cret"), "{words}");
        assert_eq!(told.receivers.said().await.unwrap(), Vec::<Value>::new(), "{what}");
        assert_eq!(told.receivers.mails().await.unwrap(), Vec::<Value>::new(), "{what}");
        told.world.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_wants_a_password_gets_it_and_one_that_does_not_take_it_is_told_to_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "5mtp-s3cret\n").unwrap();
    let login = format!("username = 'mailer'\npassword_file = '{}'\n", file.display());
    let told = Told::with(&format!("{BEFORE}{MAIL}{login}")).await;
    told.endpoint("app", json!({ "events": ["channel.failed"] })).await;
    let id = told.connected("acme", "user-1", "alice").await;
    told.reach("user-1", json!({ "email": "alice@mail.example" })).await;
    told.receivers.set(&json!({ "smtp": { "login": ["mailer", "another"] } })).await.unwrap();
    told.refuses("acme", DEAD);
    told.force(&id).await;
    let alert = told.taken("app", 1).await.remove(0);
    assert!(text(&alert["body"]["data"]["what"]).contains("does not accept us"), "{alert}");
    assert!(!alert.to_string().contains("5mtp-s3cret"));
    told.receivers.set(&json!({ "smtp": { "login": ["mailer", "5mtp-s3cret"] } })).await.unwrap();
    let mail = wait_for(LONG, "the mail", async || {
        told.world.clock.forward(20);
        told.mails_now().await.pop()
    })
    .await;
    assert_eq!(mail["signed_in"], true);
    told.world.stop().await;
}
