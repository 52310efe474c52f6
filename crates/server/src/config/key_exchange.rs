//! A new master key in the place of the old one, so that no crash leaves data that no key at hand opens.
//!
//! The new key is on the disk beside the old one (`<file>.next`) before anything is wrapped by it; the old one is kept under
//! a name with a time and its fingerprint before the new one takes its place by a rename. A start that finds the data
//! under the key of `<file>.next` finishes the exchange. No key is ever deleted here: that is the operator's.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use evergrant_core::time::Timestamp;
use evergrant_store::MasterKey;
use zeroize::Zeroizing;

use super::master_key::{self, MasterKeySource};
use crate::entropy::Entropy;

/// The file of a master key that can be replaced.
#[derive(Clone, Debug)]
pub struct KeyExchange {
    file: PathBuf,
}

/// Why a key file cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub enum KeyExchangeError {
    /// The folder or the file does not allow it.
    #[error("{file} cannot be written: {why}. The key in use stays as it is", file = file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// Somebody has changed the file.
    #[error("{file} does not hold the master key {expected} that is in use. Put that key back first", file = file.display())]
    Changed {
        /// The file.
        file: PathBuf,
        /// The fingerprint of the key in use.
        expected: String,
    },
}

impl KeyExchange {
    /// None where the key does not come from a file.
    pub fn of(source: &MasterKeySource) -> Option<Self> {
        match source {
            MasterKeySource::File(file) | MasterKeySource::MadeAtFirstStart(file) => Some(Self { file: file.clone() }),
            MasterKeySource::Digits { .. } | MasterKeySource::Command(_) => None,
        }
    }

    /// The key of an exchange that was not finished, if it has this fingerprint.
    pub fn unfinished(&self, fingerprint: &str) -> Option<MasterKey> {
        key_in(&self.next()).filter(|key| key.fingerprint() == fingerprint)
    }

    /// Makes a new key and puts it on the disk beside the one in use, whose fingerprint is given. What an earlier exchange has
    /// left is finished, or put aside.
    ///
    /// # Errors
    /// [`KeyExchangeError`]; the key in use is where it was.
    pub fn prepare(&self, in_use: &str, entropy: &dyn Entropy, now: Timestamp) -> Result<MasterKey, KeyExchangeError> {
        if self.unfinished(in_use).is_some() {
            self.finish(now)?;
        } else if let Some(unused) = key_in(&self.next()) {
            self.keep(&self.next(), &unused.fingerprint(), now)?;
        }
        if key_in(&self.file).is_none_or(|key| key.fingerprint() != in_use) {
            return Err(KeyExchangeError::Changed { file: self.file.clone(), expected: in_use.to_owned() });
        }
        match std::fs::remove_file(self.next()) {
            Err(why) if why.kind() != ErrorKind::NotFound => Err(unwritable(&self.next(), why)),
            _ => Ok(()),
        }?;
        let made = master_key::make(&self.next(), entropy).map_err(|why| unwritable(&self.next(), why))?;
        Ok(MasterKey::new(made.key))
    }

    /// Keeps the old key aside and puts the new one in its place; where the old one is.
    ///
    /// # Errors
    /// [`KeyExchangeError::Unwritable`]; the next start, or the next rotation, tries again.
    pub fn finish(&self, now: Timestamp) -> Result<PathBuf, KeyExchangeError> {
        let old = key_in(&self.file).map(|key| key.fingerprint()).unwrap_or_default();
        let kept = self.keep(&self.file, &old, now)?;
        let renamed = std::fs::rename(self.next(), &self.file).and_then(|()| sync_folder(&self.file));
        renamed.map_err(|why| unwritable(&self.file, why))?;
        Ok(kept)
    }

    /// Writes what is in a file under a name that tells when it was put aside and what it is.
    fn keep(&self, from: &Path, fingerprint: &str, now: Timestamp) -> Result<PathBuf, KeyExchangeError> {
        let stamp: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
        let kept = self.beside(&format!("{stamp}.{fingerprint}"));
        let written = || -> std::io::Result<()> {
            let digits = master_key::read(from)?;
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&kept)?;
            file.write_all(digits.as_bytes())?;
            file.sync_all()?;
            sync_folder(&kept)
        };
        written().map_err(|why| unwritable(&kept, why))?;
        Ok(kept)
    }

    fn next(&self) -> PathBuf {
        self.beside("next")
    }

    fn beside(&self, more: &str) -> PathBuf {
        let mut name = self.file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{more}"));
        self.file.with_file_name(name)
    }
}

fn key_in(file: &Path) -> Option<MasterKey> {
    let digits: Zeroizing<String> = master_key::read(file).ok()?;
    master_key::parse(&digits).map(MasterKey::new)
}

fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn unwritable(file: &Path, why: std::io::Error) -> KeyExchangeError {
    KeyExchangeError::Unwritable { file: file.to_owned(), why }
}
