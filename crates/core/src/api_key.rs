//! The text of an API key: `eg_<environment>_<key id>_<secret><checksum>`, as `docs/api.md` fixes it.
//!
//! Prefix and checksum let secret scanners find leaked keys, and let a mistyped key be refused before anything is looked
//! up. What a key may do is not written in it; that is stored beside its hash.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

use crate::secret::ApiKeySecret;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const PREFIX: &str = "eg_";
const ID_LENGTH: usize = 12;
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const LONGEST_ENVIRONMENT: usize = 32;

/// Why a text is not an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnApiKey {
    /// It does not have the parts of a key.
    #[error("expected eg_<environment>_<12 characters>_<43 base62 digits and 6 of checksum>")]
    Shape,
    /// The parts are there, the checksum is another one: it was mistyped or cut.
    #[error("the checksum does not fit: the key was mistyped or not copied whole")]
    Checksum,
    /// The environment's name can't stand in a key.
    #[error("expected an environment of 1 to 32 lower-case letters and digits")]
    Environment,
}

/// A whole API key, checked. Its `Debug` shows environment and id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyText {
    environment: String,
    id: String,
    secret: ApiKeySecret,
}

impl ApiKeyText {
    /// Makes a key for `environment` of the 48 random bytes that `fill` is asked for.
    ///
    /// # Errors
    /// [`NotAnApiKey::Environment`].
    pub fn make(environment: &str, mut fill: impl FnMut(&mut [u8])) -> Result<Self, NotAnApiKey> {
        if !is_environment(environment) {
            return Err(NotAnApiKey::Environment);
        }
        let (mut id, mut secret) = ([0; 16], zeroize::Zeroizing::new([0; 32]));
        fill(&mut id);
        fill(secret.as_mut_slice());
        let id = digits(&mut id, BASE36, ID_LENGTH);
        let text = format!("{PREFIX}{environment}_{id}_{}", digits(secret.as_mut_slice(), BASE62, SECRET_LENGTH));
        let text = zeroize::Zeroizing::new(text);
        let secret = ApiKeySecret::new(format!("{}{}", text.as_str(), checksum(&text)));
        Ok(ApiKeyText { environment: environment.to_owned(), id, secret })
    }

    /// The environment.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The key's id, which is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole text, to be shown once.
    pub fn secret(&self) -> &ApiKeySecret {
        &self.secret
    }

    /// SHA-256 of the whole text: all that is kept. The secret has 256 random bits, so a slow hash would add nothing.
    pub fn hash(&self) -> [u8; 32] {
        hash(self.secret.expose())
    }
}

impl fmt::Debug for ApiKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<API key {PREFIX}{}_{}_…>", self.environment, self.id)
    }
}

/// Reads a key and checks its checksum.
///
/// # Errors
/// [`NotAnApiKey::Shape`], [`NotAnApiKey::Checksum`].
pub fn parse(text: &str) -> Result<ApiKeyText, NotAnApiKey> {
    let (environment, id, digits) = parts(text).ok_or(NotAnApiKey::Shape)?;
    let covered = text.get(..text.len() - CHECKSUM_LENGTH).ok_or(NotAnApiKey::Shape)?;
    let written = digits.get(SECRET_LENGTH..).ok_or(NotAnApiKey::Shape)?;
    if checksum(covered) != written {
        return Err(NotAnApiKey::Checksum);
    }
    Ok(ApiKeyText { environment: environment.to_owned(), id: id.to_owned(), secret: ApiKeySecret::new(text) })
}

fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (environment, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let (id, digits) = rest.split_once('_')?;
    let is_id = id.len() == ID_LENGTH && id.bytes().all(|byte| BASE36.contains(&byte));
    let has_digits =
        digits.len() == SECRET_LENGTH + CHECKSUM_LENGTH && digits.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_environment(environment) && is_id && has_digits).then_some((environment, id, digits))
}

fn is_environment(text: &str) -> bool {
    (1..=LONGEST_ENVIRONMENT).contains(&text.len()) && text.bytes().all(|byte| BASE36.contains(&byte))
}

/// CRC-32/IEEE as six base62 digits.
fn checksum(covered: &str) -> String {
    digits(&mut crc32fast::hash(covered.as_bytes()).to_be_bytes(), BASE62, CHECKSUM_LENGTH)
}

fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// The lowest `length` digits of a big-endian number, zero-padded; the number is used up.
fn digits(number: &mut [u8], alphabet: &[u8], length: usize) -> String {
    let base = u32::try_from(alphabet.len()).unwrap_or(1);
    let mut text = vec![b'0'; length];
    for place in text.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in number.iter_mut() {
            let value = remainder << 8 | u32::from(*byte);
            // Below 256, because the remainder of the bytes before is below the base.
            *byte = u8::try_from(value / base).unwrap_or(u8::MAX);
            remainder = value % base;
        }
        *place = alphabet.get(remainder as usize).copied().unwrap_or(b'0');
    }
    text.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> ApiKeyText {
        let mut next = seed;
        ApiKeyText::make("live", |bytes| {
            for byte in bytes {
                next = next.wrapping_mul(167).wrapping_add(13);
                *byte = next;
            }
        })
        .expect("live is an environment")
    }

    #[test]
    fn a_key_reads_back_and_has_the_documented_shape() {
        for seed in 0..=255 {
            let made = key(seed);
            let text = made.secret().expose();
            let shape = regex_lite::Regex::new(r"^eg_[a-z0-9]+_[a-z0-9]{12}_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$").unwrap();
            assert!(shape.is_match(text), "{text}");
            let read = parse(text).unwrap();
            assert_eq!(read, made);
            assert_eq!(read.hash(), made.hash());
            assert_eq!((read.environment(), read.id()), ("live", made.id()));
        }
    }

    #[test]
    fn the_checksum_is_crc32_ieee_in_six_base62_digits() {
        // The check value of CRC-32/IEEE over "123456789" is 0xCBF43926 = 3421780262.
        assert_eq!(checksum("123456789"), "3jZRME");
        let value = "3jZRME"
            .bytes()
            .fold(0_u64, |sum, digit| sum * 62 + BASE62.iter().position(|known| *known == digit).unwrap() as u64);
        assert_eq!(value, 3_421_780_262);
        assert_eq!(digits(&mut [0, 0, 0, 61], BASE62, 6), "00000z");
        assert_eq!(digits(&mut [255; 32], BASE62, 43).len(), 43);
    }

    #[test]
    fn any_one_wrong_character_is_refused_without_a_look_up() {
        let made = key(7);
        let text = made.secret().expose();
        for at in 0..text.len() {
            for wrong in ['0', 'a', 'Z', '_', '-', ' '] {
                let mut mistyped: Vec<char> = text.chars().collect();
                if mistyped[at] == wrong {
                    continue;
                }
                mistyped[at] = wrong;
                assert!(parse(&mistyped.into_iter().collect::<String>()).is_err(), "{wrong} at {at}");
            }
            assert!(parse(&text[..at]).is_err());
        }
        for bad in ["", "eg_", "eg_live", "eg_é_a_b", "sk_live_000000000000_", &format!("{text}0"), &format!(" {text}")]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_does_not_show_its_secret() {
        let made = key(3);
        let shown = format!("{made:?}");
        let secret = made.secret().expose().rsplit('_').next().unwrap();
        assert!(shown.contains(made.id()) && !shown.contains(&secret[..8]), "{shown}");
        assert_eq!(ApiKeyText::make("Live", |_| ()), Err(NotAnApiKey::Environment));
        assert_eq!(ApiKeyText::make("", |_| ()), Err(NotAnApiKey::Environment));
    }
}
