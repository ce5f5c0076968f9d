//! Backends of embedders that do what they may not: panic, never return, or are called when it is over (bad input 94).

use enki_core::agent::{AgentError, AgentRunner, AgentSession, AgentSpec};
use enki_core::async_trait;
use enki_core::branch::Branch;
use enki_core::driver::{self, Backends, Clock, Settings, Shutdown, Submission};
use enki_core::execution::StepState;
use enki_core::memory::MemoryStore;
use enki_core::store::Holder;
use enki_core::time::Timestamp;
use enki_testkit::fakes::{FakeAgents, FakeRefinery, FakeRepository, FakeWorkspaces, Script};
use std::sync::Arc;
use std::time::Duration;

/// Panics for one step, never returns for another, and is well behaved for the rest.
#[derive(Debug)]
struct Misbehaving(FakeAgents);

#[async_trait]
impl AgentRunner for Misbehaving {
    async fn start(&self, spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        match spec.step.as_str() {
            "panics" => panic!("an embedder's mistake"),
            "never-returns" => std::future::pending().await,
            _ => self.0.start(spec).await,
        }
    }

    async fn attach(&self, spec: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        self.0.attach(spec).await
    }
}

#[derive(Debug)]
struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000).plus(self.0.elapsed())
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_panics_or_never_returns_costs_its_own_step_alone() {
    let main: Branch = "main".parse().unwrap();
    let repository = FakeRepository::with_files(&main, &[("README.md", "hi\n")]);
    let workspaces = FakeWorkspaces::new(repository.clone());
    let agents = FakeAgents::new(workspaces.clone());
    agents.otherwise(|spec| Script::success("done").write(format!("{}.txt", spec.step), "x\n"));
    let mut backends = Backends::new(
        Arc::new(MemoryStore::new()),
        Arc::new(workspaces),
        Arc::new(FakeRefinery::new(repository.clone())),
        Arc::new(Misbehaving(agents)),
    );
    backends.clock = Arc::new(Virtual(tokio::time::Instant::now()));
    let holder = Holder { id: "test".into(), pid: 1, host: "localhost".into(), since: Timestamp(0) };
    let (enki, task) = driver::start(backends, Settings::new(holder, "logs".into())).await.unwrap();
    let step =
        |id: &str, needs: &str| format!(r#"{{"id": "{id}", "title": "T", "description": "D", "needs": [{needs}]}}"#);
    let steps = [step("panics", ""), step("never-returns", ""), step("good", ""), step("next", "\"good\"")].join(",");
    let spec = serde_json::from_str(&format!(r#"{{"steps": [{steps}]}}"#)).unwrap();
    let id = enki.submit(Submission::new(spec, main.clone())).await.unwrap().execution;

    let states = loop {
        let states: Vec<StepState> = enki
            .query(move |e| e.execution(id).unwrap().steps().iter().map(|s| s.state.clone()).collect())
            .await
            .unwrap();
        if states[..2].iter().all(|s| matches!(s, StepState::Failed { .. })) {
            break states;
        }
        // In virtual time, which passes when nobody has anything to do.
        tokio::time::sleep(Duration::from_secs(60)).await;
    };
    for (state, why) in states.iter().zip(["a backend panicked: an embedder's mistake", "its runner never answered"]) {
        assert!(format!("{state:?}").contains(why), "{state:?}");
    }
    assert!(matches!(states[3], StepState::Done { .. }), "{states:?}");
    let files = repository.files(repository.head(&main).unwrap()).unwrap();
    assert!(files.contains_key("good.txt") && files.contains_key("next.txt"), "{files:?}");

    // One that never returns does not keep the end waiting either.
    let spec = serde_json::from_str(&format!(r#"{{"steps": [{}]}}"#, step("never-returns", ""))).unwrap();
    enki.submit(Submission::new(spec, main)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    enki.shut_down(Shutdown::Kill);
    tokio::time::timeout(Duration::from_secs(60), task)
        .await
        .expect("it ends beside a call that never does")
        .unwrap()
        .unwrap();
    enki.query(|_| ()).await.expect_err("a call after the end is an error, not a wait");
}
