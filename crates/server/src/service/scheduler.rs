//! Starts what is due, and sleeps until the next moment or a nudge.
//!
//! A nudge carries no data: what is due is asked of the store. Sleeps are at most 30 s, because clocks jump and machines
//! are suspended.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::refresh::Refresher;

/// The longest sleep.
const LONGEST: Duration = Duration::from_secs(30);

/// Runs until `stop`.
pub async fn run(refresher: Refresher, stop: CancellationToken) {
    loop {
        let sleep = refresher.start_due().await.min(LONGEST);
        tokio::select! {
            () = stop.cancelled() => return,
            () = refresher.nudged() => {}
            () = refresher.clock().sleep(sleep) => {}
        }
    }
}
