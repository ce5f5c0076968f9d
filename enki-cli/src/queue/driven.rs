//! A project that is driven as a whole: all that is open in it, and what is to be seen of that.

use crate::clients;
use crate::commands::Context;
use crate::config::Config;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look::Follower;
use crate::output::Out;
use crate::render::{self, Paint};
use crate::session::Session;
use crate::view::exit_of;
use crate::wire;
use enki_core::driver::{Notice, NoticeKind, Shutdown};
use enki_core::execution::Execution;
use enki_core::id::ExecutionId;
use enki_core::store::{LogId, Version};
use enki_core::time::Timestamp;
use enki_vcs_git::GitProject;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// A project that this process drives.
pub(crate) struct Driven {
    /// Until it was closed.
    session: Option<Session>,
    notices: broadcast::Receiver<Notice>,
    followers: BTreeMap<ExecutionId, Follower>,
    /// Those of which something new is to be read.
    unread: BTreeSet<ExecutionId>,
    /// How the driver ended, until that is told.
    ended: Option<Result<(), CliError>>,
    /// How those came out that have ended, and how far they were read: their states are not kept.
    over: BTreeMap<ExecutionId, (Exit, Version)>,
    paint: Paint,
}

/// What happened.
pub(crate) enum News {
    /// Something to show; it may be nothing.
    Moved(Vec<Line>),
    /// The driver has ended. The session is to be closed.
    Ended(Result<(), CliError>),
}

/// An event to show.
pub(crate) struct Line {
    id: ExecutionId,
    at: Timestamp,
    text: Option<String>,
    object: Value,
}

impl Line {
    /// Shows it, as one of that project if there are several.
    pub(crate) fn show(&self, out: &mut Out, project: Option<&str>) {
        if out.json {
            let mut object = self.object.clone();
            if let Some(project) = project {
                object["project"] = json!(project);
            }
            // A reader that went away does not stop a run (bad input 9).
            drop(out.object(&object));
        } else if let Some(text) = &self.text {
            let of = project.map_or_else(String::new, |project| format!("{project} "));
            out.note(&format!("{} {of}{} {text}", Paint(out.color).dim(&render::clock(self.at)), self.id.short()));
        }
    }
}

impl Driven {
    /// Takes the project's lock, and begins.
    pub(crate) async fn start(cx: &mut Context, git: &GitProject, config: &Config) -> Result<Self, CliError> {
        let agents = wire::agents(&cx.backends, config, &cx.host, git)?;
        cx.out.note(&agents.sandbox.line());
        wire::record_folder(git, &mut cx.out)?;
        clients::check(cx, &agents.clients, &git.ensure_enki_dir()?).await?;
        let session = Box::pin(Session::start(cx, git, config, &agents)).await?;
        let notices = session.orchestrator.watch();
        Ok(Self {
            session: Some(session),
            notices,
            followers: BTreeMap::new(),
            unread: BTreeSet::new(),
            ended: None,
            over: BTreeMap::new(),
            paint: Paint(cx.out.color),
        })
    }

    /// Whether nothing is left to do without a person. What waits for a time is not over; what waits for another entry is as
    /// far as that one.
    pub(crate) async fn is_over(&self) -> bool {
        let Some(session) = &self.session else { return true };
        let over = session.orchestrator.query(|engine| {
            let is_open = |id| engine.execution(id).is_some_and(|state| state.ended().is_none());
            // The one that it waits for is among all of them. If that has ended, this one starts.
            let waits = |state: &Execution| state.after().is_some_and(|(id, _)| is_open(id));
            let rests =
                |state: &Execution| engine.at_rest(state.id()) && (state.status() != "scheduled" || waits(state));
            engine.executions().all(|state| state.ended().is_some() || rests(state))
        });
        over.await.unwrap_or(true)
    }

    /// The next news. May be dropped and asked again: what was found out is kept until it is told. Nothing more comes once
    /// it has ended.
    pub(crate) async fn next(&mut self) -> News {
        if self.unread.is_empty() && self.ended.is_none() {
            self.listen().await;
        }
        if let Some(id) = self.unread.first().copied() {
            let moved = self.advance(id).await;
            self.unread.remove(&id);
            return News::Moved(moved.unwrap_or_else(|error| {
                // The driver finds the same at its next append, and says so.
                tracing::warn!(why = %error.message, "what happens cannot be read");
                Vec::new()
            }));
        }
        self.ended.take().map_or_else(|| News::Moved(Vec::new()), News::Ended)
    }

    /// Waits until something is to be read, or the driver has ended.
    async fn listen(&mut self) {
        let Some(session) = &mut self.session else { return std::future::pending().await };
        tokio::select! {
            notice = self.notices.recv() => match notice {
                Ok(Notice { kind: NoticeKind::Event { log, .. }, .. })
                    if log.kind == enki_core::store::LogKind::Execution =>
                {
                    self.unread.insert(ExecutionId::new(log.id));
                }
                Err(RecvError::Lagged(_)) => self.unread.extend(self.followers.keys()),
                _ => {}
            },
            ended = session.ended() => {
                self.ended = Some(ended);
                self.unread.extend(self.followers.keys());
            }
        }
    }

    /// Starts nothing new any more.
    pub(crate) fn shut_down(&self, how: Shutdown) {
        if let Some(session) = &self.session {
            session.orchestrator.shut_down(how);
        }
    }

    /// Gives the project back. The driver has ended.
    pub(crate) fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.close();
        }
    }

    /// The first in the order of codes of all that moved here.
    pub(crate) fn exit(&self) -> Exit {
        let open = self.followers.values().filter_map(Follower::state).map(exit_of);
        let all: Vec<Exit> = open.chain(self.over.values().map(|(exit, _)| *exit)).collect();
        let order = [Exit::WouldLoseWork, Exit::Environment, Exit::Failed, Exit::NeedsPerson];
        order.into_iter().find(|exit| all.contains(exit)).unwrap_or(Exit::Ok)
    }

    async fn advance(&mut self, id: ExecutionId) -> Result<Vec<Line>, CliError> {
        let Some(session) = &self.session else { return Ok(Vec::new()) };
        let (store, paint) = (Arc::clone(&session.store), self.paint);
        let shown = self.over.get(&id).map(|(_, seen)| *seen);
        if let Some(seen) = shown
            && store.load(LogId::execution(id), seen).await?.is_empty()
        {
            return Ok(Vec::new());
        }
        let follower = self.followers.entry(id).or_insert_with(|| Follower::new(store, id));
        let is_new = shown.is_none() && follower.seen() == Version(0);
        let mut lines = Vec::new();
        follower
            .advance(|state, one| {
                if shown.is_some_and(|shown| one.version <= shown) {
                    return;
                }
                let text = render::line(state, &one.event, one.at, paint);
                lines.push(Line { id, at: one.at, text, object: render::to_json(state, &one.event, one.at) });
            })
            .await?;
        let ended = follower.state().filter(|state| state.ended().is_some()).map(exit_of);
        let seen = follower.seen();
        if is_new {
            // Of one that was there before only what just happened is news.
            lines.drain(..lines.len().saturating_sub(1));
        }
        self.over.remove(&id);
        if let Some(exit) = ended {
            self.followers.remove(&id);
            self.over.insert(id, (exit, seen));
        }
        Ok(lines)
    }
}
