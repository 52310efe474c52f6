//! The judge as a process of its own, for tests that kill what they test.
//!
//! It serves until its standard input closes or SIGTERM comes, so that it never outlives the test that started it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig, JudgeError};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// An OAuth 2 provider that keeps a ledger of every token and can be told to misbehave.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Print one line of JSON with the URL and the clients, instead of words.
    #[arg(long)]
    json: bool,
    /// A JSON file with the configuration (clients, accounts, consent).
    #[arg(long)]
    config: Option<PathBuf>,
    /// Register this client, given as JSON; may be repeated.
    #[arg(long = "client", value_name = "JSON")]
    clients: Vec<String>,
}

/// Why the judge did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("{0} is not a configuration: {1}")]
    Config(String, serde_json::Error),
    #[error(transparent)]
    Judge(#[from] JudgeError),
    #[error("cannot wait for signals: {0}")]
    Signal(std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evergrant-testkit: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signal)?;
    let judge = Judge::start(config(&args)?).await?;
    announce(&judge, args.json);
    tokio::select! {
        () = stdin_closed() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    judge.shutdown().await;
    // The thread that reads standard input cannot be interrupted; the process ends all the same.
    std::process::exit(0)
}

fn config(args: &Args) -> Result<JudgeConfig, StartError> {
    let mut config = match &args.config {
        None => JudgeConfig::default(),
        Some(path) => {
            let text = std::fs::read(path).map_err(|error| StartError::Read(path.clone(), error))?;
            serde_json::from_slice(&text).map_err(|error| StartError::Config(path.display().to_string(), error))?
        }
    };
    config.listen = args.listen;
    for client in &args.clients {
        let client: ClientConfig =
            serde_json::from_str(client).map_err(|error| StartError::Config("--client".to_owned(), error))?;
        config.clients.push(client);
    }
    Ok(config)
}

fn announce(judge: &Judge, as_json: bool) {
    if as_json {
        println!("{}", json!({ "url": judge.url(), "clients": judge.clients_json() }));
    } else {
        println!(
            "The judge listens at {url}; its page is {url}/ and its switches are at {url}/control.",
            url = judge.url()
        );
    }
}

async fn stdin_closed() {
    let reading = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    // However the reading ended: there is nobody there any more.
    let _ = reading.await;
}
