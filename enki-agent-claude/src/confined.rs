//! What the client needs to reach beside its workspace.

use crate::config::ClaudeConfig;
use enki_core::agent::{AgentError, AgentSpec};
use enki_process::{Confinement, Held, Spawn};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Puts an attempt under the sandbox of the configuration, if there is one. What is held has to live as long as the client.
pub(crate) fn confine(
    config: &ClaudeConfig,
    spec: &AgentSpec,
    spawn: Spawn,
) -> Result<(Spawn, Option<Held>), AgentError> {
    let spawn = match &config.supervisor {
        Some((program, limits)) => spawn.supervisor(program, *limits),
        None => spawn,
    };
    let Some(all) = &config.confinement else { return Ok((spawn, None)) };
    let program = spawn.program_path().map_err(|error| crate::runner::cannot_start(&error))?;
    let own = own(config, &program, all);
    let held = own.hold(spec.id, &spec.workspace).map_err(|error| {
        let why = format!("its folder for temporary files cannot be made: {error}");
        AgentError::new(config.program.to_string_lossy(), why, true)
    })?;
    let sandbox = held.sandbox().clone().readable(&spec.tool_servers);
    let mut spawn = spawn.sandbox(sandbox);
    if var(config, "CLAUDE_CODE_TMPDIR").is_none()
        && let Some((inside, _)) = held.file("")
    {
        // Otherwise it makes a folder in `/tmp`, where it may not.
        spawn = spawn.env("CLAUDE_CODE_TMPDIR", inside);
    }
    Ok((spawn, Some(held)))
}

fn own(config: &ClaudeConfig, program: &Path, all: &Confinement) -> Confinement {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let readable = [Some(program), Some(&real), real.parent()].map(|path| path.map(Path::to_owned));
    let mut writable: Vec<PathBuf> = state(config);
    writable.extend(var(config, "CLAUDE_CODE_TMPDIR").map(PathBuf::from));
    all.clone().with(|sandbox| sandbox.readable(readable.into_iter().flatten()).writable(writable))
}

/// Where the client keeps its login and its sessions, made so that it can be opened.
fn state(config: &ClaudeConfig) -> Vec<PathBuf> {
    let Some((folder, file)) = places(config) else { return Vec::new() };
    // What cannot be made the client complains about itself.
    drop(fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder));
    if let Some(file) = &file {
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        drop(made.and_then(|mut file| std::io::Write::write_all(&mut file, b"{}\n")));
    }
    [Some(folder), file].into_iter().flatten().collect()
}

/// Its folder, and the file beside it that it has unless it was given the folder.
pub(crate) fn places(config: &ClaudeConfig) -> Option<(PathBuf, Option<PathBuf>)> {
    let absolute = |name: &str| var(config, name).map(PathBuf::from).filter(|path| path.is_absolute());
    match (absolute("CLAUDE_CONFIG_DIR"), absolute("HOME")) {
        (Some(folder), _) => Some((folder, None)),
        (None, Some(home)) => Some((home.join(".claude"), Some(home.join(".claude.json")))),
        (None, None) => None,
    }
}

fn var<'a>(config: &'a ClaudeConfig, name: &str) -> Option<&'a OsStr> {
    config.env.get(OsStr::new(name)).map(|value| value.as_os_str()).or_else(|| config.base_env.get(name))
}
