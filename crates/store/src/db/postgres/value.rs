//! Values on their way to the server, and columns on their way back.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::super::value::Value;

impl std::fmt::Debug for Value<'_> {
    /// The kind alone: values are nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Value::Null => "NULL",
            Value::Int(_) => "BIGINT",
            Value::Text(_) => "TEXT",
            Value::Blob(_) => "BYTEA",
        })
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, wanted) {
            (Value::Null, _) => return Ok(IsNull::Yes),
            (Value::Int(value), &Type::INT8) => out.put_i64(*value),
            // Beside a number in the statement's text the server takes a value for a smaller one.
            (Value::Int(value), &Type::INT4) => out.put_i32(i32::try_from(*value)?),
            // The one character that the server does not take; a provider that sends it must not cost a grant.
            (Value::Text(text), &Type::TEXT) => out.put_slice(text.replace('\0', "\u{fffd}").as_bytes()),
            (Value::Blob(bytes), &Type::BYTEA) => out.put_slice(bytes),
            (value, wanted) => return Err(format!("a {value:?} where the statement wants {wanted}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(wanted: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::TEXT, Type::BYTEA].contains(wanted)
    }

    to_sql_checked!();
}

/// What a column is read as: a number, text or bytes, or nothing.
pub(crate) trait Column: Sized {
    /// Reads it; none if it is of another kind.
    fn read(row: &postgres::Row, at: usize) -> Option<Self>;
}

fn typed<T: for<'r> FromSql<'r>>(row: &postgres::Row, at: usize) -> Option<T> {
    row.try_get(at).ok()
}

impl Column for i64 {
    fn read(row: &postgres::Row, at: usize) -> Option<Self> {
        Option::<i64>::read(row, at)?
    }
}

impl Column for Option<i64> {
    fn read(row: &postgres::Row, at: usize) -> Option<Self> {
        match *row.columns().get(at)?.type_() {
            Type::INT4 => Some(typed::<Option<i32>>(row, at)?.map(i64::from)),
            _ => typed(row, at),
        }
    }
}

macro_rules! columns {
    ($($kind:ty),*) => { $(
        impl Column for $kind {
            fn read(row: &postgres::Row, at: usize) -> Option<Self> { typed(row, at) }
        }
    )* };
}

columns!(String, Option<String>, Vec<u8>, Option<Vec<u8>>);
