//! What becomes of a connection after each thing that can happen to it: one pure function.
//!
//! `advance(life, event, circumstances, now) -> Transition`. No I/O, no clock and no randomness of its own, so that every
//! line of `docs/lifecycle.md` is a table-driven test. It decides; the store commits what it decided in one transaction,
//! and nothing is told or handed out before that.

use std::time::Duration;

use crate::connection::{DisconnectReason, Episode, LastFailure, Life, ReauthReason, Status, Suspect, Uncertain};
use crate::grant::GrantFacts;
use crate::notice::NoticeKind;
use crate::outcome::{Class, Failure, Spent};
use crate::planted::{self, Bug};
use crate::policy::Policy;
use crate::provider::{Provider, Renewal, ReplayKind};
use crate::schedule;
use crate::time::Timestamp;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A refresh brought a new grant.
    Refreshed {
        /// The new grant's facts.
        grant: GrantFacts,
    },
    /// A refresh ended without a grant.
    Failed {
        /// How.
        failure: Failure,
        /// When its request began to leave.
        sent_at: Timestamp,
    },
    /// A grant came by connect, reconnect or import.
    GrantReplaced {
        /// The new grant's facts.
        grant: GrantFacts,
    },
    /// The access token has ended and nothing can renew it.
    Ended,
    /// It will end soon, and somebody has to bring another.
    EndNear,
    /// The provider has not answered for long enough that people should know, though no attempt was made (open breaker).
    Stalled,
    /// The mass-verdict brake is let go: the verdict applies, or the connection is tried again.
    BrakeReleased {
        /// Whether the verdict applies.
        apply: bool,
    },
    /// The database is an older one, and the refresh token in it has been spent since; its answer is lost.
    Superseded,
    /// A verdict of this connection is taken back into suspicion, because the brake was pulled after it.
    BrakePulled,
    /// A caller forces a refresh, or reports a refused token.
    Forced,
    /// Ended on purpose.
    Disconnected {
        /// By whom.
        reason: DisconnectReason,
    },
}

/// What is true around the connection while it happens.
#[derive(Clone, Debug)]
pub struct Circumstances<'a> {
    /// The provider's facts.
    pub provider: &'a Provider,
    /// The numbers in force.
    pub policy: &'a Policy,
    /// Whether the fault can be this subject's: another connection of the integration has succeeded since the episode
    /// began, or this is the only one.
    pub others_work: bool,
    /// Whether the mass-verdict brake is pulled for this integration.
    pub brake: bool,
    /// In 0..1, spreads retries.
    pub jitter: f64,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The connection's life from now on.
    pub life: Life,
    /// Notices to be written in the same transaction, in order.
    pub notices: Vec<NoticeKind>,
    /// The client was refused: the integration must be looked at, not its people.
    pub client_refused: bool,
}

/// What becomes of a connection.
pub fn advance(life: Life, event: Event, around: &Circumstances<'_>, now: Timestamp) -> Transition {
    match event {
        Event::Refreshed { grant } => refreshed(life, grant, around.provider, now),
        Event::GrantReplaced { grant } => replaced(life, grant, around.provider),
        Event::Failed { failure, sent_at } => failed(life, &failure, sent_at, around, now),
        Event::Ended => ended(life, now),
        Event::EndNear => end_near(life, around.provider),
        Event::Stalled => stalled(life, now),
        Event::BrakeReleased { apply } => brake_released(life, apply, now),
        Event::Superseded => superseded(life, now),
        Event::BrakePulled => brake_pulled(life, around, now),
        Event::Forced => quiet(Life { last_forced_at: Some(now), ..life }),
        Event::Disconnected { reason } => disconnected(life, reason, now),
    }
}

fn quiet(life: Life) -> Transition {
    Transition { life, notices: Vec::new(), client_refused: false }
}

fn refreshed(life: Life, grant: GrantFacts, provider: &Provider, now: Timestamp) -> Transition {
    let notices = recovered(&life);
    let life = Life {
        end_told: still_the_end(&life, &grant, provider),
        grant: Some(grant),
        last_refreshed_at: Some(now),
        refresh_count: life.refresh_count.saturating_add(1),
        ..mended(life)
    };
    Transition { notices, ..quiet(life) }
}

fn replaced(life: Life, grant: GrantFacts, provider: &Provider) -> Transition {
    let notices = recovered(&life);
    let end_told = still_the_end(&life, &grant, provider);
    let life = Life { end_told, grant: Some(grant), last_forced_at: None, ..mended(life) };
    Transition { notices, ..quiet(life) }
}

/// The end that was told, if it is the new grant's too: each end is told once, and no other.
fn still_the_end(life: &Life, grant: &GrantFacts, provider: &Provider) -> Option<Timestamp> {
    life.end_told.filter(|end| schedule::end_for_a_person(grant, provider) == Some(*end))
}

/// The life after a success: episode over, counters zero, nothing undecided.
fn mended(life: Life) -> Life {
    Life {
        status: Status::Connected,
        auth_failures: 0,
        transient_failures: 0,
        episode: None,
        uncertain: None,
        next_attempt: None,
        not_before: None,
        suspect: None,
        ..life
    }
}

/// `recovered` is told to those who were told of the trouble.
fn recovered(life: &Life) -> Vec<NoticeKind> {
    let told = life.episode.as_ref().is_some_and(|episode| episode.told.iter().any(|kind| kind.is_for_subject()));
    let ended_on_purpose = matches!(life.status, Status::Disconnected { .. });
    if told && !ended_on_purpose { vec![NoticeKind::Recovered] } else { Vec::new() }
}

fn failed(life: Life, failure: &Failure, sent_at: Timestamp, around: &Circumstances<'_>, now: Timestamp) -> Transition {
    if matches!(life.status, Status::Disconnected { .. }) {
        // A late word about a grant that is gone: it ended on purpose, and stays ended.
        return quiet(life);
    }
    if failure.class == Class::InvalidClient {
        // Nobody's fault but the operator's: the connection itself is untouched.
        let life = Life { last_failure: Some(last_failure(failure, now)), ..life };
        return Transition { client_refused: true, ..quiet(life) };
    }
    let since = life.episode.as_ref().map_or(now, |episode| episode.since);
    let episode = life.episode.clone().unwrap_or(Episode { since, told: Vec::new() });
    let life = Life { episode: Some(episode), last_failure: Some(last_failure(failure, now)), ..life };
    match failure.class {
        Class::InvalidGrant | Class::AuthRejected | Class::Unknown => refused(life, failure, around, now),
        _ if planted::is(Bug::TransientCountsAsAuth) => refused(life, failure, around, now),
        _ => transient(life, failure, sent_at, around, now),
    }
}

fn last_failure(failure: &Failure, now: Timestamp) -> LastFailure {
    LastFailure { at: now, class: failure.class, detail: failure.detail.clone() }
}

/// `invalid_grant`, `auth_rejected`, `unknown`: counted, and believed when there were enough of them.
fn refused(life: Life, failure: &Failure, around: &Circumstances<'_>, now: Timestamp) -> Transition {
    let policy = around.policy;
    let count = life.auth_failures.saturating_add(1);
    if matches!(life.status, Status::NeedsReauth { .. }) {
        // Somebody insisted, and it was refused again: since when, why, and who was told of it stays as it is.
        return quiet(Life { auth_failures: count, next_attempt: None, not_before: None, ..life });
    }
    // Where the client alone gets its tokens there is no consent that could have ended, and nobody to reconnect.
    let has_person = around.provider.renewal != Renewal::Reissue;
    let said_dead = failure.class == Class::InvalidGrant && has_person;
    let limit = if said_dead { policy.invalid_grant_limit } else { policy.auth_failure_limit };
    let reason = match (said_dead, life.uncertain) {
        // Where nothing rotates, an unanswered sending can't have spent the token.
        (true, Some(_)) if around.provider.replay != ReplayKind::None => ReauthReason::RefreshOutcomeLost,
        (true, _) => ReauthReason::RefreshTokenInvalid,
        (false, _) => ReauthReason::AuthRejected,
    };
    let next = now.plus(policy.auth_retry);
    let life = Life { auth_failures: count, next_attempt: Some(next), not_before: None, ..life };
    let subjects_fault = has_person && (said_dead || around.others_work);
    if count >= limit.max(1) && subjects_fault {
        if around.brake {
            return suspected(life, reason, policy, now);
        }
        return verdict(life, reason, now);
    }
    if !subjects_fault {
        return if count >= 2 { tell(life, NoticeKind::OperatorAlert) } else { quiet(life) };
    }
    if count >= 2 { tell(life, NoticeKind::Warning) } else { quiet(life) }
}

fn verdict(life: Life, reason: ReauthReason, now: Timestamp) -> Transition {
    let life = Life {
        status: Status::NeedsReauth { reason, since: now },
        next_attempt: None,
        not_before: None,
        suspect: None,
        ..life
    };
    tell(life, NoticeKind::Disconnected)
}

fn suspected(life: Life, reason: ReauthReason, policy: &Policy, now: Timestamp) -> Transition {
    let retry = now.plus(policy.brake_retry);
    let next_attempt = Some(life.not_before.map_or(retry, |not_before| not_before.max(retry)));
    quiet(Life { status: Status::Connected, suspect: Some(Suspect { since: now, reason }), next_attempt, ..life })
}

/// Tells a kind once per episode; a subject who knows the worst is not told lesser things.
fn tell(mut life: Life, kind: NoticeKind) -> Transition {
    let Some(episode) = life.episode.as_mut() else { return quiet(life) };
    let knows_the_worst = kind.is_for_subject() && episode.told.contains(&NoticeKind::Disconnected);
    if knows_the_worst || episode.told.contains(&kind) {
        return quiet(life);
    }
    episode.told.push(kind);
    Transition { notices: vec![kind], ..quiet(life) }
}

/// Failures that say nothing of the grant: they never disconnect anybody, however long they last.
fn transient(
    life: Life,
    failure: &Failure,
    sent_at: Timestamp,
    around: &Circumstances<'_>,
    now: Timestamp,
) -> Transition {
    let policy = around.policy;
    let count = life.transient_failures.saturating_add(1);
    let undecided = failure.spent == Spent::Unknown;
    let uncertain = match (undecided, life.uncertain) {
        (true, Some(earlier)) => Some(Uncertain { sendings: earlier.sendings.saturating_add(1), ..earlier }),
        (true, None) => Some(Uncertain { since: sent_at, sendings: 1 }),
        (false, earlier) => earlier,
    };
    let life = Life { transient_failures: count, uncertain, ..life };
    let (next, not_before) = next_try(&life, failure, around, now);
    let life = Life { next_attempt: Some(next), not_before, ..life };
    if count < policy.trouble_after.max(1) {
        return quiet(life);
    }
    let told = |kind| life.episode.as_ref().is_some_and(|episode| episode.told.contains(&kind));
    if told(NoticeKind::Trouble) || told(NoticeKind::RateLimited) {
        return quiet(life);
    }
    let kind = if failure.class == Class::RateLimited { NoticeKind::RateLimited } else { NoticeKind::Trouble };
    tell(life, kind)
}

/// When the next try is, and before when not even a forced one may be sent.
fn next_try(
    life: &Life,
    failure: &Failure,
    around: &Circumstances<'_>,
    now: Timestamp,
) -> (Timestamp, Option<Timestamp>) {
    let policy = around.policy;
    let word = failure.retry_after.or_else(|| (failure.class == Class::RateLimited).then_some(policy.rate_limit_wait));
    let word = word.map(|wait| now.plus(wait));
    if let Some(until) = word.filter(|_| failure.spent != Spent::Unknown) {
        return (until, Some(until));
    }
    let back_off = now.plus(back_off(life.transient_failures, policy, around.jitter));
    let (next, not_before) = if failure.spent == Spent::Unknown && around.provider.replay != ReplayKind::None {
        replay_at(life, around, back_off, now)
    } else {
        (back_off, None)
    };
    // Who asks for patience without saying that nothing was spent can make it later, never earlier.
    match word {
        Some(until) => (next.max(until), Some(not_before.map_or(until, |earliest| earliest.max(until)))),
        None => (next, not_before),
    }
}

/// When a refresh token whose sending had no decided outcome is sent again (docs/lifecycle.md, the replay table).
///
/// The caller's `now` is after the first connection was closed, so no earlier sending can still be answered.
fn replay_at(
    life: &Life,
    around: &Circumstances<'_>,
    back_off: Timestamp,
    now: Timestamp,
) -> (Timestamp, Option<Timestamp>) {
    let policy = around.policy;
    let Some(uncertain) = life.uncertain else { return (back_off, None) };
    if let Some(window) = around.provider.known_replay_window() {
        let soon = now.plus(policy.retry_min);
        if soon < uncertain.since.plus(window / 2) {
            return (soon, Some(soon));
        }
    }
    let earliest = now.plus(policy.replay_after);
    if uncertain.sendings > 1 {
        let next = back_off.max(earliest);
        return (next, Some(earliest));
    }
    // A replay can make a strict provider revoke the live access token too: best when it has little left to lose.
    let last_minute = life.grant.as_ref().and_then(|grant| grant.expiry.at()).map(|at| at.minus(policy.replay_after));
    (last_minute.map_or(earliest, |at| at.max(earliest)), Some(earliest))
}

/// Doubling from `backoff_min` to `backoff_max`, with up to 30 % more as jitter.
fn back_off(failures: u32, policy: &Policy, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let span = policy.backoff_min.saturating_mul(1 << doublings).min(policy.backoff_max);
    span.mul_f64(1.0 + 0.3 * jitter.clamp(0.0, 1.0))
}

/// The pause before the next provably unsent try within one attempt: `retry_min` doubling, each × 1.0–1.3, at most `retry_max`; none after the third.
pub fn unsent_retry(tries: u32, policy: &Policy, jitter: f64) -> Option<Duration> {
    let doublings = tries.checked_sub(1).filter(|doublings| *doublings < 3)?;
    let span = policy.retry_min.saturating_mul(1 << doublings).mul_f64(1.0 + 0.3 * jitter.clamp(0.0, 1.0));
    Some(span.min(policy.retry_max))
}

/// Whether a sending that failed so is repeated within its attempt, by [`unsent_retry`]: it spent nothing, because it
/// never left whole or because nothing is ever spent at this provider, and nobody asked for patience.
pub fn is_repeated_at_once(failure: &Failure, provider: &Provider) -> bool {
    let harmless = provider.replay == ReplayKind::None;
    match failure.class {
        Class::Network => true,
        Class::Ambiguous if planted::is(Bug::RetryAfterTimeout) => true,
        Class::Malformed if planted::is(Bug::RetryAfterMalformed) => true,
        Class::Unavailable | Class::Ambiguous | Class::Malformed => {
            harmless && failure.retry_after.is_none() && failure.salvaged_refresh_token.is_none()
        }
        _ => false,
    }
}

fn ended(life: Life, now: Timestamp) -> Transition {
    if life.status != Status::Connected {
        return quiet(life);
    }
    let episode = life.episode.clone().unwrap_or(Episode { since: now, told: Vec::new() });
    verdict(Life { episode: Some(episode), ..life }, ReauthReason::NoRefreshToken, now)
}

/// Told once for each end, and no trouble: the credential works until then.
fn end_near(life: Life, provider: &Provider) -> Transition {
    let end = schedule::end_told_of(&life, provider);
    if life.status != Status::Connected || end.is_none() || life.end_told == end {
        return quiet(life);
    }
    Transition { notices: vec![NoticeKind::Expiring], ..quiet(Life { end_told: end, ..life }) }
}

fn stalled(life: Life, now: Timestamp) -> Transition {
    let episode = life.episode.clone().unwrap_or(Episode { since: now, told: Vec::new() });
    let told = |kind| episode.told.contains(&kind);
    if life.status != Status::Connected || told(NoticeKind::Trouble) || told(NoticeKind::RateLimited) {
        return quiet(life);
    }
    tell(Life { episode: Some(episode), ..life }, NoticeKind::Trouble)
}

fn brake_released(life: Life, apply: bool, now: Timestamp) -> Transition {
    let Some(suspect) = life.suspect else { return quiet(life) };
    if apply {
        return verdict(life, suspect.reason, now);
    }
    let next_attempt = Some(life.not_before.map_or(now, |not_before| not_before.max(now)));
    quiet(Life { suspect: None, auth_failures: 0, next_attempt, ..life })
}

/// The stored token is never sent again: who is strict would take it for theft. The access token is handed out while it lives.
fn superseded(life: Life, now: Timestamp) -> Transition {
    if life.status != Status::Connected {
        return quiet(life);
    }
    let episode = life.episode.clone().unwrap_or(Episode { since: now, told: Vec::new() });
    let detail = "the database was restored from a copy, and this refresh token had been spent since".to_owned();
    let last_failure = Some(LastFailure { at: now, class: Class::Ambiguous, detail });
    verdict(Life { episode: Some(episode), last_failure, ..life }, ReauthReason::RefreshOutcomeLost, now)
}

fn brake_pulled(life: Life, around: &Circumstances<'_>, now: Timestamp) -> Transition {
    let Status::NeedsReauth { reason, .. } = life.status else { return quiet(life) };
    if reason == ReauthReason::NoRefreshToken {
        return quiet(life);
    }
    suspected(life, reason, around.policy, now)
}

fn disconnected(life: Life, reason: DisconnectReason, now: Timestamp) -> Transition {
    quiet(Life { status: Status::Disconnected { reason, since: now }, grant: None, ..mended(life) })
}
