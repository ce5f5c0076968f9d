//! What a list tells of the queue.

use super::{notes_of, word};
use crate::config::Config;
use crate::error::CliError;
use crate::host::Host;
use crate::look::{self, Logged};
use crate::notes::{Ledger, Notes};
use crate::project::Project;
use crate::registry::Registry;
use crate::render::time;
use crate::session::{logs_dir, open_to_read};
use enki_core::execution::{Event, Execution, FailReason, StepRun, StepState};
use enki_core::id::ExecutionId;
use enki_core::plan::Step;
use enki_core::time::Timestamp;
use enki_notes::NotePath;
use std::path::PathBuf;

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) status: Status,
    /// Put in not before that.
    pub(crate) since: Option<Timestamp>,
    /// With this in title or path, in whatever case.
    pub(crate) query: Option<String>,
}

/// How far entries are that are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) enum Status {
    /// Not finished.
    #[default]
    Active,
    All,
    /// Of that word; of one in two parts, such as `waiting (after)`, the first will do.
    Word(String),
}

impl Status {
    /// By its word.
    pub(crate) fn named(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "active" => Self::Active,
            "all" => Self::All,
            word => Self::Word(word.to_owned()),
        }
    }
}

/// A time, or so many days before now.
pub(crate) fn since(text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let days =
        text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()).filter(|days| (0..100_000).contains(days));
    if let Some(days) = days {
        return Ok(Timestamp(now.0.saturating_sub(days * DAY)));
    }
    let time = text.parse::<jiff::Timestamp>().map(|time| Timestamp(time.as_millisecond()));
    time.map_err(|_| {
        CliError::usage(format!("since: {text:?} is not a time")).hint("write it as in 2026-01-31T18:00:00Z, or as 7d")
    })
}

const DAY: i64 = 24 * 60 * 60 * 1000;

/// What a list tells of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: ExecutionId,
    /// The name of its project.
    pub(crate) project: String,
    pub(crate) title: String,
    pub(crate) status: &'static str,
    pub(crate) notes: Vec<NotePath>,
    pub(crate) created: String,
    pub(crate) started: Option<String>,
    pub(crate) finished: Option<String>,
    pub(crate) at: Option<String>,
    pub(crate) after: Option<ExecutionId>,
    /// What follows, by step. How long an agent may run.
    pub(crate) timeouts: Vec<Limit>,
    pub(crate) tiers: Vec<&'static str>,
    /// That which is named, else that of the tier.
    pub(crate) models: Vec<String>,
    pub(crate) sessions: Vec<Option<String>>,
    pub(crate) logs: PathBuf,
    pub(crate) results: Vec<String>,
}

/// A limit, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) seconds: u64,
    /// Whether it was asked for; else it is the project's.
    pub(crate) asked: bool,
}

/// The entries of a project, the newest first.
pub(crate) async fn entries(host: &Host, project: &Project, filter: &Filter) -> Result<Vec<Entry>, CliError> {
    let Some(store) = open_to_read(&project.state_dir())? else { return Ok(Vec::new()) };
    let config = Config::load(host, Some(project))?;
    let from = Common {
        log: Notes::unsigned(host, &config, &project.root)?.log,
        logs: logs_dir(&project.state_dir()),
        // A list of projects that cannot be read says nothing of this one; commands on it say why.
        project: Registry::load(host).map_or_else(|_| ".".to_owned(), |all| all.name_of(&project.root)),
        timeout: config.int("workers.timeout"),
    };
    let query = filter.query.as_deref().map(str::to_lowercase);
    let open = matches!(filter.status, Status::Active);
    let mut entries = Vec::new();
    for summary in store.list(&look::listed(open, u32::MAX)).await? {
        if filter.since.is_some_and(|since| summary.created < since) {
            continue;
        }
        let events = look::events(store.as_ref(), summary.execution).await?;
        let Some(state) = look::fold(&events) else { continue };
        let entry = Entry::of(&state, &events, &from);
        let is_status = match &filter.status {
            Status::Active | Status::All => true,
            Status::Word(word) => entry.status == word || entry.status.split(' ').next() == Some(word),
        };
        let is_hit = query.as_deref().is_none_or(|query| {
            let texts = entry.notes.iter().map(NotePath::as_str).chain([entry.title.as_str()]);
            texts.map(str::to_lowercase).any(|text| text.contains(query))
        });
        if is_status && is_hit {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// The word of the queue for an execution, with that of a run that took too long.
pub(crate) fn shown(state: &Execution) -> &'static str {
    let timed_out = |step: &StepRun| matches!(step.state, StepState::Failed(FailReason::Timeout));
    word(state, state.steps().iter().any(timed_out))
}

/// What entries of a project have in common.
struct Common {
    log: Ledger,
    /// The folder of what agents say.
    logs: PathBuf,
    project: String,
    /// How long an agent may run where nothing is asked.
    timeout: u64,
}

impl Entry {
    fn of(state: &Execution, events: &[Logged], from: &Common) -> Self {
        let steps = state.plan().steps();
        let at = |is: fn(&Event) -> bool| events.iter().find(|one| is(&one.event)).map(|one| time(one.at));
        let log = &from.log;
        let notes = notes_of(log, state.origin()).unwrap_or_default();
        let limit = |step: &Step| Limit {
            seconds: step.timeout.map_or(from.timeout, |timeout| timeout.as_secs()),
            asked: step.timeout.is_some(),
        };
        let model = |step: &Step| step.model.as_deref().unwrap_or_else(|| log.model_of(step.tier)).to_owned();
        // What a person has removed or broken since names no result.
        let result = |path: &NotePath| Some(log.read(path).ok()?.document.text("result_note")?.to_owned());
        let is_over = state.ended().is_some();
        Self {
            id: state.id(),
            project: from.project.clone(),
            title: state.plan().title.clone(),
            status: shown(state),
            results: if is_over { notes.iter().filter_map(result).collect() } else { Vec::new() },
            notes,
            created: time(state.created()),
            started: at(|event| matches!(event, Event::AttemptStarted { .. })),
            // A retry begins anew: the last end counts, and of one that goes on again none.
            finished: events
                .iter()
                .rev()
                .find(|one| is_over && matches!(one.event, Event::Ended { .. }))
                .map(|one| time(one.at)),
            at: state.start_at().map(time),
            after: state.after().map(|(id, _)| id),
            timeouts: steps.iter().map(limit).collect(),
            tiers: steps.iter().map(|step| step.tier.as_str()).collect(),
            models: steps.iter().map(model).collect(),
            sessions: state.steps().iter().map(|step| step.session.as_deref().map(str::to_owned)).collect(),
            logs: from.logs.join(state.id().to_string()),
        }
    }
}
