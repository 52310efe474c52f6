//! Several processes on one PostgreSQL: many callers of one expired grant, and an owner that is killed, stopped or cut off
//! in the middle of its call.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_testkit::{Fault, FaultRule, Ledger};
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::moments::LIMIT;
use crate::plan::Plan;
use crate::scene::{Person, Scene};
use crate::tally::Tally;
use crate::waiting::{pass, wait_for};

/// What happens to the process whose call is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Nothing,
    /// It is killed.
    Killed,
    /// It is stopped for so long, which is longer than its lease.
    Stopped(Duration),
}

impl Fate {
    /// In a table.
    fn says(self) -> String {
        match self {
            Fate::Nothing => String::new(),
            Fate::Killed => ", owner killed".to_owned(),
            Fate::Stopped(span) => format!(", owner stopped for {span:?}"),
        }
    }
}

/// How long access tokens live here: longer than it takes to answer everybody who has asked.
const ACCESS: Duration = Duration::from_secs(20);
/// What a process says whose answer or verdict was overtaken while it stood still.
const TOO_LATE: &str = "came too late";

/// One grant at a time expires; every process gets so many callers for it while the provider takes its time.
///
/// # Panics
/// When the service does not come back.
pub async fn callers(plan: &Plan, seed: u64, rounds: usize, each: usize, provider: Duration, fate: Fate) -> Tally {
    let mut dice = Dice::new(seed);
    let plan = Plan { callers: 0, access: ACCESS, ..plan.clone() }.with("margin", 0.001);
    let mut scene = Scene::begin(&plan, &mut dice).await;
    for _ in 0..rounds {
        let person = dice.one_of(&scene.people).clone();
        // Expired, and nobody has asked yet: the new grant is as old as its token's life.
        scene.import_expired(&person).await;
        scene.judge.fault(FaultRule::lasting(Fault::DelayAnswer(provider)).account(&person.account));
        let before = scene.judge.ledger().spends_of(&person.client, &person.account).count();
        let mut asked = ask(&scene, &person.id, each, provider);
        match fate {
            Fate::Nothing => {}
            Fate::Killed => {
                let number = owner(&scene, &person).await;
                scene.kill(number, &[]).await;
                scene.start(number).await;
            }
            Fate::Stopped(span) => {
                let number = owner(&scene, &person).await;
                stop_owner(&mut scene, number, &person.id, span).await;
            }
        }
        let mut refused = BTreeMap::new();
        while let Some(answer) = asked.join_next().await {
            match answer.expect("a caller does not panic") {
                Ok(200) => {}
                Ok(status) => *refused.entry(status.to_string()).or_insert(0_usize) += 1,
                Err(error) => *refused.entry(error).or_default() += 1,
            }
        }
        scene.judge.reset();
        let calls = scene.judge.ledger().spends_of(&person.client, &person.account).count() - before;
        scene.tally.did(&format!("expiry with {} callers{}", each * scene.nodes.len(), fate.says()));
        if fate == Fate::Nothing && (calls != 1 || !refused.is_empty()) {
            scene.tally.wrong.push(format!("OVERLAP: {calls} calls for one expiry, callers refused: {refused:?}"));
        }
        scene.look_after().await;
        pass(Duration::from_millis(50)).await;
        if !scene.tally.wrong.is_empty() {
            break;
        }
    }
    scene.end().await
}

/// Stops the owner. Where the others stored a newer grant meanwhile, what it still brings is too late, and it says so.
async fn stop_owner(scene: &mut Scene, number: usize, id: &str, span: Duration) {
    let generation = |scene: &Scene| scene.run(&format!("SELECT generation FROM lives WHERE connection_id = '{id}'"));
    let Some(serving) = scene.nodes[number].serving.as_ref() else { return };
    let (before, said) = (generation(scene), serving.said().len());
    serving.pause();
    pass(span).await;
    let overtaken = generation(scene) != before;
    let Some(serving) = scene.nodes[number].serving.as_ref() else { return };
    serving.go_on();
    if !overtaken {
        return;
    }
    wait_for(LIMIT, "the process that stood still says that it came too late", async || {
        serving.said()[said..].contains(TOO_LATE).then_some(())
    })
    .await;
    scene.tally.did("late outcome that changed nothing, and was said");
}

/// Callers at every process, who wait long enough.
fn ask(scene: &Scene, id: &str, each: usize, provider: Duration) -> JoinSet<Result<u16, String>> {
    let mut asked = JoinSet::new();
    let wait = provider.as_secs() + 20;
    for serving in scene.nodes.iter().filter_map(|node| node.serving.as_ref()) {
        for _ in 0..each {
            let api = serving.api.clone().limit(provider + Duration::from_secs(30));
            let path = format!("/v1/connections/{id}/token?wait={wait}");
            asked.spawn(async move {
                let reply = api.get(&path).await;
                reply.map(|reply| reply.status).map_err(|error| error.to_string())
            });
        }
    }
    asked
}

/// The process whose call is under way. It holds the lease, and the database knows it by the name of its folder.
///
/// # Panics
/// When none does, which is no play at all.
async fn owner(scene: &Scene, person: &Person) -> usize {
    let under_way = |ledger: &Ledger| {
        ledger
            .in_flight()
            .any(|spend| spend.client_id == person.client && spend.account.as_ref() == Some(&person.account))
    };
    scene.judge.wait_until(LIMIT, under_way).await.expect("a refresh is under way");
    let place = scene.run(&format!(
        "SELECT place FROM nodes JOIN lives ON lives.lease_owner = nodes.id WHERE connection_id = '{}'",
        person.id
    ));
    let place = place.first().expect("a process holds the lease");
    let is_at = |at: &usize| scene.nodes[*at].home.name() == *place;
    (0..scene.nodes.len()).find(is_at).expect("the lease is of a process of this scene")
}
