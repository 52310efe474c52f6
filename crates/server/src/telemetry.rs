//! The log: one line an event, for people on a terminal, JSON for machines; levels by `RUST_LOG`.
//!
//! Never in it: tokens, secrets, codes, states, whole addresses with their queries, bodies of providers. A subject
//! appears as a keyed hash that is stable within an installation.

use std::fmt;
use std::io::IsTerminal as _;

use aws_lc_rs::hmac;
use evergrant_core::id::SubjectId;
use tracing_subscriber::EnvFilter;

/// Writes the log to stderr from here on. Quiet about libraries unless told otherwise: at TRACE some of them would
/// write what they send.
///
/// Called once, at the beginning; a second call changes nothing.
pub fn init(levels: Option<&str>, colour: bool) {
    let filter =
        EnvFilter::try_new(levels.unwrap_or("info,hyper=warn,rustls=warn")).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    // A line that cannot be written (a full disk under the log, a closed pipe) is left out: complaining of that on the same
    // stream would panic, and take down whoever had something to say.
    let log = log.log_internal_errors(false);
    let for_people = std::io::stderr().is_terminal();
    let _ = if for_people { log.compact().try_init() } else { log.json().flatten_event(true).try_init() };
}

/// Writes subjects, and other things that lines must be able to tell apart, as keyed hashes.
#[derive(Clone)]
pub struct Fingerprints {
    key: hmac::Key,
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<fingerprints>")
    }
}

impl Fingerprints {
    /// By a key that stays the same for an installation.
    pub fn new(key: &[u8]) -> Self {
        Fingerprints { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The first 8 hex digits of a keyed hash.
    pub fn of(&self, text: &str) -> String {
        let tag = hmac::sign(&self.key, text.as_bytes());
        tag.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// A subject for a line of the log.
    pub fn subject(&self, subject: &SubjectId) -> String {
        self.of(subject.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_the_same_eight_digits_within_an_installation_and_others_elsewhere() {
        let (here, elsewhere) = (Fingerprints::new(b"here"), Fingerprints::new(b"elsewhere"));
        let subject: SubjectId = "user-2".parse().unwrap();
        assert_eq!(here.subject(&subject), here.subject(&subject));
        assert_eq!(here.subject(&subject).len(), 8);
        assert_ne!(here.subject(&subject), elsewhere.subject(&subject));
    }
}
