//! The faults that are on, and what they come to for one request.

use std::time::Duration;

use crate::faults::{Canned, Endpoint, Fault, FaultRule};

/// What a request is, as far as faults care.
pub(crate) struct Aim<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) account: Option<&'a str>,
    pub(crate) grant_type: Option<&'a str>,
}

/// The faults that are on.
#[derive(Default)]
pub(crate) struct Switchboard {
    rules: Vec<FaultRule>,
}

impl Switchboard {
    /// Switches a fault on, in the place of the same fault for the same requests.
    pub(crate) fn set(&mut self, rule: FaultRule) {
        self.rules.retain(|old| !old.same_place(&rule));
        if rule.count != Some(0) {
            self.rules.push(rule);
        }
    }

    /// Switches every fault of this name off; how many there were.
    pub(crate) fn unset(&mut self, name: &str) -> usize {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.fault.name() != name);
        before - self.rules.len()
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    /// What happens to this request; counts it.
    pub(crate) fn plan(&mut self, aim: &Aim<'_>) -> Plan {
        let wants = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        let mut plan = Plan::default();
        for rule in &mut self.rules {
            let fits = rule.endpoint == aim.endpoint
                && wants(&rule.client_id, aim.client_id)
                && wants(&rule.account, aim.account)
                && wants(&rule.grant_type, aim.grant_type);
            if fits && plan.add(rule) {
                rule.count = rule.count.map(|left| left - 1);
            }
        }
        self.rules.retain(|rule| rule.count != Some(0));
        plan
    }
}

/// What happens to one request.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) names: Vec<String>,
    pub(crate) delay: Duration,
    pub(crate) hold: bool,
    pub(crate) hang: bool,
    pub(crate) cut_before: bool,
    pub(crate) canned: Option<Canned>,
    pub(crate) echo_token: bool,
    pub(crate) spends: bool,
    pub(crate) omits: Option<&'static str>,
    pub(crate) delay_answer: Duration,
    pub(crate) hold_answer: bool,
    pub(crate) delivery: Delivery,
}

/// How the answer's bytes go out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Delivery {
    #[default]
    Whole,
    Nothing,
    CutInside(Option<usize>),
    Drip {
        every: Duration,
        bytes: usize,
    },
    WrongLength(i64),
}

impl Plan {
    /// Adds a rule; false when something before it has taken its place.
    fn add(&mut self, rule: &FaultRule) -> bool {
        let answered = self.canned.is_some() || self.echo_token;
        match &rule.fault {
            Fault::Answer(_) | Fault::EchoToken if answered => return false,
            Fault::Delay(span) => self.delay += *span,
            Fault::DelayAnswer(span) => self.delay_answer += *span,
            Fault::Hold => self.hold = true,
            Fault::HoldAnswer => self.hold_answer = true,
            Fault::Hang => self.hang = true,
            Fault::CutBefore => self.cut_before = true,
            Fault::CutAfter => return self.deliver(rule, Delivery::Nothing),
            Fault::CutInside(at) => return self.deliver(rule, Delivery::CutInside(*at)),
            Fault::Drip { every, bytes } => {
                return self.deliver(rule, Delivery::Drip { every: *every, bytes: (*bytes).max(1) });
            }
            Fault::WrongLength(by) => return self.deliver(rule, Delivery::WrongLength(*by)),
            Fault::Answer(canned) => {
                self.canned = Some(canned.clone());
                self.spends = rule.spends;
            }
            Fault::EchoToken => {
                self.echo_token = true;
                self.spends = rule.spends;
            }
            Fault::OmitExpiresIn => self.omits = Some("expires_in"),
            Fault::OmitAccessToken => self.omits = Some("access_token"),
        }
        self.names.push(rule.fault.name().to_owned());
        true
    }

    fn deliver(&mut self, rule: &FaultRule, delivery: Delivery) -> bool {
        if self.delivery != Delivery::Whole {
            return false;
        }
        self.delivery = delivery;
        self.names.push(rule.fault.name().to_owned());
        true
    }

    /// Whether the judge itself decides about this request.
    pub(crate) fn decides(&self) -> bool {
        !self.cut_before && !self.hang && (self.spends || (self.canned.is_none() && !self.echo_token))
    }
}
