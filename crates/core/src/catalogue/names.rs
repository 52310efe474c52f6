//! The names of the fields, asked of the types themselves, and the known name nearest to a misspelt one.

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// The fields of a struct with derived `Deserialize`.
pub(super) fn of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Always an error: it only listens to what is asked of it.
    drop(T::deserialize(Listener(&mut names)));
    names
}

/// The known name nearest to `name`, if any is near enough to be what was meant.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let likeness = |candidate: &&'static str| (strsim::jaro_winkler(name, candidate), *candidate);
    let near = known.iter().map(likeness).filter(|(likeness, _)| *likeness >= 0.8);
    near.max_by(|left, right| left.0.total_cmp(&right.0)).map(|(_, candidate)| candidate)
}

/// A deserializer that has nothing to give and notes which fields it is asked for.
struct Listener<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("there is nothing here"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
