//! `cargo xtask fuzz`: libFuzzer over the targets of `crates/fuzz`, guided by coverage.
//!
//! On the stable compiler: the pass that counts coverage is LLVM's own and is asked for by `-C` options, as cargo-fuzz does
//! on a nightly; only the sanitizers need that one, and without `unsafe` there is little for them to find. libFuzzer itself
//! comes as source with the crate `libfuzzer-sys` and is built by the C++ compiler. The build lies in a folder of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;

/// What is fuzzed, and for how long.
#[derive(clap::Args)]
pub struct Wish {
    /// Only these targets (or parts of their names).
    targets: Vec<String>,
    /// So long each.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Names the targets.
    #[arg(long)]
    list: bool,
    /// Afterwards adds the inputs to the corpus that reach what none in it reaches.
    #[arg(long)]
    keep: bool,
}

/// Counts each edge of the program and shows libFuzzer what is compared.
const COVERAGE: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "--cfg=fuzzing",
];

/// The longest input, in bytes: longer ones find nothing more and take longer.
const LONGEST: u64 = 4096;
/// What one input may take, in seconds and MB.
const SLOWEST: u64 = 5;
const MEMORY: u64 = 2048;

/// Builds the fuzzer and runs it over what is wished, one target after the other.
pub fn run(workspace: &Workspace, wish: &Wish) -> Result<ExitCode, Error> {
    let fuzzer = Fuzzer { program: build(workspace)?, workspace };
    let all = fuzzer.targets()?;
    if wish.list {
        all.iter().for_each(|target| println!("{target}"));
        return Ok(ExitCode::SUCCESS);
    }
    let names: Vec<&str> = all.iter().filter_map(|line| line.split('\t').next()).collect();
    if let Some(name) = wish.targets.iter().find(|wanted| !names.iter().any(|name| name.contains(wanted.as_str()))) {
        return Err(Error::NoTarget { name: name.clone() });
    }
    let wanted = |name: &&&str| wish.targets.is_empty() || wish.targets.iter().any(|wanted| name.contains(wanted));
    let mut clean = true;
    for name in names.iter().filter(wanted) {
        clean &= fuzzer.run(name, wish)?;
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the fuzzer builds and works.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("fuzz")
}

fn build(workspace: &Workspace) -> Result<PathBuf, Error> {
    let host = host()?;
    let mut cargo = command::cargo();
    cargo.args(["build", "--locked", "--release", "-p", "evergrant-fuzz", "--features", "coverage"]);
    // With the target named, build scripts and macros are built without the flags.
    cargo.args(["--target", &host, "--target-dir"]).arg(folder(workspace));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f")).current_dir(&workspace.root);
    command::run(&mut cargo)?;
    Ok(folder(workspace).join(host).join("release/evergrant-fuzz"))
}

fn host() -> Result<String, Error> {
    let said = command::output(Command::new("rustc").arg("-vV"))?;
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).ok_or(Error::NoHost)
}

struct Fuzzer<'a> {
    program: PathBuf,
    workspace: &'a Workspace,
}

impl Fuzzer<'_> {
    fn targets(&self) -> Result<Vec<String>, Error> {
        let said = command::output(&mut Command::new(&self.program))?;
        Ok(String::from_utf8_lossy(&said).lines().map(str::to_owned).collect())
    }

    /// Fuzzes one target; whether nothing was found.
    fn run(&self, name: &str, wish: &Wish) -> Result<bool, Error> {
        let work = folder(self.workspace).join("work").join(name);
        let (found, broken) = (work.join("found"), work.join("broken"));
        let corpus = self.workspace.root.join("crates/fuzz/corpus").join(name);
        for folder in [&found, &broken, &corpus] {
            fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.clone(), source })?;
        }
        println!("\n== {name} for {} s", wish.seconds);
        let mut fuzzer = self.command(name, &work);
        fuzzer.args([&found, &corpus, &work.join("seeds")]);
        fuzzer.arg(format!("-max_total_time={}", wish.seconds)).arg("-print_final_stats=1");
        fuzzer
            .arg(format!("-max_len={LONGEST}"))
            .arg(format!("-timeout={SLOWEST}"))
            .arg(format!("-rss_limit_mb={MEMORY}"));
        fuzzer.arg(prefixed("-dict=", work.join("words"))).arg(prefixed("-artifact_prefix=", broken.join("")));
        let said = watch(&mut fuzzer)?;
        println!("{name}: {said}");
        let clean = self.keep_broken(&broken, &corpus)?;
        if wish.keep && clean {
            let mut merge = self.command(name, &work);
            merge.args(["-merge=1", "-verbosity=0"]).args([&corpus, &found]);
            let merged = merge.stderr(Stdio::null()).status();
            merged.map_err(|source| Error::Start { command: command::text(&merge), source })?;
        }
        // An empty folder would not be kept by git either.
        let _ = fs::remove_dir(&corpus);
        Ok(clean)
    }

    fn command(&self, name: &str, work: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.env("EVERGRANT_FUZZ_TARGET", name).env("EVERGRANT_FUZZ_FOLDER", work).current_dir(&self.workspace.root);
        command
    }

    /// Puts every input that broke the promise into the corpus, where each commit runs it, and says how to run it alone.
    fn keep_broken(&self, broken: &Path, corpus: &Path) -> Result<bool, Error> {
        let failed = |source| Error::File { path: broken.to_owned(), source };
        let mut clean = true;
        for file in fs::read_dir(broken).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            let kept = corpus.join(path.file_name().unwrap_or(OsStr::new("broken")));
            fs::rename(&path, &kept).map_err(failed)?;
            let input = fs::read(&kept).map_err(failed)?;
            println!("  BROKEN by {}", input.escape_ascii());
            println!(
                "  kept in {}; every `cargo test -p evergrant-fuzz` runs it",
                self.workspace.relative(&kept).display()
            );
            clean = false;
        }
        Ok(clean)
    }
}

fn prefixed(prefix: &str, path: PathBuf) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(prefix);
    text.push(path);
    text
}

/// Runs the fuzzer, shows only what it says of a broken promise, and returns its figures as a sentence.
fn watch(fuzzer: &mut Command) -> Result<String, Error> {
    let text = command::text(fuzzer);
    let started = fuzzer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|source| Error::Start { command: text.clone(), source })?;
    let failed = |source| Error::Output { command: text.clone(), source };
    let (mut executions, mut coverage, mut peak, mut quiet) = (0, String::new(), 0, true);
    if let Some(output) = child.stderr.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line.map_err(failed)?).into_owned();
            let number = |name: &str| line.strip_prefix(name).and_then(|rest| rest.trim().parse::<u64>().ok());
            executions = number("stat::number_of_executed_units:").unwrap_or(executions);
            peak = number("stat::peak_rss_mb:").unwrap_or(peak);
            if let Some((_, rest)) = line.split_once(" cov: ") {
                coverage = rest.split(' ').next().unwrap_or_default().to_owned();
            }
            quiet &= !(line.contains("panicked at") || line.contains("ERROR: libFuzzer") || line.contains("SUMMARY"));
            if !quiet && !line.starts_with("stat::") {
                println!("  {line}");
            }
        }
    }
    child.wait().map_err(failed)?;
    Ok(format!("{executions} executions, {coverage} edges, at most {peak} MB"))
}
