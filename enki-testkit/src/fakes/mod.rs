//! Backends without an outside: real in their contracts, with memory for a disk.
//!
//! They pass the suites of this crate, so what works with them has a right to work with every backend. For tests of
//! the driver and of tools built on it.

pub mod agents;
pub mod vcs;

mod faulty;
mod refinery;
mod workspaces;

pub use agents::{FakeAgents, Script};
pub use faulty::{Fault, FaultClass, Faulty, When};
pub use refinery::FakeRefinery;
pub use vcs::FakeRepository;
pub use workspaces::FakeWorkspaces;
