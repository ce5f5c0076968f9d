//! The server as a client sees it: lines of JSON over a pipe, a real driver behind it, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test ends where its assumption fails")]

mod backlog;
mod calls;
mod creates;
mod edits;
mod mail;
mod protocol;
mod reads;
mod roles;
mod steers;
mod worklog;
mod world;
