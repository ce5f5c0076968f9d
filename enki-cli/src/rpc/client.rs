//! The side that asks.

use super::{Request, error_of, reachable, token};
use crate::error::CliError;
use crate::exit::Exit;
use enki_core::id::ExecutionId;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// How long an answer may take. Agents are not waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to whoever drives.
#[derive(Debug)]
pub(crate) struct Client {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    token: String,
}

/// Events as they come.
#[derive(Debug)]
pub(crate) struct Watch(Client);

impl Client {
    /// Connects. `None` if nobody listens.
    pub(crate) async fn connect(enki_dir: &Path) -> Result<Option<Self>, CliError> {
        let Ok((path, _folder)) = reachable(enki_dir) else { return Ok(None) };
        let Ok(stream) = UnixStream::connect(path).await else { return Ok(None) };
        let (read, write) = stream.into_split();
        Ok(Some(Self { lines: BufReader::new(read).lines(), write, token: token(enki_dir)? }))
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, CliError> {
        self.send(method, params).await?;
        let answer = tokio::time::timeout(PATIENCE, self.next()).await;
        let answer = answer.map_err(|_| {
            CliError::new(
                Exit::Locked,
                format!("the running orchestrator did not answer within {} s", PATIENCE.as_secs()),
            )
            .hint("try again, or end it with Ctrl-C where it runs")
        })??;
        match answer.get("error") {
            Some(error) => Err(error_of(error)),
            None => Ok(answer["result"].clone()),
        }
    }

    /// Asks for the events of an execution after that one.
    pub(crate) async fn watch(mut self, execution: ExecutionId, after: u64) -> Result<Watch, CliError> {
        self.send("watch", json!({"execution": execution.hex(), "after": after})).await?;
        Ok(Watch(self))
    }

    async fn send(&mut self, method: &str, params: Value) -> Result<(), CliError> {
        let request =
            Request { jsonrpc: "2.0".into(), id: 1, method: method.into(), params, token: self.token.clone() };
        let text = serde_json::to_string(&request).map_err(|error| CliError::new(Exit::Internal, error.to_string()))?;
        self.write.write_all(format!("{text}\n").as_bytes()).await.map_err(|error| gone(&error.to_string()))
    }

    async fn next(&mut self) -> Result<Value, CliError> {
        let line = self.lines.next_line().await.map_err(|error| gone(&error.to_string()))?;
        let line = line.ok_or_else(|| gone("it closed the connection"))?;
        serde_json::from_str(&line).map_err(|error| gone(&error.to_string()))
    }
}

impl Watch {
    /// The next event; `None` when nothing more happens by itself.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, CliError> {
        let message = self.0.next().await?;
        if let Some(error) = message.get("error") {
            return Err(error_of(error));
        }
        Ok(message.get("params").cloned())
    }
}

fn gone(why: &str) -> CliError {
    CliError::new(Exit::Locked, format!("the running orchestrator went away: {why}"))
        .hint("run the same command again; what it had confirmed is kept")
}
