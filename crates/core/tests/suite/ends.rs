//! Ends that are told of before they come: fixed ones, by the catalogue's own entries, and those of idleness.

use evergrant_core::catalogue::Catalogue;
use evergrant_core::connection::Life;
use evergrant_core::grant::GrantFacts;
use evergrant_core::lifecycle::{Circumstances, Event, advance};
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::Failure;
use evergrant_core::policy::Policy;
use evergrant_core::provider::Provider;
use evergrant_core::schedule::{due_at, end_told_at, idle_end};
use evergrant_core::time::Timestamp;

use crate::lifecycle::facts;

const DAY: i64 = 86_400;
const T0: i64 = 1_795_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(T0 + seconds)
}

fn entry(id: &str) -> Provider {
    let catalogue = Catalogue::embedded().expect("a catalogue without mistakes");
    let entry = catalogue.get(&id.parse().expect("an id")).expect("an entry");
    Provider::clone(&entry)
}

fn around<'a>(provider: &'a Provider, policy: &'a Policy) -> Circumstances<'a> {
    Circumstances { provider, policy, others_work: true, brake: false, jitter: 0.0 }
}

#[test]
fn a_refresh_token_with_a_fixed_end_is_told_of_in_time_to_renew_it() {
    // LinkedIn's live for a year, NetSuite's for a week: a week before, or a third of their life.
    for (id, life, told) in [("linkedin", 365 * DAY, 358 * DAY), ("netsuite", 7 * DAY, 7 * DAY - 7 * DAY / 3)] {
        let (provider, policy) = (entry(id), Policy::default());
        let around = around(&provider, &policy);
        assert_eq!(provider.refresh_lifetime.map(|life| life.duration().as_secs()), Some(life as u64), "{id}");
        let grant = |issued: i64| GrantFacts { refresh_expires_at: Some(at(life)), ..facts(1, issued, 3600) };
        let young = Life::new(grant(0));
        assert_eq!(end_told_at(&young, &provider), Some(at(told)), "{id}");
        // Refreshes do not move it, and it is told once.
        let refreshed = advance(young, Event::Refreshed { grant: grant(told - 60) }, &around, at(told - 60)).life;
        assert_eq!(end_told_at(&refreshed, &provider), Some(at(told)), "{id}");
        let near = advance(refreshed, Event::EndNear, &around, at(told));
        assert_eq!(near.notices, [NoticeKind::Expiring], "{id}");
        let later = advance(near.life, Event::Refreshed { grant: grant(told + 60) }, &around, at(told + 60)).life;
        assert_eq!((end_told_at(&later, &provider), later.end_told), (None, Some(at(life))), "{id}");
        assert!(advance(later.clone(), Event::EndNear, &around, at(told + 61)).notices.is_empty(), "{id}");
        // A new consent has an end of its own.
        let anew = GrantFacts { refresh_expires_at: Some(at(2 * life)), ..facts(1, life, 3600) };
        let anew = advance(later, Event::GrantReplaced { grant: anew }, &around, at(life)).life;
        assert_eq!(anew.end_told, None, "{id}");
        assert!(end_told_at(&anew, &provider).is_some_and(|again| again > at(life)), "{id}");
    }
}

#[test]
fn the_end_by_idleness_is_told_only_while_renewing_fails() {
    let (provider, policy) = (entry("xero"), Policy::default());
    let around = around(&provider, &policy);
    let life = Life::new(facts(1, 0, 1800));
    let facts_of = |life: &Life| life.grant.clone().expect("a grant");
    assert_eq!(idle_end(&facts_of(&life), &provider), Some(at(60 * DAY)));
    // It is used six days before, which is all that is needed where it works.
    assert_eq!(end_told_at(&life, &provider), None);
    assert!(advance(life.clone(), Event::EndNear, &around, at(58 * DAY)).notices.is_empty());
    let failed = |life: Life, now: i64| {
        let event = Event::Failed { failure: Failure::network("away"), sent_at: at(now) };
        advance(life, event, &around, at(now))
    };
    let failing = failed(life, 54 * DAY).life;
    assert_eq!(end_told_at(&failing, &provider), Some(at(57 * DAY)), "half of the six days have passed in vain");
    let told = advance(failing, Event::EndNear, &around, at(57 * DAY));
    assert_eq!((told.notices.as_slice(), told.life.end_told), ([NoticeKind::Expiring].as_slice(), Some(at(60 * DAY))));
    assert!(due_at(&told.life, &provider, &policy, 0.0).is_some(), "it is tried until the end");
    let again = failed(told.life, 58 * DAY).life;
    assert_eq!(end_told_at(&again, &provider), None, "once");
    let renewed = GrantFacts { issued_at: at(59 * DAY), ..facts(2, 0, 1800) };
    let renewed = advance(again, Event::Refreshed { grant: renewed }, &around, at(59 * DAY)).life;
    assert_eq!((renewed.end_told, end_told_at(&renewed, &provider)), (None, None));
}
