//! Who is to be told of an event or a notice: decided in the transaction that writes it.

use evergrant_core::id::{DeliveryId, EventId, NoticeId, SubjectId, WebhookId};
use evergrant_core::notice::NoticeKind;
use evergrant_core::telling::{Channel, KINDS, Preferences, is_for_everybody, notice_of};
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{EMAIL, OPERATOR, WEBHOOK};
use crate::db::values;
use crate::error::StoreError;
use crate::events::{About, NewEvent};
use crate::notices::NewNotice;
use crate::row::json;
use crate::shared::{Effect, Shared, Tx};
use crate::webhooks;

/// What is told, to whom.
struct Telling<'a> {
    channel: &'static str,
    target: &'a str,
    /// What follows each other: what is about one connection.
    lane: Option<&'a str>,
    message: &'a str,
    kind: &'a str,
    about: About<'a>,
    document: &'a Map<String, Value>,
    at: Timestamp,
}

/// An event, to the endpoints that want it.
pub(crate) fn of_event(
    tx: &Tx<'_>,
    shared: &Shared,
    about: About<'_>,
    (event, id): (&NewEvent, &EventId),
    at: Timestamp,
) -> Result<(), StoreError> {
    let kind: &str = &event.kind;
    if !KINDS.contains(&kind) {
        return Ok(());
    }
    let endpoints = webhooks::listening(tx)?;
    if endpoints.is_empty() {
        return Ok(());
    }
    let preferred = preferred(tx, about, kind)?;
    let wanted = |kinds: Option<&Vec<String>>| match kinds {
        Some(kinds) => kinds.iter().any(|one| one == kind || one == "*") && preferred != Some(false),
        None => preferred.unwrap_or_else(|| is_for_everybody(kind)),
    };
    let mut document: Option<Map<String, Value>> = None;
    for endpoint in endpoints {
        let sees = match (&endpoint.integrations, about.integration) {
            (None, _) => true,
            (Some(names), Some(name)) => names.contains(name),
            (Some(_), None) => false,
        };
        if !sees || !wanted(endpoint.kinds.as_ref()) {
            continue;
        }
        let document = match &mut document {
            Some(document) => document,
            none => none.insert(written(tx, about, event)?),
        };
        let lane = about.connection.map(|connection| connection.as_str());
        let target = endpoint.id.as_str();
        let message = id.as_str();
        insert(tx, shared, &Telling { channel: WEBHOOK, target, lane, message, kind, about, document, at })?;
    }
    Ok(())
}

/// What the person said of this kind, where the person has a say.
fn preferred(tx: &Tx<'_>, about: About<'_>, kind: &str) -> Result<Option<bool>, StoreError> {
    let (Some(subject), Some(notice)) = (about.subject, notice_of(kind)) else { return Ok(None) };
    Ok(preferences(tx, subject.as_str())?.said(notice, Channel::Webhook))
}

/// Whether a person wants a kind that nobody gets by default, in the application or by mail.
pub(crate) fn is_wanted(tx: &Tx<'_>, subject: &SubjectId, kind: NoticeKind) -> Result<bool, StoreError> {
    let wanted = preferences(tx, subject.as_str())?;
    Ok([Channel::InApp, Channel::Email].into_iter().any(|channel| wanted.wants(kind, channel)))
}

fn preferences(tx: &Tx<'_>, subject: &str) -> Result<Preferences, StoreError> {
    let text = "SELECT document FROM preferences WHERE subject = ?1";
    let said: Option<Value> = tx.one(text, values![subject], |row| row.json(0))?;
    Ok(said.and_then(|said| serde_json::from_value(said).ok()).unwrap_or_default())
}

/// The event with its number among those of its connection.
fn written(tx: &Tx<'_>, about: About<'_>, event: &NewEvent) -> Result<Map<String, Value>, StoreError> {
    let mut document = Map::new();
    document.insert("data".to_owned(), Value::Object(event.data.clone()));
    if let Some(connection) = about.connection {
        let text = "INSERT INTO told (connection_id, count) VALUES (?1, 1) \
                    ON CONFLICT (connection_id) DO UPDATE SET count = told.count + 1 RETURNING count";
        let sequence = tx.one(text, values![connection], |row| row.count(0))?;
        document.insert("sequence".to_owned(), sequence.into());
    }
    Ok(document)
}

/// A notice that was written just now, to the person by mail and to the operator.
pub(crate) fn of_notice(
    tx: &Tx<'_>,
    shared: &Shared,
    about: About<'_>,
    (notice, id): (&NewNotice, &NoticeId),
    at: Timestamp,
) -> Result<(), StoreError> {
    let (kind, channels) = (notice.kind, &shared.channels);
    let document = Map::from_iter([("data".to_owned(), Value::Object(notice.detail.clone()))]);
    let telling = |channel, target| Telling {
        channel,
        target,
        lane: None,
        message: id.as_str(),
        kind: kind.as_str(),
        about,
        document: &document,
        at,
    };
    if let Some(subject) = about.subject.filter(|_| kind.is_for_subject() && channels.email)
        && tx.any("SELECT 1 FROM contacts WHERE subject = ?1", values![subject])?
        && preferences(tx, subject.as_str())?.wants(kind, Channel::Email)
    {
        insert(tx, shared, &telling(EMAIL, subject.as_str()))?;
    }
    let operators: &[&'static str] = match kind {
        NoticeKind::OperatorAlert => &channels.alerts,
        NoticeKind::Disconnected => &channels.disconnections,
        _ => &[],
    };
    operators.iter().try_for_each(|channel| insert(tx, shared, &telling(channel, OPERATOR)))
}

/// An alert that is about no integration, to the operator and to the endpoints: a channel itself is in trouble.
pub(super) fn alert(
    tx: &Tx<'_>,
    shared: &Shared,
    kind: &'static str,
    what: &str,
    but: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let nothing = About { integration: None, connection: None, subject: None };
    let event = NewEvent::new(kind).with("what", what);
    crate::events::write(tx, shared, nothing, &[event], at)?;
    let Value::Object(document) = json!({ "data": { "what": what } }) else { return Ok(()) };
    let id = NoticeId::make(at, shared.entropy.id());
    for channel in shared.channels.alerts.iter().filter(|channel| Some(**channel) != but) {
        let (message, kind) = (id.as_str(), NoticeKind::OperatorAlert.as_str());
        let (about, document) = (nothing, &document);
        let telling = Telling { channel, target: OPERATOR, lane: None, message, kind, about, document, at };
        insert(tx, shared, &telling)?;
    }
    Ok(())
}

fn insert(tx: &Tx<'_>, shared: &Shared, telling: &Telling<'_>) -> Result<(), StoreError> {
    let Telling { channel, target, lane, message, kind, about, document, at } = telling;
    let waits = "SELECT 1 FROM deliveries WHERE target = ?1 AND lane = ?2 AND state = 'waiting' LIMIT 1";
    let has_turn = lane.is_none() || !tx.any(waits, values![*target, lane])?;
    let first = if *channel == EMAIL { at.plus(shared.channels.email_delay) } else { *at };
    let next_at = has_turn.then_some(first);
    let id = DeliveryId::make(*at, shared.entropy.id());
    let text = "INSERT INTO deliveries (id, channel, target, lane, message, kind, integration, connection_id, subject, \
                document, state, tries, next_at, claimed_until, at) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'waiting', 0, ?11, 0, ?12)";
    let document = json(document)?;
    let all = values![
        id,
        *channel,
        *target,
        lane,
        *message,
        *kind,
        about.integration,
        about.connection,
        about.subject,
        document,
        next_at,
        *at
    ];
    tx.run_one("deliveries", text, all)?;
    tx.after_commit(Effect::Told);
    Ok(())
}

/// The endpoint of a delivery.
pub(super) fn endpoint(target: &str) -> Option<WebhookId> {
    target.parse().ok()
}
