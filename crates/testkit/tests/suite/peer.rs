//! The certified provider runs here, and behaves as the judge's `family` kind does: the judge's reading is not ours alone.

use evergrant_testkit::browser::Browser;
use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::peers::{OidcOptions, OidcProvider};
use evergrant_testkit::{challenge_s256, random_text};

use crate::member;

const BACK: &str = "http://127.0.0.1:9/oauth/callback/peer";

async fn sign_in(peer: &OidcProvider, account: &str) -> Reply {
    let verifier = random_text::<32>();
    let challenge = challenge_s256(&verifier);
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("response_type", "code"), ("client_id", &peer.about.client_id), ("redirect_uri", BACK)])
        .extend_pairs([("scope", "openid profile"), ("state", "s"), ("code_challenge_method", "S256")])
        .append_pair("code_challenge", &challenge)
        .finish();
    let mut browser = Browser::new().stop_before(BACK);
    let page = browser.visit(&format!("{}?{query}", peer.about.authorize_url)).await.expect("it answers");
    let form = page.form().expect("it asks who is there").with("login", account);
    let back = browser.press(&page, &form).await.expect("it sends back");
    assert_eq!(back.parameter("iss").as_deref(), Some(peer.about.issuer.as_str()));
    let code = back.parameter("code").expect("it gives a code");
    let fields =
        [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", BACK), ("code_verifier", &verifier)];
    token(peer, &fields).await
}

async fn token(peer: &OidcProvider, fields: &[(&str, &str)]) -> Reply {
    let http = Http::new("").basic(&peer.about.client_id, &peer.about.client_secret);
    http.form(&peer.about.token_url, fields).await.expect("it answers")
}

async fn refresh(peer: &OidcProvider, refresh_token: &str) -> Reply {
    token(peer, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
}

#[tokio::test]
async fn a_certified_provider_rotates_and_ends_the_grant_on_reuse() {
    let options = OidcOptions { access_ttl: 2, ..OidcOptions::default() };
    let peer = OidcProvider::start(&OidcProvider::folder(), &options).await.unwrap();
    let first = sign_in(&peer, "dora").await;
    assert_eq!(first.json()["expires_in"], 2);
    let mut held = member(&first, "refresh_token");
    for _ in 0..5 {
        let next = member(&refresh(&peer, &held).await, "refresh_token");
        assert_ne!(next, held);
        held = next;
    }
    let replayed = refresh(&peer, &member(&first, "refresh_token")).await;
    assert_eq!((replayed.status, replayed.json()["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(refresh(&peer, &held).await.status, 400, "the newest died with the family");
    assert_eq!(peer.calls().await.unwrap(), (6, 2));
}

#[tokio::test]
async fn a_person_revokes_at_the_certified_provider() {
    let peer = OidcProvider::start(&OidcProvider::folder(), &OidcOptions::default()).await.unwrap();
    let tokens = sign_in(&peer, "erin").await;
    let me = Http::new("").bearer(&member(&tokens, "access_token"));
    assert_eq!(me.get(&peer.about.userinfo_url).await.unwrap().json()["sub"], "erin");
    assert_eq!(peer.revoke("erin").await.unwrap(), 1);
    assert_eq!(me.get(&peer.about.userinfo_url).await.unwrap().status, 401);
    assert_eq!(refresh(&peer, &member(&tokens, "refresh_token")).await.json()["error"], "invalid_grant");
    assert_eq!(sign_in(&peer, "erin").await.status, 200, "and connects again");
}
