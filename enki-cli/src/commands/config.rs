//! `enki config show`.

use super::Context;
use crate::args::ConfigCommand;
use crate::clients;
use crate::config::{Config, Origin};
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::Project;
use crate::source::visible;
use crate::wire;
use enki_agent_claude::ClientVersion;
use serde::Serialize;
use serde_json::json;
use std::path::Path;

pub(super) async fn run(cx: &mut Context, command: &ConfigCommand) -> Result<Exit, CliError> {
    let ConfigCommand::Show { origin } = command;
    let start = cx.start_dir()?;
    let project = Project::find(&start);
    let config = cx.config(project.as_ref())?;
    let agents = agents(cx, &config, project.as_ref(), &start).await?;
    if cx.out.json {
        let value = |(key, value, origin): (&str, serde_json::Value, &Origin)| {
            let from = match origin {
                Origin::Default => json!({"kind": "default"}),
                Origin::Found(path) => json!({"kind": "found", "path": path.display().to_string()}),
                Origin::File { path, line } => {
                    json!({"kind": "file", "path": path.display().to_string(), "line": line})
                }
                Origin::Env(name) => json!({"kind": "variable", "name": name}),
                Origin::Flag(name) => json!({"kind": "flag", "name": name}),
            };
            json!({"key": key, "value": value, "origin": from})
        };
        let files =
            config.files.iter().map(|(path, found)| json!({"path": path.display().to_string(), "found": found}));
        let warnings: Vec<_> =
            config.warnings.iter().map(|w| json!({"file": w.source.name(), "problems": w.to_json()})).collect();
        cx.out.object(
            &json!({"schema": "enki.config.v1", "values": config.shown().into_iter().map(value).collect::<Vec<_>>(),
            "files": files.collect::<Vec<_>>(), "warnings": warnings, "clients": agents}),
        )?;
        return Ok(Exit::Ok);
    }
    let shown = config.shown();
    // One long value does not move all others apart.
    let widths = shown.iter().map(|(key, value, _)| key.len() + value.to_string().chars().count());
    let width = widths.filter(|width| *width <= 48).max().unwrap_or(0) + 3;
    for (key, value, from) in shown {
        let line = format!("{key} = {}", visible(&value.to_string()));
        cx.out.line(&if *origin { format!("{line:width$}  # {from}") } else { line })?;
    }
    if config.files.iter().all(|(_, found)| !found) {
        cx.out.note("no configuration file found; the defaults hold");
    }
    for Client { key, program, version, problem } in &agents {
        let is = version.as_deref().map(|version| format!("claude {version}, {}", program.as_deref().unwrap_or("?")));
        cx.out.note(&visible(&format!("{key}: {}", is.or(problem.clone()).unwrap_or_default())));
        if let (Some(problem), Some(_)) = (problem, version) {
            cx.out.note(&visible(&format!("warning: {problem}")));
        }
    }
    for (path, found) in config.files.iter().filter(|_| *origin) {
        cx.out.note(&format!("{} {}", if *found { "read   " } else { "missing" }, path.display()));
    }
    Ok(Exit::Ok)
}

/// A Claude Code client that the configuration names.
#[derive(Debug, Serialize)]
struct Client {
    key: &'static str,
    program: Option<String>,
    version: Option<String>,
    /// Why it cannot be used, or should not.
    problem: Option<String>,
}

async fn agents(
    cx: &Context,
    config: &Config,
    project: Option<&Project>,
    start: &Path,
) -> Result<Vec<Client>, CliError> {
    let root = project.map_or(start, |project| project.root.as_path());
    // Only a project that is there already has a place to keep what one said.
    let folder = project.map(Project::state_dir).filter(|folder| folder.is_dir());
    let mut all = Vec::new();
    for key in ["agent", "agent.reviewer", "agent.coordinator"] {
        let Some(claude) = wire::client(config, &cx.host, root, (key, &wire::variables(config, key)))? else {
            continue;
        };
        let mut client = Client { key, program: None, version: None, problem: None };
        let told = match claude.program_path() {
            Ok(program) => {
                client.program = Some(program.display().to_string());
                clients::version(&claude, &program, folder.as_deref()).await
            }
            Err(error) => Err(error),
        };
        match told {
            Ok(version) => {
                client.problem = version.warning();
                if let ClientVersion::Good(is) | ClientVersion::Old(is) = version {
                    client.version = Some(is.to_string());
                }
            }
            Err(error) => client.problem = Some(error.to_string()),
        }
        all.push(client);
    }
    Ok(all)
}
