//! `enki validate` and `enki directives`: what a log says of the rules, and of what an outside coordinator has to do.

use super::Context;
use super::see::store;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look::{self, Follower};
use crate::project::Project;
use crate::render::Paint;
use crate::rpc::Client;
use crate::wire;
use enki_core::audit::{self, Answer, Kept};
use enki_core::gv::Directive;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Largest transcript that is searched, in bytes.
const TRANSCRIPT: u64 = 64 << 20;

pub(super) async fn validate(cx: &mut Context, id: Option<&str>, transcript: Option<&Path>) -> Result<Exit, CliError> {
    if let Some(path) = transcript {
        let project = Project::find(&cx.start_dir()?);
        let limits = wire::limits(&cx.config(project.as_ref())?);
        let text = read(cx, path)?;
        let about = json!({"transcript": path.display().to_string(), "approximate": true});
        return answers(cx, &audit::transcript(&text, &limits), None, about, " (approximate)");
    }
    let (project, store) = store(cx)?;
    let named = look::find(store.as_ref(), id).await?;
    let limits = wire::limits(&cx.config(Some(&project))?);
    let events: Vec<_> =
        look::events(store.as_ref(), named.execution).await?.into_iter().map(|one| one.event).collect();
    let about = json!({"execution_id": named.execution.to_string()});
    answers(cx, &audit::audit(&events, &limits), Some(audit::overrides(&events)), about, "")
}

/// A transcript as text, whatever bytes it has.
fn read(cx: &mut Context, path: &Path) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        cx.host.stdin.as_mut().take(TRANSCRIPT + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(cx.start_dir()?.join(path))
            .and_then(|file| file.take(TRANSCRIPT + 1).read_to_end(&mut bytes))
    };
    let size = read.map_err(|error| {
        CliError::usage(format!("cannot read transcript {}: {error}", path.display())).hint("name a readable file")
    })?;
    if size as u64 > TRANSCRIPT {
        let message = format!("transcript {} is larger than {} MiB", path.display(), TRANSCRIPT >> 20);
        return Err(CliError::usage(message).hint("give the part that matters"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Prints the answers and, where a log tells them, what a person overruled.
fn answers(
    cx: &mut Context,
    answers: &[Answer],
    overrides: Option<Vec<String>>,
    mut about: Value,
    note: &str,
) -> Result<Exit, CliError> {
    let broken = answers.iter().filter(|answer| matches!(answer.kept, Kept::No(_))).count();
    let exit = if broken == 0 { Exit::Ok } else { Exit::Failed };
    if cx.out.json {
        let one = |answer: &Answer| {
            let (word, detail) = match &answer.kept {
                Kept::Yes => ("kept", json!([])),
                Kept::NotApplicable(why) => ("not_applicable", json!([why])),
                Kept::No(breaches) => ("broken", json!(breaches)),
            };
            json!({"rule": answer.rule, "asks": answer.asks, "answer": word, "detail": detail})
        };
        about["schema"] = json!("enki.audit.v1");
        about["ok"] = json!(broken == 0);
        about["rules"] = answers.iter().map(one).collect();
        if let Some(overrides) = overrides {
            about["overrides"] = json!(overrides);
        }
        cx.out.object(&about)?;
        return Ok(exit);
    }
    let paint = Paint(cx.out.color_out);
    for answer in answers {
        let (mark, more) = match &answer.kept {
            Kept::Yes => (paint.good("kept  "), Vec::new()),
            Kept::NotApplicable(why) => (paint.dim("n/a   "), vec![(*why).to_owned()]),
            Kept::No(breaches) => (paint.bad("broken"), breaches.clone()),
        };
        cx.out.line(&format!("{mark} {}. {}{note}", answer.rule, answer.asks))?;
        for line in more {
            cx.out.line(&format!("          {}", crate::source::visible(&line)))?;
        }
    }
    for line in overrides.into_iter().flatten() {
        cx.out.line(&format!("{}    {}", paint.wait("a person"), crate::source::visible(&line)))?;
    }
    Ok(exit)
}

/// Prints directives, each with the number of the event that it follows from. What `name` was given before is not given
/// again: it counts as taken once it is written out. After a kill in between, the last one comes once more.
pub(super) async fn directives(
    cx: &mut Context,
    id: Option<&str>,
    follow: bool,
    name: Option<&str>,
) -> Result<Exit, CliError> {
    let (project, store) = store(cx)?;
    let named = look::find(store.as_ref(), id).await?;
    let taken = name.map(|name| Taken::of(&project.state_dir(), &named.execution.to_string(), name)).transpose()?;
    let mut upto = taken.as_ref().map_or(0, |taken| taken.upto);
    let mut follower = Follower::new(Arc::clone(&store), named.execution);
    let mut last = 0;
    let mut watch = None;
    loop {
        let mut found: Vec<(u64, Directive)> = Vec::new();
        follower
            .advance(|state, one| {
                last = one.version.0;
                found.extend(state.directive(&one.event).map(|directive| (one.version.0, directive)));
            })
            .await?;
        found.retain(|(seq, _)| *seq > upto);
        for (seq, directive) in found {
            if cx.out.json {
                let value = serde_json::to_value(&directive).unwrap_or_default();
                cx.out.object(&json!({"seq": seq, "directive": value}))?;
            } else {
                cx.out.line(&directive.encode())?;
            }
            upto = seq;
            if let Some(taken) = &taken {
                taken.save(seq)?;
            }
        }
        if !follow {
            return Ok(Exit::Ok);
        }
        if watch.is_none() {
            let Some(client) = Client::connect(&project.state_dir()).await? else {
                cx.out.note("nobody drives this project now, so nothing follows");
                return Ok(Exit::Ok);
            };
            watch = Some(client.watch(named.execution, last).await?);
            // What was recorded between the look and the watch.
            continue;
        }
        let heard = match &mut watch {
            Some(watch) => watch.next().await?.is_some(),
            None => false,
        };
        if !heard {
            return Ok(Exit::Ok);
        }
    }
}

/// Refuses what is no name of a coordinator: it becomes part of a path.
pub(super) fn check_name(name: &str) -> Result<(), CliError> {
    if name.parse::<enki_core::id::StepId>().is_ok() {
        return Ok(());
    }
    Err(CliError::usage(format!("invalid value for --as: {name:?} is no name"))
        .hint("use 1 to 64 characters of a-z, 0-9, _ and -, the first a letter or digit"))
}

/// How far a coordinator of that name has taken the directives of an execution.
struct Taken {
    file: std::path::PathBuf,
    upto: u64,
}

impl Taken {
    fn of(state_dir: &std::path::Path, execution: &str, name: &str) -> Result<Self, CliError> {
        check_name(name)?;
        let file = state_dir.join("directives").join(format!("{execution}.{name}"));
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Self::failed("read", &file, &error)),
        };
        let upto = match text.trim() {
            "" => 0,
            number => number.parse().map_err(|_| {
                CliError::environment(format!("{} holds no number", file.display()))
                    .hint("remove it to be given all directives again")
            })?,
        };
        Ok(Self { file, upto })
    }

    fn save(&self, seq: u64) -> Result<(), CliError> {
        let folder = self.file.parent().unwrap_or(&self.file);
        let save = || {
            std::fs::create_dir_all(folder)?;
            // A name has no dot, so that this is no other coordinator's.
            let name = self.file.file_name().unwrap_or_default().to_string_lossy();
            let next = folder.join(format!("{name}.next"));
            std::fs::write(&next, format!("{seq}\n"))?;
            std::fs::rename(&next, &self.file)
        };
        save().map_err(|error| Self::failed("write", &self.file, &error))
    }

    fn failed(what: &str, file: &std::path::Path, error: &std::io::Error) -> CliError {
        CliError::environment(format!("cannot {what} {}: {error}", file.display())).hint("check its permissions")
    }
}
