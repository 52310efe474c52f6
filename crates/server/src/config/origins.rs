//! The origins whose pages may ask for a subject: written exactly as a browser writes them, so that comparing is enough.

use evergrant_core::return_url::is_loopback;
use url::Url;

/// What each must be.
const EXPECTED: &str = "expected origins such as https://app.example or http://localhost:3000: https, or http on loopback, \
                        without a path and without wildcards";

/// Reads origins with spaces or commas between them.
pub(super) fn read(text: &str) -> Result<Vec<String>, String> {
    let parts = text.split([' ', ',', '\n', '\t']).filter(|part| !part.is_empty());
    parts.map(|part| origin(part).ok_or_else(|| wrong(part))).collect()
}

/// An origin that is written as browsers write it; a slash at its end is forgiven.
fn origin(text: &str) -> Option<String> {
    let url =
        Url::parse(text).ok().filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))?;
    let written = url.origin().ascii_serialization();
    let host_is_name = url.host_str().is_some_and(|host| !host.contains('*'));
    (host_is_name && written == text.strip_suffix('/').unwrap_or(text)).then_some(written)
}

/// What is expected, with what was probably meant. An origin is no secret.
fn wrong(text: &str) -> String {
    let meant = Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
    let meant = meant.and_then(|origin| self::origin(&origin.ascii_serialization()));
    let meant = meant.filter(|_| !text.contains('@')).map(|origin| format!("; perhaps {origin}")).unwrap_or_default();
    format!("{EXPECTED}{meant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_kept_as_browsers_write_them() {
        let read = read("https://app.example, http://localhost:3000\nhttps://b.example:8443/").unwrap();
        assert_eq!(read, ["https://app.example", "http://localhost:3000", "https://b.example:8443"]);
    }

    #[test]
    fn what_is_no_exact_origin_is_refused() {
        for text in [
            "*",
            "null",
            "https://*.example",
            "https://*",
            "http://app.example",
            "https://app.example/path",
            "https://app.example?x",
            "https://app.example#x",
            "https://anna@app.example",
            "https://app.example:443",
            "https://APP.example",
            "https:app.example",
            "app.example",
            "file:///etc",
            "https://bücher.example",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("https://APP.example:443/x").unwrap_err().ends_with("perhaps https://app.example"));
    }
}
