//! Who may do what: keys, and what they let in.

mod key;
mod store;

pub use key::{Key, Role, Token};
pub use store::{Access, Denied, Principal};
