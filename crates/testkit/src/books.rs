//! The judge's books: every family of tokens, and what each replay kind makes of a refresh token.
//!
//! Pure: `now` is an argument, nothing waits and nothing is sent. One lock around the whole judge makes each
//! call here atomic, which is what makes the judge a judge: two uses of one token never both win by accident.

use std::collections::HashMap;

use crate::clock::Moment;
use crate::config::{ClientConfig, ReplayKind};
use crate::secrets::{Mint, SecretKind};

/// All that was granted.
#[derive(Default)]
pub(crate) struct Books {
    families: Vec<Family>,
    pairs: Vec<Pair>,
    refresh: Vec<RefreshToken>,
    by_access: HashMap<String, usize>,
    by_refresh: HashMap<String, usize>,
}

/// What one consent gave: all tokens that descend from one code.
pub(crate) struct Family {
    pub(crate) client_id: String,
    pub(crate) account: String,
    pub(crate) scope: Vec<String>,
    pub(crate) ended: Option<(Moment, Ending)>,
    pub(crate) newest: usize,
    first_refresh: Option<usize>,
    generations: u32,
}

/// Why a family ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// At the revocation endpoint, by the client.
    Client,
    /// By a switch, as a person does in the provider's settings.
    Person,
    /// A used refresh token was sent again.
    Reuse,
    /// A used code was sent again.
    CodeReuse,
}

impl Ending {
    /// As a sentence on the page.
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::Client => "revoked by the client",
            Self::Person => "revoked by the person",
            Self::Reuse => "a used refresh token came again",
            Self::CodeReuse => "a used code came again",
        }
    }
}

/// An access token and the refresh token that came with it.
pub(crate) struct Pair {
    pub(crate) family: usize,
    pub(crate) generation: u32,
    pub(crate) access: String,
    pub(crate) access_until: Moment,
    access_ended: bool,
    access_used: bool,
    pub(crate) refresh: Option<usize>,
}

/// A refresh token and what it brought.
pub(crate) struct RefreshToken {
    pub(crate) text: String,
    pub(crate) family: usize,
    until: Option<Moment>,
    ended: bool,
    first_used: Option<Moment>,
    brought: Vec<usize>,
}

/// What a use of a refresh token came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    Rotated(usize),
    Repeated(usize),
    Renewed(usize),
}

/// Why a refresh token was refused: always `invalid_grant` to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unknown,
    OtherClient,
    Expired,
    Ended,
    Used { ends_family: bool },
}

/// What a use of a refresh token would come to, decided without changing anything.
enum Standing {
    Rotate,
    Repeat(usize),
    Renew,
    Refuse(Refusal),
}

impl Books {
    /// Begins a family with its first pair, as a code exchange or an import does.
    pub(crate) fn grant(
        &mut self,
        client: &ClientConfig,
        account: &str,
        scope: Vec<String>,
        mint: &mut Mint,
        now: Moment,
    ) -> usize {
        let family = self.families.len();
        self.families.push(Family {
            client_id: client.client_id.clone(),
            account: account.to_owned(),
            scope,
            ended: None,
            newest: 0,
            first_refresh: None,
            generations: 0,
        });
        self.issue(family, client, client.issue_refresh_token, mint, now)
    }

    /// Another access token for the family of one, alone.
    pub(crate) fn lengthen(&mut self, pair: usize, client: &ClientConfig, mint: &mut Mint, now: Moment) -> usize {
        self.issue(self.pairs[pair].family, client, false, mint, now)
    }

    /// Uses a refresh token.
    pub(crate) fn spend(
        &mut self,
        text: &str,
        client: &ClientConfig,
        mint: &mut Mint,
        now: Moment,
    ) -> Result<Spent, Refusal> {
        let standing = self.standing(text, client, now);
        let Some(&token) = self.by_refresh.get(text) else {
            return Err(Refusal::Unknown);
        };
        let family = self.refresh[token].family;
        match standing {
            Standing::Refuse(refusal) => {
                if refusal == (Refusal::Used { ends_family: true }) {
                    self.end_family(family, Ending::Reuse, now);
                }
                Err(refusal)
            }
            Standing::Repeat(pair) => Ok(Spent::Repeated(pair)),
            Standing::Renew => {
                self.refresh[token].until = client.refresh_lifetime.map(|life| now + life);
                let pair = self.renew(token, client, mint, now);
                Ok(Spent::Renewed(pair))
            }
            Standing::Rotate => {
                if client.replay == ReplayKind::Confirm {
                    // The answer was lost: the pair that nobody has seen makes way for a new one.
                    for unseen in self.refresh[token].brought.clone() {
                        self.end_pair(unseen);
                    }
                }
                Ok(Spent::Rotated(self.renew(token, client, mint, now)))
            }
        }
    }

    /// Whether a use of this refresh token would bring tokens now.
    pub(crate) fn would_bring(&self, text: &str, client: &ClientConfig, now: Moment) -> bool {
        !matches!(self.standing(text, client, now), Standing::Refuse(_))
    }

    /// Whether a refresh token ended by its own age, unused.
    pub(crate) fn has_expired(&self, text: &str, now: Moment) -> bool {
        self.refresh(text)
            .is_some_and(|token| token.first_used.is_none() && token.until.is_some_and(|until| until <= now))
    }

    fn standing(&self, text: &str, client: &ClientConfig, now: Moment) -> Standing {
        let Some(token) = self.by_refresh.get(text).map(|&at| &self.refresh[at]) else {
            return Standing::Refuse(Refusal::Unknown);
        };
        let family = &self.families[token.family];
        if family.client_id != client.client_id {
            return Standing::Refuse(Refusal::OtherClient);
        }
        if family.ended.is_some() || token.ended {
            return Standing::Refuse(Refusal::Ended);
        }
        if token.until.is_some_and(|until| until <= now) {
            return Standing::Refuse(Refusal::Expired);
        }
        let Some(first_used) = token.first_used else {
            return if client.replay == ReplayKind::None { Standing::Renew } else { Standing::Rotate };
        };
        let ends_family = client.strict_after_window || client.replay == ReplayKind::Family;
        let used = Standing::Refuse(Refusal::Used { ends_family });
        match client.replay {
            ReplayKind::None => Standing::Renew,
            ReplayKind::Idempotent { window } if now.since(first_used) < window => {
                token.brought.last().map_or(used, |&pair| Standing::Repeat(pair))
            }
            ReplayKind::Overlap { window } if now.since(first_used) < window => Standing::Rotate,
            ReplayKind::Confirm if !token.brought.iter().any(|&pair| self.seen(pair)) => Standing::Rotate,
            _ => used,
        }
    }

    /// Whether the client has shown that it holds this pair.
    fn seen(&self, pair: usize) -> bool {
        let pair = &self.pairs[pair];
        pair.access_used || pair.refresh.is_some_and(|token| self.refresh[token].first_used.is_some())
    }

    fn renew(&mut self, token: usize, client: &ClientConfig, mint: &mut Mint, now: Moment) -> usize {
        let family = self.refresh[token].family;
        let before = self.families[family].newest;
        let pair = self.issue(family, client, client.replay != ReplayKind::None, mint, now);
        if client.refresh_ends_access {
            self.pairs[before].access_ended = true;
        }
        let token = &mut self.refresh[token];
        token.first_used.get_or_insert(now);
        token.brought.push(pair);
        pair
    }

    fn issue(&mut self, at: usize, client: &ClientConfig, refresh: bool, mint: &mut Mint, now: Moment) -> usize {
        let pair = self.pairs.len();
        let family = &mut self.families[at];
        family.newest = pair;
        family.generations += 1;
        let access = mint.make(SecretKind::AccessToken, &family.account);
        let refresh = refresh.then(|| {
            let text = mint.make(SecretKind::RefreshToken, &family.account);
            self.by_refresh.insert(text.clone(), self.refresh.len());
            let until = client.refresh_lifetime.map(|life| now + life);
            self.refresh.push(RefreshToken {
                text,
                family: at,
                until,
                ended: false,
                first_used: None,
                brought: Vec::new(),
            });
            self.refresh.len() - 1
        });
        family.first_refresh = family.first_refresh.or(refresh);
        self.by_access.insert(access.clone(), pair);
        self.pairs.push(Pair {
            family: at,
            generation: family.generations,
            access,
            access_until: now + client.access_lifetime,
            access_ended: false,
            access_used: false,
            refresh,
        });
        pair
    }

    fn end_pair(&mut self, pair: usize) {
        self.pairs[pair].access_ended = true;
        if let Some(token) = self.pairs[pair].refresh {
            self.refresh[token].ended = true;
        }
    }

    pub(crate) fn end_family(&mut self, family: usize, why: Ending, now: Moment) {
        self.families[family].ended.get_or_insert((now, why));
    }

    /// Ends an access token alone, as RFC 7009 allows.
    pub(crate) fn end_access(&mut self, pair: usize) {
        self.pairs[pair].access_ended = true;
    }

    /// The pair of a live access token.
    pub(crate) fn live_access(&self, text: &str, now: Moment) -> Option<usize> {
        let at = *self.by_access.get(text)?;
        let pair = &self.pairs[at];
        let live = !pair.access_ended && pair.access_until > now && self.families[pair.family].ended.is_none();
        live.then_some(at)
    }

    /// Notes that a live access token was used.
    pub(crate) fn use_access(&mut self, pair: usize) {
        self.pairs[pair].access_used = true;
    }

    pub(crate) fn access(&self, text: &str) -> Option<usize> {
        self.by_access.get(text).copied()
    }

    pub(crate) fn refresh(&self, text: &str) -> Option<&RefreshToken> {
        self.by_refresh.get(text).map(|&at| &self.refresh[at])
    }

    pub(crate) fn pair(&self, at: usize) -> &Pair {
        &self.pairs[at]
    }

    pub(crate) fn family(&self, at: usize) -> &Family {
        &self.families[at]
    }

    pub(crate) fn families(&self) -> impl DoubleEndedIterator<Item = (usize, &Family)> {
        self.families.iter().enumerate()
    }

    /// The refresh token that came with a pair; at [`ReplayKind::None`] the one that the family began with.
    pub(crate) fn refresh_of(&self, pair: usize) -> Option<&RefreshToken> {
        let pair = &self.pairs[pair];
        pair.refresh.or(self.families[pair.family].first_refresh).map(|at| &self.refresh[at])
    }

    /// All refresh tokens, oldest first.
    pub(crate) fn refresh_tokens(&self) -> impl DoubleEndedIterator<Item = &RefreshToken> {
        self.refresh.iter()
    }
}
