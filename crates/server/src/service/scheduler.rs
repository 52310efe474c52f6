//! Starts what is due, and sleeps until the next moment or a nudge.
//!
//! A nudge carries no data: what is due is asked of the store. Sleeps are at most 30 s, because clocks jump and machines
//! are suspended.

use std::time::Duration;

use evergrant_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::refresh::Refresher;

/// How often those are looked for whom an outage has kept from being renewed.
const STALLED_EVERY: Duration = Duration::from_secs(10);

/// Runs until `stop`.
pub async fn run(refresher: Refresher, stop: CancellationToken) {
    let mut look_at = Timestamp::from_millis(0);
    loop {
        let now = refresher.clock().now();
        if look_at <= now {
            look_at = now.plus(STALLED_EVERY);
            if let Err(error) = refresher.tell_stalled().await {
                tracing::warn!(%error, "who waits for an outage to end could not be read; it is tried again");
            }
        }
        let sleep = refresher.start_due().await.min(look_at.until_from(now));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = refresher.nudged() => {}
            () = refresher.clock().sleep(sleep) => {}
        }
    }
}
