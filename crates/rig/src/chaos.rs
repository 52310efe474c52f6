//! Everything at once, for some minutes: kills, pauses, a database that crashes and is cut off, a provider that is away.

use std::fmt;
use std::time::{Duration, Instant};

use evergrant_testkit::{Canned, Fault, FaultRule};

use crate::dice::Dice;
use crate::outages;
use crate::place::Place;
use crate::plan::Plan;
use crate::scene::Scene;
use crate::tally::Tally;
use crate::waiting::pass;

/// What is done to a scene.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Kill,
    Pause,
    CrashDatabase,
    TerminateBackends,
    CutDatabase,
    CutNode,
    HoldNode,
    ProviderAway,
    AnswersLost,
    Replace,
    Consent,
}

const DEEDS: [Deed; 11] = [
    Deed::Kill,
    Deed::Pause,
    Deed::CrashDatabase,
    Deed::TerminateBackends,
    Deed::CutDatabase,
    Deed::CutNode,
    Deed::HoldNode,
    Deed::ProviderAway,
    Deed::AnswersLost,
    Deed::Replace,
    Deed::Consent,
];

/// What chaos came to.
#[derive(Debug)]
pub struct Verdict(pub Tally);

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.0;
        let lost = tally.verdicts("LOST") + tally.verdicts("UNREPORTED");
        writeln!(f, "{tally}")?;
        writeln!(
            f,
            "calls per rotation {:.3} ({} calls, {} rotations) · grants lost that could have been kept {lost} · stale writes \
             {} · notices too many or too few {} · overlapping uses {} · lost in flight, told and predicted {}",
            tally.spends as f64 / tally.rotations.max(1) as f64,
            tally.spends,
            tally.rotations,
            tally.verdicts("HISTORY"),
            tally.verdicts("NOTICE"),
            tally.verdicts("OVERLAP"),
            tally.told,
        )
    }
}

/// Rages for so long. The lease in the plan should be shorter than `pause`.
///
/// # Panics
/// When the service does not come back.
pub async fn rage(plan: &Plan, seed: u64, span: Duration, pause: Duration) -> Verdict {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::begin(plan, &mut dice).await;
    let end = Instant::now() + span;
    while Instant::now() < end && scene.tally.wrong.is_empty() {
        pass(Duration::from_millis(100 + dice.below(1500))).await;
        let deed = *dice.one_of(&DEEDS);
        let number = usize::try_from(dice.below(scene.nodes.len() as u64)).unwrap_or_default();
        if do_it(&mut scene, deed, number, pause, &mut dice).await {
            scene.tally.did(&format!("{deed:?}"));
        }
        scene.judge.reset();
        scene.answers().await;
        scene.look_after().await;
    }
    Verdict(scene.end().await)
}

/// Whether it could be done here.
async fn do_it(scene: &mut Scene, deed: Deed, number: usize, pause: Duration, dice: &mut Dice) -> bool {
    let on_server = matches!(scene.place, Place::Postgres { .. });
    let while_long = Duration::from_millis(200 + dice.below(2500));
    match deed {
        Deed::Kill => {
            scene.kill(number, &[]).await;
            if scene.nodes.len() > 1 {
                pass(while_long).await;
            }
            scene.start(number).await;
        }
        Deed::Pause => outages::sleep_node(scene, number, pause).await,
        Deed::Replace => {
            scene.stop(number).await;
            scene.start(number).await;
        }
        Deed::CrashDatabase if on_server => outages::crash(scene).await,
        Deed::TerminateBackends if on_server => {
            scene
                .place
                .cluster()
                .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()");
        }
        Deed::CutDatabase if on_server => {
            scene.nodes.iter().for_each(|node| node.wire().break_down());
            pass(while_long).await;
            scene.nodes.iter().for_each(|node| node.wire().mend());
        }
        Deed::CutNode | Deed::HoldNode if on_server => {
            outages::cut_node(scene, number, matches!(deed, Deed::CutNode), pause).await;
        }
        Deed::CrashDatabase | Deed::TerminateBackends | Deed::CutDatabase | Deed::CutNode | Deed::HoldNode => {
            return false;
        }
        Deed::ProviderAway => {
            let fault = if dice.below(2) == 0 { Fault::Answer(Canned::error_500()) } else { Fault::CutBefore };
            scene.judge.fault(FaultRule::lasting(fault));
            pass(while_long).await;
        }
        Deed::AnswersLost => {
            let client = dice.one_of(&scene.clients).clone();
            let fault = if dice.below(2) == 0 { Fault::CutAfter } else { Fault::CutInside(None) };
            scene.judge.fault(FaultRule::next(2, fault).client(&client));
            pass(while_long).await;
        }
        Deed::Consent => {
            let person = dice.one_of(&scene.people).clone();
            scene.import(&person).await;
        }
    }
    true
}
