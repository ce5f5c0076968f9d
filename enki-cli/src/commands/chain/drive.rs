//! `enki chain drive --stdio`: decides the chains of a coordinator that performs their directives itself. What it says
//! comes in as lines, directives go out as lines, and nothing is told that is not stored.

use super::book::{self, Book};
use super::line::{self, Line};
use crate::commands::{Context, audit};
use crate::error::CliError;
use crate::exit::Exit;
use crate::lock::{self, ProjectLock};
use crate::project::Project;
use crate::session::store_path;
use crate::source::visible;
use crate::wire;
use crate::words::Words;
use enki_core::chain::outside::{Input, Issued};
use enki_core::chain::{State, Wid};
use enki_core::plan::{Plan, PlanLimits};
use enki_core::review::Review;
use enki_core::spec::{PlanSpec, ReviewSpec, StepSpec};
use enki_core::store::TaskStore;
use enki_store_sqlite::SqliteStore;
use serde_json::json;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

/// Longest line that is read, in bytes.
const LINE: usize = 1 << 20;

pub(super) async fn drive(cx: &mut Context, name: &str) -> Result<Exit, CliError> {
    audit::check_name(name)?;
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let config = cx.config(Some(&Project { root: git.root().to_owned() }))?;
    let (words, limits) = (Words::load(&cx.host, Some(git.root()))?, wire::limits(&config));
    let plan_limits = PlanLimits { max_steps: limits.max_steps, ..words.plan_limits() };
    let enki_dir = git.ensure_enki_dir()?;
    let folder = book::folder(&enki_dir).join(name);
    std::fs::create_dir_all(&folder).map_err(|error| {
        CliError::environment(format!("cannot make {}: {error}", folder.display())).hint("check its permissions")
    })?;
    let lock = ProjectLock::take(&folder, &cx.host)?.map_err(|holder| {
        let who = holder.map_or_else(|| "another process".to_owned(), |holder| format!("process {}", holder.pid));
        CliError::new(Exit::Locked, format!("{who} drives the chains of coordinator {name:?}"))
            .hint("end that one, or give yours another name with --as")
    })?;
    let store: Arc<dyn TaskStore> = Arc::new(SqliteStore::open(store_path(&enki_dir), &wire::store_options(&config))?);
    let mut book = Book::open(store, name, &lock.holder, limits, cx.host.clock).await?;
    let needs_nonce = config.on("review.nonce");
    let mut told = 0;
    // What was told before and not answered, in its order.
    tell(cx, &book, &mut told)?;
    let mut lines = Lines(BufReader::new(std::mem::replace(&mut cx.host.stdin, Box::new(io::empty()))));
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let next = lines.next();
            (lines, next)
        });
        let (back, next) = read.await.map_err(|error| CliError::new(Exit::Internal, error.to_string()))?;
        lines = back;
        let next = next.map_err(|error| {
            CliError::environment(format!("cannot read standard input: {error}"))
                .hint("start it again: what was not answered is told once more")
        })?;
        let said = match next {
            Next::End => break,
            Next::Cut => {
                cx.out.note("the last line had no end, and was not taken");
                break;
            }
            Next::Long => Err(format!("a line of more than {LINE} bytes")),
            Next::Line(text) => line::parse(&text),
        };
        let input = match said {
            Ok(None) => continue,
            Ok(Some(line)) => input(line, &plan_limits, needs_nonce),
            Err(why) => Err(why),
        };
        match input {
            Ok(input) => answer(cx, &mut book, &input).await?,
            Err(why) => refuse(cx, "refused", &why)?,
        }
        tell(cx, &book, &mut told)?;
    }
    book.close().await?;
    Ok(Exit::Ok)
}

/// What a line means for the chains.
fn input(line: Line, limits: &PlanLimits, needs_nonce: bool) -> Result<Input, String> {
    Ok(match line {
        Line::Start { wid, title, review } => {
            let review = Box::new(checked(review, limits)?);
            Input::Open { wid, title: title.into(), review, seed: needs_nonce.then(|| lock::random_hex().into()) }
        }
        Line::Ended { wid, attempt, by, end } => Input::Ended { wid, attempt, by, end },
        Line::Taken { wid } => Input::Taken { wid },
        Line::Cancel { wid } => Input::Cancel { wid },
    })
}

/// A review, checked as that of a step is.
fn checked(review: ReviewSpec, limits: &PlanLimits) -> Result<Review, String> {
    let step = StepSpec {
        id: "chain".to_owned(),
        title: "chain".to_owned(),
        description: "chain".to_owned(),
        review: Some(review),
        ..StepSpec::default()
    };
    let spec = PlanSpec { steps: vec![step], ..PlanSpec::default() };
    let plan = Plan::build(&spec, limits, &HashMap::new()).map_err(|problems| {
        let all: Vec<String> = problems.0.iter().map(|one| format!("{}; {}", one.message, one.help)).collect();
        all.join("; ")
    })?;
    let review = plan.steps().first().and_then(|step| step.review.as_deref());
    review.cloned().ok_or_else(|| "a chain without a review is none".to_owned())
}

async fn answer(cx: &mut Context, book: &mut Book, input: &Input) -> Result<(), CliError> {
    let (Input::Open { wid, .. } | Input::Ended { wid, .. } | Input::Taken { wid } | Input::Cancel { wid }) = input;
    match book.say(input).await? {
        Ok(notices) => {
            for notice in notices {
                cx.out.note(&format!("{wid}: {}", visible(&notice)));
            }
            let state = state_of(book, wid);
            if cx.out.json {
                cx.out.object(
                    &json!({"schema": "enki.chain.answer.v1", "answer": "ok", "wid": wid.as_str(), "state": state}),
                )
            } else {
                cx.out.line(&format!("ok {wid} {state}"))
            }
        }
        Err(rejected) => {
            tracing::warn!(%rejected, "an outside coordinator said what fits no chain");
            refuse(cx, if rejected.is_stale() { "stale" } else { "refused" }, &rejected.to_string())
        }
    }
}

fn state_of(book: &Book, wid: &Wid) -> String {
    let chain = book.state.get(wid).map(|entry| &entry.chain);
    chain.map_or("unknown", |chain| state_word(chain)).to_owned()
}

/// The state of a chain if it is open, else how it ended.
pub(super) fn state_word(chain: &enki_core::chain::Chain) -> &str {
    match chain.state() {
        State::Open { .. } => chain.at().1,
        State::Complete => "complete",
        State::Escalated(_) => "escalated",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}

fn refuse(cx: &mut Context, word: &str, why: &str) -> Result<(), CliError> {
    if cx.out.json {
        return cx.out.object(&json!({"schema": "enki.chain.answer.v1", "answer": word, "message": why}));
    }
    cx.out.line(&format!("{word}: {}", visible(why)))
}

/// Tells every directive that was not told yet by this process.
fn tell(cx: &mut Context, book: &Book, told: &mut u64) -> Result<(), CliError> {
    for Issued { id, wid, attempt, directive, .. } in book.state.unanswered() {
        if id <= *told {
            continue;
        }
        if cx.out.json {
            let value = serde_json::to_value(&directive).unwrap_or_default();
            cx.out.object(&json!({"schema": "enki.directive.v1", "id": id, "wid": wid.as_str(),
                "attempt": attempt.map(|attempt| attempt.0), "directive": value}))?;
        } else {
            cx.out.line(&directive.encode())?;
        }
    }
    *told = book.state.facts();
    Ok(())
}

/// Lines of a stream, none longer than [`LINE`].
struct Lines(BufReader<Box<dyn Read + Send>>);

enum Next {
    Line(String),
    /// Longer than a line may be; its rest was skipped.
    Long,
    /// The stream ended within it: half a line may say something else than the whole.
    Cut,
    End,
}

impl Lines {
    fn next(&mut self) -> io::Result<Next> {
        let mut line = Vec::new();
        let mut long = false;
        loop {
            let part = match self.0.fill_buf() {
                Ok(part) => part,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if part.is_empty() {
                return Ok(if line.is_empty() && !long { Next::End } else { Next::Cut });
            }
            let end = part.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(part.len());
            long |= line.len() + taken > LINE;
            if !long {
                line.extend_from_slice(&part[..taken]);
            }
            self.0.consume(end.map_or(taken, |end| end + 1));
            if end.is_some() {
                return Ok(if long { Next::Long } else { Next::Line(String::from_utf8_lossy(&line).into_owned()) });
            }
        }
    }
}
