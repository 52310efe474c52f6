//! Messages for the operator's chat, by the incoming webhooks of Slack and Discord.
//!
//! What providers and applications said is shown as text: it mentions nobody, and it formats and links nothing.

use std::time::Duration;

use serde_json::{Value, json};

use super::plain;

/// The lines that one message shows.
const LINES: usize = 15;
/// The longest line, in characters. All of them together stay below what either chat takes (Discord: 2,000).
const LINE: usize = 110;
/// The longest line of a message of its own.
const ALONE: usize = 900;

/// Which chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chat {
    /// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>
    Slack,
    /// <https://discord.com/developers/docs/resources/webhook#execute-webhook>
    Discord,
}

impl Chat {
    /// Both.
    pub const ALL: [Chat; 2] = [Chat::Slack, Chat::Discord];

    /// The channel's name.
    pub const fn channel(self) -> &'static str {
        match self {
            Chat::Slack => "slack",
            Chat::Discord => "discord",
        }
    }

    /// The message that says these lines.
    pub fn message(self, lines: &[String]) -> Vec<u8> {
        let most = if lines.len() == 1 { ALONE } else { LINE };
        let mut shown: Vec<String> = lines.iter().take(LINES).map(|line| self.escaped(&plain(line, most))).collect();
        if lines.len() > LINES {
            shown.push(format!("… and {} more", lines.len() - LINES));
        }
        let text = shown.join("\n");
        let document = match self {
            Chat::Slack => json!({ "text": text, "mrkdwn": false, "unfurl_links": false, "unfurl_media": false }),
            // 4: no previews of what an address leads to.
            Chat::Discord => json!({ "content": text, "allowed_mentions": { "parse": [] }, "flags": 4 }),
        };
        document.to_string().into_bytes()
    }

    fn escaped(self, text: &str) -> String {
        match self {
            Chat::Slack => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            Chat::Discord => {
                let escape = |c: char| {
                    let special = "\\*_~`|<>#[]()@:".contains(c);
                    special.then_some('\\').into_iter().chain([c])
                };
                text.chars().flat_map(escape).collect()
            }
        }
    }
}

/// How long a chat asks to wait: `Retry-After`, or what Discord says in its document.
pub fn asked_to_wait(header: Option<&str>, body: &[u8]) -> Option<Duration> {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let in_body = said.and_then(|said| said["retry_after"].as_f64());
    let seconds = in_body.or_else(|| header.and_then(|text| text.trim().parse().ok()))?;
    (seconds.is_finite() && (0.0..1e7).contains(&seconds)).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_said_mentions_nobody_and_formats_nothing() {
        let hostile = vec!["<!channel> *x* @everyone [a](https://evil.example)\n<@U1>".to_owned()];
        let slack: Value = serde_json::from_slice(&Chat::Slack.message(&hostile)).unwrap();
        assert_eq!(slack["text"], "&lt;!channel&gt; *x* @everyone [a](https://evil.example) &lt;@U1&gt;");
        let discord: Value = serde_json::from_slice(&Chat::Discord.message(&hostile)).unwrap();
        let text = discord["content"].as_str().unwrap();
        assert!(text.contains("\\@everyone") && text.contains("\\[a\\]\\(https\\:"), "{text}");
        assert_eq!(discord["allowed_mentions"]["parse"], json!([]));
    }

    #[test]
    fn a_message_is_never_longer_than_the_chat_takes() {
        let long = vec!["*".repeat(5000); 300];
        for chat in Chat::ALL {
            for lines in [&long[..1], &long] {
                let message: Value = serde_json::from_slice(&chat.message(lines)).unwrap();
                let text = message["text"].as_str().or(message["content"].as_str()).unwrap();
                let most = if chat == Chat::Discord { 4000 } else { 40_000 };
                assert!(text.chars().count() < most, "{}", text.chars().count());
            }
        }
        assert_eq!(asked_to_wait(Some("7"), b"rate_limited"), Some(Duration::from_secs(7)));
        assert_eq!(asked_to_wait(None, b"{\"retry_after\": 0.25}"), Some(Duration::from_millis(250)));
        assert_eq!(asked_to_wait(Some("soon"), b""), None);
    }
}
