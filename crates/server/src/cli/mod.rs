//! The command line: the tree of commands, and how each ends.
//!
//! Commands that look at a running service are clients of its HTTP API and know nothing that it does not tell. The result
//! goes to standard output, once; everything else goes to standard error. See `docs/cli.md`.

mod adopt;
mod backup;
mod client;
mod completions;
mod connect_link;
mod connections;
mod console;
mod demo;
mod doctor;
mod error;
mod exit;
mod generate;
mod init;
mod integrations;
mod keys;
mod man;
mod master_key;
mod place;
mod problem;
mod process;
mod provider_file;
mod providers;
mod remote;
mod secret_input;
mod serve;
mod span;
mod sweep;
mod table;
mod wire;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::config::Environment;
use console::Console;
use error::{CliError, Result};
use exit::Exit;

/// Keeps OAuth grants alive: connects, seals, refreshes and hands out tokens.
#[derive(Debug, clap::Parser)]
#[command(name = "evergrant", version, propagate_version = true, max_term_width = 120)]
struct Cli {
    /// Print the result as one JSON document
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the service
    Serve(serve::Serve),
    /// Run the service on loopback, beside a provider that issues 60-second tokens and misbehaves on request
    Demo(demo::Demo),
    /// Make a commented configuration, a master key and a first admin key, where there is nothing yet
    Init(init::Init),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Add, list, show, edit and remove integrations: the OAuth clients registered at providers
    #[command(subcommand)]
    Integrations(integrations::Integrations),
    /// Look into the catalogue, check entries, and say what an answer of a provider means
    #[command(subcommand)]
    Providers(providers::Providers),
    /// List, show, refresh and disconnect connections, and get a token
    #[command(subcommand)]
    Connections(connections::Connections),
    /// Make a link that lets somebody connect an account
    ConnectLink(connect_link::ConnectLink),
    /// Refresh all that is due, once
    Sweep(sweep::Sweep),
    /// Say which master key this is, without showing it, and put a new one in its place
    #[command(subcommand)]
    MasterKey(master_key::MasterKeys),
    /// Write the database into one file, whether or not a service runs
    Backup(backup::Backup),
    /// Put a backup in the place of the database; the next start waits for `adopt`
    Restore(backup::Restore),
    /// Take a restored or copied database for the latest: refreshes go on
    Adopt(adopt::Adopt),
    /// Look at the installation, and say what is wrong and what to do about it
    Doctor(doctor::Doctor),
    /// Print what makes a shell complete these commands
    Completions(completions::Completions),
    /// Print the manual page, or write those of all commands
    Man(man::Man),
    /// Print a page that is checked in under docs/
    #[command(subcommand, hide = true)]
    Generate(generate::Generate),
}

impl Command {
    /// Whether it prints a result that can be a document.
    fn has_a_document(&self) -> bool {
        !matches!(self, Command::Serve(_) | Command::Completions(_) | Command::Man(_) | Command::Generate(_))
    }

    async fn run(self, console: &Console) -> Result<()> {
        match self {
            Command::Serve(command) => command.run(console).await,
            Command::Demo(command) => command.run(console).await,
            Command::Init(command) => command.run(console).await,
            Command::Keys(command) => command.run(console).await,
            Command::Integrations(command) => command.run(console).await,
            Command::Providers(command) => command.run(console).await,
            Command::Connections(command) => command.run(console).await,
            Command::ConnectLink(command) => command.run(console).await,
            Command::Sweep(command) => command.run(console).await,
            Command::MasterKey(command) => command.run(console).await,
            Command::Backup(command) => command.run(console).await,
            Command::Restore(command) => command.run(console).await,
            Command::Adopt(command) => command.run(console).await,
            Command::Doctor(command) => command.run(console).await,
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
            Command::Generate(page) => page.run(),
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    process::harden();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help_or_usage) => {
            if help_or_usage.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
                let words = help_or_usage.render().to_string();
                let _ = console::print(&format!("{:#}\n", CliError::Usage(words.trim_end().to_owned()).document()));
            }
            help_or_usage.exit()
        }
    };
    let console = Console { json: cli.json, environment: Environment::read() };
    match run(cli.command, &console) {
        Ok(()) => Exit::Done.into(),
        Err(error) if error.is_closed_output() => Exit::Done.into(),
        Err(error) => tell(&error, &console).into(),
    }
}

fn run(command: Command, console: &Console) -> Result<()> {
    if console.json && !command.has_a_document() {
        return Err(CliError::Usage("--json: this command prints a text and no document".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|why| CliError::Stream { stream: "the operating system's event queue", why })?;
    runtime.block_on(async {
        process::survive_file_size_limit();
        command.run(console).await
    })
}

/// The failure on standard error, and as the one document on standard output.
fn tell(error: &CliError, console: &Console) -> Exit {
    // Where nobody listens, the exit code says it alone.
    let _ = writeln!(std::io::stderr().lock(), "evergrant: {error}");
    if console.json && !error.is_told() {
        let _ = console.show(&error.document(), |_| String::new());
    }
    error.exit()
}
