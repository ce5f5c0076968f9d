//! Who drives while a coordinator is at work: this process, or the one that did already.

use crate::commands::Context;
use crate::commands::mcp::attempts::random_token;
use crate::config::Config;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look::Follower;
use crate::rpc::{Client, Life, Watch};
use crate::session::{Session, open_to_read};
use crate::steer::{self, Action, Done};
use crate::wire::Agents;
use enki_core::driver::{Notice, NoticeKind, Shutdown};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::store::TaskStore;
use enki_mcp::Token;
use enki_vcs_git::GitProject;
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

/// Who drives.
pub(crate) enum Helm {
    /// This process.
    Here {
        session: Box<Session>,
        notices: broadcast::Receiver<Notice>,
        /// The driver has ended, and that was told.
        over: bool,
    },
    /// Another one.
    There(There),
}

/// What may have changed.
pub(crate) enum Moved {
    /// What is recorded.
    On,
    /// The agent of a step does that now; nothing is recorded.
    Step(ExecutionId, StepIx, String),
}

/// Another process, asked over its socket.
pub(crate) struct There {
    enki_dir: PathBuf,
    store: Arc<dyn TaskStore>,
    news: mpsc::UnboundedReceiver<News>,
    tell: mpsc::UnboundedSender<News>,
    /// Whether it tells no more, and whether that was told.
    gone: bool,
    over: bool,
    /// What agents do, and nobody was told yet.
    steps: VecDeque<Moved>,
    watched: BTreeSet<ExecutionId>,
    resting: BTreeSet<ExecutionId>,
}

/// What another process tells.
enum News {
    /// Something may have happened.
    Moved(Moved),
    /// Nothing more happens to it by itself.
    Rests(ExecutionId),
    /// It tells no more of that one.
    Lost(ExecutionId),
    /// It tells no more at all: it has ended, or is about to.
    Gone,
}

/// The right of one turn to call tools. It ends with this.
pub(crate) enum Seat {
    /// In an office of this process.
    Here(Token, enki_mcp::Passes),
    /// In that of another one, as long as the connection lasts.
    There { token: Token, _life: Life },
}

impl Seat {
    pub(super) const fn token(&self) -> &Token {
        match self {
            Self::Here(token, _) | Self::There { token, .. } => token,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Self::Here(token, passes) = self {
            passes.dismiss(token);
        }
    }
}

impl Helm {
    /// Goes beside whoever drives, or drives.
    pub(crate) async fn take(
        cx: &Context,
        git: &GitProject,
        config: &Config,
        agents: &Agents,
    ) -> Result<Self, CliError> {
        // A process that ends lets go of its socket before its lock, and one that begins has the lock before the socket.
        for _ in 0..PATIENCE {
            match Self::take_now(cx, git, config, agents).await {
                Err(error) if error.exit == Exit::Locked => tokio::time::sleep(BETWEEN).await,
                taken => return taken,
            }
        }
        Self::take_now(cx, git, config, agents).await
    }

    async fn take_now(cx: &Context, git: &GitProject, config: &Config, agents: &Agents) -> Result<Self, CliError> {
        let enki_dir = git.enki_dir();
        if let Some(client) = Client::connect(&enki_dir).await?
            && let Some(store) = open_to_read(&enki_dir)?
        {
            let (tell, news) = mpsc::unbounded_channel();
            tokio::spawn(follow(client.notices().await?, tell.clone()));
            let (watched, resting) = (BTreeSet::new(), BTreeSet::new());
            return Ok(Self::There(There {
                enki_dir,
                store,
                news,
                tell,
                gone: false,
                over: false,
                steps: VecDeque::new(),
                watched,
                resting,
            }));
        }
        let session = Box::new(Box::pin(Session::start(cx, git, config, agents)).await?);
        let notices = session.orchestrator.watch();
        Ok(Self::Here { session, notices, over: false })
    }

    /// What is recorded.
    pub(crate) fn store(&self) -> Arc<dyn TaskStore> {
        match self {
            Self::Here { session, .. } => Arc::clone(&session.store),
            Self::There(there) => Arc::clone(&there.store),
        }
    }

    /// Whether nobody drives any more.
    pub(crate) fn is_gone(&mut self) -> bool {
        match self {
            Self::Here { session, .. } => session.has_ended(),
            Self::There(there) => {
                there.hear_all();
                there.gone
            }
        }
    }

    /// A seat for a turn of that conversation.
    pub(super) async fn seat(&self, conversation: &str) -> Result<Seat, CliError> {
        match self {
            Self::Here { session, .. } => {
                let token = random_token()
                    .map_err(|error| CliError::environment(format!("cannot read random bits: {error}")))?;
                let passes = session.office.passes().clone();
                passes.admit_conversation(token.clone(), conversation);
                Ok(Seat::Here(token, passes))
            }
            Self::There(there) => {
                let (token, life) = there.client().await?.begin(Some(conversation)).await?;
                Ok(Seat::There { token: token.into(), _life: life })
            }
        }
    }

    /// Which of these rest: nothing more happens to them by itself.
    pub(crate) async fn resting(&mut self, all: &[ExecutionId]) -> Result<BTreeSet<ExecutionId>, CliError> {
        match self {
            Self::Here { session, .. } => {
                let all = all.to_vec();
                let rest = session
                    .orchestrator
                    .query(move |engine| all.into_iter().filter(|id| engine.at_rest(*id)).collect());
                Ok(rest.await?)
            }
            Self::There(there) => {
                there.watch(all).await?;
                there.hear_all();
                Ok(there.resting.clone())
            }
        }
    }

    /// Something was asked or done: what rested may go on.
    pub(crate) fn disturb(&mut self) {
        if let Self::There(there) = self {
            there.resting.clear();
        }
    }

    /// Something happened to it: what rested may go on.
    pub(crate) fn stirs(&mut self, id: ExecutionId) {
        if let Self::There(there) = self {
            there.resting.remove(&id);
        }
    }

    /// Waits until something may have changed. May be dropped and asked again.
    pub(crate) async fn moved(&mut self) -> Moved {
        match self {
            // Its end is told once; then `is_gone` knows.
            Self::Here { over: true, .. } => std::future::pending().await,
            Self::Here { notices, over, .. } => noticed(notices, over).await,
            Self::There(there) => there.moved().await,
        }
    }

    /// Does what the person wishes.
    pub(crate) async fn steer(&mut self, action: Action) -> Result<Done, CliError> {
        let done = match self {
            Self::Here { session, .. } => {
                let limits = session.orchestrator.query(|engine| engine.plan_limits()).await?;
                steer::perform(&mut session.orchestrator.clone(), session.store.as_ref(), action, limits).await
            }
            Self::There(there) => {
                let action = serde_json::to_value(action).unwrap_or_default();
                let done = there.client().await?.call("steer", action).await?;
                serde_json::from_value(done).map_err(|error| CliError::new(Exit::Internal, error.to_string()))
            }
        };
        self.disturb();
        done
    }

    /// Starts nothing new here any more.
    pub(crate) fn shut_down(&self, mode: Shutdown) {
        if let Self::Here { session, .. } = self {
            session.orchestrator.shut_down(mode);
        }
    }

    /// What happens until what was begun here has ended; nothing once it has. Another process goes on. May be dropped and
    /// asked again, but not after it told the end.
    pub(crate) async fn ending(&mut self) -> Result<Option<Moved>, CliError> {
        let Self::Here { session, notices, over } = self else { return Ok(None) };
        if *over {
            return session.ended().await.map(|()| None);
        }
        tokio::select! {
            moved = noticed(notices, over) => Ok(Some(moved)),
            ended = session.ended() => ended.map(|()| None),
        }
    }

    /// Gives the project back.
    pub(crate) fn close(self) {
        if let Self::Here { session, .. } = self {
            session.close();
        }
    }
}

/// Hears what another process tells, to its end.
async fn follow(mut notices: Watch, tell: mpsc::UnboundedSender<News>) {
    while let Ok(Some(notice)) = notices.next().await {
        let id = notice["execution"].as_str().and_then(|id| id.parse().ok());
        let step = notice["step"].as_u64().and_then(|n| usize::try_from(n).ok()).map(StepIx::at);
        let moved = match (id, step, notice["text"].as_str()) {
            (Some(id), Some(step), Some(text)) => Moved::Step(id, step, text.to_owned()),
            _ => Moved::On,
        };
        if tell.send(News::Moved(moved)).is_err() {
            return;
        }
    }
    let _ = tell.send(News::Gone);
}

/// Waits for what a driver of this process tells.
async fn noticed(notices: &mut broadcast::Receiver<Notice>, over: &mut bool) -> Moved {
    loop {
        match notices.recv().await {
            Ok(notice) => match notice.kind {
                NoticeKind::Turn => return Moved::On,
                NoticeKind::Activity { place, text, .. } => return Moved::Step(place.execution, place.step, text),
                _ => {}
            },
            Err(RecvError::Lagged(_)) => return Moved::On,
            Err(RecvError::Closed) => {
                *over = true;
                return Moved::On;
            }
        }
    }
}

impl There {
    async fn client(&self) -> Result<Client, CliError> {
        Client::connect(&self.enki_dir).await?.ok_or_else(|| {
            CliError::new(Exit::Locked, "the process that drove this project has ended")
                .hint("run the same command again; it goes on")
        })
    }

    /// Has itself told of what happens to these.
    async fn watch(&mut self, all: &[ExecutionId]) -> Result<(), CliError> {
        for id in all {
            if self.resting.contains(id) || !self.watched.insert(*id) {
                continue;
            }
            let mut follower = Follower::new(Arc::clone(&self.store), *id);
            follower.advance(|_, _| {}).await?;
            let client = Client::connect(&self.enki_dir).await?;
            let watch = match client {
                Some(client) => client.watch(*id, follower.seen().0).await.ok(),
                None => None,
            };
            let Some(mut watch) = watch else {
                self.gone = true;
                return Ok(());
            };
            let (id, tell) = (*id, self.tell.clone());
            tokio::spawn(async move {
                // Who does not look any more need not know.
                while let Ok(Some(_)) = watch.next().await {
                    let _ = tell.send(News::Moved(Moved::On));
                }
                let _ = tell.send(if watch.rests() { News::Rests(id) } else { News::Lost(id) });
            });
        }
        Ok(())
    }

    async fn moved(&mut self) -> Moved {
        if let Some(step) = self.steps.pop_front() {
            return step;
        }
        // Its end is told once; then `is_gone` knows.
        match self.gone {
            true if self.over => std::future::pending().await,
            true => {}
            false => {
                if let Some(news) = self.news.recv().await {
                    let moved = self.heard(news);
                    if !self.gone {
                        return moved;
                    }
                }
            }
        }
        self.over = true;
        Moved::On
    }

    fn hear_all(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            match self.heard(news) {
                Moved::On => {}
                // Nothing that is read tells it again.
                step => self.steps.push_back(step),
            }
        }
    }

    fn heard(&mut self, news: News) -> Moved {
        match news {
            News::Moved(moved) => moved,
            News::Rests(id) => {
                self.watched.remove(&id);
                self.resting.insert(id);
                Moved::On
            }
            News::Lost(id) => {
                self.watched.remove(&id);
                Moved::On
            }
            News::Gone => {
                self.gone = true;
                Moved::On
            }
        }
    }
}

/// How often, and after how long, it is tried again to take the helm while nobody can be asked for it: 5 seconds.
const PATIENCE: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(50);
