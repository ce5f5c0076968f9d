//! The machines from outside: rule by rule, and all together against random inputs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod chain;
mod mail;
mod outside;
mod prompts;
mod queue;
mod rules;
mod simulation;
mod transitions;
mod world;
