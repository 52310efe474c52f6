//! Secrets come from standard input, a file or a variable, never from an argument: arguments are seen by everybody on
//! the machine, and shells remember them.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use evergrant_core::secret::ClientSecret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::console::Console;
use super::error::{CliError, Result};
use crate::config::can_be_secret;

/// Where a client secret comes from.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub(crate) struct ClientSecretFrom {
    /// Read the client secret from standard input: one line
    #[arg(long)]
    client_secret_stdin: bool,
    /// Read the client secret from this file: one line, or a private key (PEM, JWK, a console's JSON file)
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// Read the client secret from this variable
    #[arg(long, value_name = "NAME")]
    client_secret_env: Option<String>,
    /// Refused, with the reason, instead of an error that only says that it is unknown
    #[arg(long, hide = true, value_name = "SECRET", num_args = 0..=1)]
    client_secret: Option<Option<Zeroizing<String>>>,
}

impl ClientSecretFrom {
    /// The secret, if one was named.
    pub(super) fn read(&self, console: &Console) -> Result<Option<ClientSecret>> {
        if self.client_secret.is_some() {
            return Err(CliError::Usage(
                "a secret does not belong into an argument: others on this machine see it, and the shell remembers \
                 it. Use --client-secret-stdin, --client-secret-file or --client-secret-env, and have the provider \
                 make a new secret in place of the one that was typed. Nothing was changed"
                    .to_owned(),
            ));
        }
        let text = if self.client_secret_stdin {
            from_stdin(console, "Client secret: ")?
        } else if let Some(file) = &self.client_secret_file {
            whole(&read_file(file)?)?
        } else if let Some(name) = &self.client_secret_env {
            let missing = || CliError::Usage(format!("--client-secret-env: the variable {name} is not set"));
            whole(console.environment.get(name).ok_or_else(missing)?)?
        } else {
            return Ok(None);
        };
        Ok(Some(ClientSecret::new(text.as_str())))
    }
}

/// A secret of one line from a file.
pub(super) fn from_file(file: &Path) -> Result<Zeroizing<String>> {
    one_line(&read_file(file)?)
}

fn read_file(file: &Path) -> Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(file).map_err(|why| CliError::File { file: file.to_owned(), why })?;
    Ok(Zeroizing::new(text))
}

/// A secret from standard input; asked for, and not shown, where that is a terminal. What is no terminal is read to its
/// end where it begins as a key does.
fn from_stdin(console: &Console, prompt: &str) -> Result<Zeroizing<String>> {
    let stdin = std::io::stdin();
    let quiet = stdin.is_terminal().then(|| Quiet::new(console, prompt));
    let mut line = Zeroizing::new(String::new());
    let unread = |why| CliError::Stream { stream: "standard input", why };
    stdin.lock().read_line(&mut line).map_err(unread)?;
    if quiet.is_none() && line.starts_with(['{', '-']) {
        stdin.lock().read_to_string(&mut line).map_err(unread)?;
    }
    if quiet.is_some() {
        console.note("");
    }
    drop(quiet);
    whole(&line)
}

/// A client's secret: one line, or a private key.
fn whole(text: &str) -> Result<Zeroizing<String>> {
    let text = text.trim_end_matches(['\r', '\n']);
    if can_be_secret(text) { Ok(Zeroizing::new(text.to_owned())) } else { one_line(text) }
}

fn one_line(text: &str) -> Result<Zeroizing<String>> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(CliError::Usage("the secret must be one line of text; what was read is not".to_owned()));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// A terminal that does not repeat what is typed, until this is dropped.
struct Quiet {
    before: Option<rustix::termios::Termios>,
}

impl Quiet {
    fn new(console: &Console, prompt: &str) -> Self {
        console.note(prompt);
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes.remove(LocalModes::ECHO);
            // A terminal that cannot be silenced shows what is typed; the secret is read all the same.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &modes);
        }
        Quiet { before }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, before);
        }
    }
}
