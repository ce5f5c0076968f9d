//! `enki mcp`: a server of tools at standard input and output, for a coordinator or for the agent of an attempt.

mod alone;
pub(crate) mod attempts;
pub(crate) mod bench;
mod clients;
mod ideas;
pub(crate) mod project;
mod shelved;
mod streams;
mod way;
pub(crate) mod worklog;

use super::Context;
use crate::args::McpCommand;
use crate::config::Config;
use crate::drive::Signals;
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::Project;
use crate::rpc::Client;
use enki_core::async_trait;
use enki_core::driver::Shutdown;
use enki_mcp::{Answer, Desk, EnkiServer, Failure, Told, Tool};
use project::failure;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use way::Guide;
use worklog::Worklog;

pub(super) async fn run(cx: &mut Context, command: Option<McpCommand>) -> Result<Exit, CliError> {
    match command {
        Some(McpCommand::Config { client }) => clients::print(cx, client),
        None => serve(cx).await,
    }
}

async fn serve(cx: &mut Context) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let enki_dir = project.state_dir();
    let stdin = streams::input(std::mem::replace(&mut cx.host.stdin, Box::new(std::io::empty())));
    let (stdout, written) = streams::output(cx.out.take_stdout());
    if let Some(token) = cx.host.var(attempts::TOKEN) {
        // Whoever was given one is an agent, and nothing more.
        let desk = Arc::new(Agent { enki_dir, token: token.to_owned() });
        let served = EnkiServer::new(desk).serve(stdin, stdout).await;
        drop(written.await);
        return served.map(|()| Exit::Ok).map_err(|error| broken(&error));
    }
    // What is wrong with the configuration is told by the calls that need it.
    let mail = Config::load(&cx.host, Some(&project)).is_ok_and(|config| config.on("mail.enabled"));
    let worklog = Worklog::new(project.root.clone(), cx);
    let (coordinator, mut guide) = Guide::new(project.root, enki_dir, mail, worklog);
    let mut signals = Signals::new()?;
    let server = tokio::spawn(EnkiServer::new(Arc::new(coordinator)).serve(stdin, stdout));
    let signal = tokio::select! {
        guided = guide.run(cx) => {
            guided?;
            None
        }
        signal = signals.next() => Some(signal),
    };
    let quicker = tokio::select! {
        ended = guide.finish(Shutdown::Drain) => {
            ended?;
            None
        }
        signal = signals.next() => Some(signal),
    };
    if quicker.is_some() {
        guide.finish(Shutdown::Kill).await?;
    }
    if let Some(signal) = signal.or(quicker) {
        server.abort();
        return Ok(signal);
    }
    let served = server.await;
    drop(written.await);
    match served {
        Ok(Err(error)) => Err(broken(&error)),
        // A server that was given up has nobody to tell.
        Ok(Ok(())) | Err(_) => Ok(Exit::Ok),
    }
}

fn broken(error: &enki_mcp::ServeError) -> CliError {
    CliError::new(Exit::Internal, crate::error::chain(error))
        .hint("this command speaks MCP at its standard input; `enki mcp config` tells how a client starts it")
}

/// The desk of an attempt's agent: all of it is asked of the driver, which knows whether the attempt lives.
#[derive(Debug)]
struct Agent {
    enki_dir: PathBuf,
    token: String,
}

impl Agent {
    async fn driver(&self) -> Result<Client, Failure> {
        let client = Client::shows(&self.enki_dir, &self.token).await.map_err(|error| failure(&error))?;
        client.ok_or_else(|| enki_core::driver::DriverError::Stopped.into())
    }
}

#[async_trait]
impl Desk for Agent {
    async fn tools(&self) -> Result<Vec<Tool>, Failure> {
        match Client::shows(&self.enki_dir, &self.token).await.map_err(|error| failure(&error))? {
            Some(mut driver) => driver.tools().await.map_err(|error| failure(&error)),
            // With the driver its attempts have ended.
            None => Ok(Vec::new()),
        }
    }

    async fn call(&self, tool: &str, arguments: Map<String, Value>, told: &Told) -> Answer {
        let mut driver = match self.driver().await {
            Ok(driver) => driver,
            Err(failure) => return failure.into(),
        };
        driver.do_call(tool, &arguments, told).await.unwrap_or_else(|error| failure(&error).into())
    }
}
