//! What agents proposed to remember: shown, taken or dropped by a person.

use super::{Context, broken, object, print, print_json, to_read, to_write};
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::Project;
use crate::source::visible;
use enki_core::recall::Proposal;
use enki_store_sqlite::FileRecall;
use serde_json::{Value, json};

/// What waits, the oldest first.
pub(super) fn list(cx: &mut Context, project: &Project) -> Result<Exit, CliError> {
    let proposals = waiting(&to_read(project)?)?;
    if cx.out.json {
        let shown = |proposal: &Proposal| -> Value {
            let mut value = object(&proposal.entry);
            (value["id"], value["from"], value["date"]) =
                (json!(proposal.id), json!(proposal.from), json!(proposal.date));
            value
        };
        print_json(cx, proposals.iter().map(shown).collect(), &[])?;
        return Ok(Exit::Ok);
    }
    for proposal in &proposals {
        let mut entry = proposal.entry.clone();
        let kind = entry.kind();
        entry.set_id(proposal.id.clone());
        print(cx, &entry, true)?;
        cx.out.line(&format!("    a {kind} by {}, {}", visible(&proposal.from), visible(&proposal.date)))?;
    }
    cx.out.note(if proposals.is_empty() {
        "agents propose nothing"
    } else {
        "`enki memory take ID` remembers one, `enki memory drop ID` forgets it; until then no agent is told of it"
    });
    Ok(Exit::Ok)
}

/// Says that some wait, beside the entries.
pub(super) fn hint(cx: &mut Context, memory: &FileRecall) {
    let waiting = memory.proposals().map_or(0, |proposals| proposals.len());
    if waiting > 0 {
        cx.out.note(&format!("proposals of agents that wait for you: {waiting}; see `enki memory proposals`"));
    }
}

pub(super) fn take(cx: &mut Context, project: &Project, ids: &[String]) -> Result<Exit, CliError> {
    let memory = to_write(cx, project)?;
    all_are_there(&memory, ids)?;
    let now = cx.host.now();
    let mut taken = Vec::new();
    for id in ids {
        // One that is given twice was taken already.
        if let Some(entry) = memory.take(id, now)? {
            taken.push(entry);
        }
    }
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.memory-taken.v1", "ids": taken}))?;
    } else {
        for id in &taken {
            cx.out.line(&visible(id))?;
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn drop(cx: &mut Context, project: &Project, ids: &[String]) -> Result<Exit, CliError> {
    let memory = to_write(cx, project)?;
    all_are_there(&memory, ids)?;
    for id in ids {
        memory.drop_proposal(id)?;
    }
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.memory-dropped.v1", "ids": ids}))?;
    }
    Ok(Exit::Ok)
}

fn waiting(memory: &FileRecall) -> Result<Vec<Proposal>, CliError> {
    memory.proposals().map_err(|fault| broken(&fault))
}

/// Nothing is done if one of them is not known.
fn all_are_there(memory: &FileRecall, ids: &[String]) -> Result<(), CliError> {
    let waiting = waiting(memory)?;
    let Some(unknown) = ids.iter().find(|id| waiting.iter().all(|proposal| proposal.id != **id)) else {
        return Ok(());
    };
    let shown: String = unknown.chars().take(60).collect();
    Err(CliError::new(Exit::NotFound, format!("no proposal is named {shown:?}, and nothing was done"))
        .hint("`enki memory proposals` shows them"))
}
