//! What is said on the way out, and how: the signature of a webhook, the words and the shape of a mail, a chat's message.
//!
//! Knows no store and no use case. What comes from providers, applications and persons is data here: it is escaped for each
//! channel in its own way, and none of it reaches a header.

pub mod chat;
pub mod mail;
pub mod signature;
pub mod words;

/// A name as it can be shown on one line: no control characters, nothing that turns the direction of writing, not too long.
pub fn plain(text: &str, most: usize) -> String {
    let bad = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let clean: String = text.chars().map(|c| if bad(&c) { ' ' } else { c }).collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if clean.chars().count() <= most {
        return clean;
    }
    let cut: String = clean.chars().take(most.saturating_sub(1)).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_stays_on_its_line_and_in_its_direction() {
        assert_eq!(super::plain("Acme\r\nBcc: a@b.example\u{202e}gpj\u{0}", 40), "Acme Bcc: a@b.example gpj");
        assert_eq!(super::plain("abcdef", 4), "abc…");
    }
}
