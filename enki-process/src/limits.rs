//! What a child may use.

/// What an agent may use, set by its supervisor. `None` leaves what the host has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChildLimits {
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Bytes of each file it writes.
    pub file_size: Option<u64>,
    /// Seconds of processor time of each process.
    pub cpu_seconds: Option<u64>,
}
