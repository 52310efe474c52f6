//! The rule by which a database is told from its copies and from older ones of itself. Pure.

use std::time::Duration;

use evergrant_core::time::Timestamp;

use super::QuarantineCause;
use super::mark::{Copied, JOURNAL_KEEPS, Mark};
use crate::db::Identity;

/// A database that is behind its folder by at most this has lost its last moments (a fail-over, a power cut): everything
/// that was answered since stands in the journal. The epoch is written every ten minutes.
const LAST_MOMENTS: Duration = Duration::from_secs(15 * 60);

/// What is seen when a database is opened, or looked at again.
pub(super) struct Seen<'a> {
    /// The database was made just now.
    pub is_new: bool,
    /// The database's marker of a copy.
    pub copied: Option<&'a Copied>,
    /// What the database says.
    pub row: Option<&'a Mark>,
    /// What the folder says.
    pub file: Option<&'a Mark>,
    /// The database as its server knows it; none for a file, which belongs to its folder.
    pub here: Option<&'a Identity>,
    /// The folder had a journal before this start.
    pub had_journal: bool,
}

impl Seen<'_> {
    /// Why nothing may be spent; none: the database is the latest of its deployment, and this folder may work on it.
    pub fn cause(&self) -> Option<QuarantineCause> {
        if self.is_new {
            return None;
        }
        if let Some(copied) = self.copied {
            return Some(copied.cause());
        }
        if self.was_copied() {
            return Some(QuarantineCause::Copied);
        }
        match (self.row, self.file) {
            (None, None) => None,
            // The folder has come further than a database without a name, which is an older one.
            (None, Some(file)) => (file.epoch > 0).then_some(QuarantineCause::Older),
            (Some(row), None) => self.cannot_be_joined(row).then_some(QuarantineCause::Copied),
            (Some(row), Some(file)) if row.deployment != file.deployment => Some(QuarantineCause::Copied),
            (Some(row), Some(file)) => {
                let behind = row.epoch < file.epoch;
                let healed = self.had_journal && file.at.since(row.at) <= LAST_MOMENTS;
                (behind && !healed).then_some(QuarantineCause::Older)
            }
        }
    }

    /// Whether the database is not the one in which its mark was written.
    fn was_copied(&self) -> bool {
        let home = self.row.and_then(|row| row.home.as_ref());
        home.zip(self.here).is_some_and(|(home, here)| !home.is(here))
    }

    /// Whether a folder that knows nothing may not begin here. A file belongs to its folder. A server has many nodes, and
    /// new ones come; but one that was recovered to another line of time is vouched for only by who knew the old one.
    fn cannot_be_joined(&self, row: &Mark) -> bool {
        match self.here {
            None => true,
            Some(here) => row.home.as_ref().is_some_and(|home| !home.is_on_line_of(here)),
        }
    }

    /// Whether the cause lies in the database, and not in the folder: then every node must know it.
    pub fn is_of_the_database(&self) -> bool {
        let behind = self.row.zip(self.file).is_some_and(|(row, file)| row.deployment == file.deployment);
        self.copied.is_some() || self.was_copied() || behind || self.row.is_none()
    }

    /// Whether this folder belongs to the deployment.
    pub fn is_ours(&self) -> bool {
        match (self.row, self.file) {
            (Some(row), Some(file)) => row.deployment == file.deployment,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    /// As of when the database is, as far as it says.
    pub fn taken_at(&self) -> Option<Timestamp> {
        let copied = self.copied.map(|copied| copied.at).filter(|at| at.as_millis() > 0);
        copied.or(self.row.map(|row| row.at))
    }

    /// Whether this folder's journal holds every answer since then: it was there, and no other folder had one.
    pub fn journal_is_whole(&self, place: &str, now: Timestamp) -> bool {
        let recent = self.taken_at().is_some_and(|at| at > now.minus(JOURNAL_KEEPS));
        let mut places = [self.row, self.file].into_iter().flatten().flat_map(|mark| mark.places.keys());
        self.had_journal && self.is_ours() && recent && places.all(|other| other == place)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn mark(deployment: &str, epoch: u64, seconds: i64, home: Option<Identity>) -> Mark {
        let deployment = format!("dep_{}", deployment.repeat(26)).parse().unwrap();
        Mark { deployment, epoch, at: Timestamp::from_seconds(seconds), places: BTreeMap::new(), home }
    }

    fn home(system: &str, line: &str) -> Option<Identity> {
        Some(Identity::of(system, line, 5, "1,2,3"))
    }

    #[test]
    fn a_database_is_told_from_its_copies() {
        const HOUR: i64 = 3600;
        let (older, copied) = (Some(QuarantineCause::Older), Some(QuarantineCause::Copied));
        let (lost, long) = (15 * 60, 15 * 60 + 1);
        // What it is, what the row, the file and the server say, whether the journal was there, what follows.
        let cases = [
            ("as ever", Some(mark("a", 5, 0, None)), Some(mark("a", 5, 0, None)), None, true, None),
            (
                "a crash between row and file",
                Some(mark("a", 6, 9, None)),
                Some(mark("a", 5, 0, None)),
                None,
                true,
                None,
            ),
            ("of an earlier version", None, None, None, true, None),
            ("of an earlier version, put back", None, Some(mark("a", 1, 0, None)), None, true, older),
            ("a crash in the first start", None, Some(mark("a", 0, 0, None)), None, true, None),
            ("a copied file", Some(mark("a", 5, 0, None)), None, None, false, copied),
            ("another's folder", Some(mark("a", 5, 0, None)), Some(mark("b", 5, 0, None)), None, true, copied),
            ("lost moments", Some(mark("a", 5, 0, None)), Some(mark("a", 7, lost, None)), None, true, None),
            (
                "lost moments, no journal",
                Some(mark("a", 5, 0, None)),
                Some(mark("a", 7, lost, None)),
                None,
                false,
                older,
            ),
            ("put back", Some(mark("a", 5, 0, None)), Some(mark("a", 7, long, None)), None, true, older),
            ("an hour old", Some(mark("a", 5, 0, None)), Some(mark("a", 11, HOUR, None)), None, true, older),
            (
                "a server",
                Some(mark("a", 5, 0, home("s", "1"))),
                Some(mark("a", 5, 0, None)),
                home("s", "1"),
                true,
                None,
            ),
            ("a new node", Some(mark("a", 5, 0, home("s", "1"))), None, home("s", "1"), false, None),
            (
                "a fail-over",
                Some(mark("a", 5, 0, home("s", "1"))),
                Some(mark("a", 5, 0, None)),
                home("s", "2"),
                true,
                None,
            ),
            ("a new node after recovery", Some(mark("a", 5, 0, home("s", "1"))), None, home("s", "2"), false, copied),
            (
                "a dump",
                Some(mark("a", 5, 0, home("s", "1"))),
                Some(mark("a", 5, 0, None)),
                home("t", "1"),
                true,
                copied,
            ),
            ("a dump, a new node", Some(mark("a", 5, 0, home("s", "1"))), None, home("t", "1"), false, copied),
        ];
        for (what, row, file, here, had_journal, expected) in cases {
            let (row, file, here) = (row.as_ref(), file.as_ref(), here.as_ref());
            let seen = Seen { is_new: false, copied: None, row, file, here, had_journal };
            assert_eq!(seen.cause(), expected, "{what}");
            let made = Copied::made(Timestamp::from_seconds(1));
            let marked = Seen { copied: Some(&made), ..seen };
            assert_eq!(marked.cause(), Some(QuarantineCause::Restored), "{what}, marked");
        }
    }

    #[test]
    fn a_journal_is_whole_where_no_other_folder_has_one() {
        let place = |mut mark: Mark, name: &str| {
            mark.places.insert(name.to_owned(), 0);
            mark
        };
        let (row, file) = (place(mark("a", 5, 100, None), "here"), place(mark("a", 6, 100, None), "here"));
        fn seen<'a>(row: Option<&'a Mark>, file: Option<&'a Mark>, had_journal: bool) -> Seen<'a> {
            Seen { is_new: false, copied: None, row, file, here: None, had_journal }
        }
        let now = Timestamp::from_seconds(200);
        assert!(seen(Some(&row), Some(&file), true).journal_is_whole("here", now));
        assert!(!seen(Some(&row), Some(&file), false).journal_is_whole("here", now));
        assert!(!seen(Some(&row), None, true).journal_is_whole("here", now));
        assert!(!seen(Some(&row), Some(&place(file.clone(), "there")), true).journal_is_whole("here", now));
        let late = now.plus(JOURNAL_KEEPS);
        assert!(!seen(Some(&row), Some(&file), true).journal_is_whole("here", late));
    }
}
