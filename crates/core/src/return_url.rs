//! Where a browser may be sent back to: addresses that the operator registered, and nothing that only looks like one.
//!
//! Compared after the WHATWG parser, which is the browser's own; texts that it would repair first (backslashes, control
//! characters, white space) are refused, so that nobody else reads another address in them than it does.

use url::{Host, Url};

/// What an address must be to be registered, or to be returned to.
pub const EXPECTED: &str = "expected an https address (or http on loopback) without user, password and fragment";

/// What the service adds to the query of an address.
const OURS: [&str; 4] = ["status", "handle", "connection_id", "code"];

/// Reads an address that may be registered or returned to.
pub fn parse(text: &str) -> Option<Url> {
    let repaired = |c: char| c == '\\' || c.is_control() || c.is_whitespace();
    if text.len() > 2048 || text.chars().any(repaired) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    // `https:host` and `https:/host` are repaired by the parser to `https://host`.
    let whole = text.get(..url.scheme().len() + 3).is_some_and(|start| start.ends_with("://"));
    let rest = text.get(url.scheme().len() + 3..).unwrap_or_default();
    let authority_is_plain =
        rest.split(['/', '?']).next().is_some_and(|authority| !authority.is_empty() && !authority.contains('@'));
    let path_is_plain = rest.split(['?', '#']).next().is_some_and(|authority_and_path| !climbs(authority_and_path));
    let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    // A host of dots alone is none, whether a port stands behind it or not.
    let host_is_name = url.host_str().is_some_and(|host| !climbs(host));
    (plain && whole && authority_is_plain && path_is_plain && safe && host_is_name).then_some(url)
}

/// Dot segments, and separators in disguise, which some servers take for real ones after decoding.
fn climbs(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let dots = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    lower.contains("%2f") || lower.contains("%5c") || lower.split('/').any(dots)
}

/// Whether a URL's host can only be this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether `asked` is at or below one of the registered addresses: the same origin, and its path by whole segments.
pub fn is_registered(asked: &Url, registered: &[String]) -> bool {
    registered.iter().filter_map(|text| parse(text)).any(|allowed| {
        let same_origin = asked.scheme() == allowed.scheme()
            && asked.host() == allowed.host()
            && asked.port_or_known_default() == allowed.port_or_known_default();
        same_origin && below(asked.path(), allowed.path())
    })
}

fn below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The address with what came of it in its query.
pub fn with_result(return_url: &Url, result: &[(&str, &str)]) -> Url {
    let mut url = return_url.clone();
    let theirs: Vec<(String, String)> = return_url
        .query_pairs()
        .filter(|(name, _)| !OURS.contains(&name.as_ref()))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(theirs).extend_pairs(result);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(asked: &str, registered: &str) -> bool {
        parse(asked).is_some_and(|asked| is_registered(&asked, &[registered.to_owned()]))
    }

    #[test]
    fn a_registered_address_and_what_lies_below_it_is_accepted() {
        let registered = "https://app.example/connected";
        for good in [
            "https://app.example/connected",
            "https://app.example/connected/",
            "https://app.example/connected/strava?x=1",
            "https://app.example:443/connected",
            "https://APP.example/connected",
        ] {
            assert!(allowed(good, registered), "{good}");
        }
        assert!(allowed("http://localhost:3000/x", "http://localhost:3000"));
        assert!(allowed("http://[::1]:3000/x", "http://[::1]:3000/"));
    }

    #[test]
    fn what_only_looks_like_it_is_refused() {
        let registered = "https://app.example/connected";
        for bad in [
            "https://app.example/connectedness",
            "https://app.example/",
            "https://app.example/connected/../admin",
            "https://app.example/connected/%2e%2e/admin",
            "https://app.example.evil.com/connected",
            "https://evil.com/connected",
            "https://app.example@evil.com/connected",
            "https://evil.com\\@app.example/connected",
            "https://app.example\\.evil.com/connected",
            "https://@app.example/connected",
            "https://user:pw@app.example/connected",
            "https://app.example:8443/connected",
            "http://app.example/connected",
            "https:app.example/connected",
            "https:/app.example/connected",
            "https:///app.example/connected",
            "//app.example/connected",
            "/connected",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://app.example/connected#x",
            " https://app.example/connected",
            "https://app.example/\tconnected",
            "https://app.example/connected\n",
            "https://аpp.example/connected",
            "https://app.example%2fconnected",
            "https://[app.example]/connected",
            "https://app.example/connected/%2e%2e%2fadmin",
            "https://app.example/connected/..%2Fadmin",
            "https://app.example/connected/%5c..%5Cadmin",
            "https://app.example/connected/./x/../../admin",
            "https://app.example/x/%2E%2e/connected",
        ] {
            assert!(!allowed(bad, registered), "{bad}");
        }
        assert!(!allowed("http://127.0.0.1.nip.io/x", "http://127.0.0.1.nip.io/x"));
        assert!(["https://./x", "https://.:/x", "https://..:443/x"].iter().all(|bad| parse(bad).is_none()));
    }

    #[test]
    fn the_result_replaces_what_pretends_to_be_one() {
        let url = parse("https://app.example/connected?tab=2&status=connected&handle=forged").unwrap();
        let with = with_result(&url, &[("status", "pending"), ("handle", "h")]);
        assert_eq!(with.as_str(), "https://app.example/connected?tab=2&status=pending&handle=h");
    }
}
