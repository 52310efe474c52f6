//! The forms in which a text can carry a secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Raw, form- and percent-encoded, escaped for JSON and HTML, base64 at each of its three offsets, hexadecimal.
pub(super) fn of(secret: &str) -> Vec<Vec<u8>> {
    if secret.is_empty() {
        return Vec::new();
    }
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let percent_all: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut forms = vec![
        secret.to_owned(),
        lower_percent(&percent),
        lower_percent(&percent_all),
        lower_percent(&form),
        percent,
        percent_all,
        form,
        json(secret, &[]),
        json(secret, &['/']),
        json(secret, &['<', '>', '&', '\'', '+', '=', '/', '"']),
        html(secret),
        hex(secret),
        hex(secret).to_ascii_uppercase(),
    ];
    forms.extend(base64(secret));
    forms.sort();
    forms.dedup();
    forms.into_iter().map(String::into_bytes).collect()
}

/// `%2F` as `%2f`; other letters stay.
fn lower_percent(encoded: &str) -> String {
    let mut digits = 0_u8;
    let lower = |c: char| {
        let is_digit = digits > 0;
        digits = if c == '%' { 2 } else { digits.saturating_sub(1) };
        if is_digit { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(lower).collect()
}

/// Escaped as JSON writers do it; `further` as `\u00XX`, except the slash, which is escaped by a backslash.
fn json(secret: &str, further: &[char]) -> String {
    let mut escaped = String::with_capacity(secret.len());
    for c in secret.chars() {
        match c {
            '/' if further.contains(&c) => escaped.push_str("\\/"),
            c if further.contains(&c) => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            '"' | '\\' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

fn html(secret: &str) -> String {
    secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn hex(secret: &str) -> String {
    secret.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Base64 of a text that has the secret somewhere in it: what does not depend on the neighbours, for each offset.
fn base64(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for offset in 0..3 {
        let mut bytes = vec![0; offset];
        bytes.extend_from_slice(secret.as_bytes());
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            // The first characters hold bits of what stands before, the last one bits of what follows.
            let before = (offset * 8).div_ceil(6);
            let after = usize::from(bytes.len() % 3 != 0);
            let own = encoded.get(before..encoded.len().saturating_sub(after)).unwrap_or_default();
            if own.len() >= super::SHORT {
                forms.push(own.to_owned());
            }
        }
    }
    forms
}
