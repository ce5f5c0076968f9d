//! The binary, killed: at each crash point, and at random moments; with real git, real SQLite, and a script as the agent.
//!
//! `cargo test -p enki-cli --test crash -- --nocapture` prints the tables. More of it, for a night:
//! `ENKI_CRASH_FULL=1` kills at each point in three ways, three times each; `ENKI_KILLS=500` kills that often at random;
//! `ENKI_IMAGES=500` is as many images of what a loss of power leaves, over all scenarios, of which
//! `ENKI_SCENARIO=conflict` names some; `ENKI_RACES=100` races for a project;
//! `ENKI_SOAK_SECONDS=3600` runs plans for so long;
//! `ENKI_BINARY=path` is another binary to be killed at random, such as a release build without crash points;
//! `ENKI_SEED=7` begins with another random number. `ENKI_CRASH_ONLY=merge.8` is for the points of that name alone.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests start the binary, and are told by the environment how much to do"
)]

mod images;
mod kills;
mod oracle;
mod place;
mod points;
mod soak;
mod troubles;
