//! The command line as a whole: one program, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests start the binary")]

mod ahead;
mod ask;
mod bad_calls;
mod bad_frames;
mod bad_inputs;
mod bad_plans;
mod budgets;
mod calls;
mod canaries;
mod chains;
mod chat;
mod claude;
mod clients;
mod common;
mod day;
mod drive;
mod edits;
mod hostile;
mod isolation;
mod keep;
mod landing;
mod leftovers;
mod lists;
mod log_branch;
mod mail;
mod mcp;
mod mcp_claude;
mod memory;
mod notes;
mod places;
mod plan_check;
mod pty;
mod queue;
mod registry;
mod results;
mod reviews;
mod running;
mod runs;
mod search;
mod storm;
mod trace;
mod trust;
mod words;
mod worklog;
