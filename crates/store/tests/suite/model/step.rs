//! The uses, with what they act on by number: of those that there are, the one at that place.

use proptest::prelude::*;

/// One use of the store.
#[derive(Clone, Debug)]
pub enum Step {
    /// Time passes.
    Pass(u64),
    /// The process ends and another one begins.
    Reopen,
    AddIntegration { integration: u8, shared: bool },
    ReplaceIntegration { integration: u8, shared: bool, paused: bool, stale: bool },
    RemoveIntegration(u8),
    ChangeHealth { integration: u8, from_ok: bool },
    Import { integration: u8, subject: u8, account: Option<u8>, refresh: bool, keep: bool },
    Reconnect { connection: u8, account: Option<u8>, other_subject: bool },
    Disconnect { connection: u8, revoke: bool },
    Erase { subject: u8, revoke: bool },
    Patch { connection: u8, label: Option<u8>, stale: bool },
    Use(u8),
    Claim(u8),
    ClaimDue { limit: u8, skip: u8 },
    Renew(u8),
    Release { lease: u8, next: bool },
    Sending { lease: u8, again: bool },
    Success { lease: u8, account: Option<u8>, forget: bool },
    Journalled { connection: u8, back: u8, known: bool },
    Repeat(u8),
    Verdict { lease: u8, dead: bool, sent: bool },
    Force(u8),
    DropSpare(u8),
    ClaimRevocations(u8),
    RevocationDone(u8),
    RevocationRetry(u8, u64),
    ReadNotice { subject: u8, at: u8, foreign: bool },
    Prefer { subject: u8, value: u8 },
    Begin { key: u8, hash: u8 },
    Finish(u8),
    ForgetKey(u8),
    CreateJob,
    UpdateJob { job: u8, done: bool },
    AddApiKey(u8),
    RevokeApiKey(u8),
    CleanUp,
    List { subject: Option<u8>, integration: Option<u8>, status: u8, page: u8 },
    Due,
    Overdue { integration: u8 },
}

/// Any of them, those that meet each other more often than others.
pub fn any() -> impl Strategy<Value = Step> {
    use Step::*;
    let (b, few) = (proptest::bool::ANY, 0..3_u8);
    let at = any_at();
    let account = proptest::option::weighted(0.6, 0..3_u8);
    prop_oneof![
        4 => prop_oneof![0..3_u64, 30..70_u64, 100..130_u64, 3000..3700_u64].prop_map(Pass),
        1 => Just(Reopen),
        4 => (few.clone(), b).prop_map(|(integration, shared)| AddIntegration { integration, shared }),
        1 => (few.clone(), b, b, b).prop_map(|(integration, shared, paused, stale)| ReplaceIntegration { integration, shared, paused, stale }),
        1 => few.clone().prop_map(RemoveIntegration),
        1 => (few.clone(), b).prop_map(|(integration, from_ok)| ChangeHealth { integration, from_ok }),
        10 => (few.clone(), few.clone(), account.clone(), b, b)
            .prop_map(|(integration, subject, account, refresh, keep)| Import { integration, subject, account, refresh, keep }),
        3 => (at.clone(), account.clone(), proptest::bool::weighted(0.2))
            .prop_map(|(connection, account, other_subject)| Reconnect { connection, account, other_subject }),
        3 => (at.clone(), b).prop_map(|(connection, revoke)| Disconnect { connection, revoke }),
        1 => (few.clone(), b).prop_map(|(subject, revoke)| Erase { subject, revoke }),
        2 => (at.clone(), proptest::option::of(few.clone()), b).prop_map(|(connection, label, stale)| Patch { connection, label, stale }),
        1 => at.clone().prop_map(Use),
        8 => at.clone().prop_map(Claim),
        4 => (0..4_u8, 0..5_u8).prop_map(|(limit, skip)| ClaimDue { limit, skip }),
        2 => at.clone().prop_map(Renew),
        2 => (at.clone(), b).prop_map(|(lease, next)| Release { lease, next }),
        6 => (at.clone(), b).prop_map(|(lease, again)| Sending { lease, again }),
        7 => (at.clone(), account, b).prop_map(|(lease, account, forget)| Success { lease, account, forget }),
        3 => (at.clone(), 0..3_u8, b).prop_map(|(connection, back, known)| Journalled { connection, back, known }),
        2 => at.clone().prop_map(Repeat),
        5 => (at.clone(), b, b).prop_map(|(lease, dead, sent)| Verdict { lease, dead, sent }),
        2 => at.clone().prop_map(Force),
        1 => at.clone().prop_map(DropSpare),
        2 => few.clone().prop_map(ClaimRevocations),
        1 => at.clone().prop_map(RevocationDone),
        1 => (at.clone(), 0..200_u64).prop_map(|(at, later)| RevocationRetry(at, later)),
        1 => (few.clone(), at.clone(), b).prop_map(|(subject, at, foreign)| ReadNotice { subject, at, foreign }),
        1 => (few.clone(), few.clone()).prop_map(|(subject, value)| Prefer { subject, value }),
        2 => (few.clone(), 0..2_u8).prop_map(|(key, hash)| Begin { key, hash }),
        1 => few.clone().prop_map(Finish),
        1 => few.clone().prop_map(ForgetKey),
        1 => Just(CreateJob),
        1 => (at.clone(), b).prop_map(|(job, done)| UpdateJob { job, done }),
        1 => few.clone().prop_map(AddApiKey),
        1 => few.clone().prop_map(RevokeApiKey),
        1 => Just(CleanUp),
        2 => (proptest::option::of(few.clone()), proptest::option::of(few.clone()), 0..4_u8, 1..4_u8)
            .prop_map(|(subject, integration, status, page)| List { subject, integration, status, page }),
        2 => Just(Due),
        1 => few.prop_map(|integration| Overdue { integration }),
    ]
}

fn any_at() -> impl Strategy<Value = u8> + Clone {
    0..12_u8
}
