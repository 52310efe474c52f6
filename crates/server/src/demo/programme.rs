//! What the demo prints first: where everything is, and what to try.

use std::fmt;

use serde_json::{Value, json};

use super::people::Connected;

/// Lets somebody connect.
const CONNECT: &str = r#"curl -s "$URL/v1/connect-sessions" -H "authorization: Bearer $KEY" -H 'content-type: application/json' -d '{"integration":"demo","subject":"you"}'"#;
/// Takes a token.
const TOKEN: &str = r#"curl -s "$URL/v1/connections/$CONNECTION/token" -H "authorization: Bearer $KEY""#;
/// Breaks it, has it noticed, and asks again.
const REVOKE: &str = r#"curl -s -X POST "$PROVIDER/control/revoke?connection=$CONNECTION"; curl -s -X POST "$URL/v1/connections/$CONNECTION/refresh" -H "authorization: Bearer $KEY"; curl -s "$URL/v1/connections/$CONNECTION/token" -H "authorization: Bearer $KEY""#;

/// Where everything is.
pub struct Programme {
    /// The service.
    pub(super) url: String,
    /// What a browser opens first.
    pub(super) docs: String,
    /// An admin key.
    pub(super) api_key: String,
    /// The provider and its page.
    pub(super) provider_url: String,
    /// Who is connected.
    pub(super) connections: Vec<Connected>,
}

impl fmt::Debug for Programme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<programme of {}>", self.url)
    }
}

impl Programme {
    /// For machines: one line.
    pub fn document(&self) -> Value {
        let connection =
            |one: &Connected| json!({ "id": one.id, "subject": one.subject, "integration": one.integration });
        json!({
            "url": self.url,
            "api_key": self.api_key,
            "provider_url": self.provider_url,
            "docs_url": self.docs,
            "connections": self.connections.iter().map(connection).collect::<Vec<_>>(),
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let Programme { url, docs, api_key, provider_url, connections } = self;
        let first = connections.first().map(|one| one.id.as_str()).unwrap_or_default();
        let people: String = connections
            .iter()
            .map(|one| format!("  {:<7} {}  {:<6} {}\n", one.subject, one.id, one.integration, one.story))
            .collect();
        let filled = |line: &str| {
            let values = [("$URL", url), ("$PROVIDER", provider_url), ("$KEY", api_key)];
            let line = values.iter().fold(line.to_owned(), |line, (name, value)| line.replace(name, value));
            line.replace("$CONNECTION", first)
        };
        format!(
            "Evergrant is running, with a provider whose tokens live for 60 seconds. Nothing of it outlives this process.

  API and its pages   {docs}
  the provider        {provider_url}/   (switches: revoke this grant, lose the next answer, …)
  API key             {api_key}

{people}
Try, in another terminal:

  # 1. a link that lets somebody connect an account: open its url in a browser
  {connect}

  # 2. a valid access token, now and whenever you ask
  {token}

  # 3. break it and watch: the provider revokes this grant; the answer says who must do what, and by which link
  {revoke}

The README's lines work as they stand after this one:

  URL={url} PROVIDER={provider_url} CONNECTION={first} KEY={api_key}

What happens now (end with Ctrl-C):
",
            connect = filled(CONNECT),
            token = filled(TOKEN),
            revoke = filled(REVOKE),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_the_demo_prints_are_those_of_the_readme() {
        let readme = include_str!("../../../../README.md");
        for line in [CONNECT, TOKEN, REVOKE] {
            assert!(readme.contains(&format!("\n{line}\n")), "{line}");
        }
    }
}
