//! Waits for an entry: beside whoever drives, also from one driver to the next, or by driving it here.

use super::keeper::Books;
use super::list::shown;
use super::notes_of;
use crate::args::Overrides;
use crate::clients;
use crate::commands::Context;
use crate::commands::run::configured;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::notes::Notes;
use crate::output::Out;
use crate::rpc::{Client, Watch};
use crate::session::{Session, open_to_read};
use crate::steer::Action;
use crate::wire;
use enki_core::driver::{DriverError, Shutdown};
use enki_core::execution::{Execution, StepState};
use enki_core::id::ExecutionId;
use enki_notes::NotePath;
use enki_vcs_git::GitProject;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What is done where nobody drives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Idle {
    /// This process does.
    Drive,
    /// It is an error: somebody else has to.
    Leave,
}

/// What becomes of an entry when whoever waits leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Leaving {
    /// It is given up.
    Cancels,
    /// It goes on.
    Leaves,
}

/// How an entry is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) idle: Idle,
    pub(crate) leaving: Leaving,
}

/// Waits until nothing more happens to an entry of the project of `cx` by itself. `left` tells, or ends, when whoever waits
/// leaves. What happens is told meanwhile.
pub(crate) async fn wait(
    cx: &mut Context,
    id: ExecutionId,
    how: How,
    left: &mut mpsc::Receiver<()>,
    told: &mut dyn FnMut(&mut Out, &str),
) -> Result<Execution, CliError> {
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let mut session = None;
    let mut waiting = Waiting { git: &git, id, how, seen: 0, has_left: false };
    let waited = waiting.all(cx, &mut session, left, told).await;
    if let Some(mut session) = session {
        session.orchestrator.shut_down(if waited.is_ok() { Shutdown::Drain } else { Shutdown::Kill });
        let ended = session.ended().await;
        session.close();
        waited.and_then(|state| ended.map(|()| state))
    } else {
        waited
    }
}

struct Waiting<'a> {
    git: &'a GitProject,
    id: ExecutionId,
    how: How,
    /// The last event that was told.
    seen: u64,
    has_left: bool,
}

impl Waiting<'_> {
    async fn all(
        &mut self,
        cx: &mut Context,
        session: &mut Option<Session>,
        left: &mut mpsc::Receiver<()>,
        told: &mut dyn FnMut(&mut Out, &str),
    ) -> Result<Execution, CliError> {
        let mut tries = 0;
        loop {
            let state = self.state().await?;
            if state.ended().is_some() {
                return Ok(state);
            }
            match Client::connect(&self.git.enki_dir()).await? {
                Some(client) => {
                    tries = 0;
                    let watch = client.watch(self.id, self.seen).await?;
                    if self.beside(watch, &mut cx.out, left, told).await? {
                        return self.state().await;
                    }
                }
                None if self.how.idle == Idle::Leave => return Err(DriverError::Stopped.into()),
                None => match self.drive(cx).await {
                    Ok(begun) => *session = Some(begun),
                    // Whoever has just taken the lock will listen in a moment, or give it back.
                    Err(error) if error.exit == Exit::Locked && tries < TRIES => {}
                    Err(error) => return Err(error),
                },
            }
            if let Some(session) = session
                && session.has_ended()
            {
                session.ended().await?;
            }
            tries += 1;
            if tries > TRIES {
                return Err(CliError::new(Exit::Locked, format!("whoever drives {} does not go on with it", self.id))
                    .hint("look with `enki status`, then try again; it is in the queue"));
            }
            if tries > 1 {
                tokio::time::sleep(BETWEEN).await;
            }
        }
    }

    /// Listens to whoever drives. Whether nothing more happens; else they have gone.
    async fn beside(
        &mut self,
        mut watch: Watch,
        out: &mut Out,
        left: &mut mpsc::Receiver<()>,
        told: &mut dyn FnMut(&mut Out, &str),
    ) -> Result<bool, CliError> {
        loop {
            let event = tokio::select! {
                event = watch.next() => event,
                more = left.recv(), if !self.has_left || !left.is_closed() => {
                    if self.has_left && more.is_some() {
                        return Err(interrupted(self.id));
                    }
                    self.leave().await?;
                    continue;
                }
            };
            match event {
                Ok(Some(event)) => {
                    self.seen += u64::from(!event["event"].is_null());
                    if let Some(text) = event["text"].as_str() {
                        told(out, text);
                    }
                }
                Ok(None) => return Ok(watch.rests()),
                // Whoever drove has ended in the middle: the next has the rest.
                Err(error) if error.exit == Exit::Locked => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whoever waits leaves.
    async fn leave(&mut self) -> Result<(), CliError> {
        self.has_left = true;
        if self.how.leaving == Leaving::Leaves {
            return Err(interrupted(self.id));
        }
        // If nobody listens any more, the next round finds out.
        let Some(mut client) = Client::connect(&self.git.enki_dir()).await? else { return Ok(()) };
        client.call("steer", json!(Action::Cancel { id: self.id.hex() })).await.map(|_| ())
    }

    async fn state(&self) -> Result<Execution, CliError> {
        let store = open_to_read(&self.git.enki_dir())?.ok_or_else(|| look::not_found(&self.id.to_string()))?;
        look::load(store.as_ref(), self.id).await
    }

    async fn drive(&self, cx: &mut Context) -> Result<Session, CliError> {
        let config = configured(cx, self.git, &Overrides::default())?;
        let agents = wire::agents(&cx.backends, &config, &cx.host, self.git)?;
        clients::check(cx, &agents.clients, &self.git.ensure_enki_dir()?).await?;
        Box::pin(Session::start(cx, self.git, &config, &agents)).await
    }
}

/// Whether that says that nobody drives.
pub(crate) fn is_idle(error: &CliError) -> bool {
    error.message == DriverError::Stopped.to_string()
}

fn interrupted(id: ExecutionId) -> CliError {
    CliError::new(Exit::Interrupted, format!("{id} is not waited for any more")).hint(format!("enki status {id}"))
}

/// What came of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) status: &'static str,
    pub(crate) tasks: Vec<String>,
    pub(crate) output: String,
    /// Why it failed, or what it waits for.
    pub(crate) reasons: Vec<String>,
    pub(crate) results: Vec<String>,
}

/// What came of an entry that was waited for; its notes say so too.
pub(crate) async fn came(cx: &mut Context, state: &Execution) -> Result<Came, CliError> {
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let config = configured(cx, &git, &Overrides::default())?;
    let log = Arc::new(Notes::signed(&cx.host, &config, git.root())?.log);
    let notes: Vec<NotePath> = notes_of(&log, state.origin()).unwrap_or_default();
    if let Some(store) = open_to_read(&git.enki_dir())?
        && state.ended().is_some()
    {
        // Whoever drove writes them; it is the same that is written.
        Books { store, log: Arc::clone(&log) }.write(state.id()).await?;
    }
    let result = |path: &NotePath| Some(log.read(path).ok()?.document.text("result_note")?.to_owned());
    let outputs: Vec<&str> = state.steps().iter().filter_map(|step| step.output.as_deref()).collect();
    let failed = state.steps().iter().filter_map(|step| match &step.state {
        StepState::Failed(reason) => Some(reason.to_string()),
        _ => None,
    });
    let holds = state.holds().values().map(|reason| state.describe(reason));
    Ok(Came {
        status: shown(state),
        tasks: notes.iter().map(ToString::to_string).collect(),
        output: outputs.join("\n\n"),
        reasons: failed.chain(holds).collect(),
        results: notes.iter().filter_map(result).collect(),
    })
}

/// How often, and after how long, a driver is looked for again: 5 seconds.
const TRIES: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(50);
