//! How persons are reached, and how many mails each got lately.

use std::time::Duration;

use evergrant_core::id::SubjectId;
use evergrant_core::telling::Contact;
use evergrant_core::time::Timestamp;

use crate::db::values;
use crate::error::StoreError;
use crate::row::json;
use crate::store::Store;

/// The span over which mails are counted.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is known of how to reach a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// What the application said.
    pub contact: Contact,
    /// When the last mail was sent.
    pub mailed_at: Option<Timestamp>,
    /// When the count began.
    pub since: Option<Timestamp>,
    /// Mails since then.
    pub mails: u64,
}

impl Reach {
    /// When another mail may be sent, if that is not now: a while after the last one, and not more than `most` a day.
    pub fn mail_not_before(&self, interval: Duration, most: u64, now: Timestamp) -> Option<Timestamp> {
        let after_last = self.mailed_at.map(|at| at.plus(interval));
        let after_day = self.since.filter(|_| self.mails >= most).map(|since| since.plus(DAY));
        after_last.max(after_day).filter(|at| *at > now)
    }
}

impl Store {
    /// How a person is reached.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn reach(&self, subject: &SubjectId) -> Result<Reach, StoreError> {
        let subject = subject.clone();
        let text = "SELECT document, mailed_at, mails_since, mails FROM contacts WHERE subject = ?1";
        self.read(move |sql, _| {
            let found = sql.one(text, values![subject], |row| {
                let (contact, mailed_at) = (row.json(0)?, row.opt_time(1)?);
                Ok(Reach { contact, mailed_at, since: row.opt_time(2)?, mails: row.count(3)? })
            })?;
            Ok(found.unwrap_or_default())
        })
        .await
    }

    /// Stores how a person is reached.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn put_contact(&self, subject: &SubjectId, contact: &Contact, now: Timestamp) -> Result<(), StoreError> {
        let (subject, document) = (subject.clone(), json(contact)?);
        let text = "INSERT INTO contacts (subject, document, mails, updated_at) VALUES (?1, ?2, 0, ?3) \
                    ON CONFLICT (subject) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at";
        self.write(move |tx, _| tx.run_one("contacts", text, values![subject, document, now])).await
    }

    /// Notes that a mail was sent.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn mailed(&self, subject: &SubjectId, now: Timestamp) -> Result<(), StoreError> {
        let (subject, day_ago) = (subject.clone(), now.minus(DAY));
        let text = "UPDATE contacts SET mailed_at = ?2, \
                    mails = CASE WHEN mails_since IS NULL OR mails_since <= ?3 THEN 1 ELSE mails + 1 END, \
                    mails_since = CASE WHEN mails_since IS NULL OR mails_since <= ?3 THEN ?2 ELSE mails_since END \
                    WHERE subject = ?1";
        self.write(move |tx, _| tx.run(text, values![subject, now, day_ago]).map(drop)).await
    }
}
