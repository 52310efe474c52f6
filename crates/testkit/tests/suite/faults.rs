//! Each fault does on the wire what it says, byte by byte, and spends what it says.

use std::time::{Duration, Instant};

use evergrant_testkit::http::HttpError;
use evergrant_testkit::{Canned, Decision, End, Endpoint, Fault, FaultRule, fingerprint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{LIMIT, Scene, member, send};

/// Everything that comes until the judge closes.
async fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the judge closes in order");
    bytes
}

fn declared_length(head: &str) -> usize {
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length is declared");
    line.parse().expect("it is a number")
}

fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the head is whole") + 4;
    (String::from_utf8(bytes[..at].to_vec()).expect("the head is text"), bytes[at..].to_vec())
}

async fn ended(scene: &Scene) -> End {
    scene.judge.wait_until(LIMIT, |ledger| ledger.in_flight().next().is_none()).await.expect("all uses end");
    scene.judge.ledger().spends.last().and_then(|spend| spend.end).expect("there was a use")
}

#[tokio::test]
async fn a_delay_is_waited_before_anything_is_decided() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    let span = Duration::from_millis(120);
    scene.judge.fault(FaultRule::next(1, Fault::Delay(span)));
    let before = Instant::now();
    assert_eq!(scene.refresh(&token).await.status, 200);
    assert!(before.elapsed() >= span);
    let spend = &scene.judge.ledger().spends[0];
    assert!(spend.decided_at.unwrap().since(spend.received_at) >= span);
}

#[tokio::test]
async fn a_delayed_answer_is_decided_at_once() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    let span = Duration::from_millis(120);
    scene.judge.fault(FaultRule::next(1, Fault::DelayAnswer(span)));
    scene.refresh(&token).await;
    let spend = &scene.judge.ledger().spends[0];
    assert!(spend.decided_at.unwrap().since(spend.received_at) < span);
    assert!(spend.written_at.unwrap().since(spend.decided_at.unwrap()) >= span);
}

#[tokio::test]
async fn a_provider_rotates_also_when_the_client_leaves_meanwhile() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    scene.judge.fault(FaultRule::lasting(Fault::Hold));
    let stream = send(&scene, &token).await;
    scene.judge.wait_until(LIMIT, |ledger| ledger.in_flight().count() == 1).await.unwrap();
    drop(stream);
    scene.judge.wait_until(LIMIT, |ledger| ledger.spends[0].end == Some(End::Abandoned)).await.unwrap();
    assert!(scene.judge.is_live(&token));
    scene.judge.release();
    scene.judge.wait_until(LIMIT, |ledger| ledger.spends[0].decision.is_some()).await.unwrap();
    let ledger = scene.judge.ledger();
    assert!(matches!(ledger.spends[0].decision, Some(Decision::Rotated { .. })));
    assert_eq!(ledger.rotated_unheard().count(), 1);
    assert!(!scene.judge.is_live(&token));
}

#[tokio::test]
async fn a_held_answer_is_rotated_and_comes_when_released() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    scene.judge.fault(FaultRule::next(1, Fault::HoldAnswer));
    let stream = send(&scene, &token).await;
    scene.judge.wait_until(LIMIT, |ledger| ledger.spends.iter().any(|s| s.decision.is_some())).await.unwrap();
    assert!(scene.judge.ledger().spends[0].answerable());
    scene.judge.release();
    let (head, _) = split(&read_all(stream).await);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(ended(&scene).await, End::Delivered);
}

#[tokio::test]
async fn a_hanging_provider_keeps_the_connection_open_and_spends_nothing() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    scene.judge.fault(FaultRule::lasting(Fault::Hang));
    let mut stream = send(&scene, &token).await;
    scene.judge.wait_until(LIMIT, |ledger| ledger.in_flight().count() == 1).await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(80), stream.read_u8()).await;
    assert!(silence.is_err(), "neither a byte nor an end comes");
    drop(stream);
    assert_eq!(ended(&scene).await, End::Abandoned);
    assert!(scene.judge.is_live(&token));
}

#[tokio::test]
async fn cut_before_spends_nothing_and_cut_after_rotates() {
    let scene = Scene::new().await;
    for (fault, rotated) in [(Fault::CutBefore, false), (Fault::CutAfter, true)] {
        let token = scene.refresh_token("alice");
        scene.judge.fault(FaultRule::next(1, fault));
        assert_eq!(read_all(send(&scene, &token).await).await, b"");
        assert_eq!(ended(&scene).await, End::Cut);
        assert_eq!(!scene.judge.is_live(&token), rotated);
    }
    let token = scene.refresh_token("alice");
    assert_eq!(scene.refresh(&token).await.status, 200, "the next one is answered again");
}

#[tokio::test]
async fn an_answer_is_cut_at_the_byte() {
    let scene = Scene::new().await;
    for at in [0, 1, 40] {
        let token = scene.refresh_token("alice");
        scene.judge.fault(FaultRule::next(1, Fault::CutInside(Some(at))));
        let (head, body) = split(&read_all(send(&scene, &token).await).await);
        assert_eq!(body.len(), at);
        assert!(declared_length(&head) > at);
        assert_eq!(ended(&scene).await, End::Cut);
        assert!(!scene.judge.is_live(&token), "it was rotated all the same");
    }
}

#[tokio::test]
async fn an_answer_drips_and_is_whole_in_the_end() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    scene.judge.fault(FaultRule::next(1, Fault::Drip { every: Duration::from_millis(1), bytes: 20 }));
    let reply = scene.refresh(&token).await;
    assert!(scene.judge.is_live(&member(&reply, "refresh_token")));
    assert_eq!(ended(&scene).await, End::Delivered);
}

#[tokio::test]
async fn a_wrong_length_is_declared() {
    let scene = Scene::new().await;
    for by in [7_i64, -7] {
        let token = scene.refresh_token("alice");
        scene.judge.fault(FaultRule::next(1, Fault::WrongLength(by)));
        let (head, body) = split(&read_all(send(&scene, &token).await).await);
        assert_eq!(i64::try_from(declared_length(&head)).unwrap(), i64::try_from(body.len()).unwrap() + by);
    }
    scene.judge.fault(FaultRule::next(1, Fault::WrongLength(7)));
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &scene.refresh_token("alice"))];
    assert!(matches!(scene.http().form("/token", &fields).await, Err(HttpError::Answer(_))));
}

#[tokio::test]
async fn answers_in_the_judges_place_spend_nothing_unless_told() {
    let scene = Scene::new().await;
    for (canned, status, has) in [
        (Canned::error_500(), 500, "Internal Server Error"),
        (Canned::rate_limit(Some("7")), 429, "too_many_requests"),
        (Canned::html(), 200, "<h1>"),
        (Canned::invalid_client(), 401, "invalid_client"),
        (Canned::flood(300 << 10), 200, "xxxxxxxx"),
        (Canned::redirect("http://127.0.0.1:9/token"), 302, ""),
        (Canned::new("status", 418, "text/plain", "teapot"), 418, "teapot"),
    ] {
        for spends in [false, true] {
            let token = scene.refresh_token("alice");
            let rule = FaultRule::next(1, Fault::Answer(canned.clone()));
            scene.judge.fault(if spends { rule.spending() } else { rule });
            let reply = scene.refresh(&token).await;
            assert_eq!(reply.status, status);
            assert!(reply.text().contains(has));
            assert_eq!(scene.judge.is_live(&token), !spends, "{}", canned.name);
        }
    }
    let reply = {
        scene.judge.fault(FaultRule::next(1, Fault::Answer(Canned::rate_limit(Some("7")))));
        scene.refresh("x").await
    };
    assert_eq!(reply.header("retry-after"), "7");
    scene.judge.fault(FaultRule::next(1, Fault::Answer(Canned::flood(300 << 10))));
    assert!(scene.refresh("x").await.body.len() > 256 << 10);
}

#[tokio::test]
async fn an_error_can_repeat_the_token() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    scene.judge.fault(FaultRule::next(1, Fault::EchoToken));
    let reply = scene.refresh(&token).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains(&token));
    assert!(scene.judge.is_live(&token));
}

#[tokio::test]
async fn a_member_can_be_left_out_of_what_a_rotation_brings() {
    let scene = Scene::new().await;
    for (fault, left_out) in [(Fault::OmitExpiresIn, "expires_in"), (Fault::OmitAccessToken, "access_token")] {
        scene.judge.fault(FaultRule::next(1, fault));
        let reply = scene.refresh(&scene.refresh_token("alice")).await;
        assert!(reply.json().get(left_out).is_none(), "{left_out}");
        assert!(scene.judge.is_live(&member(&reply, "refresh_token")), "{left_out}");
    }
}

#[tokio::test]
async fn a_fault_meets_only_those_it_is_for() {
    let scene = Scene::new().await;
    let fault = || Fault::Answer(Canned::error_500());
    scene.judge.fault(FaultRule::lasting(fault()).account("alice"));
    assert_eq!(scene.refresh(&scene.refresh_token("bob")).await.status, 200);
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.status, 500);
    scene.judge.reset();
    scene.judge.fault(FaultRule::lasting(fault()).client("another"));
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.status, 200);
    scene.judge.reset();
    scene.judge.fault(FaultRule::lasting(fault()).grant_type("authorization_code"));
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.status, 200);
    scene.judge.reset();
    scene.judge.fault(FaultRule::lasting(fault()).at(Endpoint::Userinfo));
    assert_eq!(scene.refresh(&scene.refresh_token("alice")).await.status, 200);
    assert_eq!(scene.userinfo(&scene.issue("alice").access_token).await, 500);
}

#[tokio::test]
async fn a_counted_fault_stops_by_itself() {
    let scene = Scene::new().await;
    scene.judge.fault(FaultRule::next(2, Fault::Answer(Canned::error_500())));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(scene.refresh(&scene.refresh_token("alice")).await.status);
    }
    assert_eq!(statuses, [500, 500, 200]);
    let faults: Vec<_> = scene.judge.ledger().spends.iter().map(|spend| spend.faults.clone()).collect();
    assert_eq!(faults, [vec!["answer-500".to_owned()], vec!["answer-500".to_owned()], vec![]]);
}

#[tokio::test]
async fn a_chunked_request_is_understood() {
    let scene = Scene::new().await;
    let token = scene.refresh_token("alice");
    let secret = scene.judge.client_secret("acme").unwrap();
    let body = format!("grant_type=refresh_token&refresh_token={token}&client_id=acme");
    let (one, two) = body.split_at(10);
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("acme:{secret}"));
    let head = format!("POST /token HTTP/1.1\r\nhost: x\r\nauthorization: Basic {basic}\r\n");
    let chunks = format!("a\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", two.len());
    let mut stream = TcpStream::connect(scene.judge.addr()).await.unwrap();
    stream
        .write_all(
            format!(
                "{head}content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
            )
            .as_bytes(),
        )
        .await
        .unwrap();
    let (head, _) = split(&read_all(stream).await);
    assert!(head.starts_with("HTTP/1.1 200"));
    assert_eq!(scene.judge.ledger().spends[0].token, fingerprint(&token));
}
