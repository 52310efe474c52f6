//! A provider as people write it, in the configuration and in the API: a catalogue id, or an entry inline.
//!
//! Read by hand instead of as an untagged enum, so that a misspelt field of an inline entry is named.

use std::fmt;

use evergrant_core::id::ProviderId;
use evergrant_core::integration::ProviderSource;
use evergrant_core::provider::Provider;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::{Serialize, Serializer};

/// A catalogue id, or an entry inline.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenProvider(pub ProviderSource);

impl<'de> Deserialize<'de> for WrittenProvider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdOrEntry)
    }
}

impl Serialize for WrittenProvider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
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
        Ok(WrittenProvider(ProviderSource::Catalogue(id)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenProvider, A::Error> {
        let entry = Provider::deserialize(MapAccessDeserializer::new(map))?;
        Ok(WrittenProvider(ProviderSource::Inline(Box::new(entry))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_or_an_entry_is_read_and_a_misspelt_field_is_named() {
        let id: WrittenProvider = serde_json::from_str(r#""strava""#).unwrap();
        assert!(matches!(id.0, ProviderSource::Catalogue(_)));
        let entry: WrittenProvider =
            serde_json::from_str(r#"{"name":"Acme","token_url":"https://a.example/t"}"#).unwrap();
        assert!(matches!(entry.0, ProviderSource::Inline(_)));
        let refused = serde_json::from_str::<WrittenProvider>(r#"{"tokenurl":"x"}"#).unwrap_err().to_string();
        assert!(refused.contains("tokenurl"), "{refused}");
    }
}
