//! Everything a judge knows, behind one lock that is never held while anything waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::books::Books;
use crate::clock::Moment;
use crate::config::{ClientAuth, ClientConfig, JudgeConfig};
use crate::faults::Endpoint;
use crate::ledger::{Decision, End, Ledger, Spend, Violation};
use crate::plan::{Aim, Plan, Switchboard};
use crate::secrets::{Mint, SecretKind, fingerprint};
use crate::wire::{Form, Gone, Request, has_gone};
use crate::{client_auth, token};

/// What the judge knows.
pub(crate) struct State {
    pub(crate) config: JudgeConfig,
    pub(crate) url: String,
    pub(crate) clients: BTreeMap<String, Arc<ClientConfig>>,
    pub(crate) codes: HashMap<String, token::Code>,
    pub(crate) books: Books,
    pub(crate) mint: Mint,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Switchboard,
    /// Other names of a grant (a connection's id, a subject), as (name, client, account).
    pub(crate) aliases: Vec<(String, String, String)>,
    /// A client secret that was just drawn, to be shown on the page once: (client, secret).
    pub(crate) shown_once: Option<(String, String)>,
    /// Who was registered at the API, as whom.
    pub(crate) registered: BTreeMap<String, String>,
    /// Lets go of what is held: each change of the number is one release.
    pub(crate) releases: watch::Sender<u64>,
    open: HashMap<usize, Arc<TcpStream>>,
    spends_by_token: HashMap<String, Vec<usize>>,
}

/// A request that was read, with what belongs to it.
pub(crate) struct Begun {
    pub(crate) plan: Plan,
    pub(crate) spend: Option<usize>,
}

impl State {
    pub(crate) fn new(config: JudgeConfig, url: String) -> Self {
        let clients = config.clients.clone();
        let mut state = Self {
            config,
            url,
            clients: BTreeMap::new(),
            codes: HashMap::new(),
            books: Books::default(),
            mint: Mint::new(),
            ledger: Ledger::default(),
            faults: Switchboard::default(),
            aliases: Vec::new(),
            shown_once: None,
            registered: BTreeMap::new(),
            releases: watch::Sender::new(0),
            open: HashMap::new(),
            spends_by_token: HashMap::new(),
        };
        for client in clients {
            state.register(client);
        }
        state
    }

    /// Registers a client, or replaces the one of the same id; its tokens stay.
    pub(crate) fn register(&mut self, mut client: ClientConfig) -> Arc<ClientConfig> {
        if client.client_secrets.is_empty() && client.client_auth != ClientAuth::None {
            client.client_secrets.push(self.mint.make(SecretKind::ClientSecret, &client.client_id));
        } else {
            for secret in &client.client_secrets {
                self.mint.know(SecretKind::ClientSecret, secret);
            }
        }
        let client = Arc::new(client);
        self.clients.insert(client.client_id.clone(), Arc::clone(&client));
        client
    }

    /// Looks at every connection whose use has not ended: those that the client closed have ended by now.
    pub(crate) fn sweep(&mut self, now: Moment) {
        let left: Vec<(usize, Gone)> =
            self.open.iter().filter_map(|(&spend, stream)| Some((spend, has_gone(stream)?))).collect();
        for (spend, how) in left {
            self.client_left(spend, how, now);
        }
    }

    /// Takes a request into the books: counts it, writes a use of a refresh token into the ledger, picks the faults.
    pub(crate) fn begin(
        &mut self,
        request: &Request,
        began_at: Moment,
        received_at: Moment,
        stream: &Arc<TcpStream>,
    ) -> Begun {
        let Some(endpoint) = Endpoint::of(&request.path) else {
            return Begun { plan: Plan::default(), spend: None };
        };
        *self.ledger.calls.by_endpoint.entry(endpoint.name().to_owned()).or_default() += 1;
        let form = match (endpoint, request.method.as_str()) {
            (Endpoint::Token, "POST") => self.token_form(request),
            (_, "POST") => request.form(),
            _ => request.query(),
        };
        let claimed = client_auth::claimed_id(request, &form);
        let mut grant_type = None;
        let mut account = self.account_of(request, &form);
        let mut spend = None;
        if endpoint == Endpoint::Token {
            grant_type = form.get("grant_type");
            *self.ledger.calls.by_grant_type.entry(grant_type.unwrap_or("").to_owned()).or_default() += 1;
            if let (Some("refresh_token"), Some(token)) = (grant_type, form.get("refresh_token")) {
                let number = self.record(token, claimed.as_deref(), began_at, received_at);
                self.open.insert(number, Arc::clone(stream));
                account.clone_from(&self.ledger.spends[number].account);
                spend = Some(number);
            }
        }
        let aim = Aim { endpoint, client_id: claimed.as_deref(), account: account.as_deref(), grant_type };
        let plan = self.faults.plan(&aim);
        if let Some(number) = spend {
            self.ledger.spends[number].faults.clone_from(&plan.names);
        }
        Begun { plan, spend }
    }

    /// The fields of a token request.
    pub(crate) fn token_form(&self, request: &Request) -> Form {
        if self.config.json_requests { request.fields() } else { request.form() }
    }

    /// The account that a code, a bearer token or a hint in the request belongs to.
    fn account_of(&self, request: &Request, form: &Form) -> Option<String> {
        let of_pair = |pair: usize| self.books.family(self.books.pair(pair).family).account.clone();
        let code = form.get("code").and_then(|code| self.codes.get(code)).map(|code| code.account.clone());
        code.or_else(|| request.bearer().and_then(|token| self.books.access(token)).map(of_pair))
            .or_else(|| form.get("token").and_then(|token| self.books.access(token)).map(of_pair))
            .or_else(|| {
                let token = self.books.refresh(form.get("token")?)?;
                Some(self.books.family(token.family).account.clone())
            })
            .or_else(|| form.get("account").or_else(|| form.get("login_hint")).map(str::to_owned))
    }

    fn record(&mut self, token: &str, client: Option<&str>, began_at: Moment, received_at: Moment) -> usize {
        let number = self.ledger.spends.len();
        let family = self.books.refresh(token).map(|token| self.books.family(token.family));
        let account = family.map(|family| family.account.clone());
        if family.is_some_and(|family| Some(family.client_id.as_str()) != client) {
            self.ledger.violations.push(Violation::WrongClient { spend: number });
        }
        let earlier = self.spends_by_token.entry(token.to_owned()).or_default();
        let overlaps = earlier.iter().copied().find(|&at| {
            let spend = &self.ledger.spends[at];
            spend.written_at.is_none_or(|at| at > began_at) && spend.closed_at.is_none_or(|at| at > began_at)
        });
        earlier.push(number);
        if let Some(earlier) = overlaps {
            self.ledger.violations.push(Violation::Overlap { earlier, later: number });
        }
        self.ledger.spends.push(Spend {
            number,
            client_id: client.unwrap_or_default().to_owned(),
            account,
            token: fingerprint(token),
            began_at,
            received_at,
            decided_at: None,
            decision: None,
            status: None,
            written_at: None,
            closed_at: None,
            end: None,
            overlaps,
            faults: Vec::new(),
        });
        number
    }

    pub(crate) fn decided(&mut self, spend: usize, decision: Decision, now: Moment) {
        let spend = &mut self.ledger.spends[spend];
        spend.decided_at = Some(now);
        spend.decision = Some(decision);
    }

    pub(crate) fn answering(&mut self, spend: usize, status: u16) {
        self.ledger.spends[spend].status = Some(status);
    }

    pub(crate) fn written(&mut self, spend: usize, now: Moment) {
        let spend = &mut self.ledger.spends[spend];
        if spend.end.is_none() {
            spend.written_at.get_or_insert(now);
        }
    }

    /// The client has closed its side: what that means depends on whether it had been answered.
    pub(crate) fn client_left(&mut self, spend: usize, how: Gone, now: Moment) {
        let end = match (self.ledger.spends[spend].written_at, how) {
            (None, _) => End::Abandoned,
            (Some(_), Gone::Closed) => End::Delivered,
            (Some(_), Gone::Reset) => End::Unread,
        };
        self.ended(spend, end, now);
    }

    /// Ends every use whose connection is still open: the judge stops.
    pub(crate) fn close_all(&mut self, now: Moment) {
        for (spend, _) in std::mem::take(&mut self.open) {
            self.ended(spend, End::Cut, now);
        }
    }

    /// The use has ended; only the first end counts.
    pub(crate) fn ended(&mut self, spend: usize, end: End, now: Moment) {
        self.open.remove(&spend);
        let spend = &mut self.ledger.spends[spend];
        if spend.end.is_none() {
            spend.end = Some(end);
            spend.closed_at = Some(now);
        }
    }
}
