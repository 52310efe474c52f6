//! An address of the facts, with what differs from one account to the next as `{name}`.

use std::collections::BTreeMap;

/// An address without its scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    steps: Vec<String>,
    query: BTreeMap<String, String>,
}

impl Place {
    pub(super) fn of(address: &str) -> Self {
        let rest = address.strip_prefix("https://").unwrap_or(address);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        Place {
            steps: path.split('/').map(str::to_owned).collect(),
            query: query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// Whether a request came here: host and path, and what the address itself asks for.
    pub(super) fn is_at<'q>(&self, path: &str, asked: impl Fn(&str) -> Option<&'q str>) -> bool {
        let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let query = |(name, value): (&String, &String)| asked(name).is_some_and(|came| fits(value, came));
        steps.len() == self.steps.len()
            && self.steps.iter().zip(steps).all(|(wanted, came)| fits(wanted, came))
            && self.query.iter().all(query)
    }
}

/// Whether a text is the wanted one, in which `{name}` stands for anything but nothing.
pub(super) fn fits(wanted: &str, came: &str) -> bool {
    let Some((before, rest)) = wanted.split_once('{') else { return wanted == came };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    let Some(came) = came.strip_prefix(before) else { return false };
    (1..=came.len()).any(|at| came.is_char_boundary(at) && fits(after, &came[at..]))
}

#[cfg(test)]
mod tests {
    use super::{Place, fits};

    #[test]
    fn a_variable_stands_for_anything_but_nothing() {
        for (wanted, came, fit) in [
            ("token", "token", true),
            ("token", "tokens", false),
            ("{shop}.example", "a.example", true),
            ("{shop}.example", ".example", false),
            ("a{x}b{y}", "a1b2", true),
            ("{host}", "a.example:8080", true),
        ] {
            assert_eq!(fits(wanted, came), fit, "{wanted} {came}");
        }
    }

    #[test]
    fn an_address_is_host_path_and_what_it_asks_for() {
        let place = Place::of("https://{sub}.acme.example/token?request=token");
        let asked = |value: &'static str| move |name: &str| (name == "request").then_some(value);
        assert!(place.is_at("/one.acme.example/token", asked("token")));
        assert!(!place.is_at("/one.acme.example/token", asked("authorize")));
        assert!(!place.is_at("/one.acme.example/token/", asked("token")));
        assert!(!place.is_at("/one.acme.example/x/token", asked("token")));
    }
}
