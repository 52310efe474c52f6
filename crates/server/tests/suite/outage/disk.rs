//! A disk that takes nothing more: full, or closed to writing altogether.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rustix::process::getuid;

use super::Scene;
use crate::serving::{Home, Serving};

const NUMBERS: &str = "[refresh]\nforce_interval = 0.01\nretry_max = 0.5\n";

/// Serves from a small disk of its own, which is gone with the process: for root, and for others where the system lets them
/// have a name space of their own. None where it lets nobody.
async fn on_a_small_disk(home: &Home) -> Option<Serving> {
    let mut apart = vec!["--mount"];
    if !getuid().is_root() {
        apart.push("--map-root-user");
    }
    let tried = Command::new("unshare").args(&apart).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return None;
    }
    std::fs::create_dir(home.data()).expect("a folder");
    let script = "mount -t tmpfs -o size=96m,mode=0700 tmpfs data && exec \"$0\" serve --config evergrant.toml";
    apart.extend(["--", "sh", "-c", script]);
    Some(home.serve_by("unshare", &apart).await)
}

/// Serves so that a limit of the size of files fails each write with an error, and does not kill.
async fn under_a_limit(home: &Home) -> Serving {
    let script = "trap '' XFSZ; exec \"$0\" serve --config evergrant.toml";
    home.serve_by("sh", &["-c", script]).await
}

/// The data folder as the process sees it.
fn seen(serving: &Serving, home: &Home) -> PathBuf {
    let data = home.data();
    PathBuf::from(format!("/proc/{}/root", serving.pid().as_raw_nonzero()))
        .join(data.strip_prefix("/").expect("a whole path"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_no_refresh_that_is_under_way() {
    let home = Home::new(NUMBERS);
    let small = on_a_small_disk(&home).await;
    let is_small = small.is_some();
    let serving = match small {
        Some(serving) => serving,
        None => under_a_limit(&home).await,
    };
    let scene = Scene::begin(home, &serving, 20).await;
    let asking = scene.all_under_way(&serving.api).await;
    let filler = seen(&serving, &scene.home).join("filler");
    if is_small {
        fill(&filler);
    } else {
        limit(&serving, "1:unlimited");
    }
    scene.answered().await;
    // No token leaves whose reading cannot be written down.
    scene.sends_nothing(&serving.api, false).await;
    if is_small {
        std::fs::remove_file(&filler).expect("it is there");
    } else {
        limit(&serving, "unlimited:unlimited");
    }
    scene.everything_is_written(&serving.api, Instant::now()).await;
    drop(asking);
    serving.stop().await;
    scene.judge.shutdown().await;
}

/// Writes until nothing more fits.
fn fill(file: &std::path::Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file).expect("a file");
    for size in [1 << 20, 4096, 1] {
        let part = vec![1_u8; size];
        while file.write_all(&part).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_neither_the_journal_nor_the_database_takes_is_kept_in_memory_until_they_do() {
    let home = Home::new(NUMBERS);
    let serving = under_a_limit(&home).await;
    let scene = Scene::begin(home, &serving, 20).await;
    let asking = scene.all_under_way(&serving.api).await;
    limit(&serving, "1:unlimited");
    scene.answered().await;
    // No token leaves whose reading cannot be written down.
    scene.sends_nothing(&serving.api, false).await;
    limit(&serving, "unlimited:unlimited");
    scene.everything_is_written(&serving.api, Instant::now()).await;
    drop(asking);
    let words = serving.stop().await;
    assert!(words.contains("the journal took no answer"), "{words}");
    scene.judge.shutdown().await;
}

/// Files may not be written beyond so many bytes.
fn limit(serving: &Serving, limit: &str) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &serving.pid().as_raw_nonzero().to_string(), &format!("--fsize={limit}")]);
    assert!(prlimit.status().expect("prlimit runs").success());
}
