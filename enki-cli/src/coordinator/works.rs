//! What became of the executions of a conversation, and what of it the coordinator hears.

use super::book::Book;
use crate::error::CliError;
use crate::look::{self, Follower, Logged};
use crate::render::{money, short};
use enki_core::execution::FailReason;
use enki_core::execution::{DoneKind, Event, Execution, HoldNo, HoldReason, Next, StepState};
use enki_core::id::{AttemptNo, ExecutionId, StepIx};
use enki_core::store::TaskStore;
use enki_core::wake::{Happening, Urgency};
use enki_mcp::origin_of;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// Something that a coordinator hears of, as long as it is the case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    /// An execution is held.
    Held(HoldNo),
    /// A step failed with that attempt.
    Failed(StepIx, AttemptNo),
    /// An execution is over.
    Ended,
}

/// The executions of a conversation.
#[derive(Debug)]
pub(crate) struct Works {
    store: Arc<dyn TaskStore>,
    origin: String,
    known: BTreeMap<ExecutionId, Follower>,
    foreign: BTreeSet<ExecutionId>,
    versions: BTreeMap<ExecutionId, u64>,
}

/// What a look at the executions gave.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// What the coordinator hears.
    pub(crate) happened: Vec<Happening<What>>,
    /// Whether somebody made, answered or changed something.
    pub(crate) steered: bool,
}

impl Works {
    pub(crate) fn new(store: Arc<dyn TaskStore>, conversation: &str) -> Self {
        let origin = origin_of(conversation);
        Self { store, origin, known: BTreeMap::new(), foreign: BTreeSet::new(), versions: BTreeMap::new() }
    }

    /// Reads on. `show` sees every new event with the state after it.
    pub(crate) async fn advance(
        &mut self,
        book: &Book,
        mut show: impl FnMut(&Execution, &Logged),
    ) -> Result<News, CliError> {
        let mut news = News::default();
        for summary in self.store.list(&look::listed(false, LOOKED_AT)).await? {
            let id = summary.execution;
            if self.foreign.contains(&id) || self.known.contains_key(&id) {
                continue;
            }
            let mut follower = Follower::new(Arc::clone(&self.store), id);
            follower.advance(|_, _| {}).await?;
            if follower.state().is_some_and(|state| state.origin() == self.origin) {
                self.known.insert(id, Follower::new(Arc::clone(&self.store), id));
            } else {
                self.foreign.insert(id);
            }
        }
        for (id, follower) in &mut self.known {
            let told = book.told(*id);
            follower
                .advance(|state, one| {
                    self.versions.insert(*id, one.version.0);
                    news.steered |= steers(&one.event);
                    if one.version.0 > told {
                        news.happened.extend(heard(state, &one.event));
                    }
                    show(state, one);
                })
                .await?;
        }
        Ok(news)
    }

    /// All of them.
    pub(crate) fn ids(&self) -> Vec<ExecutionId> {
        self.known.keys().copied().collect()
    }

    /// The state of one.
    pub(crate) fn state(&self, id: ExecutionId) -> Option<&Execution> {
        self.known.get(&id)?.state()
    }

    /// Up to which event of each was read.
    pub(super) const fn versions(&self) -> &BTreeMap<ExecutionId, u64> {
        &self.versions
    }

    /// Whether it is still the case.
    pub(crate) fn holds(&self, one: &Happening<What>) -> bool {
        let Some(state) = self.state(one.execution) else { return false };
        match one.what {
            What::Held(hold) => state.holds().contains_key(&hold),
            What::Failed(step, attempt) => {
                let run = state.step(step);
                matches!(run.state, StepState::Failed(_)) && run.attempts == attempt.0
            }
            What::Ended => state.ended().is_some(),
        }
    }

    /// A line for each that is open or ended lately.
    pub(super) fn lines(&self) -> Vec<String> {
        let states = self.known.values().rev().filter_map(Follower::state);
        let line = |state: &Execution| {
            let counts = state.counts();
            format!(
                "{} {:?}: {}, {} of {} steps done",
                state.id().hex(),
                state.plan().title,
                state.status(),
                counts.done,
                counts.total
            )
        };
        states.take(SHOWN).map(line).collect()
    }

    /// As it is told: a heading, and what is quoted.
    pub(super) fn tell(&self, one: &Happening<What>, logs: &Path) -> Option<(String, String)> {
        let state = self.state(one.execution)?;
        let id = state.id();
        let name = |step: StepIx| state.plan().step(step).id.to_string();
        Some(match one.what {
            What::Held(hold) => {
                let reason = state.holds().get(&hold)?;
                let output = match reason {
                    HoldReason::Checkpoint { step } => state.step(*step).output.clone(),
                    _ => None,
                };
                let heading = format!("{}: held ({}), hold {}", id.hex(), state.describe(reason), hold.0);
                (heading, output.unwrap_or_default().into_string())
            }
            What::Failed(step, attempt) => {
                let StepState::Failed(reason) = &state.step(step).state else { return None };
                let task = state.task(step);
                (format!("{}: step {:?} failed, {task}", id.hex(), name(step)), {
                    let log = logs.join(id.to_string()).join(format!("{}.{attempt}.log", name(step)));
                    format!("{reason}\n\nThe end of its log:\n{}", last_lines(&log))
                })
            }
            What::Ended => (format!("{}: ended, {}", id.hex(), state.status()), summary(state)),
        })
    }
}

/// What a coordinator hears of an event.
fn heard(state: &Execution, event: &Event) -> Option<Happening<What>> {
    let (urgency, what) = match event {
        // A person's to answer, at their own terminal.
        Event::HoldOpened { reason: HoldReason::Approval { .. }, .. } => return None,
        Event::HoldOpened { hold, reason: HoldReason::Checkpoint { .. } } => (Urgency::Now, What::Held(*hold)),
        Event::HoldOpened { hold, .. } => (Urgency::AtRest, What::Held(*hold)),
        Event::AttemptEnded { step, next: Next::Fail(reason), .. }
        | Event::MergeRefused { step, next: Next::Fail(reason), .. } => {
            let urgency = if matches!(reason, FailReason::Escalated(_)) { Urgency::Now } else { Urgency::AtRest };
            (urgency, What::Failed(*step, AttemptNo(state.step(*step).attempts)))
        }
        Event::Ended { .. } => (Urgency::AtRest, What::Ended),
        _ => return None,
    };
    Some(Happening { execution: state.id(), urgency, what })
}

/// Whether somebody wanted it: nothing of this happens by itself.
const fn steers(event: &Event) -> bool {
    matches!(
        event,
        Event::Submitted(_)
            | Event::HoldClosed { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::StepsAdded { .. }
            | Event::StepCancelled { .. }
            | Event::CancelRequested
            | Event::StepRetried { .. }
            | Event::BudgetSet { .. }
    )
}

/// Steps, commits, outputs, cost.
fn summary(state: &Execution) -> String {
    let mut lines = Vec::new();
    for (n, run) in state.steps().iter().enumerate() {
        let ix = StepIx::at(n);
        let step = state.plan().step(ix);
        let what = match &run.state {
            StepState::Done(DoneKind::Merged { commit, .. }) => format!("commit {}", short(&commit.to_string())),
            StepState::Failed(reason) => reason.to_string(),
            _ => String::new(),
        };
        let landed = if state.has_landed(ix) { ", landed" } else { "" };
        lines.push(format!("{} {}{landed} {what}", step.id, state.word(ix)));
        let output = run.output.as_deref().unwrap_or_default().trim();
        lines.extend(output.lines().take(OUTPUT_LINES).map(|line| format!("    {line}")));
    }
    let usage = state.usage();
    lines.push(format!(
        "cost ${:.2}, {} tokens",
        money(usage.cost_micro_usd),
        usage.of(enki_core::budget::Unit::Tokens)
    ));
    lines.join("\n")
}

/// The end of what an agent put out.
fn last_lines(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let Ok(bytes) = read() else { return "(there is none)".to_owned() };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Executions that are looked through for those of the conversation.
const LOOKED_AT: u32 = 1000;

/// Executions told about in every turn.
const SHOWN: usize = 20;

/// Of a failed attempt's log.
const LOG_LINES: usize = 30;
const LOG_BYTES: u64 = 8 << 10;

/// Of an output in a summary.
const OUTPUT_LINES: usize = 20;
