//! N9: where a browser may be sent back to.

use evergrant_core::return_url;
use url::Url;

use super::Target;
use crate::text::Case;

pub const RETURNS: Target = Target {
    name: "n9_return_url",
    promise: "an accepted address has the origin of a registered one and lies below its path",
    run,
    seeds,
    words: &[
        "https://",
        "http://",
        "//",
        "app.example",
        "evil.example",
        "@",
        "\\",
        "..",
        "%2e",
        "%2f",
        "%5c",
        ":443",
        ":80",
        "?",
        "#",
        "localhost",
        ".localhost",
        "[::1]",
        "127.0.0.1",
        "0x7f.1",
        "127.1",
        "xn--",
        "\u{430}",
        "\u{3002}",
        "status=",
        "handle=",
        "&",
        ".",
        "/./",
    ],
    slow: false,
};

/// The first line is what is asked for, the others what is registered.
fn run(bytes: &[u8]) {
    let case = Case::read(bytes);
    let asked = case.words.join(" ");
    let registered: Vec<String> = case.lines.iter().map(|(address, _)| (*address).to_owned()).collect();
    let Some(url) = return_url::parse(&asked) else { return };
    assert!(matches!(url.scheme(), "https" | "http") && url.has_host() && url.fragment().is_none(), "{asked}");
    assert!(url.scheme() == "https" || return_url::is_loopback(&url), "{asked}");
    assert!(url.username().is_empty() && url.password().is_none(), "{asked}");
    if return_url::is_registered(&url, &registered) {
        let fits = |text: &String| {
            // Another reading of the rule than the code's: by origin, and by whole steps of the path.
            let Ok(allowed) = Url::parse(text) else { return false };
            let steps = |url: &Url| -> Vec<String> {
                let path = url.path().trim_end_matches('/').to_owned();
                path.split('/').map(str::to_owned).collect()
            };
            allowed.origin() == url.origin() && steps(&url).starts_with(&steps(&allowed))
        };
        assert!(registered.iter().any(fits), "{asked} is accepted for {registered:?}");
    }
    let sent = return_url::with_result(&url, &[("status", "connected"), ("connection_id", "con_1")]);
    assert_eq!((sent.origin(), sent.path()), (url.origin(), url.path()), "{asked}");
    let named = |name: &str| sent.query_pairs().filter(|(found, _)| found == name).count();
    assert_eq!((named("status"), named("connection_id"), named("handle"), named("code")), (1, 1, 0, 0), "{sent}");
    // What is registered today and asked for tomorrow is the same address.
    assert!(return_url::parse(url.as_str()).is_some_and(|again| again == url), "{asked} is not read back from {url}");
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "https://app.example/connected?x=1\nhttps://app.example/connected\n",
        "https://app.example:443/a/b\nhttps://other.example/\nhttps://app.example/a/\n",
        "http://localhost:3000/x\nhttp://localhost:3000\n",
        "http://[::1]:3000/x\nhttp://[::1]:3000/\n",
        "https://app.example/connected/%2e%2e/admin\nhttps://app.example/connected\n",
        "https://app.example@evil.example/connected\nhttps://app.example/connected\n",
        "https://app.example/c?tab=2&status=connected&handle=forged&code=1\nhttps://app.example\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
