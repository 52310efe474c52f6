//! Several token pairs in one answer: which is which, and which facts belong to whom.

use std::sync::Arc;

use evergrant_core::catalogue::Catalogue;
use evergrant_core::lifetime::TokenSet;
use evergrant_core::outcome::Outcome;
use evergrant_core::provider::Provider;
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::{AnswerParts, Purpose, classify};

fn slack() -> Arc<Provider> {
    Catalogue::embedded().expect("a good catalogue").get(&"slack".parse().expect("an id")).expect("the entry")
}

fn read(provider: &Provider, body: &str, purpose: Purpose) -> TokenSet {
    let answer = AnswerParts { status: 200, headers: &[], body: body.as_bytes() };
    let outcome = classify(provider, &answer, Timestamp::from_seconds(1_795_000_000), purpose, &[]);
    let tokens = if let Outcome::Success(tokens) = outcome { Some(*tokens) } else { None };
    tokens.expect(body)
}

/// Access token, refresh token, kind, account, scopes.
fn told(set: &TokenSet) -> [String; 5] {
    let account = set.account.as_ref().map(|account| account.id.to_string());
    [
        set.access_token.expose().to_owned(),
        set.refresh_token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default(),
        set.kind.clone().unwrap_or_default(),
        account.unwrap_or_default(),
        set.scopes.clone().unwrap_or_default().join(" "),
    ]
}

const BOT: &str =
    r#""access_token":"xoxb-1","refresh_token":"xoxe-b","token_type":"bot","scope":"chat:write","expires_in":43200"#;
const USER: &str =
    r#""access_token":"xoxp-1","refresh_token":"xoxe-u","token_type":"user","scope":"search:read","expires_in":43200"#;

#[test]
fn a_bots_and_a_users_pair_of_one_answer_are_told_apart() {
    let body = format!(r#"{{"ok":true,{BOT},"team":{{"id":"T1"}},"authed_user":{{"id":"U1",{USER}}}}}"#);
    let set = read(&slack(), &body, Purpose::CodeExchange);
    assert_eq!(told(&set), ["xoxb-1", "xoxe-b", "bot", "T1", "chat:write"]);
    let [user] = set.also.as_slice() else { panic!("{:?}", set.also) };
    assert_eq!(told(user), ["xoxp-1", "xoxe-u", "user", "U1", "search:read"]);
    assert_eq!((user.token_type.as_str(), &user.provider_data["team_id"]), ("Bearer", &"T1".into()));
}

#[test]
fn what_is_not_there_is_not_made_up() {
    let body = format!(r#"{{"ok":true,{BOT},"team":{{"id":"T1"}},"authed_user":{{"id":"U1"}}}}"#);
    assert!(read(&slack(), &body, Purpose::CodeExchange).also.is_empty());
    // Where only a person was asked, the pair is the user's.
    let body = format!(r#"{{"ok":true,"team":{{"id":"T1"}},"authed_user":{{"id":"U1",{USER}}}}}"#);
    let set = read(&slack(), &body, Purpose::CodeExchange);
    assert_eq!(told(&set), ["xoxp-1", "xoxe-u", "user", "U1", "search:read"]);
    assert!(set.also.is_empty());
}

#[test]
fn a_refresh_is_read_for_the_pair_that_was_sent() {
    let user = slack().of_kind(Some("user"));
    let flat = format!(r#"{{"ok":true,{USER},"team":{{"id":"T1"}}}}"#);
    let nested = format!(r#"{{"ok":true,{BOT},"authed_user":{{"id":"U1",{USER}}}}}"#);
    for body in [&flat, &nested] {
        let set = read(&user, body, Purpose::Refresh);
        assert_eq!((set.access_token.expose(), set.also.len()), ("xoxp-1", 0), "{body}");
    }
    let set = read(&slack().of_kind(Some("bot")), &nested, Purpose::Refresh);
    assert_eq!((set.access_token.expose(), set.also.len()), ("xoxb-1", 0));
}

#[test]
fn a_further_pair_that_cannot_be_right_is_refused_by_its_field() {
    let entry = |first: &str, also: &str| {
        format!(
            "name = 'Acme'\nauthorize_url = 'https://a.example/a'\ntoken_url = 'https://a.example/t'\n{first}\n[[also]]\n{also}\n"
        )
    };
    let bot = "account_kind = 'bot'";
    for (first, also, field) in [
        (bot, "kind = 'user'", "also[0].pointer"),
        (bot, "pointer = 'user'\nkind = 'user'", "also[0].pointer"),
        (
            "account_kind = 'bot'\nkeep_from_answer = { who = '/user' }",
            "pointer = '/user'\nkind = 'user'",
            "also[0].pointer",
        ),
        ("", "pointer = '/user'\nkind = 'user'", "also[0].kind"),
        (bot, "pointer = '/user'\nkind = 'bot'", "also[0].kind"),
        (bot, "pointer = '/user'", "also[0].kind"),
        (bot, "pointer = '/user'\nkind = 'user'\naccount_id_pointer = 'userinfo:/id'", "also[0].account_id_pointer"),
        (bot, "pointer = '/user'\nkind = 'user'\nname = 'x'", "also[0].name"),
    ] {
        let errors = Catalogue::from_files([("acme.toml", entry(first, also).as_str())]).expect_err(also);
        assert_eq!(errors.0[0].field, field, "{errors}");
    }
}
