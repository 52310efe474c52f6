//! `evergrant` with a bug planted on purpose, for the rig that must catch it; never released.
//!
//! `EVERGRANT_PLANTED` names the bug (see `evergrant_core::planted`); without it this is the program as it is.
//! `EVERGRANT_PLANTED_CLOCK` sets its clock ahead by so many seconds.

use std::process::ExitCode;
use std::time::Duration;

use evergrant::config::Environment;
use evergrant_core::planted::{self, Bug};

fn main() -> ExitCode {
    let environment = Environment::read();
    if let Some(name) = environment.get("EVERGRANT_PLANTED") {
        let Some(bug) = Bug::named(name) else {
            let names = Bug::ALL.map(Bug::name).join(", ");
            eprintln!("evergrant-planted: EVERGRANT_PLANTED={name}: no such bug; there are {names}");
            return ExitCode::from(2);
        };
        planted::plant(Some(bug));
    }
    let ahead = environment.get("EVERGRANT_PLANTED_CLOCK").and_then(|seconds| seconds.parse().ok());
    evergrant::clock::AHEAD.get_or_init(|| Duration::from_secs(ahead.unwrap_or_default()));
    evergrant::cli::main()
}
