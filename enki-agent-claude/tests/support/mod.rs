//! The real client against a scripted service on loopback: no key, no network, a home of its own.

use enki_agent_claude::{ClaudeAgent, ClaudeConfig};
use enki_core::agent::{AgentEnd, AgentEvent, AgentRunner, AgentSession, AgentSpec};
use enki_core::id::{AttemptNo, EffectId, ExecutionId, StepIx};
use enki_core::tier::{Purpose, Tier};
use enki_process::BaseEnv;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// One test's world. `None` from [`World::new`] means that something is missing here, which it has said.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) config: ClaudeConfig,
    execution: ExecutionId,
    steps: u32,
    fake: Child,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.fake.kill();
        let _ = self.fake.wait();
    }
}

impl World {
    pub(crate) fn new() -> Option<Self> {
        let client = match client() {
            Ok(client) => client,
            Err(why) => {
                skipped(&why);
                return None;
            }
        };
        if !command("python3").arg("--version").output().is_ok_and(|o| o.status.success()) {
            skipped("python3 is missing, which plays the service");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        for part in ["home", "tmp", "work"] {
            std::fs::create_dir(folder.path().join(part)).expect("a fresh folder");
        }
        let (mut fake, program) = fake(folder.path(), &client);
        let mut first = String::new();
        let out = fake.stdout.take().expect("stdout is piped");
        BufReader::new(out).read_line(&mut first).expect("the fake says where it is");
        let said: serde_json::Value = serde_json::from_str(&first).expect("the fake speaks JSON");

        let path = |part: &str| folder.path().join(part).into_os_string();
        let system: OsString = "/usr/local/bin:/usr/bin:/bin".into();
        let base: [(OsString, OsString); 4] = [
            ("HOME".into(), path("home")),
            ("TMPDIR".into(), path("tmp")),
            ("PATH".into(), system),
            ("LANG".into(), "C.UTF-8".into()),
        ];
        let mut config = ClaudeConfig::new(BaseEnv::from_vars(base));
        config.program = program;
        config.env = [
            ("ANTHROPIC_API_KEY", "sk-ant-dummy".into()),
            ("ANTHROPIC_BASE_URL", OsString::from(said["base_url"].as_str().expect("a url"))),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".into()),
            ("CLAUDE_CODE_TMPDIR", path("tmp")),
            ("DISABLE_TELEMETRY", "1".into()),
            ("DISABLE_ERROR_REPORTING", "1".into()),
        ]
        .map(|(name, value)| (name.into(), value))
        .into();
        // Ids differ between tests, or one would end another's agents.
        let execution = ExecutionId::new(u128::from_be_bytes(rand_bytes(folder.path())));
        Some(Self { folder, config, execution, steps: 0, fake })
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("agent.log")
    }

    /// An attempt of a fresh step with that prompt.
    pub(crate) fn spec(&mut self, prompt: &str) -> AgentSpec {
        self.steps += 1;
        let id = EffectId::of_attempt(self.execution, StepIx(self.steps), AttemptNo(1));
        let step = "step".parse().expect("a step id");
        let mut spec = AgentSpec::new(id, self.execution, step, AttemptNo(1), Purpose::Work);
        spec.tier = Tier::Light;
        spec.prompt = prompt.to_owned();
        spec.workspace = self.work();
        spec.log = self.log();
        spec.timeout = Duration::from_secs(60);
        spec.idle_timeout = Duration::from_secs(30);
        spec
    }

    pub(crate) fn agent(&self) -> ClaudeAgent {
        ClaudeAgent::new(self.config.clone())
    }

    /// Runs an attempt to its end.
    pub(crate) async fn run(&self, spec: AgentSpec) -> (AgentEnd, Vec<AgentEvent>) {
        finish(self.agent().start(spec).await.expect("the client starts")).await
    }
}

/// Takes everything that is still to come.
pub(crate) async fn finish(mut session: Box<dyn AgentSession>) -> (AgentEnd, Vec<AgentEvent>) {
    let mut seen = Vec::new();
    loop {
        match session.next().await {
            AgentEvent::Ended(end) => return (end, seen),
            event => seen.push(event),
        }
    }
}

/// The activity lines among events.
pub(crate) fn lines(events: &[AgentEvent]) -> Vec<&str> {
    fn line(event: &AgentEvent) -> Option<&str> {
        if let AgentEvent::Activity(line) = event { Some(line) } else { None }
    }
    events.iter().filter_map(line).collect()
}

fn client() -> Result<PathBuf, String> {
    #[expect(clippy::disallowed_methods, reason = "tests are told by it which client to use")]
    let given = std::env::var_os("CLAUDE_BIN");
    if let Some(given) = given {
        return Ok(given.into());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is inside the target folder");
    let bin = target.join("claude-client/node_modules/.bin/claude");
    let missing = || "the client is missing; run .ci/install-claude or set CLAUDE_BIN".to_owned();
    bin.canonicalize().map_err(|_| missing())
}

/// Says so even where the output of passing tests is captured.
fn skipped(why: &str) {
    let test = std::thread::current();
    let _ = writeln!(std::io::stderr(), "skipped: {}: {why}", test.name().unwrap_or("a test"));
}

/// Starts the fake, in a network namespace that has loopback alone if the system allows, and gives the program that runs
/// the client beside it.
fn fake(folder: &Path, client: &Path) -> (Child, OsString) {
    let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support");
    let can = |args: &[&str]| command("unshare").args(args).arg("true").output().is_ok_and(|o| o.status.success());
    let (unshare, enter) = if can(&["-n"]) {
        (Some("-n"), "-n")
    } else if can(&["-rn"]) {
        (Some("-rn"), "-U --preserve-credentials -n")
    } else {
        eprintln!("no network namespace to be had: loopback is kept to by settings alone");
        (None, "")
    };
    let mut fake = match unshare {
        Some(how) => {
            let mut fake = command("unshare");
            fake.args([how, "python3"]);
            fake
        }
        None => command("python3"),
    };
    fake.arg(support.join("fake_anthropic.py")).arg("--scenarios").arg(support.join("scenarios.json"));
    fake.arg("--log").arg(folder.join("requests.jsonl"));
    fake.arg("--until-eof").stdin(Stdio::piped()).stdout(Stdio::piped());
    if unshare.is_none() {
        return (fake.spawn().expect("the fake starts"), client.as_os_str().to_owned());
    }
    let fake = fake.arg("--loopback-up").spawn().expect("the fake starts");
    // `exec`, so that the client is the very process that was started.
    let wrapper = folder.join("claude");
    let mut file = std::fs::File::create(&wrapper).expect("a wrapper");
    let pid = fake.id();
    write!(file, "#!/bin/sh\nexec nsenter {enter} -t {pid} -- '{}' \"$@\"\n", client.display()).expect("a wrapper");
    drop(file);
    std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).expect("a wrapper");
    (fake, wrapper.into_os_string())
}

#[expect(clippy::disallowed_methods, reason = "tests start the fake and look around by themselves")]
pub(crate) fn command(program: &str) -> std::process::Command {
    std::process::Command::new(program)
}

/// The name of a temporary folder is random; so is its hash.
fn rand_bytes(folder: &Path) -> [u8; 16] {
    let id = EffectId::of("test", &[folder.as_os_str().as_encoded_bytes()]);
    u128::from_str_radix(&id.hex(), 16).expect("hex digits").to_be_bytes()
}

impl World {
    /// The requests for messages the service has had so far.
    pub(crate) fn requests(&self) -> Vec<serde_json::Value> {
        let log = std::fs::read_to_string(self.folder.path().join("requests.jsonl")).unwrap_or_default();
        let all = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        all.filter(|r| r["method"] == "POST").collect()
    }
}
