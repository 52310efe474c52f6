//! Dependencies that no line of their crate names: build time, licence duty and attack surface for nothing.
//!
//! A dependency counts as used when its name stands as a word in the crate's code, comments and strings left out.
//! That misses one that is used under a name that something else has too; it never accuses one that is used,
//! except where the crate is wanted for a feature or a linked library only: such a one is listed with
//! `[package.metadata.unused-dependencies] needed = ["name"]`.

use std::collections::BTreeSet;
use std::fs;

use crate::check::Finding;
use crate::error::Error;
use crate::metadata::{Dependency, Package, Workspace};
use crate::source;

/// Every dependency of a member, and every line of `[workspace.dependencies]`, that nothing uses.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for package in workspace.members() {
        let words = words_of(package)?;
        let unused = package
            .dependencies
            .iter()
            .filter(|dependency| !is_used(dependency, &words) && !is_needed(package, dependency));
        findings.extend(unused.map(|dependency| {
            Finding::new(
                workspace.relative(package.folder()).display(),
                format!("does not use its dependency {}; remove it", dependency.name),
            )
        }));
    }
    findings.extend(unasked(workspace)?);
    Ok(findings)
}

fn words_of(package: &Package) -> Result<BTreeSet<String>, Error> {
    let mut words = BTreeSet::new();
    for path in source::rust_files(package.folder())? {
        let code = source::code_only(&source::read(&path)?);
        words.extend(source::tokens(&code).into_iter().map(str::to_owned));
    }
    Ok(words)
}

fn is_used(dependency: &Dependency, words: &BTreeSet<String>) -> bool {
    let name = dependency.rename.as_ref().unwrap_or(&dependency.name);
    words.contains(&name.replace('-', "_"))
}

fn is_needed(package: &Package, dependency: &Dependency) -> bool {
    let listed =
        package.metadata.as_ref().and_then(|metadata| metadata.pointer("/unused-dependencies/needed")?.as_array());
    listed.is_some_and(|names| names.iter().any(|name| name == dependency.name.as_str()))
}

/// What the workspace offers and no member takes.
fn unasked(workspace: &Workspace) -> Result<Vec<Finding>, Error> {
    let path = workspace.root.join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|source| Error::File { path, source })?;
    let taken: BTreeSet<&str> = workspace
        .members()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.as_str())
        .collect();
    let offered = offered(&text.parse()?);
    let unasked = offered.iter().filter(|name| !taken.contains(name.as_str()));
    Ok(unasked
        .map(|name| Finding::new("Cargo.toml", format!("offers {name}, which no crate takes; remove it")))
        .collect())
}

/// The package names under `[workspace.dependencies]`.
fn offered(manifest: &toml::Table) -> Vec<String> {
    let dependencies = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let lines = dependencies.and_then(toml::Value::as_table).into_iter().flatten();
    lines.map(|(key, line)| line.get("package").and_then(toml::Value::as_str).unwrap_or(key).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(name: &str, rename: Option<&str>) -> Dependency {
        Dependency {
            name: name.to_owned(),
            rename: rename.map(str::to_owned),
            kind: None,
            path: None,
            features: Vec::new(),
        }
    }

    #[test]
    fn a_dependency_is_used_under_the_name_it_has_in_code() {
        let words = ["serde_json".to_owned(), "short".to_owned()].into();
        assert!(is_used(&dependency("serde-json", None), &words));
        assert!(is_used(&dependency("a-long-name", Some("short")), &words));
        assert!(!is_used(&dependency("serde", None), &words));
    }

    #[test]
    fn a_renamed_line_of_the_workspace_is_known_by_its_package() {
        let manifest = "[workspace.dependencies]\na = \"1\"\nb = { package = \"c\", version = \"1\" }\n";
        assert_eq!(offered(&manifest.parse().unwrap()), ["a", "c"]);
    }
}
