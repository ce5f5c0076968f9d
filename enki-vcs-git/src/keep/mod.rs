//! What may go, what is kept, and how it comes back.

pub(crate) mod gc;
pub(crate) mod landed;
pub(crate) mod recover;
pub(crate) mod spare;
