//! The data folder: made if it is missing, held by one process, on a local disk.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::entropy::SharedEntropy;
use crate::error::OpenError;

/// The lock file's name.
const LOCK: &str = "evergrant.lock";
/// Letters of a folder's name.
const NAME: usize = 32;

/// The data folder, held until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldFolder {
    lock: File,
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
            Ok(()) => Ok(HeldFolder { lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { folder: folder.to_owned(), lock: path }),
            Err(errno) => Err(OpenError::io(what(), errno.into())),
        }
    }
}

impl HeldFolder {
    /// What this folder is called, made at its first use: by it a database on a server knows that a former holder has
    /// ended when the folder is taken again. It stands in the lock file.
    pub fn name(&self, entropy: &SharedEntropy) -> Result<String, OpenError> {
        use std::os::unix::fs::FileExt as _;
        let failed = |cause| OpenError::io("the lock of the data folder", cause);
        let mut found = [0; NAME];
        if self.lock.read_exact_at(&mut found, 0).is_ok()
            && let Ok(name) = std::str::from_utf8(&found)
        {
            return Ok(name.to_owned());
        }
        let mut random = [0; NAME / 2];
        entropy.fill(&mut random);
        let name = crate::seal::hex(&random);
        self.lock.write_all_at(name.as_bytes(), 0).and_then(|()| self.lock.sync_all()).map_err(failed)?;
        Ok(name)
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
