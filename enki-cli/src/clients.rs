//! The Claude Code clients in use: that they are there and new enough, before anything is spent.
//!
//! To ask one takes a third of a second, so what a good one said is kept for its program as it is on disk.

use crate::commands::Context;
use crate::error::CliError;
use enki_agent_claude::{ClaudeAgent, ClientVersion, OLDEST_SAFE, UPDATE};
use enki_core::agent::AgentError;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is known of a program as long as it is the same one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
struct Known {
    program: PathBuf,
    /// Device, file, size, and the time of its last change in seconds and nanoseconds: npm sets the same time of
    /// modification on every version.
    is: (u64, u64, u64, i64, i64),
    version: String,
}

/// Refuses a client that is too old. What cannot be told of one is a warning: perhaps it is a script around it.
pub(crate) async fn check(cx: &mut Context, clients: &[ClaudeAgent], enki_dir: &Path) -> Result<(), CliError> {
    for client in clients {
        let program = client.program_path()?;
        match version(client, &program, Some(enki_dir)).await? {
            ClientVersion::Good(_) => {}
            ClientVersion::Old(found) => {
                let message = format!(
                    "claude {found} ({}) is older than {OLDEST_SAFE}, and a repository's settings could redirect it",
                    program.display()
                );
                return Err(CliError::environment(message)
                    .hint(format!("update it with `{UPDATE}`, or set agent.command to a newer one")));
            }
            unknown => {
                let warning = unknown.warning().unwrap_or_default();
                cx.out.note(&format!("warning: {}: {warning}", program.display()));
            }
        }
    }
    Ok(())
}

/// What that client is. `enki_dir` is where it is kept what a good one said, if anywhere.
pub(crate) async fn version(
    client: &ClaudeAgent,
    program: &Path,
    enki_dir: Option<&Path>,
) -> Result<ClientVersion, AgentError> {
    let file = enki_dir.map(|folder| folder.join("clients.json"));
    let is = identity(program);
    let mut known: Vec<Known> = file.as_deref().map(read).unwrap_or_default();
    if let Some(found) = known.iter().find(|one| one.program == program && Some(one.is) == is)
        && let version @ ClientVersion::Good(_) = ClientVersion::from(found.version.as_str())
    {
        return Ok(version);
    }
    let version = client.version().await?;
    if let (ClientVersion::Good(good), Some(is), Some(file)) = (&version, is, file) {
        known.retain(|one| one.program != program);
        known.push(Known { program: program.to_owned(), is, version: good.to_string() });
        // Only kept to save time: what cannot be written is asked again.
        drop(write(&file, &known));
    }
    Ok(version)
}

/// Of the file that a link leads to: that is what an update replaces.
fn identity(program: &Path) -> Option<(u64, u64, u64, i64, i64)> {
    let found = fs::metadata(program).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

fn read(file: &Path) -> Vec<Known> {
    let text = fs::read_to_string(file).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn write(file: &Path, known: &[Known]) -> std::io::Result<()> {
    // Of two who write at once one wins, whole.
    let next = file.with_extension(format!("json.{}", std::process::id()));
    fs::write(&next, serde_json::to_string(known)?)?;
    fs::rename(&next, file)
}
