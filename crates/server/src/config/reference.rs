//! The reference page and the commented file, made of the same list as the settings themselves.

use std::fmt::Write as _;

use evergrant_core::policy::{Policy, PolicyOverrides};
use serde_json::Value;

use super::channels::NoticeNumbers;

/// What the variables of `[refresh]` begin with.
pub(super) const REFRESH_PREFIX: &str = "EVERGRANT_REFRESH_";

struct Entry {
    key: Option<&'static str>,
    variable: Option<&'static str>,
    flag: Option<&'static str>,
    default: &'static str,
    what: &'static str,
}

const fn entry(
    key: &'static str,
    variable: &'static str,
    flag: Option<&'static str>,
    default: &'static str,
    what: &'static str,
) -> Entry {
    Entry { key: Some(key), variable: Some(variable), flag, default, what }
}

const fn variable(variable: &'static str, what: &'static str) -> Entry {
    Entry { key: None, variable: Some(variable), flag: None, default: "", what }
}

const ENTRIES: &[Entry] = &[
    entry(
        "listen",
        "EVERGRANT_LISTEN",
        Some("--listen"),
        "`127.0.0.1:8420`",
        "the address that the service listens on",
    ),
    entry(
        "public_url",
        "EVERGRANT_PUBLIC_URL",
        Some("--public-url"),
        "`http://<listen>`",
        "the address that people and providers see; callback URLs and links are made from it. https, or http on loopback",
    ),
    entry(
        "data_dir",
        "EVERGRANT_DATA_DIR",
        Some("--data-dir"),
        "`./evergrant-data`",
        "the folder of the database, the master key and the journal",
    ),
    entry(
        "database_url",
        "EVERGRANT_DATABASE_URL",
        Some("--database-url"),
        "`sqlite:<data_dir>/evergrant.db`",
        "the database: `sqlite:<file>`, or `postgres://user:password@host/database` (PostgreSQL 15 or newer)",
    ),
    entry("master_key", "EVERGRANT_MASTER_KEY", None, "", "the master key itself: 64 hexadecimal digits"),
    entry(
        "master_key_file",
        "EVERGRANT_MASTER_KEY_FILE",
        None,
        "`<data_dir>/master.key`, made at the first start",
        "the file that holds the master key. Whoever loses it loses every token",
    ),
    entry(
        "master_key_command",
        "EVERGRANT_MASTER_KEY_COMMAND",
        None,
        "",
        "a command that prints the master key, for a key manager",
    ),
    entry(
        "catalog",
        "EVERGRANT_CATALOG",
        Some("--catalog"),
        "",
        "a folder of catalogue entries (`name.toml`) that are read over the built-in ones, again and again while the service runs",
    ),
    entry(
        "allow_private_networks",
        "EVERGRANT_ALLOW_PRIVATE_NETWORKS",
        Some("--allow-private-networks"),
        "`false`",
        "whether providers may live at loopback, link-local and private addresses, and speak plain http on loopback",
    ),
    entry(
        "support_contact",
        "EVERGRANT_SUPPORT_CONTACT",
        None,
        "",
        "shown where an error says to contact support: an address or a URL",
    ),
    entry(
        "widget_origins",
        "EVERGRANT_WIDGET_ORIGINS",
        None,
        "`[]`",
        "the origins of the pages in which the [widget](widget.md) stands, such as `[\"https://app.example\"]`; in the variable with spaces between them. Exactly these, and no others",
    ),
    entry(
        "audit.reads",
        "EVERGRANT_AUDIT_READS",
        None,
        "`batched`",
        "how the hand-out of tokens is audited: `off`, `batched` (durable within a second) or `strict` (before each answer)",
    ),
    variable(
        "EVERGRANT_BOOTSTRAP_KEY",
        "an admin API key, in the key format, that exists from the first start: for automation",
    ),
    Entry {
        key: None,
        variable: Some("EVERGRANT_CONFIG"),
        flag: Some("--config"),
        default: "`evergrant.toml`, if present",
        what: "the configuration file",
    },
    variable("EVERGRANT_URL", "the service that the commands talk to (`--url`)"),
    variable("EVERGRANT_API_KEY", "the API key that the commands use"),
];

/// The names of all variables.
pub(super) fn variables() -> impl Iterator<Item = String> {
    let refresh = PolicyOverrides::NAMES.iter().map(|name| format!("{REFRESH_PREFIX}{}", name.to_uppercase()));
    ENTRIES.iter().filter_map(|entry| entry.variable.map(str::to_owned)).chain(refresh)
}

/// The defaults of the numbers, by name.
fn numbers() -> Vec<(&'static str, String)> {
    let all = serde_json::to_value(Policy::default().as_overrides()).unwrap_or_default();
    let shown = |name: &&'static str| match &all[*name] {
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
            (*name, number.as_f64().unwrap_or_default().to_string())
        }
        other => (*name, other.to_string()),
    };
    PolicyOverrides::NAMES.iter().map(shown).collect()
}

/// The reference page, as Markdown.
pub fn reference() -> String {
    let code = |text: Option<&str>| text.map(|text| format!("`{text}`")).unwrap_or_default();
    let mut page = String::from(
        "# Configuration\n\n<!-- Generated by `evergrant generate configuration`; change crates/server/src/config instead. -->\n\n\
         `evergrant.toml` in the working directory, or the file that `--config` names; variables override it, flags\n\
         override both. Unknown keys are refused, with the nearest known name. Everything has a default: without any\n\
         configuration the service listens on loopback and keeps its data in `./evergrant-data`.\n\n\
         | key | variable | flag | default | what |\n| --- | --- | --- | --- | --- |\n",
    );
    for entry in ENTRIES {
        let (key, variable, flag) = (code(entry.key), code(entry.variable), code(entry.flag));
        let _ = writeln!(page, "| {key} | {variable} | {flag} | {} | {} |", entry.default, entry.what);
    }
    page.push_str(
        "\n## `[refresh]`\n\nSeconds, fractions allowed, unless it is a count or a switch. The same names work as `policy` of an\n\
         integration or a provider; [lifecycle.md](lifecycle.md) says what each does.\n\n\
         | key | variable | default |\n| --- | --- | --- |\n",
    );
    for (name, default) in numbers() {
        let _ = writeln!(page, "| `{name}` | `{REFRESH_PREFIX}{}` | {default} |", name.to_uppercase());
    }
    page.push_str(INTEGRATIONS);
    page.push_str(CHANNELS);
    page.push_str("\n| key | default |\n| --- | --- |\n");
    for (name, default) in notice_numbers() {
        let _ = writeln!(page, "| `{name}` | {default} |");
    }
    page
}

/// The defaults of `[notices]`, by name.
fn notice_numbers() -> Vec<(String, String)> {
    let all = serde_json::to_value(NoticeNumbers::default()).unwrap_or_default();
    let all = all.as_object().cloned().unwrap_or_default();
    all.into_iter().map(|(name, value)| (name, value.to_string())).collect()
}

const CHANNELS: &str = r#"
## `[email]`, `[slack]`, `[discord]`, `[[webhooks]]`

How people and programs are told; [notifications.md](notifications.md) says what each does. Secrets come from files or variables, never from this file.

```toml
[email]
host = "smtp.example.com"
port = 587                            # 465 with tls = "tls"
tls = "starttls"                      # or "tls"; "none" on loopback only
# ca_file = "/etc/acme-ca.pem"        # authorities of your own that vouch for the server, besides the system's
username = "evergrant"
password_file = "/run/secrets/smtp"   # or password_env = "SMTP_PASSWORD"
from = "Acme <support@acme.example>"
operator = "ops@acme.example"         # where alerts go

[slack]
url_file = "/run/secrets/slack"       # or url_env = "SLACK_URL": the address of an incoming webhook

[discord]
url_file = "/run/secrets/discord"

[[webhooks]]
name = "app"
url = "https://app.example/hooks/evergrant"
events = ["connection.disconnected", "connection.recovered"]    # left out: the usual ones
secret_file = "/run/secrets/webhook"  # whsec_…; several, the newest first: secrets = [{ secret_file = "…" }, { secret_env = "…" }]
```

## `[notices]`

Seconds, fractions allowed, unless it is a count: the pauses between tries, and how seldom a person gets a mail.
"#;

const INTEGRATIONS: &str = r#"
## `[[integrations]]`

OAuth clients declared in the file; the service makes them or brings them up to date at each start. Secrets come from
files or variables, never from this file.

```toml
[[integrations]]
name = "strava"
provider = "strava"                  # a catalogue id, or a table with the fields of a catalogue entry
# provider = { issuer = "https://auth.acme.example" }    # one that describes itself
# params = { tenant = "acme" }        # values of the entry's variables, where it has any
client_id = "12345"
client_secret_file = "/run/secrets/strava"    # or client_secret_env = "STRAVA_SECRET"
scopes = ["read", "activity:read_all"]
return_urls = ["https://app.example/connected"]
policy = { margin = 1800 }
paused = false
shared_accounts = false

# Several secrets, while one is being replaced:
# client_secrets = [{ secret_file = "/run/secrets/new" }, { secret_env = "OLD", expires_at = "2026-12-31T00:00:00Z" }]
```

An issuer is asked after the start, once: until it has answered the integration is not there, and everything else is served. What it
said is stored and stays, whether the issuer is there at later starts or not; fields written beside `issuer` win over it. Without
`client_id` a client is registered at the provider where it lets clients register, once too. Another issuer is asked anew.
"#;

/// The commented file that `evergrant init` writes.
pub fn template() -> String {
    let mut file = String::from(
        "# Evergrant. Everything here is commented out and shows its default; docs/configuration.md has the whole.\n\
         # Variables (EVERGRANT_LISTEN, …) override this file, flags (--listen, …) override both.\n",
    );
    for entry in ENTRIES {
        let Some(key) = entry.key.filter(|key| !key.contains('.') && !key.starts_with("master_key")) else { continue };
        let default = entry.default.split('`').nth(1).unwrap_or("");
        let plain = ["false", "[]"].contains(&default);
        let quoted = if plain { default.to_owned() } else { format!("\"{default}\"") };
        let _ = write!(file, "\n# {}.\n# {key} = {quoted}\n", entry.what);
    }
    file.push_str(
        "\n# The master key lies in <data_dir>/master.key. Keep it apart from the data and back it up: whoever loses it\n\
         # loses every token. It can come from elsewhere instead:\n# master_key_file = \"/run/secrets/evergrant\"\n\
         # master_key_command = \"vault kv get -field=key secret/evergrant\"\n\n[refresh]\n",
    );
    for (name, default) in numbers() {
        let _ = writeln!(file, "# {name} = {default}");
    }
    file.push_str("\n# [audit]\n# reads = \"batched\"\n");
    let channels = CHANNELS.lines().skip_while(|line| !line.starts_with("[email]"));
    for line in channels.take_while(|line| !line.starts_with("```")) {
        let _ = writeln!(file, "{}", if line.is_empty() { "#".to_owned() } else { format!("# {line}") });
    }
    for line in
        INTEGRATIONS.lines().skip_while(|line| !line.starts_with("[[")).take_while(|line| !line.starts_with("```"))
    {
        let _ = writeln!(
            file,
            "{}",
            if line.is_empty() { "#".to_owned() } else { format!("# {}", line.trim_start_matches("# ")) }
        );
    }
    file
}
