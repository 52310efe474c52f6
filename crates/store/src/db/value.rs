//! What goes into a statement.

use std::borrow::Cow;
use std::sync::Arc;

use evergrant_core::id::{
    AccountId, AttemptId, ConnectSessionId, ConnectionId, DeliveryId, EventId, InstallationId, IntegrationName, JobId,
    NodeId, NoticeId, SubjectId, WebhookId,
};
use evergrant_core::time::Timestamp;

use crate::seal::SealedBytes;

/// A value of the four kinds that both databases have.
#[derive(Clone)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
    Blob(&'a [u8]),
}

/// Can stand in a statement.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value<'_>;
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue + ?Sized> ToValue for Arc<T> {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value<'_> {
        Value::Text(Cow::Borrowed(self))
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value<'_> {
        Value::Text(Cow::Borrowed(self))
    }
}

impl ToValue for i64 {
    fn to_value(&self) -> Value<'_> {
        Value::Int(*self)
    }
}

/// Counters and generations: beyond 2^63 they stay there, which no counter reaches by counting.
impl ToValue for u64 {
    fn to_value(&self) -> Value<'_> {
        Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl ToValue for u32 {
    fn to_value(&self) -> Value<'_> {
        Value::Int(i64::from(*self))
    }
}

impl ToValue for usize {
    fn to_value(&self) -> Value<'_> {
        Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Value<'_> {
        Value::Int(i64::from(*self))
    }
}

impl ToValue for Timestamp {
    fn to_value(&self) -> Value<'_> {
        Value::Int(self.as_millis())
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl ToValue for [u8; 32] {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl ToValue for SealedBytes {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(self.as_bytes())
    }
}

macro_rules! texts {
    ($($name:ty),*) => { $(
        impl ToValue for $name {
            fn to_value(&self) -> Value<'_> { Value::Text(Cow::Borrowed(self.as_str())) }
        }
    )* };
}

texts!(
    AccountId,
    AttemptId,
    ConnectSessionId,
    ConnectionId,
    DeliveryId,
    EventId,
    InstallationId,
    IntegrationName,
    JobId,
    NodeId,
    NoticeId,
    SubjectId,
    WebhookId
);
