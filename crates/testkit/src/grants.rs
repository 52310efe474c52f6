//! What can be asked about, and done to, the grants of a judge from outside the protocol.

use std::sync::Arc;

use crate::books::{Ending, Family};
use crate::clock::Moment;
use crate::judge::TokenPair;
use crate::secrets::SecretKind;
use crate::state::State;

impl State {
    /// Issues a pair without a browser.
    pub(crate) fn issue(&mut self, client_id: &str, account: &str, now: Moment) -> Option<TokenPair> {
        let client = Arc::clone(self.clients.get(client_id)?);
        let at = self.books.grant(&client, account, client.scopes.clone(), &mut self.mint, now);
        let pair = self.books.pair(at);
        Some(TokenPair {
            access_token: pair.access.clone(),
            refresh_token: self.books.refresh_of(at).map(|token| token.text.clone()),
            expires_at: pair.access_until,
        })
    }

    /// Replaces the client's secrets by one.
    pub(crate) fn rotate_client_secret(&mut self, client_id: &str, secret: Option<&str>) -> Option<String> {
        let mut client = self.clients.get(client_id)?.as_ref().clone();
        let secret = secret.map_or_else(|| self.mint.make(SecretKind::ClientSecret, client_id), str::to_owned);
        client.client_secrets = vec![secret.clone()];
        self.register(client);
        Some(secret)
    }

    /// Ends the live grants that fit, as a person does; says which, as (client, account).
    pub(crate) fn revoke(&mut self, fits: impl Fn(&Family) -> bool, now: Moment) -> Vec<(String, String)> {
        let of = |(at, family): (usize, &Family)| (at, family.client_id.clone(), family.account.clone());
        let live: Vec<_> = self.books.families().filter(|(_, f)| f.ended.is_none() && fits(f)).map(of).collect();
        live.into_iter()
            .map(|(at, client, account)| {
                self.books.end_family(at, Ending::Person, now);
                (client, account)
            })
            .collect()
    }

    pub(crate) fn live_refresh_token(&self, client_id: &str, account: &str, now: Moment) -> Option<String> {
        let client = self.clients.get(client_id)?;
        let mut newest_first = self.books.refresh_tokens().rev();
        let live = newest_first.find(|token| {
            self.books.family(token.family).account == account && self.books.would_bring(&token.text, client, now)
        })?;
        Some(live.text.clone())
    }

    pub(crate) fn is_live(&self, refresh_token: &str, now: Moment) -> bool {
        let Some(token) = self.books.refresh(refresh_token) else {
            return false;
        };
        let client = self.clients.get(&self.books.family(token.family).client_id);
        client.is_some_and(|client| self.books.would_bring(refresh_token, client, now))
    }

    pub(crate) fn release(&mut self) {
        self.releases.send_modify(|count| *count += 1);
    }

    pub(crate) fn reset(&mut self) {
        self.faults.clear();
        self.release();
    }
}
