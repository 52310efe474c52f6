//! One ciphertext: version ‖ key id ‖ nonce ‖ AES-256-GCM, under a key derived for its place.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use evergrant_core::planted::{self, Bug};
use zeroize::Zeroizing;

use super::Place;
use crate::entropy::Entropy;

/// The format that is written.
const VERSION: u8 = 1;
/// Version, key id, nonce.
const HEADER: usize = 1 + 4 + NONCE_LEN;

/// A key that seals nothing itself; keys of single places are derived from it (HKDF-SHA256, RFC 5869 §2.3).
#[derive(Clone)]
pub(crate) struct DerivingKey(Prk);

/// The ciphertext does not open here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DoesNotOpen;

struct Bits256;

impl KeyType for Bits256 {
    fn len(&self) -> usize {
        32
    }
}

impl DerivingKey {
    pub fn new(key: &[u8; 32]) -> Self {
        DerivingKey(Prk::new_less_safe(HKDF_SHA256, key))
    }

    /// 32 bytes for one purpose.
    pub fn derive(&self, purpose: &[&[u8]]) -> Option<Zeroizing<[u8; 32]>> {
        let mut info = Vec::with_capacity(96);
        purpose.iter().for_each(|part| put(&mut info, part));
        let mut bytes = Zeroizing::new([0u8; 32]);
        self.0.expand(&[&info], Bits256).ok()?.fill(bytes.as_mut()).ok()?;
        Some(bytes)
    }

    fn key_of(&self, place: Place<'_>) -> Option<LessSafeKey> {
        let place = planted_place(place);
        let bytes = self.derive(&[b"seal", place.table.as_bytes(), place.row.as_bytes(), place.column.as_bytes()])?;
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.as_ref()).ok()?))
    }

    /// Seals `plain` for `place`; none only if the text is longer than the cipher allows.
    pub fn seal(
        &self,
        key_id: u32,
        installation: &str,
        place: Place<'_>,
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Option<Vec<u8>> {
        let mut nonce = [0u8; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(HEADER + plain.len() + AES_256_GCM.tag_len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key_id.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let aad = Aad::from(associated(key_id, installation, place));
        let nonce = Nonce::assume_unique_for_key(nonce);
        let key = self.key_of(place)?;
        let tag = key.seal_in_place_separate_tag(nonce, aad, &mut sealed[HEADER..]).ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    /// Opens what was sealed for the same place under this key.
    pub fn open(&self, installation: &str, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let key_id = key_id(sealed)?;
        let nonce = sealed.get(5..HEADER).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut text = Zeroizing::new(sealed[HEADER..].to_vec());
        let key = self.key_of(place).ok_or(DoesNotOpen)?;
        let aad = Aad::from(associated(key_id, installation, place));
        let length = key.open_in_place(nonce, aad, &mut text).map_err(|_| DoesNotOpen)?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// The data key that a ciphertext names.
pub(crate) fn key_id(sealed: &[u8]) -> Result<u32, DoesNotOpen> {
    match sealed {
        [VERSION, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(DoesNotOpen),
    }
}

/// Where a bug is planted on purpose, a place without its row.
fn planted_place(place: Place<'_>) -> Place<'_> {
    if planted::is(Bug::SealWithoutConnection) { Place { row: "", ..place } } else { place }
}

/// What a ciphertext is bound to. Each part carries its length, so that no two places write the same bytes.
fn associated(key_id: u32, installation: &str, place: Place<'_>) -> Vec<u8> {
    let place = planted_place(place);
    let mut bytes = Vec::with_capacity(128);
    put(&mut bytes, &[VERSION]);
    put(&mut bytes, &key_id.to_be_bytes());
    put(&mut bytes, installation.as_bytes());
    put(&mut bytes, place.table.as_bytes());
    put(&mut bytes, place.row.as_bytes());
    put(&mut bytes, place.column.as_bytes());
    put(&mut bytes, &place.generation.to_be_bytes());
    bytes
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(part);
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
