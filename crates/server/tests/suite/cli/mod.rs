//! The command line, through the real program: what it prints, where, and how it ends.

mod catalogue;
mod conventions;
mod demo;
mod service;
mod start;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; -1 when it was killed.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Ran {
    /// Standard output as one JSON document; null when it is none, so that a comparison shows what came instead.
    pub(crate) fn document(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }
}

/// A shell in a folder of its own, with nothing in its environment.
#[derive(Debug)]
pub(crate) struct Shell {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Shell { folder: tempfile::tempdir().expect("a temporary folder"), variables: Vec::new() }
    }

    /// With a variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program with these arguments, ready to start.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
        command.args(arguments).env_clear().current_dir(self.folder());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    /// Runs it to its end with this on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
        // It may end without reading: then there is nobody to write to.
        let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("the program ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
        Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A program that goes on until it is told to end.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// What it said on standard error before it was ready.
    pub(crate) said: String,
    rest: Option<JoinHandle<String>>,
}

impl Running {
    /// `serve` in this shell, once it listens.
    pub(crate) fn serve(shell: &Shell, arguments: &[&str]) -> Self {
        let mut child =
            shell.command(&[&["serve"], arguments].concat()).stdout(Stdio::null()).spawn().expect("it starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("its standard error"));
        let said = until_it_listens(&mut stderr);
        // Read to the end: a service whose log is not taken away would stand still.
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = stderr.read_to_string(&mut rest);
            rest
        });
        Running { child, said, rest: Some(rest) }
    }

    /// The address of the service.
    pub(crate) fn url(&self) -> String {
        let (_, address) = self.said.split_once("listens on ").expect("its address");
        format!("http://{}", address.split(';').next().expect("the address"))
    }

    /// Sends SIGTERM and waits for the end: the exit code and what was said since it was ready.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        let rest = self.rest.take().map(|rest| rest.join().expect("its last words"));
        (status.code(), rest.unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing behind; one that has ended it already hears an error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until_it_listens(stderr: &mut BufReader<ChildStderr>) -> String {
    let mut said = String::new();
    while !said.contains("listens on ") {
        let read = stderr.read_line(&mut said).expect("its words");
        assert!(read > 0, "it ended: {said}");
    }
    said
}
