//! A PostgreSQL server that is away, in all the ways that servers are.

use std::time::{Duration, Instant};

use evergrant_testkit::own_cluster::{Deed, OwnCluster};

use super::Scene;
use crate::serving::Home;
use crate::waiting::pass;

const URL: &str = "EVERGRANT_DATABASE_URL";
const NUMBERS: &str = "[refresh]\nforce_interval = 0.01\nretry_max = 0.5\n";

/// What takes the server away, and what brings it back.
async fn away(people: usize, leave: impl AsyncFn(&OwnCluster), come_back: impl AsyncFn(&OwnCluster)) {
    let cluster = OwnCluster::start();
    let home = Home::new(NUMBERS).with(URL, &cluster.url());
    let serving = home.serve().await;
    let scene = Scene::begin(home, &serving, people).await;
    let asking = scene.all_under_way(&serving.api).await;
    leave(&cluster).await;
    scene.answered().await;
    scene.sends_nothing(&serving.api, true).await;
    pass(Duration::from_secs(3)).await;
    come_back(&cluster).await;
    scene.everything_is_written(&serving.api, Instant::now()).await;
    drop(asking);
    serving.stop().await;
    scene.judge.shutdown().await;
    drop(scene.home);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_in_the_middle_of_two_hundred_refreshes_costs_none_of_them() {
    away(200, async |cluster| cluster.now(Deed::Stop), async |cluster| cluster.now(Deed::Start)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_in_the_middle_of_refreshes_holds_nobody_up_and_costs_none_of_them() {
    away(40, async |cluster| cluster.now(Deed::Freeze), async |cluster| cluster.now(Deed::Thaw)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_only_be_read_costs_no_refresh() {
    let set = |cluster: &OwnCluster, word: &str| {
        cluster.run(&format!("ALTER SYSTEM SET default_transaction_read_only = {word}"));
        cluster.run("SELECT pg_reload_conf()");
    };
    away(20, async |cluster| set(cluster, "on"), async |cluster| set(cluster, "off")).await;
}
