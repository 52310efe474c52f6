//! Pages that the program writes about itself: checked in, so that they can be read without building, and proved
//! current by `--check`, so that they cannot lie.

use std::fs;
use std::process::ExitCode;

use crate::check::Finding;
use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;

/// A file, and the word after `evergrant generate` that prints it.
const PAGES: [(&str, &str); 3] =
    [("docs/openapi.json", "openapi"), ("docs/configuration.md", "configuration"), ("docs/cli.md", "cli")];

/// Writes every page again, or with `check` only says which are not current.
pub fn run(workspace: &Workspace, check: bool) -> Result<ExitCode, Error> {
    let mut stale = Vec::new();
    for (file, word) in PAGES {
        let path = workspace.root.join(file);
        let page = print(workspace, word)?;
        if fs::read(&path).is_ok_and(|there| there == page) {
            continue;
        }
        if check {
            stale.push(Finding::new(file, "is not what the program prints; run `cargo xtask generate`"));
        } else {
            println!("writing {file}");
            fs::write(&path, page).map_err(|source| Error::File { path, source })?;
        }
    }
    for finding in &stale {
        println!("  {finding}");
    }
    Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
