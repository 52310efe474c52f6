//! Connections: read by the token call, placed by connect and import, listed, edited, ended.

mod edit;
mod end;
mod erase;
mod list;
mod place;
mod read;

pub use edit::{ConnectionPatch, Patched};
pub use end::{Ended, EndedNow, Ending};
pub use erase::Erased;
pub use list::ConnectionFilter;
pub use place::{Decided, NewGrantFor, Placed, Target};
pub(crate) use place::{find_place, place};
