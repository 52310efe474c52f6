//! What is told and written down: notices, events, audit, idempotent answers, jobs, erasure.

use evergrant_core::id::JobId;
use evergrant_core::integration::Health;
use evergrant_core::notice::NoticeKind;
use evergrant_store::refresh::VerdictCommit;
use evergrant_store::{
    AuditCheck, AuditReads, EventFilter, Idempotent, JobState, NewAudit, NewEvent, NewNotice, NoticeFilter,
    OpenOptions, Report, Retention, Store, TokenRead,
};
use serde_json::json;

use super::support::*;

fn of(subject: &str) -> NoticeFilter {
    NoticeFilter { subject: Some(subject.parse().expect("a subject")), integrations: None, unread: false }
}

#[tokio::test]
async fn a_notice_is_told_once_in_its_episode_to_whom_it_is_for() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "ann", "one").await;
    for (at, episode) in [(1, 0), (2, 0), (3, 100)] {
        let leased = claim(&store, &id, after(at)).await;
        let verdict = VerdictCommit {
            outcome: None,
            life: leased.connection.life.clone(),
            next_at: Some(after(3000)),
            notices: vec![
                NewNotice::new(NoticeKind::Warning, after(episode)),
                NewNotice::new(NoticeKind::OperatorAlert, after(episode)),
            ],
            events: Vec::new(),
        };
        store.commit_verdict(&leased, verdict, after(at)).await.unwrap();
    }
    let page = store.notices(of("ann"), None, 50).await.unwrap();
    assert_eq!(page.items.len(), 2, "one for each episode");
    assert!(page.items.iter().all(|notice| notice.kind == NoticeKind::Warning));
    assert_eq!(page.items[0].at, after(3), "newest first");
    let operators = NoticeFilter { subject: None, integrations: None, unread: true };
    assert_eq!(store.notices(operators, None, 50).await.unwrap().items.len(), 2);
    let one = &page.items[0];
    assert!(store.mark_notice_read(Some(&"bob".parse().unwrap()), &one.id, after(9)).await.unwrap().is_none());
    let read = store.mark_notice_read(one.subject.as_ref(), &one.id, after(9)).await.unwrap().unwrap();
    assert_eq!(read.read_at, Some(after(9)));
    let unread = NoticeFilter { unread: true, ..of("ann") };
    assert_eq!(store.notices(unread, None, 50).await.unwrap().items.len(), 1);
    let first = store.notices(of("ann"), None, 1).await.unwrap();
    let second = store.notices(of("ann"), first.next, 1).await.unwrap();
    assert_eq!((second.items[0].at, second.next), (after(1), None));
}

#[tokio::test]
async fn events_are_told_live_after_their_commit_and_read_back_in_order() {
    let home = Home::new();
    let store = home.with_strava().await;
    let mut live = store.follow_events();
    let id = import(&store, "ann", "one").await;
    import(&store, "bob", "two").await;
    let told = live.recv().await.unwrap();
    assert_eq!((told.kind.as_str(), told.connection.as_ref()), ("connection.connected", Some(&id)));
    assert_eq!(store.event_seq(&told.id).await.unwrap(), Some(told.seq));
    let later = store.events_after(EventFilter::default(), told.seq, 10).await.unwrap();
    assert_eq!(later.len(), 1);
    assert_eq!(*live.recv().await.unwrap(), later[0]);
    let page = store.events(EventFilter::default(), None, 1).await.unwrap();
    assert_eq!(page.items[0], later[0], "newest first");
    let page = store.events(EventFilter::default(), page.next, 1).await.unwrap();
    assert_eq!((&page.items[0], page.next), (told.as_ref(), None));
    let foreign = EventFilter { integrations: Some([name("google")].into()), ..EventFilter::default() };
    assert!(!foreign.fits(&told));
    assert!(store.events(foreign, None, 10).await.unwrap().items.is_empty());
    assert!(
        store
            .events_after(EventFilter { integrations: Some([].into()), ..EventFilter::default() }, 0, 9)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn who_hears_an_event_finds_in_memory_what_it_says() {
    let home = Home::new();
    let store = home.with_strava().await;
    let (mut live, listener) = (store.follow_events(), store.clone());
    let bad = |at| Health::Misconfigured { since: after(at), detail: String::new(), next_probe: None };
    // A thread of its own, which looks at the very moment. What is in memory may be later than the event, never earlier.
    let heard = std::thread::spawn(move || {
        (0..200).all(|_| {
            let event = live.blocking_recv().expect("an event");
            let Health::Misconfigured { since, .. } = listener.integration(&name("strava")).expect("it is there").health
            else {
                return false;
            };
            since >= event.at
        })
    });
    let mut from = Health::Ok;
    for at in 0..200 {
        let said = Report { events: vec![NewEvent::new("integration.misconfigured")], ..Report::default() };
        assert!(store.change_health(&name("strava"), &from, bad(at), said, after(at)).await.unwrap());
        from = bad(at);
    }
    assert!(heard.join().unwrap(), "an event was told before its integration was in memory");
}

#[tokio::test]
async fn an_audit_log_that_was_changed_is_found_out() {
    let home = Home::new();
    let store = home.open();
    for number in 0..5 {
        let line = NewAudit::new("operator", "key.created", format!("key_{number}")).with("n", number);
        store.note(None, Report::audited(line).event(NewEvent::new("key.created")), after(number)).await.unwrap();
    }
    let AuditCheck::Whole { lines: 5, head } = store.check_audit().await.unwrap() else { panic!() };
    let page = store.audit(None, 2).await.unwrap();
    assert_eq!((page.items[0].sequence, &page.items[0].hash), (5, &head));
    let page = store.audit(page.next, 50).await.unwrap();
    assert_eq!(page.items.iter().map(|line| line.sequence).collect::<Vec<_>>(), [3, 2, 1]);
    home.alter("UPDATE audit SET actor = 'nobody' WHERE sequence = 3");
    assert_eq!(store.check_audit().await.unwrap(), AuditCheck::Broken { sequence: 3 });
    home.alter("DELETE FROM audit WHERE sequence = 3");
    assert_eq!(store.check_audit().await.unwrap(), AuditCheck::Broken { sequence: 4 });
}

fn token_read(number: u64) -> TokenRead {
    TokenRead {
        at: after(number),
        actor: "key:1".to_owned(),
        connection: "con_00000000000000000000000000".parse().expect("an id"),
        token_id: "0a1b2c3d".to_owned(),
        request_id: format!("req-{number}"),
    }
}

#[tokio::test]
async fn token_reads_are_chained_over_restarts_and_torn_lines() {
    let home = Home::new();
    let reads = home.folder.path().join("reads").join("reads-000001.log");
    for (round, mode) in [(0, AuditReads::Batched), (1, AuditReads::Strict), (2, AuditReads::Off)] {
        let options = OpenOptions { audit_reads: mode, ..home.options() };
        let store = Store::open(&options, entropy(), now()).unwrap();
        for number in 0..10 {
            store.log_read(&token_read(10 * round + number)).await.unwrap();
        }
        store.clean_up(Retention::default(), after(100)).await.unwrap();
        store.close().await;
        let mut torn = std::fs::read(&reads).unwrap();
        torn.extend_from_slice(b"{\"line\":99,\"by");
        std::fs::write(&reads, torn).unwrap();
    }
    let store = home.open();
    let check = store.check_reads().await.unwrap();
    assert!(matches!(check, AuditCheck::Whole { lines: 20, .. }), "{check:?}");
    let text = std::fs::read_to_string(&reads).unwrap();
    let changed = text.replacen("req-3", "req-x", 1);
    std::fs::write(&reads, &changed).unwrap();
    assert_eq!(store.check_reads().await.unwrap(), AuditCheck::Broken { sequence: 4 });
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&reads, lines[..15].join("\n") + "\n").unwrap();
    assert_eq!(store.check_reads().await.unwrap(), AuditCheck::Broken { sequence: 16 }, "the end was cut off");
}

#[tokio::test]
async fn a_token_read_that_cannot_be_written_down_is_refused() {
    let home = Home::new();
    let store = home.open();
    store.close().await;
    let error = store.log_read(&token_read(1)).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer() {
    let home = Home::new();
    let store = home.open();
    let begin = |hash: u8, at| store.begin_idempotent("key:1", "abc", [hash; 32], at, after(100));
    assert_eq!(begin(1, now()).await.unwrap(), Idempotent::New);
    assert_eq!(begin(1, now()).await.unwrap(), Idempotent::UnderWay);
    assert_eq!(begin(2, now()).await.unwrap(), Idempotent::OtherRequest);
    store.finish_idempotent("key:1", "abc", b"answer".to_vec().into()).await.unwrap();
    assert_eq!(begin(1, after(99)).await.unwrap(), Idempotent::Replay(b"answer".to_vec().into()));
    assert_eq!(begin(2, after(100)).await.unwrap(), Idempotent::New, "the old one has ended");
    store.forget_idempotent("key:1", "abc").await.unwrap();
    assert_eq!(begin(3, after(1)).await.unwrap(), Idempotent::New);
    store.close().await;
    let store = home.open();
    let again = store.begin_idempotent("key:1", "abc", [3; 32], after(1), after(100)).await.unwrap();
    assert_eq!(again, Idempotent::New, "whoever was doing it is gone");
}

#[tokio::test]
async fn a_job_ends_once_and_is_interrupted_by_the_end_of_its_process() {
    let home = Home::new();
    let store = home.open();
    let (first, second) = (JobId::make(now(), random()), JobId::make(now(), random()));
    store.create_job(first.clone(), json!({"total": 2}), Report::default(), now()).await.unwrap();
    store.create_job(second.clone(), json!({}), Report::default(), now()).await.unwrap();
    assert!(store.update_job(&first, json!({"done": 1}), None).await.unwrap());
    assert!(store.update_job(&first, json!({"done": 2}), Some(after(1))).await.unwrap());
    assert!(!store.update_job(&first, json!({"done": 3}), None).await.unwrap());
    store.close().await;
    let store = home.open();
    let found = store.job(&first).await.unwrap().unwrap();
    assert_eq!((found.state, found.document), (JobState::Finished, json!({"done": 2})));
    assert_eq!(store.job(&second).await.unwrap().unwrap().state, JobState::Interrupted);
}

#[tokio::test]
async fn of_an_erased_person_nothing_is_left_in_any_file() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "ann-who-leaves", "one").await;
    let stays = import(&store, "bob-who-stays", "two").await;
    let entry = answer(&id, 1, "body");
    store.journal().append(&entry).await.unwrap();
    store
        .put_preferences(&"ann-who-leaves".parse().unwrap(), json!({"warning": {"email": false}}), now())
        .await
        .unwrap();
    let shows = |text: &str| home.shows(text);
    assert!(shows("ann-who-leaves"));
    let audit = NewAudit::new("operator", "subject.erased", store.fingerprint("ann-who-leaves"));
    let erased =
        store.erase_subject(&"ann-who-leaves".parse().unwrap(), |_, _| true, Some(audit), now()).await.unwrap();
    assert_eq!((erased.connections, erased.revocations.len()), (1, 1));
    assert_eq!(erased.revocations[0].grant.refresh_token.as_ref().unwrap().expose(), "refresh-token-one");
    assert!(!shows("ann-who-leaves"));
    assert!(shows("bob-who-stays"));
    assert!(store.journal().uncommitted().is_empty());
    assert!(store.journal().since(now()).unwrap().is_empty());
    assert_eq!(access(&store, &record(&store, &stays).await), "access-token-two");
    assert!(store.preferences(&"ann-who-leaves".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn numbers_are_counted_and_old_things_are_thrown_away_but_never_a_token() {
    let home = Home::new();
    let store = home.with_strava().await;
    let id = import(&store, "ann", "one").await;
    let leased = claim(&store, &id, now()).await;
    let first = attempt();
    store.mark_sending(&leased, &first, now(), LEASE).await.unwrap();
    store.commit_success(&leased.source(), success(&first, "two"), now()).await.unwrap();
    let numbers = store.numbers(None, vec![after(3599), after(3600)], after(0).minus(LEASE * 60), now()).await.unwrap();
    assert_eq!(numbers[0].expiring, [0, 1]);
    assert_eq!(numbers[0].connections.connected, 1);
    assert_eq!((numbers[0].outcomes[0].class.as_str(), numbers[0].outcomes[0].count), ("success", 1));
    assert!(store.numbers(Some(&[].into()), vec![], now(), now()).await.unwrap().is_empty());
    let year = after(365 * 24 * 3600);
    assert!(store.clean_up(Retention::default(), year).await.unwrap() > 0);
    assert_eq!(store.clean_up(Retention::default(), year).await.unwrap(), 0);
    assert!(store.attempt_outcome(&first).await.unwrap().is_none());
    assert!(store.events(EventFilter::default(), None, 10).await.unwrap().items.is_empty());
    assert_eq!(access(&store, &record(&store, &id).await), "access-token-two");
}
