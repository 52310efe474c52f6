//! The master key: wraps the data keys and seals nothing else.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::cipher::{self, DerivingKey};

/// 32 bytes that never reach the database.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// The text is not a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 64 hexadecimal digits (32 bytes)")]
pub struct NotAMasterKey;

impl MasterKey {
    /// Takes over 32 bytes.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        MasterKey(bytes)
    }

    /// Reads 64 hexadecimal digits; blanks around them are not minded.
    ///
    /// # Errors
    /// [`NotAMasterKey`] when it is anything else.
    pub fn from_hex(digits: &str) -> Result<Self, NotAMasterKey> {
        let digits = digits.trim().as_bytes();
        let mut key = Zeroizing::new([0u8; 32]);
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NotAMasterKey);
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0]) << 4 | value(pair[1]);
        }
        Ok(MasterKey(key))
    }

    /// Names the key without revealing it: 8 hexadecimal digits, the same on every machine.
    pub fn fingerprint(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_ref());
        cipher::hex(&hmac::sign(&key, b"evergrant master key fingerprint v1").as_ref()[..4])
    }

    /// The key that wraps data keys.
    pub(super) fn wrapping(&self) -> DerivingKey {
        DerivingKey::new(&self.0)
    }
}

fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<master key>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_64_hexadecimal_digits_and_nothing_else() {
        let digits = "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100";
        let key = MasterKey::from_hex(&format!("{digits}\n")).unwrap();
        assert_eq!(key.0[1], 0x11);
        assert_eq!(key.0[15], 0xff);
        assert_eq!(format!("{key:?}"), "<master key>");
        assert_eq!(key.fingerprint().len(), 8);
        for bad in ["", "00", &digits[1..], &digits.replace('0', "g"), &digits.replacen("00", "+0", 1)] {
            assert!(MasterKey::from_hex(bad).is_err(), "{bad}");
        }
    }
}
