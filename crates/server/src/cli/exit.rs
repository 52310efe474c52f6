//! How a command ends: the exit codes of `docs/cli.md`, made in one place out of what went wrong.

use std::process::ExitCode;

use serde_json::Value;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It failed, and none of the others fits.
    Failed = 1,
    /// What was typed cannot be.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// The subject must act.
    NeedsSubject = 4,
    /// The operator must act.
    NeedsOperator = 5,
    /// It may work later.
    TryLater = 6,
}

impl Exit {
    /// What a problem document of the API means: who has to do something decides, and the status where that is "the caller".
    pub(super) fn of_problem(status: u16, action: &str) -> Exit {
        match (action, status) {
            ("reconnect", _) => Exit::NeedsSubject,
            ("wait" | "retry", _) => Exit::TryLater,
            ("fix_integration", _) => Exit::NeedsOperator,
            (_, 404) => Exit::NotFound,
            (_, 400 | 413 | 422) => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

impl Exit {
    /// What the answer to a forced refresh means; none when it brought a token.
    pub(super) fn of_outcome(answer: &Value) -> Option<Exit> {
        let status = answer.pointer("/connection/status").and_then(Value::as_str);
        match (answer["outcome"].as_str(), status) {
            (Some("success"), _) => None,
            (_, Some("needs_reauth")) => Some(Exit::NeedsSubject),
            (Some("invalid_client"), _) | (_, Some("error")) => Some(Exit::NeedsOperator),
            _ => Some(Exit::TryLater),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_who_must_act_decides_over_the_exit_code() {
        let table = [
            (424, "reconnect", Exit::NeedsSubject),
            (404, "reconnect", Exit::NeedsSubject),
            (503, "wait", Exit::TryLater),
            (429, "wait", Exit::TryLater),
            (502, "retry", Exit::TryLater),
            (424, "fix_integration", Exit::NeedsOperator),
            (404, "fix_request", Exit::NotFound),
            (422, "fix_request", Exit::Usage),
            (400, "fix_request", Exit::Usage),
            (401, "fix_request", Exit::Failed),
            (403, "fix_request", Exit::Failed),
            (409, "fix_request", Exit::Failed),
            (500, "contact_support", Exit::Failed),
        ];
        for (status, action, exit) in table {
            assert_eq!(Exit::of_problem(status, action), exit, "{status} {action}");
        }
    }
}
