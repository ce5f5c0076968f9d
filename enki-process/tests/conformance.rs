//! [`CommandAgent`] keeps the contract of every runner. The agent is a shell; the script is its prompt.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use enki_core::agent::AgentSpec;
use enki_core::id::EffectId;
use enki_process::{BaseEnv, CommandAgent, CommandAgentConfig, Marker, marked};
use enki_testkit::suite::agent::{AgentFixture, Behaviour, Process};
use std::time::Duration;

struct Shell {
    dir: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }
}

impl AgentFixture for Shell {
    type Runner = CommandAgent;

    async fn runner(&self) -> CommandAgent {
        let config = CommandAgentConfig::new("sh")
            .base_env(BaseEnv::from_vars(std::env::vars_os()))
            .grace(Duration::from_millis(100))
            .output_limit(64 << 20);
        CommandAgent::new(config)
    }

    fn spec(&self, mut spec: AgentSpec, behaviour: &Behaviour) -> Result<AgentSpec, &'static str> {
        spec.workspace = self.dir.path().to_owned();
        spec.log = self.dir.path().join(format!("logs/{}.log", spec.id));
        spec.prompt = match behaviour {
            Behaviour::Succeed(text) => format!("cat <<'END'\n{text}\nEND\n"),
            Behaviour::Say(lines) => lines.iter().map(|line| format!("echo '{line}'; sleep 0.02\n")).collect(),
            Behaviour::FailThoughItClaimsSuccess => "echo 'Done, all tests pass.'; exit 1".into(),
            Behaviour::EndWithoutResult => return Err("a command has no protocol, exit code 0 is its result"),
            Behaviour::Sleep => "exec sleep 1000".into(),
            Behaviour::IgnorePoliteStop => "trap '' TERM INT; while :; do sleep 1000; done".into(),
            Behaviour::Chatter => "while :; do echo .; sleep 0.1; done".into(),
            Behaviour::LeaveChild => "setsid sleep 1000 & echo done".into(),
            Behaviour::LongMessage(bytes) => format!("head -c {bytes} /dev/zero | tr '\\0' x"),
            Behaviour::Flood => "exec yes".into(),
            Behaviour::ShowEnvironment => "env".into(),
            Behaviour::ShowDirectory => "pwd".into(),
            Behaviour::Missing => {
                spec.workspace = self.dir.path().join("missing");
                String::new()
            }
            _ => return Err("a behaviour this fixture does not know"),
        };
        Ok(spec)
    }

    fn processes(&self, attempt: EffectId) -> Option<Vec<Process>> {
        let parent = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
        };
        let pids = marked(&[Marker::run(attempt)]).unwrap();
        Some(pids.into_iter().filter_map(|pid| Some(Process { pid, parent: parent(pid)? })).collect())
    }
}

enki_testkit::agent_runner_conformance!(Shell::new());
