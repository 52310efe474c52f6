//! Arrows point one way: between the crates as in docs/architecture.md, inside the server
//! `cli → demo → app → {http, dashboard} → service → {provider, notify} → config → the rest`.
//!
//! Between crates the manifests decide, because code cannot name a crate that its manifest does not. Inside the
//! server the paths decide, in `use` lines and elsewhere, so that nobody goes round by writing a path in full.
//! A module that is not in the list is a finding: whoever makes one says where it stands.

use std::path::Path;

use crate::check::Finding;
use crate::error::Error;
use crate::metadata::{Package, Workspace};
use crate::{sizes, source};

/// What each crate may name in `[dependencies]` and, besides, in `[dev-dependencies]`.
const CRATES: [(&str, &[&str], &[&str]); 8] = [
    ("evergrant-core", &[], &[]),
    ("evergrant-store", &["evergrant-core"], &["evergrant-testkit"]),
    ("evergrant-testkit", &["evergrant-core"], &[]),
    ("evergrant-rig", &["evergrant-core", "evergrant-testkit"], &[]),
    ("evergrant", &["evergrant-core", "evergrant-store", "evergrant-testkit"], &["evergrant-rig"]),
    ("evergrant-fuzz", &["evergrant-core", "evergrant-store", "evergrant"], &[]),
    ("evergrant-simulator", &["evergrant", "evergrant-core", "evergrant-store"], &[]),
    ("xtask", &[], &[]),
];

/// The server's layers, the highest first; modules of one line stand beside each other. `dashboard` and `notify` are
/// kept a place for.
const SERVER: [&[&str]; 8] = [
    &["cli"],
    &["demo"],
    &["app"],
    &["http", "dashboard"],
    &["service"],
    &["provider", "notify"],
    &["config"],
    &["catalogue", "clock", "entropy", "metrics", "telemetry", "written"],
];

/// Every arrow that points upward.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for package in workspace.members() {
        findings.extend(crate_arrows(package));
        if package.name == "evergrant" {
            findings.extend(module_arrows(workspace, package)?);
        }
    }
    Ok(findings)
}

fn crate_arrows(package: &Package) -> Vec<Finding> {
    let Some((_, normal, dev)) = CRATES.iter().find(|(name, _, _)| *name == package.name) else {
        let what = "has no place among the layers; give it one in xtask/src/layers.rs";
        return vec![Finding::new(&package.name, what)];
    };
    let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
    let upward = ours.filter(|dependency| {
        let name = dependency.name.as_str();
        let as_test = dependency.kind.as_deref() == Some("dev") && dev.contains(&name);
        !normal.contains(&name) && !as_test
    });
    upward
        .map(|dependency| {
            let what = format!("depends on {}, which stands above or beside it", dependency.name);
            Finding::new(&package.name, what)
        })
        .collect()
}

fn module_arrows(workspace: &Workspace, package: &Package) -> Result<Vec<Finding>, Error> {
    let sources = package.folder().join("src");
    let mut findings = Vec::new();
    for path in source::rust_files(&sources)? {
        let within = path.strip_prefix(&sources).unwrap_or(&path);
        if sizes::is_test(within) {
            continue;
        }
        let module = module_of(within);
        if let Some(name) = placeless(&module) {
            let what = format!("the module `{name}` has no place among the layers; give it one in xtask/src/layers.rs");
            findings.push(Finding::new(workspace.relative(&path).display(), what));
        }
        for target in upward(&module, &source::read(&path)?) {
            let what = format!("uses `crate::{target}`, a layer above; pass what it needs down, or move the code");
            findings.push(Finding::new(workspace.relative(&path).display(), what));
        }
    }
    Ok(findings)
}

/// `service/refresh.rs` is the module `["service", "refresh"]`, `lib.rs` is `[]`.
fn module_of(path: &Path) -> Vec<String> {
    let parts = path.with_extension("");
    let names = parts.iter().map(|part| part.to_string_lossy().into_owned());
    names.filter(|name| !matches!(name.as_str(), "mod" | "lib" | "main")).collect()
}

fn layer(module: &str) -> Option<usize> {
    SERVER.iter().position(|modules| modules.contains(&module))
}

/// The top-level module of a file, if it stands in no layer. What lies in it is told once, by its first file.
fn placeless(module: &[String]) -> Option<&str> {
    match module {
        [name] if layer(name).is_none() => Some(name),
        _ => None,
    }
}

/// The layers above its own that a module names.
fn upward(module: &[String], text: &str) -> Vec<String> {
    let Some(own) = module.first().and_then(|name| layer(name)) else {
        return Vec::new();
    };
    let mut targets = top_level_names(module, text);
    targets.retain(|name| layer(name).is_some_and(|other| other < own));
    targets.sort();
    targets.dedup();
    targets
}

/// The modules at the crate's root that the code of `module` names by `crate::…` or `super::…`.
fn top_level_names(module: &[String], text: &str) -> Vec<String> {
    let code = source::code_only(text);
    let tokens = source::tokens(&code);
    let mut inline = Inline::default();
    let mut names = Vec::new();
    for at in 0..tokens.len() {
        inline.step(&tokens[..=at]);
        let follows_path = at > 0 && tokens[at - 1] == "::";
        let depth = module.len() + inline.depth();
        let rest = match tokens[at] {
            "crate" => Some(&tokens[at + 1..]),
            "super" if !follows_path => climb(&tokens[at..], depth),
            _ => None,
        };
        names.extend(rest.into_iter().flat_map(first_names).map(str::to_owned));
    }
    names
}

/// What follows `super::super…` if that many steps lead to the root from this depth.
fn climb<'a, 'b>(tokens: &'b [&'a str], depth: usize) -> Option<&'b [&'a str]> {
    let steps = tokens.chunks(2).take_while(|pair| *pair == ["super", "::"]).count();
    (steps == depth).then(|| &tokens[steps * 2 - 1..])
}

/// The names at the first level of `::name` or `::{name::x, other}`.
fn first_names<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    match tokens {
        ["::", "{", rest @ ..] => group(rest),
        ["::", name, ..] => vec![name],
        _ => Vec::new(),
    }
}

fn group<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let mut names = Vec::new();
    let (mut depth, mut starts) = (1, true);
    for token in tokens {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," => starts |= depth == 1,
            name if starts => {
                names.push(name);
                starts = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// The inline modules (`mod tests { … }`) that surround a place: each takes one more `super` to leave.
#[derive(Default)]
struct Inline {
    braces: usize,
    opened: Vec<usize>,
}

impl Inline {
    /// Takes notice of the last of these tokens.
    fn step(&mut self, tokens: &[&str]) {
        match tokens {
            [.., "mod", _, "{"] => {
                self.opened.push(self.braces);
                self.braces += 1;
            }
            [.., "{"] => self.braces += 1,
            [.., "}"] => {
                self.braces = self.braces.saturating_sub(1);
                if self.opened.last() == Some(&self.braces) {
                    self.opened.pop();
                }
            }
            _ => {}
        }
    }

    fn depth(&self) -> usize {
        self.opened.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn upward_from(path: &str, text: &str) -> Vec<String> {
        upward(&module_of(Path::new(path)), text)
    }

    fn package(name: &str, dependency: &str, kind: Option<&str>) -> Package {
        let value = json!({
            "id": name, "name": name, "version": "1.0.0",
            "manifest_path": "/x/Cargo.toml",
            "dependencies": [{"name": dependency, "rename": null, "kind": kind, "path": "/y"}],
        });
        serde_json::from_value(value).expect("the shape of cargo's answer")
    }

    #[test]
    fn a_crate_may_only_look_down() {
        assert!(crate_arrows(&package("evergrant", "evergrant-store", None)).is_empty());
        assert!(crate_arrows(&package("evergrant-store", "evergrant-core", None)).is_empty());
        for upward in ["evergrant", "evergrant-store", "evergrant-testkit"] {
            assert_eq!(crate_arrows(&package("evergrant-core", upward, None)).len(), 1, "{upward}");
        }
    }

    #[test]
    fn the_store_may_meet_the_testkit_in_its_tests_only() {
        assert!(crate_arrows(&package("evergrant-store", "evergrant-testkit", Some("dev"))).is_empty());
        assert_eq!(crate_arrows(&package("evergrant-store", "evergrant-testkit", None)).len(), 1);
    }

    #[test]
    fn a_crate_without_a_place_is_a_finding() {
        assert_eq!(crate_arrows(&package("evergrant-new", "evergrant-core", None)).len(), 1);
    }

    #[test]
    fn a_use_line_that_points_upward_is_found() {
        assert_eq!(upward_from("service/refresh.rs", "use crate::http::Problem;"), ["http"]);
        assert_eq!(
            upward_from("provider.rs", "use crate::{config::Config, service::{self, x}, cli};"),
            ["cli", "service"]
        );
        assert_eq!(upward_from("notify/mod.rs", "pub(crate) use super::dashboard::page;"), ["dashboard"]);
    }

    #[test]
    fn a_path_in_the_middle_of_the_code_is_found_too() {
        assert_eq!(upward_from("service/mod.rs", "fn f() { crate::cli::print() }"), ["cli"]);
        assert_eq!(upward_from("service/a/b.rs", "fn f() { super::super::super::http::x() }"), ["http"]);
    }

    #[test]
    fn downward_and_sideways_are_fine() {
        assert!(upward_from("cli/mod.rs", "use crate::{http, service}; use crate::notify;").is_empty());
        assert!(upward_from("http/mod.rs", "use crate::dashboard; use crate::http::x;").is_empty());
        assert!(upward_from("lib.rs", "pub mod cli; use crate::cli::main;").is_empty());
    }

    #[test]
    fn every_top_level_module_has_its_place() {
        let place = |path: &str| placeless(&module_of(Path::new(path))).map(str::to_owned);
        assert_eq!(place("billing/mod.rs").as_deref(), Some("billing"));
        assert_eq!(place("billing.rs").as_deref(), Some("billing"));
        for known in ["lib.rs", "main.rs", "config/mod.rs", "service/billing.rs", "telemetry.rs"] {
            assert_eq!(place(known), None, "{known}");
        }
        assert_eq!(upward_from("config/resolve.rs", "use crate::service::x;"), ["service"]);
        assert_eq!(upward_from("app.rs", "use crate::cli::Console; use crate::http::router;"), ["cli"]);
    }

    #[test]
    fn another_crate_of_the_same_name_is_no_layer() {
        assert!(upward_from("service/mod.rs", "use http::StatusCode; use hyper::service::http;").is_empty());
    }

    #[test]
    fn words_in_comments_and_strings_are_no_arrows() {
        assert!(upward_from("service/mod.rs", "// use crate::cli;\nlet a = \"crate::cli\";").is_empty());
    }

    #[test]
    fn super_inside_an_inline_module_stays_in_the_file() {
        let text = "mod tests { use super::http; } use super::cli;";
        assert_eq!(upward_from("service.rs", text), ["cli"]);
        assert_eq!(upward_from("service.rs", "mod tests { use super::super::http; }"), ["http"]);
    }
}
