//! A secret written as text: on the wire to the one whom it is meant for, or in a document that is sealed as a whole.
//!
//! The only way in which a secret becomes part of a document; looked for by its name.

use std::fmt;

use evergrant_core::secret::{Kind, Secret};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret in a document.
pub struct Exposed<K>(pub Secret<K>);

// By hand: a derive would ask for the same of the mark `K`.
impl<K> Clone for Exposed<K> {
    fn clone(&self) -> Self {
        Exposed(self.0.clone())
    }
}

impl<K> PartialEq for Exposed<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: Kind> fmt::Debug for Exposed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<K> Serialize for Exposed<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de, K> Deserialize<'de> for Exposed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Exposed(Secret::new(text)))
    }
}
