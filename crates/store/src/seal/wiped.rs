//! A text on its way into or out of a sealed document: wiped when dropped, and mute.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Part of a document that is sealed as a whole. Never derive `Debug` for what holds it.
#[derive(Clone)]
pub(crate) struct Wiped(Zeroizing<String>);

impl Wiped {
    pub fn new(text: &str) -> Self {
        Wiped(Zeroizing::new(text.to_owned()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Serialize for Wiped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Wiped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Wiped(Zeroizing::new(text)))
    }
}
