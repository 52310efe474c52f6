//! What became of a grant, told from the judge's books and from what its keeper holds at rest.
//!
//! The judge cannot see into the keeper: the caller brings what is stored there, and whether the keeper says that the
//! connection works. It knows exactly, on the other hand, which answers the keeper's process had read.

use serde::{Deserialize, Serialize};

use crate::books::Ending;
use crate::clock::Moment;
use crate::config::ReplayKind;
use crate::ledger::{Decision, End, Spend};
use crate::secrets::fingerprint;
use crate::state::State;

/// What has become of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// What is held would bring tokens now.
    Ok,
    /// The grant was ended on purpose, by the person or by the client.
    Revoked,
    /// What is held has expired.
    Expired,
    /// What is held was used up or replaced, and what replaced it is not held.
    Lost(Loss),
    /// What is held was issued for another client or account.
    Crossed {
        /// The client that it was issued to.
        client_id: String,
        /// The account that it was issued for.
        account: String,
    },
    /// What is held was never issued here.
    Unknown,
}

/// How a grant was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Whether the keeper could have kept it: the answer had been read by its process, or the provider would have
    /// given it again. A loss that is not closable is one whose only copy never arrived.
    pub closable: bool,
    /// The use whose answer is missing.
    pub spend: Option<usize>,
    /// When that answer had been written whole.
    pub written_at: Option<Moment>,
    /// When its connection ended; for a killed client, the moment of the kill.
    pub closed_at: Option<Moment>,
    /// How its connection ended.
    pub end: Option<End>,
}

/// A verdict beside what the keeper says of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It lives and is said to live.
    Ok,
    /// It was ended on purpose, and that is said.
    Reported,
    /// It was lost, that is said, and it could have been kept.
    LostClosable,
    /// It was lost, that is said, and nobody could have kept it.
    LostInFlight,
    /// It is dead, and the keeper says that it works.
    Unreported,
    /// It lives, and the keeper asks for a new consent.
    FalseAlarm,
    /// Somebody else's token is held.
    Crossed,
}

impl Verdict {
    /// Puts what the keeper says beside the verdict.
    #[must_use]
    pub fn beside(&self, says_connected: bool) -> Finding {
        match (self, says_connected) {
            (Self::Crossed { .. }, _) => Finding::Crossed,
            (Self::Ok, true) => Finding::Ok,
            (Self::Ok, false) => Finding::FalseAlarm,
            (_, true) => Finding::Unreported,
            (Self::Lost(loss), false) if !loss.closable => Finding::LostInFlight,
            (Self::Lost(_), false) => Finding::LostClosable,
            (Self::Revoked | Self::Expired | Self::Unknown, false) => Finding::Reported,
        }
    }
}

pub(crate) fn verdict(state: &State, client_id: &str, account: &str, held: &str, now: Moment) -> Verdict {
    let Some(text) = refresh_text(state, held) else {
        return Verdict::Unknown;
    };
    let (Some(token), Some(client)) = (state.books.refresh(&text), state.clients.get(client_id)) else {
        return Verdict::Unknown;
    };
    let family = state.books.family(token.family);
    if family.client_id != client_id || family.account != account {
        return Verdict::Crossed { client_id: family.client_id.clone(), account: family.account.clone() };
    }
    if state.books.would_bring(&text, client, now) {
        return Verdict::Ok;
    }
    match family.ended {
        Some((_, Ending::Client | Ending::Person)) => Verdict::Revoked,
        None if state.books.has_expired(&text, now) => Verdict::Expired,
        _ => Verdict::Lost(loss(state, &fingerprint(&text), client.replay)),
    }
}

/// The refresh token that is meant by a refresh token, its fingerprint or the access token that came with it.
fn refresh_text(state: &State, held: &str) -> Option<String> {
    if state.books.refresh(held).is_some() {
        return Some(held.to_owned());
    }
    if let Some(pair) = state.books.access(held) {
        return state.books.refresh_of(pair).map(|token| token.text.clone());
    }
    let mut tokens = state.books.refresh_tokens().rev();
    tokens.find(|token| fingerprint(&token.text) == held).map(|token| token.text.clone())
}

fn loss(state: &State, held: &str, replay: ReplayKind) -> Loss {
    let brought = |spend: &&Spend| {
        spend.token == held && matches!(spend.decision, Some(Decision::Rotated { .. } | Decision::Repeated { .. }))
    };
    let answers: Vec<&Spend> = state.ledger.spends.iter().filter(brought).collect();
    let read = answers.iter().find(|spend| spend.end.is_some_and(End::reached_client));
    let missing = read.or(answers.last());
    // Without any answer to what is held, the keeper itself has sent an older token while it held this one.
    let in_flight = read.is_none() && missing.is_some() && matches!(replay, ReplayKind::Single | ReplayKind::Family);
    Loss {
        closable: !in_flight,
        spend: missing.map(|spend| spend.number),
        written_at: missing.and_then(|spend| spend.written_at),
        closed_at: missing.and_then(|spend| spend.closed_at),
        end: missing.and_then(|spend| spend.end),
    }
}
