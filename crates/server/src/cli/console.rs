//! Where a command's words go: the result to standard output, once, everything else to standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use evergrant_core::time::Timestamp;
use serde_json::Value;

use super::error::{CliError, Result};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Environment;

/// What a command is given besides its arguments.
#[derive(Debug)]
pub(crate) struct Console {
    /// Whether the result is one JSON document.
    pub(super) json: bool,
    /// The variables.
    pub(super) environment: Environment,
}

impl Console {
    /// Prints the result: the document itself with `--json`, else what `human` makes of it.
    pub(super) fn show(&self, document: &Value, human: impl FnOnce(&Value) -> String) -> Result<()> {
        if self.json {
            return print(&format!("{document:#}\n"));
        }
        print(&human(document))
    }

    /// Says something that is not the result.
    pub(super) fn note(&self, words: &str) {
        // Nobody may be listening to standard error; that changes nothing of what is done.
        let _ = writeln!(std::io::stderr().lock(), "{words}");
    }

    /// The wall clock.
    pub(super) fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// Waits.
    pub(super) async fn pause(&self, span: Duration) {
        SystemClock.sleep(span).await;
    }

    /// Whether standard error may be coloured and drawn upon.
    pub(super) fn is_lively(&self) -> bool {
        std::io::stderr().is_terminal() && self.wants_colour()
    }

    /// Whether standard output may be coloured.
    pub(super) fn is_colourful(&self) -> bool {
        std::io::stdout().is_terminal() && self.wants_colour()
    }

    fn wants_colour(&self) -> bool {
        self.environment.get("NO_COLOR").is_none() && self.environment.get("TERM") != Some("dumb")
    }
}

/// Writes to standard output; a panic at a closed pipe, as `println!` has it, is no way to end.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|why| CliError::Stream { stream: "standard output", why })
}
