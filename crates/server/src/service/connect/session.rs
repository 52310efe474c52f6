//! Sessions and links: made for an application, opened by a browser. Opening consumes nothing.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::connection::{Account, Connection, Status};
use evergrant_core::id::{ConnectSessionId, ConnectionId, IntegrationName, SubjectId};
use evergrant_core::integration::Integration;
use evergrant_core::secret::OneTime;
use evergrant_core::time::Timestamp;
use evergrant_store::StoreError;
use evergrant_store::connect::{NewSession, Session, SessionState};
use url::Url;
use zeroize::Zeroizing;

use super::device::NewDevice;
use super::failure::Failure;
use super::plan::{Plan, Wish, plan};
use super::told::{Again, Choice, Ended, Outcome, Question, Stopped};
use super::{Flow, return_url};
use crate::service::Service;
use crate::service::access::{Caller, hash};
use crate::service::audit::line;
use crate::service::connections::provider_name;
use crate::service::error::Refusal;
use crate::service::links::{Link, can_reconnect_by_link, is_for_now};

/// How long the session behind a signed link lives, once somebody has begun with it.
const SIGNED_SESSION: Duration = Duration::from_secs(3600);

/// What an application asks for.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The integration.
    pub integration: Option<IntegrationName>,
    /// Several among which the page lets choose.
    pub integrations: Vec<IntegrationName>,
    /// A connection to reconnect.
    pub connection: Option<ConnectionId>,
    /// The rest.
    pub wish: Wish,
}

/// A session that was made.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// Its id, for `complete`.
    pub id: ConnectSessionId,
    /// Where to send the browser.
    pub url: OneTime,
    /// When the link ends.
    pub expires_at: Timestamp,
}

/// What was made for a wish to connect.
#[derive(Clone, Debug)]
pub enum Made {
    /// A link for a browser.
    Link(NewLink),
    /// A code for a person.
    Device(Box<NewDevice>),
}

/// A link that is good: what it plans, and the session behind it, if there is one already.
pub(super) struct OpenLink {
    pub plan: Plan,
    pub session: Option<ConnectSessionId>,
    pub integrations: Vec<Arc<Integration>>,
    pub reconnect: Option<Arc<Connection>>,
}

impl Service {
    /// Makes a session and its link.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, [`Refusal::NotFound`], [`Refusal::IntegrationPaused`]; in the device flow what
    /// the provider refuses too.
    pub async fn connect_session(&self, caller: &Caller, order: Order) -> Result<Made, Refusal> {
        let reconnect = match &order.connection {
            Some(id) => Some(self.connection(caller, id).await?.connection),
            None => None,
        };
        let names = names(&order, reconnect.as_deref())?;
        let seen = |name: &IntegrationName| self.seen_integration(&caller.scope, name);
        let integrations = names.iter().map(seen).collect::<Result<Vec<_>, _>>()?;
        let plan = plan(order.wish, &integrations, reconnect.as_deref())?;
        if let (Flow::Device, [integration]) = (plan.flow, integrations.as_slice()) {
            return Ok(Made::Device(Box::new(self.begin_device(caller, plan, integration).await?)));
        }
        let policy = integrations[0].policy(&self.base);
        let (now, link) = (self.now(), self.entropy.one_time());
        let expires_at = now.plus(plan.link_life(&policy));
        let id = self.keep_session(&plan, &link, expires_at, Some(caller)).await?;
        Ok(Made::Link(NewLink { id, url: self.links.address(&link), expires_at }))
    }

    pub(in crate::service) async fn keep_session(
        &self,
        plan: &Plan,
        link: &OneTime,
        expires_at: Timestamp,
        caller: Option<&Caller>,
    ) -> Result<ConnectSessionId, Refusal> {
        let now = self.now();
        let id = ConnectSessionId::make(now, self.entropy.id());
        let payload = serde_json::to_vec(plan).map_err(|error| Refusal::internal(&error))?;
        let session = NewSession {
            id: id.clone(),
            link_hash: hash(link),
            payload: Zeroizing::new(payload),
            subject: plan.subject.clone(),
            connection: plan.connection.clone(),
            expires_at,
        };
        let audit = caller.map(|caller| line(caller, "connect.session_created", id.as_str()));
        self.store.create_session(session, audit, now).await?;
        Ok(id)
    }

    /// The session behind a link, made now where a signed link has none yet.
    pub(super) async fn session_of(&self, link: &OpenLink) -> Result<ConnectSessionId, Refusal> {
        match &link.session {
            Some(id) => Ok(id.clone()),
            // The signed link itself stays the way in: this hash belongs to a value that nobody has.
            None => {
                let nobodys = self.entropy.one_time();
                self.keep_session(&link.plan, &nobodys, self.now().plus(SIGNED_SESSION), None).await
            }
        }
    }

    /// What the page of a link asks. A link that needs no session may be given a `return_url` by the application that shows
    /// it; one that is not registered counts as none.
    ///
    /// # Errors
    /// [`Stopped`] when the link is not good any more.
    pub async fn open_link(&self, token: &OneTime, return_url: Option<&str>) -> Result<Question, Stopped> {
        let link = self.link(token, return_url).await?;
        let plan = &link.plan;
        let choice = |integration: &Arc<Integration>| Choice {
            integration: integration.name.clone(),
            provider: provider_name(integration).to_owned(),
            scopes: plan.scopes.clone().unwrap_or_else(|| integration.requested_scopes().to_vec()),
        };
        let host = |address: &str| Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned));
        let application = plan.return_url.as_deref().or(Some(&self.public_url)).and_then(host).unwrap_or_default();
        let account = link.reconnect.as_ref().and_then(|connection| connection.account.as_ref());
        Ok(Question {
            application,
            // A subject's own id is the application's affair and says nothing to the person.
            subject: plan.subject_label.clone().or_else(|| plan.subject.as_ref().map(SubjectId::to_string)),
            account: account.map(account_name),
            reconnect: link.reconnect.is_some(),
            choices: link.integrations.iter().map(choice).collect(),
            language: self.language_of(plan).await,
        })
    }

    /// The language of the person whom a plan is for. Who cannot be asked just now is shown the browser's.
    pub(super) async fn language_of(&self, plan: &Plan) -> Option<String> {
        let subject = plan.subject.as_ref()?;
        self.store.reach(subject).await.ok()?.contact.language
    }

    /// The person says no before going to the provider. The link stays as it was.
    ///
    /// # Errors
    /// [`Stopped`] when the link is not good any more.
    pub async fn cancel_link(&self, token: &OneTime, return_url: Option<&str>) -> Result<Ended, Stopped> {
        let link = self.link(token, return_url).await?;
        for integration in &link.integrations {
            self.metrics.connect_flow(&integration.name, "cancelled");
        }
        Ok(Ended {
            outcome: Outcome::Denied,
            provider: link.integrations.first().map(|one| provider_name(one).to_owned()).unwrap_or_default(),
            return_url: link.plan.return_url.as_deref().and_then(return_url::parse),
            // Of several, the person chooses anew.
            again: link.integrations.first().filter(|_| link.integrations.len() == 1).map(|first| Again {
                link: token.clone(),
                integration: first.name.clone(),
                account: None,
                asks_account: false,
            }),
            language: self.language_of(&link.plan).await,
        })
    }

    /// A link that is good now.
    pub(super) async fn link(&self, token: &OneTime, return_url: Option<&str>) -> Result<OpenLink, Stopped> {
        let signed = self.links.is_one(token.expose()).then(|| self.links.read(token.expose(), self.now()));
        let (plan, session) = match signed {
            Some(Some(Link::Again { session })) => self.open_session(self.store.session(&session).await)?,
            Some(Some(link)) => (self.signed_plan(link, return_url).await?, None),
            Some(None) => return Err(Failure::LinkGone.into()),
            None => self.open_session(self.store.session_by_link(&hash(token)).await)?,
        };
        let reconnect = match &plan.connection {
            Some(id) => {
                let record = self.store.token_record(id, false).await.map_err(stopped)?;
                Some(record.ok_or(Failure::ConnectionGone)?.connection.clone())
            }
            None => None,
        };
        let found: Vec<_> = plan.integrations.iter().filter_map(|name| self.store.integration(name)).collect();
        let paused = found.iter().find(|one| one.paused);
        if let Some(one) = paused.filter(|_| found.iter().all(|one| one.paused)) {
            let provider = Some(provider_name(one).to_owned());
            return Err(Stopped { failure: Failure::IntegrationPaused, provider });
        }
        let integrations: Vec<_> = found.into_iter().filter(|one| !one.paused).collect();
        if integrations.is_empty() {
            return Err(Failure::LinkGone.into());
        }
        Ok(OpenLink { plan, session, integrations, reconnect })
    }

    /// What a session plans, if it can still be used.
    fn open_session(
        &self,
        found: Result<Option<Session>, StoreError>,
    ) -> Result<(Plan, Option<ConnectSessionId>), Stopped> {
        let is_open = |session: &Session| session.state == SessionState::Open && session.expires_at > self.now();
        let session = found.map_err(stopped)?.filter(is_open).ok_or(Failure::LinkGone)?;
        Ok((read_plan(&session)?, Some(session.id)))
    }

    /// What a signed link plans, unless what it was made for is over.
    async fn signed_plan(&self, link: Link, return_url: Option<&str>) -> Result<Plan, Stopped> {
        let (integration, subject, connection) = match link {
            Link::Reconnect { connection, mark, made } => {
                if self.is_taken_back(&connection, Timestamp::from_millis(made)).await.map_err(stopped)? {
                    return Err(Failure::LinkGone.into());
                }
                let record = self.store.token_record(&connection, true).await.map_err(stopped)?;
                let found = record.ok_or(Failure::ConnectionGone)?.connection.clone();
                let integration = self.store.integration(&found.integration).ok_or(Failure::ConnectionGone)?;
                if !is_for_now(&found, mark) || !can_reconnect_by_link(&found, &integration) {
                    return Err(Failure::LinkGone.into());
                }
                (found.integration.clone(), found.subject.clone(), Some(connection))
            }
            Link::Connect { integration, subject } => {
                if self.is_connected(&integration, &subject).await.map_err(stopped)? {
                    return Err(Failure::LinkGone.into());
                }
                (integration, subject, None)
            }
            Link::Again { .. } => return Err(Failure::LinkGone.into()),
        };
        // Only where just the known account is accepted: with any other link the application must say who is signed in.
        let return_url = return_url.filter(|_| connection.is_some()).and_then(return_url::parse).filter(|url| {
            let registered = self.store.integration(&integration);
            registered.is_some_and(|one| return_url::is_registered(url, &one.return_urls))
        });
        Ok(Plan { return_url: return_url.map(String::from), connection, ..Plan::by_link(integration, subject) })
    }

    async fn is_connected(&self, name: &IntegrationName, subject: &SubjectId) -> Result<bool, Refusal> {
        for id in self.store.connections_by_subject(name, subject).await?.iter() {
            let record = self.store.token_record(id, false).await?;
            let status = record.map(|record| record.connection.life.status.clone());
            if status.is_some_and(|status| !matches!(status, Status::Disconnected { .. })) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The integrations that an order names; exactly one way to name them.
fn names(order: &Order, reconnect: Option<&Connection>) -> Result<Vec<IntegrationName>, Refusal> {
    if let Some(connection) = reconnect {
        if order.integration.as_ref().is_some_and(|name| *name != connection.integration) {
            return Err(Refusal::invalid("integration", "it is not that connection's; leave it out"));
        }
        if !order.integrations.is_empty() {
            return Err(Refusal::invalid(
                "integrations",
                "a reconnect goes through the connection's own; leave it out",
            ));
        }
        return Ok(vec![connection.integration.clone()]);
    }
    match (&order.integration, order.integrations.as_slice()) {
        (Some(name), []) => Ok(vec![name.clone()]),
        (Some(_), _) => Err(Refusal::invalid("integrations", "give either `integration` or `integrations`")),
        (None, []) => Err(Refusal::invalid("integration", "it is required, or `integrations`, or a `connection_id`")),
        (None, several) if several.len() > 50 => Err(Refusal::invalid("integrations", "expected at most 50")),
        (None, several) => {
            let mut names: Vec<IntegrationName> = Vec::new();
            for name in several {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
            Ok(names)
        }
    }
}

/// What people call an account.
pub(in crate::service) fn account_name(account: &Account) -> String {
    account.name.clone().unwrap_or_else(|| account.id.to_string())
}

/// What a session plans.
pub(super) fn read_plan(session: &Session) -> Result<Plan, Failure> {
    serde_json::from_slice(&session.payload).map_err(|error| {
        tracing::error!(session = %session.id, line = error.line(), "a connect session cannot be read");
        Failure::Internal
    })
}

/// Trouble of the store, as a browser is told of it.
pub(super) fn stopped(error: impl Into<Refusal>) -> Stopped {
    let refusal = error.into();
    let failure = Failure::from(&refusal);
    if let Refusal::StorageUnavailable { cause, .. } | Refusal::Internal { cause } = &refusal {
        tracing::error!(cause, "a connect flow stopped");
    }
    failure.into()
}
