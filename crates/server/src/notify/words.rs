//! What people are told, in one file for each language.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use evergrant_core::notice::NoticeKind;
use evergrant_core::telling::Trouble;
use serde::Deserialize;

use super::plain;

/// The languages, the one for those of whom nothing is known first.
pub const LANGUAGES: [&str; 3] = ["en", "de", "es"];

const FILES: [&str; 3] =
    [include_str!("../../words/en.toml"), include_str!("../../words/de.toml"), include_str!("../../words/es.toml")];

static ALL: LazyLock<Vec<Words>> = LazyLock::new(|| {
    let read =
        |(language, file): (&&'static str, &&str)| Words { language, ..toml::from_str(file).unwrap_or_default() };
    LANGUAGES.iter().zip(&FILES).map(read).collect()
});

/// The words of one language.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    #[serde(skip)]
    language: &'static str,
    message: BTreeMap<String, String>,
    title: BTreeMap<String, String>,
    mail: BTreeMap<String, String>,
    unsubscribe: BTreeMap<String, String>,
    page: BTreeMap<String, String>,
    connect: BTreeMap<String, String>,
    guidance: BTreeMap<String, String>,
    health: BTreeMap<String, String>,
}

/// The language that is spoken to one who wants this: that one, or the first.
pub fn spoken(wanted: Option<&str>) -> &'static str {
    let known = wanted.and_then(|wanted| LANGUAGES.into_iter().find(|known| *known == wanted));
    known.unwrap_or(LANGUAGES[0])
}

impl Words {
    /// Those of a language, or of the first one.
    pub fn of(language: Option<&str>) -> &'static Words {
        let language = spoken(language);
        let at = LANGUAGES.iter().position(|known| *known == language).unwrap_or(0);
        // There are as many as languages: the test below reads them all.
        &ALL[at]
    }

    /// Which language it is: `en`.
    pub fn language(&self) -> &'static str {
        self.language
    }

    /// What the hosted pages say.
    pub fn page(&self, name: &str, provider: &str) -> String {
        filled(&self.page, name, provider)
    }

    /// What the pages of a connect flow say; each value stands where the text has its name in braces.
    pub fn connect(&self, name: &str, values: &[(&str, &str)]) -> String {
        let Some(text) = self.connect.get(name) else { return String::new() };
        let mut whole = String::new();
        for (at, part) in text.split('{').enumerate() {
            match part.split_once('}').filter(|_| at > 0) {
                Some((name, rest)) => {
                    let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
                    whole.push_str(&plain(value, 1000));
                    whole.push_str(rest);
                }
                None => whole.push_str(part),
            }
        }
        whole
    }

    /// Whether the pages of a connect flow have such words.
    pub fn has_connect(&self, name: &str) -> bool {
        self.connect.contains_key(name)
    }

    /// The sentence of a notice.
    pub fn message(&self, kind: NoticeKind, provider: &str) -> String {
        filled(&self.message, kind.as_str(), provider)
    }

    /// The headline of a notice.
    pub fn title(&self, kind: NoticeKind, provider: &str) -> String {
        filled(&self.title, kind.as_str(), provider)
    }

    /// The headline of several notices.
    pub fn several(&self) -> String {
        filled(&self.title, "several", "")
    }

    /// What stands around the notices of a mail.
    pub fn mail(&self, name: &str, provider: &str) -> String {
        filled(&self.mail, name, provider)
    }

    /// What the page says that ends mails.
    pub fn unsubscribe(&self, name: &str) -> String {
        filled(&self.unsubscribe, name, "")
    }

    /// How a connection is doing, by the name of the sentence.
    pub fn health(&self, name: &str, provider: &str) -> String {
        filled(&self.health, name, provider)
    }

    /// That several connections wait for their person.
    pub fn several_need(&self, names: &[&str]) -> String {
        let shown: Vec<String> = names.iter().map(|name| plain(name, 80)).collect();
        put_in(&self.health, "several", &[("count", &names.len().to_string()), ("names", &shown.join(", "))])
    }

    /// What a person can do about trouble. `provider` is left out where nobody knows it, `wait` where nobody knows how long.
    pub fn guidance(
        &self,
        trouble: Trouble,
        provider: Option<&str>,
        wait: Option<Duration>,
        support: &Support<'_>,
    ) -> String {
        let it = self.guidance.get("it").map(String::as_str).unwrap_or_default();
        let provider = plain(provider.unwrap_or(it), 80);
        let minutes = wait.unwrap_or_default().as_secs_f64() / 60.0;
        let (name, count) = match trouble {
            Trouble::Network => ("network", 0.0),
            Trouble::Reconnect => ("reconnect", 0.0),
            Trouble::RateLimit if minutes <= 1.0 => ("wait_minute", 1.0),
            Trouble::RateLimit if minutes <= 120.0 => ("wait_minutes", minutes.ceil()),
            Trouble::RateLimit => ("wait_hours", (minutes / 60.0).ceil()),
            Trouble::Unknown if support.contact.is_some() => ("unknown", 0.0),
            Trouble::Unknown => ("unknown_nobody", 0.0),
        };
        let contact = plain(support.contact.unwrap_or_default(), 200);
        let values = [
            ("provider", provider.as_str()),
            ("count", &count.to_string()),
            ("contact", &contact),
            ("request", support.request),
        ];
        put_in(&self.guidance, name, &values)
    }
}

/// Whom a person can ask, and what about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Support<'a> {
    /// Whom the configuration names.
    pub contact: Option<&'a str>,
    /// The request's id.
    pub request: &'a str,
}

fn filled(words: &BTreeMap<String, String>, name: &str, provider: &str) -> String {
    put_in(words, name, &[("provider", &plain(provider, 80))])
}

/// Puts each value at its place, once: what a value holds is no place.
fn put_in(words: &BTreeMap<String, String>, name: &str, values: &[(&str, &str)]) -> String {
    let text = words.get(name).map(String::as_str).unwrap_or_default();
    let mut parts = text.split('{');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known = part.split_once('}').and_then(|(place, rest)| {
            let (_, value) = values.iter().find(|(name, _)| *name == place)?;
            Some((*value, rest))
        });
        match known {
            Some((value, rest)) => filled.extend([value, rest]),
            None => filled.extend(["{", part]),
        }
    }
    filled
}

/// The language of ours that a browser's `Accept-Language` likes best (RFC 9110 §12.5.4).
pub fn accepted(header: &str) -> Option<&'static str> {
    let mut best: Option<(&'static str, f32)> = None;
    for part in header.split(',').take(32) {
        let mut parts = part.split(';');
        let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        let language = tag.split('-').next().unwrap_or_default();
        let Some(known) = LANGUAGES.into_iter().find(|known| *known == language) else { continue };
        if quality > 0.0 && best.is_none_or(|(_, other)| quality > other) {
            best = Some((known, quality));
        }
    }
    best.map(|(language, _)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_says_everything_that_the_first_one_says() {
        let first: Words = toml::from_str(FILES[0]).unwrap();
        let names = |words: &Words| {
            let parts = [
                &words.message,
                &words.title,
                &words.mail,
                &words.unsubscribe,
                &words.page,
                &words.connect,
                &words.guidance,
                &words.health,
            ];
            let places = |text: &String| {
                let places = text.split('{').skip(1).filter_map(|part| Some(part.split_once('}')?.0.to_owned()));
                places.collect::<std::collections::BTreeSet<_>>()
            };
            parts.map(|part| part.iter().map(|(name, text)| (name.clone(), places(text))).collect::<Vec<_>>())
        };
        for (language, file) in LANGUAGES.iter().zip(FILES) {
            let words: Words = toml::from_str(file).unwrap();
            assert_eq!(names(&words), names(&first), "{language}");
            for kind in NoticeKind::ALL.into_iter().filter(|kind| kind.is_for_subject()) {
                assert!(words.message(kind, "Acme").contains("Acme"), "{language} {kind:?}");
                assert!(words.title(kind, "Acme").contains("Acme"), "{language} {kind:?}");
            }
        }
    }

    #[test]
    fn what_is_put_in_is_never_read_as_a_place() {
        let words = Words::of(None);
        let said = words.connect("expected", &[("account", "{provider}\u{202e}"), ("provider", "Acme")]);
        assert!(said.starts_with("This connection is for the account {provider} at Acme,"), "{said}");
        assert_eq!(words.connect("nowhere", &[]), "");
    }

    #[test]
    fn a_browser_gets_the_language_that_it_likes_best() {
        assert_eq!(accepted("de-CH, en;q=0.5"), Some("de"));
        assert_eq!(accepted("fr, es;q=0.8, en;q=0.9"), Some("en"));
        assert_eq!(accepted("fr;q=1, de;q=0"), None);
        assert_eq!(accepted("x".repeat(9000).as_str()), None);
        assert!(
            Words::of(Some("de")).several().starts_with("Ihre") && Words::of(Some("fr")).several().starts_with("Your")
        );
    }

    #[test]
    fn each_kind_of_trouble_is_one_sentence_with_one_thing_to_do() {
        let support = Support { contact: Some("help@acme.example"), request: "req_1" };
        let nobody = Support { request: "req_1", ..Support::default() };
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        use Trouble::{Network, RateLimit, Reconnect, Unknown};
        let table = [
            (
                Network,
                None,
                &support,
                "Acme cannot be reached just now. Nothing is lost; please try again in a moment.",
            ),
            (Reconnect, None, &support, "Acme needs your permission again. Please reconnect."),
            (RateLimit, None, &support, "Acme limits requests just now. Please wait a minute, then try again."),
            (
                RateLimit,
                Some(Duration::from_secs(61)),
                &support,
                "Acme limits requests just now. Please wait 2 minutes, then try again.",
            ),
            (
                RateLimit,
                minutes(120),
                &support,
                "Acme limits requests just now. Please wait 120 minutes, then try again.",
            ),
            (RateLimit, minutes(121), &support, "Acme limits requests just now. Please wait 3 hours, then try again."),
            (
                Unknown,
                None,
                &support,
                "Something is wrong with Acme that you cannot mend yourself. Please contact help@acme.example and name this number: req_1",
            ),
            (
                Unknown,
                None,
                &nobody,
                "Something is wrong with Acme that you cannot mend yourself. Please contact the support of this application and name this number: req_1",
            ),
        ];
        for (trouble, wait, support, expected) in table {
            assert_eq!(Words::of(None).guidance(trouble, Some("Acme"), wait, support), expected);
        }
        for language in LANGUAGES {
            for trouble in Trouble::ALL {
                let said = Words::of(Some(language)).guidance(trouble, None, minutes(5), &support);
                assert!(!said.contains(['{', '}']) && said.len() > 40, "{language}: {said}");
            }
        }
        assert_eq!(
            Words::of(None).guidance(Network, None, None, &support),
            "The service cannot be reached just now. Nothing is lost; please try again in a moment."
        );
        // A name is a name, whatever it looks like.
        let said = Words::of(None).guidance(Unknown, Some("{contact}\r\n{request}"), None, &support);
        assert!(said.starts_with("Something is wrong with {contact} {request} that you cannot mend"), "{said}");
    }
}
