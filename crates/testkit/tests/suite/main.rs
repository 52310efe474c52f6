//! The judge judged: each rule that other tests rely on, shown on the wire.

mod control;
mod faults;
mod flow;
mod html;
mod leaks;
mod ledger;
mod peer;
mod process;
mod replay;

use std::time::Duration;

use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig, TokenPair};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Long enough for a loaded machine; nothing waits this long when all is well.
const LIMIT: Duration = Duration::from_secs(20);

/// A judge with one client, and that client.
struct Scene {
    judge: Judge,
    client_id: String,
}

impl Scene {
    async fn with(client: ClientConfig) -> Self {
        let client_id = client.client_id.clone();
        let config = JudgeConfig { clients: vec![client], ..JudgeConfig::default() };
        Self { judge: Judge::start(config).await.expect("loopback is free"), client_id }
    }

    async fn new() -> Self {
        Self::with(ClientConfig::new("acme")).await
    }

    fn issue(&self, account: &str) -> TokenPair {
        self.judge.issue(&self.client_id, account).expect("the client is registered")
    }

    fn refresh_token(&self, account: &str) -> String {
        self.issue(account).refresh_token.expect("the client gets refresh tokens")
    }

    fn http(&self) -> Http {
        let secret = self.judge.client_secret(&self.client_id).expect("the client is registered");
        Http::new(self.judge.url()).limit(LIMIT).basic(&self.client_id, &secret)
    }

    async fn refresh(&self, token: &str) -> Reply {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.http().form("/token", &fields).await.expect("the judge answers")
    }

    /// The status at userinfo.
    async fn userinfo(&self, access_token: &str) -> u16 {
        let http = Http::new(self.judge.url()).bearer(access_token);
        http.get("/userinfo").await.expect("the judge answers").status
    }
}

/// A refresh on a bare socket, which a test reads and closes when it likes.
async fn send(scene: &Scene, token: &str) -> TcpStream {
    use base64::Engine as _;
    let secret = scene.judge.client_secret(&scene.client_id).expect("the client is registered");
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:{secret}", scene.client_id));
    let body = format!("grant_type=refresh_token&refresh_token={token}");
    let length = body.len();
    let head = format!("POST /token HTTP/1.1\r\nhost: x\r\nauthorization: Basic {basic}\r\ncontent-length: {length}");
    let head = format!("{head}\r\ncontent-type: application/x-www-form-urlencoded");
    let mut stream = TcpStream::connect(scene.judge.addr()).await.expect("the judge listens");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.expect("the judge reads");
    stream
}

/// A member of a token answer, as text.
fn member(reply: &Reply, name: &str) -> String {
    let json = reply.json();
    let value = json[name].as_str();
    assert!(value.is_some(), "no `{name}` in {}: {}", reply.status, reply.text());
    value.unwrap_or_default().to_owned()
}
