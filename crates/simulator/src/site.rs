//! A provider: what it does with requests, and what becomes of them on the way.

use std::time::Duration;

use evergrant_core::time::Timestamp;
use serde_json::json;

use crate::ledger::{Ledger, Pair, Presented};
use crate::plan::SitePlan;
use crate::rng::Rng;

/// How a provider is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// Nothing listens.
    Refused,
    /// Nothing answers the first packet.
    Unreachable,
    /// Errors, before anything is done.
    Errors,
    /// Errors of a gateway, behind which the work goes on.
    Gateway,
    /// It takes requests, works, and answers nothing.
    Silent,
    /// It limits the rate.
    Limited,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lot {
    /// It is answered.
    Answered,
    /// It never leaves.
    Unsent,
    /// It is lost on its way, and the connection breaks.
    LostBefore,
    /// It is worked on, and the connection breaks before the answer.
    LostAfter,
    /// It is worked on, and the answer breaks off.
    Cut,
    /// It is worked on, and nothing comes until patience ends.
    Silence,
    /// An error before anything is done.
    ErrorBefore,
    /// A gateway's error after it was worked on.
    ErrorAfter,
    /// The rate is limited.
    Limited,
    /// A page under 200, before anything is done.
    PageBefore,
    /// A page under 200, after it was worked on.
    PageAfter,
    /// Refused without saying why.
    Rejected,
    /// An error that nobody knows.
    Strange,
    /// An answer without an access token.
    RefreshAlone,
}

const UNUSUAL: [(u32, Lot); 13] = [
    (3, Lot::Unsent),
    (10, Lot::LostBefore),
    (12, Lot::LostAfter),
    (8, Lot::Cut),
    (4, Lot::Silence),
    (6, Lot::ErrorBefore),
    (6, Lot::ErrorAfter),
    (4, Lot::Limited),
    (2, Lot::PageBefore),
    (2, Lot::PageAfter),
    (2, Lot::Rejected),
    (1, Lot::Strange),
    (3, Lot::RefreshAlone),
];

/// What a request asks for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Other tokens for this refresh token.
    Refresh(String),
    /// The end of this token.
    Revoke(String),
    /// Something that no provider here knows.
    Other,
}

/// What a provider answers.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// How long it asks to wait.
    pub retry_after: Option<u32>,
    /// The body.
    pub body: String,
    /// The refresh token in it.
    pub gives: Option<String>,
    /// The access token in it.
    pub access: Option<String>,
}

/// A provider.
#[derive(Debug)]
pub struct Site {
    /// What the seed chose for it.
    pub plan: SitePlan,
    /// Its books.
    pub ledger: Ledger,
    /// How it is away just now.
    pub away: Option<Away>,
    /// Whether it refuses the client.
    pub refuses_client: bool,
    rng: Rng,
}

impl Site {
    /// A new one.
    pub fn new(at: usize, plan: &SitePlan, mut rng: Rng) -> Self {
        let ledger = Ledger::new(at, plan, Rng::new(rng.next(), 1));
        Site { plan: plan.clone(), ledger, away: None, refuses_client: false, rng }
    }

    /// How it goes away.
    pub fn go_away(&mut self) -> Away {
        let away = [Away::Refused, Away::Unreachable, Away::Errors, Away::Gateway, Away::Silent, Away::Limited];
        let away = self.rng.pick(&away);
        self.away = Some(away);
        away
    }

    /// How long a connection takes to be made; none: it never is.
    pub fn connects(&mut self, calm: bool) -> Result<Duration, Option<Duration>> {
        let takes = Duration::from_millis(self.rng.range(5, 200));
        match self.away {
            Some(Away::Refused) => Err(Some(takes)),
            Some(Away::Unreachable) => Err(None),
            _ if !calm && self.rng.chance(self.plan.refused) => Err(self.rng.chance(0.8).then_some(takes)),
            _ => Ok(takes),
        }
    }

    /// What becomes of a request: its lot, when the provider works on it, and when its sender hears of the end.
    pub fn lot(&mut self, calm: bool) -> (Lot, Duration, Duration) {
        let lot = match self.away {
            Some(Away::Errors) => Lot::ErrorBefore,
            Some(Away::Gateway) => Lot::ErrorAfter,
            Some(Away::Silent) => Lot::Silence,
            Some(Away::Limited) => Lot::Limited,
            _ if !calm && self.rng.chance(self.plan.trouble) => self.rng.weighted(&UNUSUAL),
            _ => Lot::Answered,
        };
        let slow = !calm && self.rng.chance(0.02);
        let work = Duration::from_millis(if slow { self.rng.range(500, 20_000) } else { self.rng.range(10, 300) });
        let back = Duration::from_millis(if slow { self.rng.range(1000, 90_000) } else { self.rng.range(5, 200) });
        (lot, work, work + back)
    }

    /// Works on a request.
    pub fn work(&mut self, asked: &Asked, lot: Lot, now: Timestamp) -> Reply {
        if self.refuses_client {
            return Reply { status: 401, body: r#"{"error":"invalid_client"}"#.to_owned(), ..Reply::default() };
        }
        let error = |status, body: &str| Reply { status, body: body.to_owned(), ..Reply::default() };
        match lot {
            Lot::ErrorBefore => {
                let retry_after = self.rng.chance(0.3).then(|| self.rng.range(1, 120) as u32);
                return Reply { retry_after, ..error(503, "busy") };
            }
            Lot::Limited => {
                let retry_after = self.rng.chance(0.7).then(|| self.rng.range(1, 600) as u32);
                return Reply { retry_after, ..error(429, r#"{"error":"rate_limited"}"#) };
            }
            Lot::PageBefore => return error(200, "<html>we are working on it</html>"),
            Lot::Rejected | Lot::Strange => {
                if let Asked::Refresh(token) = asked
                    && let Some(refresh) = self.ledger.refresh_mut(token)
                {
                    refresh.refused += 1;
                }
                return if lot == Lot::Rejected { error(403, "") } else { error(404, "not here") };
            }
            _ => {}
        }
        let reply = match asked {
            Asked::Refresh(token) => self.refresh(token, lot, now),
            Asked::Revoke(token) => {
                self.ledger.revoke(token);
                error(200, "{}")
            }
            Asked::Other => error(404, "not here"),
        };
        match lot {
            Lot::ErrorAfter => error(502, "bad gateway"),
            Lot::PageAfter => error(200, "<html>done</html>"),
            _ => reply,
        }
    }

    fn refresh(&mut self, token: &str, lot: Lot, now: Timestamp) -> Reply {
        match self.ledger.present(token, now) {
            Presented::Dead => {
                if let Some(refresh) = self.ledger.refresh_mut(token) {
                    refresh.called_dead += 1;
                }
                Reply { status: 400, body: r#"{"error":"invalid_grant"}"#.to_owned(), ..Reply::default() }
            }
            Presented::Pair(pair) => {
                let body = self.body(&pair, lot == Lot::RefreshAlone);
                Reply { status: 200, body, gives: pair.refresh, access: Some(pair.access), ..Reply::default() }
            }
        }
    }

    fn body(&mut self, pair: &Pair, refresh_alone: bool) -> String {
        let seconds = self.plan.life.as_secs();
        let told = if self.rng.chance(self.plan.lies) {
            self.ledger.lied(&pair.access);
            let odd =
                [json!(null), json!(0), json!(-5), json!("soon"), json!(seconds * 1000), json!(4e12), json!(true)];
            odd[self.rng.below(odd.len() as u64) as usize].clone()
        } else if self.rng.chance(0.2) {
            json!(seconds.to_string())
        } else {
            json!(seconds)
        };
        let mut fields = vec![("token_type", json!("Bearer")), ("expires_in", told)];
        if !refresh_alone || pair.refresh.is_none() {
            fields.push(("access_token", json!(pair.access)));
        }
        if let Some(refresh) = &pair.refresh {
            fields.push(("refresh_token", json!(refresh)));
        }
        let mut written = Vec::new();
        while !fields.is_empty() {
            let (name, value) = fields.swap_remove(self.rng.below(fields.len() as u64) as usize);
            written.push(format!("\"{name}\":{value}"));
        }
        format!("{{{}}}", written.join(","))
    }

    /// Where an answer breaks off.
    pub fn cut(&mut self, length: usize) -> usize {
        self.rng.below(length as u64) as usize
    }
}
