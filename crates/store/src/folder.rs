//! The data folder: made if it is missing, held by one process, on a local disk.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::error::OpenError;

/// The lock file's name.
const LOCK: &str = "evergrant.lock";

/// The data folder, held until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldFolder {
    _lock: File,
}

impl HeldFolder {
    /// Takes the folder. The system lets go of it when the process ends, however it ends.
    pub fn take(folder: &Path) -> Result<Self, OpenError> {
        let what = || format!("the data folder {}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|cause| OpenError::io(what(), cause))?;
        refuse_network(folder)?;
        let path = folder.join(LOCK);
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = open.open(&path).map_err(|cause| OpenError::io(what(), cause))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(HeldFolder { _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { folder: folder.to_owned(), lock: path }),
            Err(errno) => Err(OpenError::io(what(), errno.into())),
        }
    }
}

/// Magic numbers of file systems whose locks and syncs SQLite can't rely on (statfs(2)).
#[cfg(target_os = "linux")]
const NETWORK: [(rustix::fs::FsWord, &str); 5] =
    [(0x6969, "NFS"), (0x517B, "SMB"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB2"), (0x5346_414F, "AFS")];

#[cfg(target_os = "linux")]
fn refuse_network(folder: &Path) -> Result<(), OpenError> {
    let found = rustix::fs::statfs(folder)
        .map_err(|errno| OpenError::io(format!("the data folder {}", folder.display()), errno.into()))?;
    let number = found.f_type & 0xffff_ffff;
    match NETWORK.iter().find(|(known, _)| *known == number) {
        Some((_, kind)) => Err(OpenError::NetworkFileSystem { folder: folder.to_owned(), kind }),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path) -> Result<(), OpenError> {
    Ok(())
}
