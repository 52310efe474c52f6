//! What a scene is made of. Every duration is scaled, so that hours of a service's life pass in a minute.

use std::path::PathBuf;
use std::time::Duration;

use evergrant_testkit::ReplayKind;

use crate::home::Home;
use crate::place::Place;

/// How long an access token lives: it is renewed every second and a half.
const ACCESS: Duration = Duration::from_secs(2);
/// How long a replay window is; much longer than a restart takes on a busy machine.
const WINDOW: Duration = Duration::from_secs(300);
/// The rest of a token whose sending had no answer, in seconds.
pub const REPLAY_AFTER: f64 = 0.6;
/// The variable that says where the database is.
pub const DATABASE_URL: &str = "EVERGRANT_DATABASE_URL";
/// What several processes share.
const MASTER_KEY: &str = "b1946ac92492d2347c6235b4d2611184e0a5ff1d9c3e7f6a8b0c2d4e6f8091a3";

/// What a scene is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program: `evergrant`, or the one with a bug planted.
    pub program: PathBuf,
    /// The bug.
    pub planted: Option<String>,
    /// Where the data lies.
    pub place: Place,
    /// Processes that serve.
    pub nodes: usize,
    /// Whether each process reaches the server by a wire of its own, which can be cut.
    pub wires: bool,
    /// Connections of each kind.
    pub people: usize,
    /// Callers who ask for tokens all the time.
    pub callers: usize,
    /// How long the access tokens live.
    pub access: Duration,
    /// More lines for `[refresh]`, each over the rig's own.
    pub numbers: Vec<(&'static str, f64)>,
    /// More lines of the configuration, after those of `[refresh]`.
    pub more: String,
    /// The kinds of replay.
    pub kinds: Vec<(&'static str, ReplayKind)>,
    /// Whether the program's runtime has one thread for its work, so that its calls can be counted.
    pub one_worker: bool,
    /// How far the clock of the second process is ahead; only the program with planted bugs can have that.
    pub second_clock_ahead: Option<Duration>,
}

impl Plan {
    /// One process of this program over SQLite, five connections of each kind, one caller.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Plan {
            program: program.into(),
            planted: None,
            place: Place::Sqlite,
            nodes: 1,
            wires: false,
            people: 5,
            callers: 1,
            access: ACCESS,
            numbers: Vec::new(),
            more: String::new(),
            kinds: kinds(),
            one_worker: false,
            second_clock_ahead: None,
        }
    }

    /// Over another database.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Plan { place, ..self }
    }

    /// With another number in `[refresh]`.
    #[must_use]
    pub fn with(mut self, name: &'static str, seconds: f64) -> Self {
        self.numbers.push((name, seconds));
        self
    }

    fn text(&self) -> String {
        let mut numbers = vec![
            ("margin", 0.5),
            ("min_ttl", 0.3),
            ("retry_min", 0.1),
            ("retry_max", 0.5),
            ("backoff_min", 0.3),
            ("backoff_max", 1.0),
            ("replay_after", REPLAY_AFTER),
            ("force_interval", 0.1),
            ("answer_timeout", 20.0),
            ("lease", 30.0),
            ("auth_retry", 0.3),
        ];
        for (name, seconds) in &self.numbers {
            numbers.retain(|(other, _)| other != name);
            numbers.push((name, *seconds));
        }
        let lines: Vec<String> = numbers.iter().map(|(name, seconds)| format!("{name} = {seconds:?}\n")).collect();
        format!("[refresh]\n{}{}", lines.concat(), self.more)
    }

    /// A folder with the configuration.
    pub(crate) fn home(&self) -> Home {
        let mut home = Home::new(&self.program, &self.text());
        if let Some(bug) = &self.planted {
            home = home.with("EVERGRANT_PLANTED", bug);
        }
        if self.one_worker {
            home = home.with("TOKIO_WORKER_THREADS", "1");
        }
        if self.nodes > 1 {
            home = home.with("EVERGRANT_MASTER_KEY", MASTER_KEY);
        }
        if let Some(url) = self.place.url() {
            home = home.with(DATABASE_URL, &url);
        }
        home
    }
}

/// Every kind of replay, by its name.
pub fn kinds() -> Vec<(&'static str, ReplayKind)> {
    vec![
        ("none", ReplayKind::None),
        ("idempotent", ReplayKind::Idempotent { window: WINDOW }),
        ("confirm", ReplayKind::Confirm),
        ("overlap", ReplayKind::Overlap { window: WINDOW }),
        ("single", ReplayKind::Single),
        ("family", ReplayKind::Family),
    ]
}
