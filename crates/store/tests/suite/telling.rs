//! What is to be told: written with what it tells, in the order of each connection, taken by one and told under one id.

use std::time::Duration;

use evergrant_core::id::{SubjectId, WebhookId};
use evergrant_core::notice::NoticeKind;
use evergrant_core::secret::WebhookSecret;
use evergrant_core::telling::Contact;
use evergrant_core::time::Timestamp;
use evergrant_store::{
    Decided, DeliveryOutcome, DeliveryState, NewEvent, NoticeFilter, Placed, Redelivered, Report, SigningSecret, Store, WEBHOOK,
    Webhook,
};

use super::support::*;

const LEASE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(3600);

fn endpoint() -> Webhook {
    let secret = WebhookSecret::new("whsec_c2VjcmV0LW1hcmstb2YtdGhlLWVuZHBvaW50");
    Webhook {
        id: WebhookId::make(now(), random()),
        declared: false,
        url: "https://app.example/hook".to_owned(),
        description: None,
        kinds: Some(vec!["*".to_owned()]),
        integrations: None,
        secrets: vec![SigningSecret { secret, until: None }],
        version: 0,
        failing_since: None,
        disabled_at: None,
        disabled_why: None,
        created_at: now(),
        updated_at: now(),
    }
}

/// A store with an endpoint; placing a grant of a subject tells two things.
async fn told(home: &Home) -> (Store, Webhook) {
    let store = home.with_strava().await;
    let webhook = store.put_webhook(endpoint(), Report::default(), now()).await.expect("an endpoint can be stored");
    (store, webhook)
}

fn two() -> Decided {
    let events = ["connection.connected", "connection.recovered"].map(NewEvent::new).to_vec();
    Decided { events, ..due_at(after(3000)) }
}

async fn place(store: &Store, subject: &str) {
    let placed = store.create_or_replace(new_grant(subject, subject), |_, _| two(), now()).await;
    let placed = placed.expect("a grant can be placed");
    assert!(matches!(placed, Placed::Created(_) | Placed::Replaced(_)), "{placed:?}");
}

fn outcome(state: Result<DeliveryState, Timestamp>) -> DeliveryOutcome {
    DeliveryOutcome { state, tried: true, status: Some(500), detail: "said".to_owned(), gone: false }
}

#[tokio::test]
async fn what_is_about_one_connection_has_its_turn_after_what_was_before_it() {
    let home = Home::new();
    let (store, webhook) = told(&home).await;
    place(&store, "ann").await;
    place(&store, "bob").await;
    let target = webhook.id.as_str();
    let take = async |at: u64| store.claim_deliveries(WEBHOOK, target, after(at), LEASE, 8).await.unwrap();
    let first = take(0).await;
    let shown: Vec<(&str, Option<u64>)> =
        first.iter().map(|one| (one.kind.as_str(), one.document["sequence"].as_u64())).collect();
    assert_eq!(shown, [("connection.connected", Some(1)); 2], "{first:#?}");
    assert!(take(1).await.is_empty(), "somebody has them");
    // One was taken: its next has its turn. The other one is tried again, and its next waits on.
    store.delivery_ended(vec![first[0].seq], outcome(Ok(DeliveryState::Delivered)), PATIENCE, after(2)).await.unwrap();
    store.delivery_ended(vec![first[1].seq], outcome(Err(after(10))), PATIENCE, after(2)).await.unwrap();
    let second = take(3).await;
    let [next] = second.as_slice() else { panic!("{second:#?}") };
    assert_eq!((next.kind.as_str(), next.document["sequence"].as_u64()), ("connection.recovered", Some(2)));
    assert_eq!(next.connection, first[0].connection);
    store.close().await;

    // A process that died while it told: the next one tells the same under the same id.
    let store = home.open();
    let again = store.claim_deliveries(WEBHOOK, target, after(3), LEASE, 8).await.unwrap();
    assert_eq!(again.iter().map(|one| &one.message).collect::<Vec<_>>(), [&next.message]);
    let failed = store.claim_deliveries(WEBHOOK, target, after(10), LEASE, 8).await.unwrap();
    assert_eq!((failed[0].seq, failed[0].tries), (first[1].seq, 1));
}

#[tokio::test]
async fn an_endpoint_that_fails_for_long_is_disabled_and_what_failed_is_sent_again_in_its_order() {
    let home = Home::new();
    let (store, webhook) = told(&home).await;
    let other = store.put_webhook(endpoint(), Report::default(), now()).await.unwrap();
    place(&store, "ann").await;
    let target = webhook.id.as_str();
    for (at, disabled) in [(0, false), (3599, false), (3600, true)] {
        let [one] = <[_; 1]>::try_from(store.claim_deliveries(WEBHOOK, target, after(at), LEASE, 8).await.unwrap()).unwrap();
        store.delivery_ended(vec![one.seq], outcome(Err(after(at + 1))), PATIENCE, after(at)).await.unwrap();
        let seen = store.webhook(&webhook.id).await.unwrap().unwrap();
        assert_eq!(seen.disabled_at.is_some(), disabled, "{at}");
    }
    let page = store.deliveries(&webhook.id, Some(DeliveryState::Failed), None, 10).await.unwrap();
    assert_eq!(page.items.len(), 2);
    assert_eq!(store.redeliver(&webhook.id, None, after(4000)).await.unwrap(), Redelivered::NotEnabled);
    // The other endpoint hears of it.
    let heard = store.claim_deliveries(WEBHOOK, other.id.as_str(), after(4000), LEASE, 8).await.unwrap();
    assert!(heard.iter().any(|one| one.kind == "webhook.disabled"), "{heard:#?}");
    let enabled = Webhook { disabled_at: None, failing_since: None, ..webhook.clone() };
    store.put_webhook(enabled, Report::default(), after(4000)).await.unwrap();
    assert_eq!(store.redeliver(&webhook.id, None, after(4001)).await.unwrap(), Redelivered::Some(2));
    let first = store.claim_deliveries(WEBHOOK, target, after(4001), LEASE, 8).await.unwrap();
    assert_eq!(first.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["connection.connected"]);
    let one = store.redeliver(&webhook.id, Some(page.items[0].id.clone()), after(4002)).await.unwrap();
    assert_eq!(one, Redelivered::Some(0), "it is on its way already");
}

#[tokio::test]
async fn secrets_are_sealed_and_a_person_who_is_forgotten_is_told_nothing_more() {
    let home = Home::new();
    let (store, webhook) = told(&home).await;
    place(&store, "ann").await;
    let subject = "ann".parse().unwrap();
    let contact = Contact { email: Some("ann@mail.example".to_owned()), ..Contact::default() };
    store.put_contact(&subject, &contact, now()).await.unwrap();
    store.mailed(&subject, after(5)).await.unwrap();
    store.mailed(&subject, after(6)).await.unwrap();
    let reach = store.reach(&subject).await.unwrap();
    assert_eq!((reach.contact.email.as_deref(), reach.mails), (Some("ann@mail.example"), 2));
    assert_eq!(reach.mail_not_before(Duration::from_secs(600), 5, after(7)), Some(after(606)));
    assert_eq!(reach.mail_not_before(Duration::from_secs(600), 2, after(7)), Some(after(86_405)));
    assert_eq!(store.webhook(&webhook.id).await.unwrap().unwrap().secrets, webhook.secrets);
    store.erase_subject(&subject, |_, _| false, None, after(7)).await.unwrap();
    assert_eq!(store.reach(&subject).await.unwrap(), Default::default());
    assert!(store.deliveries(&webhook.id, None, None, 10).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_renewal_is_a_notice_for_those_alone_who_want_it() {
    let home = Home::new();
    let store = home.with_strava().await;
    for (subject, wanted, notices) in [
        ("ann", serde_json::json!({ "refreshed": { "in_app": true } }), 1),
        ("bob", serde_json::json!({ "refreshed": { "in_app": false }, "warning": { "email": true } }), 0),
        ("cid", serde_json::json!({}), 0),
    ] {
        let id = import(&store, subject, "one").await;
        let subject: SubjectId = subject.parse().unwrap();
        store.put_preferences(&subject, wanted, now()).await.unwrap();
        let leased = claim(&store, &id, after(1)).await;
        store.commit_success(&leased.source(), success(&attempt(), "two"), after(1)).await.unwrap();
        let filter = NoticeFilter { subject: Some(subject.clone()), integrations: None, unread: false };
        let found = store.notices(filter, None, 10).await.unwrap().items;
        assert_eq!(found.len(), notices, "{subject}: {found:#?}");
        assert!(found.iter().all(|notice| notice.kind == NoticeKind::Refreshed), "{found:#?}");
    }
}

#[tokio::test]
async fn those_that_have_been_due_for_longest_come_first_and_those_that_are_not_due_never() {
    let home = Home::new();
    let store = home.with_strava().await;
    let mut ids = Vec::new();
    for (subject, due) in [("ann", 300), ("bob", 100), ("cid", 200), ("dan", 900)] {
        let placed = store.create_or_replace(new_grant(subject, subject), move |_, _| due_at(after(due)), now()).await;
        match placed.unwrap() {
            Placed::Created(record) | Placed::Replaced(record) => ids.push(record.connection.id.clone()),
            refused => panic!("{refused:?}"),
        }
    }
    let due = async |at: u64, limit: usize| {
        let found = store.longest_due(&name("strava"), after(at), limit).await.unwrap();
        found.into_iter().map(|connection| connection.id).collect::<Vec<_>>()
    };
    assert_eq!(due(300, 10).await, [ids[1].clone(), ids[2].clone(), ids[0].clone()]);
    assert_eq!(due(299, 1).await, [ids[1].clone()]);
    assert!(due(99, 10).await.is_empty());
    assert!(store.longest_due(&name("other"), after(999), 10).await.unwrap().is_empty());
}
