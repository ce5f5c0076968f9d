//! Driving one execution in the foreground until it ends, waits for a person, or is interrupted.

use crate::chains::Joined;
use crate::commands::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look::Follower;
use crate::render::{self, Live, Paint, short};
use crate::session::{Session, open_to_read};
use crate::source::visible;
use crate::view::{ExecutionView, exit_of};
use enki_core::driver::{NoticeKind, Shutdown};
use enki_core::execution::{Command, Execution, HoldReason};
use enki_core::id::ExecutionId;
use enki_vcs_git::GitProject;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

/// Who answers when it is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answers {
    /// The person at the terminal, if there is one.
    Person,
    /// The demo itself, after showing what waits.
    Demo,
}

/// The signals that end a run.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, CliError> {
        let of =
            |kind| signal(kind).map_err(|error| CliError::environment(format!("cannot listen for signals: {error}")));
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            hangup: of(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
            _ = self.hangup.recv() => Exit::Hangup,
        }
    }
}

/// Drives until nothing more happens to the execution by itself, shows it, and ends the session. Gives the final state
/// and how the process ends.
pub(crate) async fn drive(
    cx: &mut Context,
    mut session: Session,
    id: ExecutionId,
    answers: Answers,
) -> Result<(Execution, Exit), CliError> {
    let mut signals = Signals::new()?;
    let mut notices = session.orchestrator.watch();
    let mut follower = Follower::new(Arc::clone(&session.store), id);
    let mut live = Live::new(&cx.out);
    let mut interrupted: Option<Exit> = None;
    let mut leaving = false;
    let mut asked = 0;
    let ended = loop {
        follower.advance(|state, one| live.event(&mut cx.out, state, &one.event, one.at)).await?;
        if let Some(state) = follower.state() {
            live.turn(state);
        }
        if !leaving && session.orchestrator.query(move |engine| engine.at_rest(id)).await.unwrap_or(true) {
            let state = follower.state().cloned();
            if let Some(state) = state.filter(|state| wants_answer(state) && asked < state.steps().len() + 8) {
                asked += 1;
                live.finish();
                let go_on = tokio::select! {
                    go_on = answer(cx, &state, answers) => go_on,
                    signal = signals.next() => {
                        interrupted = Some(signal);
                        false
                    }
                };
                live = Live::new(&cx.out);
                if go_on {
                    session.orchestrator.command(id, Command::Resume(None)).await?;
                    continue;
                }
            }
            leaving = true;
            session.orchestrator.shut_down(Shutdown::Drain);
        }
        tokio::select! {
            notice = notices.recv() => match notice {
                Ok(notice) => match notice.kind {
                    NoticeKind::Activity { place, text, .. } if place.execution == id => {
                        live.activity(place.step, &text);
                        continue;
                    }
                    _ => {}
                },
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break session.ended().await,
            },
            result = session.ended() => break result,
            signal = signals.next() => {
                if interrupted.is_none() && !leaving {
                    let running = follower.state().map_or(0, |state| state.counts().running);
                    let word = Paint(cx.out.color).wait("stopping");
                    let text = format!("{word}: nothing new starts, {running} running steps end; once more stops them now");
                    live.say(&mut cx.out, &text);
                    session.orchestrator.shut_down(Shutdown::Drain);
                } else {
                    session.orchestrator.shut_down(Shutdown::Kill);
                }
                interrupted.get_or_insert(signal);
                leaving = true;
            }
        }
    };
    follower.advance(|state, one| live.event(&mut cx.out, state, &one.event, one.at)).await?;
    live.finish();
    session.close();
    ended?;
    let state =
        follower.state().cloned().ok_or_else(|| CliError::new(Exit::Internal, format!("{id} has no events")))?;
    let exit = interrupted.unwrap_or_else(|| exit_of(&state));
    Ok((state, exit))
}

pub(crate) fn wants_answer(state: &Execution) -> bool {
    let gate = |reason: &HoldReason| matches!(reason, HoldReason::Checkpoint { .. } | HoldReason::Approval { .. });
    !state.is_paused() && state.ended().is_none() && state.holds().values().any(gate)
}

/// Whether to go on after a checkpoint or approval.
pub(crate) async fn answer(cx: &mut Context, state: &Execution, answers: Answers) -> bool {
    let reasons: Vec<String> = state.holds().values().map(|reason| visible(&state.describe(reason))).collect();
    let paint = Paint(cx.out.color);
    if answers == Answers::Demo {
        cx.out.note(&format!("{} {}", paint.wait("waits for you:"), reasons.join("; ")));
        cx.out.note(&paint.dim(&format!("(the demo answers with: enki resume {})", state.id())));
        return true;
    }
    if !(cx.out.terminal.stdin && cx.out.terminal.stderr) || cx.out.json || cx.out.quiet {
        return false;
    }
    for reason in state.holds().values() {
        if let HoldReason::Checkpoint { step } = reason
            && let Some(output) = &state.step(*step).output
        {
            cx.out.say(&format!("output of {}:", state.plan().step(*step).id));
            output.lines().for_each(|line| cx.out.say(&format!("  {}", visible(line))));
        }
    }
    cx.out.say(&format!("{} {}", paint.wait("waits for you:"), reasons.join("; ")));
    cx.out.say("go on? [y/N]");
    let mut stdin = std::mem::replace(&mut cx.host.stdin, Box::new(std::io::empty()));
    let read = tokio::task::spawn_blocking(move || {
        let mut line = Vec::new();
        let mut byte = [0];
        // One byte at a time: what follows the line is not ours.
        while let Ok(1) = stdin.read(&mut byte) {
            if byte[0] == b'\n' || line.len() > 100 {
                break;
            }
            line.push(byte[0]);
        }
        (stdin, line)
    });
    let Ok((stdin, line)) = read.await else { return false };
    cx.host.stdin = stdin;
    matches!(String::from_utf8_lossy(&line).trim().to_lowercase().as_str(), "y" | "yes")
}

/// Prints how a run ended: `enki.run.v1`, or a summary for people.
pub(crate) async fn summary(cx: &mut Context, state: &Execution, exit: Exit, git: &GitProject) -> Result<(), CliError> {
    let (view, enki_dir) = (ExecutionView::of(state, cx.host.now()), git.enki_dir());
    let joined = match open_to_read(&enki_dir)? {
        Some(store) => Joined::load(store.as_ref(), state, git).await?,
        None => None,
    };
    if cx.out.json {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for step in &view.steps {
            *counts.entry(step.status).or_default() += 1;
        }
        let landed: Vec<_> = view
            .steps
            .iter()
            .filter_map(|step| Some(json!({"step": step.id, "commit": step.commit.as_ref()?, "landed": step.landed})))
            .collect();
        let failed: Vec<_> = view
            .steps
            .iter()
            .filter_map(|step| Some(json!({"step": step.id, "task": step.task, "reason": step.reason.as_ref()?})))
            .collect();
        let value = json!({"schema": "enki.run.v1", "execution_id": view.id, "status": view.status, "steps": counts,
            "landed": landed, "failed": failed, "holds": view.holds, "waiting_for": view.waiting_for,
            "artifacts": view.steps.iter().filter_map(|step| step.artifact.clone()).collect::<Vec<_>>(),
            "reviews": joined, "cost": view.cost, "exit": {"code": exit.code(), "name": exit.name()}});
        drop(cx.out.object(&value));
        return Ok(());
    }
    let paint = Paint(cx.out.color_out);
    let took = render::span(cx.host.now().since(state.created()));
    let mut lines =
        vec![format!("{} {} after {took}: {}", paint.bold(&view.id), paint.status(view.status), view.graph().counts())];
    let width = view.steps.iter().map(|step| step.id.len()).max().unwrap_or(0);
    for step in view.steps.iter().filter(|step| step.status == "done") {
        let what = match (&step.commit, &step.artifact) {
            (Some(commit), _) => short(commit).to_owned(),
            (None, Some(artifact)) => artifact.clone(),
            (None, None) => "no changes".to_owned(),
        };
        let rest = if step.landed || step.commit.is_none() { "" } else { "  (not landed)" };
        lines.push(format!("  {:width$}  {what:12}  {}{rest}", step.id, visible(&step.title)));
    }
    for step in view.steps.iter().filter(|step| step.reason.is_some()) {
        let reason = visible(step.reason.as_deref().unwrap_or_default());
        lines.push(format!("  {:width$}  {}: {reason}", step.id, paint.bad("failed")));
        // One of Enki's own has a hold, which says what to do.
        if !step.resolves_landing {
            let retry = step.retry.as_deref().unwrap_or_default();
            lines.push(format!("  {:width$}  try again with: {retry} && enki resume {}", "", view.id));
            if let Some(accept) = &step.accept {
                lines.push(format!("  {:width$}  or take it as it is: {accept} && enki resume {}", "", view.id));
            }
        }
    }
    lines.extend(joined.as_ref().map(|joined| render::joined(joined, paint)).unwrap_or_default());
    for hold in &view.holds {
        let then = if hold.kind == "landing" { "finish it with" } else { "go on with" };
        lines.push(format!("  {} {}; {then}: {}", paint.wait("waits:"), visible(&hold.reason), visible(&hold.answer)));
    }
    for reason in view.waiting_for.iter().filter(|reason| view.holds.iter().all(|hold| hold.reason != **reason)) {
        lines.push(format!("  {} {}; go on with: enki resume {}", paint.wait("waits for"), visible(reason), view.id));
    }
    match (&view.landed, &view.head) {
        (Some(landed), Some(head)) if landed == head => {
            lines.push(format!("  {} is at {}", view.target, short(landed)))
        }
        (_, Some(head)) if view.base.as_ref() != Some(head) => {
            lines.push(format!("  {} is at {}, kept until it lands on {}", view.branch, short(head), view.target));
        }
        _ => {}
    }
    if view.cost.usd > 0.0 || view.cost.tokens > 0 {
        lines.push(format!("  cost ${:.2}, {} tokens", view.cost.usd, view.cost.tokens));
    }
    if matches!(exit, Exit::Interrupted | Exit::Terminated | Exit::Hangup) {
        lines.push(format!("  interrupted; go on with: enki resume {}", view.id));
    }
    lines.push(format!(
        "  log: enki log {}, output of agents in {}",
        view.id,
        enki_dir.join("logs").join(&view.id).display()
    ));
    for line in lines {
        // A reader that went away does not change how the run ended (bad input 9).
        drop(cx.out.line(&line));
    }
    Ok(())
}
