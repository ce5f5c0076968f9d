//! Notes as files: their form, their names, and what becomes of them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod form;
