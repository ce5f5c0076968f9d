//! `enki config show`.

use super::Context;
use crate::args::ConfigCommand;
use crate::config::Origin;
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::Project;
use crate::source::visible;
use serde_json::json;

pub(super) fn run(cx: &mut Context, command: &ConfigCommand) -> Result<Exit, CliError> {
    let ConfigCommand::Show { origin } = command;
    let start = cx.start_dir()?;
    let project = Project::find(&start);
    let config = cx.config(project.as_ref())?;
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
            "files": files.collect::<Vec<_>>(), "warnings": warnings}),
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
    for (path, found) in config.files.iter().filter(|_| *origin) {
        cx.out.note(&format!("{} {}", if *found { "read   " } else { "missing" }, path.display()));
    }
    Ok(Exit::Ok)
}
