//! The switches of `/control/{switch}`: their names, what they do, and how a request becomes a fault.

use std::time::Duration;

use crate::faults::{Canned, Endpoint, Fault, FaultRule};
use crate::wire::Form;

/// A switch, as `GET /control` and the page list it.
pub(crate) struct Switch {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) fields: &'static [&'static str],
}

const fn switch(name: &'static str, what: &'static str, fields: &'static [&'static str]) -> Switch {
    Switch { name, what, fields }
}

/// The fields that every fault takes besides its own.
pub(crate) const COMMON_FIELDS: [&str; 7] = ["client_id", "account", "count", "endpoint", "grant_type", "spends", "on"];

/// Every switch.
pub(crate) const SWITCHES: [Switch; 24] = [
    switch(
        "revoke",
        "Ends grants, as a person does in the settings of the provider.",
        &["account", "client_id", "token"],
    ),
    switch("lose-next-answer", "Rotates, and loses the next answer on the way.", &[]),
    switch("answer-500", "Answers 500 Internal Server Error.", &[]),
    switch("rate-limit", "Answers 429 Too Many Requests.", &["retry_after"]),
    switch(
        "rotate-client-secret",
        "Gives the client a new secret; the old one stops working.",
        &["client_id", "client_secret"],
    ),
    switch("delay", "Waits before deciding.", &["millis"]),
    switch("delay-answer", "Rotates, and waits before answering.", &["millis"]),
    switch("hold", "Waits before deciding until Release is pressed.", &[]),
    switch("hold-answer", "Rotates, and waits before answering until Release is pressed.", &[]),
    switch("release", "Lets go of what is held.", &[]),
    switch("hang", "Never answers; the connection stays open.", &[]),
    switch("cut-before", "Closes the connection before anything is spent.", &[]),
    switch("cut-after", "Rotates, and closes the connection without an answer.", &[]),
    switch("cut-inside", "Rotates, and cuts the answer after so many bytes of its body.", &["at"]),
    switch("drip", "Answers a few bytes at a time.", &["millis", "bytes"]),
    switch("wrong-length", "Declares a body longer (or shorter) than it is.", &["bytes"]),
    switch("status", "Answers any status with any body.", &["status", "body", "content_type", "retry_after"]),
    switch("html", "Answers a maintenance page under 200.", &["body"]),
    switch("echo-token", "Refuses, and repeats the refresh token in the error's text.", &[]),
    switch("invalid-client", "Answers invalid_client.", &[]),
    switch("omit-expires-in", "Leaves expires_in out of the answer.", &[]),
    switch("omit-access-token", "Rotates, and leaves access_token out of the answer.", &[]),
    switch("flood", "Answers more than 256 KiB.", &["bytes"]),
    switch("redirect", "Answers a redirect.", &["location", "status"]),
];

/// What stands beside the faults: switches everything off.
pub(crate) const RESET: Switch = switch("reset", "Switches all faults off and lets go of what is held.", &[]);

/// The fault that a switch sets, for whom and how often; `None` when no fault has this name.
///
/// # Errors
/// In words, when a field cannot be read.
pub(crate) fn rule(name: &str, form: &Form) -> Result<Option<FaultRule>, String> {
    let Some(fault) = fault(name, form)? else {
        return Ok(None);
    };
    let once = name == "lose-next-answer";
    let count = form.parse_as("count")?.or(once.then_some(1));
    let endpoint = match form.get("endpoint") {
        None => Endpoint::Token,
        Some(name) => Endpoint::named(name).ok_or_else(|| format!("no endpoint `{name}`"))?,
    };
    let text = |name: &str| form.get(name).map(str::to_owned);
    Ok(Some(FaultRule {
        fault,
        client_id: text("client_id"),
        account: text("account"),
        endpoint,
        grant_type: text("grant_type"),
        count,
        spends: form.is_on("spends"),
    }))
}

fn fault(name: &str, form: &Form) -> Result<Option<Fault>, String> {
    let millis = |or: u64| Ok::<_, String>(Duration::from_millis(form.parse_as("millis")?.unwrap_or(or)));
    Ok(Some(match name {
        "delay" => Fault::Delay(millis(1000)?),
        "delay-answer" => Fault::DelayAnswer(millis(1000)?),
        "hold" => Fault::Hold,
        "hold-answer" => Fault::HoldAnswer,
        "hang" => Fault::Hang,
        "cut-before" => Fault::CutBefore,
        "cut-after" | "lose-next-answer" => Fault::CutAfter,
        "cut-inside" => Fault::CutInside(form.parse_as("at")?),
        "drip" => Fault::Drip { every: millis(50)?, bytes: form.parse_as("bytes")?.unwrap_or(16) },
        "wrong-length" => Fault::WrongLength(form.parse_as("bytes")?.unwrap_or(10)),
        "echo-token" => Fault::EchoToken,
        "omit-expires-in" => Fault::OmitExpiresIn,
        "omit-access-token" => Fault::OmitAccessToken,
        _ => return Ok(canned(name, form)?.map(Fault::Answer)),
    }))
}

fn canned(name: &str, form: &Form) -> Result<Option<Canned>, String> {
    Ok(Some(match name {
        "answer-500" => Canned::error_500(),
        "rate-limit" => Canned::rate_limit(form.get("retry_after")),
        "invalid-client" => Canned::invalid_client(),
        "flood" => Canned::flood(form.parse_as("bytes")?.unwrap_or(300 << 10)),
        "html" => {
            let page = Canned::html();
            form.get("body").map_or(page.clone(), |body| Canned { body: body.into(), ..page })
        }
        "redirect" => {
            let answer = Canned::redirect(form.get("location").unwrap_or("https://elsewhere.example/token"));
            Canned { status: form.parse_as("status")?.unwrap_or(302), ..answer }
        }
        "status" => {
            let status = form.parse_as("status")?.unwrap_or(503);
            if !(200..600).contains(&status) {
                return Err("`status` is between 200 and 599".to_owned());
            }
            let kind = form.get("content_type").unwrap_or("text/plain");
            let answer = Canned::new("status", status, kind, form.get("body").unwrap_or(""));
            form.get("retry_after").into_iter().fold(answer, |answer, value| answer.with("retry-after", value))
        }
        _ => return Ok(None),
    }))
}

impl Switch {
    /// Its name on a button.
    pub(crate) fn label(&self) -> String {
        let words = match self.name {
            "lose-next-answer" => "lose the next answer".to_owned(),
            "rotate-client-secret" => "rotate the client secret".to_owned(),
            name => name.replace('-', " "),
        };
        let mut letters = words.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    }
}
