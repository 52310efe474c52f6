//! What the refresh kernel relies on.

use evergrant_core::connection::{ReauthReason, Status};
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::Class;
use evergrant_store::refresh::{
    AttemptOutcome, AttemptResult, Claim, Committed, Forced, Gate, RefreshedFrom, VerdictCommit, VerdictCommitted,
};
use evergrant_store::{NewNotice, Placed};

use super::support::*;

fn dead(leased: &evergrant_store::refresh::Leased, attempt: &evergrant_core::id::AttemptId) -> VerdictCommit {
    let mut life = leased.connection.life.clone();
    life.status = Status::NeedsReauth { reason: ReauthReason::RefreshTokenInvalid, since: after(3000) };
    VerdictCommit {
        outcome: Some(AttemptOutcome {
            attempt: attempt.clone(),
            class: Class::InvalidGrant,
            detail: "invalid_grant".to_owned(),
        }),
        life,
        next_at: None,
        notices: vec![NewNotice::new(NoticeKind::Disconnected, after(3000))],
        events: Vec::new(),
    }
}

#[tokio::test]
async fn a_refresh_goes_from_claim_to_a_token_that_can_be_handed_out() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-one");
    assert!(store.claim_due(after(2999), LEASE, 10, &[]).await.unwrap().is_empty());
    assert_eq!(store.next_due(now(), &[]).await.unwrap(), Some(after(3000)));
    let leased = store.claim_due(after(3000), LEASE, 10, &[]).await.unwrap().pop().unwrap();
    assert_eq!(leased.grant.as_ref().unwrap().refresh_token.as_ref().unwrap().expose(), "refresh-token-one");
    let attempt = attempt();
    assert_eq!(store.mark_sending(&leased, &attempt, after(3000), LEASE).await.unwrap(), Gate::Open);
    let committed = store.commit_success(&leased.source(), success(&attempt, "two"), after(3001)).await.unwrap();
    let Committed::Stored { grant, record: new } = committed else { panic!("{committed:?}") };
    assert_eq!(grant.access_token.as_ref().unwrap().expose(), "access-token-two");
    assert_eq!(new.connection.life.generation(), 2);
    let seen = record(&store, &id).await;
    assert_eq!(access(&store, &seen), "access-token-two");
    assert_eq!(seen.connection.version, 2);
    let found = store.attempt_outcome(&attempt).await.unwrap().unwrap().end.unwrap();
    assert_eq!((found.class.as_str(), found.result), ("success", AttemptResult::Stored));
    assert!(matches!(store.claim(&id, after(3001), LEASE).await.unwrap(), Claim::Leased(_)), "the lease has ended");
}

#[tokio::test]
async fn concurrent_claims_give_one_lease() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    let claims = (0..64).map(|_| {
        let (store, id) = (store.clone(), id.clone());
        async move { store.claim(&id, after(3000), LEASE).await.unwrap() }
    });
    let mut all = tokio::task::JoinSet::new();
    claims.for_each(|claim| drop(all.spawn(claim)));
    let claims = all.join_all().await;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Leased(_))).count(), 1);
    assert!(claims.iter().all(|claim| !matches!(claim, Claim::Gone)));
}

#[tokio::test]
async fn a_lease_lasts_to_its_end_and_the_next_one_has_a_higher_fence() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    let first = claim(&store, &id, now()).await;
    let attempt = attempt();
    assert_eq!(store.mark_sending(&first, &attempt, after(1), LEASE).await.unwrap(), Gate::Open);
    let Claim::Busy { until, owner, sending_since } = store.claim(&id, after(119), LEASE).await.unwrap() else {
        panic!("a second lease")
    };
    // 120 s after the sending: so long it may be answered.
    assert_eq!((until, owner.as_ref(), sending_since), (after(121), Some(store.node()), Some(after(1))));
    assert!(store.renew(&first, after(60), LEASE).await.unwrap());
    assert!(matches!(store.claim(&id, after(179), LEASE).await.unwrap(), Claim::Busy { .. }));
    let second = claim(&store, &id, after(180)).await;
    assert!(second.fence > first.fence);
    assert_eq!(second.open_intent.as_ref().unwrap().attempt, attempt);
    assert!(!store.renew(&first, after(181), LEASE).await.unwrap());
    assert_eq!(store.mark_sending(&first, &attempt, after(181), LEASE).await.unwrap(), Gate::FenceLost);
}

#[tokio::test]
async fn a_holder_who_lost_the_lease_brings_a_success_but_passes_no_verdict() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    let (first_attempt, second_attempt) = (attempt(), attempt());
    let first = claim(&store, &id, now()).await;
    assert_eq!(store.mark_sending(&first, &first_attempt, now(), LEASE).await.unwrap(), Gate::Open);
    let second = claim(&store, &id, after(120)).await;
    assert_eq!(store.mark_sending(&second, &second_attempt, after(121), LEASE).await.unwrap(), Gate::Open);
    let verdict = store.commit_verdict(&first, dead(&first, &first_attempt), after(122)).await.unwrap();
    assert!(matches!(verdict, VerdictCommitted::FenceLost));
    let committed = store.commit_success(&first.source(), success(&first_attempt, "two"), after(122)).await.unwrap();
    assert!(matches!(committed, Committed::Stored { .. }));
    assert!(
        matches!(store.claim(&id, after(123), LEASE).await.unwrap(), Claim::Busy { .. }),
        "the other one still holds his lease"
    );
    let verdict = store.commit_verdict(&second, dead(&second, &second_attempt), after(123)).await.unwrap();
    assert!(matches!(verdict, VerdictCommitted::GrantChanged), "what he was told is about the old token");
    let seen = record(&store, &id).await;
    assert_eq!(seen.connection.life.status, Status::Connected);
    assert_eq!(access(&store, &seen), "access-token-two");
    let third = claim(&store, &id, after(124)).await;
    assert_eq!(third.open_intent, None, "the new grant was never sent");
}

#[tokio::test]
async fn an_answer_that_lost_the_race_is_kept_as_a_spare() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    let from = RefreshedFrom::journalled(id.clone(), 1);
    let (winner, loser) = (attempt(), attempt());
    store.commit_success(&from, success(&winner, "two"), after(1)).await.unwrap();
    let committed = store.commit_success(&from, success(&loser, "late"), after(2)).await.unwrap();
    let Committed::Superseded { record } = committed else { panic!("{committed:?}") };
    assert_eq!(access(&store, &record), "access-token-two");
    let spares = store.spares(&id).await.unwrap();
    assert_eq!(spares[0].grant.refresh_token.as_ref().unwrap().expose(), "refresh-token-late");
    assert_eq!(claim(&store, &id, after(3)).await.spares, 1);
    assert!(store.drop_spare(&spares[0].id).await.unwrap());
    assert!(store.spares(&id).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_import_during_a_refresh_wins() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    let leased = claim(&store, &id, now()).await;
    let attempt = attempt();
    assert_eq!(store.mark_sending(&leased, &attempt, now(), LEASE).await.unwrap(), Gate::Open);
    let placed = store.create_or_replace(new_grant("user-1", "imported"), fresh, after(1)).await.unwrap();
    assert!(matches!(&placed, Placed::Replaced(record) if record.connection.id == id));
    assert_eq!(store.mark_sending(&leased, &attempt, after(2), LEASE).await.unwrap(), Gate::GrantChanged);
    let committed = store.commit_success(&leased.source(), success(&attempt, "older"), after(2)).await.unwrap();
    assert!(matches!(committed, Committed::Superseded { .. }));
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-imported");
}

#[tokio::test]
async fn a_commit_that_had_happened_is_answered_as_such_when_it_is_repeated() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    let leased = claim(&store, &id, now()).await;
    let first = attempt();
    for _ in 0..3 {
        let committed = store.commit_success(&leased.source(), success(&first, "two"), after(1)).await.unwrap();
        let Committed::Stored { grant, record } = committed else { panic!("{committed:?}") };
        assert_eq!(grant.access_token.as_ref().unwrap().expose(), "access-token-two");
        assert_eq!(record.connection.life.generation(), 2);
    }
    assert!(store.spares(&id).await.unwrap().is_empty());
    let (leased, second) = (claim(&store, &id, after(2)).await, attempt());
    for _ in 0..3 {
        let stored = store.commit_verdict(&leased, dead(&leased, &second), after(3)).await.unwrap();
        let VerdictCommitted::Stored(record) = stored else { panic!("{stored:?}") };
        assert_eq!(record.connection.version, 3);
    }
}

#[tokio::test]
async fn a_released_connection_is_due_when_its_holder_said() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    let leased = claim(&store, &id, now()).await;
    store.release(leased, Some(after(77))).await.unwrap();
    assert_eq!(store.next_due(now(), &[]).await.unwrap(), Some(after(77)));
    assert_eq!(store.next_due(now(), &[name("strava")]).await.unwrap(), None);
    assert_eq!(store.oldest_due(after(76)).await.unwrap(), None);
    assert_eq!(store.oldest_due(after(78)).await.unwrap(), Some(after(77)));
    assert!(store.claim_due(after(78), LEASE, 10, &[name("strava")]).await.unwrap().is_empty());
    assert_eq!(store.claim_due(after(78), LEASE, 10, &[]).await.unwrap().len(), 1);
    assert_eq!(store.next_due(after(79), &[]).await.unwrap(), None, "somebody is at it");
    assert_eq!(store.oldest_due(after(79)).await.unwrap(), Some(after(77)), "and still it is late");
}

#[tokio::test]
async fn what_is_due_is_taken_in_the_order_of_its_end() {
    let home = Home::new();
    let store = home.with_strava().await;
    let mut ids = Vec::new();
    for (subject, ends) in [("late", 500), ("first", 100), ("middle", 300)] {
        let decide = move |_: Option<&_>, _| {
            let mut decided = due_at(after(10));
            decided.life.grant.as_mut().unwrap().expiry = evergrant_core::lifetime::Expiry::At { at: after(ends) };
            decided
        };
        let placed = store.create_or_replace(new_grant(subject, subject), decide, now()).await.unwrap();
        let Placed::Created(record) = placed else { panic!("{placed:?}") };
        ids.push((ends, record.connection.id.clone()));
    }
    ids.sort();
    let leased = store.claim_due(after(10), LEASE, 2, &[]).await.unwrap();
    let taken: Vec<_> = leased.iter().map(|leased| leased.connection.id.clone()).collect();
    assert_eq!(taken, [ids[0].1.clone(), ids[1].1.clone()]);
    let rest = store.claim_due(after(10), LEASE, 2, &[]).await.unwrap();
    assert_eq!(rest[0].connection.id, ids[2].1);
}

#[tokio::test]
async fn a_refresh_is_forced_once_in_an_interval() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "user-1", "one").await;
    assert_eq!(store.force(&id, now(), LEASE).await.unwrap(), Forced::Yes);
    assert_eq!(store.force(&id, after(119), LEASE).await.unwrap(), Forced::NotBefore(after(120)));
    assert_eq!(record(&store, &id).await.connection.life.last_forced_at, Some(now()));
    assert_eq!(store.force(&id, after(120), LEASE).await.unwrap(), Forced::Yes);
}
