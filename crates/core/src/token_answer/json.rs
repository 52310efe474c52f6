//! Reads JSON as providers write it: cut off, padded, with keys twice, with numbers that are none.
//!
//! serde_json refuses such a body whole, and with it the tokens in it. This reader keeps each value that is complete and
//! says what was wrong. It borrows from the text where it can, has no `Debug`, and goes at most 32 levels deep.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// How deep containers may be nested.
const DEPTH: usize = 32;

/// A value.
pub(crate) enum Json<'a> {
    /// `null`.
    Null,
    /// `true`, `false`.
    Flag(bool),
    /// A number, or another bare word (`NaN`), as it was written.
    Number(&'a str),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// An object; of equal keys the last.
    Map(BTreeMap<Cow<'a, str>, Json<'a>>),
}

/// What was read of a text.
pub(crate) struct Read<'a> {
    /// All that was complete.
    pub(crate) value: Json<'a>,
    /// Whether the text is this value and nothing else.
    pub(crate) whole: bool,
    /// Whether a key came twice in one object.
    pub(crate) duplicate_keys: bool,
}

/// Reads the value at the beginning of a text; none where not even the beginning of one is there.
pub(crate) fn read(text: &str) -> Option<Read<'_>> {
    let mut reader = Reader { text, at: 0, broken: false, duplicate_keys: false };
    let value = reader.value(0)?;
    reader.skip_blanks();
    let whole = !reader.broken && reader.at == text.len();
    Some(Read { value, whole, duplicate_keys: reader.duplicate_keys })
}

/// The last complete text that stands as a value behind the key `name`, wherever that is: for bodies that can't be read.
pub(crate) fn scan<'a>(text: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let key = format!("\"{name}\"");
    let value_behind = |(at, _): (usize, &str)| {
        // An escaped quote is part of some other text.
        if text.get(..at).is_some_and(|before| before.ends_with('\\')) {
            return None;
        }
        let mut reader = Reader { text, at: at + key.len(), broken: false, duplicate_keys: false };
        reader.skip_blanks();
        reader.take(':').then(|| reader.skip_blanks())?;
        reader.string()
    };
    text.match_indices(&key).filter_map(value_behind).last()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    broken: bool,
    duplicate_keys: bool,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, expected: char) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len_utf8();
        }
        found
    }

    fn broken<T>(&mut self) -> Option<T> {
        self.broken = true;
        None
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        self.skip_blanks();
        match self.rest().bytes().next() {
            Some(b'{' | b'[') if depth >= DEPTH => self.broken(),
            Some(b'{') => Some(self.object(depth)),
            Some(b'[') => Some(self.list(depth)),
            Some(b'"') => self.string().map(Json::Text),
            _ => self.bare(depth),
        }
    }

    fn object(&mut self, depth: usize) -> Json<'a> {
        let mut members = BTreeMap::new();
        self.at += 1;
        loop {
            self.skip_blanks();
            if self.take('}') || self.broken {
                break;
            }
            let Some((key, value)) = self.member(depth) else { break };
            self.duplicate_keys |= members.insert(key, value).is_some();
            self.skip_blanks();
            if !self.broken && !self.take(',') && !self.rest().starts_with('}') {
                self.broken = true;
            }
        }
        Json::Map(members)
    }

    fn member(&mut self, depth: usize) -> Option<(Cow<'a, str>, Json<'a>)> {
        if !self.rest().starts_with('"') {
            return self.broken();
        }
        let key = self.string()?;
        self.skip_blanks();
        if !self.take(':') {
            return self.broken();
        }
        Some((key, self.value(depth + 1)?))
    }

    fn list(&mut self, depth: usize) -> Json<'a> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.skip_blanks();
            if self.take(']') || self.broken {
                break;
            }
            let Some(item) = self.value(depth + 1) else { break };
            items.push(item);
            self.skip_blanks();
            if !self.broken && !self.take(',') && !self.rest().starts_with(']') {
                self.broken = true;
            }
        }
        Json::List(items)
    }

    /// A number or word. At the end of the text it counts only where nothing is open: it may have been cut off.
    fn bare(&mut self, depth: usize) -> Option<Json<'a>> {
        let rest = self.rest();
        let end = rest.find([',', ':', ']', '}', '[', '{', '"', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        if word.is_empty() || (depth > 0 && end == rest.len()) {
            return self.broken();
        }
        self.at += end;
        Some(match word {
            "null" => Json::Null,
            "true" => Json::Flag(true),
            "false" => Json::Flag(false),
            _ => Json::Number(word),
        })
    }

    /// A text in quotes; none, and broken, where the closing quote is missing or an escape is wrong.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        if !self.take('"') {
            return self.broken();
        }
        let mut unescaped: Option<String> = None;
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(['"', '\\']) else { return self.broken() };
            let plain = rest.get(..end).unwrap_or_default();
            self.at += end;
            if self.take('"') {
                return Some(match unescaped {
                    None => Cow::Borrowed(self.text.get(start..self.at - 1).unwrap_or_default()),
                    Some(text) => Cow::Owned(text + plain),
                });
            }
            let text = unescaped.get_or_insert_default();
            text.push_str(plain);
            let Some(escaped) = self.escape() else { return self.broken() };
            unescaped.get_or_insert_default().push(escaped);
        }
    }

    fn escape(&mut self) -> Option<char> {
        self.at += 1;
        let letter = self.rest().chars().next()?;
        self.at += letter.len_utf8();
        Some(match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            _ => return None,
        })
    }

    fn unicode(&mut self) -> Option<char> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let mark = self.at;
        if self.rest().starts_with("\\u") {
            self.at += 2;
            let second = self.four_digits()?;
            if (0xdc00..0xe000).contains(&second) {
                return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            }
        }
        // Half of a pair alone.
        self.at = mark;
        Some(char::REPLACEMENT_CHARACTER)
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

impl<'a> Json<'a> {
    /// The value at an RFC 6901 pointer.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Json<'a>> {
        let Some(path) = pointer.strip_prefix('/') else { return pointer.is_empty().then_some(self) };
        path.split('/').try_fold(self, |value, step| value.step(&step.replace("~1", "/").replace("~0", "~")))
    }

    fn step(&self, step: &str) -> Option<&Json<'a>> {
        match self {
            Json::Map(members) => members.get(step),
            Json::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The member of an object.
    pub(crate) fn member_named(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Json::Map(members) => members.get(name),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The values directly inside.
    pub(crate) fn children(&self) -> Vec<&Json<'a>> {
        match self {
            Json::Map(members) => members.values().collect(),
            Json::List(items) => items.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// As the JSON of the rest of the program.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Json::Null => Value::Null,
            Json::Flag(flag) => Value::Bool(*flag),
            Json::Number(raw) => raw.parse().map_or_else(|_| Value::from(*raw), Value::Number),
            Json::Text(text) => Value::from(text.as_ref()),
            Json::List(items) => items.iter().map(Json::to_value).collect(),
            Json::Map(members) => members.iter().map(|(key, value)| (key.to_string(), value.to_value())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (String, bool) {
        let read = read(text).expect("something");
        (read.value.to_value().to_string(), read.whole)
    }

    #[test]
    fn what_serde_json_reads_is_read_the_same() {
        for text in
            [r#"{"a":1,"b":[true,null,"x\n\"\u00e9\ud83d\ude00\/"],"c":{"d":-1.5e3}}"#, r#"  [ ] "#, "\"\"", "0", "{}"]
        {
            let expected: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(shown(text), (expected.to_string(), true), "{text}");
        }
    }

    #[test]
    fn each_complete_value_of_a_broken_text_is_kept() {
        for (text, expected) in [
            (r#"{"a":"b","c":"d"#, r#"{"a":"b"}"#),
            (r#"{"a":"b","c":36"#, r#"{"a":"b"}"#),
            (r#"{"a":"b","c":tru"#, r#"{"a":"b"}"#),
            (r#"{"a":{"b":"c""#, r#"{"a":{"b":"c"}}"#),
            (r#"{"a":["b","c"#, r#"{"a":["b"]}"#),
            (r#"{"a":"b","c":"\u12"#, r#"{"a":"b"}"#),
            (r#"{"a":"b" "c":"d"}"#, r#"{"a":"b"}"#),
            (r#"{"a":"b"}{"c":"d"}"#, r#"{"a":"b"}"#),
            (r#"{"a":"b"} trailing"#, r#"{"a":"b"}"#),
            ("{", "{}"),
        ] {
            assert_eq!(shown(text), (expected.to_owned(), false), "{text}");
        }
        assert!(read("").is_none() && read("   ").is_none() && read("\"x").is_none());
    }

    #[test]
    fn bare_words_and_huge_numbers_do_not_break_the_rest() {
        assert_eq!(
            shown(r#"{"a":NaN,"b":1e400,"c":-Infinity,"d":"x"}"#).0,
            r#"{"a":"NaN","b":"1e400","c":"-Infinity","d":"x"}"#
        );
        let read = read(r#"{"a":1,"a":2}"#).unwrap();
        assert!(read.duplicate_keys && matches!(read.value.at("/a"), Some(Json::Number("2"))));
    }

    #[test]
    fn nesting_ends_at_32_levels() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(32)).unwrap().whole);
        assert!(!read(&nested(33)).unwrap().whole);
        assert!(!read(&"[".repeat(200_000)).unwrap().whole);
        assert!(!read(&"{\"a\":".repeat(200_000)).unwrap().whole);
    }

    #[test]
    fn pointers_and_scans_find_what_they_name() {
        let read = read(r#"{"a/b":{"~":[{"c":"d"}]}}"#).unwrap();
        assert_eq!(read.value.at("/a~1b/~0/0/c").and_then(Json::text), Some("d"));
        assert!(read.value.at("/a~1b/~0/1").is_none() && read.value.at("a").is_none());
        assert!(read.value.at("").is_some());
        assert_eq!(scan(r#"junk "t" : "one" "t":"two","t":"thr"#, "t").as_deref(), Some("two"));
        assert_eq!(scan(r#"{"x":"{\"t\":\"inner\"}"}"#, "t"), None);
        assert_eq!(scan(r#""t":5"#, "t"), None);
    }
}
