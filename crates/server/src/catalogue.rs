//! The catalogue in force: the entries that are built in, with the files of a folder over them.
//!
//! The folder is looked at again while the service runs. A file that cannot be used leaves its old entry in force, and the log
//! says which file, line and field, and what would be right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use evergrant_core::catalogue::{Catalogue, EntryErrors};

/// Files by name.
type Texts = BTreeMap<String, String>;
/// What a folder looks like from outside: name, length and last change of each file.
type Look = Vec<(String, u64, Option<SystemTime>)>;

/// Why a folder's entries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EntriesError {
    /// The folder or a file of it cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        why: std::io::Error,
    },
    /// Entries are wrong: file, line, field and what would be right.
    #[error("{0}")]
    Wrong(EntryErrors),
}

/// The catalogue in force.
#[derive(Debug)]
pub struct Entries {
    folder: Option<PathBuf>,
    private_networks: bool,
    current: RwLock<Arc<Catalogue>>,
    /// What was read last, and the texts that are in force.
    seen: Mutex<(Look, Texts)>,
}

impl Entries {
    /// The built-in entries, with those of `folder` over them; these may speak plain http on loopback if `private_networks`
    /// are allowed.
    ///
    /// # Errors
    /// [`EntriesError`]: at the start everything must be right.
    pub fn open(folder: Option<PathBuf>, private_networks: bool) -> Result<Self, EntriesError> {
        let (look, texts) = match &folder {
            Some(folder) => (look(folder)?, read(folder)?),
            None => Default::default(),
        };
        let current = RwLock::new(Arc::new(over_built_in(&texts, private_networks).map_err(EntriesError::Wrong)?));
        Ok(Entries { folder, private_networks, current, seen: Mutex::new((look, texts)) })
    }

    /// The catalogue.
    pub fn current(&self) -> Arc<Catalogue> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the folder again: whether the catalogue is another one now, and what is wrong with the files. Each file that
    /// cannot be used keeps its old entry; what is right is in force all the same.
    pub fn look_again(&self) -> (bool, Result<(), EntriesError>) {
        let Some(folder) = &self.folder else { return (false, Ok(())) };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, new) = match look(folder).and_then(|found| Ok((found, read(folder)?))) {
            Ok((found, _)) if found == seen.0 => return (false, Ok(())),
            Ok(read) => read,
            Err(error) => return (false, Err(error)),
        };
        seen.0 = found;
        let (texts, catalogue, wrong) = match over_built_in(&new, self.private_networks) {
            Ok(catalogue) => (new, Some(catalogue), Ok(())),
            Err(errors) => {
                let kept = with_old(new, &errors, &seen.1);
                let catalogue = over_built_in(&kept, self.private_networks).ok();
                (kept, catalogue, Err(EntriesError::Wrong(errors)))
            }
        };
        let Some(catalogue) = catalogue.filter(|_| texts != seen.1) else { return (false, wrong) };
        seen.1 = texts;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalogue);
        (true, wrong)
    }
}

/// The built-in files, with these over them.
///
/// # Errors
/// [`EntryErrors`] with everything that is wrong.
fn over_built_in(texts: &Texts, private_networks: bool) -> Result<Catalogue, EntryErrors> {
    let mut all: BTreeMap<&str, &str> = Catalogue::embedded_files().collect();
    all.extend(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    Catalogue::from_files_on(all, private_networks)
}

/// The new files, but the old ones in the place of those that are wrong.
fn with_old(mut new: Texts, errors: &EntryErrors, old: &Texts) -> Texts {
    for error in &errors.0 {
        match old.get(&error.file) {
            Some(text) => new.insert(error.file.clone(), text.clone()),
            None => new.remove(&error.file),
        };
    }
    new
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, EntriesError> {
    let unreadable = |why| EntriesError::Unreadable { path: folder.to_owned(), why };
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = file.map_err(unreadable)?.path();
        if path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn look(folder: &Path) -> Result<Look, EntriesError> {
    let one = |path: PathBuf| {
        let about = std::fs::metadata(&path).map_err(|why| EntriesError::Unreadable { path: path.clone(), why })?;
        Ok((name(&path), about.len(), about.modified().ok()))
    };
    files(folder)?.into_iter().map(one).collect()
}

fn read(folder: &Path) -> Result<Texts, EntriesError> {
    let one = |path: PathBuf| {
        let text = std::fs::read_to_string(&path);
        Ok((name(&path), text.map_err(|why| EntriesError::Unreadable { path, why })?))
    };
    files(folder)?.into_iter().map(one).collect()
}
