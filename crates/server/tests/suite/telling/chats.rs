//! The operator's chats, with their rate limits.

use evergrant_testkit::ClientConfig;
use evergrant_testkit::peers::Receivers;
use serde_json::json;

use super::Told;
use crate::waiting::{LONG, wait_for};
use crate::world::text;

/// Both chats, their addresses in files beside the configuration.
pub async fn with_chats(more: &str) -> Told {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let receivers = Receivers::start(&Receivers::folder()).await.expect("those who are told start");
    let mut lines = String::new();
    for chat in ["slack", "discord"] {
        let file = folder.path().join(chat);
        std::fs::write(&file, format!("{}/{chat}\n", receivers.about.url)).expect("a file can be written");
        lines += &format!("[{chat}]\nurl_file = '{}'\n", file.display());
    }
    let more = more.replace("{smtp}", &receivers.about.smtp_port.to_string());
    let world = crate::world::World::with(&format!("{more}{lines}"), evergrant_testkit::JudgeConfig::default()).await;
    Told { world, receivers }
}

#[tokio::test]
async fn alerts_reach_both_chats_whose_limits_are_obeyed() {
    let told = with_chats("[refresh]\nbackground = false\nforce_interval = 0\n").await;
    told.receivers.set(&json!({ "slack": { "every": 0.4 }, "discord": { "most": 2, "within": 1.0 } })).await.unwrap();
    for round in 0..4 {
        let name = format!("acme-{round}");
        told.world.integration(ClientConfig::new(&name), json!({})).await;
        let id = told.world.connect(&name, "user-1", "alice").await;
        told.refuses(&name, "{\"error\":\"invalid_client\"}");
        told.force(&id).await;
        told.world.judge.reset();
    }
    for chat in ["slack", "discord"] {
        wait_for(LONG, chat, async || {
            told.world.clock.forward(1);
            let all = told.receivers.chats(chat).await.unwrap();
            let taken = all.iter().filter(|one| one["status"] != 429);
            let said: String =
                taken.map(|one| text(&one["message"]["text"]) + &text(&one["message"]["content"])).collect();
            (0..4)
                .all(|round| said.contains(&format!("acme-{round}")) || said.contains(&format!("acme\\-{round}")))
                .then_some(())
        })
        .await;
    }
    told.world.stop().await;
}
