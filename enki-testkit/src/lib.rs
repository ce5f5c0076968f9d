//! Conformance suites, fakes and a seeded simulator for backends of Enki.
//!
//! Whoever implements one of the four traits of `enki-core` runs its suite against the implementation: a fixture says
//! how to make one, and a macro gives one named test for each rule of the contract.
//!
//! ```
//! use enki_core::memory::MemoryStore;
//! use enki_testkit::suite::store::StoreFixture;
//!
//! struct InMemory;
//!
//! impl StoreFixture for InMemory {
//!     type Store = MemoryStore;
//!     async fn open(&self) -> MemoryStore {
//!         MemoryStore::new()
//!     }
//! }
//!
//! # #[cfg(test)]
//! mod conformance {
//!     enki_testkit::task_store_conformance!(super::InMemory);
//! }
//! ```
pub mod fakes;
pub mod model;
pub mod sim;
pub mod strategies;
pub mod suite;

mod macros;
