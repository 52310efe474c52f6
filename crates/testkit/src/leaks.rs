//! Looks for secrets where none may be: in files, logs and answers, in plain text and in the usual encodings.
//!
//! A secret counts as found when its first 20 or its last 16 characters are: a log line that cuts a token short leaks it
//! nearly as well. Looked for are the text itself, base64 (both alphabets, at every alignment), hexadecimal, percent
//! encoding and UTF-16. What is compressed or encrypted on purpose is not looked into.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::secrets::{IssuedSecret, fingerprint};

/// The beginning of a secret that gives it away. The judge's own tokens begin with a mark of this length.
const HEAD: usize = 20;
/// The end of a secret that gives it away.
const TAIL: usize = 16;
/// Shorter texts are found everywhere.
const SHORTEST: usize = 8;
/// Size of the filter before the look-up, a power of two.
const FILTER: usize = 1 << 20;

/// How a secret was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Writing {
    /// As it is.
    Plain,
    /// Base64, of either alphabet.
    Base64,
    /// Hexadecimal digits.
    Hex,
    /// Percent encoding: of every character, or of those that a form encodes.
    Percent,
    /// UTF-16, little endian.
    Utf16,
}

/// A secret that was found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leak {
    /// What it is, with its fingerprint.
    pub what: String,
    /// How it was written.
    pub writing: Writing,
    /// Where it begins, in bytes.
    pub at: usize,
    /// What stands around it, without the secret itself.
    pub before: String,
}

impl fmt::Debug for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {:?} at {}, after {:?}", self.what, self.writing, self.at, self.before)
    }
}

/// Secrets that are looked for.
#[derive(Clone, Default)]
pub struct Leaks {
    known: HashSet<String>,
    pieces: HashSet<Vec<u8>>,
    needles: HashMap<[u8; SHORTEST], Vec<Needle>>,
    filter: Vec<bool>,
}

#[derive(Clone)]
struct Needle {
    what: String,
    writing: Writing,
    bytes: Vec<u8>,
}

impl fmt::Debug for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} secrets>", self.known.len())
    }
}

impl Leaks {
    /// Nothing to look for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that a judge issued or was told.
    #[must_use]
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a IssuedSecret>) -> Self {
        let mut leaks = Self::new();
        for secret in secrets {
            leaks.add(&format!("{:?}", secret.kind), &secret.value);
        }
        leaks
    }

    /// Looks for this one too. One of fewer than eight bytes cannot be told from chance and is left out.
    pub fn add(&mut self, what: &str, secret: &str) {
        let bytes = secret.as_bytes();
        self.add_bytes(what, bytes);
        if bytes.len() > HEAD {
            self.insert(what, secret, &bytes[..HEAD]);
        }
        if bytes.len() > TAIL {
            self.insert(what, secret, &bytes[bytes.len() - TAIL..]);
        }
    }

    /// Looks for these bytes as a whole, such as those of a key.
    pub fn add_bytes(&mut self, what: &str, secret: &[u8]) {
        let name = String::from_utf8_lossy(secret).into_owned();
        self.insert(what, &name, secret);
    }

    /// How many secrets are looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn insert(&mut self, what: &str, secret: &str, piece: &[u8]) {
        if piece.len() < SHORTEST {
            return;
        }
        self.known.insert(secret.to_owned());
        // Secrets of one kind begin alike: the first of them stands for all.
        if !self.pieces.insert(piece.to_vec()) {
            return;
        }
        self.filter.resize(FILTER, false);
        let what = format!("{what} {}", fingerprint(secret));
        for (writing, bytes) in writings(piece) {
            let Some(first) = bytes.first_chunk::<SHORTEST>() else { continue };
            self.filter[slot(first)] = true;
            self.needles.entry(*first).or_default().push(Needle { what: what.clone(), writing, bytes });
        }
    }

    /// Every secret that stands in these bytes, each way of writing once.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Vec<Leak> {
        const EMPTY: [u8; 4096] = [0; 4096];
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut at = 0;
        while let Some(first) = bytes.get(at..).and_then(<[u8]>::first_chunk::<SHORTEST>) {
            // Files that are pre-allocated consist of nothing, mostly.
            if *first == [0; SHORTEST] && bytes[at..].starts_with(&EMPTY) {
                at += EMPTY.len() - SHORTEST;
                continue;
            }
            if self.filter.get(slot(first)).is_some_and(|may_be| *may_be) {
                let here = self.needles.get(first).into_iter().flatten();
                for needle in here.filter(|needle| bytes[at..].starts_with(&needle.bytes)) {
                    if seen.insert((needle.what.as_str(), needle.writing)) {
                        let before = String::from_utf8_lossy(&bytes[at.saturating_sub(60)..at]).into_owned();
                        found.push(Leak { what: needle.what.clone(), writing: needle.writing, at, before });
                    }
                }
            }
            at += 1;
        }
        found
    }

    /// Every secret that stands in a file of this folder or of the folders in it.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn find_in(&self, folder: &Path) -> std::io::Result<Vec<(PathBuf, Leak)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                found.extend(self.find_in(&path)?);
            } else if path.is_file() {
                let leaks = self.find(&std::fs::read(&path)?);
                found.extend(leaks.into_iter().map(|leak| (path.clone(), leak)));
            }
        }
        Ok(found)
    }
}

fn slot(first: &[u8; SHORTEST]) -> usize {
    let mixed = u64::from_le_bytes(*first).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
    usize::try_from(mixed).unwrap_or_default() % FILTER
}

/// All ways in which a text may be written.
fn writings(piece: &[u8]) -> Vec<(Writing, Vec<u8>)> {
    let lower = hex(piece, "");
    let percent = hex(piece, "%");
    let form: String = form_urlencoded::byte_serialize(piece).collect();
    let mut all = vec![
        (Writing::Plain, piece.to_vec()),
        (Writing::Hex, lower.to_uppercase().into_bytes()),
        (Writing::Hex, lower.into_bytes()),
        (Writing::Percent, percent.to_uppercase().into_bytes()),
        (Writing::Percent, percent.into_bytes()),
        (Writing::Percent, form.into_bytes()),
        (Writing::Utf16, piece.iter().flat_map(|byte| [*byte, 0]).collect()),
    ];
    for before in 0..3 {
        let shifted = [vec![0; before], piece.to_vec()].concat();
        // Only the characters that this text alone decides: not those that its neighbours have bits in.
        let (from, to) = ((8 * before).div_ceil(6), 8 * shifted.len() / 6);
        for text in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            all.push((Writing::Base64, text.as_bytes()[from..to].to_vec()));
        }
    }
    // The first way of writing a text names it: what needs no percent sign is plain.
    let mut seen = HashSet::new();
    all.retain(|(_, bytes)| seen.insert(bytes.clone()));
    all
}

fn hex(bytes: &[u8], before_each: &str) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{before_each}{byte:02x}");
        text
    })
}
