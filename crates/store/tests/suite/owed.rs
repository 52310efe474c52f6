//! Calls that are owed to a connection, and the further pairs of a grant: kept whole, in one transaction with what made them.

use std::time::Duration;

use evergrant_core::connection::Account;
use evergrant_store::connect::Further;
use evergrant_store::{NewEvent, NewGrantFor, Placed, Settled};
use serde_json::{Map, json};

use super::connecting::session;
use super::support::*;

const LEASE: Duration = Duration::from_secs(60);

fn owing(mark: &str, calls: &[&str]) -> NewGrantFor {
    let calls = calls.iter().map(|call| (*call).to_owned()).collect();
    NewGrantFor { account: Some(account("athlete")), owed: Some((calls, after(60))), ..new_grant("ann", mark) }
}

#[tokio::test]
async fn what_is_owed_is_taken_when_it_is_due_and_ends_with_its_facts() {
    let home = Home::new();
    let store = home.with_strava().await;
    let placed = store.create_or_replace(owing("a", &["GET x", "POST y"]), fresh, now()).await.unwrap();
    let Placed::Created(record) = placed else { panic!("{placed:?}") };
    let id = &record.connection.id;
    assert!(store.claim_owed(after(59), LEASE, 8).await.unwrap().is_empty(), "not yet");
    store.close().await;

    let store = home.open();
    let [owed] = <[_; 1]>::try_from(store.claim_owed(after(60), LEASE, 8).await.unwrap()).unwrap();
    assert_eq!(
        (&owed.connection, owed.calls.as_slice(), owed.tries),
        (id, ["GET x", "POST y"].map(str::to_owned).as_slice(), 0)
    );
    assert!(store.claim_owed(after(61), LEASE, 8).await.unwrap().is_empty(), "somebody has it");
    let facts = Map::from_iter([("dc".to_owned(), json!("us7"))]);
    let part = Settled { facts, again: Some((vec!["POST y".to_owned()], after(300))), events: Vec::new() };
    assert!(store.owed_settled(&owed, part, after(62)).await.unwrap());
    let [owed] = <[_; 1]>::try_from(store.claim_owed(after(300), LEASE, 8).await.unwrap()).unwrap();
    assert_eq!((owed.calls.as_slice(), owed.tries), (["POST y".to_owned()].as_slice(), 1));
    let done = Settled { events: vec![NewEvent::new("connection.after_grant")], ..Settled::default() };
    assert!(store.owed_settled(&owed, done, after(301)).await.unwrap());
    assert!(!store.owed_settled(&owed, Settled::default(), after(302)).await.unwrap(), "it is over");
    let record = store.token_record(id, true).await.unwrap().unwrap();
    assert_eq!(record.connection.provider_data, Map::from_iter([("dc".to_owned(), json!("us7"))]));
}

#[tokio::test]
async fn a_new_consent_takes_the_place_of_what_was_owed_and_an_import_does_not() {
    let home = Home::new();
    let store = home.with_strava().await;
    store.create_or_replace(owing("a", &["GET x"]), fresh, now()).await.unwrap();
    let import = NewGrantFor { owed: None, ..owing("b", &[]) };
    store.create_or_replace(import, fresh, after(1)).await.unwrap();
    let [owed] = <[_; 1]>::try_from(store.claim_owed(after(60), LEASE, 8).await.unwrap()).unwrap();
    // While it is asked, the person agrees anew: what the old token told is not kept.
    store.create_or_replace(owing("c", &[]), fresh, after(61)).await.unwrap();
    let facts = Map::from_iter([("dc".to_owned(), json!("old"))]);
    assert!(!store.owed_settled(&owed, Settled { facts, ..Settled::default() }, after(62)).await.unwrap());
    assert!(store.claim_owed(after(9999), LEASE, 8).await.unwrap().is_empty());
    let record = store.token_record(&owed.connection, true).await.unwrap().unwrap();
    assert!(record.connection.provider_data.is_empty());
}

fn of_kind(mark: &str, kind: &str, of: &str) -> NewGrantFor {
    let account = Account { kind: Some(kind.to_owned()), ..account(of) };
    NewGrantFor { account: Some(account), ..new_grant("ann", mark) }
}

#[tokio::test]
async fn two_pairs_survive_a_restart_and_are_placed_together_or_not_at_all() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = session(&store).await;
    let grants = (grant("bot"), vec![grant("user")]);
    store.put_pending(&id, &attempt(), grants, "facts".to_owned(), now()).await.unwrap().unwrap();
    store.close().await;

    let store = home.open();
    let pending = store.pending_grants().await.unwrap().pop().unwrap();
    assert_eq!(pending.also.len(), 1);
    assert_eq!(pending.also[0].refresh_token.as_ref().unwrap().expose(), "refresh-token-user");
    // The second belongs to somebody else: then the first is not placed either.
    let taken = NewGrantFor { subject: "bob".parse().unwrap(), ..of_kind("bobs", "user", "person") };
    let Placed::Created(bobs) = store.create_or_replace(taken, fresh, now()).await.unwrap() else { panic!("bob's") };
    let further = || -> Vec<Further> { vec![(of_kind("user", "user", "person"), Box::new(fresh))] };
    let first = || (of_kind("bot", "bot", "team"), fresh);
    let refused = store.promote(&pending, first(), further(), |_| String::new(), after(1)).await.unwrap();
    assert!(matches!(refused, Placed::AccountTaken { connection } if connection == bobs.connection.id));
    assert_eq!(store.connections_by_subject(&name("strava"), &"ann".parse().unwrap()).await.unwrap().len(), 0);
    assert_eq!(store.pending_grants().await.unwrap().len(), 1, "both are still there");
    let further: Vec<Further> = vec![(of_kind("user", "user", "other"), Box::new(fresh))];
    let placed = store.promote(&pending, first(), further, |_| "done".to_owned(), after(2)).await.unwrap();
    let Placed::Created(record) = placed else { panic!("{placed:?}") };
    assert_eq!(record.connection.account.as_ref().unwrap().kind.as_deref(), Some("bot"));
    assert_eq!(store.connections_by_subject(&name("strava"), &"ann".parse().unwrap()).await.unwrap().len(), 2);
    assert!(store.pending_grants().await.unwrap().is_empty());
}
