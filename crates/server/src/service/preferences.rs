//! What a person wants to be told, and how that person is reached.

use evergrant_core::id::SubjectId;
use evergrant_core::notice::NoticeKind;
use evergrant_core::telling::{CHANNELS, Channel, Contact, Preferences};

use super::Service;
use super::access::{Caller, Who};
use super::error::Refusal;
use crate::notify::mail::Mailer;
use crate::notify::words::LANGUAGES;

/// Both, as they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Every kind and channel, as it is or by default.
    pub preferences: Preferences,
    /// How the person is reached.
    pub contact: Contact,
}

impl Service {
    /// What a subject wants to be told: every kind and channel, as it is or by default.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn wishes(&self, subject: &SubjectId) -> Result<Wishes, Refusal> {
        let preferences = self.wanted_by(subject).await?.whole();
        Ok(Wishes { preferences, contact: self.store.reach(subject).await?.contact })
    }

    /// Stores what a subject wants to be told; what is left out is as by default, and a contact that is left out stays.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a kind or channel that nobody knows, or a contact that cannot be;
    /// [`Refusal::StorageUnavailable`].
    pub async fn set_wishes(
        &self,
        caller: &Caller,
        subject: &SubjectId,
        wanted: Preferences,
        contact: Option<Contact>,
    ) -> Result<Wishes, Refusal> {
        check_kinds(&wanted)?;
        if let Some(contact) = &contact {
            check_contact(contact)?;
            let known = self.store.reach(subject).await?.contact.email;
            // A browser's session must not turn the service into one that mails strangers.
            if matches!(caller.who, Who::Subject(_)) && contact.email.is_some() && contact.email != known {
                return Err(Refusal::invalid(
                    "contact.email",
                    "only the application can set the address, with an API key",
                ));
            }
        }
        let document = serde_json::to_value(&wanted).map_err(|error| Refusal::internal(&error))?;
        self.store.put_preferences(subject, document, self.now()).await?;
        if let Some(contact) = contact {
            self.store.put_contact(subject, &contact, self.now()).await?;
        }
        self.wishes(subject).await
    }

    /// The address that a connect session brought, where none is known.
    pub(super) async fn learn_address(&self, subject: &SubjectId, email: Option<&str>) -> Result<(), Refusal> {
        let Some(email) = email.filter(|email| Mailer::is_address(email)) else { return Ok(()) };
        let known = self.store.reach(subject).await?.contact;
        if known.email.is_none() {
            let contact = Contact { email: Some(email.to_owned()), ..known };
            self.store.put_contact(subject, &contact, self.now()).await?;
        }
        Ok(())
    }

    /// Switches mails of some kinds off.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub(super) async fn end_mails(&self, subject: &SubjectId, kinds: &[NoticeKind]) -> Result<(), Refusal> {
        let wanted = self.wanted_by(subject).await?;
        let wanted = kinds.iter().fold(wanted, |wanted, kind| wanted.with(*kind, Channel::Email, false));
        let document = serde_json::to_value(&wanted).map_err(|error| Refusal::internal(&error))?;
        Ok(self.store.put_preferences(subject, document, self.now()).await?)
    }
}

fn check_kinds(wanted: &Preferences) -> Result<(), Refusal> {
    let kinds = || NoticeKind::ALL.into_iter().filter(|kind| kind.is_for_subject()).map(NoticeKind::as_str);
    for (kind, channels) in &wanted.0 {
        if !kinds().any(|known| known == kind) {
            let expected = format!("expected one of {}, contact", kinds().collect::<Vec<_>>().join(", "));
            return Err(Refusal::invalid(named(kind), expected));
        }
        let is_known = |name: &String| CHANNELS.iter().any(|channel| channel.as_str() == name);
        if let Some(unknown) = channels.keys().find(|name| !is_known(name)) {
            let expected = format!("expected one of {}", CHANNELS.map(Channel::as_str).join(", "));
            return Err(Refusal::invalid(format!("{kind}.{}", named(unknown)), expected));
        }
    }
    Ok(())
}

fn check_contact(contact: &Contact) -> Result<(), Refusal> {
    if contact.email.as_deref().is_some_and(|email| !Mailer::is_address(email)) {
        return Err(Refusal::invalid("contact.email", "expected a mail address without a name"));
    }
    if contact.language.as_deref().is_some_and(|language| !LANGUAGES.contains(&language)) {
        return Err(Refusal::invalid("contact.language", format!("expected one of {}", LANGUAGES.join(", "))));
    }
    if contact.time_zone.as_deref().is_some_and(|zone| !Contact::knows_zone(zone)) {
        return Err(Refusal::invalid("contact.time_zone", "expected a name such as Europe/Berlin"));
    }
    if contact.quiet_hours.as_ref().is_some_and(|hours| hours.times().is_none()) {
        return Err(Refusal::invalid("contact.quiet_hours", "expected two different times such as 22:00 and 07:00"));
    }
    Ok(())
}

/// A key of a request, short enough to be named.
fn named(key: &str) -> String {
    key.chars().filter(|c| !c.is_control()).take(64).collect()
}
