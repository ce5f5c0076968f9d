//! `enki search`: what was noted, what steps put out, why some failed, and what is remembered, by its words.

use super::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::notes::Notes;
use crate::project::Project;
use crate::render::{Paint, time};
use crate::session::open_to_read;
use crate::source::visible;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use enki_core::execution::{Execution, StepState};
use enki_core::id::StepIx;
use enki_core::recall::{self, words};
use enki_core::store::TaskStore;
use enki_notes::Kind;
use enki_store_sqlite::{Document, FileRecall, Hit, Item, MARKS, SearchError, SearchIndex, memory_folder};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What to look for.
#[derive(clap::Args, Debug)]
pub(crate) struct SearchArgs {
    /// The words: all of them, or any where nothing has all; also words that begin like them
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// Only that kind; may be given several times
    #[arg(long, value_name = "KIND", value_parser = kind())]
    kind: Vec<&'static str>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// Those of notes, those of executions, and those of the memory. Failures are of both.
const KINDS: &[&str] =
    &["idea", "issue", "observation", "task", "result", "output", "failure", "decision", "pattern", "preference"];

fn kind() -> impl TypedValueParser<Value = &'static str> {
    let of = |word: String| KINDS.iter().copied().find(|kind| **kind == word).ok_or("no such kind");
    PossibleValuesParser::new(KINDS).try_map(of)
}

pub(super) async fn run(cx: &mut Context, args: &SearchArgs) -> Result<Exit, CliError> {
    let text = args.words.join(" ");
    let wanted = words(&text);
    if wanted.is_empty() {
        let shown: String = text.chars().take(60).collect();
        return Err(CliError::usage(format!("there is no word in {shown:?}"))
            .hint("name what to look for, such as `enki search lock`"));
    }
    let project = Project::require(&cx.start_dir()?)?;
    let mut said = Said::gather(cx, &project).await?;
    if project.state_dir().symlink_metadata().is_err() && said.is_something() {
        // Where it cannot be made, the index is one in memory.
        drop(project.make_state_dir());
    }
    let path = project.state_dir().join("search.db");
    let look = |said: &Said| -> Result<Vec<Hit>, SearchError> {
        let mut index = SearchIndex::open(&path)?;
        said.tell(&mut index)?;
        index.search(&wanted, &args.kind, usize::from(args.limit))
    };
    let mut found = look(&said);
    if let Err(error) = &found {
        // It is a cache: whatever is wrong with it is no reason not to find something.
        tracing::debug!(%error, "the search index is made anew");
        SearchIndex::forget(&path);
        said = Said::gather(cx, &project).await?;
        found = look(&said);
    }
    let hits = found.map_err(|error| CliError::environment(error.to_string()).hint("check the space on the disk"))?;
    show(cx, &hits)
}

fn show(cx: &mut Context, hits: &[Hit]) -> Result<Exit, CliError> {
    let (open, close) = MARKS;
    if cx.out.json {
        let one = |hit: &Hit| {
            json!({"kind": hit.kind, "name": hit.name, "title": hit.title, "at": hit.at, "score": hit.score,
                "snippet": hit.snippet.replace([open, close], "")})
        };
        let hits: Vec<Value> = hits.iter().map(one).collect();
        cx.out.object(&json!({"schema": "enki.search.v1", "hits": hits}))?;
        return Ok(Exit::Ok);
    }
    let paint = Paint(cx.out.color_out);
    for hit in hits {
        let day = hit.at.get(..10).unwrap_or_default();
        let head = format!("{:<11}  {day:<10}  {}", hit.kind, visible(&hit.title));
        cx.out.line(&format!("{head}  {}", paint.dim(&visible(&hit.name))))?;
        // What was found stands out; without colour it has nothing around it.
        let line = hit.snippet.split_whitespace().collect::<Vec<_>>().join(" ");
        let parts = line.split(open).enumerate().map(|(n, part)| match part.split_once(close) {
            Some((found, rest)) if n > 0 => format!("{}{}", paint.bold(&visible(found)), visible(rest)),
            _ => visible(part),
        });
        cx.out.line(&format!("             {}", parts.collect::<String>()))?;
    }
    if hits.is_empty() {
        cx.out.note("nothing has these words; fewer, or only their beginnings, find more");
    }
    Ok(Exit::Ok)
}

/// All that a project has said, as far as it is new to its index.
struct Said {
    notes: Notes,
    paths: Vec<Item>,
    runs: Vec<Item>,
    /// Those of the executions that were looked at.
    outcomes: BTreeMap<String, Vec<Document>>,
    memory: Option<FileRecall>,
}

impl Said {
    async fn gather(cx: &mut Context, project: &Project) -> Result<Self, CliError> {
        let config = cx.config(Some(project))?;
        let notes = Notes::unsigned(&cx.host, &config, &project.root)?;
        let paths = notes.log.stamps(&Kind::ALL, cx.host.now())?;
        let paths = paths.into_iter().map(|(path, stamp)| Item { key: path.to_string(), stamp }).collect();
        let memory = memory_folder(&project.root).ok().map(FileRecall::read_only);
        let mut said = Self { notes, paths, runs: Vec::new(), outcomes: BTreeMap::new(), memory };
        if let Some(store) = open_to_read(&project.state_dir())? {
            said.look(store.as_ref(), &project.state_dir().join("search.db")).await?;
        }
        Ok(said)
    }

    /// Reads the executions that moved since they were looked at last.
    async fn look(&mut self, store: &dyn TaskStore, index: &std::path::Path) -> Result<(), CliError> {
        let known = SearchIndex::open(index).and_then(|index| index.stamps(RUNS)).unwrap_or_default();
        for summary in store.list(&look::listed(false, u32::MAX)).await? {
            let item = Item { key: summary.execution.to_string(), stamp: summary.updated.0.to_string() };
            if known.get(&item.key) != Some(&item.stamp) {
                let state = look::load(store, summary.execution).await?;
                self.outcomes.insert(item.key.clone(), outcomes(&state));
            }
            self.runs.push(item);
        }
        Ok(())
    }

    fn is_something(&self) -> bool {
        !self.paths.is_empty() || !self.runs.is_empty()
    }

    fn tell(&self, index: &mut SearchIndex) -> Result<(), SearchError> {
        let clean = |mut document: Document| {
            // A person may have written a secret down; what is shown of it here is shown to others.
            (document.title, document.body) = (self.notes.clean(&document.title), self.notes.clean(&document.body));
            document
        };
        index.sync("notes", &self.paths, |key| Some(self.note(key).into_iter().map(clean).collect()))?;
        // One that the index knew when it was looked at was not read; if that index is gone, the next search reads it.
        index.sync(RUNS, &self.runs, |key| Some(self.outcomes.get(key)?.iter().cloned().map(clean).collect()))?;
        if let Some(memory) = &self.memory {
            let item = Item { key: "memory".to_owned(), stamp: memory.stamp() };
            index.sync("memory", &[item], |_| Some(remembered(memory).into_iter().map(clean).collect()))?;
        }
        Ok(())
    }

    fn note(&self, key: &str) -> Option<Document> {
        let path = self.notes.log.path(key)?;
        // One that cannot be read is listed as such by `enki notes`.
        let note = self.notes.log.read(&path).ok()?;
        let head = note.head();
        let body = String::from_utf8_lossy(note.document.body()).into_owned();
        let at = head.timestamp.clone().or_else(|| head.date()).unwrap_or_default();
        Some(Document { kind: path.kind().as_str().to_owned(), name: key.to_owned(), title: head.title, body, at })
    }
}

const RUNS: &str = "executions";

/// What its steps put out, and why they failed.
fn outcomes(state: &Execution) -> Vec<Document> {
    let mut all = Vec::new();
    for n in 0..state.steps().len() {
        let ix = StepIx::at(n);
        let (run, step) = (state.step(ix), state.plan().step(ix));
        let document = |kind: &str, body: String| Document {
            kind: kind.to_owned(),
            name: format!("{}/{}", state.id(), step.id),
            title: step.title.to_string(),
            body,
            at: time(state.created()),
        };
        all.extend(run.output.as_deref().map(|output| document("output", output.to_owned())));
        if let StepState::Failed(reason) = &run.state {
            all.push(document("failure", reason.to_string()));
        }
    }
    all
}

fn remembered(memory: &FileRecall) -> Vec<Document> {
    let entries = memory.entries(&recall::Kind::ALL).map(|(entries, _)| entries).unwrap_or_default();
    let document = |entry: &recall::Entry| Document {
        kind: entry.kind().as_str().to_owned(),
        name: entry.id().to_owned(),
        title: entry.title().to_owned(),
        body: entry.texts().into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n"),
        at: entry.when().to_owned(),
    };
    entries.iter().map(document).collect()
}
