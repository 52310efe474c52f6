//! Files become a catalogue, or a person is told file, line, field and what would be right.

use evergrant_core::catalogue::{Catalogue, lint};
use evergrant_core::provider::Provider;

const GOOD: &str = "name = \"Acme\"\nsources = [\"https://acme.example/docs\"]\nauthorize_url = \"https://acme.example/authorize\"\n\
                    token_url = \"https://acme.example/token\"\n";

fn of(files: &[(&str, &str)]) -> Result<Catalogue, String> {
    Catalogue::from_files(files.iter().copied()).map_err(|errors| errors.to_string())
}

fn good_with(more: &str) -> String {
    format!("{GOOD}{more}\n")
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_line_and_field() {
    for (file, text, expected) in [
        (
            "acme.toml",
            good_with("tokn_params = { a = \"b\" }"),
            "acme.toml, line 5: `tokn_params`: no entry has this field",
        ),
        ("acme.toml", good_with("pkce = 7"), "acme.toml, line 5: `pkce`: "),
        ("acme.toml", good_with("replay = \"sometimes\""), "acme.toml, line 5: `replay`: "),
        ("acme.toml", good_with("access_lifetime = \"an hour\""), "acme.toml, line 5: `access_lifetime`: "),
        ("acme.toml", good_with("access_lifetime = -1"), "acme.toml, line 5: `access_lifetime`: "),
        (
            "acme.toml",
            good_with("revoke_url = \"ftp://acme.example\""),
            "acme.toml, line 5: `revoke_url`: expected an address",
        ),
        (
            "acme.toml",
            good_with("revoke_url = \"https://me:pw@acme.example/\""),
            "acme.toml, line 5: `revoke_url`: expected",
        ),
        ("acme.toml", good_with("[[rules]]\nclass = \"invalid_grant\""), "expected at least one condition"),
        (
            "acme.toml",
            good_with("[[rules]]\nstatus = [400]\nclass = \"success\""),
            "`rules[0].class`: expected a class that an answer",
        ),
        (
            "acme.toml",
            good_with("token_params = { refresh_token = \"x\" }"),
            "`token_params.refresh_token`: this name is set by",
        ),
        (
            "acme.toml",
            good_with("token_headers = { Authorization = \"x\" }"),
            "`token_headers.Authorization`: this name is set by",
        ),
        (
            "acme.toml",
            good_with("account_id_pointer = \"userinfo:/id\""),
            "`account_id_pointer`: expected a `userinfo_url`",
        ),
        (
            "acme.toml",
            good_with("revoke_url = \"http://acme.example/r\""),
            "acme.toml, line 5: `revoke_url`: expected an address with https",
        ),
        // A parser would repair them.
        (
            "acme.toml",
            good_with("revoke_url = \"https:///acme.example/r\""),
            "acme.toml, line 5: `revoke_url`: expected an address with https",
        ),
        (
            "acme.toml",
            good_with("revoke_url = \"https://@acme.example/r\""),
            "acme.toml, line 5: `revoke_url`: expected an address with https",
        ),
        ("acme.toml", "name = ".to_owned(), "acme.toml, line 1: not TOML"),
        (
            "acme.toml",
            "token_url = \"https://acme.example/t\"\n".to_owned(),
            "`name`: expected the name that people know",
        ),
        (
            "acme.toml",
            "name = \"A\"\nauthorize_url = \"https://a.example/\"\n".to_owned(),
            "`token_url`: expected the token endpoint",
        ),
        ("Ac me.toml", GOOD.to_owned(), "Ac me.toml, line 1: expected a name of lower-case letters"),
        (
            "acme.toml",
            "name = \"A\"\nextends = \"nobody\"\n".to_owned(),
            "line 2: `extends`: expected the id of another entry",
        ),
        ("acme.toml", "name = \"A\"\nextends = \"acme\"\n".to_owned(), "`extends`: an entry can't inherit from itself"),
    ] {
        let refused = of(&[(file, &text)]).map(drop).expect_err(&text);
        assert!(refused.contains(expected), "{text}\n{refused}\n{expected}");
        assert!(!refused.contains("me:pw"), "no value is repeated: {refused}");
    }
    let circle = of(&[("a.toml", "name = \"A\"\nextends = \"b\"\n"), ("b.toml", "name = \"B\"\nextends = \"a\"\n")]);
    assert!(circle.expect_err("a circle").contains("can't inherit from itself"));
}

#[test]
fn every_mistake_is_told_at_once() {
    let refused = of(&[("a.toml", "nme = 1\n"), ("b.toml", "name = \"B\"\npkce = 7\n"), ("c.toml", GOOD)]).unwrap_err();
    assert!(refused.contains("a.toml") && refused.contains("b.toml") && !refused.contains("c.toml"), "{refused}");
}

#[test]
fn a_family_is_written_once() {
    let parent = good_with(
        "scope_separator = \"comma\"\nauthorize_params = { prompt = \"consent\", a = \"1\" }\nverified = true",
    );
    let child =
        "name = \"Acme Mail\"\nextends = \"acme\"\ndefault_scopes = [\"mail\"]\nauthorize_params = { a = \"2\" }\n";
    let grandchild = "name = \"Acme Mail Pro\"\nextends = \"acme-mail\"\ntoken_url = \"https://acme.example/pro\"\n";
    // Whatever the order of the files.
    let catalogue =
        of(&[("acme-mail-pro.toml", grandchild), ("acme-mail.toml", child), ("acme.toml", &parent)]).unwrap();
    let entry = catalogue.get(&"acme-mail-pro".parse().unwrap()).unwrap();
    assert_eq!((entry.name.as_str(), entry.token_url.as_str()), ("Acme Mail Pro", "https://acme.example/pro"));
    assert_eq!(
        (entry.scope_separator.as_str(), entry.default_scopes.as_slice()),
        (",", ["mail".to_owned()].as_slice())
    );
    assert_eq!((entry.authorize_params["prompt"].as_str(), entry.authorize_params["a"].as_str()), ("consent", "2"));
    assert!(!entry.verified, "what was checked of one is not checked of another");
}

#[test]
fn an_integrations_own_entry_may_extend_one_of_the_catalogue() {
    let catalogue = of(&[("acme.toml", GOOD)]).unwrap();
    let inline = Provider {
        extends: Some("acme".parse().unwrap()),
        token_url: "https://eu.acme.example/token".to_owned(),
        ..Provider::default()
    };
    let whole = catalogue.inline(&inline, false).unwrap();
    assert_eq!((whole.name.as_str(), whole.token_url.as_str()), ("Acme", "https://eu.acme.example/token"));
    let plain = Provider { token_url: "http://127.0.0.1:1/token".to_owned(), ..Provider::default() };
    assert_eq!(catalogue.inline(&plain, false).unwrap_err().field, "token_url");
    assert!(catalogue.inline(&plain, true).is_ok(), "plain http on loopback, where private networks are allowed");
    let elsewhere = Provider { token_url: "http://acme.example/token".to_owned(), ..Provider::default() };
    assert!(catalogue.inline(&elsewhere, true).is_err());
}

#[test]
fn the_lint_finds_what_a_careful_reader_would() {
    let rule = |text: &str| {
        good_with(&format!("[[rules]]\n{text}\nclass = \"invalid_grant\"\nevidence = \"https://acme.example\""))
    };
    let endpoints = "authorize_url = \"https://acme.example/a\"\ntoken_url = \"https://acme.example/t\"\n";
    for (text, field, says) in [
        (good_with("revoke_url = \"https://stranger.example/r\""), "revoke_url", "secrets go to stranger.example"),
        (format!("name = \"Acme\"\n{endpoints}"), "sources", "nothing says where this comes from"),
        (
            format!("name = \"Acme\"\nagreeing_sources = 1\n{endpoints}"),
            "sources",
            "nothing says where this comes from",
        ),
        (good_with("default_scopes = [\"a\", \"a\"]"), "default_scopes", "stands twice"),
        (good_with("replay = \"single\""), "access_lifetime", "nothing says how long access tokens live"),
        (good_with("replay = \"none\"\nreplay_window = 5"), "replay_window", "has no effect"),
        (good_with("refresh_lifetime = 5"), "refresh_lifetime", "has no effect"),
        (rule("status = [429]"), "rules[0]", "a status of 429 is a rate limit"),
        (rule("empty_body = true\nequals = { \"/error\" = [\"x\"] }"), "rules[0]", "an empty body holds nothing"),
        (rule("equals = { \"/error\" = [] }"), "rules[0]", "a condition has no value"),
        (
            good_with("[[rules]]\nstatus = [400]\nclass = \"invalid_grant\""),
            "rules[0].evidence",
            "nothing says where this comes from",
        ),
        (
            rule("status = [400]")
                + "[[rules]]\nstatus = [400]\nequals = { \"/e\" = [\"x\"] }\nclass = \"unavailable\"\nevidence = \"https://e\"\n",
            "rules[1]",
            "rule 0 before it takes everything",
        ),
        (
            good_with("variables = { shop = { pattern = \"[a-z]+\", title = \"t\", example = \"x\" } }"),
            "variables.shop",
            "has no effect",
        ),
    ] {
        let found = lint(&of(&[("acme.toml", &text)]).expect(&text));
        let hit = found.iter().any(|one| one.field == field && one.problem.to_string().contains(says));
        assert!(hit, "{text}\n{found:?}\n{field}: {says}");
        assert_eq!(found.len(), 1, "{text}\n{found:?}");
    }
    let same = of(&[("one.toml", GOOD), ("two.toml", GOOD)]).unwrap();
    assert!(lint(&same).iter().any(|one| one.to_string().contains("the entry `one` has the same name")));
    assert_eq!(lint(&of(&[("acme.toml", GOOD)]).unwrap()), []);
    assert!(lint(&same).iter().any(|one| one.to_string().contains("the entry `one` has the same endpoints")));
    let told = GOOD.replace("name = ", "same_endpoints_reason = \"another kind of client\"\nname = ");
    let told = lint(&of(&[("one.toml", GOOD), ("two.toml", &told)]).unwrap());
    assert!(!told.iter().any(|one| one.to_string().contains("same endpoints")), "{told:?}");
    let family = lint(&of(&[("one.toml", GOOD), ("two.toml", "extends = \"one\"\nname = \"Two\"\n")]).unwrap());
    assert!(!family.iter().any(|one| one.to_string().contains("same endpoints")), "{family:?}");
    let agreed = format!("name = \"Acme\"\nagreeing_sources = 2\n{endpoints}");
    assert_eq!(lint(&of(&[("acme.toml", &agreed)]).unwrap()), []);
}

#[test]
fn the_built_in_catalogue_has_nothing_to_find() {
    let catalogue = Catalogue::embedded().expect("a catalogue without mistakes");
    assert_eq!(lint(&catalogue), []);
    assert!(catalogue.all().count() > 30);
}
