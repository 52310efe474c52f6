//! Where a grant goes: whose account it is, and which connection has it.

use evergrant_store::{ConnectionFilter, Decided, Ended, Placed, Target};

use super::support::*;

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

    let over = store.disconnect(&first.connection.id, ended(true), None, now()).await.unwrap();
    let Ended::Now(over) = over else { panic!("{over:?}") };
    assert_eq!(over.grant.unwrap().refresh_token.as_ref().unwrap().expose(), "refresh-token-three");
    assert!(store.open_grant(&over.record).unwrap().is_none());
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

#[tokio::test]
async fn an_answer_for_a_connection_that_was_ended_meanwhile_is_revoked_and_not_stored() {
    use evergrant_store::refresh::{Claim, Committed, Gate};
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "ann", "one").await;
    let leased = claim(&store, &id, now()).await;
    let (first, second) = (attempt(), attempt());
    assert_eq!(store.mark_sending(&leased, &first, now(), LEASE).await.unwrap(), Gate::Open);
    store.disconnect(&id, ended(false), None, after(1)).await.unwrap();
    let committed = store.commit_success(&leased.source(), success(&first, "two"), after(2)).await.unwrap();
    assert!(matches!(committed, Committed::Disconnected));
    assert!(matches!(store.claim(&id, after(2), LEASE).await.unwrap(), Claim::Gone));
    assert_eq!(store.next_revocation().await.unwrap(), Some(after(2)));
    let told = store.claim_revocations(after(2), LEASE, 9).await.unwrap();
    assert_eq!(told[0].grant.refresh_token.as_ref().unwrap().expose(), "refresh-token-two");
    assert!(store.revocation_retry(&told[0].id, after(99)).await.unwrap());
    assert!(store.claim_revocations(after(98), LEASE, 9).await.unwrap().is_empty());
    assert_eq!(store.claim_revocations(after(99), LEASE, 9).await.unwrap()[0].tries, 1);

    let revived = store.create_or_replace(new_grant("ann", "back"), fresh, after(3)).await.unwrap();
    let Placed::Replaced(record) = revived else { panic!("{revived:?}") };
    assert_eq!((&record.connection.id, record.connection.life.generation()), (&id, 3));
    let late = store.commit_success(&leased.source(), success(&second, "late"), after(4)).await.unwrap();
    assert!(matches!(late, Committed::Superseded { .. }));
    assert_eq!(access(&store, &crate::support::record(&store, &id).await), "access-token-back");
    store.erase_subject(&"ann".parse().unwrap(), |_, _| false, None, after(5)).await.unwrap();
    let gone = store.commit_success(&leased.source(), success(&attempt(), "later"), after(6)).await.unwrap();
    assert!(matches!(gone, Committed::Disconnected));
}

#[tokio::test]
async fn without_an_account_the_subject_is_the_key_and_a_learned_account_keeps_the_id() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "ann", "one").await;
    assert_eq!(import(&store, "ann", "two").await, id);
    assert_ne!(import(&store, "bob", "three").await, id);
    let known = store.create_or_replace(of_account("ann", "four", "athlete-1"), fresh, now()).await.unwrap();
    let Placed::Replaced(known) = known else { panic!("{known:?}") };
    assert_eq!((&known.connection.id, known.connection.account.as_ref()), (&id, Some(&account("athlete-1"))));
    assert_eq!(import(&store, "ann", "five").await, id, "the subject has but one");
    let other = store.create_or_replace(of_account("ann", "six", "athlete-2"), fresh, now()).await.unwrap();
    assert!(matches!(other, Placed::Created(_)), "a second account of the same subject");
    assert_eq!(store.connections_by_subject(&name("strava"), &"ann".parse().unwrap()).await.unwrap().len(), 2);
    let from = evergrant_store::refresh::RefreshedFrom::journalled(id, 3);
    let mut commit = success(&attempt(), "seven");
    commit.account = Some(account("athlete-2"));
    let committed = store.commit_success(&from, commit, now()).await.unwrap();
    let evergrant_store::refresh::Committed::Superseded { .. } = committed else { panic!("{committed:?}") };
}

#[tokio::test]
async fn an_ended_connection_is_not_revived_with_an_account_that_is_somebody_elses_by_now() {
    let home = Home::new();
    let store = home.with_strava().await;
    let placed = store.create_or_replace(of_account("ann", "one", "athlete-1"), fresh, now()).await.unwrap();
    let Placed::Created(anns) = placed else { panic!("{placed:?}") };
    store.disconnect(&anns.connection.id, ended(false), None, after(1)).await.unwrap();
    let placed = store.create_or_replace(of_account("bob", "two", "athlete-1"), fresh, after(2)).await.unwrap();
    let Placed::Created(bobs) = placed else { panic!("{placed:?}") };
    // It names no account, and would be Ann's only connection: with the account that is Bob's.
    let placed = store.create_or_replace(new_grant("ann", "three"), fresh, after(3)).await.unwrap();
    let Placed::AccountTaken { connection } = placed else { panic!("{placed:?}") };
    assert_eq!(connection, bobs.connection.id);
    assert_eq!(record(&store, &anns.connection.id).await.connection.life.status.word(), "disconnected");
}

#[tokio::test]
async fn a_revocation_that_somebody_has_hides_no_later_one() {
    let home = Home::new();
    let store = home.with_strava().await;
    let (first, second) = (import(&store, "ann", "one").await, import(&store, "bob", "two").await);
    let begun = claim(&store, &second, now()).await;
    store.mark_sending(&begun, &attempt(), now(), LEASE).await.unwrap();
    // Whoever ends it tries first, for a minute.
    store.disconnect(&first, ended(true), None, after(1)).await.unwrap();
    assert_eq!(store.next_revocation().await.unwrap(), Some(after(61)));
    store.disconnect(&second, ended(false), None, after(2)).await.unwrap();
    store.commit_success(&begun.source(), success(&attempt(), "late"), after(3)).await.unwrap();
    assert_eq!(store.next_revocation().await.unwrap(), Some(after(3)));
}

#[tokio::test]
async fn shared_accounts_may_belong_to_several_subjects() {
    let home = Home::new();
    let store = home.open();
    let mut shared = integration("strava");
    shared.shared_accounts = true;
    store.add_integration(shared, evergrant_store::Report::default()).await.unwrap();
    for subject in ["ann", "bob"] {
        let placed = store.create_or_replace(of_account(subject, subject, "athlete-1"), fresh, now()).await.unwrap();
        assert!(matches!(placed, Placed::Created(_)));
    }
    let mut elsewhere = new_grant("ann", "x");
    elsewhere.integration = name("none");
    assert!(matches!(store.create_or_replace(elsewhere, fresh, now()).await.unwrap(), Placed::NoIntegration));
}
