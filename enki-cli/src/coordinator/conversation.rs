//! A conversation that goes on: what the person says and what became of the work make turns of the coordinator, and what
//! it made is driven meanwhile. Who shows it, and what the person wishes, is a [`Front`].

use super::book::{Book, Line, Which};
use super::close::why;
use super::helm::{Helm, Moved};
use super::turn::{self, About, Shown, Turn};
use super::works::{What, Works};
use crate::args::Overrides;
use crate::clients;
use crate::commands::Context;
use crate::commands::run::configured;
use crate::config::Config;
use crate::drive::wants_answer;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look::Logged;
use crate::steer::Action;
use crate::wire::{self, Agents, Coordinator};
use enki_core::agent::{AgentEnd, AgentExit, Usage};
use enki_core::budget::Budget;
use enki_core::driver::Shutdown;
use enki_core::execution::{EndStatus, Execution, FailReason, StepRun, StepState};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::wake::{Did, Happening, Wake};
use enki_vcs_git::GitProject;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Who stands between a conversation and the person.
pub(crate) trait Front {
    /// Shows something. An error ends the conversation, in order.
    fn show(&mut self, cx: &mut Context, seen: Seen<'_>) -> Result<(), CliError>;

    /// The person's next wish. May be dropped and asked again.
    async fn wish(&mut self, cx: &mut Context) -> Wish;

    /// Nothing more happens by itself.
    async fn rest(&mut self, cx: &mut Context, waits: &[Execution]) -> Rest;
}

/// What there is to see.
pub(crate) enum Seen<'a> {
    /// Something happened before this process went on with the conversation.
    Before(&'a Execution, &'a Logged),
    /// An execution as it was found then.
    Found(&'a Execution),
    /// Something happens; the state is the one after it.
    Event(&'a Execution, &'a Logged),
    /// An execution, after several events.
    State(&'a Execution),
    /// The agent of a step does that now.
    Step(ExecutionId, StepIx, &'a str),
    /// These wait for the person, and for nobody else any more.
    Waits(&'a [&'a Execution]),
    /// Words of the person, written down.
    Spoke(&'a str),
    /// The coordinator begins a turn.
    Begins,
    /// It does that now.
    Does(&'a str),
    /// It is saying that: a piece of it.
    Partial(&'a str),
    /// It used that up to now, over the whole conversation.
    Uses(Usage),
    /// It says that, in that turn.
    Says(u32, &'a str),
    /// Its turn is over; it used that over the whole conversation.
    Ends(Usage),
    /// It could not do its turn, or not to the end.
    Fails(&'a CliError),
    /// Words of Enki's own.
    Note(&'a str),
    /// A wish is granted.
    Granted(&'a str),
    /// It is not.
    Refused(CliError),
    /// Another conversation begins.
    New,
}

/// What a person wishes.
pub(crate) enum Wish {
    /// To say that.
    Say(String),
    /// To steer.
    Steer(Action),
    /// That the turn in flight ends now.
    StopTurn,
    /// Another conversation.
    New,
    /// To go; wished twice, at once. With a reason that is not theirs.
    Leave(Option<Exit>),
}

/// What a front does when nothing more happens by itself.
pub(crate) enum Rest {
    /// It is over.
    Over,
    /// It waits for a wish, or for others to move something.
    Stay,
    /// The person wishes that.
    Wish(Wish),
}

/// How it begins in a process.
pub(crate) enum Begin {
    /// With these words of the person.
    Words(String),
    /// Where it stopped; then there must have been words before.
    GoOn,
    /// The person may speak first.
    Open,
}

/// Whether, and why, it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Leaving {
    No,
    InOrder,
    For(Exit),
}

/// One conversation in one process.
pub(crate) struct Conversation {
    pub(super) git: GitProject,
    pub(super) config: Config,
    agents: Agents,
    coordinator: Coordinator,
    pub(super) book: Book,
    pub(super) helm: Helm,
    pub(super) works: Works,
    pub(super) wake: Wake<What>,
    /// The person spoke, and no turn was begun for it.
    spoken: bool,
    /// No turn until the person speaks: the last one failed, or they stopped it.
    waits_for_words: bool,
    /// The person stops the turn in flight.
    stopped: bool,
    /// Executions that this process saw move.
    pub(super) moved: BTreeSet<ExecutionId>,
    /// What the turns of this process used, how many they were, and what was said last.
    pub(super) used: Usage,
    pub(super) turns: u32,
    pub(super) said: String,
    /// Why the coordinator does not go on.
    pub(super) failed: Option<CliError>,
    pub(super) leaving: Leaving,
}

impl Conversation {
    /// Takes the last conversation up, or begins one.
    pub(crate) async fn open(
        cx: &mut Context,
        which: Which,
        overrides: &Overrides,
        begin: Begin,
    ) -> Result<Self, CliError> {
        let git = wire::git(&cx.start_dir()?, &cx.host)?;
        let config = configured(cx, &git, overrides)?;
        let agents = wire::agents(&cx.backends, &config, &cx.host, &git)?;
        let coordinator = wire::coordinator(&cx.backends, &config, &cx.host, &git, &agents)?;
        wire::record_folder(&git, &mut cx.out)?;
        let clients: Vec<_> = agents.clients.iter().chain(&coordinator.client).cloned().collect();
        clients::check(cx, &clients, &git.ensure_enki_dir()?).await?;
        cx.out.note(&agents.sandbox.line());
        let mut book = open_book(&git.ensure_enki_dir()?, which).await?;
        if matches!(begin, Begin::GoOn) && book.next() == 1 {
            return Err(CliError::usage("there is no conversation yet").hint("say what you want: enki ask \"...\""));
        }
        let helm = Helm::take(cx, &git, &config, &agents).await?;
        let works = Works::new(helm.store(), book.id());
        let mut wake = awake(&config, &book);
        if let Begin::Words(text) = begin {
            book.add(&Line::Person { at: cx.host.now(), text })?;
            wake.person_spoke();
        }
        Ok(Self {
            // Also those of a turn that was cut off or failed.
            spoken: book.words().is_some(),
            git,
            config,
            agents,
            coordinator,
            book,
            helm,
            works,
            wake,
            waits_for_words: false,
            stopped: false,
            moved: BTreeSet::new(),
            used: Usage::default(),
            turns: 0,
            said: String::new(),
            failed: None,
            leaving: Leaving::No,
        })
    }

    /// What was said so far.
    pub(crate) fn lines(&self) -> Result<Vec<Line>, CliError> {
        self.book.lines()
    }

    /// What the coordinator used in this conversation.
    pub(crate) const fn used(&self) -> Usage {
        self.book.used()
    }

    /// What it may use.
    pub(crate) fn limit(&self) -> Budget {
        turn::limit(&self.config)
    }

    /// Until the front has enough, or the person goes. What was begun here ends in order, also after a fault.
    pub(crate) async fn run(&mut self, cx: &mut Context, front: &mut impl Front) -> Result<(), CliError> {
        let went = self.go(cx, front).await;
        let left = self.leave(cx, front).await;
        went.and(left)
    }

    async fn go(&mut self, cx: &mut Context, front: &mut impl Front) -> Result<(), CliError> {
        self.find(cx, front).await?;
        while self.leaving == Leaving::No {
            self.look(cx, front).await?;
            if self.helm.is_gone() {
                if matches!(self.helm, Helm::Here { .. }) {
                    // Leaving tells why.
                    return Ok(());
                }
                front.show(cx, Seen::Note("the process that drove this project has ended; it is driven here now"))?;
                self.helm = Helm::take(cx, &self.git, &self.config, &self.agents).await?;
                continue;
            }
            let all = self.works.ids();
            let resting = self.helm.resting(&all).await?;
            // What happened before that is recorded, and may not be read yet.
            self.look(cx, front).await?;
            if !self.waits_for_words && (self.spoken || self.wake.is_due(|id| resting.contains(&id))) {
                self.turn(cx, front).await?;
                continue;
            }
            let states: Vec<&Execution> = resting.iter().filter_map(|id| self.works.state(*id)).collect();
            let waits: Vec<&Execution> = states.into_iter().filter(|state| is_open(state)).collect();
            front.show(cx, Seen::Waits(&waits))?;
            if self.works.ids().iter().all(|id| resting.contains(id)) {
                let waits: Vec<Execution> = waits.into_iter().filter(|state| wants_answer(state)).cloned().collect();
                match front.rest(cx, &waits).await {
                    Rest::Over => return Ok(()),
                    Rest::Stay => {}
                    Rest::Wish(wish) => {
                        self.grant(cx, front, wish, None).await?;
                        continue;
                    }
                }
            }
            tokio::select! {
                moved = self.helm.moved() => self.tell(cx, front, moved)?,
                wish = front.wish(cx) => self.grant(cx, front, wish, None).await?,
            }
        }
        Ok(())
    }

    /// Reads what happened before: to the person that is no news, to the coordinator it may be.
    async fn find(&mut self, cx: &mut Context, front: &mut impl Front) -> Result<(), CliError> {
        let mut shown = Ok(());
        let before = |state: &Execution, one: &Logged| {
            if shown.is_ok() {
                shown = front.show(cx, Seen::Before(state, one));
            }
        };
        let news = self.works.advance(&self.book, before).await?;
        shown?;
        news.happened.into_iter().for_each(|one| self.wake.happened(one));
        for id in self.works.ids() {
            if let Some(state) = self.works.state(id) {
                front.show(cx, Seen::Found(state))?;
            }
        }
        Ok(())
    }

    /// Reads what happened, shows it, and remembers what the coordinator hears. Tells whether somebody steered.
    async fn look(&mut self, cx: &mut Context, front: &mut impl Front) -> Result<bool, CliError> {
        let (mut shown, mut moved) = (Ok(()), BTreeSet::new());
        let news = self.works.advance(&self.book, |state, one| {
            moved.insert(state.id());
            if shown.is_ok() {
                shown = front.show(cx, Seen::Event(state, one));
            }
        });
        let news = news.await?;
        shown?;
        for id in &moved {
            self.helm.stirs(*id);
            if let Some(state) = self.works.state(*id) {
                front.show(cx, Seen::State(state))?;
            }
        }
        self.moved.extend(moved);
        news.happened.into_iter().for_each(|one| self.wake.happened(one));
        let works = &self.works;
        self.wake.retain(|one| works.holds(one));
        Ok(news.steered)
    }

    /// Shows what need not be read.
    fn tell(&self, cx: &mut Context, front: &mut impl Front, moved: Moved) -> Result<(), CliError> {
        match moved {
            Moved::Step(id, step, text) if self.works.state(id).is_some() => {
                front.show(cx, Seen::Step(id, step, &text))
            }
            Moved::Step(..) | Moved::On => Ok(()),
        }
    }

    /// Does what the person wishes.
    async fn grant(
        &mut self,
        cx: &mut Context,
        front: &mut impl Front,
        wish: Wish,
        turn: Option<&mut Turn>,
    ) -> Result<(), CliError> {
        match wish {
            Wish::Say(text) => {
                // Before anything comes of it.
                self.book.add(&Line::Person { at: cx.host.now(), text: text.clone() })?;
                self.person_spoke();
                self.spoken = true;
                front.show(cx, Seen::Spoke(&text))?;
            }
            Wish::Steer(action) => match self.helm.steer(action).await {
                Ok(done) => {
                    // That is a word of theirs.
                    self.person_spoke();
                    front.show(cx, Seen::Granted(&done.message))?;
                }
                Err(error) => front.show(cx, Seen::Refused(error))?,
            },
            Wish::StopTurn => {
                if let Some(turn) = turn {
                    self.stopped = true;
                    turn.stop().await;
                }
            }
            Wish::New if turn.is_some() => {
                let error = CliError::usage("the coordinator is at work");
                front.show(cx, Seen::Refused(error.hint("stop its turn with Ctrl-C first, or wait")))?;
            }
            Wish::New => {
                self.book.renew()?;
                self.works = Works::new(self.helm.store(), self.book.id());
                self.wake = awake(&self.config, &self.book);
                (self.spoken, self.waits_for_words, self.failed) = (false, false, None);
                front.show(cx, Seen::New)?;
            }
            Wish::Leave(why) => {
                let mode = if self.leaving == Leaving::No { Shutdown::Drain } else { Shutdown::Kill };
                let why = why.map_or(Leaving::InOrder, Leaving::For);
                // A signal says more than the person's leave.
                if self.leaving == Leaving::No || matches!(why, Leaving::For(_)) {
                    self.leaving = why;
                }
                self.helm.shut_down(mode);
                if let Some(turn) = turn {
                    turn.stop().await;
                }
                if mode == Shutdown::Drain && self.is_busy() {
                    front.show(
                        cx,
                        Seen::Note("stopping: nothing new starts, running steps end; once more stops them now"),
                    )?;
                }
            }
        }
        Ok(())
    }

    fn person_spoke(&mut self) {
        self.wake.person_spoke();
        (self.waits_for_words, self.failed) = (false, None);
    }

    /// Whether steps run here.
    fn is_busy(&self) -> bool {
        let runs = |id: &ExecutionId| self.works.state(*id).is_some_and(|state| state.counts().running > 0);
        matches!(self.helm, Helm::Here { .. }) && self.works.ids().iter().any(runs)
    }

    /// One turn, while what it made goes on.
    async fn turn(&mut self, cx: &mut Context, front: &mut impl Front) -> Result<(), CliError> {
        let person = if std::mem::take(&mut self.spoken) { self.book.words() } else { None };
        let by_person = person.is_some();
        let happened: Vec<Happening<What>> = self.wake.begin(by_person);
        let at = (&self.git, &self.config, &self.coordinator);
        let about = About { person: person.as_deref(), happened: &happened };
        front.show(cx, Seen::Begins)?;
        let begun = Turn::begin(cx, at, (&mut self.book, &self.works, &self.helm), about).await;
        let mut turn = match begun {
            Ok(turn) => turn,
            Err(error) => {
                happened.into_iter().for_each(|one| self.wake.happened(one));
                self.wake.ended(by_person, Did::Nothing);
                front.show(cx, Seen::Ends(self.book.used()))?;
                return self.fails(cx, front, error);
            }
        };
        self.turns += 1;
        let mut steered = false;
        let end = loop {
            tokio::select! {
                shown = turn.next() => match shown {
                    Shown::Partial(piece) => front.show(cx, Seen::Partial(&piece))?,
                    Shown::Uses(usage) => front.show(cx, Seen::Uses(self.book.used().plus(usage)))?,
                    Shown::Activity(text) => front.show(cx, Seen::Does(&text))?,
                    Shown::Said(text) => self.says(cx, front, turn.number(), &text)?,
                    Shown::Ended(end) => break end,
                },
                moved = self.helm.moved() => {
                    self.tell(cx, front, moved)?;
                    steered |= self.look(cx, front).await?;
                }
                wish = front.wish(cx) => self.grant(cx, front, wish, Some(&mut turn)).await?,
            }
        };
        if !turn.spoke() && !end.text.trim().is_empty() {
            self.says(cx, front, turn.number(), &end.text)?;
        }
        let number = turn.number();
        // Its tools end before what it did is judged.
        drop(turn);
        self.helm.disturb();
        steered |= self.look(cx, front).await?;
        self.used = self.used.plus(end.usage);
        let AgentEnd { session, usage, exit, .. } = *end;
        // A turn that was stopped because the person goes is no fault of its own.
        self.stopped |= self.leaving == Leaving::InOrder && exit == AgentExit::Killed;
        let failed = why(&exit);
        let at = cx.host.now();
        self.book.add(&Line::Ended { at, turn: number, session, usage, exit, changed: steered })?;
        self.wake.ended(by_person, if steered { Did::Something } else { Did::Nothing });
        front.show(cx, Seen::Ends(self.book.used()))?;
        match failed {
            Some(_) if std::mem::take(&mut self.stopped) => {
                // Words that came after that are answered.
                self.waits_for_words = !self.spoken;
                front.show(cx, Seen::Note("the turn is stopped; it is told again with your next words"))
            }
            Some(error) => self.fails(cx, front, error),
            None => Ok(()),
        }
    }

    /// The coordinator does not go on until the person speaks.
    fn fails(&mut self, cx: &mut Context, front: &mut impl Front, error: CliError) -> Result<(), CliError> {
        self.waits_for_words = true;
        front.show(cx, Seen::Fails(&error))?;
        self.failed = Some(error);
        Ok(())
    }

    fn says(&mut self, cx: &mut Context, front: &mut impl Front, turn: u32, text: &str) -> Result<(), CliError> {
        self.book.add(&Line::Said { at: cx.host.now(), turn, text: text.to_owned() })?;
        text.clone_into(&mut self.said);
        front.show(cx, Seen::Says(turn, text))
    }

    /// Waits until what was begun here has ended.
    async fn leave(&mut self, cx: &mut Context, front: &mut impl Front) -> Result<(), CliError> {
        self.helm.shut_down(Shutdown::Drain);
        if self.leaving == Leaving::No {
            self.leaving = Leaving::InOrder;
        }
        loop {
            tokio::select! {
                ending = self.helm.ending() => match ending? {
                    Some(moved) => {
                        self.tell(cx, front, moved)?;
                        self.look(cx, front).await?;
                    }
                    None => {
                        self.look(cx, front).await?;
                        return Ok(());
                    }
                },
                wish = front.wish(cx) => self.grant(cx, front, wish, None).await?,
            }
        }
    }
}

/// Opens a conversation. What a killed process was just starting holds its lock until it has become a program of its own.
async fn open_book(enki_dir: &Path, which: Which) -> Result<Book, CliError> {
    for _ in 0..PATIENCE {
        match Book::open(enki_dir, which) {
            Err(error) if error.exit == Exit::Locked => tokio::time::sleep(BETWEEN).await,
            opened => return opened,
        }
    }
    Book::open(enki_dir, which)
}

/// When the coordinator of that conversation is woken.
fn awake(config: &Config, book: &Book) -> Wake<What> {
    let mut wake = Wake::new(u32::try_from(config.int("coordinator.turns")).unwrap_or(u32::MAX));
    let (taken, did) = book.taken();
    wake.took(taken, did);
    wake
}

/// Whether it has something that a person may answer.
fn is_open(state: &Execution) -> bool {
    wants_answer(state) || state.ended() != Some(EndStatus::Cancelled) && state.steps().iter().any(is_escalated)
}

/// Whether a review left it to a person.
pub(crate) const fn is_escalated(step: &StepRun) -> bool {
    matches!(step.state, StepState::Failed(FailReason::Escalated(_)))
}

/// How often, and after how long, it is tried again to open a conversation: 1 second.
const PATIENCE: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(50);
