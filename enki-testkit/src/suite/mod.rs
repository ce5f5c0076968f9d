//! The cases of the conformance suites: one plain `async fn` for each rule, named after the rule.
//!
//! The macros at the root of the crate turn them into tests. A case panics if the rule is broken. One that a backend
//! cannot be put to says `skipped: <rule>: <reason>` and passes; such a line is a gap in what was shown, not a proof.
//! It goes past the test harness, which keeps the output of what passes to itself.

pub mod agent;
pub mod project;
pub mod refinery;
pub mod store;
pub mod workspace;

use std::cell::Cell;
use std::future::Future;
use std::io::Write as _;

/// Rules that a backend cannot be put to, each with the reason, in words for whoever reads the output of its tests.
pub type Skips = &'static [(&'static str, &'static str)];

/// Runs a case to its end, on a tokio runtime of this thread with timers and I/O as far as they are compiled in.
///
/// Fixtures whose backend needs something else override `run` of their trait.
pub fn run<F: Future>(case: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(case)
}

/// Puts a backend to a rule, unless its fixture declares that it cannot be. The macros call it.
#[doc(hidden)]
pub fn put_to(rule: &'static str, skips: Skips, case: impl FnOnce()) {
    RULE.set(rule);
    match skips.iter().find(|(skipped, _)| *skipped == rule) {
        Some((_, why)) => skipped(why),
        None => case(),
    }
}

/// A rule that is skipped but not in the suite skips nothing: it was renamed, or never was. The macros call it.
#[doc(hidden)]
pub fn assert_known(skips: Skips, rules: &[&str]) {
    let unknown: Vec<_> = skips.iter().map(|(rule, _)| rule).filter(|rule| !rules.contains(rule)).collect();
    assert!(unknown.is_empty(), "the fixture skips what is no rule of this suite: {unknown:?}; its rules: {rules:?}");
}

/// Says that this thread's rule, or the named part of it, was not put to the backend, and why.
pub(crate) fn skipped(why: &str) {
    // One write, so that the lines of tests side by side do not mix; and nobody to tell if it fails.
    let _ = std::io::stderr().write_all(format!("skipped: {}: {why}\n", RULE.get()).as_bytes());
}

thread_local! {
    /// What is being put to a backend on this thread.
    static RULE: Cell<&'static str> = const { Cell::new("a case outside its suite") };
}
