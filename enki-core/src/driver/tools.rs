//! Tools of Enki's that the agent of an attempt is given, as long as it lives.

use crate::agent::AgentSpec;
use crate::id::EffectId;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Gives the agents of attempts tools of Enki's, such as one to say what they do.
///
/// # Contract
///
/// What [`AttemptTools::open`] gives is worth nothing any more once [`AttemptTools::close`] returns. Nothing fails
/// without tools: an attempt that cannot have them runs all the same.
pub trait AttemptTools: fmt::Debug + Send + Sync {
    /// Called before the agent of an attempt starts, whose workspace is there. Gives [`AgentSpec::tool_servers`].
    fn open(&self, spec: &AgentSpec) -> Option<PathBuf>;

    /// What the agent of an attempt that was opened is told of its tools, at the end of its prompt; nothing if they need
    /// no words.
    fn words(&self, _spec: &AgentSpec) -> Option<String> {
        None
    }

    /// Called when the agent has ended or was not started, once for each [`AttemptTools::open`].
    fn close(&self, attempt: EffectId);
}

/// The tools of one attempt. They are closed in whatever way it ends.
#[derive(Debug)]
pub(super) struct Opened {
    tools: Arc<dyn AttemptTools>,
    attempt: EffectId,
}

impl Opened {
    pub(super) fn new(tools: &Arc<dyn AttemptTools>, spec: &mut AgentSpec) -> Self {
        spec.tool_servers = tools.open(spec);
        if let Some(words) = spec.tool_servers.is_some().then(|| tools.words(spec)).flatten() {
            spec.prompt.push_str(&words);
        }
        Self { tools: Arc::clone(tools), attempt: spec.id }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.tools.close(self.attempt);
    }
}
