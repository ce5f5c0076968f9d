//! `enki status --chains`: the review chains that go on; `enki chain drive`: those of an outside coordinator.

mod book;
mod drive;
mod line;

use super::Context;
use super::audit;
use crate::args::ChainCommand;
use crate::chains::{self, OpenChain};
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::project::Project;
use crate::render::{self, Paint};
use crate::session::open_to_read;
use enki_core::chain::outside::Entry;
use enki_core::chain::{State, Wid};
use enki_core::store::TaskStore;
use enki_core::time::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// The outside coordinators that were here, sorted.
fn names(state_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(book::folder(state_dir)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| audit::check_name(name).is_ok());
    names.sort();
    names
}

/// The open chains of an outside coordinator, in the order in which they came to be what they are.
async fn outside(store: &dyn TaskStore, name: &str) -> Result<Vec<OpenChain>, CliError> {
    let mut since: BTreeMap<Wid, (String, Timestamp)> = BTreeMap::new();
    let state = book::read(store, name, |state, row| {
        let changed = state.chains().find(|(_, entry)| entry.since == row.version.0);
        if let Some((wid, entry)) = changed {
            let word = drive::state_word(&entry.chain);
            if since.get(wid).is_none_or(|(was, _)| was != word) {
                since.insert(wid.clone(), (word.to_owned(), row.at));
            }
        }
    })
    .await?;
    let mut entries: Vec<_> = state.chains().collect();
    entries.retain(|(_, entry)| matches!(entry.chain.state(), State::Open { .. }));
    entries.sort_by_key(|(_, entry)| entry.since);
    let one = |(wid, entry): (&Wid, &Entry)| {
        let (course, at) = (entry.chain.course(), since.get(wid).map_or(Timestamp(0), |(_, at)| *at));
        OpenChain {
            wid: wid.to_string(),
            execution_id: None,
            coordinator: Some(name.to_owned()),
            step: entry.title.to_string(),
            task: None,
            state: drive::state_word(&entry.chain).to_owned(),
            attempt: entry.chain.wanted().map(|wanted| wanted.attempt.0),
            fixes: course.fixes,
            max_fixes: entry.chain.review().max_fixes,
            last_score: course.rounds.iter().filter_map(|round| round.score).next_back().map(chains::decimal),
            since: render::time(at),
            since_at: at,
        }
    };
    Ok(entries.into_iter().map(one).collect())
}

/// Executions of which chains are listed.
const LISTED: u32 = 1000;

pub(super) async fn run(cx: &mut Context, command: ChainCommand) -> Result<Exit, CliError> {
    match command {
        ChainCommand::Drive { stdio: _, name } => drive::drive(cx, &name).await,
    }
}

pub(super) async fn list(cx: &mut Context, id: Option<&str>) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let store = open_to_read(&project.state_dir())?;
    let mut open = Vec::new();
    match (id, &store) {
        (Some(_), None) => drop(super::see::store(cx)?),
        (None, None) => {}
        (Some(id), Some(store)) => {
            let named = look::find(store.as_ref(), Some(id)).await?;
            open = chains::open(store, named.execution).await?;
            if let Some(step) = named.step {
                let step = look::load(store.as_ref(), named.execution).await?.plan().step(step).id.to_string();
                open.retain(|chain| chain.step == step);
            }
        }
        (None, Some(store)) => {
            for summary in store.list(&look::listed(true, LISTED)).await? {
                open.extend(chains::open(store, summary.execution).await?);
            }
            for name in names(&project.state_dir()) {
                open.extend(outside(store.as_ref(), &name).await?);
            }
        }
    }
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.chains.v1", "chains": open}))?;
    } else {
        let text = render::open_chains(&open, cx.host.now(), Paint(cx.out.color_out));
        cx.out.write(&text)?;
    }
    Ok(Exit::Ok)
}
