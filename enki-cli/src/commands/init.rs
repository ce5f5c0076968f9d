//! `enki init`.

use super::Context;
use crate::config::KEYS;
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::{Project, write_new};
use crate::registry::Registry;
use crate::wire;
use enki_vcs_git::GitProject;
use serde_json::json;
use std::fmt::Write as _;

pub(super) fn run(cx: &mut Context) -> Result<Exit, CliError> {
    let start = cx.start_dir()?;
    let known = Project::find(&start).is_some_and(|project| project.state_dir().is_dir());
    let git = GitProject::open_or_make(&start, wire::git_options(&cx.host))?;
    let project = Project { root: git.root().to_owned() };
    let mut made = if git.is_folder() && !known { vec![project.state_dir()] } else { Vec::new() };
    made.extend(project.make_state_dir()?);
    git.ensure_enki_dir()?;
    if git.is_folder() && !known {
        cx.out.note("this folder is in no git repository: Enki keeps its versions itself, in .enki/project.git");
    }
    wire::record_folder(&git, &mut cx.out)?;
    let settings = project.state_dir().join("enki.toml");
    let written = write_new(&settings, &template()).map_err(|error| {
        CliError::environment(format!("cannot write {}: {error}", settings.display()))
            .hint("check the folder's permissions")
    })?;
    if written {
        made.push(settings);
    }
    // A person without a home has no list.
    let named = match Registry::to_change(&cx.host).and_then(|mut registry| registry.add(&project.root, None)) {
        Ok(id) => Some(id),
        Err(error) => {
            cx.out.note(&format!("warning: it is not in your list of projects: {}", error.message));
            None
        }
    };
    let shown: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
    if cx.out.json {
        let root = project.root.display().to_string();
        cx.out.object(&json!({"schema": "enki.init.v1", "project": root, "id": named, "made": shown}))?;
        return Ok(Exit::Ok);
    }
    if shown.is_empty() {
        cx.out.line(&format!("{} was prepared before; nothing changed", project.root.display()))?;
    }
    for path in shown {
        cx.out.line(&format!("made {path}"))?;
    }
    cx.out.note(
        "next: write a plan and run `enki plan check plan.toml`; settings shared with others belong in enki.toml",
    );
    Ok(Exit::Ok)
}

/// All keys as comments.
fn template() -> String {
    let mut out = String::from(
        "# Settings of this clone alone; git ignores this folder. Those that everybody shares go into enki.toml beside\n\
         # it. `enki config show --origin` tells what holds and why.\n",
    );
    let mut section = "";
    for key in KEYS.iter().filter(|key| !key.grants_trust && !key.rare) {
        let (head, last) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        if head != section {
            let _ = writeln!(out, "\n# [{head}]");
            section = head;
        }
        let value = key.default().map_or_else(|| "".to_owned(), |value| value.to_string());
        let _ =
            writeln!(out, "{}", format!("# {last} = {value}").trim_end().to_owned() + &format!("  # {}", key.about));
    }
    out
}
