//! The way of a call: to whoever drives, to the store, or to a driver that is started for it.

use super::alone::Alone;
use super::attempts::random_token;
use super::bench;
use super::ideas::Notebook;
use super::project::failure;
use super::shelved::Shelved;
use super::worklog::Worklog;
use crate::clients;
use crate::commands::Context;
use crate::config::Config;
use crate::error::CliError;
use crate::exit::Exit;
use crate::lock::{self, ProjectLock};
use crate::offline::{Offline, Shelf};
use crate::rpc::{Client, Life};
use crate::session::{Session, open_to_read, store_path};
use crate::wire;
use enki_core::async_trait;
use enki_core::driver::{DriverError, NoticeKind, Orchestrator, Shutdown};
use enki_core::engine::Engine;
use enki_core::id::ExecutionId;
use enki_core::store::TaskStore;
use enki_mcp::{Activity, Answer, Code, Desk, Does, Failure, Office, Passes, Post, Role, Token, Told, Tool};
use enki_store_sqlite::SqliteStore;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, mpsc, oneshot};

/// Where a call goes.
pub(super) enum Way {
    /// To another process, with a token of it.
    Other(Token),
    /// To an office of this one, which stays as long as the call is held.
    Here(Office, Token, Option<Call>),
    /// To the machines as they are stored, which then close.
    Alone(Arc<Alone>, Office, Token),
}

/// A call in the works.
type Call = OwnedRwLockReadGuard<()>;

type Ask = (Does, oneshot::Sender<Result<Way, CliError>>);

/// The desk of a coordinator. It asks the [`Guide`] for the way of each call: that is where the state is.
#[derive(Clone, Debug)]
pub(super) struct Coordinator {
    enki_dir: PathBuf,
    /// Whether the project has mail.
    mail: bool,
    worklog: Worklog,
    asks: mpsc::UnboundedSender<Ask>,
    made: mpsc::UnboundedSender<ExecutionId>,
}

/// Knows who drives, and drives itself where nobody does and somebody has to.
pub(super) struct Guide {
    enki_dir: PathBuf,
    root: PathBuf,
    worklog: Worklog,
    state: State,
    asks: mpsc::UnboundedReceiver<Ask>,
    made: mpsc::UnboundedReceiver<ExecutionId>,
    /// Executions that this client made or went on with.
    mine: BTreeSet<ExecutionId>,
}

enum State {
    Nobody,
    Other {
        token: Token,
        life: Life,
    },
    Here {
        session: Box<Session>,
        token: Token,
        /// Read as long as a call is in the works.
        calls: Arc<RwLock<()>>,
        /// It drains, since everything is at rest.
        leaving: bool,
    },
}

/// What happened.
enum News {
    Ask(Ask),
    Made(ExecutionId),
    /// The other process has gone.
    Gone,
    /// Nothing more happens here by itself: others may have the project.
    Rest,
    /// Our driver has ended by itself.
    Ended(Result<(), CliError>),
    /// No client is there any more.
    Left,
}

impl Coordinator {
    async fn way(&self, does: Does) -> Result<Way, Failure> {
        let (reply, answer) = oneshot::channel();
        let closed = || Failure::new(Code::Unavailable, "this server ends", "start it anew");
        self.asks.send((does, reply)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?.map_err(|error| failure(&error))
    }
}

#[async_trait]
impl Desk for Coordinator {
    async fn tools(&self) -> Result<Vec<Tool>, Failure> {
        let there = |tool: &Tool| tool.allowed(Role::Coordinator) && (self.mail || !tool.is_mail());
        Ok(Tool::ALL.into_iter().filter(there).collect())
    }

    async fn call(&self, tool: &str, mut arguments: Map<String, Value>, told: &Told) -> Answer {
        let known = Tool::named(tool);
        let waits = known.is_some_and(Tool::waits);
        let does = match known {
            Some(tool) if tool.is_worklog() => self.worklog.does(tool, &arguments).await,
            Some(tool) => tool.does(),
            None => Does::Reads,
        };
        if known == Some(Tool::RunPrompt) && !arguments.contains_key("request_id") {
            // Whoever drives may leave in the middle: asked of the next one, it is the same run.
            arguments.insert("request_id".to_owned(), format!("prompt:{}", crate::lock::random_hex()).into());
        }
        let mut tries = 0;
        let answer = loop {
            if tries > 0 {
                tokio::time::sleep(WAIT).await;
            }
            tries += 1;
            match self.way(does).await {
                Err(failure) => break failure.into(),
                Ok(Way::Here(office, token, call)) => {
                    let answer = office.call_telling(&token, tool, arguments.clone(), told).await;
                    drop(call);
                    // A driver that came to rest refuses what it did not take: nothing happened.
                    if !(stopped(&answer) && tries < TRIES) {
                        break answer;
                    }
                }
                Ok(Way::Other(token)) => match Client::shows(&self.enki_dir, token.secret()).await {
                    Ok(Some(mut client)) => match client.do_call(tool, &arguments, told).await {
                        Ok(answer) if !(stopped(&answer) && tries < TRIES) => break answer,
                        Ok(_) => {}
                        // What waits goes on with what it had begun.
                        Err(_) if (does == Does::Reads || waits) && tries < TRIES => {}
                        Err(error) => break lost(&error).into(),
                    },
                    Ok(None) if tries < TRIES => {}
                    Ok(None) => break lost(&CliError::new(Exit::Locked, "nobody listens any more")).into(),
                    Err(error) => break failure(&error).into(),
                },
                Ok(Way::Alone(alone, office, token)) => {
                    let answer = office.call(&token, tool, arguments.clone()).await;
                    drop(office);
                    if let Some(Err(error)) = closed(alone).await {
                        tracing::warn!(%error, "a lease was not given back; it expires by itself");
                    }
                    break answer;
                }
            }
        };
        if let (Does::Starts, Answer::Done { value, .. }) = (does, &answer)
            && let Some(id) = value["execution_id"].as_str().and_then(|id| id.parse().ok())
        {
            // A server that ends takes nothing over.
            let _ = self.made.send(id);
        }
        answer
    }
}

async fn closed(alone: Arc<Alone>) -> Option<Result<(), CliError>> {
    Some(Arc::into_inner(alone)?.close().await)
}

/// Whether a driver that was just leaving refused a call: it did not take it.
fn stopped(answer: &Answer) -> bool {
    let said = DriverError::Stopped.to_string();
    matches!(answer, Answer::Failed { value, .. } if value["error"]["message"] == said.as_str())
}

/// It may have happened or not: the caller has to look.
fn lost(error: &CliError) -> Failure {
    let hint = "it is whole or was not done: look with enki_status or enki_task_list before you call again";
    Failure::new(Code::Unavailable, error.message.clone(), hint)
}

impl Guide {
    pub(super) fn new(root: PathBuf, enki_dir: PathBuf, mail: bool, worklog: Worklog) -> (Coordinator, Self) {
        let (asks, asked) = mpsc::unbounded_channel();
        let (made, makes) = mpsc::unbounded_channel();
        let coordinator = Coordinator { enki_dir: enki_dir.clone(), mail, worklog: worklog.clone(), asks, made };
        let mine = BTreeSet::new();
        let guide = Self { enki_dir, root, worklog, state: State::Nobody, asks: asked, made: makes, mine };
        (coordinator, guide)
    }

    /// Answers until the last desk is gone. What is driven here then is drained, unless `stop` says that it has to be
    /// quicker.
    pub(super) async fn run(&mut self, cx: &mut Context) -> Result<(), CliError> {
        loop {
            match self.news().await {
                News::Ask((does, reply)) => {
                    let way = self.way(cx, does).await;
                    // A client that has gone needs no answer.
                    let _ = reply.send(way);
                }
                News::Made(id) => {
                    self.mine.insert(id);
                }
                News::Gone => self.gone(cx).await,
                News::Rest => {
                    if let State::Here { session, leaving, .. } = &mut self.state {
                        *leaving = true;
                        session.orchestrator.shut_down(Shutdown::Drain);
                    }
                }
                News::Ended(result) => {
                    self.close();
                    result?;
                }
                News::Left => return Ok(()),
            }
        }
    }

    /// Ends what is driven here.
    pub(super) async fn finish(&mut self, how: Shutdown) -> Result<(), CliError> {
        let State::Here { session, .. } = &mut self.state else { return Ok(()) };
        session.orchestrator.shut_down(how);
        let ended = session.ended().await;
        self.close();
        ended
    }

    fn close(&mut self) {
        if let State::Here { session, .. } = std::mem::replace(&mut self.state, State::Nobody) {
            session.close();
        }
    }

    async fn news(&mut self) -> News {
        // What an answer said was made is known before anything else is looked at.
        if let Ok(id) = self.made.try_recv() {
            return News::Made(id);
        }
        let state = async {
            match &mut self.state {
                State::Nobody => std::future::pending().await,
                State::Other { life, .. } => {
                    life.over().await;
                    News::Gone
                }
                State::Here { session, leaving: true, .. } => News::Ended(session.ended().await),
                State::Here { session, calls, .. } => {
                    let orchestrator = session.orchestrator.clone();
                    tokio::select! {
                        () = rest(&orchestrator, calls) => News::Rest,
                        ended = session.ended() => News::Ended(ended),
                    }
                }
            }
        };
        tokio::select! {
            ask = self.asks.recv() => ask.map_or(News::Left, News::Ask),
            Some(id) = self.made.recv() => News::Made(id),
            news = state => news,
        }
    }

    async fn way(&mut self, cx: &mut Context, does: Does) -> Result<Way, CliError> {
        while let Ok(id) = self.made.try_recv() {
            self.mine.insert(id);
        }
        let mut waits = 0;
        loop {
            match &mut self.state {
                State::Here { session, token, calls, leaving: false } if !session.has_ended() => {
                    let call = Arc::clone(calls).read_owned().await;
                    return Ok(Way::Here(session.office.clone(), token.clone(), Some(call)));
                }
                // What it is asked now it would not start any more.
                State::Here { session, .. } => {
                    let ended = session.ended().await;
                    self.close();
                    ended?;
                }
                State::Other { token, life } => match life.is_over().await {
                    false => return Ok(Way::Other(token.clone())),
                    true => self.gone(cx).await,
                },
                State::Nobody => {
                    if let Some(client) = Client::connect(&self.enki_dir).await? {
                        let (token, life) = client.begin(None).await?;
                        self.state = State::Other { token: token.into(), life };
                        continue;
                    }
                    let way = match does {
                        Does::Reads | Does::Writes => self.stored(cx).await,
                        Does::Changes => self.alone(cx).await,
                        Does::Starts => match self.drive(cx).await {
                            Ok(()) => continue,
                            Err(error) => Err(error),
                        },
                    };
                    match way {
                        // Whoever has just taken the lock will listen in a moment, or give it back.
                        Err(error) if error.exit == Exit::Locked && waits < WAITS => {
                            waits += 1;
                            tokio::time::sleep(WAIT).await;
                        }
                        way => return way,
                    }
                }
            }
        }
    }

    /// The other process has gone. What was begun here goes on here.
    async fn gone(&mut self, cx: &mut Context) {
        self.state = State::Nobody;
        for _ in 0..WAITS {
            match self.is_left_to_us(cx).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return tracing::warn!(%error, "what was left could not be looked at"),
            }
            match self.drive(cx).await {
                Ok(()) => return,
                // It gives the lock back in a moment; if somebody else has it, they do it.
                Err(error) if error.exit == Exit::Locked => tokio::time::sleep(WAIT).await,
                Err(error) => return tracing::warn!(%error, "what was begun here is not driven now"),
            }
        }
    }

    async fn drive(&mut self, cx: &mut Context) -> Result<(), CliError> {
        let git = wire::git(&self.root, &cx.host)?;
        let project = crate::project::Project { root: git.root().to_owned() };
        let config = Config::load(&cx.host, Some(&project))?;
        let agents = wire::agents(&cx.backends, &config, &cx.host, &git)?;
        clients::check(cx, &agents.clients, &git.ensure_enki_dir()?).await?;
        let session = Box::new(Box::pin(Session::start(cx, &git, &config, &agents)).await?);
        let token =
            random_token().map_err(|error| CliError::environment(format!("cannot read random bits: {error}")))?;
        session.office.passes().admit_coordinator(token.clone());
        self.state = State::Here { session, token, calls: Arc::default(), leaving: false };
        Ok(())
    }

    async fn stored(&self, cx: &Context) -> Result<Way, CliError> {
        let mut shelf = self.shelf(cx).await?;
        // Also what has ended, of that which this client cares for.
        for id in &self.mine {
            shelf.load(*id).await?;
        }
        let machines = Arc::new(Alone::looking(shelf));
        let post = self.config(cx)?.on("mail.enabled").then(|| open_to_read(&self.enki_dir)).transpose()?;
        let (office, token) = self.desk(cx, machines, post.map(|store| Post::looking(store, cx.host.clock)))?;
        Ok(Way::Here(office, token, None))
    }

    /// An office over machines that no plan can be submitted to, and the token of its only caller.
    fn desk(
        &self,
        cx: &Context,
        machines: Arc<dyn enki_mcp::Machines>,
        mail: Option<Post>,
    ) -> Result<(Office, Token), CliError> {
        let token =
            random_token().map_err(|error| CliError::environment(format!("cannot read random bits: {error}")))?;
        let passes = Passes::default();
        passes.admit_coordinator(token.clone());
        let config = self.config(cx)?;
        let notebook = Notebook::new(self.root.clone(), config.clone(), &cx.host);
        let project = Shelved(notebook, self.worklog.clone());
        let office = Office::new(machines, Arc::new(project), Activity::default(), passes);
        let calls = bench::calls(&self.root, &self.enki_dir, &config, &cx.host, None);
        Ok((mail.into_iter().fold(office, Office::with_mail).with_calls(calls), token))
    }

    fn config(&self, cx: &Context) -> Result<Config, CliError> {
        Config::load(&cx.host, Some(&crate::project::Project { root: self.root.clone() }))
    }

    async fn shelf(&self, cx: &Context) -> Result<Shelf, CliError> {
        let config = self.config(cx)?;
        Shelf::open(open_to_read(&self.enki_dir)?, wire::limits(&config)).await
    }

    async fn alone(&self, cx: &Context) -> Result<Way, CliError> {
        if !store_path(&self.enki_dir).exists() {
            return self.stored(cx).await;
        }
        let config = self.config(cx)?;
        let lock = ProjectLock::take(&self.enki_dir, &cx.host)?.map_err(|holder| lock::locked(holder.as_ref()))?;
        let options = wire::store_options(&config);
        let store: Arc<dyn TaskStore> = Arc::new(SqliteStore::open(store_path(&self.enki_dir), &options)?);
        let post = wire::mail(&config, &cx.host, &store, &lock.holder).await?;
        let offline = Offline::open(store, &lock.holder, wire::limits(&config), cx.host.clock).await?;
        let alone = Arc::new(Alone::moving(offline, lock));
        let (office, token) = self.desk(cx, alone.clone(), post)?;
        Ok(Way::Alone(alone, office, token))
    }

    /// Whether all that still goes on was begun here: then it is ours to drive, now that the other process has gone.
    /// What a person has interrupted stays so.
    async fn is_left_to_us(&mut self, cx: &Context) -> Result<bool, CliError> {
        while let Ok(id) = self.made.try_recv() {
            self.mine.insert(id);
        }
        let shelf = self.shelf(cx).await?;
        let goes_on: BTreeSet<ExecutionId> = shelf
            .engine()
            .executions()
            .map(|execution| execution.id())
            .filter(|id| !shelf.engine().at_rest(*id))
            .collect();
        Ok(!goes_on.is_empty() && goes_on.is_subset(&self.mine))
    }
}

/// Waits until no call is in the works and nothing more happens by itself to any execution.
async fn rest(orchestrator: &Orchestrator, calls: &RwLock<()>) {
    let mut notices = orchestrator.watch();
    loop {
        let quiet = calls.write().await;
        let rest = |engine: &Engine| engine.executions().all(|execution| engine.at_rest(execution.id()));
        match orchestrator.query(rest).await {
            Ok(true) => return,
            Ok(false) => {}
            // Its end is told another way.
            Err(_) => std::future::pending().await,
        }
        drop(quiet);
        while matches!(notices.recv().await, Ok(notice) if !matches!(notice.kind, NoticeKind::Turn)) {}
    }
}

/// How often a call looks again for who drives: two seconds in all.
const TRIES: u32 = 40;

/// How long a lock that was just taken is waited for: two seconds in all.
const WAITS: u32 = 40;
const WAIT: Duration = Duration::from_millis(50);
