//! What can be wrong with the machine and the configuration, before anything is opened.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use evergrant_core::return_url::is_loopback;
use evergrant_core::time::Timestamp;
use url::Url;

use super::super::span::in_words;
use super::report::{Check, Finding};
use crate::config::{Config, MasterKeySource, is_there};
use crate::entropy::SystemEntropy;

/// No machine that runs this is earlier: 2026-01-01.
const EARLIEST: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// Clocks of file systems and processes differ by so much at most.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Whether the clock can be right: tokens are refreshed and handed out by it.
pub(super) fn clock(data_dir: &Path, now: Timestamp) -> Check {
    let remedy =
        "Set the clock, and keep it right: timedatectl set-ntp true. Tokens are refreshed and handed out by it.";
    let mut findings = Vec::new();
    if now < EARLIEST {
        findings.push(Finding::new(format!("it says {now}, which has long passed"), remedy));
    }
    if let Some((file, at)) = newest(data_dir).filter(|(_, at)| *at > now.plus(TOLERANCE)) {
        let ahead = in_words(at.since(now));
        let file = file.display();
        findings.push(Finding::new(
            format!("it says {now}, but {file} was written {ahead} after that: it went back"),
            remedy,
        ));
    }
    Check::of("clock", now.to_string(), findings)
}

/// Whether browsers that show the widget's pages can reach the service.
pub(super) fn widget(config: &Config) -> Check {
    let here = |address: &str| Url::parse(address).is_ok_and(|url| is_loopback(&url));
    let elsewhere: Vec<&str> = config.widget_origins.iter().map(String::as_str).filter(|one| !here(one)).collect();
    let pages = match config.widget_origins.as_slice() {
        [] => "no page of another origin may use it".to_owned(),
        all => format!("in pages of {}", all.join(", ")),
    };
    let unreachable = (here(&config.public_url()) && !elsewhere.is_empty()).then(|| {
        let what = format!(
            "pages of {} may use it, but {} is reached by browsers on this machine only",
            elsewhere.join(", "),
            config.public_url()
        );
        Finding::new(
            what,
            "Set `public_url` to the https address that people see, or take the origin out of `widget_origins`.",
        )
    });
    Check::of("widget", pages, unreachable.into_iter().collect())
}

/// The file of the data folder that was written last.
fn newest(folder: &Path) -> Option<(PathBuf, Timestamp)> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let written = entries.filter_map(|entry| {
        let since_epoch = entry.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some((entry.path(), Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?)))
    });
    written.max_by_key(|(_, at)| *at)
}

/// Whether the master key can be read, and by its owner alone.
pub(super) fn master_key(config: &Config) -> Check {
    let source = &config.master_key;
    if let MasterKeySource::MadeAtFirstStart(file) = source
        && !is_there(file)
        && config.is_untouched()
    {
        let what = format!("there is no installation at {} yet", config.data_dir.display());
        let remedy = "Make one with `evergrant init`, or name the right one with --config or --data-dir.";
        return Check::of("master_key", source.place(), vec![Finding::new(what, remedy)]);
    }
    let mut findings = Vec::new();
    if let Err(why) = source.load(&config.database, &SystemEntropy) {
        let remedy = "Do what the sentence says: without the key nothing that is stored can be read.";
        findings.push(Finding::new(why.to_string(), remedy));
    }
    if let MasterKeySource::MadeAtFirstStart(file) | MasterKeySource::File(file) = source {
        findings.extend(open_to_others(file));
    }
    Check::of("master_key", source.place(), findings)
}

fn open_to_others(file: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    let what = format!("{} can be read by others than its owner (mode {mode:04o})", file.display());
    (mode & 0o077 != 0).then(|| Finding::new(what, format!("chmod 600 {}", file.display())))
}
