//! Cases as text: a first line of words, lines beneath it, an empty line, the rest. A corpus of such files can be read, and
//! a fuzzer that cuts and joins them mostly makes further cases.

/// A case, cut into its parts. Whatever is missing is empty.
pub(crate) struct Case<'a> {
    /// The words of the first line.
    pub words: Vec<&'a str>,
    /// `name: value` on the lines beneath it.
    pub lines: Vec<(&'a str, &'a str)>,
    /// What stands behind the first empty line.
    pub rest: &'a [u8],
}

impl<'a> Case<'a> {
    /// Reads a case.
    pub fn read(bytes: &'a [u8]) -> Self {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n");
        let (head, rest) = end.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 2..]));
        // What is no text in the head counts as its end.
        let head = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
        };
        let (first, beneath) = head.split_once('\n').unwrap_or((head, ""));
        let pair = |line: &'a str| line.split_once(": ").unwrap_or((line, ""));
        Case { words: first.split(' ').collect(), lines: beneath.lines().map(pair).collect(), rest }
    }

    /// A word of the first line; empty if it is not there.
    pub fn word(&self, at: usize) -> &'a str {
        self.words.get(at).copied().unwrap_or_default()
    }

    /// The value of a line by its name.
    pub fn line(&self, name: &str) -> Option<&'a str> {
        self.lines.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }
}

/// Writes a case.
pub(crate) fn case(first: &str, lines: &[(&str, &str)], rest: &[u8]) -> Vec<u8> {
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let mut bytes = format!("{first}\n{lines}\n").into_bytes();
    bytes.extend_from_slice(rest);
    bytes
}
