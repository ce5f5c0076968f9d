//! Notes that a person gave to another project, by its name under `project_primary`: what is asked of them is done there.

use crate::commands::Context;
use crate::error::CliError;
use crate::notes::Notes;
use crate::registry::{Registry, folder_name, same};
use crate::source::visible;
use enki_notes::{Between, Log, NotePath};
use std::path::{Path, PathBuf};

/// Where notes went.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    /// The name of the project, which `cx` is about from now on.
    pub(crate) project: String,
    pub(crate) root: PathBuf,
    /// The notes there, in the same order.
    pub(crate) notes: Vec<NotePath>,
}

/// Follows notes of the project at `root` to the one that all of them name: they are handed over, and `cx` is about that project
/// from then on. Gives nothing if they are of this one.
pub(crate) fn follow(cx: &mut Context, root: &Path, log: &Log, paths: &[NotePath]) -> Result<Option<Moved>, CliError> {
    // Without a list of projects there is no other one.
    let Ok(registry) = Registry::load(&cx.host) else { return Ok(None) };
    let named =
        |path| -> Result<_, CliError> { Ok(log.project_of(path)?.filter(|name| !is_of(&registry, root, name))) };
    let named = paths.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    let Some(name) = named.iter().flatten().next().cloned() else { return Ok(None) };
    if named.iter().any(|other| other.as_ref() != Some(&name)) {
        return Err(CliError::usage("the notes are of several projects, by what they name as project_primary")
            .hint("put them in one by one; nothing was started"));
    }
    // The notes of a repository that somebody else cloned may name it as they do.
    if !registry.projects.contains_key(&name) {
        for path in paths {
            let (path, name) = (visible(path.as_str()), visible(&name));
            cx.out.say(&format!(
                "warning: {path} names project {name}, which `enki projects` does not have: it is done here"
            ));
        }
        return Ok(None);
    }
    let other = registry.root(&name)?.to_owned();
    let there = Notes::read(&cx.host, &other)?;
    let own = registry.name_of(root);
    let now = cx.host.now();
    let hand_over = |path| log.hand_over(path, &there, Between { from: &own, to: &name }, now);
    let notes = paths.iter().map(hand_over).collect::<Result<Vec<_>, _>>()?;
    for (path, copy) in paths.iter().zip(&notes) {
        cx.out.note(&format!("{} is of project {name} now: {}", visible(path.as_str()), visible(copy.as_str())));
    }
    (cx.global.named, cx.global.dir) = (Some(name.clone()), None);
    Ok(Some(Moved { project: name, root: other, notes }))
}

/// The other project of the list that a note names, if it names one.
pub(crate) fn other(registry: &Registry, root: &Path, log: &Log, path: &NotePath) -> Option<String> {
    let name = log.project_of(path).ok()??;
    (registry.projects.contains_key(&name) && !is_of(registry, root, &name)).then_some(name)
}

/// Whether a name is one of the project at that root. That of its folder always is, since notes are written with it: another
/// project may be listed by the same.
fn is_of(registry: &Registry, root: &Path, name: &str) -> bool {
    let listed = registry.projects.get(name).is_some_and(|one| same(&one.root, root));
    let folder = root.file_name().is_some_and(|own| *own == *name);
    listed || folder || folder_name(root) == name
}
