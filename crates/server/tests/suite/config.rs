//! What a configuration says, and how one that is wrong is refused: what, where, and what would be right.

use std::path::{Path, PathBuf};
use std::time::Duration;

use evergrant::config::{AuditReads, Config, ConfigError, Environment, Flags, MasterKeySource, reference, template};
use evergrant::entropy::SystemEntropy;
use evergrant_store::Database;

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Desk { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    fn load(&self, file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let flags = Flags { config: Some(self.write("evergrant.toml", file)), ..Flags::default() };
        Config::load(&flags, &Environment::of(variables.iter().copied()))
    }

    fn refusal(&self, file: &str, variables: &[(&str, &str)]) -> String {
        self.load(file, variables).expect_err("it should be refused").to_string()
    }
}

#[test]
fn everything_has_a_default() {
    let config = Config::load(&Flags::default(), &Environment::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8420");
    assert_eq!(config.public_url(), "http://127.0.0.1:8420");
    assert_eq!(config.data_dir, PathBuf::from("./evergrant-data"));
    assert_eq!(config.database.file(), Some(Path::new("./evergrant-data/evergrant.db")));
    assert_eq!(config.audit_reads, AuditReads::Batched);
    assert!(!config.allow_private_networks);
    assert!(matches!(config.master_key, MasterKeySource::MadeAtFirstStart(_)));
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let desk = Desk::new();
    let file = desk
        .write("evergrant.toml", "listen = '127.0.0.1:1'\ndata_dir = '/file'\n[refresh]\nmargin = 5\nmin_ttl = 7\n");
    let flags = Flags { config: Some(file), listen: Some("127.0.0.1:3".to_owned()), ..Flags::default() };
    let variables = [
        ("EVERGRANT_LISTEN", "127.0.0.1:2"),
        ("EVERGRANT_DATA_DIR", "/variable"),
        ("EVERGRANT_REFRESH_MARGIN", "0.25"),
    ];
    let config = Config::load(&flags, &Environment::of(variables)).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data_dir, PathBuf::from("/variable"));
    assert_eq!(config.policy().margin, Duration::from_millis(250));
    assert_eq!(config.policy().min_ttl, Duration::from_secs(7));
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    let desk = Desk::new();
    let refusal = desk.refusal("# mine\nlisten = '127.0.0.1:1'\npublik_url = 'https://x.example'\n", &[]);
    assert!(
        refusal.contains("line 3") && refusal.contains("`publik_url`") && refusal.contains("`public_url`"),
        "{refusal}"
    );
    let refusal = desk.refusal("[refresh]\nmargn = 1\n", &[]);
    assert!(refusal.contains("line 2") && refusal.contains("`margin`"), "{refusal}");
    let refusal = desk.refusal("", &[("EVERGRANT_REFRESH_MARGN", "1")]);
    assert!(refusal.contains("EVERGRANT_REFRESH_MARGN") && refusal.contains("EVERGRANT_REFRESH_MARGIN"), "{refusal}");
    let refusal = desk.refusal("", &[("EVERGRANT_LISTN", "127.0.0.1:1")]);
    assert!(refusal.contains("EVERGRANT_LISTEN"), "{refusal}");
}

#[test]
fn pages_of_the_widget_are_named_by_exact_origins() {
    let desk = Desk::new();
    assert!(desk.load("", &[]).unwrap().widget_origins.is_empty());
    let file = "widget_origins = ['https://app.example', 'http://localhost:3000/']";
    assert_eq!(desk.load(file, &[]).unwrap().widget_origins, ["https://app.example", "http://localhost:3000"]);
    let variable = [("EVERGRANT_WIDGET_ORIGINS", "https://b.example https://c.example")];
    assert_eq!(desk.load(file, &variable).unwrap().widget_origins, ["https://b.example", "https://c.example"]);
    for wrong in ["*", "null", "https://*.app.example", "http://app.example", "https://app.example/settings"] {
        let refusal = desk.refusal(&format!("widget_origins = ['{wrong}']"), &[]);
        assert!(refusal.contains("`widget_origins`") && refusal.contains("wildcards"), "{refusal}");
    }
    let refusal = desk.refusal("", &[("EVERGRANT_WIDGET_ORIGINS", "https://app.example/settings")]);
    assert!(
        refusal.contains("EVERGRANT_WIDGET_ORIGINS") && refusal.ends_with("perhaps https://app.example"),
        "{refusal}"
    );
}

#[test]
fn variables_that_somebody_else_made_of_our_name_are_left_alone() {
    let desk = Desk::new();
    desk.load("", &[("EVERGRANT_PORT_8420_TCP", "tcp://10.0.0.1:8420"), ("EVERGRANT_SERVICE_HOST", "10.0.0.1")])
        .unwrap();
}

#[test]
fn parts_of_later_versions_are_refused_instead_of_ignored() {
    let desk = Desk::new();
    let refusal = desk.refusal("\n[otel]\nx = 1\n", &[]);
    assert!(refusal.contains("line 2") && refusal.contains("has no"), "{refusal}");
}

#[test]
fn channels_take_their_secrets_from_elsewhere_and_say_what_is_wrong_without_repeating_it() {
    let desk = Desk::new();
    let environment = [("PASSWORD", "s3cret"), ("CHAT", "https://hooks.example/s3cret"), ("HOOK", "whsec_s3cret")];
    let good = "[email]\nhost = 'mail.example'\nfrom = 'a@b.example'\nusername = 'a'\npassword_env = 'PASSWORD'\n\
                [slack]\nurl_env = 'CHAT'\n[discord]\nurl_env = 'CHAT'\n\
                [[webhooks]]\nname = 'app'\nurl = 'https://app.example/'\nsecret_env = 'HOOK'\n[notices]\nretries = [0.1]\n";
    let config = desk.load(good, &environment).unwrap();
    assert!(config.channels.email.is_some() && config.channels.slack.is_some() && config.channels.webhooks.len() == 1);
    assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
    for (part, words) in [
        ("[email]\nhost = 'mail.example'\nfrom = 'a@b.example'\ntls = 'none'", "loopback"),
        ("[email]\nhost = 'mail.example'\nfrom = 's3cret'", "addresses"),
        ("[email]\nhost = 'mail.example'\nfrom = 'a@b.example'\nusername = 's3cret'", "go together"),
        ("[email]\nhost = 'mail.example'\nfrom = 'a@b.example'\npasword_env = 'x'", "password_env"),
        ("[slack]\nurl_env = 'PASSWORD'", "https"),
        ("[slack]\nurl = 'https://hooks.example/s3cret'", "not a key"),
        ("[discord]\nurl_env = 'NONE'", "NONE is not set"),
        ("[[webhooks]]\nname = 'app'\nurl = 'http://app.example/s3cret'\nsecret_env = 'HOOK'", "https"),
        ("[[webhooks]]\nname = 'app'\nurl = 'https://app.example/'", "secret_file"),
        ("[notices]\nretry = 1", "not a key"),
    ] {
        let refusal = desk.refusal(part, &environment);
        assert!(refusal.contains(words) && !refusal.contains("s3cret"), "{part}: {refusal}");
    }
}

#[test]
fn a_wrong_value_is_refused_by_the_name_under_which_it_was_set() {
    let desk = Desk::new();
    for (file, variables, named) in [
        ("listen = 'here'", &[][..], "`listen` in"),
        ("", &[("EVERGRANT_LISTEN", "here")][..], "EVERGRANT_LISTEN"),
        ("", &[("EVERGRANT_PUBLIC_URL", "http://evergrant.example.com")][..], "https"),
        ("public_url = 'https://user:pw@x.example'", &[][..], "without user"),
        ("", &[("EVERGRANT_REFRESH_MARGIN", "soon")][..], "number of seconds"),
        ("", &[("EVERGRANT_DATABASE_URL", "postgres://ann:pw@db.example")][..], "names no database"),
        ("", &[("EVERGRANT_ALLOW_PRIVATE_NETWORKS", "maybe")][..], "true or false"),
        ("audit = { reads = 'never' }", &[][..], "line 1"),
        ("", &[("EVERGRANT_AUDIT_READS", "never")][..], "off, batched or strict"),
    ] {
        let refusal = desk.refusal(file, variables);
        assert!(refusal.contains(named), "{file} {variables:?}: {refusal}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let desk = Desk::new();
    let file =
        "[[integrations]]\nname = 'a'\nprovider = 'strava'\nclient_id = '1'\nclient_secrets = 'hunter2hunter2'\n";
    let refusal = desk.refusal(file, &[]);
    assert!(refusal.contains("line 5") && !refusal.contains("hunter2"), "{refusal}");
    let file = "[[integrations]]\nname = 'a'\nprovider = 'strava'\nclient_id = '1'\nclient_secret = 'hunter2hunter2'\n";
    let refusal = desk.refusal(file, &[]);
    assert!(refusal.contains("client_secrets") && !refusal.contains("hunter2"), "{refusal}");
}

#[test]
fn declared_integrations_take_their_secrets_from_files_and_variables() {
    let desk = Desk::new();
    let secret = desk.write("strava", "s3cret\n");
    let file = format!(
        "[[integrations]]\nname = 'strava'\nprovider = 'strava'\nclient_id = '1'\nclient_secret_file = '{}'\n\
         client_secrets = [{{ secret_env = 'OLD', expires_at = '2027-01-01T00:00:00Z' }}]\n\
         [[integrations]]\nname = 'acme'\nclient_id = '2'\n[integrations.provider]\nname = 'Acme'\ntoken_url = 'https://acme.example/t'\n",
        secret.display()
    );
    let config = desk.load(&file, &[("OLD", "older")]).unwrap();
    let secrets: Vec<&str> = config.integrations[0].client_secrets.iter().map(|one| one.secret.expose()).collect();
    assert_eq!(secrets, ["s3cret", "older"]);
    assert_eq!(config.integrations[1].name.as_str(), "acme");
    let refusal = desk.refusal(&file, &[]);
    assert!(refusal.contains("OLD") && refusal.contains("strava"), "{refusal}");
}

#[test]
fn a_master_key_is_made_once_and_never_beside_a_database_without_one() {
    let desk = Desk::new();
    let key = desk.folder.path().join("master.key");
    let file = desk.folder.path().join("evergrant.db");
    let database = Database::from(file.clone());
    let source = MasterKeySource::MadeAtFirstStart(key.clone());
    let made = source.load(&database, &SystemEntropy).unwrap();
    assert!(made.made);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let again = source.load(&database, &SystemEntropy).unwrap();
    assert!(!again.made && again.key == made.key);
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&file, "").unwrap();
    let refusal = source.load(&database, &SystemEntropy).unwrap_err().to_string();
    assert!(refusal.contains("is missing") && !key.exists(), "{refusal}");
}

#[test]
fn the_master_key_comes_from_one_place_only() {
    let desk = Desk::new();
    let digits = "0123456789abcdef".repeat(4);
    let file = "master_key_file = '/somewhere'\n";
    let config = desk.load(file, &[("EVERGRANT_MASTER_KEY", &digits)]).unwrap();
    let found = config.master_key.load(&config.database, &SystemEntropy).unwrap();
    assert_eq!(found.key[..2], [0x01, 0x23]);
    assert_eq!(found.place, "EVERGRANT_MASTER_KEY");
    let both = [("EVERGRANT_MASTER_KEY", digits.as_str()), ("EVERGRANT_MASTER_KEY_COMMAND", "echo")];
    let refusal = desk.refusal("", &both);
    assert!(refusal.contains("keep one") && !refusal.contains(&digits), "{refusal}");
    let command = format!("echo {digits}");
    let config = desk.load("", &[("EVERGRANT_MASTER_KEY_COMMAND", &command)]).unwrap();
    assert_eq!(config.master_key.load(&config.database, &SystemEntropy).unwrap().key, found.key);
    let config = desk.load("", &[("EVERGRANT_MASTER_KEY", "short")]).unwrap();
    let refusal = config.master_key.load(&config.database, &SystemEntropy).unwrap_err().to_string();
    assert!(refusal.contains("64 hexadecimal digits") && !refusal.contains("short"), "{refusal}");
}

#[test]
fn the_file_that_init_writes_is_a_configuration_and_names_every_key() {
    let desk = Desk::new();
    desk.load(&template(), &[]).unwrap();
    let page = reference();
    for name in [
        "`listen`",
        "`EVERGRANT_BOOTSTRAP_KEY`",
        "`--allow-private-networks`",
        "`link_ttl`",
        "`EVERGRANT_REFRESH_MARGIN`",
    ] {
        assert!(page.contains(name), "{name}");
    }
    // With every comment taken off, each line is still a key that the reader knows.
    let bare: Vec<String> = template()
        .lines()
        .take_while(|line| !line.contains("[email]"))
        .map(|line| {
            let bare = line.trim_start_matches("# ");
            let is_key = bare
                .split_once(" = ")
                .is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            if is_key || bare.starts_with('[') { bare.to_owned() } else { String::new() }
        })
        .collect();
    let bare = bare.join("\n").replace("http://<listen>", "http://127.0.0.1:8420").replace("master_key_command", "# ");
    desk.load(&bare, &[]).unwrap();
}
