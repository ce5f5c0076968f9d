//! `ClaudeAgent` keeps the contract of every runner. The client is a shell that speaks its format; the prompt is what it
//! does.
#![cfg(target_os = "linux")]

use enki_agent_claude::{ClaudeAgent, ClaudeConfig};
use enki_core::agent::{AgentEnd, AgentEvent, AgentExit, AgentRunner, AgentSpec};
use enki_core::id::{AttemptNo, EffectId, ExecutionId};
use enki_core::tier::Purpose;
use enki_process::{BaseEnv, Marker, marked};
use enki_testkit::suite::agent::{AgentFixture, Behaviour, Process};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const CLIENT: &str = r#"#!/bin/sh
echo '{"type":"system","subtype":"init","session_id":"00000000-0000-4000-8000-000000000000"}'
exec sh
"#;

struct Scripted {
    dir: tempfile::TempDir,
}

impl Scripted {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let client = dir.path().join("claude");
        std::fs::write(&client, CLIENT).expect("a script");
        std::fs::set_permissions(&client, PermissionsExt::from_mode(0o755)).expect("a script");
        Self { dir }
    }
}

fn text(nth: usize, text: &str) -> String {
    let message = json!({"id": format!("m{nth}"), "content": [{"type": "text", "text": text}]});
    format!("cat <<'END'\n{}\nEND\n", json!({"type": "assistant", "message": message}))
}

fn result(text: &str) -> String {
    let line = json!({"type": "result", "subtype": "success", "is_error": false, "result": text});
    format!("cat <<'END'\n{line}\nEND\n")
}

/// The output of a command as the result's text.
fn result_of(command: &str) -> String {
    let escape = r#"sed 's/\\/\\\\/g; s/"/\\"/g' | awk '{ printf "%s\\n", $0 }'"#;
    format!("printf '{{\"type\":\"result\",\"is_error\":false,\"result\":\"'; {command} | {escape}; printf '\"}}\\n'\n")
}

impl AgentFixture for Scripted {
    type Runner = ClaudeAgent;

    async fn runner(&self) -> ClaudeAgent {
        let mut config = ClaudeConfig::new(BaseEnv::from_vars(std::env::vars_os()));
        config.program = self.dir.path().join("claude").into();
        config.grace = Duration::from_millis(100);
        config.output_limit = 8 << 20;
        ClaudeAgent::new(config)
    }

    fn spec(&self, mut spec: AgentSpec, behaviour: &Behaviour) -> Result<AgentSpec, &'static str> {
        spec.workspace = self.dir.path().to_owned();
        spec.log = self.dir.path().join(format!("logs/{}.log", spec.id));
        spec.prompt = match behaviour {
            Behaviour::Succeed(said) => text(0, said) + &result(said),
            Behaviour::Say(lines) => {
                let said: String = lines.iter().enumerate().map(|(n, l)| text(n, l) + "sleep 0.02\n").collect();
                said + &result(lines.last().map_or("", String::as_str))
            }
            Behaviour::FailThoughItClaimsSuccess => result("Done, all tests pass.") + "exit 1\n",
            Behaviour::EndWithoutResult => text(0, "Done, all tests pass."),
            Behaviour::Sleep => "exec sleep 1000".into(),
            Behaviour::IgnorePoliteStop => "trap '' TERM INT; while :; do sleep 1000; done".into(),
            Behaviour::Chatter => "while :; do echo '{\"type\":\"stream_event\"}'; sleep 0.1; done".into(),
            Behaviour::LeaveChild => format!("setsid sleep 1000 &\n{}", result("done")),
            Behaviour::LongMessage(bytes) => result_of(&format!("head -c {bytes} /dev/zero | tr '\\0' x")),
            Behaviour::Flood => "exec yes '{\"type\":\"stream_event\",\"event\":{}}'".into(),
            Behaviour::ShowEnvironment => result_of("env"),
            Behaviour::ShowDirectory => result_of("pwd"),
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
        let pids = marked(&[Marker::run(attempt)]).expect("processes can be looked at");
        Some(pids.into_iter().filter_map(|pid| Some(Process { pid, parent: parent(pid)? })).collect())
    }
}

enki_testkit::agent_runner_conformance!(Scripted::new());

/// A run by the real rules of time, with the given prompt.
async fn run(fixture: &Scripted, prompt: String) -> AgentEnd {
    let id = EffectId::of("conformance", &[fixture.dir.path().as_os_str().as_encoded_bytes()]);
    let step = "a".parse().expect("a step id");
    let mut spec = AgentSpec::new(id, ExecutionId::new(1), step, AttemptNo(1), Purpose::Work);
    spec.workspace = fixture.dir.path().to_owned();
    (spec.timeout, spec.prompt) = (Duration::from_secs(30), prompt);
    let mut config = fixture.runner().await.config().clone();
    config.linger = Duration::from_millis(300);
    let mut session = ClaudeAgent::new(config).start(spec).await.expect("the client starts");
    loop {
        if let AgentEvent::Ended(end) = session.next().await {
            assert_eq!(fixture.processes(id), Some(vec![]));
            return end;
        }
    }
}

#[tokio::test]
async fn a_client_that_lingers_after_its_result_is_ended_and_judged_by_it() {
    let fixture = Scripted::new();
    let lingering = run(&fixture, result("done") + "exec sleep 1000");
    let end = tokio::time::timeout(Duration::from_secs(15), lingering).await.expect("long before its time is over");
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "done"));
}

/// Bad inputs 80 and 81: noise of every kind around a good result changes nothing.
#[tokio::test]
async fn noise_around_the_result_changes_nothing() {
    let fixture = Scripted::new();
    let noise = "head -c 20000 /dev/urandom; echo; head -c 3000000 /dev/zero; echo; echo '{\"type\":\"assistant\",\"mess'; \
                 printf '\\033[2J\\n'; echo 'VERDICT: PASS'; head -c 20000 /dev/urandom >&2; echo '{\"type\":\"new\"}'\n";
    let end = run(&fixture, format!("{noise}{}{noise}", result("the real end"))).await;
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "the real end"));
}
