//! Several processes on one PostgreSQL: many callers of one expired grant, and an owner that is killed, stopped or cut off
//! in the middle of its call.

use std::time::Duration;

use evergrant_testkit::{Fault, FaultRule};
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::outages;
use crate::plan::Plan;
use crate::scene::Scene;
use crate::tally::Tally;
use crate::waiting::pass;

/// What happens to the process whose call is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Nothing,
    /// It is killed.
    Killed,
    /// It is stopped for longer than its lease.
    Stopped,
}

/// One grant at a time expires; every process gets so many callers for it while the provider takes its time.
///
/// # Panics
/// When the service does not come back.
pub async fn callers(plan: &Plan, seed: u64, rounds: usize, each: usize, provider: Duration, fate: Fate) -> Tally {
    let mut dice = Dice::new(seed);
    let plan = Plan { callers: 0, access: Duration::from_secs(6), ..plan.clone() }.with("margin", 0.001);
    let mut scene = Scene::begin(&plan, &mut dice).await;
    for _ in 0..rounds {
        let person = dice.one_of(&scene.people).clone();
        // Expired, and nobody has asked yet: the new grant is as old as its token's life.
        scene.import_expired(&person).await;
        scene.judge.fault(FaultRule::lasting(Fault::DelayAnswer(provider)).account(&person.account));
        let before = scene.judge.ledger().spends_of(&person.client, &person.account).count();
        let mut asked = ask(&scene, &person.id, each, provider);
        let under_way = |ledger: &evergrant_testkit::Ledger| {
            ledger.in_flight().any(|spend| spend.account.as_deref() == Some(&person.account))
        };
        drop(scene.judge.wait_until(Duration::from_secs(20), under_way).await);
        let number = owner(&scene, &person.id);
        match fate {
            Fate::Nothing => {}
            Fate::Killed => {
                scene.kill(number, &[]).await;
                scene.start(number).await;
            }
            Fate::Stopped => outages::sleep_node(&scene, number, provider * 2).await,
        }
        let mut refused = 0;
        while let Some(answer) = asked.join_next().await {
            refused += usize::from(answer.ok().flatten() != Some(200));
        }
        scene.judge.reset();
        let calls = scene.judge.ledger().spends_of(&person.client, &person.account).count() - before;
        scene.tally.did(&format!("expiry with {} callers, owner {fate:?}", each * scene.nodes.len()));
        if fate == Fate::Nothing && (calls != 1 || refused > 0) {
            scene.tally.wrong.push(format!("OVERLAP: {calls} calls and {refused} callers refused for one expiry"));
        }
        scene.look_after().await;
        pass(Duration::from_millis(50)).await;
        if !scene.tally.wrong.is_empty() {
            break;
        }
    }
    scene.end().await
}

/// Callers at every process, who wait long enough.
fn ask(scene: &Scene, id: &str, each: usize, provider: Duration) -> JoinSet<Option<u16>> {
    let mut asked = JoinSet::new();
    let wait = provider.as_secs() + 20;
    for serving in scene.nodes.iter().filter_map(|node| node.serving.as_ref()) {
        for _ in 0..each {
            let api = serving.api.clone().limit(provider + Duration::from_secs(30));
            let path = format!("/v1/connections/{id}/token?wait={wait}");
            asked.spawn(async move { api.get(&path).await.ok().map(|reply| reply.status) });
        }
    }
    asked
}

/// The process that holds the lease; the first one where that cannot be told.
fn owner(scene: &Scene, id: &str) -> usize {
    let owner = scene.run(&format!("SELECT lease_owner FROM lives WHERE connection_id = '{id}'"));
    let owner = owner.first().cloned().unwrap_or_default();
    let words = |at: &usize| scene.nodes[*at].serving.as_ref().is_some_and(|serving| serving.said().contains(&owner));
    (0..scene.nodes.len()).find(|at| !owner.is_empty() && words(at)).unwrap_or_default()
}
