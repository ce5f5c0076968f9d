//! Tests of the store on real files, real processes and real damage.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails, helpers included")]

mod bad_inputs;
mod conformance;
mod crash;
mod damage;
mod group_commit;
mod place;
mod recall;
mod search;
mod support;
