//! Who is told what by which channel: what a person chose, when a person is left in peace, and what others are told of.
//!
//! The table of `docs/lifecycle.md`, "Who is told, and how", as pure functions; the channels themselves are the service's.

mod contact;
mod message;
mod preferences;
mod retry;
mod trouble;

pub use contact::{Contact, QuietHours};
pub use message::{DEFAULT_KINDS, KINDS, Permanence, is_for_everybody, notice_of, permanence};
pub use preferences::{CHANNELS, Channel, Preferences};
pub use retry::{Retry, retry_at};
pub use trouble::Trouble;
