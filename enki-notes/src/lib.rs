//! Notes of Enki, as files that a person may edit.
mod front;
pub use front::{Document, FRONT_LIMIT, Fault, Value};
