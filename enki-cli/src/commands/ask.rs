//! `enki ask`: the coordinator's turns, and what it made driven until it ends or waits for a person.

use super::Context;
use super::run::configured;
use crate::args::{AskArgs, Overrides};
use crate::clients;
use crate::config::Config;
use crate::coordinator::{About, Book, Helm, Line, Shown, Turn, What, Which, Works};
use crate::drive::{self, Answers, Signals, wants_answer};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::{self, Live, Paint, money};
use crate::source::visible;
use crate::steer::Action;
use crate::view::exit_of;
use crate::wire::{self, Agents, Coordinator};
use enki_core::agent::{AgentEnd, AgentExit, Usage};
use enki_core::budget::Budget;
use enki_core::budget::Unit;
use enki_core::driver::Shutdown;
use enki_core::execution::{Execution, HoldReason};
use enki_core::id::ExecutionId;
use enki_core::wake::{Did, Happening, Silent, Wake};
use enki_vcs_git::GitProject;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Read as _;

/// One call.
struct Talk {
    git: GitProject,
    config: Config,
    agents: Agents,
    coordinator: Coordinator,
    book: Book,
    helm: Helm,
    works: Works,
    wake: Wake<What>,
    live: Live,
    signals: Signals,
    yes: bool,
    /// Executions that this call saw move.
    moved: BTreeSet<ExecutionId>,
    /// What this call's turns used, how many they were, and what was said last.
    used: Usage,
    turns: u32,
    said: String,
    interrupted: Option<Exit>,
    /// Why the coordinator does not go on.
    failed: Option<CliError>,
}

pub(super) async fn run(cx: &mut Context, args: AskArgs) -> Result<Exit, CliError> {
    let text = words(cx, args.text.as_deref())?;
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let overrides = Overrides { agent: args.agent, check: args.check, jobs: args.jobs, ..Overrides::default() };
    let config = configured(cx, &git, &overrides)?;
    let agents = wire::agents(&cx.backends, &config, &cx.host, &git)?;
    let coordinator = wire::coordinator(&cx.backends, &config, &cx.host, &git, &agents)?;
    wire::record_folder(&git, &mut cx.out)?;
    let clients: Vec<_> = agents.clients.iter().chain(&coordinator.client).cloned().collect();
    clients::check(cx, &clients, &git.ensure_enki_dir()?).await?;
    let mut book = Book::open(&git.ensure_enki_dir()?, if args.new { Which::New } else { Which::Current })?;
    if text.is_none() && book.next() == 1 {
        return Err(CliError::usage("there is no conversation yet").hint("say what you want: enki ask \"...\""));
    }
    let helm = Helm::take(cx, &git, &config, &agents).await?;
    let works = Works::new(helm.store(), book.id());
    let mut wake = Wake::new(u32::try_from(config.int("coordinator.turns")).unwrap_or(u32::MAX));
    let (taken, did) = book.taken();
    wake.took(taken, did);
    if let Some(text) = &text {
        book.add(&Line::Person { at: cx.host.now(), text: text.clone() })?;
        wake.person_spoke();
    }
    let (live, signals) = (Live::new(&cx.out), Signals::new()?);
    let mut talk = Talk {
        git,
        config,
        agents,
        coordinator,
        book,
        helm,
        works,
        wake,
        live,
        signals,
        yes: args.yes,
        moved: BTreeSet::new(),
        used: Usage::default(),
        turns: 0,
        said: String::new(),
        interrupted: None,
        failed: None,
    };
    let went = talk.go(cx).await;
    // Also after a fault: what was begun here ends in order, and the project is given back.
    let left = talk.leave(cx).await;
    went?;
    left?;
    talk.close(cx).await
}

/// What the person wants.
fn words(cx: &mut Context, text: Option<&str>) -> Result<Option<String>, CliError> {
    let mut read = String::new();
    let text = match text {
        Some("-") => {
            let limit = 256 * 1024;
            cx.host.stdin.as_mut().take(limit).read_to_string(&mut read).map_err(|error| {
                CliError::usage(format!("cannot read what you want from standard input: {error}")).hint("give UTF-8")
            })?;
            Some(read.as_str())
        }
        text => text,
    };
    match text.map(str::trim) {
        Some("") => Err(CliError::usage("you said nothing").hint("say what you want: enki ask \"...\"")),
        text => Ok(text.map(str::to_owned)),
    }
}

impl Talk {
    /// Until nothing more happens by itself.
    async fn go(&mut self, cx: &mut Context) -> Result<(), CliError> {
        // What was there before is no news to the person.
        let news = self.works.advance(&self.book, |_, _| {}).await?;
        news.happened.into_iter().for_each(|one| self.wake.happened(one));
        // Also those of a turn that was cut off or failed.
        let mut person = self.book.words();
        let mut asked = 0;
        while self.interrupted.is_none() {
            self.look(cx).await?;
            if self.helm.is_gone().await? {
                if matches!(self.helm, Helm::Here { .. }) {
                    return self.helm.ended().await;
                }
                self.live.say(&mut cx.out, "the process that drove this project has ended; it is driven here now");
                self.helm = Helm::take(cx, &self.git, &self.config, &self.agents).await?;
                continue;
            }
            let all = self.works.ids();
            let resting = self.helm.resting(&all).await?;
            // What happened before that is recorded, and may not be read yet.
            self.look(cx).await?;
            if self.failed.is_none() && (person.is_some() || self.wake.is_due(|id| resting.contains(&id))) {
                self.turn(cx, person.take()).await?;
                continue;
            }
            let rest = self.works.ids().iter().all(|id| resting.contains(id));
            if !rest {
                self.wait().await;
                if self.interrupted.is_some() {
                    self.live
                        .say(&mut cx.out, "stopping: nothing new starts, running steps end; once more stops them now");
                }
                continue;
            }
            asked += 1;
            if asked > MOST_ANSWERS || !self.ask_person(cx).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads what happened, shows it, and remembers what the coordinator hears. Tells whether somebody steered.
    async fn look(&mut self, cx: &mut Context) -> Result<bool, CliError> {
        let (live, moved) = (&mut self.live, &mut self.moved);
        let news = self.works.advance(&self.book, |state, one| {
            moved.insert(state.id());
            live.event(&mut cx.out, state, &one.event, one.at);
        });
        let news = news.await?;
        for id in news.happened.iter().map(|one| one.execution).chain(self.moved.iter().copied()) {
            if let Some(state) = self.works.state(id) {
                self.live.turn(state);
            }
        }
        news.happened.into_iter().for_each(|one| self.wake.happened(one));
        let works = &self.works;
        self.wake.retain(|one| works.holds(one));
        Ok(news.steered)
    }

    async fn wait(&mut self) {
        tokio::select! {
            () = self.helm.moved() => {}
            signal = self.signals.next() => {
                self.interrupted = Some(signal);
                self.helm.shut_down(Shutdown::Drain);
            }
        }
    }

    /// One turn, while what it made goes on.
    async fn turn(&mut self, cx: &mut Context, person: Option<String>) -> Result<(), CliError> {
        let by_person = person.is_some();
        let happened: Vec<Happening<What>> = self.wake.begin(by_person);
        let at = (&self.git, &self.config, &self.coordinator);
        let about = About { person: person.as_deref(), happened: &happened };
        let begun = Turn::begin(cx, at, (&mut self.book, &self.works, &self.helm), about).await;
        let mut turn = match begun {
            Ok(turn) => turn,
            Err(error) => {
                happened.into_iter().for_each(|one| self.wake.happened(one));
                self.wake.ended(by_person, Did::Nothing);
                self.failed = Some(error);
                return Ok(());
            }
        };
        self.turns += 1;
        let mut steered = false;
        let end = loop {
            tokio::select! {
                shown = turn.next() => match shown {
                    Shown::Activity(text) => {
                        let text = Paint(cx.out.color).dim(&format!("coordinator: {}", visible(&text)));
                        self.live.say(&mut cx.out, &text);
                    }
                    Shown::Said(text) => self.says(cx, turn.number(), &text)?,
                    Shown::Ended(end) => break end,
                },
                () = self.helm.moved() => steered |= self.look(cx).await?,
                signal = self.signals.next() => {
                    if self.interrupted.replace(signal).is_some() {
                        self.helm.shut_down(Shutdown::Kill);
                    } else {
                        self.helm.shut_down(Shutdown::Drain);
                    }
                    turn.stop().await;
                }
            }
        };
        if !turn.spoke() && !end.text.trim().is_empty() {
            self.says(cx, turn.number(), &end.text)?;
        }
        let number = turn.number();
        // Its tools end before what it did is judged.
        drop(turn);
        self.helm.disturb();
        steered |= self.look(cx).await?;
        self.used = self.used.plus(end.usage);
        let AgentEnd { session, usage, exit, .. } = *end;
        self.failed = why(&exit);
        let at = cx.host.now();
        self.book.add(&Line::Ended { at, turn: number, session, usage, exit, changed: steered })?;
        self.wake.ended(by_person, if steered { Did::Something } else { Did::Nothing });
        Ok(())
    }

    fn says(&mut self, cx: &mut Context, turn: u32, text: &str) -> Result<(), CliError> {
        self.book.add(&Line::Said { at: cx.host.now(), turn, text: text.to_owned() })?;
        text.clone_into(&mut self.said);
        // A reader that went away does not end what was begun.
        if cx.out.json {
            drop(cx.out.object(&json!({"schema": "enki.said.v1", "turn": turn, "text": text})));
        } else {
            self.live.finish();
            for line in text.trim().lines() {
                drop(cx.out.line(&visible(line)));
            }
            self.live = Live::new(&cx.out);
        }
        Ok(())
    }

    /// Asks the person what only they can answer, or what the coordinator left open. Tells whether they did.
    async fn ask_person(&mut self, cx: &mut Context) -> Result<bool, CliError> {
        let waits: Vec<Execution> = self.works.ids().iter().filter_map(|id| self.works.state(*id)).cloned().collect();
        let Some(state) = waits.into_iter().find(wants_answer) else { return Ok(false) };
        let approval = state.holds().values().any(|reason| matches!(reason, HoldReason::Approval { .. }));
        self.live.finish();
        if approval {
            show_plan(cx, &state);
        }
        let go_on = if approval && self.yes {
            cx.out.note("approved by --yes");
            true
        } else {
            tokio::select! {
                go_on = drive::answer(cx, &state, Answers::Person) => go_on,
                signal = self.signals.next() => {
                    self.interrupted = Some(signal);
                    false
                }
            }
        };
        self.live = Live::new(&cx.out);
        if go_on {
            let id = Some(state.id().hex());
            self.helm.steer(Action::Resume { id, budget: Budget::default() }).await?;
            // The person answered: that is a word of theirs.
            self.wake.person_spoke();
        }
        Ok(go_on)
    }

    /// Waits until what was begun here has ended.
    async fn leave(&mut self, cx: &mut Context) -> Result<(), CliError> {
        self.helm.shut_down(Shutdown::Drain);
        loop {
            tokio::select! {
                ended = self.helm.ended() => {
                    self.look(cx).await?;
                    self.live.finish();
                    return ended;
                }
                signal = self.signals.next() => {
                    self.interrupted.get_or_insert(signal);
                    self.helm.shut_down(Shutdown::Kill);
                }
            }
        }
    }

    /// Says how it ended.
    async fn close(self, cx: &mut Context) -> Result<Exit, CliError> {
        let silent = self.wake.silent();
        let all = self.works.ids();
        let states: Vec<Execution> = all.iter().filter_map(|id| self.works.state(*id)).cloned().collect();
        let shown = states.iter().filter(|state| self.moved.contains(&state.id()) || state.ended().is_none());
        let mut exits = Vec::new();
        self.helm.close();
        for state in shown {
            let exit = self.interrupted.unwrap_or_else(|| exit_of(state));
            drive::summary(cx, state, exit, &self.git).await?;
            exits.push(exit);
        }
        exits.extend(self.failed.as_ref().map(|error| error.exit));
        let first = ORDER.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Ok);
        let exit = self.interrupted.unwrap_or(first);
        if cx.out.json {
            let total = self.book.used();
            drop(cx.out.object(&json!({"schema": "enki.ask.v1", "conversation": self.book.id(), "turns": self.turns,
                "said": self.said, "executions": all.iter().map(|id| id.hex()).collect::<Vec<_>>(),
                "cost": cost(self.used), "conversation_cost": cost(total),
                "error": self.failed.as_ref().map(CliError::to_json),
                "exit": {"code": exit.code(), "name": exit.name()}})));
            return Ok(exit);
        }
        if self.used.cost_micro_usd > 0 || self.used.of(Unit::Tokens) > 0 {
            let (own, total) = (self.used, self.book.used());
            cx.out.note(&format!(
                "coordinator: ${:.2}, {} tokens; ${:.2} in this conversation",
                money(own.cost_micro_usd),
                own.of(Unit::Tokens),
                money(total.cost_micro_usd)
            ));
        }
        match silent {
            Some(Silent::OutOfTurns) => {
                let most = self.config.int("coordinator.turns");
                cx.out.note(&format!("the coordinator took {most} turns without a word of yours (coordinator.turns); enki ask \"...\" goes on"));
            }
            Some(Silent::NothingDone) => {
                cx.out.note("the coordinator leaves the rest to you; enki ask \"...\" goes on")
            }
            None => {}
        }
        if let Some(error) = self.failed {
            cx.out.error(&error);
        }
        Ok(exit)
    }
}

fn cost(usage: Usage) -> serde_json::Value {
    json!({"usd": money(usage.cost_micro_usd), "tokens": usage.of(Unit::Tokens)})
}

/// What a plan would do.
fn show_plan(cx: &mut Context, state: &Execution) {
    cx.out.note(&format!("{} {:?} would do:", state.id(), visible(&state.plan().title)));
    render::waves(state.plan()).iter().for_each(|line| cx.out.note(&format!("  {line}")));
    let width = state.plan().steps().iter().map(|step| step.id.as_str().len()).max().unwrap_or(0);
    for step in state.plan().steps() {
        cx.out.note(&format!("  {:width$}  {}", step.id.as_str(), visible(&step.title)));
    }
}

/// Why a turn did not end well.
fn why(exit: &AgentExit) -> Option<CliError> {
    let go_on = "what it made goes on; `enki ask` goes on with the conversation";
    let (code, message) = match exit {
        AgentExit::Success => return None,
        AgentExit::Killed => (Exit::Environment, "it was stopped".to_owned()),
        AgentExit::NoResult => (Exit::Environment, "it ended without a result".to_owned()),
        AgentExit::Error { message, .. } | AgentExit::Refused { message } => (Exit::Environment, message.clone()),
        AgentExit::TimedOut => (Exit::Environment, "it ran longer than workers.timeout".to_owned()),
        AgentExit::Stuck => (Exit::Environment, "it gave no sign of life".to_owned()),
        AgentExit::OutputLimit => (Exit::Environment, "it put out too much".to_owned()),
        AgentExit::RateLimited { until } => {
            (Exit::Environment, format!("its service asks to wait until {}", render::time(*until)))
        }
        AgentExit::OverBudget => {
            return Some(
                CliError::new(Exit::Failed, "the coordinator's turn was stopped: its budget is used up")
                    .hint("begin another conversation with `enki ask --new`, or raise budget.coordinator"),
            );
        }
        _ => (Exit::Environment, "it ended in a way that this version does not know".to_owned()),
    };
    Some(CliError::new(code, format!("the coordinator's turn failed: {message}")).hint(go_on))
}

/// The first of these that applies is how it ended.
const ORDER: [Exit; 8] = [
    Exit::Store,
    Exit::Locked,
    Exit::WouldLoseWork,
    Exit::Environment,
    Exit::Failed,
    Exit::NeedsPerson,
    Exit::Usage,
    Exit::Internal,
];

/// Questions to a person in one call.
const MOST_ANSWERS: u32 = 1000;
