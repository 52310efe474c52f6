//! When a grant is fresh, when it is due, and what a caller who asks now gets.
//!
//! Derived from the grant, the numbers and the clock; never stored except as the time of the next look.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connection::{Life, ReauthReason, Status};
use crate::grant::GrantFacts;
use crate::lifetime::Expiry;
use crate::policy::Policy;
use crate::provider::{CredentialKind, Provider, RefreshLifetimeKind, Renewal, ReplayKind};
use crate::time::Timestamp;

/// A grant whose lifetime nobody knows is refreshed this often, if it can be (docs/lifecycle.md, "Lifetimes").
const UNKNOWN_LIFETIME_REFRESH: Duration = Duration::from_secs(24 * 3600);
/// The margin of grants that renew themselves by the live access token (Facebook, Instagram, Threads).
const SELF_RENEWAL_MARGIN: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long before its end a static credential's end is told, at most a third of its life.
const END_TOLD_AHEAD: Duration = Duration::from_secs(7 * 24 * 3600);
/// For so long a provider may give an answer again at most: ten minutes is the longest time known of any (Atlassian).
const GIVEN_AGAIN: Duration = Duration::from_secs(600);

/// How fresh an access token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// More than the margin remains.
    Valid,
    /// Inside the margin.
    ExpiringSoon,
    /// It has ended.
    Expired,
    /// No lifetime is known and the provider issues none.
    NonExpiring,
    /// No access token is stored.
    Missing,
}

impl Freshness {
    /// All words.
    pub const ALL: [Freshness; 5] =
        [Freshness::Valid, Freshness::ExpiringSoon, Freshness::Expired, Freshness::NonExpiring, Freshness::Missing];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Freshness::Valid => "valid",
            Freshness::ExpiringSoon => "expiring_soon",
            Freshness::Expired => "expired",
            Freshness::NonExpiring => "non_expiring",
            Freshness::Missing => "missing",
        }
    }
}

/// What a caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinTtl {
    /// Nothing: the policy's default, at most a third of the lifetime.
    Default,
    /// At least this much; above two thirds of a known lifetime it counts as one third.
    Explicit(Duration),
}

impl MinTtl {
    /// What it comes to for a grant.
    pub fn resolve(self, facts: &GrantFacts, policy: &Policy) -> Duration {
        match (self, facts.lifetime()) {
            (MinTtl::Default, None) => policy.min_ttl,
            (MinTtl::Default, Some(lifetime)) => policy.min_ttl.min(lifetime / 3),
            (MinTtl::Explicit(asked), Some(lifetime)) if asked > lifetime * 2 / 3 => lifetime / 3,
            (MinTtl::Explicit(asked), _) => asked,
        }
    }
}

/// The background margin for a grant: the policy's, at most a third of its lifetime.
pub fn margin(facts: &GrantFacts, provider: &Provider, policy: &Policy) -> Duration {
    let margin = if provider.renewal == Renewal::AccessToken { SELF_RENEWAL_MARGIN } else { policy.margin };
    let margin = provider.earliest_refresh.map_or(margin, |earliest| margin.min(earliest.duration()));
    facts.lifetime().map_or(margin, |lifetime| margin.min(lifetime / 3))
}

/// Before when the provider refuses a refresh of this grant as too early; never after the access token's end.
pub fn earliest_refresh(facts: &GrantFacts, provider: &Provider) -> Option<Timestamp> {
    if is_short(facts, provider) || !facts.has_access_token {
        return None;
    }
    let end = facts.expiry.at();
    let by_end = provider.earliest_refresh.zip(end).map(|(left, end)| end.minus(left.duration()));
    let by_age = provider.min_refresh_age.map(|age| facts.issued_at.plus(age.duration()));
    let earliest = [by_end, by_age].into_iter().flatten().max()?;
    Some(end.map_or(earliest, |end| earliest.min(end)))
}

/// Whether what renews this grant next is the second exchange, which makes a short token long.
pub fn is_short(facts: &GrantFacts, provider: &Provider) -> bool {
    facts.short && provider.second_exchange.is_some()
}

/// The longest before its end that a token of an integration can be due: what looks for due ones looks so far ahead.
pub fn widest_margin(provider: &Provider, policy: &Policy) -> Duration {
    let margin = match (provider.kind, provider.renewal) {
        (CredentialKind::Static, _) => END_TOLD_AHEAD,
        (_, Renewal::AccessToken) => SELF_RENEWAL_MARGIN,
        _ => policy.margin,
    };
    // The jitter goes a tenth further.
    margin.mul_f64(1.1)
}

/// Whether anything can renew this grant.
pub fn is_renewable(facts: &GrantFacts, provider: &Provider, now: Timestamp) -> bool {
    match provider.renewal {
        Renewal::RefreshToken => facts.has_refresh_token,
        Renewal::AccessToken => facts.is_alive(now),
        Renewal::Reissue => true,
        Renewal::None => false,
    }
}

/// The word for a connection's access token; `min_ttl` is what the asker wants, if it is an answer to one.
pub fn freshness(
    life: &Life,
    provider: &Provider,
    policy: &Policy,
    min_ttl: Option<MinTtl>,
    now: Timestamp,
) -> Freshness {
    let Some(facts) = life.grant.as_ref().filter(|facts| facts.has_access_token) else {
        return Freshness::Missing;
    };
    match facts.expiry {
        Expiry::Never => Freshness::NonExpiring,
        Expiry::Unknown if facts.has_refresh_token || provider.renewal == Renewal::Reissue => Freshness::Valid,
        Expiry::Unknown => Freshness::NonExpiring,
        Expiry::At { at } if at <= now => Freshness::Expired,
        Expiry::At { at } => {
            let asked = min_ttl.map_or(Duration::ZERO, |asked| asked.resolve(facts, policy));
            let wanted = margin(facts, provider, policy).max(asked);
            if at.since(now) < wanted { Freshness::ExpiringSoon } else { Freshness::Valid }
        }
    }
}

/// What becomes of a caller who asks for a token now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The stored token is good enough: hand it out at once.
    HandOut,
    /// Refresh first; `live` says whether a live token is there for the case that it fails for a while.
    Refresh {
        /// Whether the stored access token still lives.
        live: bool,
    },
    /// Nothing may be sent before `until`; the live token is handed out, else the last outcome is told.
    Wait {
        /// Whether the stored access token still lives.
        live: bool,
        /// When the next try is.
        until: Timestamp,
    },
    /// The subject must reconnect; `live` says whether the access token is handed out all the same.
    NeedsReauth {
        /// Why.
        reason: ReauthReason,
        /// Whether the access token lives and may be handed out.
        live: bool,
    },
    /// The access token has ended and nothing can renew it: the connection is to be marked so.
    NothingRenews,
    /// Ended on purpose, or never granted.
    NotConnected,
}

/// Decides what a caller gets who asks at `now` for a token with `min_ttl` left.
pub fn demand(life: &Life, provider: &Provider, policy: &Policy, min_ttl: MinTtl, now: Timestamp) -> Demand {
    let Some(facts) = &life.grant else { return Demand::NotConnected };
    let live = facts.is_alive(now);
    match &life.status {
        Status::Disconnected { .. } => return Demand::NotConnected,
        Status::NeedsReauth { reason, .. } => {
            return Demand::NeedsReauth { reason: *reason, live: live && reason.hands_out_live_token() };
        }
        Status::Connected => {}
    }
    let good_enough = match facts.expiry {
        Expiry::Never | Expiry::Unknown => facts.has_access_token,
        Expiry::At { at } => facts.has_access_token && at > now && at.since(now) >= min_ttl.resolve(facts, policy),
    };
    if good_enough {
        return Demand::HandOut;
    }
    if !is_renewable(facts, provider, now) {
        return if live { Demand::HandOut } else { Demand::NothingRenews };
    }
    let floor = short_life_floor(life, facts, policy);
    match [life.next_attempt, floor, earliest_refresh(facts, provider)].into_iter().flatten().max() {
        Some(until) if until > now => Demand::Wait { live, until },
        _ => Demand::Refresh { live },
    }
}

/// Grants that come expired, and imports whose lifetime nobody knows, are refreshed on demand at most once in `force_interval`.
fn short_life_floor(life: &Life, facts: &GrantFacts, policy: &Policy) -> Option<Timestamp> {
    if came_expired(facts) {
        return Some(facts.issued_at.plus(policy.force_interval));
    }
    let unknown = facts.lifetime().is_none();
    life.last_refreshed_at.filter(|_| unknown).map(|at| at.plus(policy.force_interval))
}

/// Whether the token had ended by its provider's word when it came with a refresh; imports are what they are.
fn came_expired(facts: &GrantFacts) -> bool {
    facts.lifetime_millis == Some(0)
}

/// Whether an access token that came expired may still be shown, marked so: until its one refresh a minute is due.
pub fn is_shown_though_expired(facts: &GrantFacts, policy: &Policy, now: Timestamp) -> bool {
    facts.has_access_token && came_expired(facts) && now < facts.issued_at.plus(policy.force_interval)
}

/// When the background should next look at a connection; none: never by itself.
///
/// `jitter` in 0..1 spreads grants that were issued together over a tenth of the margin, earlier.
pub fn due_at(life: &Life, provider: &Provider, policy: &Policy, jitter: f64) -> Option<Timestamp> {
    let facts = life.grant.as_ref()?;
    if life.status != Status::Connected {
        return None;
    }
    let renewable = match provider.renewal {
        Renewal::RefreshToken => facts.has_refresh_token,
        Renewal::AccessToken => facts.has_access_token,
        Renewal::Reissue => true,
        Renewal::None => false,
    };
    if !renewable {
        // At its end the connection is marked: nothing renews it. A person who has to bring another is told before.
        return end_told_at(life, provider).or(facts.expiry.at());
    }
    if let Some(next) = life.next_attempt {
        return Some(next);
    }
    if is_short(facts, provider) {
        return Some(facts.issued_at);
    }
    if provider.renewal == Renewal::Reissue && !facts.has_access_token {
        // The first one of all.
        return policy.background.then_some(facts.issued_at);
    }
    let by_access = match facts.expiry {
        Expiry::At { at } => {
            let margin = margin(facts, provider, policy);
            let spread = margin.mul_f64(0.1 * jitter.clamp(0.0, 1.0));
            Some(at.minus(margin).minus(spread))
        }
        Expiry::Unknown => Some(facts.issued_at.plus(UNKNOWN_LIFETIME_REFRESH)),
        Expiry::Never => None,
    };
    let by_access = by_access.filter(|_| policy.background);
    let floor = if came_expired(facts) { facts.issued_at.plus(policy.force_interval) } else { facts.issued_at };
    let floor = earliest_refresh(facts, provider).map_or(floor, |earliest| floor.max(earliest));
    let told = end_told_at(life, provider);
    [by_access, keep_alive_at(facts, provider), told].into_iter().flatten().min().map(|due| due.max(floor))
}

/// When the end of what only a person can bring again is told; none: there is no such end, or it was told.
pub fn end_told_at(life: &Life, provider: &Provider) -> Option<Timestamp> {
    let facts = life.grant.as_ref().filter(|_| life.status == Status::Connected)?;
    let end = end_told_of(life, provider).filter(|end| life.end_told != Some(*end))?;
    if let Some(idle) = idle_end(facts, provider).filter(|idle| *idle == end) {
        // Half of the time in which it should have been renewed has passed in vain.
        return Some(idle.minus(idle_reserve(provider.idle_limit()?) / 2));
    }
    let whole = provider.refresh_lifetime.filter(|_| provider.kind != CredentialKind::Static);
    // Who brings one that ends next week has just seen so.
    let ahead = END_TOLD_AHEAD.min(whole.map_or_else(|| end.since(facts.issued_at), |life| life.duration()) / 3);
    Some(end.minus(ahead))
}

/// The end that is told of: one that only a person can move, or that of idleness where renewing keeps failing.
pub fn end_told_of(life: &Life, provider: &Provider) -> Option<Timestamp> {
    let facts = life.grant.as_ref()?;
    let failing = life.episode.is_some() && life.suspect.is_none();
    end_for_a_person(facts, provider).or_else(|| idle_end(facts, provider).filter(|_| failing))
}

/// The end that only a person can move: that of a static credential, or of a refresh token whose life counts from the
/// consent. Of other refresh tokens nobody knows whether the next use makes them live on.
pub fn end_for_a_person(facts: &GrantFacts, provider: &Provider) -> Option<Timestamp> {
    let fixed = provider.refresh_lifetime_kind == RefreshLifetimeKind::Fixed;
    match (provider.kind, provider.renewal) {
        (CredentialKind::Static, _) => facts.expiry.at(),
        (_, Renewal::RefreshToken) if fixed && facts.has_refresh_token => facts.refresh_expires_at,
        _ => None,
    }
}

/// When a refresh token must be used lest it die of idleness: in the last tenth of its idle limit, at most 7 days before the end.
fn keep_alive_at(facts: &GrantFacts, provider: &Provider) -> Option<Timestamp> {
    Some(idle_end(facts, provider)?.minus(idle_reserve(provider.idle_limit()?)))
}

/// When a refresh token dies of idleness, where the provider lets them die so.
pub fn idle_end(facts: &GrantFacts, provider: &Provider) -> Option<Timestamp> {
    let limit = provider.idle_limit().filter(|_| facts.has_refresh_token)?;
    Some(facts.refresh_expires_at.unwrap_or_else(|| facts.issued_at.plus(limit)))
}

/// How long before its end by idleness a refresh token is renewed in any case.
pub fn idle_reserve(limit: Duration) -> Duration {
    (limit / 10).min(Duration::from_secs(7 * 24 * 3600))
}

/// From when the lifetimes in an answer count. Where it may be the same answer again as one to an earlier sending that was
/// lost, they count from that one, which the answer does not tell; at worst the token is renewed a few minutes early.
pub fn counted_from(lost_since: Option<Timestamp>, provider: &Provider, sent_at: Timestamp) -> Timestamp {
    let may_repeat = matches!(provider.replay, ReplayKind::Idempotent | ReplayKind::Unknown);
    let recent = |since: &Timestamp| *since <= sent_at && sent_at.since(*since) <= GIVEN_AGAIN;
    lost_since.filter(|since| may_repeat && recent(since)).unwrap_or(sent_at)
}
