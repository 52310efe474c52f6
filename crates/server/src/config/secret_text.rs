//! What a client's secret may look like, wherever an operator gives it: in a file, a variable or on standard input.

/// Whether a text can be a client's secret: one line, or the several of a private key (PEM, or JSON around one).
pub fn can_be_secret(text: &str) -> bool {
    let key = text.starts_with('{') || text.contains("-----BEGIN");
    let odd = |c: char| c.is_control() && !(key && "\r\n\t".contains(c));
    !text.is_empty() && !text.chars().any(odd)
}

#[cfg(test)]
mod tests {
    use super::can_be_secret;

    #[test]
    fn a_secret_is_one_line_unless_it_is_a_key() {
        for good in
            ["s3cret", "{\n\t\"kty\": \"EC\"\r\n}", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"]
        {
            assert!(can_be_secret(good), "{good}");
        }
        for bad in ["", "two\nlines", "a\tb", "{\u{0}}"] {
            assert!(!can_be_secret(bad), "{bad}");
        }
    }
}
