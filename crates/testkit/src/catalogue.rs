//! The judge as a catalogue entry: what an integration says of it inline.

use serde_json::{Value, json};

use crate::config::{ClientAuth, ClientConfig, JudgeConfig};

/// The provider object for one client, in the words of a catalogue file; durations in seconds.
pub(crate) fn entry(url: &str, config: &JudgeConfig, client: &ClientConfig) -> Value {
    let auth = match client.client_auth {
        ClientAuth::Basic | ClientAuth::Either => "basic",
        ClientAuth::Body => "body",
        ClientAuth::None => "none",
    };
    let mut entry = json!({
        "name": config.name,
        "issuer": url,
        "iss_in_callback": config.announce_iss,
        "authorize_url": format!("{url}/authorize"),
        "token_url": format!("{url}/token"),
        "revoke_url": format!("{url}/revoke"),
        "userinfo_url": format!("{url}/userinfo"),
        "account_id_pointer": "/sub",
        "account_name_pointer": "/name",
        "client_auth": auth,
        "pkce": true,
        "scope_separator": " ",
        "replay": client.replay.name(),
        "access_lifetime": client.access_lifetime.as_secs_f64(),
    });
    if let Some(window) = client.replay.window() {
        entry["replay_window"] = json!(window.as_secs_f64());
    }
    if let Some(life) = client.refresh_lifetime {
        entry["refresh_lifetime"] = json!(life.as_secs_f64());
        entry["refresh_lifetime_kind"] = json!("sliding");
    }
    entry
}
