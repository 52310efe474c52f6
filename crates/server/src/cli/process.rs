//! What the process forbids itself before anything else: to leave its memory in a file, or to be looked into.

use rustix::process::{Resource, Rlimit, setrlimit};

/// No core files; on Linux also no reading of its memory by other processes of the same user (`ptrace`, `/proc`).
///
/// What the system refuses is left as it is: a hardening that cannot be had is no reason not to serve.
pub(super) fn harden() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Has a write past the process's limit of file sizes fail, as it does on a full disk, instead of killing the process.
///
/// Call it within the runtime. What the system refuses is left as it is.
pub(super) fn survive_file_size_limit() {
    // SIGXFSZ has no name in tokio; it is 25 on Linux (but on MIPS), macOS and the BSDs. Waiting for it takes its place.
    const SIGXFSZ: i32 = 25;
    let _ = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(SIGXFSZ));
}
