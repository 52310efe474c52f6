//! The domain that somebody registered: enough of the public suffix list for a lint, which may ask once too often.

use std::net::IpAddr;

/// Second levels under which others register.
const SHARED: [&str; 9] = ["co", "com", "org", "net", "ac", "gov", "edu", "ne", "or"];

/// `auth.example.co.uk` → `example.co.uk`; addresses and single names stay as they are.
pub(super) fn registrable(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return host;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let shared = |label: &&str| SHARED.contains(label);
    let country = labels.last().is_some_and(|last| last.len() == 2);
    let second = labels.len().checked_sub(2).and_then(|at| labels.get(at));
    let kept = if country && second.is_some_and(shared) { 3 } else { 2 };
    labels.get(labels.len().saturating_sub(kept)..).unwrap_or_default().join(".")
}

#[cfg(test)]
mod tests {
    use super::registrable;

    #[test]
    fn the_registered_part_of_a_host_is_found() {
        for (host, expected) in [
            ("auth.example.com", "example.com"),
            ("example.com", "example.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("LOGIN.Example.COM.au", "example.com.au"),
            ("api.x.com", "x.com"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(registrable(host), expected);
        }
    }
}
