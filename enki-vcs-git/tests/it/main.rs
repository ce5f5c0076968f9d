//! Tests with real git in repositories of their own.
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

mod support;

mod adopt;
mod batches;
mod capture;
mod chain;
mod check;
mod checkout;
mod conflicts;
mod conformance;
mod cost;
mod diff;
mod facts;
mod folder;
mod hostile;
mod keep;
mod killed;
mod kinds;
mod landing;
mod overlay;
mod plain_refs;
mod pool;
mod project;
mod publish;
mod refinery;
mod remote;
mod resolve;
mod safety;
mod setup;
mod share;
mod side;
mod started;
mod workspaces;
