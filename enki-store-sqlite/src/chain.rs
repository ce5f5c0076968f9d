//! The hash chain of a log: each event's hash covers itself and the hash before.

use enki_core::store::{Epoch, Format, LogId, Version};
use enki_core::time::Timestamp;
use sha2::{Digest, Sha256};

/// One hash of the chain.
pub(crate) type Link = [u8; 32];

/// What the first event of a log is chained to. It names the log, so that events moved to another log are found.
pub(crate) fn root(log: LogId) -> Link {
    Sha256::new().chain_update(b"enki log ").chain_update(log.to_string()).finalize().into()
}

/// The hash of an event. These bytes are a stored format: they never change within a schema.
pub(crate) fn next(before: &Link, version: Version, at: Timestamp, epoch: Epoch, format: Format, body: &str) -> Link {
    let mut fixed = [0u8; 28];
    fixed[0..8].copy_from_slice(&version.0.to_be_bytes());
    fixed[8..16].copy_from_slice(&at.0.to_be_bytes());
    fixed[16..24].copy_from_slice(&epoch.0.to_be_bytes());
    fixed[24..26].copy_from_slice(&format.major.to_be_bytes());
    fixed[26..28].copy_from_slice(&format.minor.to_be_bytes());
    Sha256::new().chain_update(before).chain_update(fixed).chain_update(body).finalize().into()
}
