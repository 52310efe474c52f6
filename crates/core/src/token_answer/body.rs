//! What kind of body it is, by its content and not by its content type: JSON may come as `text/html`, forms as anything.

use std::borrow::Cow;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::json::{self, Json};

/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing but blanks.
    Empty,
    /// JSON, maybe cut off or padded.
    Json,
    /// `application/x-www-form-urlencoded`; the members are the root's.
    Form,
    /// A page for people.
    Html,
    /// Any other text.
    Text,
}

/// A body, read.
pub(crate) struct Body<'a> {
    pub(crate) text: &'a str,
    pub(crate) shape: Shape,
    /// Null where nothing could be read.
    pub(crate) root: Json<'a>,
    /// Whether all of the text was understood; what it says by being absent can be believed only then.
    pub(crate) whole: bool,
    pub(crate) duplicate_keys: bool,
}

/// The bytes as text: UTF-8, or UTF-16 with its mark; a byte order mark is dropped, what is no text becomes `U+FFFD`.
pub(crate) fn text_of(bytes: &[u8]) -> Zeroizing<String> {
    let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(read)).collect();
        String::from_utf16_lossy(&units)
    };
    Zeroizing::new(match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    })
}

/// Reads a text; `cut` says that the answer is known to have been cut off, so that its last form field can't be trusted.
pub(crate) fn read(text: &str, cut: bool) -> Body<'_> {
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let unread = |shape, whole| Body { text: trimmed, shape, root: Json::Null, whole, duplicate_keys: false };
    match trimmed.bytes().next() {
        None => unread(Shape::Empty, true),
        Some(b'{' | b'[') => json_body(trimmed, trimmed),
        Some(b'<') => unread(Shape::Html, false),
        _ if is_form(trimmed) => form_body(trimmed, cut),
        // Guards against inclusion as a script stand before the object: `)]}'`, `for(;;);`.
        _ => match trimmed.find('{').and_then(|at| trimmed.get(at..)) {
            Some(object) => Body { whole: false, ..json_body(trimmed, object) },
            None => unread(Shape::Text, false),
        },
    }
}

fn json_body<'a>(text: &'a str, value: &'a str) -> Body<'a> {
    match json::read(value) {
        Some(read) => {
            let json::Read { value: root, whole, duplicate_keys } = read;
            Body { text, shape: Shape::Json, root, whole, duplicate_keys }
        }
        None => Body { text, shape: Shape::Text, root: Json::Null, whole: false, duplicate_keys: false },
    }
}

/// A form begins with a name and `=`, and has no blanks or markup in it.
fn is_form(text: &str) -> bool {
    let name_character = |c: char| c.is_ascii_alphanumeric() || "_.-+%[]".contains(c);
    let named = text.split_once('=').is_some_and(|(name, _)| !name.is_empty() && name.chars().all(name_character));
    named && !text.contains(|c: char| c.is_whitespace() || "<>{}\"".contains(c))
}

fn form_body(text: &str, cut: bool) -> Body<'_> {
    let complete = if cut { text.rfind('&').and_then(|end| text.get(..end)).unwrap_or_default() } else { text };
    let mut members: BTreeMap<Cow<'_, str>, Json<'_>> = BTreeMap::new();
    let mut duplicate_keys = false;
    for (name, value) in form_urlencoded::parse(complete.as_bytes()) {
        duplicate_keys |= members.insert(name, Json::Text(value)).is_some();
    }
    Body { text, shape: Shape::Form, root: Json::Map(members), whole: !cut, duplicate_keys }
}
