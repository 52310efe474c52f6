//! The files of the log: lines of JSON, each with a hash over itself and the line before it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::TokenRead;
use crate::audit::link;
use crate::seal::hex;

/// After so many bytes a new file is begun.
const FULL: u64 = 64 << 20;
/// No line is longer; a tail of this length holds the last one.
const TAIL: u64 = 64 << 10;

/// How far the chain is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub lines: u64,
    pub hash: Vec<u8>,
}

impl Default for Chain {
    fn default() -> Self {
        Chain { lines: 0, hash: vec![0; 32] }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    line: u64,
    at: i64,
    by: String,
    connection: String,
    token: String,
    request: String,
    hash: String,
}

impl Chain {
    fn hash_of(&self, line: &Line) -> Vec<u8> {
        let fields = [line.by.as_str(), line.connection.as_str(), line.token.as_str(), line.request.as_str()];
        link(&self.hash, line.line, Timestamp::from_millis(line.at), fields)
    }

    /// The chain after a line; none if it does not fit.
    pub fn follow(&self, text: &str) -> Option<Chain> {
        let line: Line = serde_json::from_str(text).ok()?;
        let hash = self.hash_of(&line);
        (line.line == self.lines + 1 && line.hash == hex(&hash)).then_some(Chain { lines: line.line, hash })
    }
}

/// The file that is being written.
pub(super) struct LogFile {
    folder: PathBuf,
    number: u32,
    file: File,
    length: u64,
    chain: Chain,
    noted: u64,
    distrusted: bool,
}

impl LogFile {
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        let mut chain = Chain::default();
        let paths = paths(folder)?;
        for path in paths.iter().rev() {
            cut_torn_line(path)?;
            if let Some(last) = last_line(path)? {
                chain = last;
                break;
            }
        }
        let number = paths.last().and_then(|path| number_of(path)).unwrap_or(1);
        let file = append_to(&folder.join(file_name(number)))?;
        let length = file.metadata()?.len();
        // Noted anew by each process: the last one may have ended before it did.
        let noted = 0;
        Ok(LogFile { folder: folder.to_owned(), number, file, length, chain, noted, distrusted: false })
    }

    /// Appends a line whole or not at all.
    pub fn append(&mut self, read: &TokenRead) -> std::io::Result<()> {
        if self.distrusted || self.length >= FULL {
            self.begin_next()?;
        }
        let mut line = Line {
            line: self.chain.lines + 1,
            at: read.at.as_millis(),
            by: read.actor.clone(),
            connection: read.connection.as_str().to_owned(),
            token: read.token_id.clone(),
            request: read.request_id.chars().take(200).collect(),
            hash: String::new(),
        };
        let hash = self.chain.hash_of(&line);
        line.hash = hex(&hash);
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        if let Err(error) = self.file.write_all(&bytes) {
            // Part of it may stand there; if it can't be taken back, the next line goes to another file.
            self.distrusted = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.chain = Chain { lines: line.line, hash };
        Ok(())
    }

    fn begin_next(&mut self) -> std::io::Result<()> {
        if !self.distrusted {
            self.file.sync_data()?;
        }
        let file = append_to(&self.folder.join(file_name(self.number + 1)))?;
        (self.file, self.length, self.number, self.distrusted) = (file, 0, self.number + 1, false);
        Ok(())
    }

    pub fn handle(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }

    /// A sync failed: what is written from now on goes to another file.
    pub fn distrust(&mut self) {
        self.distrusted = true;
    }

    /// The head, if it has moved since it was noted.
    pub fn unnoted(&self) -> Option<Chain> {
        (self.chain.lines > self.noted).then(|| self.chain.clone())
    }

    pub fn noted(&mut self, chain: &Chain) {
        self.noted = chain.lines;
    }
}

fn append_to(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn file_name(number: u32) -> String {
    format!("reads-{number:06}.log")
}

fn number_of(path: &Path) -> Option<u32> {
    path.file_stem()?.to_str()?.strip_prefix("reads-")?.parse().ok()
}

/// All files of the log, oldest first.
pub(super) fn paths(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") && number_of(&path).is_some() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn tail(path: &Path) -> std::io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((from, bytes))
}

/// A line without its end was not answered; the crash that left it took its reader along.
fn cut_torn_line(path: &Path) -> std::io::Result<()> {
    let (from, bytes) = tail(path)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole == bytes.len() {
        return Ok(());
    }
    tracing::warn!(file = %path.display(), bytes = bytes.len() - whole, "the log of token reads ended in half a line");
    OpenOptions::new().write(true).open(path)?.set_len(from + whole as u64)
}

fn last_line(path: &Path) -> std::io::Result<Option<Chain>> {
    let (_, bytes) = tail(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let Some(last) = text.lines().next_back() else { return Ok(None) };
    let chain = serde_json::from_str::<Line>(last).ok().and_then(|line| {
        let hash = (0..line.hash.len() / 2).map(|at| u8::from_str_radix(line.hash.get(2 * at..2 * at + 2)?, 16).ok());
        Some(Chain { lines: line.line, hash: hash.collect::<Option<Vec<u8>>>()? })
    });
    let odd = || std::io::Error::new(std::io::ErrorKind::InvalidData, "its last line is not one of the service");
    chain.map(Some).ok_or_else(odd)
}
