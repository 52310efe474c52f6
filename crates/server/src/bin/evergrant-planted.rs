//! `evergrant` with a bug planted on purpose, for the rig that must catch it; never released.
//!
//! `EVERGRANT_PLANTED` names the bug (see `evergrant_core::planted`); without it this is the program as it is.

use std::process::ExitCode;

use evergrant::config::Environment;
use evergrant_core::planted::{self, Bug};

fn main() -> ExitCode {
    if let Some(name) = Environment::read().get("EVERGRANT_PLANTED") {
        let Some(bug) = Bug::named(name) else {
            let names = Bug::ALL.map(Bug::name).join(", ");
            eprintln!("evergrant-planted: EVERGRANT_PLANTED={name}: no such bug; there are {names}");
            return ExitCode::from(2);
        };
        planted::plant(Some(bug));
    }
    evergrant::cli::main()
}
