//! `enki memory`: what the project remembers, looked at and added to by a person.

mod proposals;

use super::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::Project;
use crate::render::Paint;
use crate::source::visible;
use crate::wire;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use enki_core::recall::{
    Category, Confidence, Decision, DecisionStatus, Entry, ErrorCategory, Failure, FailureStatus, Fault, Hit, Kind,
    Note, Pattern, Preference, Query, Recall, date, words,
};
use enki_store_sqlite::{FileRecall, memory_folder};
use serde_json::{Value, json};

/// Commands on what is remembered.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum MemoryCommand {
    /// Find entries by words, best first
    Search {
        /// What to look for: any of these words, and words that begin like them
        #[arg(required = true, value_name = "WORDS")]
        words: Vec<String>,
        /// Only that kind; may be given several times
        #[arg(long, value_name = "KIND", value_parser = kind())]
        kind: Vec<Kind>,
        /// At most so many
        #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// List what is remembered
    List {
        /// Only that kind; may be given several times
        #[arg(long, value_name = "KIND", value_parser = kind())]
        kind: Vec<Kind>,
    },
    /// Show an entry with all of its fields
    Show {
        /// Its id, such as dec_20261127_221408; of a preference, its key
        id: String,
    },
    /// List what agents propose to remember; no agent is told of it until you take it
    Proposals,
    /// Remember what an agent proposed, as if you had added it
    Take {
        /// Its id, as `enki memory proposals` shows it
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Forget what an agent proposed
    Drop {
        /// Its id, as `enki memory proposals` shows it
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Add an entry; the same again is the same entry
    Add {
        /// What to add.
        #[command(subcommand)]
        what: AddCommand,
    },
}

/// What can be added.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum AddCommand {
    /// What was chosen, and why
    Decision {
        /// What was chosen
        #[arg(long, value_name = "TEXT")]
        what: String,
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        why: String,
        /// What it is about
        #[arg(long, value_name = "WORD", default_value = "convention", value_parser = known(Category::WORDS, Category::known))]
        category: Category,
        /// A file or folder it is about; may be given several times
        #[arg(long, value_name = "PATH")]
        scope: Vec<String>,
        /// How sure it is
        #[arg(long, value_name = "WORD", default_value = "high", value_parser = known(Confidence::WORDS, Confidence::known))]
        confidence: Confidence,
        /// Whether it holds
        #[arg(long, value_name = "WORD", default_value = "active", value_parser = known(DecisionStatus::WORDS, DecisionStatus::known))]
        status: DecisionStatus,
    },
    /// What works again and again
    Pattern {
        /// Its name
        #[arg(long, value_name = "TEXT")]
        name: String,
        /// What it is
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        description: String,
        /// When to use it
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        when_to_use: String,
        /// A file that shows it; may be given several times
        #[arg(long, value_name = "PATH")]
        example_file: Vec<String>,
        /// A word to find it by; may be given several times
        #[arg(long, value_name = "WORD")]
        keyword: Vec<String>,
    },
    /// What went wrong, and what helped
    Failure {
        /// What was seen
        #[arg(long, value_name = "TEXT")]
        error: String,
        /// In what
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        context: String,
        /// Why it happened
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        root_cause: String,
        /// What helped
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        resolution: String,
        /// How it does not happen again
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        prevention: String,
        /// A word to find it by; may be given several times
        #[arg(long, value_name = "WORD")]
        keyword: Vec<String>,
        /// What failed
        #[arg(long, value_name = "WORD", default_value = "UNKNOWN", value_parser = known(ErrorCategory::WORDS, ErrorCategory::known))]
        category: ErrorCategory,
    },
    /// What you like
    Preference {
        /// What about
        #[arg(long, value_name = "TEXT")]
        key: String,
        /// What you prefer; a new value takes the place of the old one
        #[arg(long, value_name = "TEXT")]
        value: String,
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    let of = |word: String| Kind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or("no such kind");
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)).try_map(of)
}

fn known<T: Clone + Send + Sync + 'static>(
    words: &'static [&'static str],
    of: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words).try_map(move |word| of(&word).ok_or("no such word"))
}

pub(super) fn run(cx: &mut Context, command: MemoryCommand) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    match command {
        MemoryCommand::Search { words, kind, limit } => search(cx, &project, &words, kind, limit),
        MemoryCommand::List { kind } => list(cx, &project, &kind),
        MemoryCommand::Show { id } => show(cx, &project, &id),
        MemoryCommand::Proposals => proposals::list(cx, &project),
        MemoryCommand::Take { ids } => proposals::take(cx, &project, &ids),
        MemoryCommand::Drop { ids } => proposals::drop(cx, &project, &ids),
        MemoryCommand::Add { what } => add(cx, &project, what),
    }
}

/// What is remembered, to look at.
fn to_read(project: &Project) -> Result<FileRecall, CliError> {
    Ok(FileRecall::read_only(memory_folder(&project.root)?))
}

/// The same, to be added to.
fn to_write(cx: &mut Context, project: &Project) -> Result<FileRecall, CliError> {
    let config = cx.config(Some(project))?;
    let folder = memory_folder(&project.root)?;
    if folder.starts_with(project.state_dir()) {
        project.make_state_dir()?;
    }
    Ok(FileRecall::new(folder).with_redactor(wire::redactor(&config, &cx.host)))
}

fn search(
    cx: &mut Context,
    project: &Project,
    text: &[String],
    kinds: Vec<Kind>,
    limit: u16,
) -> Result<Exit, CliError> {
    let text = text.join(" ");
    if words(&text).is_empty() {
        let shown: String = text.chars().take(60).collect();
        return Err(CliError::usage(format!("there is no word in {shown:?}"))
            .hint("name what to look for, such as `enki memory search lock`"));
    }
    let mut query = Query::new(text, cx.host.now());
    (query.kinds, query.limit) = (kinds, limit.into());
    let found = to_read(project)?.search(&query)?;
    if cx.out.json {
        let hits: Vec<Value> = found.hits.iter().map(scored).collect();
        print_json(cx, hits, &found.faults)?;
    } else {
        for hit in &found.hits {
            print(cx, &hit.entry, true)?;
        }
        if found.hits.is_empty() {
            cx.out.note("nothing fits");
        }
    }
    Ok(ended(cx, &found.faults))
}

fn list(cx: &mut Context, project: &Project, kinds: &[Kind]) -> Result<Exit, CliError> {
    let kinds = if kinds.is_empty() { &Kind::ALL[..] } else { kinds };
    let memory = to_read(project)?;
    let (entries, faults) = memory.entries(kinds)?;
    if cx.out.json {
        print_json(cx, entries.iter().map(object).collect(), &faults)?;
    } else {
        for entry in &entries {
            print(cx, entry, false)?;
        }
        if entries.is_empty() {
            cx.out.note("nothing is remembered yet; `enki memory add` adds an entry, and runs add their own");
        }
        proposals::hint(cx, &memory);
    }
    Ok(ended(cx, &faults))
}

fn show(cx: &mut Context, project: &Project, id: &str) -> Result<Exit, CliError> {
    let (entries, faults) = to_read(project)?.entries(&Kind::ALL)?;
    let Some(entry) = entries.iter().find(|entry| entry.id() == id) else {
        if let Some(fault) = faults.first() {
            return Err(broken(fault));
        }
        let shown: String = id.chars().take(60).collect();
        return Err(CliError::new(Exit::NotFound, format!("nothing is remembered under {shown:?}"))
            .hint("`enki memory list` and `enki memory search WORDS` show the ids"));
    };
    let value = object(entry);
    if cx.out.json {
        let mut value = value;
        value["schema"] = json!("enki.memory-entry.v1");
        cx.out.object(&value)?;
        return Ok(Exit::Ok);
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let mut lines = text.lines();
        cx.out.line(&format!("{:<14} {}", visible(name), visible(lines.next().unwrap_or_default())))?;
        for line in lines {
            cx.out.line(&format!("{:<14} {}", "", visible(line)))?;
        }
    }
    Ok(Exit::Ok)
}

fn add(cx: &mut Context, project: &Project, what: AddCommand) -> Result<Exit, CliError> {
    let now = cx.host.now();
    let entry = entry(what, date(now));
    if entry.title().trim().is_empty() {
        let about = match entry.kind() {
            Kind::Decision => "--what",
            Kind::Pattern => "--name",
            Kind::Failure => "--error",
            Kind::Preference => "--key",
        };
        return Err(CliError::usage(format!("{about} is empty")).hint("say in one line what is to be remembered"));
    }
    let memory = to_write(cx, project)?;
    let recorded = memory.record(&[Note::Entry { entry, at: now }])?;
    let Some(id) = recorded.ids.into_iter().flatten().next() else {
        return Err(recorded.faults.first().map_or_else(|| CliError::new(Exit::Internal, "nothing was added"), broken));
    };
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.memory-added.v1", "id": id}))?;
    } else {
        cx.out.line(&visible(&id))?;
    }
    Ok(Exit::Ok)
}

fn entry(what: AddCommand, date: String) -> Entry {
    match what {
        AddCommand::Decision { what, why, category, scope, confidence, status } => {
            Entry::Decision(Decision { date, category, what, why, scope, confidence, status, ..Decision::default() })
        }
        AddCommand::Pattern { name, description, when_to_use, example_file, keyword } => Entry::Pattern(Pattern {
            name,
            description,
            when_to_use,
            example_files: example_file,
            keywords: keyword,
            ..Pattern::default()
        }),
        AddCommand::Failure { error, context, root_cause, resolution, prevention, keyword, category } => {
            let status = if resolution.is_empty() { FailureStatus::Unresolved } else { FailureStatus::Resolved };
            Entry::Failure(Failure {
                date,
                error,
                context,
                root_cause,
                resolution,
                prevention,
                keywords: keyword,
                category,
                status,
                ..Failure::default()
            })
        }
        AddCommand::Preference { key, value, reason } => {
            Entry::Preference(Preference { key, value: value.into(), reason, ..Preference::default() })
        }
    }
}

/// One line of what it is, and what else it says if that is wanted.
fn print(cx: &mut Context, entry: &Entry, whole: bool) -> Result<(), CliError> {
    let paint = Paint(cx.out.color_out);
    let title = entry.title().split_whitespace().collect::<Vec<_>>().join(" ");
    let about = match entry {
        Entry::Preference(it) if !whole => format!("{title} = {}", it.value),
        _ => title,
    };
    let id = if entry.kind() == Kind::Preference { "preference" } else { entry.id() };
    cx.out.line(&format!("{}  {}", paint.bold(&visible(id)), visible(&about)))?;
    for (name, text) in entry.texts().into_iter().filter(|(_, text)| whole && text != entry.title()) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        cx.out.line(&format!("    {}: {}", paint.dim(name), visible(&text)))?;
    }
    Ok(())
}

fn object(entry: &Entry) -> Value {
    let mut value: Value = serde_json::from_str(&entry.to_json()).unwrap_or_default();
    value["kind"] = json!(entry.kind());
    value
}

fn scored(hit: &Hit) -> Value {
    let mut value = object(&hit.entry);
    value["score"] = json!(hit.score);
    value
}

fn print_json(cx: &mut Context, entries: Vec<Value>, faults: &[Fault]) -> Result<(), CliError> {
    let fault = |fault: &Fault| {
        json!({"path": fault.path.display().to_string(), "line": fault.line, "column": fault.column,
            "reason": fault.reason})
    };
    let faults: Vec<Value> = faults.iter().map(fault).collect();
    cx.out.object(&json!({"schema": "enki.memory.v1", "entries": entries, "faults": faults}))
}

/// Says what could not be read: then it was not all.
fn ended(cx: &mut Context, faults: &[Fault]) -> Exit {
    for fault in faults {
        cx.out.say(&format!("warning: {}; the file is left alone", visible(&fault.to_string())));
    }
    if faults.is_empty() { Exit::Ok } else { Exit::Store }
}

fn broken(fault: &Fault) -> CliError {
    CliError::new(Exit::Store, fault.to_string()).hint("repair the file, or move it away; it was left alone")
}
