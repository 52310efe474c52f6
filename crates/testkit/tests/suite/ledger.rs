//! The ledger tells what happened: overlaps, ends of connections, verdicts, and every secret.

use evergrant_testkit::{
    ClientConfig, End, Fault, FaultRule, Finding, IssuedSecret, ReplayKind, SecretKind, Verdict, Violation, fingerprint,
};
use tokio::net::TcpStream;

use crate::{LIMIT, Scene, member, send};

async fn all_ended(scene: &Scene) {
    scene.judge.wait_until(LIMIT, |ledger| ledger.in_flight().next().is_none()).await.expect("all uses end");
}

#[tokio::test]
async fn a_second_sending_while_the_first_can_be_answered_is_an_overlap() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    scene.judge.fault(FaultRule::next(1, Fault::Hang));
    let first = send(&scene, &token).await;
    scene.judge.wait_until(LIMIT, |ledger| ledger.in_flight().count() == 1).await.unwrap();
    scene.refresh(&token).await;
    let ledger = scene.judge.ledger();
    assert_eq!(ledger.violations, [Violation::Overlap { earlier: 0, later: 1 }]);
    assert_eq!(ledger.spends[1].overlaps, Some(0));
    drop(first);
}

#[tokio::test]
async fn a_second_sending_after_the_first_connection_was_closed_is_none() {
    for fault in [Fault::Hang, Fault::HoldAnswer, Fault::Hold] {
        let scene = Scene::with(ClientConfig::new("acme").replay(ReplayKind::Single)).await;
        let token = scene.refresh_token("alice");
        scene.judge.fault(FaultRule::next(1, fault));
        let first = send(&scene, &token).await;
        scene.judge.wait_until(LIMIT, |ledger| ledger.in_flight().count() == 1).await.unwrap();
        // Closed and sent again at once: the judge asks the kernel, not its own slower tasks.
        drop(first);
        scene.refresh(&token).await;
        assert_eq!(scene.judge.ledger().violations, []);
    }
}

#[tokio::test]
async fn a_second_sending_after_a_whole_answer_is_none() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    scene.refresh(&token).await;
    scene.refresh(&token).await;
    assert_eq!(scene.judge.ledger().violations, []);
}

#[tokio::test]
async fn another_token_at_the_same_time_is_no_overlap() {
    let scene = Scene::new().await;
    scene.judge.fault(FaultRule::next(1, Fault::Hang));
    let first = send(&scene, &scene.refresh_token("alice")).await;
    scene.judge.wait_until(LIMIT, |ledger| ledger.in_flight().count() == 1).await.unwrap();
    scene.refresh(&scene.refresh_token("alice")).await;
    assert_eq!(scene.judge.ledger().violations, []);
    drop(first);
}

#[tokio::test]
async fn times_follow_each_other_and_an_answer_that_was_read_is_delivered() {
    let scene = Scene::new().await;
    let reply = scene.refresh(&scene.refresh_token("alice")).await;
    all_ended(&scene).await;
    let ledger = scene.judge.ledger();
    let spend = &ledger.spends[0];
    assert!(spend.began_at <= spend.received_at && Some(spend.received_at) <= spend.decided_at);
    assert!(spend.decided_at <= spend.written_at && spend.written_at <= spend.closed_at);
    assert_eq!((spend.end, spend.status), (Some(End::Delivered), Some(200)));
    assert_eq!((spend.client_id.as_str(), spend.account.as_deref()), ("acme", Some("alice")));
    assert_eq!(spend.brought(), Some(fingerprint(&member(&reply, "refresh_token")).as_str()));
    assert_eq!(ledger.spends_of("acme", "alice").count(), 1);
}

#[tokio::test]
async fn an_answer_that_the_client_never_read_is_told_apart() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    let stream = send(&scene, &token).await;
    scene.judge.wait_until(LIMIT, |ledger| ledger.spends.iter().any(|s| s.written_at.is_some())).await.unwrap();
    stream.readable().await.unwrap();
    // Closed with the answer in its buffer, as the kernel does for a process that is killed.
    drop(stream);
    all_ended(&scene).await;
    let ledger = scene.judge.ledger();
    assert_eq!(ledger.spends[0].end, Some(End::Unread));
    assert_eq!(ledger.rotated_unheard().count(), 1);
}

#[tokio::test]
async fn verdicts_follow_what_the_keeper_holds() {
    let scene = Scene::new().await;
    let judge = &scene.judge;
    let verdict = |account: &str, held: &str| judge.verdict("acme", account, held);
    let pair = scene.issue("alice");
    let held = pair.refresh_token.clone().unwrap();
    for way in [held.as_str(), &fingerprint(&held), &pair.access_token] {
        assert_eq!(verdict("alice", way), Verdict::Ok);
    }
    assert_eq!(verdict("alice", "never issued"), Verdict::Unknown);
    assert!(matches!(verdict("bob", &held), Verdict::Crossed { account, .. } if account == "alice"));
    assert_eq!(judge.revoke("acme", "alice"), 1);
    assert_eq!(verdict("alice", &held), Verdict::Revoked);
    assert_eq!(Verdict::Ok.beside(true), Finding::Ok);
    assert_eq!(Verdict::Ok.beside(false), Finding::FalseAlarm);
    assert_eq!(Verdict::Revoked.beside(true), Finding::Unreported);
    assert_eq!(Verdict::Revoked.beside(false), Finding::Reported);
}

#[tokio::test]
async fn a_grant_whose_answer_was_read_could_have_been_kept() {
    let scene = Scene::new().await;
    let held = scene.refresh_token("alice");
    scene.refresh(&held).await;
    all_ended(&scene).await;
    let Verdict::Lost(loss) = scene.judge.verdict("acme", "alice", &held) else { panic!("it was used up") };
    assert!(loss.closable);
    assert_eq!((loss.spend, loss.end), (Some(0), Some(End::Delivered)));
    assert_eq!(Verdict::Lost(loss).beside(false), Finding::LostClosable);
}

#[tokio::test]
async fn a_grant_whose_answer_was_lost_could_be_kept_only_where_a_replay_works() {
    for (replay, expected) in [
        (ReplayKind::Family, Finding::LostInFlight),
        (ReplayKind::Single, Finding::LostInFlight),
        (ReplayKind::Overlap { window: std::time::Duration::ZERO }, Finding::LostClosable),
    ] {
        let scene = Scene::with(ClientConfig::new("acme").replay(replay)).await;
        let held = scene.refresh_token("alice");
        scene.judge.fault(FaultRule::next(1, Fault::CutAfter));
        drop(send(&scene, &held).await);
        scene.judge.wait_until(LIMIT, |ledger| ledger.rotated_unheard().count() == 1).await.unwrap();
        assert_eq!(scene.refresh(&held).await.status, 400);
        all_ended(&scene).await;
        assert_eq!(scene.judge.verdict("acme", "alice", &held).beside(false), expected, "{replay:?}");
    }
}

#[tokio::test]
async fn every_secret_is_listed_with_its_kind_and_carries_its_mark() {
    let scene = Scene::new().await;
    let pair = scene.issue("alice");
    let reply = scene.refresh(pair.refresh_token.as_ref().unwrap()).await;
    let secret = scene.judge.client_secret("acme").unwrap();
    let secrets = scene.judge.secrets();
    for (kind, value) in [
        (SecretKind::AccessToken, pair.access_token),
        (SecretKind::RefreshToken, pair.refresh_token.unwrap()),
        (SecretKind::AccessToken, member(&reply, "access_token")),
        (SecretKind::RefreshToken, member(&reply, "refresh_token")),
        (SecretKind::ClientSecret, secret),
    ] {
        assert!(value.starts_with(&scene.judge.mark(kind)));
        assert_eq!(scene.judge.mark(kind).len(), 20);
        assert!(secrets.contains(&IssuedSecret { kind, value }));
    }
    assert_eq!(secrets.len(), 5);
    assert!(!format!("{secrets:?}").contains(&scene.judge.mark(SecretKind::RefreshToken)));
}

#[tokio::test]
async fn a_known_secret_is_listed_too() {
    let client = ClientConfig { client_secrets: vec!["told".to_owned()], ..ClientConfig::new("acme") };
    let scene = Scene::with(client).await;
    let new = scene.judge.rotate_client_secret("acme").unwrap();
    let values: Vec<_> = scene.judge.secrets().into_iter().map(|secret| secret.value).collect();
    assert!(values.contains(&"told".to_owned()) && values.contains(&new));
    let old = evergrant_testkit::http::Http::new(scene.judge.url()).basic("acme", "told");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &scene.refresh_token("alice"))];
    assert_eq!(old.form("/token", &fields).await.unwrap().json()["error"], "invalid_client");
}

#[tokio::test]
async fn a_token_sent_by_another_client_is_a_violation() {
    let scene = Scene::new().await;
    let other = scene.judge.register(ClientConfig::new("other"));
    let http = evergrant_testkit::http::Http::new(scene.judge.url()).basic("other", &other.client_secrets[0]);
    let token = scene.refresh_token("alice");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    assert_eq!(http.form("/token", &fields).await.unwrap().json()["error"], "invalid_grant");
    assert_eq!(scene.judge.ledger().violations, [Violation::WrongClient { spend: 0 }]);
    assert!(scene.judge.is_live(&token));
}

#[tokio::test]
async fn shutting_down_ends_every_connection() {
    let scene = Scene::new().await;
    scene.judge.fault(FaultRule::lasting(Fault::Hang));
    let token = scene.refresh_token("alice");
    let stream = send(&scene, &token).await;
    scene.judge.wait_until(LIMIT, |ledger| ledger.in_flight().count() == 1).await.unwrap();
    scene.judge.shutdown().await;
    stream.readable().await.unwrap();
    assert_eq!(stream.try_read(&mut [0; 1]).unwrap(), 0);
    assert!(TcpStream::connect(scene.judge.addr()).await.is_err());
}
