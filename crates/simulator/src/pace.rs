//! When the store's work goes on: at once, after a while, never (the process dies there), or with an error.

use std::time::Duration;

use evergrant_store::{Pace, Step, StoreError, Trouble, Turn};

use crate::clock::sleep;
use crate::world::{Disk, Shared, lock};

/// The pace of the world's storage, for one process.
pub struct WorldPace(pub Shared, pub usize);

impl std::fmt::Debug for WorldPace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<the world's pace>")
    }
}

fn word(step: Step) -> &'static str {
    match step {
        Step::Read => "a read",
        Step::Write => "a write",
        Step::Journal => "the journal",
    }
}

fn away(trouble: Trouble) -> StoreError {
    StoreError::Unavailable { trouble, cause: None }
}

fn never() -> Turn {
    Box::pin(std::future::pending())
}

impl Pace for WorldPace {
    fn before(&self, step: Step) -> Turn {
        let (shared, node) = (self.0.clone(), self.1);
        let mut world = lock(&shared);
        if world.looking {
            return Box::pin(std::future::ready(Ok(())));
        }
        if !world.step(node, word(step)) {
            return never();
        }
        let stopped = world.is_stopped_here(node);
        let slow = world.plan.slow_store;
        let wait = if slow > 0.0 && !world.calm && world.rng.chance(slow) {
            Some(Duration::from_millis(if world.rng.chance(0.02) { 2000 } else { world.rng.range(1, 20) }))
        } else {
            None
        };
        drop(world);
        Box::pin(async move {
            if let Some(wait) = stopped.or(wait) {
                sleep(&shared, wait).await;
            }
            let (alive, disk) = {
                let world = lock(&shared);
                (!world.nodes[node].dead, world.disk)
            };
            if !alive {
                std::future::pending::<()>().await;
            }
            match (disk, step) {
                (Disk::DatabaseAway, Step::Read | Step::Write) => Err(away(Trouble::Io)),
                (Disk::JournalAway, Step::Journal) => Err(away(Trouble::Full)),
                _ => Ok(()),
            }
        })
    }

    fn after(&self, step: Step) -> Turn {
        let mut world = lock(&self.0);
        if world.looking {
            return Box::pin(std::future::ready(Ok(())));
        }
        match step {
            Step::Write => world.judge.wrote = true,
            Step::Journal => world.journalled(self.1),
            Step::Read => {}
        }
        if !world.step(self.1, &format!("the end of {}", word(step))) {
            return never();
        }
        let unknown = world.disk == Disk::Unanswering && step == Step::Write && world.rng.chance(0.3);
        Box::pin(std::future::ready(if unknown { Err(away(Trouble::Unanswered)) } else { Ok(()) }))
    }
}
