//! `enki note`, `enki notes`, `enki promote`.

use super::Context;
use crate::args::{NoteKind, NotesArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::notes::Notes;
use crate::project::Project;
use crate::source::{MAX_BYTES, visible};
use enki_notes::{Broken, CaptureStatus, Head, Kind, NewTask, Promotion, Source, TaskStatus};
use serde_json::{Value, json};
use std::io::Read as _;

/// Writes one down.
pub(super) fn note(cx: &mut Context, text: &str, kind: Option<NoteKind>) -> Result<Exit, CliError> {
    let text = if text == "-" { from_stdin(cx)? } else { text.to_owned() };
    let project = Project::require(&cx.start_dir()?)?;
    let config = cx.config(Some(&project))?;
    let notes = Notes::signed(&cx.host, &config, &project.root);
    let now = cx.host.now();
    let (path, id) = match kind.map(Kind::from) {
        Some(Kind::Task) => (notes.log.task(&NewTask::new(notes.clean(&text)), now)?, None),
        Some(Kind::Result) => {
            return Err(CliError::usage("a result is written when a task's run has ended")
                .hint("leave --kind out, or give idea, issue, observation or task"));
        }
        kind => {
            let mut new = notes.capture(&text, Source::Conversation);
            new.kind = kind;
            let filed = notes.log.capture(&new, now)?;
            (filed.path, Some(filed.capture_id))
        }
    };
    if cx.out.json {
        let kind = path.kind().as_str();
        cx.out.object(&json!({"schema": "enki.note.v1", "path": path.as_str(), "kind": kind, "capture_id": id}))?;
    } else {
        cx.out.line(&visible(path.as_str()))?;
    }
    Ok(Exit::Ok)
}

fn from_stdin(cx: &mut Context) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = cx.host.stdin.as_mut().take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| CliError::environment(format!("cannot read the note from standard input: {error}")))?;
    if bytes.len() > MAX_BYTES {
        return Err(
            CliError::usage(format!("the note is larger than {MAX_BYTES} bytes")).hint("write a file of its own")
        );
    }
    String::from_utf8(bytes).map_err(|_| CliError::usage("the note is not UTF-8").hint("convert it first"))
}

/// Lists them.
pub(super) fn list(cx: &mut Context, args: &NotesArgs) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let kinds: Vec<Kind> = args.kind.iter().map(|kind| Kind::from(*kind)).collect();
    let before = args.older_than.as_deref().map(|age| before(age, cx.host.now().0)).transpose()?;
    let listing = Notes::read(&project.root).list(if kinds.is_empty() { &Kind::ALL } else { &kinds })?;
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
pub(super) fn promote(cx: &mut Context, note: &str, how: &Promotion) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let config = cx.config(Some(&project))?;
    let notes = Notes::signed(&cx.host, &config, &project.root);
    let source = notes.log.find(note)?;
    let promoted = notes.log.promote(&source, how, cx.host.now())?;
    if cx.out.json {
        let (task, source) = (promoted.task.as_str(), source.as_str());
        cx.out.object(&json!({"schema": "enki.promoted.v1", "task": task, "note": source, "known": promoted.known}))?;
        return Ok(Exit::Ok);
    }
    if promoted.known {
        cx.out.note("it was promoted before; --again makes another task");
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
