//! A provider as people write it, in the configuration and in the API: a catalogue id, or an entry inline.
//!
//! Read by hand instead of as an untagged enum, so that a misspelt field of an inline entry is named, and so that it is known
//! which fields were written at all: where an issuer says the rest, those win.

use std::fmt;

use evergrant_core::discovery::Given;
use evergrant_core::id::ProviderId;
use evergrant_core::integration::ProviderSource;
use evergrant_core::provider::Provider;
use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Serialize, Serializer};

/// A catalogue id, or an entry inline.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenProvider {
    /// What it says.
    pub source: ProviderSource,
    /// The fields of an inline entry that were written.
    pub given: Given,
}

impl<'de> Deserialize<'de> for WrittenProvider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdOrEntry)
    }
}

impl Serialize for WrittenProvider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

struct IdOrEntry;

impl<'de> Visitor<'de> for IdOrEntry {
    type Value = WrittenProvider;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a catalogue id, or an object with the fields of a catalogue entry")
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<WrittenProvider, E> {
        let id: ProviderId = id.parse().map_err(E::custom)?;
        Ok(WrittenProvider { source: ProviderSource::Catalogue(id), given: Given::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenProvider, A::Error> {
        let mut given = Given::new();
        let entry = Provider::deserialize(MapAccessDeserializer::new(Noting { map, given: &mut given }))?;
        Ok(WrittenProvider { source: ProviderSource::Inline(Box::new(entry)), given })
    }
}

/// A map that notes the names which are read from it.
struct Noting<'a, A> {
    map: A,
    given: &'a mut Given,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Noting<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(name) = self.map.next_key::<String>()? else { return Ok(None) };
        self.given.insert(name.clone());
        let name: StringDeserializer<A::Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_or_an_entry_is_read_and_a_misspelt_field_is_named() {
        let id: WrittenProvider = serde_json::from_str(r#""strava""#).unwrap();
        assert!(matches!(id.source, ProviderSource::Catalogue(_)));
        let entry: WrittenProvider =
            serde_json::from_str(r#"{"name":"Acme","token_url":"https://a.example/t","pkce":true}"#).unwrap();
        assert!(matches!(entry.source, ProviderSource::Inline(_)));
        assert_eq!(entry.given, ["name", "token_url", "pkce"].map(str::to_owned).into());
        let refused = serde_json::from_str::<WrittenProvider>(r#"{"tokenurl":"x"}"#).unwrap_err().to_string();
        assert!(refused.contains("tokenurl"), "{refused}");
    }
}
