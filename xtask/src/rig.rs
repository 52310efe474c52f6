//! `cargo xtask planted`, `chaos` and `reliability`: builds the service and the rig, and has the rig break it.
//!
//! The service with planted bugs is built into the ordinary build folder: the feature changes our own crates only, and
//! its program has a name of its own, so that nothing that others run is replaced.

use std::fs;
use std::process::{Command, ExitCode};

use clap::{Args, ValueEnum};

use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;
use crate::needs;

/// The page with the figures, and the lines between which they stand.
const PAGE: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- figures: written by `cargo xtask reliability` -->";
const END: &str = "<!-- end of figures -->";

/// How much of the rig is run.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Size {
    /// A minute or two.
    Quick,
    /// Some hours; its figures stand in docs/reliability.md.
    Nightly,
    /// What a release goes through.
    Release,
}

/// Flags of `cargo xtask reliability`.
#[derive(Args, Debug)]
pub struct Reliability {
    /// The figures of docs/reliability.md, written there: some hours.
    #[arg(long)]
    nightly: bool,
    /// What a release goes through, written there too: most of a day.
    #[arg(long, conflicts_with = "nightly")]
    release: bool,
    /// Repeats the choices of another run.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these scenarios; `evergrant-rig reliability --help` names them. The rows of the others stay in the table.
    #[arg(long)]
    only: Vec<String>,
}

/// Builds the program with planted bugs beside the ordinary one.
pub fn build_planted(workspace: &Workspace) -> Result<(), Error> {
    let arguments = ["build", "--locked", "-p", "evergrant", "--features", "planted", "--bin", "evergrant-planted"];
    command::run(command::cargo().args(arguments).current_dir(&workspace.root))
}

/// Plants each bug, and says whether it is caught.
pub fn planted(workspace: &Workspace, only: Option<&str>) -> Result<ExitCode, Error> {
    needs::provide()?;
    build_planted(workspace)?;
    let mut rig = rig(workspace, "evergrant-planted")?;
    rig.arg("planted");
    if let Some(bug) = only {
        rig.args(["--only", bug]);
    }
    ended(&mut rig)
}

/// Does everything at once for some minutes.
pub fn chaos(workspace: &Workspace, minutes: f64, seed: Option<u64>, nodes: usize) -> Result<ExitCode, Error> {
    needs::provide()?;
    build(workspace)?;
    let mut rig = rig(workspace, "evergrant")?;
    rig.args(["chaos", "--minutes", &minutes.to_string(), "--nodes", &nodes.to_string()]);
    seeded(&mut rig, seed);
    ended(&mut rig)
}

/// Runs every scenario, and writes the figures into the page where they are more than a quick look.
pub fn reliability(workspace: &Workspace, flags: &Reliability) -> Result<ExitCode, Error> {
    needs::provide()?;
    build(workspace)?;
    let size = match flags {
        Reliability { release: true, .. } => Size::Release,
        Reliability { nightly: true, .. } => Size::Nightly,
        _ => Size::Quick,
    };
    let mut rig = rig(workspace, "evergrant")?;
    let name = size.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    rig.args(["reliability", "--size", &name]);
    seeded(&mut rig, flags.seed);
    for scenario in &flags.only {
        rig.args(["--only", scenario]);
    }
    if matches!(size, Size::Quick) {
        return ended(&mut rig);
    }
    let found = workspace.target.join("figures.md");
    rig.arg("--figures").arg(&found);
    let code = ended(&mut rig)?;
    write_figures(workspace, &name, &found)?;
    Ok(code)
}

fn build(workspace: &Workspace) -> Result<(), Error> {
    let arguments = ["build", "--locked", "-p", "evergrant", "--bin", "evergrant"];
    command::run(command::cargo().args(arguments).current_dir(&workspace.root))
}

fn rig(workspace: &Workspace, program: &str) -> Result<Command, Error> {
    command::run(command::cargo().args(["build", "--locked", "-p", "evergrant-rig"]).current_dir(&workspace.root))?;
    let built = workspace.target.join("debug");
    let mut rig = Command::new(built.join("evergrant-rig"));
    rig.arg("--program").arg(built.join(program)).current_dir(&workspace.root);
    Ok(rig)
}

fn seeded(rig: &mut Command, seed: Option<u64>) {
    if let Some(seed) = seed {
        rig.args(["--seed", &seed.to_string()]);
    }
}

/// What it found is its own output; here it is only whether that was good.
fn ended(rig: &mut Command) -> Result<ExitCode, Error> {
    let status = rig.status().map_err(|source| Error::Start { command: command::text(rig), source })?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Puts the table into the page, with what is needed to repeat it.
fn write_figures(workspace: &Workspace, size: &str, found: &std::path::Path) -> Result<(), Error> {
    let page = workspace.root.join(PAGE);
    let read = |path: &std::path::Path| {
        fs::read_to_string(path).map_err(|source| Error::Output { command: path.display().to_string(), source })
    };
    let (text, table) = (read(&page)?, read(found)?);
    let commit =
        command::output(Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(&workspace.root))?;
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    let run = format!("`--{size}`, commit {commit}, {}", machine());
    fs::write(&page, with_rows(&text, &table, &run))
        .map_err(|source| Error::Output { command: PAGE.to_owned(), source })
}

/// Puts the rows of a table into the page's: each takes the place of the earlier one of its scenario and says what run it
/// is of, so that scenarios can be run one by one.
fn with_rows(page: &str, table: &str, run: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).unwrap_or((page, ""));
    let (old, after) = rest.split_once(END).unwrap_or(("", "\n"));
    let mut rows: Vec<String> = rows(old).map(str::to_owned).collect();
    let seed = table.lines().find_map(|line| line.strip_prefix("Seed ")?.strip_suffix('.')).unwrap_or("?");
    for row in self::rows(table) {
        let new = format!("{row} {run}, seed {seed} |");
        match rows.iter_mut().find(|old| scenario(old) == scenario(row)) {
            Some(old) => *old = new,
            None => rows.push(new),
        }
    }
    let mut head = table.lines().filter(|line| line.starts_with('|'));
    let (names, rule) = (head.next().unwrap_or_default(), head.next().unwrap_or_default());
    format!("{before}{BEGIN}\n\n{names} run |\n{rule} --- |\n{}\n\n{END}{after}", rows.join("\n"))
}

/// The rows of a table without its head.
fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| line.starts_with('|')).skip(2)
}

/// What a row is about: its first cell.
fn scenario(row: &str) -> &str {
    row.split('|').nth(1).unwrap_or_default().trim()
}

/// Processors and memory, as far as the system tells.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let gigabytes = kilobytes.and_then(|text| text.trim().split(' ').next()?.parse::<u64>().ok()).map(|kb| kb >> 20);
    match gigabytes {
        Some(gigabytes) => format!("{cores} cores, {gigabytes} GiB, {}", std::env::consts::OS),
        None => format!("{cores} cores, {}", std::env::consts::OS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_rows_take_the_place_of_the_old_ones_and_nothing_else() {
        let empty = format!("before\n{BEGIN}\n\nNone yet.\n\n{END}\nafter\n");
        let first =
            with_rows(&empty, "Seed 7.\n\n| what | took |\n| --- | --- |\n| kills | 1 s |\n| cuts | 2 s |\n", "one");
        let both =
            "| what | took | run |\n| --- | --- | --- |\n| kills | 1 s | one, seed 7 |\n| cuts | 2 s | one, seed 7 |";
        assert_eq!(first, format!("before\n{BEGIN}\n\n{both}\n\n{END}\nafter\n"));
        let second = with_rows(&first, "Seed 8.\n\n| what | took |\n| --- | --- |\n| kills | 3 s |\n", "two");
        assert_eq!(second, first.replace("| kills | 1 s | one, seed 7 |", "| kills | 3 s | two, seed 8 |"));
    }
}
