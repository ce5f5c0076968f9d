//! The cases of the conformance suites: one plain `async fn` for each rule, named after the rule.
//!
//! The macros at the root of the crate turn them into tests. A case panics if the rule is broken. One that a backend
//! cannot be put to prints why and passes; such a line is a gap in what was shown, not a proof.

pub mod agent;
pub mod project;
pub mod refinery;
pub mod store;
pub mod workspace;

use std::future::Future;

/// Runs a case to its end, on a tokio runtime of this thread with timers and I/O as far as they are compiled in.
///
/// Fixtures whose backend needs something else override `run` of their trait.
pub fn run<F: Future>(case: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(case)
}

/// Says that a case was not put to the backend, and why.
pub(crate) fn skipped(case: &str, why: &str) {
    println!("not run: {case}: {why}");
}
