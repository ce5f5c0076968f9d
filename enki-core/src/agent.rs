//! `AgentRunner`: how an attempt's agent process is started, watched and stopped.

use crate::budget::{Budget, Unit};
use crate::id::{AttemptNo, EffectId, ExecutionId, StepId, TaskId};
use crate::tier::{Purpose, Tier};
use crate::time::Timestamp;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Starts agents. Implemented for any executable by `enki-process` and for Claude Code by `enki-agent-claude`.
///
/// # Contract
///
/// * **Idempotency.** [`AgentSpec::id`] names the attempt. Starting an id whose agent still lives attaches to it or
///   stops it first; two agents of one id never live at once.
/// * **Confinement.** The agent's working directory is [`AgentSpec::workspace`], and it gets no environment of the
///   host but an allow-list.
/// * **Durability.** None is asked: runs are at-least-once. The output log at [`AgentSpec::log`] is best effort.
#[async_trait]
pub trait AgentRunner: fmt::Debug + Send + Sync {
    /// Starts the agent of an attempt. Returns once its process runs; its whole life is then in the session.
    ///
    /// A call that has not returned by [`AgentSpec::timeout`], or soon after a stop, is dropped: nothing runs then.
    ///
    /// # Errors
    ///
    /// [`AgentError`] if no process could be started. Nothing runs then.
    async fn start(&self, spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError>;

    /// Finds the agent of an attempt that an earlier process of this host started. `None` if it is gone, or if
    /// nothing more can be learned from it; then everything it had started is dead on return.
    ///
    /// # Errors
    ///
    /// [`AgentError`] if it is not known whether the agent still lives.
    async fn attach(&self, spec: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError>;
}

/// One live conversation with an agent.
#[async_trait]
pub trait AgentSession: fmt::Debug + Send {
    /// The next thing the agent did. After [`AgentEvent::Ended`] it is not called again.
    ///
    /// # Contract
    ///
    /// Cancel-safe: a dropped call loses no event. `Ended` is given only when the whole process tree is gone and
    /// reaped; it does not wait for the end of output that a stray process holds open.
    async fn next(&mut self) -> AgentEvent;

    /// Asks the agent to stop: politely, after `grace` by force. `next` then soon gives `Ended`. Idempotent.
    async fn stop(&mut self, grace: Duration);
}

/// Everything a runner needs to know about an attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentSpec {
    /// Names the attempt; the idempotency key.
    pub id: EffectId,
    /// The execution.
    pub execution: ExecutionId,
    /// The step, as the plan calls it.
    pub step: StepId,
    /// The step, as people call it.
    pub task: TaskId,
    /// Which attempt of the step.
    pub attempt: AttemptNo,
    /// What the attempt is for.
    pub purpose: Purpose,
    /// The role of the attempt, empty for a plain worker.
    pub role: String,
    /// What its role tells the agent about itself, beside the prompt; empty if it has none. It comes from the person's
    /// files or is built in, never from an agent. A runner that has no place for it leaves it out.
    pub system_prompt: String,
    /// What its role lets the agent use without being asked, in the words of the runner, instead of the runner's own
    /// list; empty leaves that list.
    pub tools: Vec<String>,
    /// Whether it may change files: false for reviews and for roles that only read. What it changes all the same is
    /// dropped when it is captured; a runner that can denies it before.
    pub can_edit: bool,
    /// Whether its step is reviewed: then it is one of a chain, whose agents hear from others by its reviews alone.
    pub reviewed: bool,
    /// The concurrency class, which also gives the model.
    pub tier: Tier,
    /// A model the plan named; otherwise the runner maps the tier.
    pub model: Option<String>,
    /// The prompt, complete but for [`AgentSpec::system_prompt`].
    pub prompt: String,
    /// Working directory. For the attempts of one step it stays the same over its fixes.
    pub workspace: PathBuf,
    /// A file that names the servers of tools which this attempt alone may use, as `{"mcpServers": {..}}`; none if there
    /// are none. What is in it is secret and lasts as long as the attempt: a runner hands over the path.
    pub tool_servers: Option<PathBuf>,
    /// Where the runner writes what the agent put out, capped.
    pub log: PathBuf,
    /// JSON Schema of the object that the final answer should be, for a runner with such a channel; others ignore it, and
    /// the prompt says how to answer without.
    pub answer_schema: Option<String>,
    /// The session of an earlier attempt to go on with, for a fix; a runner that cannot resume ignores it.
    pub resume: Option<String>,
    /// What this run may use at most. A runner whose program knows such a limit hands it on; what an agent tells of its use
    /// is held against it in any case.
    pub budget: Budget,
    /// Wall-clock limit.
    pub timeout: Duration,
    /// Limit without output or other sign of life.
    pub idle_timeout: Duration,
}

impl AgentSpec {
    /// A spec with the given identity; everything else empty, standard or 30 minutes.
    #[must_use]
    pub fn new(id: EffectId, execution: ExecutionId, step: StepId, attempt: AttemptNo, purpose: Purpose) -> Self {
        Self {
            id,
            execution,
            task: TaskId::of(execution, &step),
            step,
            attempt,
            purpose,
            role: String::new(),
            system_prompt: String::new(),
            tools: Vec::new(),
            can_edit: purpose != Purpose::Review,
            reviewed: purpose == Purpose::Review,
            tier: Tier::Standard,
            model: None,
            prompt: String::new(),
            workspace: PathBuf::new(),
            tool_servers: None,
            log: PathBuf::new(),
            answer_schema: None,
            resume: None,
            budget: Budget::default(),
            timeout: Duration::from_secs(1800),
            idle_timeout: Duration::from_secs(300),
        }
    }
}

/// What an agent did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AgentEvent {
    /// What it is doing now, in one line for people. Not stored.
    Activity(String),
    /// A piece of what it is saying, as it comes; the whole comes later as [`AgentEvent::Text`]. Not stored. One whose
    /// message is cut off is followed by no such text.
    Partial(String),
    /// Text it put out. Not stored; the log file has it.
    Text(String),
    /// The name of its own session, from which a later attempt may resume.
    Session(String),
    /// What this run used up to now, all of it.
    Used(Usage),
    /// It is over, and its process tree is gone.
    Ended(AgentEnd),
}

/// How an agent ended and what it said last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AgentEnd {
    /// The kind of end.
    pub exit: AgentExit,
    /// Its final message: verdicts and outputs are read from here and nowhere else. Capped by the runner at 256 KiB.
    pub text: String,
    /// The output it handed over outside its text, if it used that way.
    pub output: Option<String>,
    /// The verdict it gave by structured output, if the runner has such a channel.
    pub verdict: Option<Box<crate::verdict::Verdict>>,
    /// Entries that it proposes to remember by structured output, each a JSON object. The memory reads them, nothing else.
    pub proposals: Vec<String>,
    /// What a person should know beside how it ended, each in one line: tools that it was denied.
    pub notices: Vec<String>,
    /// Its session, if it can be resumed.
    pub session: Option<String>,
    /// What it cost.
    pub usage: Usage,
}

impl AgentEnd {
    /// An end of that kind, saying nothing.
    #[must_use]
    pub fn new(exit: AgentExit) -> Self {
        Self { exit, ..Self::default() }
    }

    /// The same with a final message.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

/// The kind of an agent's end. Judged by the runner from process and stream, never from what the text claims.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgentExit {
    /// It finished and said so.
    #[default]
    Success,
    /// It ended without a final result.
    NoResult,
    /// It failed. `transient` failures are worth another try.
    Error {
        /// What went wrong, in one line.
        message: String,
        /// Whether another try may help.
        transient: bool,
    },
    /// It declined the work.
    Refused {
        /// Its words.
        message: String,
    },
    /// It ran longer than [`AgentSpec::timeout`].
    TimedOut,
    /// It gave no sign of life for [`AgentSpec::idle_timeout`].
    Stuck,
    /// It put out more than the runner's limit.
    OutputLimit,
    /// The service asked to wait. Never charged to the step.
    RateLimited {
        /// When to try again.
        until: Timestamp,
    },
    /// The service is out: overloaded, broken or not to be reached. Never charged to the step.
    Unavailable {
        /// What it said, in one line.
        message: String,
    },
    /// It was stopped on request.
    Killed,
    /// It was stopped, by us or by itself, because a budget is used up.
    OverBudget,
}

/// Tokens and money of one attempt.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Money, in millionths of a US dollar.
    pub cost_micro_usd: u64,
}

impl Usage {
    /// How much of that unit.
    #[must_use]
    pub const fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
            Unit::MicroUsd => self.cost_micro_usd,
        }
    }

    /// What of it is not in the other, field by field.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_sub(other.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(other.output_tokens),
            cost_micro_usd: self.cost_micro_usd.saturating_sub(other.cost_micro_usd),
        }
    }

    /// The larger of both, field by field.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.max(other.input_tokens),
            output_tokens: self.output_tokens.max(other.output_tokens),
            cost_micro_usd: self.cost_micro_usd.max(other.cost_micro_usd),
        }
    }

    /// The sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost_micro_usd: self.cost_micro_usd.saturating_add(other.cost_micro_usd),
        }
    }
}

/// An agent could not be started or found.
#[derive(Debug, thiserror::Error)]
#[error("cannot start agent {program}: {reason}")]
#[non_exhaustive]
pub struct AgentError {
    /// The program, as configured.
    pub program: String,
    /// Why not.
    pub reason: String,
    /// Whether the same call may succeed later without anybody's help.
    pub transient: bool,
}

impl AgentError {
    /// An error about that program.
    #[must_use]
    pub fn new(program: impl Into<String>, reason: impl Into<String>, transient: bool) -> Self {
        Self { program: program.into(), reason: reason.into(), transient }
    }
}
