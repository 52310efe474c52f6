//! The data keys, each known by its number; one of them seals, all of them open.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac;
use evergrant_core::id::InstallationId;
use zeroize::Zeroizing;

use super::cipher::{self, DerivingKey, DoesNotOpen};
use super::{MasterKey, Place, SealedBytes};
use crate::entropy::SharedEntropy;
use crate::error::StoreError;

/// How far ahead of the count the stored count is.
const STEP: u64 = 1 << 16;

/// A data key as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct WrappedKey {
    pub id: u32,
    pub wrapped: SealedBytes,
    /// Sealings are at most so many, also after a crash.
    pub sealings: u64,
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
        Ok(KeyRing { installation, entropy, keys: RwLock::new(keys), master, root, fingerprints, worn_out })
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

    /// A key for another purpose, stable for the installation.
    pub fn derived_key(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        self.root.deriving.derive(&[b"derived", purpose.as_bytes()]).ok_or(StoreError::defect("deriving a key"))
    }

    /// The newest key's number and the count to store for it, when the stored one falls behind.
    pub fn count_to_store(&self) -> Option<(u32, u64)> {
        let (id, key) = self.read(|keys| keys.last_key_value().map(|(id, key)| (*id, key.clone())))?;
        let (sealings, stored) = (key.sealings.load(Ordering::Relaxed), key.stored.load(Ordering::Relaxed));
        (sealings + STEP / 2 > stored).then(|| (id, sealings + STEP))
    }

    /// The count has been stored.
    pub fn count_stored(&self, id: u32, count: u64) {
        if let Some(key) = self.read(|keys| keys.get(&id).cloned()) {
            key.stored.store(count, Ordering::Relaxed);
        }
    }

    /// A new data key to store, when the newest is worn out.
    pub fn key_to_store(&self) -> Result<Option<WrappedKey>, StoreError> {
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

    /// The same data keys wrapped by another master key, and a new one over them.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the present master key does not open one of them.
    pub fn wrapped_anew(&self, stored: &[WrappedKey], new: &MasterKey) -> Result<Vec<WrappedKey>, StoreError> {
        let present = self.master();
        let mut wrapped = Vec::with_capacity(stored.len() + 1);
        for one in stored {
            let bytes = unwrapped(one, &present, &self.installation);
            let bytes = bytes.map_err(|_| StoreError::damaged(format!("data key {} does not open", one.id)))?;
            let sealed = wrap_bytes(one.id, &bytes, new, &self.installation, &self.entropy)?;
            wrapped.push(WrappedKey { id: one.id, wrapped: sealed, sealings: one.sealings });
        }
        let next = stored.iter().map(|one| one.id).max().unwrap_or_default().saturating_add(1);
        wrapped.push(wrap(next, new, &self.installation, &self.entropy)?);
        Ok(wrapped)
    }

    /// A rotation has been committed: from now on this master key wraps, and its data key seals.
    pub fn rotated(&self, new: &MasterKey, newest: &WrappedKey) {
        *self.master.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
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

fn wrap(
    id: u32,
    master: &MasterKey,
    installation: &InstallationId,
    entropy: &SharedEntropy,
) -> Result<WrappedKey, StoreError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    entropy.fill(bytes.as_mut());
    Ok(WrappedKey { id, wrapped: wrap_bytes(id, &bytes, master, installation, entropy)?, sealings: 0 })
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
    let bytes = unwrapped(one, master, installation)?;
    Ok(DataKey {
        deriving: DerivingKey::new(&bytes),
        sealings: AtomicU64::new(one.sealings),
        stored: AtomicU64::new(one.sealings),
    })
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<key ring of {}>", self.installation)
    }
}
