//! The moments at which the service is killed.

use std::path::Path;
use std::time::Duration;

use evergrant_testkit::{Fault, FaultRule, Judge, Ledger, Spend};

use crate::dice::Dice;
use crate::place::Lock;
use crate::scene::Scene;
use crate::waiting::{pass, wait_for};

/// How long the judge is given to see what is waited for.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Where in a refresh the kill falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Anywhere.
    Any,
    /// The provider has the request and never decides: nothing is spent.
    Unspent,
    /// The provider has the request, and decides after the kill.
    Undecided,
    /// The provider has rotated, and has said nothing yet.
    Unanswered,
    /// A part of the answer is under way.
    HalfAnswered,
    /// The answer is in the journal, and the database takes no commit.
    Uncommitted,
}

impl Moment {
    const STEERED: [Moment; 5] =
        [Moment::Unspent, Moment::Undecided, Moment::Unanswered, Moment::HalfAnswered, Moment::Uncommitted];

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Moment::Any => "kill at any moment",
            Moment::Unspent => "kill before the provider decides, which it never does",
            Moment::Undecided => "kill before the provider decides",
            Moment::Unanswered => "kill between decision and answer",
            Moment::HalfAnswered => "kill within the answer",
            Moment::Uncommitted => "kill between journal and commit",
        }
    }

    /// Every other kill is steered.
    pub fn draw(number: usize, dice: &mut Dice) -> Self {
        if number.is_multiple_of(2) { Moment::Any } else { *dice.one_of(&Moment::STEERED) }
    }

    fn fault(self) -> Option<Fault> {
        Some(match self {
            Moment::Any => return None,
            Moment::Unspent => Fault::Hang,
            Moment::Undecided => Fault::Hold,
            Moment::Unanswered | Moment::Uncommitted => Fault::HoldAnswer,
            Moment::HalfAnswered => Fault::Drip { every: Duration::from_millis(50), bytes: 9 },
        })
    }

    /// Whether a use of a refresh token is at this point now.
    fn is_there(self, spend: &Spend) -> bool {
        let under_way = spend.end.is_none();
        match self {
            Moment::Any => true,
            Moment::Unspent | Moment::Undecided => under_way,
            Moment::Unanswered | Moment::Uncommitted => under_way && spend.decided_at.is_some(),
            Moment::HalfAnswered => under_way && spend.status.is_some(),
        }
    }
}

/// What must be let go of after the kill.
pub struct Steered {
    _lock: Option<Lock>,
    /// Uses whose answers are in the journal although nothing could be committed.
    pub journalled: Vec<usize>,
}

/// A moment that is waited for.
pub struct Awaited {
    moment: Moment,
    /// The fault that brings it about, where it is steered.
    fault: Option<String>,
    /// How many uses there were before.
    from: usize,
    /// How many uses must have come to that point.
    wanted: usize,
}

impl Awaited {
    /// Has the judge misbehave for one client as the moment wants it.
    pub fn begin(moment: Moment, judge: &Judge, clients: &[String], dice: &mut Dice) -> Self {
        let from = judge.ledger().spends.len();
        let Some(fault) = moment.fault() else {
            let wanted = usize::try_from(dice.below(6)).unwrap_or_default();
            return Awaited { moment, fault: None, from, wanted };
        };
        let name = fault.name().to_owned();
        let client = dice.one_of(clients);
        judge.fault(FaultRule::lasting(fault).client(client));
        let wanted = 1 + usize::try_from(dice.below(2)).unwrap_or_default();
        Awaited { moment, fault: Some(name), from, wanted }
    }

    /// Whether it comes within this time.
    pub async fn comes_within(&self, limit: Duration, judge: &Judge) -> bool {
        let there = |spend: &&Spend| match &self.fault {
            Some(name) => spend.faults.contains(name) && self.moment.is_there(spend),
            None => true,
        };
        let reached = |ledger: &Ledger| ledger.spends[self.from..].iter().filter(there).count() >= self.wanted;
        judge.wait_until(limit, reached).await.is_ok()
    }

    /// One use is enough from now on: after a few failures the service tries one at a time.
    pub fn settle_for_one(&mut self) {
        self.wanted = self.wanted.min(1);
    }

    /// What it is like when it has come: the service is killed in it.
    ///
    /// # Panics
    /// When the service does not do what it should on the way.
    pub async fn reached(self, scene: &Scene, dice: &mut Dice) -> Steered {
        let none = Steered { _lock: None, journalled: Vec::new() };
        match (self.moment, &self.fault) {
            (Moment::Uncommitted, Some(name)) => return uncommitted(scene, name, self.from).await,
            (_, Some(_)) => pass(Duration::from_millis(dice.below(40))).await,
            (_, None) => pass(Duration::from_millis(dice.below(150))).await,
        }
        none
    }
}

/// Lets the answers out while the database takes no writes, and waits until the journal has them.
async fn uncommitted(scene: &Scene, name: &str, from: usize) -> Steered {
    let (judge, lock, data) = (&scene.judge, scene.lock(), &scene.nodes[0].home.data());
    judge.switch_off(name);
    // Whatever else was under way lands first, so that what the journal gets from here on is what was held.
    let held = |spend: &Spend| spend.faults.iter().any(|fault| fault == name);
    judge
        .wait_until(LIMIT, |ledger| ledger.in_flight().all(|spend| held(spend) && spend.decided_at.is_some()))
        .await
        .expect("without the database nothing new is sent");
    let mut settled = entries(data);
    wait_for(LIMIT, "the journal rests", async || {
        let seen = std::mem::replace(&mut settled, entries(data));
        pass(Duration::from_millis(30)).await;
        (seen == entries(data)).then_some(())
    })
    .await;
    let before = entries(data);
    let journalled: Vec<usize> = judge.ledger().in_flight().map(|spend| spend.number).collect();
    assert!(journalled.iter().all(|number| *number >= from), "what is held was sent just now");
    judge.release();
    wait_for(LIMIT, "answers that cannot be committed are journalled", async || {
        (entries(data) >= before + journalled.len()).then_some(())
    })
    .await;
    Steered { _lock: Some(lock), journalled }
}

/// How many sealed answers stand in the journal: its records with a payload.
///
/// # Panics
/// When the journal cannot be read.
pub fn entries(data: &Path) -> usize {
    let files = std::fs::read_dir(data.join("journal")).expect("the journal's folder");
    let count = |bytes: &[u8]| {
        let marked = bytes.chunks_exact(8).filter(|chunk| chunk.starts_with(b"EGR1"));
        marked.filter(|chunk| chunk[4..] != [0; 4]).count()
    };
    files.map(|file| count(&std::fs::read(file.expect("a file").path()).expect("it can be read"))).sum()
}
