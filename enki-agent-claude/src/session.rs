//! One run of the client, from its output to the attempt's end.

use crate::clock;
use crate::command::{self, Session};
use crate::config::ClaudeConfig;
use crate::confined::confine;
use crate::decode::Decoder;
use crate::outcome::{Cut, Judge, ProcessEnd, Status};
use crate::runner::cannot_start;
use async_trait::async_trait;
use enki_core::agent::{AgentEnd, AgentError, AgentEvent, AgentExit, AgentSession, AgentSpec};
use enki_process::{Cause, Child, ChildEvent, Ended, Held, Stream};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A live session. Dropping it kills the client and everything it started.
#[derive(Debug)]
pub(crate) struct ClaudeSession {
    config: Arc<ClaudeConfig>,
    spec: AgentSpec,
    state: State,
    waiting: VecDeque<AgentEvent>,
    /// Asked to stop; then nothing is started any more.
    stopped: bool,
}

#[derive(Debug)]
enum State {
    Running(Box<Run>),
    /// The last run ended before it began, because of the name of its session; this one comes next.
    Again(Session),
    Over,
}

/// One process.
#[derive(Debug)]
struct Run {
    child: Child,
    _held: Option<Held>,
    session: Session,
    decoder: Decoder,
    judge: Judge,
    /// When it last put out something.
    heard: Instant,
    /// Why this session ends it, if it does. The first reason counts.
    why: Option<Why>,
}

/// Why a session ends a client by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Why {
    /// It was asked to.
    Asked,
    /// It lived on in silence after its result.
    Lingers,
    /// It heard nothing of the model for too long.
    Silent,
}

impl ClaudeSession {
    pub(crate) async fn start(
        config: Arc<ClaudeConfig>,
        spec: AgentSpec,
        session: Session,
    ) -> Result<Self, AgentError> {
        let run = Run::start(&config, &spec, session).await?;
        Ok(Self { config, spec, state: State::Running(Box::new(run)), waiting: VecDeque::new(), stopped: false })
    }

    /// The process ended: either the next one is due, or the attempt is over.
    fn ended(&mut self, ended: &Ended) {
        let State::Running(run) = std::mem::replace(&mut self.state, State::Over) else { return };
        let Run { session, mut decoder, mut judge, why, .. } = *run;
        let waiting = &mut self.waiting;
        decoder.finish(&mut |event| judge.see(&event, &mut |shown| put(waiting, shown)));
        let end = process_end(ended, why);
        if !self.stopped && end.cut.is_none() {
            let next = if judge.session_is_missing() {
                session.without_resume()
            } else if judge.session_is_taken(&end.stderr) {
                session.without_name()
            } else {
                None
            };
            if let Some(next) = next {
                self.waiting.push_back(AgentEvent::Activity(note(&next).to_owned()));
                self.state = State::Again(next);
                return;
            }
        }
        if ended.strays > 0 {
            let line = format!("{} of its processes lived on and were killed", ended.strays);
            self.waiting.push_back(AgentEvent::Activity(line));
        }
        self.waiting.push_back(AgentEvent::Ended(judge.end(&end, clock::now())));
    }
}

#[async_trait]
impl AgentSession for ClaudeSession {
    async fn next(&mut self) -> AgentEvent {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            match &mut self.state {
                State::Running(run) => {
                    // Cancel-safe: what the child gives is taken in before the next await.
                    match run.next(self.config.linger, self.spec.idle_timeout).await {
                        Some(ChildEvent::Ended(ended)) => self.ended(&ended),
                        Some(event) => run.take(&event, &mut self.waiting),
                        None => run.end(self.config.grace),
                    }
                }
                State::Again(_) if self.stopped => {
                    self.state = State::Over;
                    self.waiting.push_back(AgentEvent::Ended(AgentEnd::new(AgentExit::Killed)));
                }
                State::Again(session) => match Run::start(&self.config, &self.spec, session.clone()).await {
                    Ok(run) => self.state = State::Running(Box::new(run)),
                    Err(error) => {
                        self.state = State::Over;
                        let exit = AgentExit::Error { message: error.to_string(), transient: error.transient };
                        self.waiting.push_back(AgentEvent::Ended(AgentEnd::new(exit)));
                    }
                },
                State::Over => std::future::pending().await,
            }
        }
    }

    async fn stop(&mut self, grace: Duration) {
        self.stopped = true;
        if let State::Running(run) = &mut self.state {
            run.why.get_or_insert(Why::Asked);
            run.child.stop(grace);
        }
    }
}

impl Run {
    async fn start(config: &ClaudeConfig, spec: &AgentSpec, session: Session) -> Result<Self, AgentError> {
        let spawn = command::spawn(config, spec, &session)?;
        let (spawn, held) = confine(config, spec, spawn)?;
        let child = spawn.start().await.map_err(|error| cannot_start(&error))?;
        let judge = Judge::new(&spec.workspace.to_string_lossy(), config.rate_limit_pause);
        Ok(Self { child, _held: held, session, decoder: Decoder::default(), judge, heard: Instant::now(), why: None })
    }

    /// `None`: it was silent for longer than it may be.
    async fn next(&mut self, linger: Duration, idle: Duration) -> Option<ChildEvent> {
        let limit = if self.why.is_some() {
            None
        } else if self.judge.has_result() {
            Some(linger)
        } else if self.judge.awaits_tool() {
            // The keeper of the process looks whether its children work.
            None
        } else {
            // Not left to the keeper: a client that waits in vain still takes a little processor time.
            Some(idle)
        };
        match limit.and_then(|limit| self.heard.checked_add(limit)) {
            Some(until) => timeout_at(until, self.child.next()).await.ok(),
            None => Some(self.child.next().await),
        }
    }

    fn take(&mut self, event: &ChildEvent, waiting: &mut VecDeque<AgentEvent>) {
        self.heard = Instant::now();
        let judge = &mut self.judge;
        match event {
            ChildEvent::Output { stream: Stream::Stdout, bytes, .. } => {
                self.decoder.feed(bytes, &mut |event| judge.see(&event, &mut |shown| put(waiting, shown)));
            }
            ChildEvent::Lost { .. } => self.decoder.gap(),
            _ => {}
        }
    }

    /// Ends a client that was silent for too long.
    fn end(&mut self, grace: Duration) {
        self.why = Some(if self.judge.has_result() { Why::Lingers } else { Why::Silent });
        self.child.stop(grace);
    }
}

/// Pieces of one text that came together are given together: one event for each read, and not for each word.
fn put(waiting: &mut VecDeque<AgentEvent>, event: AgentEvent) {
    match (waiting.back_mut(), event) {
        (Some(AgentEvent::Partial(before)), AgentEvent::Partial(piece)) => before.push_str(&piece),
        (_, event) => waiting.push_back(event),
    }
}

fn process_end(ended: &Ended, why: Option<Why>) -> ProcessEnd {
    let cut = match (ended.cause, why) {
        (Cause::TimedOut, _) => Some(Cut::TimedOut),
        (Cause::Idle, _) | (Cause::Stopped, Some(Why::Silent)) => Some(Cut::Silent),
        (Cause::OutputLimit, _) => Some(Cut::TooMuch),
        (Cause::Stopped, None | Some(Why::Asked)) => Some(Cut::Stopped),
        _ => None,
    };
    let status = match ended.status {
        _ if why.is_some() || cut.is_some() => Status::Ours,
        enki_process::Status::Code(code) => Status::Code(code),
        enki_process::Status::Signal(signal) => Status::Signal(signal),
        _ => Status::Ours,
    };
    ProcessEnd { cut, status, stderr: String::from_utf8_lossy(&ended.stderr_tail).into_owned() }
}

fn note(next: &Session) -> &'static str {
    match next {
        Session::New => "the earlier session is gone; starting anew",
        Session::Unnamed | Session::ResumeUnnamed(_) => {
            "an earlier run of this attempt has its session; starting another"
        }
        Session::Resume(_) => "starting again",
    }
}
