//! `ClaudeAgent`: the `AgentRunner` that starts Claude Code.

use crate::command::Session;
use crate::config::ClaudeConfig;
use crate::session::ClaudeSession;
use crate::version::{self, ClientVersion};
use async_trait::async_trait;
use enki_core::agent::{AgentError, AgentRunner, AgentSession, AgentSpec};
use enki_core::id::EffectId;
use enki_process::{Marker, SpawnError, SpawnFailure, kill_marked};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Runs the headless Claude Code client: one process per attempt.
///
/// # Contract
///
/// As [`AgentRunner`] says, and:
///
/// * An agent of an earlier process of this host is never gone on with: its output went with that process. Both `start`
///   and `attach` end what is left of it.
/// * [`AgentSpec::resume`] goes on with a copy of that session if the client still has it for this workspace; if not, the
///   attempt starts anew with the same prompt.
/// * A session needs a tokio runtime with time enabled.
#[derive(Clone, Debug)]
pub struct ClaudeAgent {
    config: Arc<ClaudeConfig>,
    /// Held from the search for an earlier agent to the start of the next, so that two starts of one attempt cannot both
    /// find none.
    starting: Arc<Mutex<()>>,
}

impl ClaudeAgent {
    /// A runner with that configuration.
    #[must_use]
    pub fn new(config: ClaudeConfig) -> Self {
        Self { config: Arc::new(config), starting: Arc::default() }
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &ClaudeConfig {
        &self.config
    }

    /// The absolute path of the client. Blocking: it looks at files.
    ///
    /// # Errors
    ///
    /// [`AgentError`] if there is no such program, or it cannot be executed, with what to do.
    pub fn program_path(&self) -> Result<PathBuf, AgentError> {
        version::spawn(&self.config).program_path().map_err(|error| cannot_start(&error))
    }

    /// What of the person's own configuration makes the client run or trust something in all their sessions: settings, hooks,
    /// servers, scripts. By a name for people, each with a digest; state that the client writes is none of it. An agent can
    /// write there, so whoever runs one looks before and after. Blocks.
    ///
    /// # Errors
    ///
    /// What is there and cannot be looked at now, and why: for want of a descriptor, or because of the disk.
    pub fn trusted(&self) -> Result<BTreeMap<String, String>, (PathBuf, io::Error)> {
        crate::trusted::look(&self.config)
    }

    /// Asks the client for its version. Takes a fraction of a second and costs nothing.
    ///
    /// # Errors
    ///
    /// [`AgentError`] if the client cannot be started, or does not end well within 30 s.
    pub async fn version(&self) -> Result<ClientVersion, AgentError> {
        version::ask(&self.config).await
    }

    /// Ends everything that carries the attempt's mark.
    async fn clear(&self, id: EffectId) -> Result<(), AgentError> {
        let mark = Marker::run(id);
        let hunt = tokio::task::spawn_blocking(move || kill_marked(&[mark], HUNT));
        let trouble = match hunt.await {
            Ok(hunted) => hunted.trouble(),
            Err(error) => Some(format!("may live, because the search for them failed: {error}")),
        };
        let unsure = |trouble| {
            let reason = format!("processes of an earlier run of the same attempt {trouble}");
            AgentError::new(self.config.program.to_string_lossy(), reason, true)
        };
        trouble.map_or(Ok(()), |trouble| Err(unsure(trouble)))
    }
}

#[async_trait]
impl AgentRunner for ClaudeAgent {
    async fn start(&self, spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let _starting = self.starting.lock().await;
        self.clear(spec.id).await?;
        let session = Session::of(&spec);
        Ok(Box::new(ClaudeSession::start(self.config.clone(), spec, session).await?))
    }

    async fn attach(&self, spec: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        let _starting = self.starting.lock().await;
        self.clear(spec.id).await?;
        Ok(None)
    }
}

/// What a person is told who cannot start the client.
pub(crate) fn cannot_start(error: &SpawnError) -> AgentError {
    let remedy = match &error.reason {
        SpawnFailure::NotFound { .. } => {
            "; install it with `npm install -g @anthropic-ai/claude-code`, or set agent.command to where it is"
        }
        SpawnFailure::NotExecutable { .. } | SpawnFailure::RelativePath => "; set agent.command to where it is",
        _ => "",
    };
    AgentError::new(error.program.clone(), format!("{}{remedy}", error.reason), error.is_transient())
}

/// How long the search for leftovers may take.
const HUNT: Duration = Duration::from_secs(10);
