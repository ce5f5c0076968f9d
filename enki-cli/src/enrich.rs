//! The person's own program that makes a prompt of what was spoken (`notes.enrich`). It is given the capture as data, on its
//! stdin; what it prints is the prompt. Whatever goes wrong with it, the task is made by the template, and says so.

use crate::config::Config;
use crate::error::CliError;
use crate::host::Host;
use crate::notes::Notes;
use enki_core::id::EffectId;
use enki_notes::{Enriched, NotePath, Promotion, Source};
use enki_process::{BaseEnv, Cause, ChildLimits, Spawn, Status};
use std::time::Duration;

/// Has a task's prompt made, if one is to be made of that note, it was spoken, and there is a program for that. Waits for
/// it.
pub(crate) async fn enrich(
    host: &Host,
    config: &Config,
    notes: &Notes,
    path: &NotePath,
    how: &mut Promotion,
) -> Result<(), CliError> {
    let command = config.text("notes.enrich").trim();
    if command.is_empty() || !notes.log.is_unpromoted(path, how)? {
        return Ok(());
    }
    let note = notes.log.read(path)?;
    if note.document.text("source").and_then(Source::read) != Some(Source::Voice) {
        return Ok(());
    }
    let limit = Duration::from_secs(config.int("notes.enrich_timeout"));
    let vars = host.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    // Another project may have a note of that path, and what is left of a command is found and ended by its mark.
    let id = EffectId::of("enrich", &[path.as_str().as_bytes(), notes.log.root().as_os_str().as_encoded_bytes()]);
    let mut spawn = Spawn::new("sh", id)
        .args(["-c", command])
        .directory(notes.log.root())
        .base_env(BaseEnv::from_vars(vars))
        .stdin(note.text().into_bytes())
        .timeout(limit)
        .grace(Duration::from_secs(1))
        .tails(MOST + 1, 1024)
        .output_limit(4 * MOST as u64);
    if let Some(program) = &host.supervisor {
        spawn = spawn.supervisor(program.clone(), ChildLimits::default());
    }
    how.prompt = Some(match run(spawn, limit).await {
        Ok(text) => Enriched::Prompt(notes.clean(&text)),
        Err(why) => Enriched::Failed(format!("notes.enrich was asked for a prompt and {}", notes.clean(&why))),
    });
    Ok(())
}

/// What it printed.
async fn run(spawn: Spawn, limit: Duration) -> Result<String, String> {
    let child = spawn.start().await.map_err(|error| format!("could not be started: {error}"))?;
    let ended = child.wait().await;
    match (ended.cause, ended.status) {
        (Cause::Exited, Status::Code(0)) => {}
        (Cause::Exited, status) => {
            let said = String::from_utf8_lossy(&ended.stderr_tail);
            let said = said.lines().last().map_or_else(String::new, |line| format!(": {line}"));
            return Err(format!("failed ({status}){said}"));
        }
        (Cause::TimedOut, _) => return Err(format!("took longer than {} s", limit.as_secs())),
        (Cause::OutputLimit, _) => return Err(format!("said more than {MOST} bytes")),
        (cause, _) => return Err(format!("did not end by itself: {cause:?}")),
    }
    if ended.stdout_tail.len() > MOST {
        return Err(format!("said more than {MOST} bytes"));
    }
    let text = String::from_utf8(ended.stdout_tail).map_err(|_| "said something that is no UTF-8".to_owned())?;
    let text = text.trim().to_owned();
    if text.is_empty() { Err("said nothing".to_owned()) } else { Ok(text) }
}

/// Longest prompt that it may make, in bytes: what a step takes, less what stands around it.
const MOST: usize = 48 * 1024;
