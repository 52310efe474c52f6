//! A use at work, and what surrounds the uses of a group.

use std::cell::{Cell, RefCell};
use std::ops::Deref;

use evergrant_core::planted::{self, Bug};
use evergrant_core::time::Timestamp;

use super::base::Base;
use super::sql::Sql;
use super::turn::Turn;
use crate::error::StoreError;

/// A use at work: statements, and what is to be done after the commit.
pub(crate) struct Unit<'a, E> {
    sql: Sql<'a>,
    turn: Option<Turn>,
    pub(super) told: Cell<bool>,
    pub(super) effects: RefCell<Vec<E>>,
}

impl<'a, E> Deref for Unit<'a, E> {
    type Target = Sql<'a>;
    fn deref(&self) -> &Sql<'a> {
        &self.sql
    }
}

impl<'a, E> Unit<'a, E> {
    pub(super) fn new(base: &'a Base, turn: Option<Turn>) -> Self {
        Unit { sql: base.sql(), turn, told: Cell::new(false), effects: RefCell::default() }
    }

    /// The turn in which this is written; none where one process works alone.
    pub fn turn(&self) -> Option<Turn> {
        self.turn
    }

    /// The clock that leases go by: the database's, where several nodes share it; else the caller's.
    pub fn lease_time(&self, now: Timestamp) -> Timestamp {
        self.turn.and_then(|turn| turn.clock).filter(|_| !planted::is(Bug::WallClockLeases)).unwrap_or(now)
    }

    /// What the other nodes must hear of this group.
    pub fn tell(&self, node: &str, document: &str) -> Result<(), StoreError> {
        let Some(turn) = self.turn else { return Ok(()) };
        self.told.set(true);
        self.sql.tell(turn.seq, node, document)
    }

    /// What has been asked so far to be done after the commit.
    pub fn look<T>(&self, look: impl FnOnce(&[E]) -> T) -> T {
        look(&self.effects.borrow())
    }

    /// After the commit, and before anybody is answered.
    pub fn after_commit(&self, effect: E) {
        self.effects.borrow_mut().push(effect);
    }
}

/// What surrounds the uses of a group.
pub(crate) trait Household<E>: Send {
    /// Runs first in each transaction.
    fn before(&mut self, unit: &Unit<'_, E>) -> Result<(), StoreError>;
    /// Runs last in each transaction.
    fn last(&mut self, _: &Unit<'_, E>) -> Result<(), StoreError> {
        Ok(())
    }
    /// Runs after the commit, before any caller is answered.
    fn after(&mut self, effects: Vec<E>, turn: Option<Turn>);
    /// Runs in a transaction of its own when nothing more is let in.
    fn leave(&mut self, _: &Unit<'_, E>) -> Result<(), StoreError> {
        Ok(())
    }
}
