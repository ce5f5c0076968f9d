//! Talking to a running orchestrator: JSON-RPC 2.0 over a Unix socket, one message a line.
//!
//! The socket is readable by its owner alone. Whoever calls shows a token. A person's commands show the one that only the
//! owner can read, and no process of an attempt may show it: the kernel says who is at the other end, and a process that
//! is marked as an agent's, or was started by one, is refused. Methods of a person:
//! `session` gives a coordinator a token of its own, which ends with the connection; `steer` does an action and answers what became of it; `activity` tells what agents do now; `watch` streams the events
//! of an execution until nothing more happens to it by itself. Methods of coordinators and of the agents of attempts, each with a token of
//! its own: `tools` tells what they may call, and `call` does it.

mod client;
mod server;

pub(crate) use client::{Client, Life, Watch};
pub(crate) use server::{Server, Service};

use crate::error::CliError;
use crate::exit::Exit;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest accepted message, in bytes: more than a client of `enki mcp` may say, which comes here in a request.
const MAX_MESSAGE: usize = 5 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    jsonrpc: String,
    id: u64,
    method: String,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    token: String,
}

fn socket_path(enki_dir: &Path) -> PathBuf {
    enki_dir.join("enki.sock")
}

/// A path to the same socket that is short enough for the system's limit of some hundred bytes. The folder must stay
/// open while it is used.
fn reachable(enki_dir: &Path) -> std::io::Result<(PathBuf, Option<fs::File>)> {
    use std::os::fd::AsRawFd as _;
    let path = socket_path(enki_dir);
    if path.as_os_str().len() < 100 {
        return Ok((path, None));
    }
    let folder = fs::File::open(enki_dir)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/enki.sock", folder.as_raw_fd())), Some(folder)))
}

fn token_path(enki_dir: &Path) -> PathBuf {
    enki_dir.join("owner.token")
}

/// The token, made at the first call.
fn token(enki_dir: &Path) -> Result<String, CliError> {
    use std::io::Write as _;
    let path = token_path(enki_dir);
    let cannot = |error: std::io::Error| {
        CliError::environment(format!("cannot use {}: {error}", path.display())).hint("check the folder's permissions")
    };
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&path) {
        Ok(mut file) => file.write_all(crate::lock::random_hex().as_bytes()).map_err(cannot)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot(error)),
    }
    Ok(fs::read_to_string(&path).map_err(cannot)?.trim().to_owned())
}

fn answer(id: u64, result: Result<Value, CliError>) -> Value {
    match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": error.message,
            "data": {"exit": error.exit.code(), "hint": error.hint, "faults": error.faults}}}),
    }
}

/// The error that an answer stands for.
fn error_of(error: &Value) -> CliError {
    let code = error["data"]["exit"].as_u64().unwrap_or(1);
    let exit = Exit::ALL.into_iter().find(|exit| u64::from(exit.code()) == code).unwrap_or(Exit::Internal);
    let mut made = CliError::new(exit, error["message"].as_str().unwrap_or("the orchestrator refused"));
    // Those of an orchestrator of another version may look different; the message says the same.
    made.faults = serde_json::from_value(error["data"]["faults"].clone()).unwrap_or_default();
    match error["data"]["hint"].as_str() {
        Some(hint) => made.hint(hint),
        None => made,
    }
}
