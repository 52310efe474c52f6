//! The way from the process to the providers: connections, requests on them, and what is lost in between.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evergrant::provider::{Answer, Answering, Connecting, Limits, OpenLine, Outlet, SendError, Unsent};
use evergrant_core::token_request::HttpRequest;
use url::Url;

use crate::clock::sleep;
use crate::judge::account;
use crate::site::{Asked, Lot, Reply};
use crate::world::{Event, Shared, World, lock};

/// A request that was sent.
#[derive(Debug)]
struct Request {
    site: usize,
    asked: Asked,
    lot: Lot,
    late: bool,
    reply: Option<Reply>,
    ended: bool,
    waker: Option<Waker>,
    /// Its sender still has the connection.
    open: bool,
    worked: bool,
}

/// What came back.
#[derive(Debug)]
struct Got {
    site: usize,
    sent: String,
    /// The refresh token that came.
    gives: Option<String>,
    /// Whether it says what became of the token that was sent.
    decides: bool,
}

/// All requests that somebody still thinks of.
#[derive(Debug, Default)]
pub struct Requests {
    all: BTreeMap<u64, Request>,
    made: u64,
    /// What each task has got and not written down yet.
    got: Vec<(tokio::task::Id, Got)>,
    /// How many refreshes were sent.
    pub refreshes: u64,
}

/// The world's outlet, for one process.
pub struct WorldOutlet(pub Shared, pub usize);

impl std::fmt::Debug for WorldOutlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<the world's outlet>")
    }
}

impl Outlet for WorldOutlet {
    fn connect(&self, url: &Url, limits: Limits) -> Connecting {
        let (shared, node, url) = (self.0.clone(), self.1, url.clone());
        Box::pin(async move {
            let host = url.host_str().unwrap_or_default().to_owned();
            let connects = {
                let mut world = lock(&shared);
                world.is_about_to_send(node);
                if world.step(node, "connecting") { Some(world.connects(&host)) } else { None }
            };
            let Some(connects) = connects else { return std::future::pending().await };
            let Some((site, connects)) = connects else { return Err(Unsent::Dns { host }) };
            match connects {
                Ok(takes) => sleep(&shared, takes).await,
                Err(Some(takes)) => {
                    sleep(&shared, takes).await;
                    return Err(Unsent::Connect { host, why: "refused".to_owned() });
                }
                Err(None) => {
                    sleep(&shared, limits.connect).await;
                    return Err(Unsent::Timeout { host, limit: limits.connect });
                }
            }
            let line: Box<dyn OpenLine> = Box::new(WorldLine { world: shared, node, site, limits });
            Ok(line)
        })
    }
}

struct WorldLine {
    world: Shared,
    node: usize,
    site: usize,
    limits: Limits,
}

impl std::fmt::Debug for WorldLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<a line to site {}>", self.site)
    }
}

impl OpenLine for WorldLine {
    fn send(self: Box<Self>, request: HttpRequest) -> Answering {
        Box::pin(async move {
            let sent = {
                let mut world = lock(&self.world);
                if world.step(self.node, "sending") {
                    world.send(self.site, &request, self.limits.answer)
                } else {
                    None
                }
            };
            let Some(sent) = sent else { return std::future::pending().await };
            Waiting { world: self.world.clone(), node: self.node, request: sent, limit: self.limits.answer }.await
        })
    }
}

/// Somebody who waits for an answer.
struct Waiting {
    world: Shared,
    node: usize,
    request: u64,
    limit: Duration,
}

impl Future for Waiting {
    type Output = Result<Answer, SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut world = lock(&self.world);
        if world.nodes[self.node].dead {
            return Poll::Pending;
        }
        match world.take_end(self.request, self.limit) {
            Some(end) => Poll::Ready(end),
            None => {
                if let Some(request) = world.requests.all.get_mut(&self.request) {
                    request.waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.world).close(self.request);
    }
}

impl World {
    fn connects(&mut self, host: &str) -> Option<(usize, Result<Duration, Option<Duration>>)> {
        let site: usize = host.strip_prefix("site")?.strip_suffix(".example")?.parse().ok()?;
        let calm = self.calm;
        Some((site, self.sites.get_mut(site)?.connects(calm)))
    }

    fn send(&mut self, site: usize, request: &HttpRequest, limit: Duration) -> Option<u64> {
        let asked = asked(request);
        let calm = self.calm;
        let (mut lot, work, end) = self.sites[site].lot(calm);
        // A request that spends nothing may be lost without anybody's interest.
        if matches!(asked, Asked::Revoke(_)) && matches!(lot, Lot::Cut | Lot::RefreshAlone) {
            lot = Lot::Answered;
        }
        self.requests.made += 1;
        let id = self.requests.made;
        if let Asked::Refresh(token) = &asked {
            self.check_sending(site, token);
            self.requests.refreshes += 1;
            if let Some(refresh) = self.sites[site].ledger.refresh_mut(token) {
                refresh.unanswered += 1;
            }
        }
        self.while_it_is_out(&asked, end);
        self.tell(format_args!("request {id} to site {site} leaves: {asked:?}, {lot:?}"));
        let late = end > limit || lot == Lot::Silence;
        if !matches!(lot, Lot::Unsent | Lot::LostBefore) {
            self.after(work, Event::Process(id));
        }
        self.after(if late { limit } else { end }, Event::Deliver(id));
        let request =
            Request { site, asked, lot, late, reply: None, ended: false, waker: None, open: true, worked: false };
        self.requests.all.insert(id, request);
        Some(id)
    }

    /// Applications and people do not wait for the end of a refresh.
    fn while_it_is_out(&mut self, asked: &Asked, end: Duration) {
        let Asked::Refresh(token) = asked else { return };
        let Some((_, at)) = account(token).filter(|_| !self.calm && self.rng.chance(0.3)) else { return };
        let around = end.mul_f64(self.rng.fraction() * 1.2) + Duration::from_millis(self.rng.range(0, 15));
        self.after(around, Event::Meanwhile(at));
    }

    /// No refresh token is sent while an earlier sending can still be answered, nor after the answer has been kept.
    fn check_sending(&mut self, site: usize, token: &str) {
        let same = |other: &Request| {
            other.open
                && !other.ended
                && other.site == site
                && matches!(&other.asked, Asked::Refresh(other) if other == token)
        };
        if self.requests.all.values().any(same) {
            self.broken(format_args!("overlap: {token} is sent while an earlier sending can still be answered"));
        }
        let ledger = &self.sites[site].ledger;
        // What a process keeps that was stopped or killed since, the others cannot know.
        let kept = ledger.kept(token).filter(|(node, at)| self.nodes.len() == 1 || self.nodes[*node].troubled_at < *at);
        if ledger.spent(token) == Some(true) && kept.is_some() {
            self.broken(format_args!("spent again: {token} is sent although its answer had been kept"));
        }
    }

    /// A provider works on a request.
    pub fn process(&mut self, id: u64) {
        let Some(request) = self.requests.all.get_mut(&id) else { return };
        request.worked = true;
        let reply = self.sites[request.site].work(&request.asked, request.lot, self.now);
        let (open, status) = (request.open, reply.status);
        request.reply = Some(reply);
        if !open {
            self.requests.all.remove(&id);
        }
        self.history.tell(self.now, format_args!("request {id} is worked on: {status}"));
    }

    /// A request ends for its sender, who hears it when he is awake.
    pub fn deliver(&mut self, id: u64) -> Option<Waker> {
        let request = self.requests.all.get_mut(&id)?;
        request.ended = true;
        request.waker.take()
    }

    fn take_end(&mut self, id: u64, limit: Duration) -> Option<Result<Answer, SendError>> {
        let request = self.requests.all.get_mut(&id).filter(|request| request.ended)?;
        let (lot, late, reply) = (request.lot, request.late, request.reply.take());
        let (site, asked) = (request.site, request.asked.clone());
        let lost = |why: &str, partial| Err(SendError::Lost { why: why.to_owned(), partial });
        let end = match (lot, reply) {
            (Lot::Unsent, _) => {
                self.never_left(site, &asked);
                Err(SendError::Unsent)
            }
            (_, _) if late => lost("no whole answer came in time", None),
            (Lot::LostBefore | Lot::LostAfter, _) | (_, None) => lost("the connection broke", None),
            (Lot::Cut, Some(mut reply)) => {
                let at = self.sites[site].cut(reply.body.len());
                reply.body.truncate(at);
                let body = &reply.body;
                if let Some(access) = reply.access.take().filter(|_| !tells_lifetime(body)) {
                    // Then the lifetime before counts, where one is known.
                    self.lifetime_is_cut_off(site, &access);
                }
                let body = &reply.body;
                reply.gives = reply.gives.take().filter(|token| body.contains(&format!("\"{token}\"")));
                self.has_got(site, &asked, reply.gives.clone(), false);
                lost("the answer broke off", Some(answer(&reply)))
            }
            (_, Some(reply)) => {
                let decides = reply.gives.is_some()
                    || !matches!(lot, Lot::ErrorBefore | Lot::ErrorAfter | Lot::PageBefore | Lot::PageAfter);
                self.has_got(site, &asked, reply.gives.clone(), decides);
                Ok(answer(&reply))
            }
        };
        let what = match &end {
            Ok(answer) => format!("answered {}", answer.status),
            Err(error) => format!("{error} (within {limit:?})"),
        };
        self.tell(format_args!("request {id} ends: {what}"));
        Some(end)
    }

    fn never_left(&mut self, site: usize, asked: &Asked) {
        if let Asked::Refresh(token) = asked
            && let Some(refresh) = self.sites[site].ledger.refresh_mut(token)
        {
            refresh.unanswered = refresh.unanswered.saturating_sub(1);
        }
    }

    /// The task that runs has an answer, or a part of one, and not written it down yet.
    fn has_got(&mut self, site: usize, asked: &Asked, gives: Option<String>, decides: bool) {
        let (Asked::Refresh(token), Some(task)) = (asked, tokio::task::try_id()) else { return };
        self.requests.got.retain(|(other, _)| *other != task);
        let decides = decides || gives.is_some();
        self.requests.got.push((task, Got { site, sent: token.clone(), gives, decides }));
    }

    /// The task that runs has written down what it had got: from now on this must not be lost.
    pub fn journalled(&mut self, node: usize) {
        let task = tokio::task::try_id();
        let Some(at) = self.requests.got.iter().position(|(other, _)| Some(*other) == task) else { return };
        let (_, Got { site, sent, gives, decides }) = self.requests.got.swap_remove(at);
        let ledger = &mut self.sites[site].ledger;
        if let Some(refresh) = ledger.refresh_mut(&sent).filter(|_| decides) {
            refresh.unanswered = refresh.unanswered.saturating_sub(1);
        }
        if let Some(gives) = gives {
            ledger.answered(&sent, &gives, node, self.now);
        }
    }

    /// The connection of a request is closed: nobody can be answered any more.
    fn close(&mut self, id: u64) {
        let Some(request) = self.requests.all.get_mut(&id) else { return };
        request.open = false;
        if request.worked || !request.comes_to_work() {
            self.requests.all.remove(&id);
        }
    }
}

impl Request {
    fn comes_to_work(&self) -> bool {
        !matches!(self.lot, Lot::Unsent | Lot::LostBefore)
    }
}

fn answer(reply: &Reply) -> Answer {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    if let Some(seconds) = reply.retry_after {
        headers.push(("retry-after".to_owned(), seconds.to_string()));
    }
    Answer { status: reply.status, headers, body: reply.body.clone().into() }
}

fn asked(request: &HttpRequest) -> Asked {
    let mut found = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(request.body()) {
        found.insert(name.into_owned(), value.into_owned());
    }
    match (found.remove("grant_type"), found.remove("refresh_token"), found.remove("token")) {
        (Some(_), Some(token), _) => Asked::Refresh(token),
        (None, _, Some(token)) => Asked::Revoke(token),
        _ => Asked::Other,
    }
}

/// Whether an answer that broke off tells the whole lifetime.
fn tells_lifetime(body: &str) -> bool {
    body.split_once("\"expires_in\":").is_some_and(|(_, rest)| rest.contains([',', '}']))
}
