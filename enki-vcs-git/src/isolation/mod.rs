//! What may not change around an attempt, what may come in with it, and paths that stay beneath a folder.

pub(crate) mod beneath;
pub(crate) mod own;
pub(crate) mod scan;
pub(crate) mod seen;
pub(crate) mod watch;
