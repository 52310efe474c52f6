//! The world's time, for the process in it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use evergrant::clock::Clock;
use evergrant_core::time::Timestamp;

use crate::world::{Event, Shared, lock};

/// The world's clock.
pub struct WorldClock(pub Shared);

impl std::fmt::Debug for WorldClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<the world's clock>")
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        lock(&self.0).now
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(sleep(&self.0, span))
    }
}

/// Waits for a span of the world's time.
pub fn sleep(world: &Shared, span: Duration) -> Sleep {
    let millis = u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    let end = lock(world).now.plus(Duration::from_millis(millis));
    Sleep { world: world.clone(), end, key: None }
}

/// Somebody who waits.
pub struct Sleep {
    world: Shared,
    end: Timestamp,
    key: Option<(Timestamp, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.world.clone();
        let mut world = lock(&shared);
        if world.now >= self.end {
            return Poll::Ready(());
        }
        match self.key {
            Some(key) => world.rewake(key, context.waker()),
            None => self.key = Some(world.at(self.end, Event::Wake(context.waker().clone()))),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            lock(&self.world).cancel(key);
        }
    }
}
