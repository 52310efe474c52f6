//! The one place where the service reads a clock.
//!
//! A trait, because tests and the simulator bring their own: `now` for what is written and shown, `sleep_until` for
//! what waits. Sleeps are capped by those who loop: clocks jump and machines are suspended.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::time::Timestamp;

/// Tells the time and waits.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Waits for a span of elapsed time.
    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A clock that is shared by everything in a process.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

/// How far the clock of this process is set ahead, where a rig wants one that is wrong; once, before anything asks.
#[cfg(feature = "planted")]
pub static AHEAD: std::sync::OnceLock<Duration> = std::sync::OnceLock::new();

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else asks")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        #[cfg(feature = "planted")]
        let since_epoch = since_epoch + AHEAD.get().copied().unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else asks")]
    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(span))
    }
}
