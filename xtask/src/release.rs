//! What is for tests alone stays out of what people run: the feature `planted` breaks promises on purpose.
//!
//! The code itself refuses to build with it and without `debug_assertions`; this looks at the manifests, so that neither
//! a default feature, nor a dependency's line, nor a profile brings it in by a detour.

use crate::check::Finding;
use crate::error::Error;
use crate::metadata::{Package, Workspace};
use crate::source;

/// The feature.
const FEATURE: &str = "planted";

/// Every way by which an ordinary build would have the feature.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, Error> {
    let mut findings: Vec<Finding> = workspace.members().flat_map(of_package).collect();
    let manifest = workspace.root.join("Cargo.toml");
    findings.extend(of_profiles(&source::read(&manifest)?));
    Ok(findings)
}

fn of_package(package: &Package) -> Vec<Finding> {
    let is_it = |name: &String| name == FEATURE || name.ends_with(&format!("/{FEATURE}"));
    let within = package.features.iter().filter(|(feature, brings)| *feature != FEATURE && brings.iter().any(is_it));
    let within = within.map(|(feature, _)| format!("its feature `{feature}` brings `{FEATURE}`"));
    let without = package.dependencies.iter().filter(|dependency| dependency.features.iter().any(is_it));
    let without = without.map(|dependency| format!("its dependency {} asks for `{FEATURE}`", dependency.name));
    within
        .chain(without)
        .map(|what| Finding::new(&package.name, what + ": planted bugs are for the rig alone"))
        .collect()
}

fn of_profiles(manifest: &str) -> Option<Finding> {
    let sets = manifest.lines().any(|line| line.trim_start().starts_with("debug-assertions"));
    let what =
        "sets `debug-assertions`: without them no build has planted bugs, and that is what keeps them out of releases";
    sets.then(|| Finding::new("Cargo.toml", what))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(features: &serde_json::Value, asked: &[&str]) -> Package {
        let value = json!({
            "id": "x", "name": "x", "version": "1.0.0", "manifest_path": "/x/Cargo.toml", "features": features,
            "dependencies": [{"name": "evergrant-core", "rename": null, "kind": null, "path": "/y", "features": asked}],
        });
        serde_json::from_value(value).expect("the shape of cargo's answer")
    }

    #[test]
    fn planted_bugs_are_asked_for_by_name_only() {
        assert!(of_package(&package(&json!({"planted": ["evergrant-core/planted"], "default": []}), &[])).is_empty());
        assert_eq!(of_package(&package(&json!({"planted": [], "default": ["planted"]}), &[])).len(), 1);
        assert_eq!(of_package(&package(&json!({"all": ["evergrant-core/planted"]}), &[])).len(), 1);
        assert_eq!(of_package(&package(&json!({}), &["planted"])).len(), 1);
    }

    #[test]
    fn no_profile_lets_a_release_have_them() {
        assert!(of_profiles("[profile.release]\nstrip = true\n").is_none());
        assert!(of_profiles("[profile.release]\ndebug-assertions = true\n").is_some());
    }
}
