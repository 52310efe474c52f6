//! Inputs on file: one folder for each target under `corpus/`, one file for each input. An input that once broke something
//! stays there for good.

use std::path::{Path, PathBuf};

use crate::Target;

/// The folder of a target's inputs.
pub fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The inputs on file and those that the target makes of the facts, each with where it is from.
///
/// # Errors
/// Those of reading the folder; one that is not there is empty.
pub fn inputs(target: &Target) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut all: Vec<(String, Vec<u8>)> =
        (target.seeds)().into_iter().enumerate().map(|(at, bytes)| (format!("seed {at}"), bytes)).collect();
    let folder = folder(target);
    if folder.is_dir() {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(&folder)?.map(|file| file.map(|file| file.path())).collect::<Result<_, _>>()?;
        paths.sort();
        for path in paths {
            all.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), std::fs::read(&path)?));
        }
    }
    Ok(all)
}
