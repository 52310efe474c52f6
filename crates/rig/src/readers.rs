//! Callers who ask for tokens all the time and use them, so that what nobody may have yet would be seen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evergrant_testkit::http::Http;
use evergrant_testkit::{Judge, Moment, fingerprint};
use tokio::sync::watch;

use crate::dice::Dice;
use crate::scene::{Person, text};
use crate::waiting::pass;

/// A token that a caller was given.
#[derive(Clone, Debug)]
pub struct Read {
    /// Whose.
    pub connection: String,
    /// The token's fingerprint.
    pub token: String,
    /// When it was asked for.
    pub asked_at: Moment,
    /// When it came.
    pub came_at: Moment,
    /// The account that it opens, if the provider took it.
    pub opens: Option<String>,
    /// The account that it should open.
    pub account: String,
}

/// Asks one after the other, as long as somebody answers.
pub(crate) async fn read(
    people: Vec<Person>,
    mut addresses: watch::Receiver<Vec<String>>,
    key: String,
    judge: Judge,
    reads: Arc<Mutex<Vec<Read>>>,
    mut dice: Dice,
) {
    while let Ok(urls) = addresses.wait_for(|urls| !urls.is_empty()).await.map(|urls| urls.clone()) {
        let (person, url) = (dice.one_of(&people), dice.one_of(&urls));
        let path = format!("/v1/connections/{}/token?wait=1", person.id);
        let asked_at = judge.now();
        // It may be killed while it answers.
        if let Ok(reply) = Http::new(url).bearer(&key).limit(Duration::from_secs(5)).get(&path).await {
            let (token, came_at) = (text(&reply.json()["access_token"]), judge.now());
            if !token.is_empty() {
                // The token may have ended on the way: what counts is that it is used while it lives.
                let used = Http::new(judge.url()).bearer(&token).get("/userinfo").await;
                let opens = used.ok().filter(|used| used.status == 200).map(|used| text(&used.json()["sub"]));
                let (connection, account) = (person.id.clone(), person.account.clone());
                let read = Read { connection, token: fingerprint(&token), asked_at, came_at, opens, account };
                reads.lock().unwrap_or_else(PoisonError::into_inner).push(read);
            }
        }
        pass(Duration::from_millis(20)).await;
    }
}
