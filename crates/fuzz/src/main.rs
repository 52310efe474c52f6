//! The fuzzer: libFuzzer over one target, started by `cargo xtask fuzz`, which says how it is built and what it is given.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use evergrant_fuzz::{CHOICE, FOLDER, TARGETS, Target, named};

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: prepare(), |bytes: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        (target.run)(bytes);
    }
});

/// Before libFuzzer reads its command line: writes what the target begins with into the folder that the command names.
/// Without a target it lists them.
fn prepare() {
    let Some(name) = said(CHOICE) else {
        TARGETS.iter().for_each(|target| println!("{}\t{}", target.name, target.promise));
        std::process::exit(0)
    };
    let written = named(&name).ok_or_else(|| std::io::Error::other("there is no such target")).and_then(|target| {
        let folder = said(FOLDER).ok_or_else(|| std::io::Error::other(format!("{FOLDER} names no folder")))?;
        begin(CHOSEN.get_or_init(|| target), Path::new(&folder))
    });
    if let Err(error) = written {
        eprintln!("{name}: {error}");
        std::process::exit(2)
    }
}

fn begin(target: &Target, folder: &Path) -> std::io::Result<()> {
    let seeds = folder.join("seeds");
    std::fs::create_dir_all(&seeds)?;
    for (at, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(seeds.join(format!("{at:04}")), seed)?;
    }
    let escaped = |word: &&str| word.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let words: String = target.words.iter().map(|word| format!("\"{}\"\n", escaped(word))).collect();
    // A file without a line is refused.
    std::fs::write(folder.join("words"), format!("# {}\n{words}", target.name))
}

#[expect(clippy::disallowed_methods, reason = "libFuzzer owns the command line; there is no other way to say it")]
fn said(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
