//! Pages that the program writes about itself: checked in, so that they can be read without building, and proved
//! current by `--check`, so that they cannot lie.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::check::Finding;
use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;

/// A file, and the word after `evergrant generate` that prints it.
const PAGES: [(&str, &str); 3] =
    [("docs/openapi.json", "openapi"), ("docs/configuration.md", "configuration"), ("docs/cli.md", "cli")];

/// A folder that is made of what `evergrant generate providers` prints, one file for each member.
const FOLDER: &str = "docs/providers";

/// Writes every page again, or with `check` only says which are not current.
pub fn run(workspace: &Workspace, check: bool) -> Result<ExitCode, Error> {
    let mut pages: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    for path in there(&workspace.root.join(FOLDER))? {
        pages.insert(format!("{FOLDER}/{path}"), None);
    }
    for (file, word) in PAGES {
        pages.insert(file.to_owned(), Some(print(workspace, word)?));
    }
    let folder: BTreeMap<String, String> =
        serde_json::from_slice(&print(workspace, "providers")?).map_err(|_| Error::NoPages)?;
    pages.extend(folder.into_iter().map(|(name, text)| (format!("{FOLDER}/{name}"), Some(text.into_bytes()))));
    let mut stale = Vec::new();
    for (file, page) in pages {
        let path = workspace.root.join(&file);
        if fs::read(&path).ok() == page {
            continue;
        }
        if check {
            stale.push(Finding::new(file, "is not what the program prints; run `cargo xtask generate`"));
            continue;
        }
        println!("writing {file}");
        let written = match page {
            Some(page) => fs::write(&path, page),
            None => fs::remove_file(&path),
        };
        written.map_err(|source| Error::File { path, source })?;
    }
    for finding in &stale {
        println!("  {finding}");
    }
    Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of the files of a folder, which is made if it is not there.
fn there(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::File { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let names = fs::read_dir(folder).map_err(failed)?;
    names.map(|file| file.map(|file| file.file_name().to_string_lossy().into_owned()).map_err(failed)).collect()
}

fn print(workspace: &Workspace, word: &str) -> Result<Vec<u8>, Error> {
    let mut cargo = command::cargo();
    cargo.args(["run", "--quiet", "--locked", "--package", "evergrant", "--", "generate", word]);
    let page = command::output(cargo.current_dir(&workspace.root))?;
    if page.is_empty() {
        return Err(Error::Empty { command: command::text(&cargo) });
    }
    Ok(page)
}
