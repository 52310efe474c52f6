//! Further token pairs of an answer to a code, where the entry says that they stand.

use super::Purpose;
use super::body::Body;
use super::found::Found;
use super::token_set::token_set;
use crate::lifetime::TokenSet;
use crate::provider::{Also, Provider};
use crate::time::Timestamp;

/// Every further pair that is there whole. `first` is the access token of the first one.
pub(super) fn sets(provider: &Provider, body: &Body<'_>, first: &str, sent_at: Timestamp) -> Vec<TokenSet> {
    let set = |also: &Also| {
        let found = body.find_in(body.root.at(&also.pointer)?);
        let access = found.access.as_deref().filter(|access| *access != first)?;
        let set = token_set(&provider.as_pair(also), body, &found, access, sent_at, Purpose::CodeExchange);
        Some(TokenSet { kind: Some(also.kind.clone()), ..set })
    };
    provider.also.iter().filter_map(set).collect()
}

/// The further pair that was found in the place of the first one, where that did not come (a person alone was asked).
pub(super) fn alone<'p>(provider: &'p Provider, body: &Body<'_>, found: &Found<'_, '_>) -> Option<&'p Also> {
    provider.also.iter().find(|also| body.root.at(&also.pointer).is_some_and(|place| std::ptr::eq(place, found.around)))
}
