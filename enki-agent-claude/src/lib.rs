//! AgentRunner of Enki on Claude Code.

pub mod decode;
mod lax;
pub mod outcome;
mod wire;
