//! State machines, traits and driver that turn a plan into merged commits.

pub mod advice;
pub mod agent;
pub mod audit;
pub mod branch;
pub mod budget;
pub mod chain;
pub mod crash;
pub mod dispatcher;
#[cfg(feature = "driver")]
pub mod driver;
pub mod engine;
pub mod execution;
pub mod gv;
pub mod id;
pub mod limits;
pub mod mail;
pub mod memory;
pub mod merge_queue;
pub mod plan;
pub mod prompt;
pub mod recall;
pub mod record;
pub mod redact;
pub mod refinery;
pub mod retry;
pub mod review;
pub mod role;
pub mod spec;
pub mod store;
pub mod tier;
pub mod time;
pub mod verdict;
pub mod wake;
pub mod workspace;

pub use async_trait::async_trait;
