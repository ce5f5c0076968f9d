//! Any executable as an agent.

use crate::child::Child;
use crate::command_config::CommandAgentConfig;
use crate::ended::{Cause, Ended, Status};
use crate::feed::{ChildEvent, Feed};
use crate::live::LiveAgents;
use crate::sandbox::{Confinement, Held};
use crate::spawn::{Spawn, SpawnError};
use crate::text::clean_line;
use async_trait::async_trait;
use enki_core::agent::{AgentEnd, AgentError, AgentEvent, AgentExit, AgentRunner, AgentSession, AgentSpec};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The [`AgentRunner`] for any executable.
///
/// # What the program gets
///
/// * The workspace as its working directory, the prompt on stdin and then its end.
/// * The allowed part of the host's environment ([`BaseEnv`](crate::BaseEnv)), the configured variables, and
///
/// | variable | |
/// |---|---|
/// | `ENKI_EXECUTION_ID` | the execution, 32 hex digits |
/// | `ENKI_STEP_ID`, `ENKI_TASK_ID` | the step as the plan calls it, and as people do |
/// | `ENKI_ATTEMPT`, `ENKI_PURPOSE` | the number of the attempt; `work`, `review`, `fix` or `resolve` |
/// | `ENKI_ROLE`, `ENKI_TIER`, `ENKI_MODEL` | role and model are empty if there is none |
/// | `ENKI_OUTPUT_FILE` | a file it may write its output for later steps to, at most 16 KiB, outside the workspace |
/// | `ENKI_MCP_CONFIG` | a file that names the attempt's own server of tools, as `{"mcpServers": {..}}`, if there is one |
/// | [`RUN_MARKER`](crate::RUN_MARKER) | the mark by which all its descendants are found; leave it alone |
///
/// # What it gives
///
/// * Exit code 0 is success, any other a failure. Stdout is its text; the last 256 KiB are its final message. The latest
///   line is shown to people. Stderr goes to the log with it, and explains a failure.
/// * Whatever it leaves running when it ends is killed.
///
/// A command cannot be attached to: [`AgentRunner::attach`] kills what an earlier orchestrator left of the attempt.
#[derive(Debug)]
pub struct CommandAgent {
    config: CommandAgentConfig,
    live: LiveAgents,
}

/// The final message of an agent is at most that long.
const LONGEST_TEXT: usize = 256 << 10;

/// And the output it hands over by file.
const LONGEST_OUTPUT: usize = 16 << 10;

/// Shortest time between two lines that are shown, and their length.
const SHOWN_EVERY: Duration = Duration::from_millis(250);
const SHOWN_LENGTH: usize = 160;

impl CommandAgent {
    /// A runner of that configuration. Whether the program is there is seen at the start, or by [`Self::program_path`].
    #[must_use]
    pub fn new(config: CommandAgentConfig) -> Self {
        Self { config, live: LiveAgents::default() }
    }

    /// The absolute path of the program. Blocking: it looks at files.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] if there is no such program, or it cannot be executed: better known before a run than in it.
    pub fn program_path(&self) -> Result<PathBuf, SpawnError> {
        let probe = enki_core::id::EffectId::of("probe", &[]);
        self.config.env.iter().fold(self.base(probe), |spawn, (name, value)| spawn.env(name, value)).program_path()
    }

    fn base(&self, id: enki_core::id::EffectId) -> Spawn {
        Spawn::new(self.config.program.clone(), id).base_env(self.config.base_env.clone())
    }

    fn spawn(&self, spec: AgentSpec, held: Option<&Held>) -> Spawn {
        let model = spec.model.or_else(|| self.config.models.get(&spec.tier).cloned()).unwrap_or_default();
        let variables = [
            ("ENKI_EXECUTION_ID", spec.execution.hex()),
            ("ENKI_STEP_ID", spec.step.to_string()),
            ("ENKI_TASK_ID", spec.task.to_string()),
            ("ENKI_ATTEMPT", spec.attempt.to_string()),
            ("ENKI_PURPOSE", spec.purpose.to_string()),
            ("ENKI_ROLE", spec.role),
            ("ENKI_TIER", spec.tier.to_string()),
            ("ENKI_MODEL", model),
        ];
        let mut spawn = self
            .base(spec.id)
            .args(&self.config.args)
            .directory(spec.workspace)
            .stdin(spec.prompt)
            .timeout(spec.timeout)
            .idle_timeout(spec.idle_timeout)
            .grace(self.config.grace)
            .output_limit(self.config.output_limit)
            .tails(LONGEST_TEXT, 4 << 10)
            .feed(Feed::Latest { every: SHOWN_EVERY }, 0);
        if let Some(project) = &self.config.project {
            spawn = spawn.project(project.clone());
        }
        if let Some((program, limits)) = &self.config.supervisor {
            spawn = spawn.supervisor(program, *limits);
        }
        if let Some(redactor) = &self.config.redactor {
            spawn = spawn.redactor(redactor.clone());
        }
        for (name, value) in &self.config.env {
            spawn = spawn.env(name, value);
        }
        for (name, value) in variables {
            spawn = spawn.env(name, value);
        }
        if let Some(servers) = &spec.tool_servers {
            spawn = spawn.env("ENKI_MCP_CONFIG", servers);
        }
        // Without a place for a log there is none for a file beside it.
        if let Some(output) = beside(&spec.log) {
            // Beside the log there are those of others, so a sandboxed one hands it over by its own folder.
            let own = held.and_then(|held| held.file("enki-output"));
            let (inside, outside) = own.unwrap_or_else(|| (output.clone(), output));
            spawn = spawn.env("ENKI_OUTPUT_FILE", inside).collect(outside, LONGEST_OUTPUT);
            spawn = spawn.log(spec.log, self.config.log_limits);
        }
        if let Some(held) = held {
            spawn = spawn.sandbox(held.sandbox().clone().readable(spec.tool_servers));
        }
        spawn
    }

    fn program(&self) -> String {
        self.config.program.to_string_lossy().into_owned()
    }
}

#[async_trait]
impl AgentRunner for CommandAgent {
    async fn start(&self, spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let slot = self.live.slot(spec.id);
        let mut slot = slot.lock().await;
        self.live.stop_left(&mut slot, spec.id).await.map_err(|why| AgentError::new(self.program(), why, true))?;
        let hold = |all: &Confinement| all.hold(spec.id, &spec.workspace);
        let held = self.config.confinement.as_ref().map(hold).transpose().map_err(|error| {
            AgentError::new(self.program(), format!("its folder for temporary files cannot be made: {error}"), true)
        })?;
        let child = self.spawn(spec, held.as_ref()).start().await.map_err(|e| agent_error(&e))?;
        slot.set(&child);
        Ok(Box::new(CommandSession { child, _held: held }))
    }

    async fn attach(&self, spec: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        let slot = self.live.slot(spec.id);
        let mut slot = slot.lock().await;
        self.live.stop_any(&mut slot, spec.id).await.map_err(|why| AgentError::new(self.program(), why, true))?;
        Ok(None)
    }
}

/// One running command.
#[derive(Debug)]
struct CommandSession {
    child: Child,
    _held: Option<Held>,
}

#[async_trait]
impl AgentSession for CommandSession {
    async fn next(&mut self) -> AgentEvent {
        loop {
            match self.child.next().await {
                ChildEvent::Output { bytes, .. } => {
                    let line = clean_line(&bytes, SHOWN_LENGTH);
                    if !line.is_empty() {
                        return AgentEvent::Activity(line);
                    }
                }
                ChildEvent::Lost { .. } => {}
                ChildEvent::Ended(ended) => return AgentEvent::Ended(end(ended)),
            }
        }
    }

    async fn stop(&mut self, grace: Duration) {
        self.child.stop(grace);
    }
}

fn end(ended: Ended) -> AgentEnd {
    let mut end = AgentEnd::new(exit(&ended));
    end.text = last_text(&ended.stdout_tail, LONGEST_TEXT);
    end.output = ended.collected.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    end.output = end.output.filter(|text| !text.trim().is_empty());
    end
}

fn exit(ended: &Ended) -> AgentExit {
    match (ended.cause, ended.status) {
        (Cause::Stopped, _) => AgentExit::Killed,
        (Cause::TimedOut, _) => AgentExit::TimedOut,
        (Cause::Idle, _) => AgentExit::Stuck,
        (Cause::OutputLimit, _) => AgentExit::OutputLimit,
        (Cause::Exited, Status::Code(0)) => AgentExit::Success,
        // By a signal that was not ours: the machine was short of memory, or somebody ended it by hand.
        (Cause::Exited, Status::Code(_) | Status::Signal(_) | Status::Unknown) => {
            AgentExit::Error { message: failure(ended), transient: !matches!(ended.status, Status::Code(_)) }
        }
    }
}

/// What happened, and the last things the program said about it, in one line.
fn failure(ended: &Ended) -> String {
    let last_lines = |bytes: &[u8]| {
        let mut lines: Vec<String> = bytes
            .rsplit(|b| *b == b'\n')
            .map(|line| clean_line(line, SHOWN_LENGTH))
            .filter(|line| !line.is_empty())
            .take(3)
            .collect();
        lines.reverse();
        lines.join(" | ")
    };
    let status = ended.status;
    match (last_lines(&ended.stderr_tail), last_lines(&ended.stdout_tail)) {
        (stderr, _) if !stderr.is_empty() => format!("{status}: {stderr}"),
        (_, stdout) if !stdout.is_empty() => format!("{status}: {stdout}"),
        _ => format!("{status}, and it said nothing"),
    }
}

/// The end of a text, at most `limit` bytes of UTF-8. Broken characters may have grown when they were replaced.
fn last_text(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start = text.ceil_char_boundary(text.len().saturating_sub(limit));
    text[start..].to_owned()
}

fn beside(log: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(log.file_name()?);
    name.push(".output");
    Some(log.with_file_name(name))
}

fn agent_error(error: &SpawnError) -> AgentError {
    AgentError::new(error.program.clone(), error.reason.to_string(), error.is_transient())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_message_is_the_end_of_the_text() {
        assert_eq!(last_text("äbc".as_bytes(), 3), "bc");
        assert_eq!(last_text(b"abc", 3), "abc");
        assert!(last_text(&[0xff; 100], 100).len() <= 100);
    }
}
