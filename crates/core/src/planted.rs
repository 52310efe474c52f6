//! Bugs that can be planted on purpose: each breaks one rule, and whoever judges the whole must notice.
//!
//! A rig that never fails proves nothing. So the places that the promises hang on ask [`is`], which without the feature
//! `planted` is a constant `false` that the compiler removes. With the feature, one bug can be chosen for the process; the
//! program that does so is `evergrant-planted`, and the simulator chooses from within. The feature does not build with
//! optimisation's settings, so no release can have it.
//!
//! Does not read the environment and decides nothing: who plants is the edge.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("planted bugs are for tests: the feature `planted` does not build in a release");

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Bug {
    /// A new token is shown before the commit holds.
    HandOutBeforeCommit = 1,
    /// A success replaces whatever grant is stored, not only the one it was sent from.
    NoGenerationCheck,
    /// A verdict counts also from somebody whose lease is another's by now.
    NoVerdictFence,
    /// A sending without an answer is repeated at once, within the attempt.
    RetryAfterTimeout,
    /// An unreadable success is taken for unspent, and sent again at once.
    RetryAfterMalformed,
    /// The lease ends before the provider's time to answer, and is not renewed.
    ShortLease,
    /// A caller that goes away takes the refresh with it.
    CallerCancels,
    /// The answer is journalled only after it has been parsed, and only if it could be.
    JournalAfterParsing,
    /// The journal forgets an answer before its commit is acknowledged.
    JournalForgetsEarly,
    /// A commit whose outcome is unknown counts as failed, and the token is spent again.
    CommitErrorSpendsAgain,
    /// The sending counts as ended before its outcome is committed.
    IntentClosedEarly,
    /// An answer without a new refresh token erases the stored one.
    EmptyRefreshTokenErases,
    /// Trouble that passes counts against the grant.
    TransientCountsAsAuth,
    /// Notices are written after the transaction that they report, not in it.
    NoticeOutsideTransaction,
    /// The cache is not told of a disconnect.
    CacheKeepsDisconnected,
    /// What is sealed for one connection opens for another.
    SealWithoutConnection,
    /// Leases go by the clock of each process.
    WallClockLeases,
    /// A new access token is used before its commit.
    UseBeforeCommit,
    /// A sending is written down without a look at the fence.
    IntentWithoutFence,
    /// No fence is looked at anywhere.
    FenceRemoved,
    /// A failure deletes the tokens.
    DeleteOnFailure,
}

impl Bug {
    /// All of them. The first nineteen are what a rig over real processes must catch; the simulator's three mutations are
    /// [`Bug::FenceRemoved`], [`Bug::HandOutBeforeCommit`] and [`Bug::DeleteOnFailure`].
    pub const ALL: [Bug; 21] = [
        Bug::HandOutBeforeCommit,
        Bug::NoGenerationCheck,
        Bug::NoVerdictFence,
        Bug::RetryAfterTimeout,
        Bug::RetryAfterMalformed,
        Bug::ShortLease,
        Bug::CallerCancels,
        Bug::JournalAfterParsing,
        Bug::JournalForgetsEarly,
        Bug::CommitErrorSpendsAgain,
        Bug::IntentClosedEarly,
        Bug::EmptyRefreshTokenErases,
        Bug::TransientCountsAsAuth,
        Bug::NoticeOutsideTransaction,
        Bug::CacheKeepsDisconnected,
        Bug::SealWithoutConnection,
        Bug::WallClockLeases,
        Bug::UseBeforeCommit,
        Bug::IntentWithoutFence,
        Bug::FenceRemoved,
        Bug::DeleteOnFailure,
    ];

    /// Its name, as a variable or an argument says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Bug::HandOutBeforeCommit => "hand-out-before-commit",
            Bug::NoGenerationCheck => "no-generation-check",
            Bug::NoVerdictFence => "no-verdict-fence",
            Bug::RetryAfterTimeout => "retry-after-timeout",
            Bug::RetryAfterMalformed => "retry-after-malformed",
            Bug::ShortLease => "short-lease",
            Bug::CallerCancels => "caller-cancels",
            Bug::JournalAfterParsing => "journal-after-parsing",
            Bug::JournalForgetsEarly => "journal-forgets-early",
            Bug::CommitErrorSpendsAgain => "commit-error-spends-again",
            Bug::IntentClosedEarly => "intent-closed-early",
            Bug::EmptyRefreshTokenErases => "empty-refresh-token-erases",
            Bug::TransientCountsAsAuth => "transient-counts-as-auth",
            Bug::NoticeOutsideTransaction => "notice-outside-transaction",
            Bug::CacheKeepsDisconnected => "cache-keeps-disconnected",
            Bug::SealWithoutConnection => "seal-without-connection",
            Bug::WallClockLeases => "wall-clock-leases",
            Bug::UseBeforeCommit => "use-before-commit",
            Bug::IntentWithoutFence => "intent-without-fence",
            Bug::FenceRemoved => "fence-removed",
            Bug::DeleteOnFailure => "delete-on-failure",
        }
    }

    /// The bug of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Bug> {
        Bug::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

/// Whether this bug is planted in the process. Without the feature `planted`: never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use chosen::{is, plant};

#[cfg(feature = "planted")]
mod chosen {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    static CHOSEN: AtomicU8 = AtomicU8::new(0);

    /// Whether this bug is planted in the process.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        CHOSEN.load(Ordering::Relaxed) == bug as u8
    }

    /// Plants a bug in the whole process, in the place of another; none: nothing is broken any more.
    pub fn plant(bug: Option<Bug>) {
        CHOSEN.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own() {
        for bug in Bug::ALL {
            assert_eq!(Bug::named(bug.name()), Some(bug));
        }
    }

    #[cfg(not(feature = "planted"))]
    #[test]
    fn an_ordinary_build_has_none() {
        assert!(Bug::ALL.into_iter().all(|bug| !is(bug)));
    }
}
