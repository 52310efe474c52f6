//! One service that is killed again and again, half of the time at the places that matter.

use std::time::Duration;

use crate::dice::Dice;
use crate::moments::{Awaited, LIMIT, Moment};
use crate::plan::Plan;
use crate::scene::Scene;
use crate::tally::Tally;

/// How long a moment is waited for before those whose grants are lost are looked after again.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// Kills a service so many times, and says what came of it. `number` tells storms side by side apart.
///
/// # Panics
/// When the service does not come back.
pub async fn rage(plan: &Plan, number: usize, seed: u64, kills: usize) -> Tally {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::begin(plan, &mut dice).await;
    for round in 0..kills {
        let moment = Moment::draw(number + round, &mut dice);
        let mut awaited = Awaited::begin(moment, &scene.judge, &scene.clients, &mut dice);
        if !comes(&mut scene, &mut awaited).await {
            let stalled = scene.standing().await;
            scene.tally.wrong.push(format!("STALLED: {moment:?} did not come within {LIMIT:?}: {stalled}"));
            break;
        }
        let steered = awaited.reached(&scene, &mut dice).await;
        scene.kill(0, &steered.journalled).await;
        scene.tally.did(moment.name());
        drop(steered);
        scene.judge.reset();
        scene.start(0).await;
        scene.look_after().await;
        if !scene.tally.wrong.is_empty() {
            break;
        }
    }
    scene.end().await
}

async fn comes(scene: &mut Scene, awaited: &mut Awaited) -> bool {
    let until = std::time::Instant::now() + LIMIT;
    while std::time::Instant::now() < until {
        if awaited.comes_within(LOOK_AFTER, &scene.judge).await {
            return true;
        }
        awaited.settle_for_one();
        // Where a kill has cost everybody's grant of a client, nothing rotates there until they have consented anew.
        scene.look_after().await;
    }
    false
}
