//! `evergrant doctor`: looks at an installation and says what is wrong and what to do about it. It changes nothing.

mod integrations;
mod machine;
mod report;

use serde_json::Value;

use super::client::{Client, Route};
use super::console::Console;
use super::error::{CliError, Result};
use super::place::Place;
use crate::config::Config;
use crate::http::dto::{ConnectionView, IntegrationView};
use report::{Check, Finding};

/// Where.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    place: Place,
}
