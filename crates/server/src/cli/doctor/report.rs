//! What was looked at, what was found, and what to do about each finding.

use serde_json::{Value, json};

use super::super::table::plain;

/// Something wrong, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What is wrong.
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: String,
}

impl Finding {
    /// One finding.
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { what: what.into(), remedy: remedy.into() }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Check {
    name: &'static str,
    detail: String,
    looked: bool,
    findings: Vec<Finding>,
}

impl Check {
    /// Looked at, and this was found: nothing, at best.
    pub(super) fn of(name: &'static str, detail: impl Into<String>, findings: Vec<Finding>) -> Self {
        Check { name, detail: detail.into(), looked: true, findings }
    }

    /// Could not be looked at, which is no finding by itself.
    pub(super) fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Check { name, detail: why.into(), looked: false, findings: Vec::new() }
    }

    fn result(&self) -> &'static str {
        match (self.looked, self.findings.is_empty()) {
            (false, _) => "not_checked",
            (true, true) => "ok",
            (true, false) => "wrong",
        }
    }

    fn document(&self) -> Value {
        let finding = |finding: &Finding| json!({ "what": finding.what, "remedy": finding.remedy });
        let findings: Vec<Value> = self.findings.iter().map(finding).collect();
        json!({ "check": self.name, "result": self.result(), "detail": self.detail, "findings": findings })
    }

    fn text(&self, colourful: bool) -> String {
        let (word, colour) = match self.result() {
            "ok" => ("ok     ", "32"),
            "wrong" => ("WRONG  ", "31"),
            _ => ("skipped", "33"),
        };
        let word = if colourful { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word.to_owned() };
        let mut text = format!("{word}  {}: {}\n", self.name.replace('_', " "), plain(&self.detail));
        for finding in &self.findings {
            text.push_str(&format!("         - {}\n           {}\n", plain(&finding.what), plain(&finding.remedy)));
        }
        text
    }
}

/// Whether nothing is wrong.
pub(super) fn is_well(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.findings.is_empty())
}

/// The whole as one document.
pub(super) fn document(checks: &[Check]) -> Value {
    json!({ "ok": is_well(checks), "checks": checks.iter().map(Check::document).collect::<Vec<_>>() })
}

/// The whole for people.
pub(super) fn text(checks: &[Check], colourful: bool) -> String {
    let findings: usize = checks.iter().map(|check| check.findings.len()).sum();
    let sum = match findings {
        0 => "Nothing is wrong.".to_owned(),
        1 => "One thing is wrong; the line below it says what to do.".to_owned(),
        many => format!("{many} things are wrong; the line below each says what to do."),
    };
    let lines: String = checks.iter().map(|check| check.text(colourful)).collect();
    format!("{lines}{sum}\n")
}
