//! `enki validate` and `enki directives`: what a log says of the rules, and of what an outside coordinator has to do.

use super::Context;
use super::see::store;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look::{self, Follower};
use crate::render::Paint;
use crate::rpc::Client;
use crate::wire;
use enki_core::audit::{Kept, audit};
use enki_core::gv::Directive;
use serde_json::json;
use std::sync::Arc;

pub(super) async fn validate(cx: &mut Context, id: &str) -> Result<Exit, CliError> {
    let (project, store) = store(cx)?;
    let named = look::find(store.as_ref(), Some(id)).await?;
    let limits = wire::limits(&cx.config(Some(&project))?);
    let events: Vec<_> =
        look::events(store.as_ref(), named.execution).await?.into_iter().map(|one| one.event).collect();
    let answers = audit(&events, &limits);
    let broken = answers.iter().filter(|answer| matches!(answer.kept, Kept::No(_))).count();
    let exit = if broken == 0 { Exit::Ok } else { Exit::Failed };
    if cx.out.json {
        let one = |answer: &enki_core::audit::Answer| {
            let (word, detail) = match &answer.kept {
                Kept::Yes => ("kept", json!([])),
                Kept::NotApplicable(why) => ("not_applicable", json!([why])),
                Kept::No(breaches) => ("broken", json!(breaches)),
            };
            json!({"rule": answer.rule, "asks": answer.asks, "answer": word, "detail": detail})
        };
        cx.out.object(&json!({"schema": "enki.audit.v1", "execution_id": named.execution.to_string(),
            "ok": broken == 0, "rules": answers.iter().map(one).collect::<Vec<_>>()}))?;
        return Ok(exit);
    }
    let paint = Paint(cx.out.color_out);
    for answer in &answers {
        let (mark, more) = match &answer.kept {
            Kept::Yes => (paint.good("kept  "), Vec::new()),
            Kept::NotApplicable(why) => (paint.dim("n/a   "), vec![(*why).to_owned()]),
            Kept::No(breaches) => (paint.bad("broken"), breaches.clone()),
        };
        cx.out.line(&format!("{mark} {}. {}", answer.rule, answer.asks))?;
        for line in more {
            cx.out.line(&format!("          {}", crate::source::visible(&line)))?;
        }
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
