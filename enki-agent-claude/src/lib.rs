//! AgentRunner of Enki on Claude Code.
//!
//! [`ClaudeAgent`] runs the headless client, one process per attempt, and reads its `stream-json` output. What is asked of
//! the client and how its runs are judged is in `docs/claude.md`.
//!
//! [`decode`] and [`outcome`] need no process and no runtime; they also serve to look at a recorded stream.

mod clock;
mod command;
mod config;
mod confined;
pub mod decode;
mod lax;
pub mod outcome;
mod runner;
mod session;
mod trusted;
mod version;
mod wire;

pub use config::{ALLOWED_TOOLS, ClaudeConfig, Models, PASSED_ENV};
pub use runner::ClaudeAgent;
pub use version::{ClientVersion, OLDEST_SAFE, UPDATE, Version};
