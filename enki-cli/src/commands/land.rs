//! `enki land`: what is merged and has not landed goes to its target, and what became of it is said.

use super::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look::{self, Logged};
use crate::rpc::Client;
use crate::session::{Session, open_to_read};
use crate::source::visible;
use crate::steer::Action;
use crate::wire;
use enki_core::driver::{Orchestrator, Shutdown};
use enki_core::execution::{Command, Event, Execution, HoldReason, Refusal, StepState};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::store::TaskStore;
use enki_vcs_git::GitProject;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

pub(super) async fn run(cx: &mut Context, id: &str) -> Result<Exit, CliError> {
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let enki_dir = git.enki_dir();
    let Some(store) = open_to_read(&enki_dir)? else {
        return Err(CliError::new(Exit::NotFound, "there is no execution yet").hint("start one with `enki run PLAN`"));
    };
    let named = look::find(store.as_ref(), Some(id)).await?;
    if named.step.is_some() {
        return Err(CliError::usage(format!("{id:?} is a task, and only an execution lands"))
            .hint(format!("enki land {}", named.execution)));
    }
    let id = named.execution;
    let events = look::events(store.as_ref(), id).await?;
    let before = look::load(store.as_ref(), id).await?;
    let steps = waiting(&before);
    if !before.landing_due() {
        return said(cx, &before, &steps, &Outcome::Nothing);
    }
    announce(cx, &before, &steps);
    let seen = events.last().map_or(0, |logged| logged.version.0);
    if let Some(mut client) = Client::connect(&enki_dir).await? {
        let action = serde_json::to_value(Action::Land { id: id.hex() });
        client.call("steer", action.map_err(|e| CliError::new(Exit::Internal, e.to_string()))?).await?;
        let mut watch = client.watch(id, seen).await?;
        while let Some(event) = watch.next().await? {
            let body = &event["event"]["event"];
            let over = ["landed", "landing_refused", "ended"].iter().any(|kind| body.get(kind).is_some());
            if over || body["hold_opened"]["reason"].get("trouble").is_some() {
                break;
            }
        }
    } else {
        drop(store);
        drive(cx, &git, id).await?;
    }
    let Some(store) = open_to_read(&enki_dir)? else {
        return Err(CliError::new(Exit::Store, "the store disappeared meanwhile"));
    };
    let outcome = outcome(store.as_ref(), id, seen).await?;
    let after = look::load(store.as_ref(), id).await?;
    said(cx, &after, &steps, &outcome)
}

/// Lands without any agent: whoever drives next goes on with the rest.
async fn drive(cx: &mut Context, git: &GitProject, id: ExecutionId) -> Result<(), CliError> {
    let config = cx.config(Some(&crate::project::Project { root: git.root().to_owned() }))?;
    let agents = wire::no_agents(&config, &cx.host, git)?;
    let mut session = Session::start(cx, git, &config, &agents).await?;
    let landed = landed(&session.orchestrator.clone(), id).await;
    session.orchestrator.shut_down(Shutdown::Drain);
    let ended = session.ended().await;
    session.close();
    landed.and(ended)
}

async fn landed(orchestrator: &Orchestrator, id: ExecutionId) -> Result<(), CliError> {
    let mut notices = orchestrator.watch();
    orchestrator.load(id).await?;
    orchestrator.command(id, Command::Land).await?;
    loop {
        let is_over = orchestrator.query(move |engine| {
            let Some(execution) = engine.execution(id) else { return true };
            let flies = execution.open_requests().any(|(step, _)| step.is_none());
            let trouble = execution.holds().values().any(|reason| matches!(reason, HoldReason::Trouble { .. }));
            !flies || trouble
        });
        if is_over.await? {
            return Ok(());
        }
        if matches!(notices.recv().await, Err(RecvError::Closed)) {
            return Ok(());
        }
    }
}

/// How it ended.
enum Outcome {
    /// There is nothing to land.
    Nothing,
    Landed,
    /// A person has to do something.
    Waits {
        reason: String,
        command: Option<String>,
        /// Uncommitted files are in the way.
        dirty: bool,
    },
}

async fn outcome(store: &dyn TaskStore, id: ExecutionId, seen: u64) -> Result<Outcome, CliError> {
    let events = look::events(store, id).await?;
    let state = look::fold(&events).ok_or_else(|| CliError::new(Exit::Internal, format!("{id} has no events")))?;
    if !state.landing_due() {
        return Ok(Outcome::Landed);
    }
    let new = || events.iter().filter(|logged| logged.version.0 > seen);
    let dirty = new()
        .any(|Logged { event, .. }| matches!(event, Event::LandingRefused { reason: Refusal::Blocked { .. }, .. }));
    let mut hold = new().filter_map(|Logged { event, .. }| match event {
        Event::HoldOpened { reason: HoldReason::Landing { reason, command }, .. } => {
            Some((reason.clone(), Some(command.clone())))
        }
        Event::HoldOpened { reason: reason @ (HoldReason::Rewound | HoldReason::Trouble { .. }), .. } => {
            Some((state.describe(reason), None))
        }
        _ => None,
    });
    // The same as before is not opened anew; that of a cancelled execution is closed by its end.
    let open = state.holds().values().find_map(|reason| match reason {
        HoldReason::Landing { reason, command } => Some((reason.clone(), Some(command.clone()))),
        _ => None,
    });
    // Nobody's agent was started: whoever drives, or the next one to, does that.
    let resolver = state.landing_resolver().map(|ix| {
        let reason = format!("it conflicts, and step {} is to solve that", state.plan().step(ix).id);
        (reason, Some(format!("enki resume {id}")))
    });
    let (reason, command) = resolver
        .or(open)
        .or_else(|| hold.next_back())
        .unwrap_or_else(|| ("it goes on, and has not landed yet".to_owned(), None));
    Ok(Outcome::Waits { reason, command, dirty })
}

/// The steps that are merged and have not landed.
fn waiting(execution: &Execution) -> Vec<String> {
    let of = |ix: &StepIx| {
        let step = execution.step(*ix);
        matches!(step.state, StepState::Done(_)) && step.landing.is_none() && !execution.has_landed(*ix)
    };
    let all = (0..execution.steps().len()).map(StepIx::at).filter(of);
    all.map(|ix| execution.plan().step(ix).id.to_string()).collect()
}

fn announce(cx: &mut Context, execution: &Execution, steps: &[String]) {
    let (id, target, total) = (execution.id(), execution.target(), execution.steps().len());
    let what = match execution.status() {
        status @ ("failed" | "cancelled") => format!("{id} {status}: of its {total} steps these land on {target}"),
        _ => format!("{id}: these steps land on {target}"),
    };
    cx.out.note(&format!("{what}: {}", steps.join(", ")));
}

fn said(cx: &mut Context, execution: &Execution, steps: &[String], outcome: &Outcome) -> Result<Exit, CliError> {
    let (id, target) = (execution.id(), execution.target());
    let (exit, text, command) = match outcome {
        Outcome::Nothing => (Exit::Ok, format!("nothing of {id} waits to land on {target}"), None),
        Outcome::Landed => (Exit::Ok, format!("landed on {target}: {}", steps.join(", ")), None),
        Outcome::Waits { reason, command, dirty } => {
            let exit = if *dirty { Exit::WouldLoseWork } else { Exit::NeedsPerson };
            (exit, format!("{id} has not landed on {target}: {}", visible(reason)), command.clone())
        }
    };
    if cx.out.json {
        let landed = if matches!(outcome, Outcome::Landed) { steps } else { &[] };
        cx.out.object(
            &json!({"schema": "enki.land.v1", "execution_id": id.to_string(), "status": execution.status(),
            "target": target.as_str(), "landed": landed, "message": text, "command": command,
            "exit": {"code": exit.code(), "name": exit.name()}}),
        )?;
        return Ok(exit);
    }
    cx.out.line(&text)?;
    if let Some(command) = command {
        cx.out.line(&format!("finish it with: {}", visible(&command)))?;
    }
    Ok(exit)
}
