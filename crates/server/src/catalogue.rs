//! The catalogue's files, put into the binary when it is built.

use evergrant_core::catalogue::{Catalogue, Fault};
use include_dir::{Dir, include_dir};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../catalog");

/// Reads the embedded entries.
///
/// # Errors
/// The first [`Fault`]; a test keeps that from happening in a build that passed.
pub fn embedded() -> Result<Catalogue, Fault> {
    let files = FILES.files().filter(|file| file.path().extension().is_some_and(|ending| ending == "toml"));
    Catalogue::read(files.filter_map(|file| Some((file.path().file_name()?.to_str()?, file.contents_utf8()?))))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_embedded_entry_is_read() {
        let catalogue = super::embedded().unwrap();
        assert!(catalogue.get(&"strava".parse().unwrap()).is_some());
    }
}
