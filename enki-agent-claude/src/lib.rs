//! AgentRunner of Enki on Claude Code.
