//! Credentials that no person brings: what is sent for them, what an entry may say, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::catalogue::Catalogue;
use evergrant_core::connection::{Life, Status};
use evergrant_core::grant::GrantFacts;
use evergrant_core::lifecycle::{Circumstances, Event, advance};
use evergrant_core::lifetime::Expiry;
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::{Class, Failure};
use evergrant_core::policy::Policy;
use evergrant_core::provider::{ClientAuth, CredentialKind, Provider, Renewal, ReplayKind, SignedClaims, Variable};
use evergrant_core::schedule::{Demand, Freshness, MinTtl, demand, due_at, end_told_at, freshness};
use evergrant_core::secret::ClientProof;
use evergrant_core::time::Timestamp;
use evergrant_core::token_request::{Client, HttpRequest, issue, renewal_of};
use serde_json::json;

const DAY: u64 = 24 * 3600;

fn entry(kind: CredentialKind) -> Provider {
    let (renewal, replay) = (Renewal::Reissue, ReplayKind::None);
    Provider { kind, renewal, replay, token_url: "https://a.example/token".to_owned(), ..Provider::default() }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000).plus(Duration::from_secs(seconds))
}

fn facts(expiry: Expiry, has_access_token: bool) -> GrantFacts {
    GrantFacts {
        generation: 1,
        issued_at: at(0),
        expiry,
        lifetime_millis: None,
        token_id: String::new(),
        has_access_token,
        has_refresh_token: false,
        refresh_expires_at: None,
        scopes: Vec::new(),
        oddities: Vec::new(),
        short: false,
    }
}

fn body(request: &HttpRequest) -> BTreeMap<String, String> {
    form_urlencoded::parse(request.body()).into_owned().collect()
}

#[test]
fn a_token_is_issued_by_the_clients_credentials_or_by_what_it_has_signed() {
    let (secret, assertion) = (ClientProof::new("s3cret"), ClientProof::new("a.b.c"));
    let scopes = ["one".to_owned(), "two".to_owned()];
    let client = |proof| Client { id: "me", proof, redirect_uri: "https://h/cb" };
    let own = entry(CredentialKind::ClientCredentials);
    let request = issue(&own, &client(Some(&secret)), &scopes, None).unwrap();
    let expected =
        json!({ "grant_type": "client_credentials", "scope": "one two", "client_id": "me", "client_secret": "s3cret" });
    assert_eq!(json!(body(&request)), expected);
    let signing = Provider { client_auth: ClientAuth::PrivateKeyJwt, ..own.clone() };
    let request = issue(&signing, &client(Some(&assertion)), &[], None).unwrap();
    let expected = json!({
        "grant_type": "client_credentials", "client_id": "me", "client_assertion": "a.b.c",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    });
    assert_eq!(json!(body(&request)), expected);
    let bearer = Provider { client_auth: ClientAuth::None, ..entry(CredentialKind::JwtBearer) };
    let request = issue(&bearer, &client(None), &scopes, Some(&assertion)).unwrap();
    let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let expected = json!({ "grant_type": grant_type, "assertion": "a.b.c", "scope": "one two", "client_id": "me" });
    assert_eq!(json!(body(&request)), expected);
    // The scopes are among what was signed, and the client is named there alone.
    let claims = SignedClaims { scope_claim: "scope".to_owned(), ..SignedClaims::default() };
    let param_names = [("client_id".to_owned(), String::new())].into();
    let google = Provider { assertion: Some(claims), param_names, ..bearer.clone() };
    let request = issue(&google, &client(None), &scopes, Some(&assertion)).unwrap();
    assert_eq!(json!(body(&request)), json!({ "grant_type": grant_type, "assertion": "a.b.c" }));
    assert!(issue(&bearer, &client(None), &scopes, None).is_none(), "nothing is sent without an assertion");
    assert!(issue(&Provider::default(), &client(None), &scopes, Some(&assertion)).is_none());
    assert!(renewal_of(&own, &client(Some(&secret)), None, None).is_none());
}

#[test]
fn what_follows_from_the_kind_need_not_be_written_and_what_contradicts_it_is_refused() {
    let read = |entry: serde_json::Value| Catalogue::default().inline(&serde_json::from_value(entry).unwrap(), false);
    let with = |more: serde_json::Value| {
        let mut entry = json!({ "kind": "client_credentials", "token_url": "https://a.example/token" });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    let entry = read(with(json!({}))).unwrap();
    assert_eq!((entry.renewal, entry.replay), (Renewal::Reissue, ReplayKind::None));
    let user = json!({ "user": { "pattern": ".*", "title": "who", "example": "a@b.example", "claim": true } });
    let bearer =
        json!({ "kind": "jwt_bearer", "client_auth": "none", "variables": user, "assertion": { "subject": "{user}" } });
    assert!(read(with(bearer)).is_ok());
    for (more, field) in [
        (json!({ "renewal": "access_token" }), "renewal"),
        (json!({ "replay": "single" }), "replay"),
        (json!({ "client_auth": "none" }), "client_auth"),
        (json!({ "kind": "jwt_bearer" }), "client_auth"),
        (json!({ "kind": "oauth2", "renewal": "reissue" }), "renewal"),
        (json!({ "kind": "static" }), "renewal"),
        (json!({ "client_assertion": {} }), "client_assertion"),
        (json!({ "client_auth": "private_key_jwt", "signed_secret": {} }), "signed_secret"),
        (json!({ "assertion": {} }), "assertion"),
        (json!({ "signed_secret": { "lifetime": 1 } }), "signed_secret.lifetime"),
        (json!({ "signed_secret": { "lifetime": 20_000_000 } }), "signed_secret.lifetime"),
        (json!({ "signed_secret": { "claims": { "exp": "1" } } }), "signed_secret.claims.exp"),
        (json!({ "signed_secret": { "issuer": "{team}" } }), "signed_secret.issuer"),
        (json!({ "token_params": { "assertion": "x" } }), "token_params.assertion"),
        (json!({ "variables": user, "token_url": "https://a.example/{user}" }), "variables.user.claim"),
    ] {
        let fault = read(with(more.clone())).unwrap_err();
        assert_eq!(fault.field, field, "{more}: {fault}");
    }
    let misspelt = "name='A'\nkind='jwt_bearer'\nclient_auth='none'\ntoken_url='https://a.example/t'\nsources=['https://a.example']\n[assertion]\nisuer='x'\n";
    let errors = Catalogue::from_files([("a.toml", misspelt)]).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "a.toml, line 7: `assertion.isuer`: no entry has this field; did you mean `issuer`?"
    );
}

#[test]
fn what_is_signed_may_hold_what_no_address_may() {
    let claim = Variable { pattern: "|[^@]+@.+".to_owned(), title: "t".to_owned(), claim: true, ..Variable::default() };
    for (value, fits) in
        [("", true), ("ann+x@example.com", true), ("a@b/c?d", true), ("a@b\n", false), ("a@{b}", false), ("ann", false)]
    {
        assert_eq!(claim.accepts(value), fits, "{value:?}");
    }
    let claims = SignedClaims { subject: "{user}".to_owned(), ..SignedClaims::default() };
    let variables = [("user".to_owned(), claim)].into();
    let entry = Arc::new(Provider { variables, assertion: Some(claims), ..entry(CredentialKind::JwtBearer) });
    let filled = entry.filled(&BTreeMap::new(), |_| Some("ann@example.com".to_owned())).unwrap();
    assert_eq!(filled.assertion.as_ref().unwrap().subject, "ann@example.com");
}

#[test]
fn a_connection_without_a_first_token_is_due_at_once_and_asked_for_on_demand() {
    let (provider, policy) = (entry(CredentialKind::ClientCredentials), Policy::default());
    let life = Life::new(facts(Expiry::Unknown, false));
    assert_eq!(due_at(&life, &provider, &policy, 0.5), Some(at(0)));
    assert_eq!(due_at(&life, &provider, &Policy { background: false, ..policy.clone() }, 0.5), None);
    assert_eq!(demand(&life, &provider, &policy, MinTtl::Default, at(1)), Demand::Refresh { live: false });
    assert_eq!(freshness(&life, &provider, &policy, None, at(1)), Freshness::Missing);
    // One that has ended is issued anew; it never ends for its subject.
    let life = Life::new(facts(Expiry::At { at: at(10) }, true));
    assert_eq!(demand(&life, &provider, &policy, MinTtl::Default, at(11)), Demand::Refresh { live: false });
    let life = Life::new(facts(Expiry::Unknown, true));
    assert_eq!(freshness(&life, &provider, &policy, None, at(1)), Freshness::Valid);
}

#[test]
fn no_refusal_makes_a_subject_reconnect_what_no_person_has_agreed_to() {
    for kind in [CredentialKind::ClientCredentials, CredentialKind::JwtBearer] {
        let (provider, policy) = (entry(kind), Policy::default());
        let around =
            Circumstances { provider: &provider, policy: &policy, others_work: true, brake: false, jitter: 0.0 };
        for class in [Class::InvalidGrant, Class::AuthRejected, Class::Unknown] {
            let mut life = Life::new(facts(Expiry::Unknown, false));
            let mut told = Vec::new();
            for failures in 0..10 {
                let failure = Failure { class, ..Failure::network("refused") };
                let now = at(failures * 300);
                let next = advance(life, Event::Failed { failure, sent_at: now }, &around, now);
                assert_eq!(next.life.next_attempt, Some(now.plus(policy.auth_retry)));
                (life, told) = (next.life, [told, next.notices].concat());
            }
            assert_eq!((&life.status, life.auth_failures), (&Status::Connected, 10), "{kind:?} {class}");
            assert_eq!(told, [NoticeKind::OperatorAlert], "once, and nobody else");
        }
    }
}

#[test]
fn the_end_of_a_static_credential_is_told_once_at_its_second() {
    let provider = Provider { renewal: Renewal::None, ..entry(CredentialKind::Static) };
    let policy = Policy::default();
    let around = Circumstances { provider: &provider, policy: &policy, others_work: true, brake: false, jitter: 0.0 };
    for (days, told_at) in [(60, 53 * DAY), (21, 14 * DAY), (3, 2 * DAY)] {
        let end = at(days * DAY);
        let life = Life::new(facts(Expiry::At { at: end }, true));
        assert_eq!(end_told_at(&life, &provider), Some(at(told_at)), "{days} days");
        assert_eq!(due_at(&life, &provider, &policy, 0.9), Some(at(told_at)));
        let told = advance(life, Event::EndNear, &around, at(told_at));
        assert_eq!((told.notices.as_slice(), told.life.end_told), ([NoticeKind::Expiring].as_slice(), Some(end)));
        assert_eq!(due_at(&told.life, &provider, &policy, 0.9), Some(end), "and then its end");
        let again = advance(told.life.clone(), Event::EndNear, &around, at(told_at + 1));
        assert!(again.notices.is_empty());
        let next = facts(Expiry::At { at: at(100 * DAY) }, true);
        let replaced = advance(told.life, Event::GrantReplaced { grant: next }, &around, at(told_at + 2)).life;
        assert_eq!(end_told_at(&replaced, &provider), Some(at(93 * DAY)));
    }
    for expiry in [Expiry::Never, Expiry::Unknown] {
        let life = Life::new(facts(expiry, true));
        assert_eq!((end_told_at(&life, &provider), due_at(&life, &provider, &policy, 0.0)), (None, None));
        assert!(advance(life, Event::EndNear, &around, at(1)).notices.is_empty());
    }
    let person = Provider { renewal: Renewal::None, ..Provider::default() };
    let life = Life::new(facts(Expiry::At { at: at(60 * DAY) }, true));
    assert_eq!(end_told_at(&life, &person), None, "a person's consent is told of when it ends");
}

#[test]
fn the_catalogues_entries_of_these_kinds_ask_as_their_providers_want() {
    let catalogue = Catalogue::embedded().expect("a catalogue without mistakes");
    let (secret, assertion) = (ClientProof::new("s3cret"), ClientProof::new("a.b.c"));
    let scopes = ["one".to_owned()];
    let asked = |id: &str, values: &[(&str, &str)]| {
        let known = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let entry = catalogue.get(&id.parse().unwrap()).expect("an entry").filled(&BTreeMap::new(), known).unwrap();
        let client = Client { id: "me", proof: Some(&secret), redirect_uri: "https://h/cb" };
        let request = issue(&entry, &client, &scopes, Some(&assertion)).expect("a request");
        (request.url.to_string(), json!(body(&request)), entry.assertion.clone())
    };
    let (url, form, _) = asked("box-client-credentials", &[("enterprise_id", "123")]);
    assert_eq!(url, "https://api.box.com/oauth2/token");
    let expected = json!({
        "grant_type": "client_credentials", "scope": "one", "client_id": "me", "client_secret": "s3cret",
        "box_subject_type": "enterprise", "box_subject_id": "123",
    });
    assert_eq!(form, expected);
    let bearer = |scope: bool| {
        let mut form = json!({ "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c" });
        if scope {
            form["scope"] = json!("one");
        }
        form
    };
    let user = "01234567-89ab-cdef-0123-456789abcdef";
    for (id, values, to, in_form, subject, audience) in [
        (
            "docusign-jwt",
            [("user_id", user)],
            "https://account.docusign.com/oauth/token",
            false,
            user,
            "account.docusign.com",
        ),
        (
            "google-service-account",
            [("user", "a@b.example")],
            "https://oauth2.googleapis.com/token",
            false,
            "a@b.example",
            "https://oauth2.googleapis.com/token",
        ),
        (
            "google-service-account",
            [("nobody", "")],
            "https://oauth2.googleapis.com/token",
            false,
            "",
            "https://oauth2.googleapis.com/token",
        ),
        (
            "salesforce-jwt",
            [("user", "a@b.example")],
            "https://login.salesforce.com/services/oauth2/token",
            true,
            "a@b.example",
            "https://login.salesforce.com",
        ),
    ] {
        let (url, form, claims) = asked(id, &values);
        let claims = claims.expect("an assertion");
        assert_eq!((url.as_str(), form), (to, bearer(in_form)), "{id}");
        assert_eq!((claims.subject.as_str(), claims.audience.as_str()), (subject, audience), "{id}");
    }
}
