//! The side that asks.

use super::{Request, error_of, reachable, token};
use crate::error::CliError;
use crate::exit::Exit;
use enki_core::id::ExecutionId;
use enki_mcp::{Answer, Told, Tool};
use serde_json::{Map, Value, json};
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
pub(crate) struct Watch {
    client: Client,
    /// Nothing more happens by itself, as whoever drives says.
    rests: bool,
}

impl Client {
    /// Connects as the person. `None` if nobody listens.
    pub(crate) async fn connect(enki_dir: &Path) -> Result<Option<Self>, CliError> {
        let Some(mut client) = Self::shows(enki_dir, "").await? else { return Ok(None) };
        client.token = token(enki_dir)?;
        Ok(Some(client))
    }

    /// Connects as whoever holds that token. `None` if nobody listens.
    pub(crate) async fn shows(enki_dir: &Path, token: &str) -> Result<Option<Self>, CliError> {
        let Ok((path, _folder)) = reachable(enki_dir) else { return Ok(None) };
        let Ok(stream) = UnixStream::connect(path).await else { return Ok(None) };
        let (read, write) = stream.into_split();
        Ok(Some(Self { lines: BufReader::new(read).lines(), write, token: token.to_owned() }))
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

    /// Begins the session of a coordinator: its token, and its life, which ends with the orchestrator. The token ends with
    /// the life.
    pub(crate) async fn begin(mut self, conversation: Option<&str>) -> Result<(String, Life), CliError> {
        let begun = self.call("session", json!({"conversation": conversation})).await?;
        let token = begun["token"].as_str().ok_or_else(|| gone("it gave no token"))?.to_owned();
        Ok((token, Life(self)))
    }

    /// The tools that whoever holds the token may call.
    pub(crate) async fn tools(&mut self) -> Result<Vec<Tool>, CliError> {
        let tools = self.call("tools", Value::Null).await?;
        serde_json::from_value(tools).map_err(|error| gone(&error.to_string()))
    }

    /// Calls a tool. One that waits for agents is waited for, and given up if the future is dropped: that ends the connection.
    pub(crate) async fn do_call(
        &mut self,
        tool: &str,
        arguments: &Map<String, Value>,
        told: &Told,
    ) -> Result<Answer, CliError> {
        let params = json!({"tool": tool, "arguments": arguments});
        if !Tool::named(tool).is_some_and(Tool::waits) {
            let answer = self.call("call", params).await?;
            return serde_json::from_value(answer).map_err(|error| gone(&error.to_string()));
        }
        self.send("call", params).await?;
        loop {
            let mut message = self.next().await?;
            if let Some(line) = message["params"]["told"].as_str() {
                told.say(line);
                continue;
            }
            return match message.get("error") {
                Some(error) => Err(error_of(error)),
                None => serde_json::from_value(message["result"].take()).map_err(|error| gone(&error.to_string())),
            };
        }
    }

    /// Asks for the events of an execution after that one.
    pub(crate) async fn watch(mut self, execution: ExecutionId, after: u64) -> Result<Watch, CliError> {
        self.send("watch", json!({"execution": execution.hex(), "after": after})).await?;
        Ok(Watch { client: self, rests: false })
    }

    /// The same, and between them what its agents say, as `said`.
    pub(crate) async fn listen(mut self, execution: ExecutionId, after: u64) -> Result<Watch, CliError> {
        self.send("watch", json!({"execution": execution.hex(), "after": after, "said": true})).await?;
        Ok(Watch { client: self, rests: false })
    }

    /// Asks to be told of each turn (nothing), and of what agents do (`execution`, `step`, `text`).
    pub(crate) async fn notices(mut self) -> Result<Watch, CliError> {
        self.send("notices", Value::Null).await?;
        Ok(Watch { client: self, rests: false })
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

/// A session, as long as it is kept.
#[derive(Debug)]
pub(crate) struct Life(Client);

impl Life {
    /// Waits until the orchestrator has gone. May be dropped and asked again.
    pub(crate) async fn over(&mut self) {
        // It says nothing more on this connection.
        while let Ok(Some(_)) = self.0.lines.next_line().await {}
    }

    /// Whether it has gone.
    pub(crate) async fn is_over(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.over() => true,
            () = std::future::ready(()) => false,
        }
    }
}

impl Watch {
    /// The next event; `None` when nothing more happens by itself.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, CliError> {
        let message = self.client.next().await?;
        if let Some(error) = message.get("error") {
            return Err(error_of(error));
        }
        self.rests = message["result"]["stopped"] == false;
        Ok(message.get("params").cloned())
    }

    /// Whether it ended because nothing more happens by itself, and not with whoever drove.
    pub(crate) const fn rests(&self) -> bool {
        self.rests
    }
}

fn gone(why: &str) -> CliError {
    CliError::new(Exit::Locked, format!("the running orchestrator went away: {why}"))
        .hint("run the same command again; what it had confirmed is kept")
}
