//! The suite of agent runners, on the scripted ones.

use enki_core::agent::{AgentEnd, AgentExit, AgentSpec};
use enki_core::id::EffectId;
use enki_testkit::fakes::{FakeAgents, Script};
use enki_testkit::suite::agent::{AgentFixture, Behaviour, Process};
use std::time::Duration;

struct Scripted(FakeAgents);

impl Scripted {
    fn new() -> Self {
        Self(FakeAgents::on_disk())
    }
}

impl AgentFixture for Scripted {
    type Runner = FakeAgents;

    async fn runner(&self) -> FakeAgents {
        self.0.clone()
    }

    fn spec(&self, spec: AgentSpec, behaviour: &Behaviour) -> Result<AgentSpec, &'static str> {
        let pause = Duration::from_millis(20);
        let script = match behaviour {
            Behaviour::Succeed(text) => Script::success(text),
            Behaviour::Say(lines) => {
                let end = Script::success(lines.last().map_or("", String::as_str));
                lines.iter().fold(end, |script, line| script.wait(pause).say(format!("{line}\n")))
            }
            Behaviour::FailThoughItClaimsSuccess => {
                let exit = AgentExit::Error { message: "exit 1".into(), transient: false };
                Script::end(AgentEnd::new(exit).with_text("all is done"))
            }
            Behaviour::EndWithoutResult => Script::end(AgentEnd::new(AgentExit::NoResult)),
            Behaviour::Sleep => Script::forever(),
            Behaviour::IgnorePoliteStop => Script::forever().ignoring_polite_stops(),
            Behaviour::Chatter => Script::chatter(Duration::from_millis(100)),
            Behaviour::LongMessage(bytes) => Script::success("ü".repeat(bytes / 2)),
            Behaviour::Missing => Script::cannot_start("no such file", false),
            _ => return Err("a scripted agent is no process"),
        };
        let purpose = spec.purpose;
        self.0.script(spec.step.as_str(), purpose, script);
        Ok(spec)
    }

    fn processes(&self, attempt: EffectId) -> Option<Vec<Process>> {
        Some(if self.0.lives(attempt) { vec![Process { pid: 2, parent: 1 }] } else { Vec::new() })
    }
}

enki_testkit::agent_runner_conformance!(Scripted::new());
