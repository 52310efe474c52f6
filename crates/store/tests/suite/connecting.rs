//! The connect flow: what can be taken once is taken once.

use evergrant_core::id::ConnectSessionId;
use evergrant_store::connect::{Begun, LinksBar, NewAuthorization, NewSession, SessionState, TakenCode, TakenState};
use evergrant_store::{Placed, Store};

use super::support::*;

pub async fn session(store: &Store) -> ConnectSessionId {
    let id = ConnectSessionId::make(now(), random());
    let new = NewSession {
        id: id.clone(),
        link_hash: hash(id.as_str()),
        payload: b"payload".to_vec().into(),
        subject: Some("ann".parse().expect("a subject")),
        connection: None,
        expires_at: after(600),
    };
    store.create_session(new, None, now()).await.expect("it is made");
    id
}

fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    for (at, byte) in text.bytes().enumerate() {
        hash[at % 32] ^= byte.rotate_left(at as u32 / 32);
    }
    hash
}

fn authorization(session: &ConnectSessionId, state: &str) -> NewAuthorization {
    NewAuthorization {
        state_hash: hash(state),
        session: session.clone(),
        integration: name("strava"),
        cookie_hash: hash("cookie"),
        payload: b"verifier".to_vec().into(),
        expires_at: after(600),
    }
}

#[tokio::test]
async fn a_state_is_taken_once_however_many_callbacks_come_at_once() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = session(&store).await;
    assert_eq!(store.begin_authorization(authorization(&id, "state"), now()).await.unwrap(), Begun::Begun);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let store = store.clone();
        all.spawn(async move {
            store.take_state(&hash("state"), &hash("cookie"), &name("strava"), after(1)).await.unwrap()
        });
    }
    let taken = all.join_all().await;
    let mut won = taken.iter().filter_map(|taken| if let TakenState::Now(now) = taken { Some(now) } else { None });
    let winner = won.next().unwrap();
    assert_eq!((&winner.session, winner.payload.as_slice()), (&id, b"verifier".as_slice()));
    assert!(won.next().is_none());
    assert_eq!(taken.iter().filter(|taken| matches!(taken, TakenState::Before { .. })).count(), 99);
    assert!(store.set_state_result(&hash("state"), "done".to_owned()).await.unwrap());
    let again = store.take_state(&hash("state"), &hash("cookie"), &name("strava"), after(600)).await.unwrap();
    assert!(matches!(again, TakenState::Before { result: Some(result), .. } if result == "done"));
    let late = store.take_state(&hash("state"), &hash("cookie"), &name("strava"), after(601)).await.unwrap();
    assert!(matches!(late, TakenState::Unknown));
}

#[tokio::test]
async fn a_state_of_another_browser_or_another_integration_is_left_as_it_was() {
    let home = Home::new();
    let store = home.with_strava().await;
    store.add_integration(integration("google"), evergrant_store::Report::default()).await.unwrap();
    let id = session(&store).await;
    store.begin_authorization(authorization(&id, "state"), now()).await.unwrap();
    let take = |cookie: &'static str, at: &'static str| {
        let store = store.clone();
        async move { store.take_state(&hash("state"), &hash(cookie), &name(at), after(1)).await.unwrap() }
    };
    assert!(matches!(take("other", "strava").await, TakenState::Foreign));
    assert!(matches!(take("cookie", "google").await, TakenState::Foreign));
    let unknown = store.take_state(&hash("none"), &hash("cookie"), &name("strava"), after(1)).await.unwrap();
    assert!(matches!(unknown, TakenState::Unknown));
    assert!(matches!(take("cookie", "strava").await, TakenState::Now(_)));
    store.begin_authorization(authorization(&id, "second"), now()).await.unwrap();
    let late = store.take_state(&hash("second"), &hash("cookie"), &name("strava"), after(600)).await.unwrap();
    assert!(matches!(late, TakenState::Unknown), "it has ended");
}

#[tokio::test]
async fn a_session_that_is_over_begins_nothing() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = session(&store).await;
    let found = store.session_by_link(&hash(id.as_str())).await.unwrap().unwrap();
    assert_eq!((&found.id, found.payload.as_slice(), found.state), (&id, b"payload".as_slice(), SessionState::Open));
    let begin = |state: &'static str, at| store.begin_authorization(authorization(&id, state), at);
    assert_eq!(begin("late", after(600)).await.unwrap(), Begun::SessionOver);
    store.park_code(&id, hash("handle"), b"code".to_vec().into(), after(600)).await.unwrap();
    assert!(store.finish_session(&id, SessionState::Revoked, Some("denied".to_owned()), None, now()).await.unwrap());
    assert_eq!(begin("any", now()).await.unwrap(), Begun::SessionOver);
    assert!(!store.park_code(&id, hash("h2"), b"code".to_vec().into(), after(600)).await.unwrap());
    assert!(matches!(store.take_code(&hash("handle"), now()).await.unwrap(), TakenCode::Before { .. }));
    assert_eq!(store.session(&id).await.unwrap().unwrap().result.as_deref(), Some("denied"));
}

#[tokio::test]
async fn a_parked_code_is_taken_once_and_not_after_its_end() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = session(&store).await;
    store.park_code(&id, hash("handle"), b"code".to_vec().into(), after(60)).await.unwrap();
    assert!(matches!(store.take_code(&hash("other"), now()).await.unwrap(), TakenCode::Unknown));
    let TakenCode::Now(code) = store.take_code(&hash("handle"), after(59)).await.unwrap() else { panic!() };
    assert_eq!((&code.session, code.payload.as_slice()), (&id, b"code".as_slice()));
    assert!(matches!(store.take_code(&hash("handle"), after(59)).await.unwrap(), TakenCode::Before { .. }));
    store.park_code(&id, hash("second"), b"code".to_vec().into(), after(60)).await.unwrap();
    assert!(matches!(store.take_code(&hash("second"), after(60)).await.unwrap(), TakenCode::Late));
}

#[tokio::test]
async fn a_pending_grant_survives_a_restart_and_is_promoted_with_its_session() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = session(&store).await;
    let first = attempt();
    let pending =
        store.put_pending(&id, &first, (grant("new"), Vec::new()), "facts".to_owned(), now()).await.unwrap().unwrap();
    assert_eq!(pending.grant.access_token.as_ref().unwrap().expose(), "access-token-new");
    store.close().await;

    let store = home.open();
    let pending = store.pending_grants().await.unwrap().pop().unwrap();
    assert_eq!((&pending.session, &pending.attempt, pending.document.as_str()), (&id, &first, "facts"));
    let mut new = new_grant("ann", "new");
    new.grant = (*pending.grant).clone();
    let shown = |record: &std::sync::Arc<evergrant_store::TokenRecord>| record.connection.id.to_string();
    let placed = store.promote(&pending, (new.clone(), fresh), Vec::new(), shown, after(1)).await.unwrap();
    let Placed::Created(record) = placed else { panic!("{placed:?}") };
    assert_eq!(access(&store, &record), "access-token-new");
    let found = store.session(&id).await.unwrap().unwrap();
    assert_eq!((found.state, found.result.as_deref()), (SessionState::Spent, Some(record.connection.id.as_str())));
    assert!(store.pending_grants().await.unwrap().is_empty());
    let again = store.promote(&pending, (new, fresh), Vec::new(), shown, after(2)).await.unwrap();
    assert!(matches!(again, Placed::NotPending), "it is put in place once: {again:?}");
}

#[tokio::test]
async fn a_pending_grant_that_may_not_go_anywhere_is_discarded_and_revoked() {
    let home = Home::new();
    let store = home.with_strava().await;
    let mut taken = new_grant("bob", "bobs");
    taken.account = Some(account("athlete"));
    store.create_or_replace(taken, fresh, now()).await.unwrap();
    let id = session(&store).await;
    let pending =
        store.put_pending(&id, &attempt(), (grant("stray"), Vec::new()), String::new(), now()).await.unwrap().unwrap();
    let mut new = new_grant("ann", "stray");
    new.account = Some(account("athlete"));
    let placed = store.promote(&pending, (new, fresh), Vec::new(), |_| String::new(), now()).await.unwrap();
    assert_eq!(store.pending_grant(&id).await.unwrap().unwrap().attempt, pending.attempt);
    assert!(matches!(placed, Placed::AccountTaken { .. }));
    assert_eq!(store.pending_grants().await.unwrap().len(), 1, "it is still there");
    let result = Some("conflict".to_owned());
    let discarded = store.discard_pending(&id, &name("strava"), true, result, now()).await.unwrap().unwrap();
    assert_eq!(discarded.grant.refresh_token.as_ref().unwrap().expose(), "refresh-token-stray");
    assert!(store.revocation_done(&discarded.revocation.unwrap()).await.unwrap());
    assert!(store.pending_grants().await.unwrap().is_empty());
    assert!(store.discard_pending(&id, &name("strava"), true, None, now()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_links_of_a_connection_are_taken_back_and_those_of_others_are_not() {
    let home = Home::new();
    let store = home.with_strava().await;
    let connection = import(&store, "ann", "first").await;
    let other = session(&store).await;
    let id = ConnectSessionId::make(now(), random());
    let new = NewSession {
        id: id.clone(),
        link_hash: hash("link"),
        payload: b"payload".to_vec().into(),
        subject: Some("ann".parse().unwrap()),
        connection: Some(connection.clone()),
        expires_at: after(600),
    };
    store.create_session(new, None, now()).await.unwrap();
    assert!(store.park_code(&id, hash("handle"), b"code".to_vec().into(), after(600)).await.unwrap());
    let bar = || LinksBar {
        id: ConnectSessionId::make(now(), random()),
        hash: hash("bar"),
        connection: connection.clone(),
        subject: "ann".parse().unwrap(),
        until: after(7000),
    };
    for at in [1, 5] {
        store.revoke_links(bar(), None, after(at)).await.unwrap();
        let barred = store.session_by_link(&hash("bar")).await.unwrap().unwrap();
        assert_eq!((barred.created_at, barred.state), (after(at), SessionState::Revoked));
    }
    let states = async || {
        let state = async |id| store.session(id).await.unwrap().unwrap().state;
        (state(&id).await, state(&other).await)
    };
    assert_eq!(states().await, (SessionState::Revoked, SessionState::Open));
    assert!(!matches!(store.take_code(&hash("handle"), after(6)).await.unwrap(), TakenCode::Now(_)), "it was dropped");
    assert!(store.revoke_session(&other, None, after(6)).await.unwrap());
    assert!(!store.revoke_session(&other, None, after(6)).await.unwrap(), "once");
    assert_eq!(states().await.1, SessionState::Revoked);
}
