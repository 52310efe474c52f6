//! Where a grant goes: whose account it is, and which connection has it.

use evergrant_core::connection::{DisconnectReason, Life, Status};
use evergrant_store::{ConnectionFilter, Decided, Ended, Ending, Placed, Target};

use crate::support::*;

fn of_account(subject: &str, mark: &str, id: &str) -> evergrant_store::NewGrantFor {
    evergrant_store::NewGrantFor { account: Some(account(id)), ..new_grant(subject, mark) }
}

#[tokio::test]
async fn an_account_belongs_to_one_subject_until_that_one_disconnects() {
    let home = Home::new();
    let store = home.with_strava().await;
    let first = store.create_or_replace(of_account("ann", "one", "athlete-1"), fresh, now()).await.unwrap();
    let Placed::Created(first) = first else { panic!("{first:?}") };
    let taken = store.create_or_replace(of_account("bob", "two", "athlete-1"), fresh, now()).await.unwrap();
    assert!(matches!(&taken, Placed::AccountTaken { connection } if *connection == first.connection.id));
    let again = store.create_or_replace(of_account("ann", "three", "athlete-1"), fresh, now()).await.unwrap();
    let Placed::Replaced(again) = again else { panic!("{again:?}") };
    assert_eq!((&again.connection.id, again.connection.life.generation()), (&first.connection.id, 2));

    let over = |connection: &evergrant_core::connection::Connection, others: u64| {
        assert_eq!(others, 0);
        let status = Status::Disconnected { reason: DisconnectReason::Application, since: now() };
        let life = Life { status, grant: None, ..connection.life.clone() };
        Ending { life, revoke: true, notices: Vec::new(), events: Vec::new() }
    };
    let ended = store.disconnect(&first.connection.id, over, None, now()).await.unwrap();
    let Ended::Now(ended) = ended else { panic!("{ended:?}") };
    assert_eq!(ended.grant.unwrap().refresh_token.as_ref().unwrap().expose(), "refresh-token-three");
    assert!(store.open_grant(&ended.record).unwrap().is_none());
    assert!(store.claim_revocations(after(59), LEASE, 10).await.unwrap().is_empty(), "the caller tries first");
    let revocation = store.claim_revocations(after(60), LEASE, 10).await.unwrap().pop().unwrap();
    assert_eq!(revocation.grant.access_token.as_ref().unwrap().expose(), "access-token-three");
    assert!(store.revocation_done(&revocation.id).await.unwrap());

    let moved = store.create_or_replace(of_account("bob", "four", "athlete-1"), fresh, now()).await.unwrap();
    assert!(matches!(moved, Placed::Created(_)));
    let late = store.create_or_replace(of_account("ann", "five", "athlete-1"), fresh, now()).await.unwrap();
    assert!(matches!(late, Placed::AccountTaken { .. }));
}

#[tokio::test]
async fn a_reconnect_keeps_its_id_and_takes_its_own_account_only() {
    let home = Home::new();
    let store = home.with_strava().await;
    let placed = store.create_or_replace(of_account("ann", "one", "athlete-1"), fresh, now()).await.unwrap();
    let Placed::Created(record) = placed else { panic!("{placed:?}") };
    let id = record.connection.id.clone();
    let mut reconnect = of_account("ann", "two", "athlete-2");
    reconnect.target = Target::Connection(id.clone());
    assert!(matches!(store.create_or_replace(reconnect, fresh, now()).await.unwrap(), Placed::OtherAccount));
    assert_eq!(access(&store, &crate::support::record(&store, &id).await), "access-token-one");
    let mut reconnect = of_account("ann", "two", "athlete-1");
    reconnect.target = Target::Connection(id.clone());
    reconnect.grant.refresh_token = None;
    let keeping = |_: Option<&_>, _| Decided { keep_refresh_token: true, ..due_at(after(5)) };
    let placed = store.create_or_replace(reconnect, keeping, now()).await.unwrap();
    let Placed::Replaced(record) = placed else { panic!("{placed:?}") };
    let grant = store.open_grant(&record).unwrap().unwrap();
    assert_eq!(grant.access_token.as_ref().unwrap().expose(), "access-token-two");
    assert_eq!(grant.refresh_token.as_ref().unwrap().expose(), "refresh-token-one");
}

#[tokio::test]
async fn a_list_is_walked_page_by_page_and_a_forged_cursor_shows_nothing_foreign() {
    let home = Home::new();
    let store = home.with_strava().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(import(&store, &format!("user-{number}"), "x").await);
    }
    ids.sort();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list_connections(ConnectionFilter::default(), |_| true, cursor, 3).await.unwrap();
        seen.extend(page.items.iter().map(|connection| connection.id.clone()));
        let Some(next) = page.next else { break };
        cursor = Some(next.to_string().parse().unwrap());
    }
    assert_eq!(seen, ids);
    let mine = ConnectionFilter { subject: Some("user-3".parse().unwrap()), ..ConnectionFilter::default() };
    let forged = base64_of(ids[0].as_str());
    let page = store.list_connections(mine, |_| true, Some(forged.parse().unwrap()), 50).await.unwrap();
    assert!(page.items.iter().all(|connection| connection.subject.as_str() == "user-3"));
    let nonsense = base64_of("' OR 1=1 --");
    let page = store.list_connections(ConnectionFilter::default(), |_| true, Some(nonsense.parse().unwrap()), 50);
    assert!(page.await.unwrap().items.is_empty());
    assert!("%%%".parse::<evergrant_store::Cursor>().is_err());
}
