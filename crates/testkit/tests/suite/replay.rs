//! Each replay kind, as the life of a connection names them.

use std::time::Duration;

use evergrant_testkit::{ClientConfig, Decision, ReplayKind};

use crate::{Scene, member};

const LONG: Duration = Duration::from_secs(3600);
const OVER: Duration = Duration::ZERO;

async fn scene(replay: ReplayKind) -> Scene {
    Scene::with(ClientConfig::new("acme").replay(replay)).await
}

/// What a first use and a second use of the same token came to, and what lives then.
struct Twice {
    second: u16,
    /// The second answer holds the same refresh token as the first.
    same_pair: bool,
    first_refresh_lives: bool,
    first_access_lives: bool,
    old_lives: bool,
}

async fn use_twice(scene: &Scene) -> Twice {
    let old = scene.refresh_token("alice");
    let first = scene.refresh(&old).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let second = scene.refresh(&old).await;
    let (refresh, access) = (member(&first, "refresh_token"), member(&first, "access_token"));
    Twice {
        second: second.status,
        same_pair: second.json()["refresh_token"] == refresh.as_str()
            && second.json()["access_token"] == access.as_str(),
        first_refresh_lives: scene.judge.is_live(&refresh),
        first_access_lives: scene.judge.is_live_access(&access),
        old_lives: scene.judge.is_live(&old),
    }
}

#[tokio::test]
async fn without_rotation_the_token_keeps_working_and_is_not_repeated_in_the_answer() {
    let scene = scene(ReplayKind::None).await;
    let token = scene.refresh_token("alice");
    for _ in 0..3 {
        let answer = scene.refresh(&token).await;
        assert_eq!(answer.status, 200);
        assert!(answer.json().get("refresh_token").is_none());
        assert_eq!(scene.userinfo(&member(&answer, "access_token")).await, 200);
    }
    assert_eq!(scene.judge.live_refresh_token("acme", "alice"), Some(token));
}

#[tokio::test]
async fn an_idempotent_provider_gives_the_same_pair_again_within_its_window() {
    let twice = use_twice(&scene(ReplayKind::Idempotent { window: LONG }).await).await;
    assert_eq!(twice.second, 200);
    assert!(twice.same_pair && twice.first_refresh_lives && twice.first_access_lives && twice.old_lives);
}

#[tokio::test]
async fn an_idempotent_provider_refuses_after_its_window_and_the_pair_lives() {
    let twice = use_twice(&scene(ReplayKind::Idempotent { window: OVER }).await).await;
    assert_eq!(twice.second, 400);
    assert!(twice.first_refresh_lives && twice.first_access_lives && !twice.old_lives);
}

#[tokio::test]
async fn a_confirming_provider_replaces_the_pair_that_nobody_has_used() {
    let twice = use_twice(&scene(ReplayKind::Confirm).await).await;
    assert_eq!(twice.second, 200);
    assert!(!twice.same_pair && !twice.first_refresh_lives && !twice.first_access_lives && twice.old_lives);
}

#[tokio::test]
async fn a_confirming_provider_refuses_the_old_token_once_the_new_access_token_was_used() {
    let scene = scene(ReplayKind::Confirm).await;
    let old = scene.refresh_token("alice");
    let first = scene.refresh(&old).await;
    let access = member(&first, "access_token");
    assert!(scene.judge.is_live(&old));
    assert_eq!(scene.userinfo(&access).await, 200);
    assert!(!scene.judge.is_live(&old));
    assert_eq!(scene.refresh(&old).await.status, 400);
    assert!(scene.judge.is_live(&member(&first, "refresh_token")));
}

#[tokio::test]
async fn introspection_confirms_as_a_use_does() {
    let scene = scene(ReplayKind::Confirm).await;
    let old = scene.refresh_token("alice");
    let first = scene.refresh(&old).await;
    let access = member(&first, "access_token");
    let answer = scene.http().form("/introspect", &[("token", &access)]).await.unwrap();
    assert_eq!(answer.json()["active"], true);
    assert_eq!(answer.json()["sub"], "alice");
    assert_eq!(scene.refresh(&old).await.status, 400);
}

#[tokio::test]
async fn asking_the_judge_itself_confirms_nothing() {
    let scene = scene(ReplayKind::Confirm).await;
    let old = scene.refresh_token("alice");
    let first = scene.refresh(&old).await;
    assert!(scene.judge.is_live_access(&member(&first, "access_token")));
    assert_eq!(scene.refresh(&old).await.status, 200);
}

#[tokio::test]
async fn an_overlapping_provider_mints_again_within_its_window() {
    let twice = use_twice(&scene(ReplayKind::Overlap { window: LONG }).await).await;
    assert_eq!(twice.second, 200);
    assert!(!twice.same_pair && twice.first_refresh_lives && twice.first_access_lives && twice.old_lives);
}

#[tokio::test]
async fn an_overlapping_provider_refuses_after_its_window_and_the_pair_lives() {
    let twice = use_twice(&scene(ReplayKind::Overlap { window: OVER }).await).await;
    assert_eq!(twice.second, 400);
    assert!(twice.first_refresh_lives && twice.first_access_lives && !twice.old_lives);
}

#[tokio::test]
async fn a_strict_provider_ends_the_grant_after_its_window() {
    let client = ClientConfig::new("acme").replay(ReplayKind::Overlap { window: OVER });
    let twice = use_twice(&Scene::with(ClientConfig { strict_after_window: true, ..client }).await).await;
    assert_eq!(twice.second, 400);
    assert!(!twice.first_refresh_lives && !twice.first_access_lives);
}

#[tokio::test]
async fn a_single_use_token_is_refused_and_the_rest_lives() {
    let scene = scene(ReplayKind::Single).await;
    let twice = use_twice(&scene).await;
    assert_eq!(twice.second, 400);
    assert!(twice.first_refresh_lives && twice.first_access_lives && !twice.old_lives);
    let refused = Decision::Refused { error: "invalid_grant".to_owned(), ended_family: false };
    assert_eq!(scene.judge.ledger().spends[1].decision, Some(refused));
}

#[tokio::test]
async fn a_family_dies_whole_when_a_used_token_comes_again() {
    let scene = scene(ReplayKind::Family).await;
    let first_access = scene.issue("alice").access_token;
    let bystander = scene.refresh_token("bob");
    let twice = use_twice(&scene).await;
    assert_eq!(twice.second, 400);
    assert!(!twice.first_refresh_lives && !twice.first_access_lives && !twice.old_lives);
    assert!(scene.judge.is_live(&bystander), "another family is not touched");
    assert!(scene.judge.is_live_access(&first_access), "nor another consent of the same account");
    let refused = Decision::Refused { error: "invalid_grant".to_owned(), ended_family: true };
    assert_eq!(scene.judge.ledger().spends[1].decision, Some(refused));
}

#[tokio::test]
async fn of_many_uses_at_once_one_wins() {
    let scene = scene(ReplayKind::Single).await;
    let token = scene.refresh_token("alice");
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (http, token) = (scene.http(), token.clone());
        running.spawn(async move {
            let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
            http.form("/token", &fields).await.unwrap().status
        });
    }
    let statuses = running.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(scene.judge.calls().grant_type("refresh_token"), 20);
}

#[tokio::test]
async fn a_refresh_token_dies_of_its_own_age() {
    let client = ClientConfig { refresh_lifetime: Some(Duration::ZERO), ..ClientConfig::new("acme") };
    let scene = Scene::with(client).await;
    let token = scene.refresh_token("alice");
    assert_eq!(scene.refresh(&token).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn a_refresh_may_end_the_access_token_before_it() {
    let client = ClientConfig { refresh_ends_access: true, ..ClientConfig::new("acme") };
    let scene = Scene::with(client).await;
    let pair = scene.issue("alice");
    assert_eq!(scene.userinfo(&pair.access_token).await, 200);
    assert_eq!(scene.refresh(&pair.refresh_token.unwrap()).await.status, 200);
    assert_eq!(scene.userinfo(&pair.access_token).await, 401);
}
