//! `enki projects`.

use super::Context;
use crate::args::ProjectsCommand;
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::Project;
use crate::registry::{Registered, Registry};
use crate::source::visible;
use serde_json::{Value, json};

pub(super) fn run(cx: &mut Context, command: Option<ProjectsCommand>) -> Result<Exit, CliError> {
    match command {
        Some(ProjectsCommand::Add { dir, name }) => {
            let start = cx.start_dir()?;
            let dir = dir.map_or_else(|| start.clone(), |dir| start.join(dir));
            let cannot = |error: std::io::Error| CliError::usage(format!("{}: {error}", dir.display()));
            let project = Project::require(&dir.canonicalize().map_err(cannot)?)?;
            let id = Registry::to_change(&cx.host)?.add(&project.root, name.as_deref())?;
            say(cx, &id, &format!("{id}  {}", project.root.display()))
        }
        Some(ProjectsCommand::Remove { id }) => {
            Registry::to_change(&cx.host)?.remove(&id)?;
            say(cx, &id, &format!("{id} is forgotten; its files stay"))
        }
        None | Some(ProjectsCommand::List) => {
            let registry = Registry::load(&cx.host)?;
            let is_there = |root: &std::path::Path| root.is_dir();
            if cx.out.json {
                let one = |(id, one): (&String, &Registered)| {
                    json!({"id": id,
                    "root": one.root.display().to_string(), "there": is_there(&one.root), "stream": one.stream, "model": one.model})
                };
                let projects: Vec<Value> = registry.projects.iter().map(one).collect();
                cx.out.object(&json!({"schema": "enki.projects.v1", "projects": projects}))?;
                return Ok(Exit::Ok);
            }
            let column = |of: &dyn Fn(&Registered) -> String| {
                let all: Vec<String> = registry.projects.values().map(of).collect();
                let width = all.iter().map(|text| text.chars().count()).max().unwrap_or(0);
                all.into_iter().map(|text| format!("{text:<width$}")).collect::<Vec<_>>()
            };
            let word = |name: &str, text: &Option<String>| {
                text.as_ref().map_or_else(String::new, |text| format!("  {name} {}", visible(text)))
            };
            let roots = column(&|one| visible(&one.root.display().to_string()));
            let (streams, models) =
                (column(&|one| word("stream", &one.stream)), column(&|one| word("model", &one.model)));
            for (n, (id, one)) in registry.projects.iter().enumerate() {
                let line = format!("{id:<20}  {}{}{}", roots[n], streams[n], models[n]);
                let gone = if is_there(&one.root) { "" } else { "  (not there)" };
                cx.out.line(&format!("{}{gone}", line.trim_end()))?;
            }
            if registry.projects.is_empty() {
                cx.out.note("no project is known; `enki projects add DIR` adds one, and `enki init` its own");
            }
            Ok(Exit::Ok)
        }
    }
}

fn say(cx: &mut Context, id: &str, line: &str) -> Result<Exit, CliError> {
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.project.v1", "id": id}))?;
    } else {
        cx.out.line(&visible(line))?;
    }
    Ok(Exit::Ok)
}
