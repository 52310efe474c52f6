//! Where the master key comes from: a variable, a file, a command; else a file that is made at the first start.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evergrant_store::Database;
use zeroize::Zeroizing;

use super::is_there;
use crate::entropy::Entropy;

/// Where the master key comes from.
#[derive(Clone)]
pub enum MasterKeySource {
    /// The 64 hex digits themselves.
    Digits {
        /// The digits.
        digits: Zeroizing<String>,
        /// Where they were set.
        set_by: String,
    },
    /// A file that must be there.
    File(PathBuf),
    /// A command (run by `sh -c`) that prints the digits.
    Command(String),
    /// A file that is made when there is no installation yet.
    MadeAtFirstStart(PathBuf),
}

impl std::fmt::Debug for MasterKeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place())
    }
}

/// A master key that was read or made.
pub struct FoundMasterKey {
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
    /// Where it is, as a phrase.
    pub place: String,
    /// Whether it was made just now: then people must be told where it is and what losing it means.
    pub made: bool,
}

impl std::fmt::Debug for FoundMasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<master key from {}>", self.place)
    }
}

/// The master key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// What is there is not a key.
    #[error(
        "the master key from {place} must be 64 hexadecimal digits on one line. Put the right one there; nothing was changed"
    )]
    NotAKey {
        /// Where it was looked for.
        place: String,
    },
    /// Nothing is there.
    #[error(
        "the master key cannot be read from {place}: {why}. Make it readable for the user that runs the service, or say \
         where it is with EVERGRANT_MASTER_KEY_FILE; nothing was changed"
    )]
    Unreadable {
        /// Where it was looked for.
        place: String,
        /// What went wrong.
        why: std::io::Error,
    },
    /// The command failed.
    #[error("the command for the master key ended with {status}; it must print 64 hexadecimal digits and end with 0")]
    Command {
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// A database without its key.
    #[error(
        "the master key {file} is missing, but {database} is there: without its key nothing in it can be read. \
         Put the key back (from its backup), or say where it is with EVERGRANT_MASTER_KEY_FILE. Nothing was changed",
        file = file.display()
    )]
    Missing {
        /// Where the key should be.
        file: PathBuf,
        /// The database.
        database: String,
    },
    /// The new key cannot be kept.
    #[error("a master key cannot be made at {file}: {why}. Nothing was made; mend that, and start again", file = file.display())]
    NotMade {
        /// Where it should be.
        file: PathBuf,
        /// What went wrong.
        why: std::io::Error,
    },
}

impl MasterKeySource {
    /// Where the key is, as a phrase.
    pub fn place(&self) -> String {
        match self {
            MasterKeySource::Digits { set_by, .. } => set_by.clone(),
            MasterKeySource::File(file) | MasterKeySource::MadeAtFirstStart(file) => file.display().to_string(),
            MasterKeySource::Command(_) => "the command of EVERGRANT_MASTER_KEY_COMMAND".to_owned(),
        }
    }

    /// Reads the key; makes it at the first start, when there is neither a key nor `database`.
    ///
    /// # Errors
    /// [`MasterKeyError`]. A key is never made beside a database that is there.
    pub fn load(&self, database: &Database, entropy: &dyn Entropy) -> Result<FoundMasterKey, MasterKeyError> {
        let place = self.place();
        let found = |digits: &str| {
            let key = parse(digits).ok_or_else(|| MasterKeyError::NotAKey { place: place.clone() })?;
            Ok(FoundMasterKey { key, place: place.clone(), made: false })
        };
        let unreadable = |why| MasterKeyError::Unreadable { place: place.clone(), why };
        match self {
            MasterKeySource::Digits { digits, .. } => found(digits),
            MasterKeySource::File(file) => found(&read(file).map_err(unreadable)?),
            MasterKeySource::Command(command) => found(&run(command).map_err(unreadable)??),
            MasterKeySource::MadeAtFirstStart(file) => match read(file) {
                Ok(digits) => found(&digits),
                Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(unreadable(why)),
                Err(_) if has_been_used(database, file) => {
                    Err(MasterKeyError::Missing { file: file.clone(), database: database.to_string() })
                }
                Err(_) => make(file, entropy).map_err(|why| MasterKeyError::NotMade { file: file.clone(), why }),
            },
        }
    }
}

/// Whether something has been sealed. A server is not asked without a key: the journal beside the key's file tells.
fn has_been_used(database: &Database, key: &Path) -> bool {
    is_there(database.file().unwrap_or(&key.with_file_name("journal")))
}

pub(super) fn read(file: &Path) -> std::io::Result<Zeroizing<String>> {
    std::fs::read_to_string(file).map(Zeroizing::new)
}

fn run(command: &str) -> std::io::Result<Result<Zeroizing<String>, MasterKeyError>> {
    let output = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Ok(Err(MasterKeyError::Command { status: output.status }));
    }
    Ok(Ok(Zeroizing::new(String::from_utf8_lossy(&output.stdout).into_owned())))
}

pub(super) fn parse(digits: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits = digits.trim().as_bytes();
    let mut key = Zeroizing::new([0u8; 32]);
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(key)
}

/// Writes a new key so that it is whole on the disk, readable by its owner alone, before anything is sealed with it.
pub(super) fn make(file: &Path, entropy: &dyn Entropy) -> std::io::Result<FoundMasterKey> {
    let mut key = Zeroizing::new([0u8; 32]);
    entropy.fill(key.as_mut());
    let mut digits = Zeroizing::new(String::with_capacity(65));
    for byte in key.iter() {
        digits.push_str(&format!("{byte:02x}"));
    }
    digits.push('\n');
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    let written = open.write_all(digits.as_bytes()).and_then(|()| open.sync_all());
    if let Err(why) = written {
        // Half a key would stand in the way of the next start. Nothing has been sealed with it.
        let _ = std::fs::remove_file(file);
        return Err(why);
    }
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(FoundMasterKey { key, place: file.display().to_string(), made: true })
}
