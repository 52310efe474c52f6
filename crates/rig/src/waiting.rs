//! Waiting for what only somebody else can bring about: a provider, a task of the service, another process.

use std::time::Duration;

/// Longer than anything takes that comes at all, on a machine that is busy with other things too.
pub const LONG: Duration = Duration::from_secs(30);

/// Looks again and again until there is something to see; fails with what was last said of it.
pub async fn wait_for<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            pass(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(limit, looking).await;
    assert!(found.is_ok(), "{what}: not within {limit:?}");
    found.expect("just asserted")
}

/// Lets time pass.
#[expect(
    clippy::disallowed_methods,
    reason = "the moment of a kill is chosen by time, and neither files nor other processes tell of changes"
)]
pub async fn pass(span: Duration) {
    tokio::time::sleep(span).await;
}
