//! Further token pairs in the answer to a code: each becomes a connection of its own, with a life of its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Provider;

/// A further token pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Also {
    /// JSON pointer to the object that holds it.
    pub pointer: String,
    /// What its connection is called beside that of the first pair (`account.kind`).
    pub kind: String,
    /// Where the id of its account is, in the same form as the entry's; the first pair's account when empty.
    pub account_id_pointer: String,
    /// Where the name of its account is.
    pub account_name_pointer: String,
    /// The token type to hand out, where it is another than the answer says.
    pub token_type: String,
}

impl Provider {
    /// This entry as it is for a connection of one kind: answers are read for that pair.
    pub fn of_kind(self: &Arc<Self>, kind: Option<&str>) -> Arc<Provider> {
        match self.also.iter().find(|also| Some(also.kind.as_str()) == kind) {
            Some(also) => Arc::new(self.as_pair(also)),
            None => self.clone(),
        }
    }

    /// The kind of the first pair, where the entry names one.
    pub fn first_kind(&self) -> Option<String> {
        Some(self.account_kind.clone()).filter(|kind| !kind.is_empty())
    }

    /// This entry as it is for a further pair.
    pub(crate) fn as_pair(&self, also: &Also) -> Provider {
        Provider {
            answer_pointer: also.pointer.clone(),
            account_kind: also.kind.clone(),
            account_id_pointer: also.account_id_pointer.clone(),
            account_name_pointer: also.account_name_pointer.clone(),
            token_type: also.token_type.clone(),
            also: Vec::new(),
            ..self.clone()
        }
    }
}
