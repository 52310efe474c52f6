//! Finds the tokens of an answer: where the catalogue says, at the top, else anywhere.
//!
//! A complete token is never thrown away because of what stands around it, so what cannot be read as a whole is searched
//! for complete token strings. What cannot be sent as a token is none.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::body::{Body, Shape};
use super::json::{self, Json};
use crate::oauth1;
use crate::provider::{CredentialKind, Provider};

/// The longest token that is taken, in bytes.
pub const LONGEST_TOKEN: usize = 16 * 1024;

/// The token strings of an answer.
pub(super) struct Found<'b, 'a> {
    pub(super) access: Option<Cow<'b, str>>,
    pub(super) refresh: Option<Cow<'b, str>>,
    pub(super) id: Option<Cow<'b, str>>,
    /// The object that the access token stood in; facts about it stand there too.
    pub(super) around: &'b Json<'a>,
    /// Something was there in the refresh token's place that is no token.
    pub(super) unusable_refresh: bool,
    /// Tokens were found outside of what could be read.
    pub(super) scanned: bool,
}

/// Whether a text can be sent as a bearer token: visible ASCII (RFC 6749 appendix A.12; a blank would end the credentials
/// of RFC 6750 §2.1), not longer than 16 KiB.
pub fn is_access_token(text: &str) -> bool {
    is_token(text, 0x21)
}

/// Whether a text can be sent as a refresh token: VSCHAR (RFC 6749 appendix A.17), not longer than 16 KiB, and not only blanks.
pub fn is_refresh_token(text: &str) -> bool {
    is_token(text, 0x20) && !text.trim().is_empty()
}

fn is_token(text: &str, lowest: u8) -> bool {
    (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(|byte| (lowest..=0x7e).contains(&byte))
}

impl<'a> Body<'a> {
    /// The objects in which tokens may stand, likeliest first. Deeper ones only where the answer names no error.
    fn places<'b>(&'b self, provider: &Provider, deep: bool) -> Vec<&'b Json<'a>> {
        let mut places = Vec::new();
        if !provider.answer_pointer.is_empty() {
            places.extend(self.root.at(&provider.answer_pointer));
        }
        let mut waiting = VecDeque::from([&self.root]);
        while let Some(value) = waiting.pop_front() {
            places.push(value);
            if deep {
                waiting.extend(value.children());
            }
        }
        places
    }

    /// The tokens of this body.
    pub(super) fn find<'b>(&'b self, provider: &Provider, deep: bool) -> Found<'b, 'a> {
        let places = self.places(provider, deep);
        let named = |name: &str, is_token: fn(&str) -> bool| {
            let token =
                |place: &&'b Json<'a>| self.token(place.member_named(name)?, is_token).map(|token| (token, *place));
            places.iter().find_map(token)
        };
        let access = named("access_token", is_access_token);
        let around = access.as_ref().map_or(&self.root, |(_, place)| place);
        let beside = |name: &str| around.member_named(name).or_else(|| self.root.member_named(name));
        if provider.kind == CredentialKind::Oauth1 {
            return self.find_pair(&places);
        }
        let mut found = Found {
            access: access.map(|(token, _)| token),
            refresh: beside("refresh_token").and_then(|value| self.token(value, is_refresh_token)),
            id: beside("id_token").and_then(|value| self.token(value, is_access_token)),
            around,
            unusable_refresh: false,
            scanned: false,
        };
        if found.access.is_none() && found.refresh.is_none() {
            found.refresh = named("refresh_token", is_refresh_token).map(|(token, _)| token);
        }
        let something = |value: &Json<'_>| !matches!(value, Json::Null) && value.text() != Some("");
        found.unusable_refresh = found.refresh.is_none() && beside("refresh_token").is_some_and(something);
        self.scan(&mut found);
        found
    }

    /// The token of OAuth 1.0a and its secret, as the one text in which they are kept.
    fn find_pair<'b>(&'b self, places: &[&'b Json<'a>]) -> Found<'b, 'a> {
        let pair = places.iter().find_map(|place| {
            let part = |name: &str| self.token(place.member_named(name)?, is_access_token);
            let kept = oauth1::joined(&part("oauth_token")?, &part("oauth_token_secret")?);
            is_access_token(kept.expose()).then(|| (Cow::Owned(kept.expose().to_owned()), *place))
        });
        Found {
            around: pair.as_ref().map_or(&self.root, |(_, place)| place),
            access: pair.map(|(kept, _)| kept),
            refresh: None,
            id: None,
            unusable_refresh: false,
            scanned: false,
        }
    }

    /// The tokens of one object of this body, and of nothing else.
    pub(super) fn find_in<'b>(&'b self, place: &'b Json<'a>) -> Found<'b, 'a> {
        let named = |name: &str, is_token: fn(&str) -> bool| {
            place.member_named(name).and_then(|value| self.token(value, is_token))
        };
        Found {
            access: named("access_token", is_access_token),
            refresh: named("refresh_token", is_refresh_token),
            id: named("id_token", is_access_token),
            around: place,
            unusable_refresh: false,
            scanned: false,
        }
    }

    /// Looks into the text itself where it could not be read to its end.
    fn scan<'b>(&'b self, found: &mut Found<'b, 'a>) {
        if self.whole || matches!(self.shape, Shape::Form | Shape::Empty) {
            return;
        }
        let mut fill = |place: &mut Option<Cow<'b, str>>, name, is_token: fn(&str) -> bool| {
            if place.is_none() {
                *place = json::scan(self.text, name).filter(|text| is_token(text));
                found.scanned |= place.is_some();
            }
        };
        fill(&mut found.access, "access_token", is_access_token);
        fill(&mut found.refresh, "refresh_token", is_refresh_token);
        fill(&mut found.id, "id_token", is_access_token);
        found.unusable_refresh &= found.refresh.is_none();
    }

    fn token<'b>(&self, value: &'b Json<'a>, is_token: fn(&str) -> bool) -> Option<Cow<'b, str>> {
        let text = value.text()?;
        // A plus sign that a form did not encode reads as a blank, which no token has.
        let text = if self.shape == Shape::Form && text.contains(' ') {
            Cow::Owned(text.replace(' ', "+"))
        } else {
            Cow::Borrowed(text)
        };
        is_token(&text).then_some(text)
    }
}
