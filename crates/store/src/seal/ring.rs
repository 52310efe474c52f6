//! The data keys, each known by its number; one of them seals, all of them open.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac;
use evergrant_core::id::InstallationId;
use zeroize::Zeroizing;

use super::cipher::{self, DerivingKey, DoesNotOpen};
use super::{MasterKey, Place, SealedBytes};
use crate::entropy::SharedEntropy;
use crate::error::{StoreError, Trouble};

/// How far ahead of the count the stored count is.
const STEP: u64 = 1 << 16;

/// A data key as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct WrappedKey {
    pub id: u32,
    pub wrapped: SealedBytes,
    /// Sealings are at most so many, also after a crash.
    pub sealings: u64,
    /// The same key under the data key before it, for nodes that do not hold the master key of after a rotation.
    pub handed: Option<SealedBytes>,
}

struct DataKey {
    deriving: DerivingKey,
    sealings: AtomicU64,
    stored: AtomicU64,
}

/// The ring.
pub(crate) struct KeyRing {
    installation: InstallationId,
    entropy: SharedEntropy,
    keys: RwLock<BTreeMap<u32, Arc<DataKey>>>,
    /// Wraps the data keys; another one after a rotation.
    master: RwLock<MasterKey>,
    /// The master key in memory is not the present one any more.
    outdated: AtomicBool,
    root: Arc<DataKey>,
    fingerprints: hmac::Key,
    /// After so many sealings a new data key takes over.
    worn_out: u64,
}

impl KeyRing {
    /// Makes the first data key of an installation.
    pub fn first_key(
        master: &MasterKey,
        installation: &InstallationId,
        entropy: &SharedEntropy,
    ) -> Result<WrappedKey, StoreError> {
        wrap(1, master, installation, entropy)
    }

    /// Opens the data keys.
    ///
    /// # Errors
    /// The number of the first key that the master key does not open; 0 when there are none.
    pub fn open(
        master: &MasterKey,
        installation: &InstallationId,
        wrapped: &[WrappedKey],
        entropy: SharedEntropy,
        worn_out: u64,
    ) -> Result<Self, u32> {
        let mut keys = BTreeMap::new();
        for one in wrapped {
            keys.insert(one.id, Arc::new(unwrap(one, master, installation).map_err(|_| one.id)?));
        }
        let root = keys.values().next().cloned().ok_or(0u32)?;
        let bytes = root.deriving.derive(&[b"fingerprint"]).ok_or(0u32)?;
        let fingerprints = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref());
        let (installation, master) = (installation.clone(), RwLock::new(master.clone()));
        let (keys, outdated) = (RwLock::new(keys), AtomicBool::new(false));
        Ok(KeyRing { installation, entropy, keys, master, outdated, root, fingerprints, worn_out })
    }

    /// Seals for a place, under the newest key.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<SealedBytes, StoreError> {
        let newest = self.read(|keys| keys.last_key_value().map(|(id, key)| (*id, key.clone())));
        let (id, key) = newest.ok_or(StoreError::defect("sealing"))?;
        key.sealings.fetch_add(1, Ordering::Relaxed);
        let sealed = key.deriving.seal(id, self.installation.as_str(), place, plain, self.entropy.as_ref());
        sealed.map(SealedBytes::stored).ok_or(StoreError::defect("sealing"))
    }

    /// Seals a text for a place, if there is one.
    pub fn seal_text(&self, place: Place<'_>, text: Option<&str>) -> Result<Option<SealedBytes>, StoreError> {
        text.map(|text| self.seal(place, text.as_bytes())).transpose()
    }

    /// Opens what was sealed for the same place.
    pub fn open_at(&self, place: Place<'_>, sealed: &SealedBytes) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let opened = cipher::key_id(sealed.as_bytes()).and_then(|id| {
            let key = self.read(|keys| keys.get(&id).cloned()).ok_or(DoesNotOpen)?;
            key.deriving.open(self.installation.as_str(), place, sealed.as_bytes())
        });
        opened.map_err(|_| corrupt(place))
    }

    /// Opens a text.
    pub fn open_text(&self, place: Place<'_>, sealed: &SealedBytes) -> Result<Zeroizing<String>, StoreError> {
        let bytes = self.open_at(place, sealed)?;
        std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| corrupt(place))
    }

    /// 8 hexadecimal digits that stand for a text within this installation.
    pub fn fingerprint(&self, text: &str) -> String {
        cipher::hex(&hmac::sign(&self.fingerprints, text.as_bytes()).as_ref()[..4])
    }

    /// Stands for a text within this installation, with no other beside it.
    pub fn tag(&self, text: &str) -> u128 {
        let tag = hmac::sign(&self.fingerprints, text.as_bytes());
        tag.as_ref().iter().take(16).fold(0, |tag, byte| (tag << 8) | u128::from(*byte))
    }

    /// A key for another purpose, stable for the installation.
    pub fn derived_key(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        self.root.deriving.derive(&[b"derived", purpose.as_bytes()]).ok_or(StoreError::defect("deriving a key"))
    }

    /// The newest key's number and by how much to raise the stored count, when that falls behind.
    pub fn count_to_store(&self) -> Option<(u32, u64)> {
        let (id, key) = self.read(|keys| keys.last_key_value().map(|(id, key)| (*id, key.clone())))?;
        let (sealings, stored) = (key.sealings.load(Ordering::Relaxed), key.stored.load(Ordering::Relaxed));
        (sealings + STEP / 2 > stored).then_some((id, STEP.max((sealings + STEP).saturating_sub(stored))))
    }

    /// The count has been raised, to so many. What is more than was known here, other nodes have sealed.
    pub fn count_stored(&self, id: u32, count: u64, raised: u64) {
        if let Some(key) = self.read(|keys| keys.get(&id).cloned()) {
            let known = key.stored.swap(count, Ordering::Relaxed);
            let elsewhere = count.saturating_sub(known.saturating_add(raised));
            key.sealings.fetch_add(elsewhere, Ordering::Relaxed);
        }
    }

    /// A new data key to store, when the newest is worn out. A node that does not hold the present master key leaves that to
    /// the others.
    pub fn key_to_store(&self) -> Result<Option<WrappedKey>, StoreError> {
        if self.is_outdated() {
            return Ok(None);
        }
        let newest = self.read(|keys| keys.last_key_value().map(|(id, key)| (*id, key.clone())));
        match newest {
            Some((id, key)) if key.sealings.load(Ordering::Relaxed) >= self.worn_out => {
                wrap(id.saturating_add(1), &self.master(), &self.installation, &self.entropy).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The new key has been stored: from now on it seals.
    pub fn key_stored(&self, wrapped: &WrappedKey) {
        if let Ok(key) = unwrap(wrapped, &self.master(), &self.installation) {
            self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(wrapped.id, Arc::new(key));
        }
    }

    /// Learns a data key that another node has made: by the master key, or by the data key under which it was handed on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when neither opens it.
    pub fn learn(&self, one: &WrappedKey) -> Result<(), StoreError> {
        if self.read(|keys| keys.contains_key(&one.id)) {
            return Ok(());
        }
        let bytes = match unwrapped(one, &self.master(), &self.installation) {
            Ok(bytes) => bytes,
            Err(_) => {
                let handed =
                    one.handed.as_ref().and_then(|handed| self.open_at(handed_place(&one.id.to_string()), handed).ok());
                let bytes = handed.and_then(|bytes| bytes.as_slice().try_into().map(Zeroizing::new).ok());
                self.outdated.store(true, Ordering::Relaxed);
                bytes.ok_or(StoreError::Unavailable { trouble: Trouble::KeyChanged, cause: None })?
            }
        };
        self.keys
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(one.id, Arc::new(data_key(&bytes, one.sealings)));
        Ok(())
    }

    /// Whether another node has rotated the master key away from the one that this node holds.
    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// The same data keys wrapped by another master key, and a new one over them; it is `handed` on to nodes that hold the
    /// present master key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the present master key does not open one of them.
    pub fn wrapped_anew(
        &self,
        stored: &[WrappedKey],
        new: &MasterKey,
        handed: bool,
    ) -> Result<Vec<WrappedKey>, StoreError> {
        let present = self.master();
        let mut wrapped = Vec::with_capacity(stored.len() + 1);
        for one in stored {
            let bytes = unwrapped(one, &present, &self.installation);
            let bytes = bytes.map_err(|_| StoreError::damaged(format!("data key {} does not open", one.id)))?;
            let sealed = wrap_bytes(one.id, &bytes, new, &self.installation, &self.entropy)?;
            wrapped.push(WrappedKey { id: one.id, wrapped: sealed, sealings: one.sealings, handed: None });
        }
        let next = stored.iter().map(|one| one.id).max().unwrap_or_default().saturating_add(1);
        let mut newest = wrap(next, new, &self.installation, &self.entropy)?;
        if handed {
            let bytes =
                unwrapped(&newest, new, &self.installation).map_err(|_| StoreError::defect("wrapping a data key"))?;
            newest.handed = Some(self.seal(handed_place(&next.to_string()), bytes.as_slice())?);
        }
        wrapped.push(newest);
        Ok(wrapped)
    }

    /// A rotation has been committed: from now on this master key wraps, and its data key seals.
    pub fn rotated(&self, new: &MasterKey, newest: &WrappedKey) {
        *self.master.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
        self.outdated.store(false, Ordering::Relaxed);
        self.key_stored(newest);
    }

    /// The master key in use.
    pub fn master(&self) -> MasterKey {
        self.master.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the key that seals.
    pub fn newest(&self) -> u32 {
        self.read(|keys| keys.last_key_value().map_or(0, |(id, _)| *id))
    }

    /// The same text under the newest key, if it is under an older one.
    pub fn resealed(&self, place: Place<'_>, sealed: &SealedBytes) -> Result<Option<SealedBytes>, StoreError> {
        if cipher::key_id(sealed.as_bytes()).is_ok_and(|id| id == self.newest()) {
            return Ok(None);
        }
        let plain = self.open_at(place, sealed)?;
        self.seal(place, &plain).map(Some)
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<u32, Arc<DataKey>>) -> T) -> T {
        look(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn corrupt(place: Place<'_>) -> StoreError {
    StoreError::Corrupt { table: place.table, row: place.row.to_owned(), column: place.column }
}

fn key_place(row: &str) -> Place<'_> {
    Place { table: "data_keys", row, column: "wrapped", generation: 0 }
}

fn handed_place(row: &str) -> Place<'_> {
    Place { table: "data_keys", row, column: "handed", generation: 0 }
}

fn wrap(
    id: u32,
    master: &MasterKey,
    installation: &InstallationId,
    entropy: &SharedEntropy,
) -> Result<WrappedKey, StoreError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    entropy.fill(bytes.as_mut());
    let wrapped = wrap_bytes(id, &bytes, master, installation, entropy)?;
    Ok(WrappedKey { id, wrapped, sealings: 0, handed: None })
}

fn wrap_bytes(
    id: u32,
    bytes: &[u8; 32],
    master: &MasterKey,
    installation: &InstallationId,
    entropy: &SharedEntropy,
) -> Result<SealedBytes, StoreError> {
    let row = id.to_string();
    let wrapped = master.wrapping().seal(0, installation.as_str(), key_place(&row), bytes, entropy.as_ref());
    wrapped.map(SealedBytes::stored).ok_or(StoreError::defect("wrapping a data key"))
}

fn unwrapped(
    one: &WrappedKey,
    master: &MasterKey,
    installation: &InstallationId,
) -> Result<Zeroizing<[u8; 32]>, DoesNotOpen> {
    let row = one.id.to_string();
    let bytes = master.wrapping().open(installation.as_str(), key_place(&row), one.wrapped.as_bytes())?;
    bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| DoesNotOpen)
}

fn unwrap(one: &WrappedKey, master: &MasterKey, installation: &InstallationId) -> Result<DataKey, DoesNotOpen> {
    Ok(data_key(&*unwrapped(one, master, installation)?, one.sealings))
}

fn data_key(bytes: &[u8; 32], sealings: u64) -> DataKey {
    DataKey { deriving: DerivingKey::new(bytes), sealings: AtomicU64::new(sealings), stored: AtomicU64::new(sealings) }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<key ring of {}>", self.installation)
    }
}
