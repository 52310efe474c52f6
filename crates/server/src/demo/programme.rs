//! What the demo prints first: where everything is, and what to try.

use std::fmt;

use serde_json::{Value, json};

use super::people::Connected;

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
        format!(
            "Evergrant is running, with a provider whose tokens live for 60 seconds. Nothing of it outlives this process.

  API and its pages   {docs}
  the provider        {provider_url}/   (switches: revoke this grant, lose the next answer, …)
  API key             {api_key}

{people}
Try, in another terminal:

  # a link that lets somebody connect an account: open its url in a browser
  curl -s {url}/v1/connect-sessions -H 'authorization: Bearer {api_key}' -H 'content-type: application/json' -d '{{\"integration\":\"demo\",\"subject\":\"you\"}}'

  # a valid access token, now and whenever you ask
  curl -s {url}/v1/connections/{first}/token -H 'authorization: Bearer {api_key}'

  # break it and watch: the provider revokes this grant; the answer says who must do what
  curl -s -X POST '{provider_url}/control/revoke?connection={first}'; curl -s -X POST {url}/v1/connections/{first}/refresh -H 'authorization: Bearer {api_key}'; curl -s {url}/v1/connections/{first}/token -H 'authorization: Bearer {api_key}'

What happens now (end with Ctrl-C):
"
        )
    }
}
