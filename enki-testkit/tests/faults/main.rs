//! Every call of a backend fails once (promise R10): for each scenario, each backend and each N, call N fails before it
//! did anything, and once after it did all of it. What drives is the tokio driver. Then a person does what is asked for,
//! and everything has to end, with nothing lost, nothing merged twice, and a state that equals the fold of its logs.
//!
//! `ENKI_FAULTS=all` fails each call with every class of error; without it the classes take turns.
//! `ENKI_FAULTS_ONLY=name` is for the scenarios of that name alone, `ENKI_FAULT=store:12:after:busy` for one fault.
#![expect(clippy::unwrap_used, reason = "a test ends where its assumption fails")]
#![expect(clippy::disallowed_methods, reason = "tests are told by the environment how much to do")]

mod every_call;
mod person;
mod scenarios;
mod world;
