//! What was handed out, told and written on the way, looked at from outside: the front door, the log of reads and the
//! database's own rows.
//!
//! Overlaps (I1) and crossed accounts (I7) are the ledger's; here it is that generations and fences only grow (I2), that
//! nothing handed out is taken back by a kill or a later read (I3, I4), that each loss is told exactly once (I5), and
//! that no token left without its line (I6).

use std::collections::HashMap;
use std::sync::PoisonError;

use evergrant_testkit::Decision;
use evergrant_testkit::leaks::Leaks;
use serde_json::Value;

use crate::place::Place;
use crate::scene::{Person, Scene};

/// Has the database write down each generation or fence that falls.
pub(crate) fn watch(scene: &Scene) {
    scene.run("CREATE TABLE rig_fallen (connection_id TEXT)");
    match &scene.place {
        Place::Sqlite => scene.run(
            "CREATE TRIGGER rig_watch BEFORE UPDATE ON lives WHEN NEW.generation < OLD.generation OR NEW.fence < OLD.fence \
             BEGIN INSERT INTO rig_fallen VALUES (OLD.connection_id); END",
        ),
        Place::Postgres { .. } => scene.run(
            "CREATE FUNCTION rig_watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO rig_fallen VALUES (OLD.connection_id); RETURN NEW; END $$; \
             CREATE TRIGGER rig_watch BEFORE UPDATE ON lives FOR EACH ROW \
             WHEN (NEW.generation < OLD.generation OR NEW.fence < OLD.fence) EXECUTE FUNCTION rig_watch()",
        ),
    };
}

/// Everything that is seen while the service still answers.
pub(crate) async fn check(scene: &mut Scene) {
    let fallen = scene.run("SELECT connection_id FROM rig_fallen");
    scene.tally.wrong.extend(fallen.iter().map(|id| format!("HISTORY: a generation or a fence of {id} fell")));
    reads(scene);
    for person in scene.people.clone() {
        told(scene, &person).await;
    }
}

/// A caller never gets an older token than one that somebody had got before.
fn reads(scene: &mut Scene) {
    let ledger = scene.judge.ledger();
    let mut brought: HashMap<&str, usize> = HashMap::new();
    for spend in &ledger.spends {
        let access = match &spend.decision {
            Some(Decision::Rotated { access, .. } | Decision::Renewed { access }) => access,
            _ => continue,
        };
        brought.insert(access, spend.number);
    }
    let all = scene.reads.lock().unwrap_or_else(PoisonError::into_inner).clone();
    scene.tally.handed = all.len();
    let several = scene.nodes.len() > 1;
    let mut newest: HashMap<&str, Vec<(usize, &crate::readers::Read)>> = HashMap::new();
    for read in &all {
        if read.opens.as_ref().is_some_and(|opens| *opens != read.account) {
            scene.tally.wrong.push(format!("CROSSED: a token of {} opens {:?}", read.account, read.opens));
        }
        let Some(number) = brought.get(read.token.as_str()) else { continue };
        let before = newest.entry(&read.connection).or_default();
        let newer = before.iter().find(|(other, earlier)| other > number && earlier.came_at < read.asked_at);
        // Between nodes a cache may lag behind by what the feed takes; this is not for it.
        if let Some((other, earlier)) = newer.filter(|_| !several) {
            let what =
                format!("the token of #{number} came at {:?}, that of #{other} at {:?}", read.came_at, earlier.came_at);
            scene.tally.wrong.push(format!("HISTORY: {}: {what}", read.account));
        }
        before.push((*number, read));
    }
}

/// Each loss is told once in the application.
async fn told(scene: &mut Scene, person: &Person) {
    let path = format!("/v1/subjects/{}/notifications?limit=500", person.account);
    let list = scene.get(&path).await;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let told = items.iter().filter(|item| item["kind"] == "disconnected").count();
    let lost = scene.losses.get(&person.id).copied().unwrap_or_default();
    if told != lost {
        scene.tally.wrong.push(format!("NOTICE: {person:?} was lost {lost} times and told so {told} times"));
    }
}

/// What lies on the disk when everything has ended.
pub(crate) fn check_files(scene: &mut Scene) {
    lines(scene);
    let mut leaks = Leaks::of(&scene.judge.secrets());
    leaks.add("API key", scene.nodes[0].home.key.rsplit_once('_').map_or("", |(_, secret)| secret));
    for node in &scene.nodes {
        let files = leaks.find_in(&node.home.data()).expect("the data folder can be read");
        scene.tally.wrong.extend(files.iter().map(|(path, leak)| format!("PLAINTEXT: {}: {leak:?}", path.display())));
    }
    let lines = leaks.find(scene.words.as_bytes());
    scene.tally.wrong.extend(lines.iter().map(|leak| format!("PLAINTEXT: the log: {leak:?}")));
    if let Some(at) = scene.words.find("panicked") {
        scene.tally.wrong.push(format!("PANIC: {}", scene.words[at..].lines().next().unwrap_or_default()));
    }
}

/// Every token that left has its line in the log of reads, and no line is missing in between.
fn lines(scene: &mut Scene) {
    let mut lines: HashMap<String, usize> = HashMap::new();
    for node in &scene.nodes {
        let folder = std::fs::read_dir(node.home.data().join("reads"));
        let mut files: Vec<_> = folder.into_iter().flatten().flatten().map(|file| file.path()).collect();
        files.sort();
        let mut last = 0;
        for line in files.iter().flat_map(|file| {
            std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
        }) {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            let number = line["line"].as_u64().unwrap_or_default();
            if number != last + 1 {
                scene.tally.wrong.push(format!("AUDIT: line {number} of the log of reads follows line {last}"));
            }
            last = number;
            *lines.entry(line["connection"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    let mut left: HashMap<String, usize> = HashMap::new();
    for read in scene.reads.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        *left.entry(read.connection.clone()).or_default() += 1;
    }
    for (connection, left) in left {
        let lines = lines.get(&connection).copied().unwrap_or_default();
        if lines < left {
            scene.tally.wrong.push(format!("AUDIT: {left} tokens of {connection} left, and {lines} lines say so"));
        }
    }
}
