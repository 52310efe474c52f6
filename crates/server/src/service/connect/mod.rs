//! Connecting an account: from the wish, over the provider, to a grant that is proven and belongs to the right person.

pub mod return_url;

use serde::{Deserialize, Serialize};

/// Who says that the person in the browser is the session's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// The application, which knows who is signed in there: the code is exchanged only after `complete`.
    App,
    /// The link: whoever holds it. The page says whose account it will become.
    Link,
}
