//! Links inside the documentation lead somewhere: a relative link in a Markdown file names a file that is there.
//!
//! Addresses on the web are not tried: they fail for reasons that are not ours.

use std::fs;
use std::path::{Path, PathBuf};

use crate::check::Finding;
use crate::error::Error;
use crate::metadata::Workspace;
use crate::source;

/// Every relative link to a file that does not exist.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for page in pages(&workspace.root)? {
        let folder = page.parent().unwrap_or(&workspace.root);
        let text = source::read(&page)?;
        let dead = targets(&text).into_iter().filter(|target| !folder.join(target).exists());
        findings.extend(dead.map(|target| {
            Finding::new(workspace.relative(&page).display(), format!("links to {target}, which is not there"))
        }));
    }
    Ok(findings)
}

fn pages(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut pages = Vec::new();
    for folder in [root.to_path_buf(), root.join("docs"), root.join("docs/reliability")] {
        let failed = |source| Error::File { path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// The files that `[text](file#part)` links name; code between fences and addresses with a scheme are left out.
fn targets(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let links = prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split([')', '#']).next());
    links.filter(|target| !target.is_empty() && !target.contains(':')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_link_names_its_file() {
        let text = "see [a](docs/a.md) and [b](../b.md#part), [c](#here), [d](https://d.example/x)";
        assert_eq!(targets(text), ["docs/a.md", "../b.md"]);
    }

    #[test]
    fn code_holds_no_links() {
        assert!(targets("```\nx[0](y)\n```\n").is_empty());
    }
}
