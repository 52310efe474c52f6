//! What a scene came to: what was done to it, what became of the grants, and what must not be.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Figures of one scene or of several together.
#[derive(Debug, Default)]
pub struct Tally {
    /// What was done, by name: `kill`, `pause`, `restart of the database`.
    pub done: BTreeMap<String, usize>,
    /// Kills with a sending under way, or answered and not committed.
    pub between: usize,
    /// Grants whose rotation was under way at a kill and that live.
    pub rescued: usize,
    /// Losses that nobody could close, all of them told as such: LOST_W3.
    pub told: usize,
    /// Among these, answers that had been written in the last milliseconds before the kill: how long before.
    pub doubtful: Vec<Duration>,
    /// Uses of refresh tokens.
    pub spends: usize,
    /// New pairs that the providers made.
    pub rotations: usize,
    /// Tokens that callers were given.
    pub handed: usize,
    /// Grants that were judged at rest and live: OK.
    pub alive: usize,
    /// From the start of a process, or the return of its database, to its first answer.
    pub restarts: Vec<Duration>,
    /// What must not be: each begins with its verdict.
    pub wrong: Vec<String>,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: Tally) {
        other.done.into_iter().for_each(|(what, count)| *self.done.entry(what).or_default() += count);
        self.between += other.between;
        self.rescued += other.rescued;
        self.told += other.told;
        self.doubtful.extend(other.doubtful);
        self.spends += other.spends;
        self.rotations += other.rotations;
        self.handed += other.handed;
        self.alive += other.alive;
        self.restarts.extend(other.restarts);
        self.wrong.extend(other.wrong);
    }

    /// Something was done.
    pub fn did(&mut self, what: &str) {
        *self.done.entry(what.to_owned()).or_default() += 1;
    }

    /// How often it was done.
    pub fn times(&self, what: &str) -> usize {
        self.done.get(what).copied().unwrap_or_default()
    }

    /// Restarts, the shortest first: the one at this share of them.
    pub fn restart_at(&self, percent: usize) -> Duration {
        let mut restarts = self.restarts.clone();
        restarts.sort();
        restarts.get(restarts.len() * percent / 100).copied().unwrap_or_default()
    }

    /// How many verdicts of this name there are among what must not be.
    pub fn verdicts(&self, name: &str) -> usize {
        self.wrong.iter().filter(|wrong| wrong.starts_with(name)).count()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done: Vec<String> = self.done.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        write!(
            f,
            "{}; {} of the kills between sending and commit; {} rotations in {} spends, {} tokens handed out; {} grants \
             alive at rest, {} rescued, {} lost in flight and told ({} in doubt, at most {:?} old); restart p50 {:?}, p99 \
             {:?}; {} wrong",
            done.join(", "),
            self.between,
            self.rotations,
            self.spends,
            self.handed,
            self.alive,
            self.rescued,
            self.told,
            self.doubtful.len(),
            self.doubtful.iter().max().copied().unwrap_or_default(),
            self.restart_at(50),
            self.restart_at(99),
            self.wrong.len()
        )?;
        self.wrong.iter().try_for_each(|wrong| write!(f, "\n- {wrong}"))
    }
}
