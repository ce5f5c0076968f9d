//! Capability tokens: who holds one, and until when.

use crate::lines::Bucket;
use crate::role::Role;
use enki_core::agent::AgentSpec;
use enki_core::engine::Engine;
use enki_core::execution::{Run, Running, StepState};
use enki_core::id::{AttemptNo, EffectId, ExecutionId, StepId, StepIx, TaskId};
use enki_core::tier::Purpose;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A secret of 256 random bits, in hex. Whoever holds it may call what its role may, as long as it lives.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Token(String);

impl Token {
    /// A token of bits that the caller drew: at least 32 bytes of a good source.
    #[must_use]
    pub fn of(bits: &[u8; 32]) -> Self {
        Self(bits.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The text that another process shows.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Token {
    /// Never the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// An attempt that holds a token.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) id: EffectId,
    pub(crate) execution: ExecutionId,
    pub(crate) step: StepId,
    pub(crate) task: TaskId,
    pub(crate) number: AttemptNo,
    /// Where it works.
    pub(crate) workspace: PathBuf,
}

/// Who holds a token.
#[derive(Clone, Debug)]
pub(crate) enum Pass {
    /// A session that a person opened, and the conversation it goes on with, if it is one of Enki's own.
    Coordinator(Option<Arc<str>>),
    /// An agent.
    Attempt(Box<Attempt>),
}

/// A live attempt: which step it is at, and what it may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alive {
    pub(crate) role: Role,
    pub(crate) step: StepIx,
    /// Whether its step is reviewed: no agent of a chain hears from others but by its reviews.
    pub(crate) reviewed: bool,
}

impl Attempt {
    /// What the attempt may, as the machines see it; `None` if it is over. Asked at every call.
    pub(crate) fn alive(&self, engine: &Engine) -> Option<Alive> {
        let execution = engine.execution(self.execution)?;
        let step = execution.plan().find(self.step.as_str())?;
        let StepState::Running(Running { purpose, run: Run::Live { attempt, .. } }) = &execution.step(step).state
        else {
            return None;
        };
        if *attempt != self.number {
            return None;
        }
        let role = match purpose {
            _ if execution.origin() == QUICK => Role::Quick,
            Purpose::Review => Role::Reviewer,
            Purpose::Resolve => Role::Resolver,
            Purpose::Work | Purpose::Fix if execution.plan().step(step).read_only => Role::Reader,
            Purpose::Work | Purpose::Fix => Role::Worker,
        };
        Some(Alive { role, step, reviewed: execution.plan().step(step).review.is_some() })
    }
}

/// The origin of what a conversation makes, by which its executions are found again.
#[must_use]
pub fn origin_of(conversation: &str) -> String {
    format!("coordinator {conversation}")
}

/// The origin of quick tasks, by which their attempts are known.
pub(crate) const QUICK: &str = "quick task";

/// The tokens that are worth something. In memory only: with the driver they all end. Cheap to clone; all clones are
/// one.
#[derive(Clone, Debug, Default)]
pub struct Passes(Arc<Mutex<HashMap<Token, Held>>>);

/// A token that is worth something.
#[derive(Clone, Debug)]
struct Held {
    pass: Pass,
    /// The calls that it may still make now, over how many connections ever.
    calls: Bucket,
}

impl Passes {
    /// Lets the agent of an attempt call what an attempt of its kind may, as long as it lives.
    pub fn admit_attempt(&self, token: Token, spec: &AgentSpec) {
        let attempt = Attempt {
            id: spec.id,
            execution: spec.execution,
            step: spec.step.clone(),
            task: spec.task,
            number: spec.attempt,
            workspace: spec.workspace.clone(),
        };
        self.admit(token, Pass::Attempt(Box::new(attempt)));
    }

    /// Lets a session call what a coordinator may, until it is dismissed.
    pub fn admit_coordinator(&self, token: Token) {
        self.admit(token, Pass::Coordinator(None));
    }

    /// The same for a conversation of Enki's own: what it makes has [`origin_of`] it as its origin, and what a person has
    /// to approve is asked of them at their terminal, so it may not answer that.
    pub fn admit_conversation(&self, token: Token, conversation: &str) {
        self.admit(token, Pass::Coordinator(Some(origin_of(conversation).into())));
    }

    /// The token is worth nothing any more.
    pub fn dismiss(&self, token: &Token) {
        self.lock().remove(token);
    }

    /// The tokens of an attempt are worth nothing any more.
    pub fn dismiss_attempt(&self, id: EffectId) {
        self.lock().retain(|_, held| !matches!(&held.pass, Pass::Attempt(attempt) if attempt.id == id));
    }

    /// Who holds a token.
    pub(crate) fn of(&self, token: &Token) -> Option<Pass> {
        self.lock().get(token).map(|held| held.pass.clone())
    }

    /// Takes one call of a token, or says how long it has to wait. One that is worth nothing is refused elsewhere.
    pub(crate) fn take(&self, token: &Token) -> Result<(), Duration> {
        self.lock().get_mut(token).map_or(Ok(()), |held| held.calls.take())
    }

    fn admit(&self, token: Token, pass: Pass) {
        self.lock().insert(token, Held { pass, calls: Bucket::default() });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Token, Held>> {
        // Each change is one entry: what a panicking thread left is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
