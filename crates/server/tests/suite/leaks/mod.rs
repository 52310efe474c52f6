//! No token, secret, code or key stands in plaintext where it is kept, logged, counted or told.

pub mod heard;

/// The part of an API key that is secret: what stands before it is its name.
pub fn secret_part(key: &str) -> &str {
    key.rsplit_once('_').map_or(key, |(_, secret)| secret)
}
