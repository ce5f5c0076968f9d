//! `enki status`, `show`, `log`, `graph`: read from the store, with what agents do now from whoever drives.

use super::Context;
use super::mcp::bench;
use crate::args::Picture;
use crate::chains::Joined;
use crate::error::CliError;
use crate::exit::Exit;
use crate::lock;
use crate::look::{self, Follower, Named};
use crate::project::Project;
use crate::render::{self, Paint, Speech};
use crate::rpc::Client;
use crate::session::{logs_dir, open_to_read};
use crate::source::visible;
use crate::view::ExecutionView;
use crate::wire;
use enki_core::execution::Execution;
use enki_core::redact::Redactor;
use enki_core::store::TaskStore;
use enki_core::time::Timestamp;
use enki_mcp::{Trace, Traces};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many executions a list shows.
const LISTED: u32 = 20;

/// How many refused calls are shown.
const REFUSED: usize = 50;

pub(super) async fn status(cx: &mut Context, id: Option<&str>) -> Result<Exit, CliError> {
    if let Some(id) = id {
        let (project, store) = store(cx)?;
        let named = look::find(store.as_ref(), Some(id)).await?;
        let view = seen(&project, store.as_ref(), named, cx.host.now()).await?;
        let joined = joined(cx, store.as_ref(), named).await?;
        if cx.out.json {
            cx.out.object(&with_reviews(object("enki.execution.v1", &view), joined.as_ref()))?;
        } else {
            let mut text = render::execution(&view, Paint(cx.out.color_out));
            text.push_str(&reviews(joined.as_ref(), Paint(cx.out.color_out)));
            cx.out.write(&text)?;
        }
        return Ok(Exit::Ok);
    }
    let project = Project::require(&cx.start_dir()?)?;
    let driver = lock::holder(&project.state_dir());
    let (mut all, mut open) = (Vec::new(), BTreeMap::new());
    if let Some(store) = open_to_read(&project.state_dir())? {
        all = store.list(&look::listed(false, LISTED)).await?;
        for summary in all.iter().filter(|summary| summary.open) {
            let view = ExecutionView::of(&look::load(store.as_ref(), summary.execution).await?, cx.host.now());
            open.insert(summary.execution, view);
        }
    }
    if cx.out.json {
        let one = |s: &enki_core::store::Summary| {
            json!({"id": s.execution.to_string(), "title": s.title, "status": s.status, "open": s.open, "counts": s.counts,
                "created": render::time(s.created), "updated": render::time(s.updated),
                "holds": open.get(&s.execution).map(|view| &view.holds),
                "services": open.get(&s.execution).map(|view| &view.services)})
        };
        let driver = driver.map(|d| json!({"pid": d.pid, "host": d.host, "since": render::time(d.since)}));
        let value = json!({"schema": "enki.status.v1", "project": project.root.display().to_string(), "driver": driver,
            "executions": all.iter().map(one).collect::<Vec<_>>()});
        cx.out.object(&value)?;
    } else {
        let text = render::list(&all, &open, driver.as_ref(), Paint(cx.out.color_out));
        cx.out.write(&text)?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn show(cx: &mut Context, id: &str) -> Result<Exit, CliError> {
    let (project, store) = store(cx)?;
    let named = look::find(store.as_ref(), Some(id)).await?;
    let view = seen(&project, store.as_ref(), named, cx.host.now()).await?;
    let paint = Paint(cx.out.color_out);
    let Some(ix) = named.step else {
        let joined = joined(cx, store.as_ref(), named).await?;
        let refused = refused(&project, |trace| trace.execution == Some(named.execution))?;
        if cx.out.json {
            let mut value = with_reviews(object("enki.execution.v1", &view), joined.as_ref());
            value["refused_calls"] = json!(refused);
            cx.out.object(&value)?;
        } else {
            let mut text = render::execution(&view, paint);
            text.push_str(&reviews(joined.as_ref(), paint));
            text.push('\n');
            for step in &view.steps {
                text.push_str(&render::step(&view, step, &names(&logs(&project, &view.id, &step.id)), paint));
            }
            text.push_str(&render::refused(&refused, paint));
            cx.out.write(&text)?;
        }
        return Ok(Exit::Ok);
    };
    let step = &view.steps[ix.index()];
    let logs = logs(&project, &view.id, &step.id);
    let refused = refused(&project, |trace| trace.session.as_deref() == Some(step.task.as_str()))?;
    if cx.out.json {
        let mut value = object("enki.step.v1", step);
        value["execution_id"] = json!(view.id);
        value["logs"] = json!(names(&logs));
        value["refused_calls"] = json!(refused);
        cx.out.object(&value)?;
    } else {
        let mut text = render::step(&view, step, &names(&logs), paint);
        text.push_str(&render::refused(&refused, paint));
        cx.out.write(&text)?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn graph(cx: &mut Context, id: Option<&str>, picture: Picture) -> Result<Exit, CliError> {
    let (project, store) = store(cx)?;
    let named = look::find(store.as_ref(), id).await?;
    let view = seen(&project, store.as_ref(), named, cx.host.now()).await?;
    cx.draw(&view.graph(), picture)?;
    Ok(Exit::Ok)
}

pub(super) async fn log(cx: &mut Context, id: &str, follow: bool) -> Result<Exit, CliError> {
    let (project, store) = store(cx)?;
    let named = look::find(store.as_ref(), Some(id)).await?;
    let paint = Paint(cx.out.color_out);
    let mut follower = Follower::new(Arc::clone(&store), named.execution);
    let mut lines = Vec::new();
    let mut last = 0;
    let json = cx.out.json;
    follower
        .advance(|state, one| {
            last = one.version.0;
            lines.extend(said(state, one, named, json, paint));
        })
        .await?;
    for line in lines {
        cx.out.line(&line)?;
    }
    if let (Some(ix), Some(state)) = (named.step, follower.state()) {
        let step = state.plan().step(ix).id.to_string();
        for path in logs(&project, &state.id().to_string(), &step).into_iter().filter(|_| !json) {
            cx.out.line(&paint.bold(&format!("-- {}", path.display())))?;
            let text = std::fs::read(&path).map_err(|error| {
                CliError::environment(format!("cannot read {}: {error}", path.display())).hint("check its permissions")
            })?;
            for line in String::from_utf8_lossy(&text).lines() {
                cx.out.line(&visible(line))?;
            }
        }
    }
    if follow {
        let Some(client) = Client::connect(&project.state_dir()).await? else {
            cx.out.note("nobody drives this project now, so nothing follows");
            return Ok(Exit::Ok);
        };
        // A stored event is an object for programs; words in pieces are for people.
        let mut watch = match json {
            true => client.watch(named.execution, last).await?,
            false => client.listen(named.execution, last).await?,
        };
        let mut speech = Speech::default();
        let name = named.step.zip(follower.state()).map(|(ix, state)| state.plan().step(ix).id.to_string());
        loop {
            let event = match watch.next().await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) if error.exit == Exit::Locked => {
                    // Whoever drove it has ended before it told the end: the rest is in the store.
                    let mut rest = Vec::new();
                    let tell = |state: &Execution, one: &look::Logged| {
                        rest.extend((one.version.0 > last).then(|| said(state, one, named, json, paint)).flatten());
                    };
                    follower.advance(tell).await?;
                    for line in rest {
                        cx.out.line(&line)?;
                    }
                    cx.out.note("the process that drove it has ended");
                    break;
                }
                Err(error) => return Err(error),
            };
            last += u64::from(!event["event"].is_null());
            let said = &event["said"];
            let of = said["step"].as_str().or(event["event"]["step"].as_str());
            if name.is_some() && of != name.as_deref() {
                continue;
            }
            if json {
                cx.out.object(&event["event"])?;
            } else if let (Some(step), Some(text)) = (said["step"].as_str(), said["text"].as_str()) {
                let at = event["at"].as_str().unwrap_or_default();
                cx.out.write(&speech.says(step, (at, text), said["whole"] == true, paint))?;
            } else if let Some(text) = event["text"].as_str() {
                let at = paint.dim(event["at"].as_str().unwrap_or_default());
                cx.out.line(&format!("{}{at} {text}", speech.interrupt()))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// What happened to an execution, and what its agents said, as lines: the last of them, and whether there are more.
pub(crate) async fn last_lines(
    project: &Project,
    store: &Arc<dyn TaskStore>,
    id: enki_core::id::ExecutionId,
    most: usize,
) -> Result<(Vec<String>, bool), CliError> {
    let named = Named { execution: id, step: None };
    let mut follower = Follower::new(Arc::clone(store), id);
    let mut lines = Vec::new();
    follower.advance(|state, one| lines.extend(said(state, one, named, false, Paint(false)))).await?;
    for step in follower.state().map(|state| state.plan().steps()).unwrap_or_default() {
        for path in logs(project, &id.to_string(), step.id.as_str()) {
            lines.push(format!("-- {}", path.display()));
            let (text, cut) = tail_of(&path).map_err(|error| {
                CliError::environment(format!("cannot read {}: {error}", path.display())).hint("check its permissions")
            })?;
            lines.extend(cut.then(|| "...".to_owned()));
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    let cut = lines.len().saturating_sub(most);
    Ok((lines.split_off(cut), cut > 0))
}

/// The end of a file, from a line's beginning, and whether there is more before it.
fn tail_of(path: &Path) -> std::io::Result<(String, bool)> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const MOST: u64 = 64 << 10;
    let mut file = std::fs::File::open(path)?;
    let before = file.metadata()?.len().saturating_sub(MOST);
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = if before > 0 { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    Ok((whole.to_owned(), before > 0))
}

fn said(state: &Execution, one: &look::Logged, named: Named, json: bool, paint: Paint) -> Option<String> {
    let event = render::to_json(state, &one.event, one.at);
    let step = named.step.map(|ix| state.plan().step(ix).id.to_string());
    if step.is_some() && event["step"].as_str() != step.as_deref() {
        return None;
    }
    if json {
        return Some(event.to_string());
    }
    let text = render::line(state, &one.event, one.at, paint)?;
    Some(format!("{} {text}", paint.dim(&render::clock(one.at))))
}

/// The project and its store. Only read.
pub(super) fn store(cx: &Context) -> Result<(Project, Arc<dyn TaskStore>), CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let store = open_to_read(&project.state_dir())?.ok_or_else(|| {
        CliError::new(Exit::NotFound, "there is no execution yet").hint("start one with `enki run PLAN`")
    })?;
    Ok((project, store))
}

/// An execution as it is stored, with what its agents do now.
async fn seen(
    project: &Project,
    store: &dyn TaskStore,
    named: Named,
    now: Timestamp,
) -> Result<ExecutionView, CliError> {
    let view = ExecutionView::of(&look::load(store, named.execution).await?, now);
    // Only an addition: without it the state is told all the same.
    let activity = match Client::connect(&project.state_dir()).await {
        Ok(Some(mut client)) => client.call("activity", json!({"execution": named.execution.hex()})).await.ok(),
        _ => None,
    };
    let activity: BTreeMap<String, String> =
        activity.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    Ok(view.with_activity(&activity))
}

/// What the chains of an execution made, if the last one has ended.
async fn joined(cx: &Context, store: &dyn TaskStore, named: Named) -> Result<Option<Joined>, CliError> {
    let events = look::events(store, named.execution).await?;
    let Some(state) = look::fold(&events).filter(|state| state.joined_chains().is_some()) else { return Ok(None) };
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    Ok(Joined::of(&state, &events, &git))
}

fn reviews(joined: Option<&Joined>, paint: Paint) -> String {
    let lines = joined.map(|joined| render::joined(joined, paint)).unwrap_or_default();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn with_reviews(mut value: serde_json::Value, joined: Option<&Joined>) -> serde_json::Value {
    value["reviews"] = json!(joined);
    value
}

/// Calls of agents that were refused, the last of them, oldest first.
fn refused(project: &Project, of: impl Fn(&Trace) -> bool) -> Result<Vec<Trace>, CliError> {
    let folder = bench::traces_dir(&project.state_dir());
    let wanted = |trace: &Trace| matches!(trace.code.as_str(), "NOT_ALLOWED" | "STALE" | "SAFETY_BLOCKED") && of(trace);
    let mut found = Traces::new(folder.clone(), Redactor::default()).search(REFUSED, wanted).map_err(|error| {
        CliError::environment(format!("cannot read {}: {error}", folder.display())).hint("check its permissions")
    })?;
    found.reverse();
    Ok(found)
}

/// The output files of a step's attempts, oldest first.
fn logs(project: &Project, execution: &str, step: &str) -> Vec<PathBuf> {
    let dir = logs_dir(&project.state_dir()).join(execution);
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let number = |path: &Path| -> Option<u32> {
        path.file_name()?.to_str()?.strip_prefix(step)?.strip_prefix('.')?.strip_suffix(".log")?.parse().ok()
    };
    let mut all: Vec<(u32, PathBuf)> =
        entries.flatten().filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect();
    all.sort();
    all.into_iter().map(|(_, path)| path).collect()
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

fn object(schema: &str, value: &impl serde::Serialize) -> serde_json::Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    value["schema"] = json!(schema);
    value
}
