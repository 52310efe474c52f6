//! What a seed chooses before anything happens: how many of what, how long tokens live, what goes wrong and how often.

use std::time::Duration;

use evergrant_core::provider::ReplayKind;

use crate::rng::Rng;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Runs of more days than these see less of what would only be more of the same in them: tokens that live for
/// minutes, and kills every few hours. It is many seeds that find something, not one seed's length.
const LONG: u32 = 7;

/// What a run is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What everything follows from.
    pub seed: u64,
    /// How many days are simulated, before the calm in which it is seen what is left.
    pub days: u32,
    /// How many connections; none: a few, as the seed says.
    pub connections: Option<u32>,
    /// How many processes there are.
    pub nodes: u32,
}

/// What a run is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was asked for.
    pub wish: Wish,
    /// How many connections there are.
    pub connections: u32,
    /// How many processes there are.
    pub nodes: u32,
    /// Providers, each with one integration.
    pub sites: Vec<SitePlan>,
    /// Mean time between two things that applications and people do with one connection.
    pub acts: Duration,
    /// Mean time between two kills of the process.
    pub kills: Option<Duration>,
    /// Mean time between two orderly restarts.
    pub restarts: Option<Duration>,
    /// Mean time between two pauses of the process.
    pub pauses: Option<Duration>,
    /// Mean time between two outages of the database or the journal.
    pub storage: Option<Duration>,
    /// How likely a piece of work of the store takes a while.
    pub slow_store: f64,
}

/// One provider.
#[derive(Clone, Debug)]
pub struct SitePlan {
    /// What becomes of a refresh token after rotation.
    pub replay: ReplayKind,
    /// For how long the old one still works, where that is limited.
    pub window: Duration,
    /// Whether its entry tells the kind; else it is taken for the strictest.
    pub told: bool,
    /// How long access tokens live.
    pub life: Duration,
    /// After how long without use a refresh token dies.
    pub idle: Option<Duration>,
    /// How likely a request meets something unusual.
    pub trouble: f64,
    /// How likely an answer tells a lifetime that is odd.
    pub lies: f64,
    /// How likely the first connect fails.
    pub refused: f64,
    /// Mean time between two outages.
    pub outages: Option<Duration>,
    /// Mean time between two times in which it refuses the client.
    pub client_refused: Option<Duration>,
}

impl Plan {
    /// What the seed chooses.
    pub fn of(wish: Wish) -> Self {
        let mut rng = Rng::new(wish.seed, 1);
        let large = wish.connections.is_some_and(|connections| connections > 30);
        let sites = (0..if large { 6 } else { rng.range(1, 2) })
            .map(|at| SitePlan::of(&mut rng, large.then_some(at), wish.days));
        let sites = sites.collect();
        let some = |rng: &mut Rng, likely: f64, spans: &[Duration]| rng.chance(likely).then(|| rng.pick(spans));
        let (often, seldom) = if wish.days > LONG { (12 * HOUR, DAY) } else { (3 * HOUR, 12 * HOUR) };
        Plan {
            wish,
            connections: wish.connections.unwrap_or_else(|| rng.weighted(&[(3, 1), (4, 2), (2, 3), (1, 5)])),
            sites,
            nodes: wish.nodes.max(1),
            acts: rng.pick(&[2 * HOUR, 8 * HOUR, DAY]),
            kills: some(&mut rng, 0.7, &[often, seldom, 3 * DAY]),
            restarts: some(&mut rng, 0.3, &[DAY, 5 * DAY]),
            // Another process may take over what a stopped one holds.
            pauses: some(&mut rng, if wish.nodes > 1 { 1.0 } else { 0.4 }, &[6 * HOUR, 2 * DAY]),
            storage: some(&mut rng, 0.4, &[12 * HOUR, 3 * DAY]),
            slow_store: rng.pick(&[0.0, 0.05, 0.4]),
        }
    }
}

impl SitePlan {
    fn of(rng: &mut Rng, at: Option<u64>, days: u32) -> Self {
        let lives = if days > LONG {
            [(0, 10 * MINUTE), (1, HOUR), (2, 4 * HOUR), (3, 12 * HOUR), (3, DAY)]
        } else {
            [(1, 10 * MINUTE), (2, HOUR), (3, 4 * HOUR), (3, 12 * HOUR), (3, DAY)]
        };
        let kinds = [
            ReplayKind::None,
            ReplayKind::Idempotent,
            ReplayKind::Confirm,
            ReplayKind::Overlap,
            ReplayKind::Single,
            ReplayKind::Family,
        ];
        let replay = match at {
            Some(at) => kinds[at as usize % kinds.len()],
            None => rng.pick(&kinds),
        };
        let some = |rng: &mut Rng, likely: f64, spans: &[Duration]| rng.chance(likely).then(|| rng.pick(spans));
        SitePlan {
            replay,
            window: rng.pick(&[10, 30, 300, 600].map(Duration::from_secs)),
            told: rng.chance(0.8),
            life: rng.weighted(&lives),
            idle: some(rng, 0.2, &[3 * DAY, 14 * DAY]),
            trouble: rng.pick(&[0.0, 0.02, 0.1, 0.3]),
            lies: rng.pick(&[0.0, 0.0, 0.05]),
            refused: rng.pick(&[0.0, 0.02, 0.2]),
            outages: some(rng, 0.5, &[DAY, 4 * DAY]),
            client_refused: some(rng, 0.15, &[5 * DAY, 15 * DAY]),
        }
    }
}
