//! An error document of the API (RFC 9457), read back: kept whole for `--json`, told in sentences otherwise.

use std::fmt;

use serde_json::Value;

use super::exit::Exit;
use super::table::plain;

/// A problem that the service answered.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: u16,
    document: Value,
}

impl Problem {
    /// Out of an answer that is not a success; a body that is no problem document becomes one, without its text.
    pub(super) fn read(status: u16, body: &[u8]) -> Problem {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let document = if document.get("action").is_some_and(Value::is_string) {
            document
        } else {
            serde_json::json!({
                "title": "This is not an answer of Evergrant",
                "status": status,
                "code": "unexpected_answer",
                "detail": format!("Status {status}, and not with the error document that Evergrant's API sends. \
                                   Is the URL that of an Evergrant service, and nothing else between?"),
                "action": "fix_request",
            })
        };
        Problem { status, document }
    }

    /// The document as the service sent it.
    pub(super) fn document(&self) -> &Value {
        &self.document
    }

    /// How the command ends.
    pub(super) fn exit(&self) -> Exit {
        Exit::of_problem(self.status, self.text("action"))
    }

    /// The code, for those who handle one.
    pub(super) fn code(&self) -> &str {
        self.text("code")
    }

    fn text(&self, name: &str) -> &str {
        self.document[name].as_str().unwrap_or_default()
    }

    /// What is to be done, as a sentence.
    fn next(&self) -> String {
        let link = [self.text("reconnect_url"), self.text("connect_url")].into_iter().find(|link| !link.is_empty());
        let seconds = self.document["retry_after"].as_u64();
        match (self.text("action"), link, seconds) {
            ("reconnect", Some(link), _) => format!("The subject must connect: {}", plain(link)),
            ("reconnect", None, _) => "The subject must connect: make a link with `evergrant connect-link`.".to_owned(),
            ("wait" | "retry", _, Some(seconds)) => format!("Try again in {seconds} s."),
            ("wait" | "retry", _, None) => "Try again.".to_owned(),
            ("fix_integration", _, _) if self.code() == "integration_paused" => {
                "`evergrant integrations edit NAME --resume` lets it go on.".to_owned()
            }
            ("fix_integration", _, _) if self.code() == "integration_misconfigured" => {
                "The operator must mend the integration: `evergrant doctor` says what is wrong, \
                 `evergrant integrations edit` changes it."
                    .to_owned()
            }
            _ if self.status == 401 => {
                "Put a valid API key into EVERGRANT_API_KEY; `evergrant keys create` makes one.".to_owned()
            }
            _ if self.status == 403 => "Use an API key with the permission that is named here.".to_owned(),
            ("contact_support", _, _) => {
                format!("The service's log says more about request {}.", plain(self.text("request_id")))
            }
            _ => String::new(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", plain(self.text("title")), plain(self.code()))?;
        for line in [plain(self.text("detail")), self.next().into()] {
            if !line.is_empty() {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_to_do_next() {
        let body = br#"{"title":"The subject must reconnect","status":424,"code":"needs_reauth","detail":"Dead.",
                        "action":"reconnect","reconnect_url":"https://host/connect/x"}"#;
        let problem = Problem::read(424, body);
        assert_eq!(problem.exit(), Exit::NeedsSubject);
        assert!(problem.to_string().contains("https://host/connect/x"), "{problem}");
    }

    #[test]
    fn an_answer_of_somebody_else_is_not_repeated() {
        let problem = Problem::read(502, b"<html>\x1b[2Jsecret</html>");
        assert!(!problem.to_string().contains("secret"));
        assert_eq!(problem.code(), "unexpected_answer");
    }
}
