//! Licences, banned crates, sources and the number of packages, as `deny.toml` says.
//!
//! The file is in the format of cargo-deny, and a setting that is not checked here is refused, so that the file
//! never promises more than is done. Advisories are not looked at: their database cannot be had where this runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Deserialize;

use crate::check::Finding;
use crate::error::Error;
use crate::licence;
use crate::metadata::{Package, Workspace};

/// More packages than this, on all platforms together, is more than anyone can look after.
const MOST_PACKAGES: usize = 349;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Licences {
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    multiple_versions: Duplicates,
    wildcards: Deny,
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: Deny,
    unknown_git: Deny,
    allow_registry: Vec<String>,
    allow_git: Vec<String>,
}

/// The only strictness there is for what has no fair exception.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deny {
    Deny,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Duplicates {
    Deny,
    Warn,
}

/// Everything in the dependency tree that `deny.toml` does not want.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, Error> {
    let path = workspace.root.join("deny.toml");
    let text = fs::read_to_string(&path).map_err(|source| Error::File { path, source })?;
    let rules: Rules = toml::from_str(&text)?;
    println!("  {} packages", workspace.packages.len());
    let mut findings = count(workspace.packages.len());
    for package in &workspace.packages {
        findings.extend(licence_of(package, &rules.licenses));
        findings.extend(ban_of(package, &rules.bans));
        findings.extend(source_of(package, &rules.sources));
    }
    for package in workspace.members() {
        findings.extend(wildcards_of(package, &rules.bans.wildcards));
    }
    let duplicates = duplicates(&workspace.packages);
    for duplicate in &duplicates {
        println!("  {duplicate}");
    }
    if rules.bans.multiple_versions == Duplicates::Deny {
        findings.extend(duplicates);
    }
    Ok(findings)
}

fn count(packages: usize) -> Vec<Finding> {
    if packages <= MOST_PACKAGES {
        return Vec::new();
    }
    let what = format!("{packages} packages, more than {MOST_PACKAGES}; drop a dependency or a feature of one");
    vec![Finding::new("Cargo.lock", what)]
}

fn licence_of(package: &Package, rules: &Licences) -> Option<Finding> {
    let what = match package.license.as_deref() {
        None => "states no licence".to_owned(),
        Some(expression) => match licence::is_allowed(expression, &rules.allow) {
            Some(true) => return None,
            Some(false) => format!("is licensed `{expression}`, which deny.toml does not accept"),
            None => format!("has a licence expression that makes no sense: `{expression}`"),
        },
    };
    Some(Finding::new(label(package), what))
}

fn ban_of(package: &Package, rules: &Bans) -> Option<Finding> {
    let ban = rules.deny.iter().find(|ban| ban.name == package.name)?;
    Some(Finding::new(label(package), format!("is banned: {}", ban.reason)))
}

fn source_of(package: &Package, rules: &Sources) -> Option<Finding> {
    let Sources { unknown_registry: Deny::Deny, unknown_git: Deny::Deny, .. } = rules;
    let source = package.source.as_deref()?;
    let known = match source.split_once('+') {
        Some(("registry", address)) => rules.allow_registry.iter().any(|allowed| allowed == address),
        Some(("git", address)) => {
            rules.allow_git.iter().any(|allowed| address.split(['?', '#']).next() == Some(allowed))
        }
        _ => false,
    };
    (!known).then(|| Finding::new(label(package), format!("comes from {source}, which deny.toml does not list")))
}

fn wildcards_of(package: &Package, Deny::Deny: &Deny) -> Vec<Finding> {
    let wild = package.dependencies.iter().filter(|dependency| dependency.req == "*" && dependency.path.is_none());
    wild.map(|dependency| Finding::new(label(package), format!("takes any version of {}; name one", dependency.name)))
        .collect()
}

fn duplicates(packages: &[Package]) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    several
        .map(|(name, versions)| Finding::new(name, format!("is there in versions {}", versions.join(", "))))
        .collect()
}

fn label(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn package(name: &str, licence: Option<&str>, source: Option<&str>) -> Package {
        let value = json!({
            "id": name, "name": name, "version": "1.0.0", "license": licence, "source": source,
            "manifest_path": "/x/Cargo.toml",
            "dependencies": [{"name": "wild", "rename": null, "req": "*", "kind": null}],
        });
        serde_json::from_value(value).expect("the shape of cargo's answer")
    }

    fn rules() -> Rules {
        toml::from_str(include_str!("../../deny.toml")).expect("the repository's own rules are readable")
    }

    #[test]
    fn a_licence_outside_the_list_is_refused() {
        assert_eq!(licence_of(&package("a", Some("MIT"), None), &rules().licenses), None);
        for licence in [Some("GPL-3.0-only"), Some("MIT AND"), None] {
            assert!(licence_of(&package("a", licence, None), &rules().licenses).is_some(), "{licence:?}");
        }
    }

    #[test]
    fn a_banned_crate_is_refused_with_its_reason() {
        let finding = ban_of(&package("openssl", Some("MIT"), None), &rules().bans).unwrap();
        assert!(finding.to_string().contains("rustls"), "{finding}");
        assert_eq!(ban_of(&package("openssl-probe", Some("MIT"), None), &rules().bans), None);
    }

    #[test]
    fn a_package_comes_from_the_public_registry_or_from_here() {
        let sources = rules().sources;
        assert_eq!(source_of(&package("a", None, Some(CRATES_IO)), &sources), None);
        assert_eq!(source_of(&package("a", None, None), &sources), None);
        for source in ["git+https://github.com/a/b?rev=1#2", "registry+https://elsewhere.example/index", "path+x"] {
            assert!(source_of(&package("a", None, Some(source)), &sources).is_some(), "{source}");
        }
    }

    #[test]
    fn any_version_is_no_version() {
        assert_eq!(wildcards_of(&package("a", None, None), &Deny::Deny).len(), 1);
    }

    #[test]
    fn two_versions_of_one_crate_are_seen() {
        let packages = [package("a", None, None), package("a", None, None), package("b", None, None)];
        assert_eq!(duplicates(&packages).len(), 1);
    }

    #[test]
    fn the_tree_has_a_greatest_size() {
        assert!(count(MOST_PACKAGES).is_empty());
        assert_eq!(count(MOST_PACKAGES + 1).len(), 1);
    }

    #[test]
    fn a_setting_that_nobody_checks_is_refused() {
        let text = format!("{}\n[advisories]\nversion = 2\n", include_str!("../../deny.toml"));
        assert!(toml::from_str::<Rules>(&text).is_err());
    }
}
