//! The coordinator: an agent that makes plans for a person and steers them, turn by turn, and never edits.
//!
//! A conversation is a file of its own, [`Book`], written before each turn and after it. What it makes carries its name
//! as origin, so its executions are found again after any crash. [`Helm`] is who drives: this process, or another one.
//! [`Works`] is what became of the executions, and what of that the coordinator hears. [`turn`] is one run of the agent.
//! [`Conversation`] joins them, and speaks with the person through a [`Front`]: lines, or a terminal.

mod book;
mod close;
mod conversation;
mod helm;
mod turn;
mod works;

pub(crate) use book::{Line, Which};
pub(crate) use conversation::{Begin, Conversation, Front, Rest, Seen, Wish, is_escalated};
