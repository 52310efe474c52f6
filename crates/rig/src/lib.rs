//! Breaks real processes of Evergrant in every way that machines, networks and databases know, and has the provider's
//! ledger say what was lost.
//!
//! A [`Scene`] is a provider that keeps a ledger, one or more `serve` processes, their database, and people whose grants
//! rotate all the time. The scenarios ([`storm`], [`outages`], [`pauses`], [`syscalls`], [`chaos`]) disturb it; at rest
//! [`judgement`] gives each grant a verdict, and [`history`] looks at what was handed out, told and written on the way.
//! [`trials`] are short, exact scenarios, each for one promise; [`planted`] is the rig's own test: every planted bug must
//! be caught.
//!
//! It knows the service as a program with a front door: nothing here is linked against it.

pub mod chaos;
pub mod dice;
mod history;
pub mod home;
pub mod judgement;
pub mod many;
pub mod moments;
pub mod outages;
pub mod place;
pub mod plan;
pub mod planted;
pub mod proxy;
pub mod readers;
pub mod reliability;
pub mod scene;
pub mod storm;
pub mod syscalls;
pub mod tally;
pub mod telling;
pub mod trials;
pub mod waiting;

pub use dice::Dice;
pub use home::{Home, Serving};
pub use place::Place;
pub use plan::Plan;
pub use scene::Scene;
pub use tally::Tally;
