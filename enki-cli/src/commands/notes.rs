//! `enki note`, `enki notes`, `enki promote`.

use super::Context;
use crate::args::{NoteArgs, NotesArgs, PromoteArgs, RunNow};
use crate::error::CliError;
use crate::exit::Exit;
use crate::notes::{self, NewNote, Notes};
use crate::project::Project;
use crate::queue::add;
use crate::queue::wait::Leaving;
use crate::source::{MAX_BYTES, visible};
use enki_core::advice::approval::Author;
use enki_notes::{Broken, CaptureStatus, Head, Kind, NotePath, Promotion, Source, TaskStatus};
use serde_json::{Value, json};
use std::io::Read as _;

/// Writes one down.
pub(super) async fn note(cx: &mut Context, args: NoteArgs) -> Result<Exit, CliError> {
    at_once(&args.now)?;
    of_its_kind(&args)?;
    let text = if args.text == "-" { from_stdin(cx)? } else { args.text };
    let kind = args.kind.map(Kind::from);
    let source = args.source.as_deref().and_then(Source::read).unwrap_or(Source::Conversation);
    let (model, tier) = (args.model.clone(), args.tier.clone());
    let (path, id) = notes::write(cx, NewNote { text, kind, source, stream: args.stream, task_id: None, model, tier })?;
    if args.now.run {
        let mut promotion = Promotion::default();
        (promotion.model, promotion.tier) = (args.model, args.tier);
        return start(cx, &path, id, &promotion).await;
    }
    if cx.out.json {
        let kind = path.kind().as_str();
        cx.out.object(&json!({"schema": "enki.note.v1", "path": path.as_str(), "kind": kind, "capture_id": id}))?;
    } else {
        cx.out.line(&visible(path.as_str()))?;
    }
    Ok(Exit::Ok)
}

/// A capture has a stream, and a task says who shall do it.
fn of_its_kind(args: &NoteArgs) -> Result<(), CliError> {
    let is_task = args.kind.map(Kind::from) == Some(Kind::Task);
    if is_task && args.stream.is_some() {
        return Err(CliError::usage("a task note has no stream").hint("leave --stream out; nothing was written"));
    }
    if !is_task && !args.now.run && (args.model.is_some() || args.tier.is_some()) {
        return Err(CliError::usage("--model and --tier are of a task, and this note is none")
            .hint("give --kind task, or --run to make a task of it and start that; nothing was written"));
    }
    Ok(())
}

/// What starts at once starts not later.
fn at_once(now: &RunNow) -> Result<(), CliError> {
    let later = [&now.at, &now.after, &now.after_any].into_iter().flatten().any(|time| time != "now");
    if later {
        return Err(CliError::usage("a note starts nothing later, or after something else")
            .hint("promote it, then put its task in with `enki queue add` (enki_schedule); nothing was written"));
    }
    Ok(())
}

/// Starts the task of a note. Where nobody drives this does, until it has ended.
async fn start(cx: &mut Context, note: &NotePath, id: Option<String>, how: &Promotion) -> Result<Exit, CliError> {
    let added = add::dispatch(cx, note, how, Author::Person).await?;
    added.notes.iter().for_each(|line| cx.out.note(&visible(line)));
    if cx.out.json {
        let (kind, task) = (note.kind().as_str(), added.tasks.first());
        cx.out.object(&json!({"schema": "enki.note.v1", "path": note.as_str(), "kind": kind, "capture_id": id,
            "task": task, "queue_id": added.id.short(), "execution_id": added.id.to_string(), "status": added.status,
            "known": added.known}))?;
    } else {
        cx.out.line(&visible(note.as_str()))?;
        added.tasks.iter().filter(|task| *task != note.as_str()).try_for_each(|task| cx.out.line(&visible(task)))?;
        cx.out.line(&added.id.to_string())?;
    }
    if added.driven {
        return Ok(Exit::Ok);
    }
    super::queue::wait_for(cx, added.id, Leaving::Leaves).await.map(|(_, exit)| exit)
}

pub(super) fn from_stdin(cx: &mut Context) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = cx.host.stdin.as_mut().take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| CliError::environment(format!("cannot read the text from standard input: {error}")))?;
    if bytes.len() > MAX_BYTES {
        return Err(
            CliError::usage(format!("the text is larger than {MAX_BYTES} bytes")).hint("write a file of its own")
        );
    }
    String::from_utf8(bytes).map_err(|_| CliError::usage("the text is not UTF-8").hint("convert it first"))
}

/// Lists them.
pub(super) fn list(cx: &mut Context, args: &NotesArgs) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let kinds: Vec<Kind> = args.kind.iter().map(|kind| Kind::from(*kind)).collect();
    let before = args.older_than.as_deref().map(|age| before(age, cx.host.now().0)).transpose()?;
    let listing = Notes::read(&cx.host, &project.root)?.list(if kinds.is_empty() { &Kind::ALL } else { &kinds })?;
    let wanted = |head: &&Head| {
        let status = match args.status.as_deref() {
            None => !kinds.is_empty() || head.is_open(),
            Some("all") => true,
            Some(word) => means(head, word),
        };
        let old = before.as_ref().is_none_or(|day| head.date().is_some_and(|date| date <= *day));
        status && old
    };
    let heads: Vec<&Head> = listing.heads.iter().filter(wanted).collect();
    if cx.out.json {
        let notes: Vec<Value> = heads.iter().map(|head| object(head)).collect();
        let broken = |broken: &Broken| json!({"path": broken.path, "line": broken.line, "why": broken.why});
        let broken: Vec<Value> = listing.broken.iter().map(broken).collect();
        cx.out.object(&json!({"schema": "enki.notes.v1", "notes": notes, "broken": broken}))?;
    } else {
        for head in &heads {
            let id = head.capture_id.as_deref().unwrap_or("-");
            let date = head.date().unwrap_or_default();
            let line = format!("{id:<12}  {date:<10}  {:<11}  {:<9}  {}", head.path.kind(), head.status, head.title);
            cx.out.line(&visible(&line))?;
        }
        if heads.is_empty() {
            cx.out.note("no such notes; `enki note TEXT` writes one, `enki notes --status all` lists every one");
        }
    }
    for broken in &listing.broken {
        cx.out.say(&format!("warning: {}; the file is left alone", visible(&broken.to_string())));
    }
    Ok(Exit::Ok)
}

/// Makes a task of one.
pub(super) async fn promote(cx: &mut Context, args: PromoteArgs) -> Result<Exit, CliError> {
    at_once(&args.now)?;
    let mut how = Promotion::default();
    (how.goal, how.model, how.tier, how.again) = (args.goal, args.model, args.tier, args.again);
    let notes::Made { source, promoted, .. } = notes::promote(cx, &args.note, &how).await?;
    if promoted.known {
        cx.out.note("it was promoted before; --again makes another task");
    }
    if args.now.run {
        return start(cx, &promoted.task, None, &how).await;
    }
    if cx.out.json {
        let (task, source) = (promoted.task.as_str(), source.as_str());
        cx.out.object(&json!({"schema": "enki.promoted.v1", "task": task, "note": source, "known": promoted.known}))?;
        return Ok(Exit::Ok);
    }
    cx.out.line(&visible(promoted.task.as_str()))?;
    Ok(Exit::Ok)
}

/// Whether a note's status is that word, or means the same.
fn means(head: &Head, word: &str) -> bool {
    let same = match (head.capture_status(), head.task_status()) {
        (Some(own), _) => CaptureStatus::read(word) == Some(own),
        (_, Some(own)) => TaskStatus::read(word) == Some(own),
        _ => false,
    };
    same || head.status.eq_ignore_ascii_case(word)
}

/// The last day that is at least so many days ago.
fn before(age: &str, now: i64) -> Result<String, CliError> {
    let days: i64 =
        age.strip_suffix('d').unwrap_or(age).parse().ok().filter(|days| (0..100_000).contains(days)).ok_or_else(
            || CliError::usage(format!("invalid value for --older-than: {age:?}")).hint("give days, such as 7d"),
        )?;
    let then = jiff::Timestamp::from_millisecond(now.saturating_sub(days * DAY)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Ok(then.strftime("%Y-%m-%d").to_string())
}

const DAY: i64 = 24 * 60 * 60 * 1000;

fn object(head: &Head) -> Value {
    json!({"path": head.path.as_str(), "kind": head.path.kind().as_str(), "capture_id": head.capture_id,
        "title": head.title, "status": head.status, "tags": head.tags, "timestamp": head.timestamp,
        "task_note": head.task_note, "source_note": head.source_note})
}
