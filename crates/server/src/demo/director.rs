//! What happens to the people of the demo: consent withdrawn, requests limited, answers lost.
//!
//! Trouble is made at the provider only, by the switches that its page has too; the service knows nothing of it.

use std::time::Duration;

use evergrant_testkit::{Canned, Fault, FaultRule, Judge};
use tokio_util::sync::CancellationToken;

use super::people::{SHAKY, STEADY};
use crate::clock::SharedClock;

/// Everybody has been renewed once by then, so that the first trouble is seen as trouble.
const FIRST_TROUBLE: Duration = Duration::from_secs(55);
/// How often there is trouble after that.
const EVERY: Duration = Duration::from_secs(90);

/// Makes trouble until told to stop.
pub(super) async fn direct(judge: Judge, clock: SharedClock, stop: CancellationToken) {
    let play = async {
        clock.sleep(FIRST_TROUBLE).await;
        judge.revoke(STEADY, "carol");
        loop {
            judge.fault(once(Fault::Answer(Canned::rate_limit(Some("5"))), "bob"));
            judge.fault(once(Fault::CutAfter, "dave"));
            clock.sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = play => {}
        () = stop.cancelled() => {}
    }
}

fn once(fault: Fault, account: &str) -> FaultRule {
    FaultRule::next(1, fault).client(SHAKY).account(account).grant_type("refresh_token")
}
