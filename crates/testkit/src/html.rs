//! Reads the forms out of an HTML page: as much of HTML as the pages of the product and of its peers have.
//!
//! Not a browser's parser: no error recovery, no scripts, no `form=` attributes elsewhere on the page.

use http::Method;

/// A form as it would be sent: hidden fields, what is checked and chosen, and what a test fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Where it goes, as written.
    pub action: String,
    /// `GET` or `POST`.
    pub method: Method,
    /// What will be sent.
    pub fields: Vec<(String, String)>,
    /// The named buttons, as (name, value).
    pub buttons: Vec<(String, String)>,
}

impl Form {
    /// The same with this field filled in, or added.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(of, _)| of != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, sent by the button of this value; a value that no button has changes nothing.
    #[must_use]
    pub fn button(self, value: &str) -> Self {
        match self.buttons.iter().find(|(_, of)| of == value).cloned() {
            Some((name, value)) => self.with(&name, &value),
            None => self,
        }
    }

    /// A field's value.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

struct Tag<'a> {
    name: String,
    attributes: Vec<(String, String)>,
    /// What stands between this tag and the next.
    text: &'a str,
}

impl Tag<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// The forms of a page, in order.
#[must_use]
pub fn forms(html: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut inside = false;
    let mut select: Option<String> = None;
    for tag in tags(html) {
        match tag.name.as_str() {
            "form" => {
                let post = tag.get("method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
                forms.push(Form {
                    action: tag.get("action").unwrap_or_default().to_owned(),
                    method: if post { Method::POST } else { Method::GET },
                    fields: Vec::new(),
                    buttons: Vec::new(),
                });
                inside = true;
            }
            "/form" => inside = false,
            "select" => select = tag.get("name").map(str::to_owned),
            "/select" => select = None,
            _ => {
                if let Some(form) = forms.last_mut().filter(|_| inside) {
                    add(form, &tag, select.as_deref());
                }
            }
        }
    }
    forms
}

fn add(form: &mut Form, tag: &Tag<'_>, select: Option<&str>) {
    let named = |value: &str| tag.get("name").map(|name| (name.to_owned(), value.to_owned()));
    let value = tag.get("value").unwrap_or_default();
    let kind = tag.get("type").unwrap_or_default().to_ascii_lowercase();
    match (tag.name.as_str(), kind.as_str()) {
        ("button", "button" | "reset") => {}
        ("button", _) | ("input", "submit") => form.buttons.extend(named(value)),
        ("input", "checkbox" | "radio") => {
            let value = tag.get("value").unwrap_or("on");
            form.fields.extend(named(value).filter(|_| tag.get("checked").is_some()));
        }
        ("input", _) => form.fields.extend(named(value)),
        ("textarea", _) => form.fields.extend(named(&unescape(tag.text))),
        ("option", _) => {
            let Some(select) = select else { return };
            let first = !form.fields.iter().any(|(name, _)| name == select);
            let value = tag.get("value").map_or_else(|| unescape(tag.text.trim()), str::to_owned);
            if tag.get("selected").is_some() || first {
                form.fields.retain(|(name, _)| name != select);
                form.fields.push((select.to_owned(), value));
            }
        }
        _ => {}
    }
}

fn tags(html: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let end = tag_end(rest);
        let (inside, after) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
        let name_end = inside.find(|c: char| c.is_whitespace()).unwrap_or(inside.len());
        let name = inside[..name_end].trim_end_matches('/').to_ascii_lowercase();
        let text = &after[..after.find('<').unwrap_or(after.len())];
        // What stands in these is not markup.
        rest = if matches!(name.as_str(), "script" | "style") {
            after.find(&format!("</{name}")).map_or("", |at| &after[at..])
        } else {
            after
        };
        tags.push(Tag { name, attributes: attributes(&inside[name_end..]), text });
    }
    tags
}

/// Where a tag ends: at the first `>` outside quotes.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return at,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    text.len()
}

fn attributes(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let name = rest[..end].trim_matches('/').to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            (value, rest) = match after.chars().next().filter(|c| matches!(c, '"' | '\'')) {
                Some(quote) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
            };
        }
        if !name.is_empty() {
            found.push((name, unescape(value)));
        }
        rest = rest.trim_start();
    }
    found
}

/// Replaces character references by their characters.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = rest.find(';').and_then(|end| Some((character(&rest[1..end])?, end)));
        let (c, end) = known.unwrap_or(('&', 0));
        out.push(c);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}
