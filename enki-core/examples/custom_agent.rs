//! An `AgentRunner` of one's own: an agent that is a function of this process.
//!
//! `cargo run -p enki-core --example custom_agent`

use enki_core::agent::{AgentEnd, AgentError, AgentEvent, AgentExit, AgentRunner, AgentSession, AgentSpec};
use enki_core::async_trait;
use enki_core::driver::{self, Backends, Settings, Shutdown, Submission};
use enki_core::memory::MemoryStore;
use enki_core::store::Holder;
use enki_core::time::Timestamp;
use enki_testkit::fakes::{FakeRefinery, FakeRepository, FakeWorkspaces};
use std::sync::Arc;
use std::time::Duration;

/// Starts agents that are done at once.
#[derive(Debug)]
struct Greeter;

#[async_trait]
impl AgentRunner for Greeter {
    async fn start(&self, spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        Ok(Box::new(Greeting { step: spec.step.to_string(), told: false }))
    }

    async fn attach(&self, _spec: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        Ok(None) // What runs inside this process does not outlive it.
    }
}

#[derive(Debug)]
struct Greeting {
    step: String,
    told: bool,
}

#[async_trait]
impl AgentSession for Greeting {
    async fn next(&mut self) -> AgentEvent {
        if !std::mem::replace(&mut self.told, true) {
            return AgentEvent::Activity(format!("greeting from {}", self.step));
        }
        AgentEvent::Ended(AgentEnd::new(AgentExit::Success).with_text("[OUTPUT]hello[/OUTPUT]"))
    }

    async fn stop(&mut self, _grace: Duration) {} // It ends by itself at once.
}

/// Runs the example; a test does too.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let repository = FakeRepository::with_files(&"main".parse()?, &[("README.md", "hi\n")]);
    let backends = Backends::new(
        Arc::new(MemoryStore::default()),
        Arc::new(FakeWorkspaces::new(repository.clone())),
        Arc::new(FakeRefinery::new(repository)),
        Arc::new(Greeter),
    );
    let holder = Holder { id: "example".into(), pid: 1, host: "localhost".into(), since: Timestamp(0) };
    let (enki, task) = driver::start(backends, Settings::new(holder, "logs".into())).await?;
    let spec = serde_json::from_str(
        r#"{"steps": [{"id": "one", "title": "Greet", "description": "Say hello"},
                      {"id": "two", "title": "Again", "description": "Say it again", "needs": ["one"]}]}"#,
    )?;
    let accepted = enki.submit(Submission::new(spec, "main".parse()?)).await?;
    enki.rest(accepted.execution).await?;
    let status = enki.query(move |engine| engine.execution(accepted.execution).map(|e| e.status())).await?;
    println!("{}: {}", accepted.execution, status.unwrap_or("gone"));
    assert_eq!(status, Some("done"));
    enki.shut_down(Shutdown::Drain);
    task.await??;
    Ok(())
}
