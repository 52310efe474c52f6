//! A kill at every single system call of one refresh: `strace` counts a thread's calls and kills at the n-th.
//!
//! Every thread of the process is taken by itself, because a call of the journal's thread must not be hidden behind the
//! hundred that the runtime makes meanwhile. Needs the right to trace processes that forbid it, which root has.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use evergrant_testkit::ReplayKind;
use rustix::process::{Pid, Signal};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::dice::Dice;
use crate::home::Serving;
use crate::plan::Plan;
use crate::scene::Scene;
use crate::tally::Tally;
use crate::waiting::pass;

/// How long a refresh may take under `strace`.
const REFRESH: Duration = Duration::from_secs(8);
/// So many calls beyond those that were counted: no two runs are quite alike.
const BEYOND: usize = 3;

/// Kills at every `stride`-th of all calls, beginning at one that chance chooses.
///
/// # Panics
/// Without `strace`, or when the service does not come back.
pub async fn every(plan: &Plan, kind: (&'static str, ReplayKind), seed: u64, stride: usize) -> Tally {
    let mut dice = Dice::new(seed);
    let plan = Plan { people: 1, callers: 0, kinds: vec![kind], one_worker: true, ..plan.clone() };
    let mut scene = Scene::begin(&plan, &mut dice).await;
    let counted = counted(&scene).await;
    let points = counted.iter().flat_map(|(thread, calls)| (1..=calls + BEYOND).map(move |number| (thread, number)));
    let first = usize::try_from(dice.below(stride as u64)).unwrap_or_default();
    for (thread, number) in points.skip(first).step_by(stride) {
        if kill_at(&mut scene, thread, number).await {
            scene.tally.did(&format!("kill at a system call of {thread}"));
        }
        if !scene.tally.wrong.is_empty() {
            break;
        }
    }
    scene.end().await
}

fn serving(scene: &Scene) -> &Serving {
    scene.nodes[0].serving.as_ref().expect("it serves")
}

async fn refresh(scene: &Scene) {
    let path = format!("/v1/connections/{}/refresh", scene.people[0].id);
    drop(scene.api().limit(REFRESH).post(&path, &json!({})).await);
}

/// How many calls each thread makes for one refresh.
async fn counted(scene: &Scene) -> Vec<(String, usize)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("calls");
    let pid = serving(scene).pid();
    let names = threads(pid);
    let mut strace = strace(&["-f", "-p", &pid.to_string(), "-o", &log.display().to_string()]).await;
    refresh(scene).await;
    end(&mut strace).await;
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for line in std::fs::read_to_string(&log).unwrap_or_default().lines() {
        let Some(name) = line.split_whitespace().next().and_then(|thread| names.get(thread)) else { continue };
        if !line.contains("resumed>") {
            *calls.entry(name.clone()).or_default() += 1;
        }
    }
    assert!(!calls.is_empty(), "strace saw no call: it needs the right to trace");
    calls.into_iter().collect()
}

/// Kills at the call of this number, and looks what became of the grant; false if it never came to that call.
async fn kill_at(scene: &mut Scene, thread: &str, number: usize) -> bool {
    let names = threads(serving(scene).pid());
    let Some((thread, _)) = names.iter().find(|(_, name)| *name == thread) else { return false };
    let when = format!("inject=all:signal=SIGKILL:when={number}");
    let mut strace = strace(&["-p", thread, "-o", "/dev/null", "-e", &when]).await;
    let at = scene.judge.now();
    refresh(scene).await;
    let gone = ended(scene, Duration::from_millis(300)).await;
    end(&mut strace).await;
    if gone {
        let serving = scene.nodes[0].serving.take().expect("it served");
        scene.words += &serving.kill().await;
        scene.killed(at, &[]);
    } else {
        scene.kill(0, &[]).await;
    }
    scene.start(0).await;
    scene.settled().await;
    gone
}

async fn ended(scene: &mut Scene, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    let serving = scene.nodes[0].serving.as_mut().expect("it served");
    while !serving.has_ended() {
        if Instant::now() > until {
            return false;
        }
        pass(Duration::from_millis(5)).await;
    }
    true
}

/// The names of a process's threads by their ids; where several have one name, each gets a number.
fn threads(pid: Pid) -> BTreeMap<String, String> {
    let folder = format!("/proc/{}/task", pid.as_raw_nonzero());
    let tasks = std::fs::read_dir(Path::new(&folder)).into_iter().flatten().flatten();
    let mut ids: Vec<u32> = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let named = ids.into_iter().map(|id| {
        let name = std::fs::read_to_string(format!("{folder}/{id}/comm")).unwrap_or_default().trim().to_owned();
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        (id.to_string(), if *count == 1 { name } else { format!("{name} {count}") })
    });
    named.collect()
}

/// Starts it, and waits until it is attached.
async fn strace(arguments: &[&str]) -> Child {
    let mut command = Command::new("strace");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("strace is there: `cargo xtask test` installs it");
    let mut lines = BufReader::new(child.stderr.take().expect("its stderr"));
    let mut line = String::new();
    lines.read_line(&mut line).await.expect("it says something");
    assert!(line.contains("attached"), "strace: {line}");
    child.stderr = Some(lines.into_inner());
    child
}

/// Lets go of what is traced.
async fn end(strace: &mut Child) {
    if let Some(pid) = strace.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // Killed, it would leave its process stopped.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    let _ = strace.wait().await;
}
