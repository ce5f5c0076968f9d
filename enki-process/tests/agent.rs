//! Commands as agents: what they get, and how their ends are judged.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use enki_core::agent::{AgentEnd, AgentEvent, AgentExit, AgentRunner, AgentSpec};
use enki_core::id::{AttemptNo, EffectId, ExecutionId, StepIx};
use enki_core::tier::{Purpose, Tier};
use enki_process::{BaseEnv, CommandAgent, CommandAgentConfig, LogLimits};
use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

fn host() -> BaseEnv {
    BaseEnv::from_vars([(OsString::from("PATH"), OsString::from("/usr/local/bin:/usr/bin:/bin"))])
}

fn shell() -> CommandAgentConfig {
    CommandAgentConfig::new("sh").args(["-c"]).base_env(host())
}

/// A spec whose prompt is empty; `n` tells the tests apart.
fn spec(dir: &Path, n: u128) -> AgentSpec {
    let execution = ExecutionId::new((u128::from(std::process::id()) << 64) | n);
    let id = EffectId::of_attempt(execution, StepIx(0), AttemptNo(2));
    let mut spec = AgentSpec::new(id, execution, "build".parse().unwrap(), AttemptNo(2), Purpose::Fix);
    spec.workspace = dir.join("workspace");
    std::fs::create_dir_all(&spec.workspace).unwrap();
    spec.log = dir.join("logs/attempt.log");
    spec
}

async fn run(agent: &CommandAgent, spec: AgentSpec) -> (AgentEnd, Vec<String>) {
    let mut session = agent.start(spec).await.unwrap();
    let mut shown = Vec::new();
    loop {
        match session.next().await {
            AgentEvent::Activity(line) => shown.push(line),
            AgentEvent::Ended(end) => return (end, shown),
            other => panic!("{other:?}"),
        }
    }
}

/// Runs `script` with a prompt of "the prompt".
async fn script(n: u128, script: &str) -> (AgentEnd, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), n);
    spec.prompt = "the prompt".into();
    let (end, _) = run(&CommandAgent::new(shell().args(["-c", script])), spec).await;
    (end, dir)
}

#[tokio::test]
async fn an_agent_learns_what_it_works_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), 1);
    spec.prompt = "do it".into();
    spec.role = "tester".into();
    spec.tier = Tier::Heavy;
    let config = shell().args(["-c", "pwd; cat; echo; env | grep ENKI_ | sort"]).model(Tier::Heavy, "large");
    let (end, _) = run(&CommandAgent::new(config), spec.clone()).await;
    let want = [
        spec.workspace.canonicalize().unwrap().display().to_string(),
        "do it".into(),
        "ENKI_ATTEMPT=2".into(),
        format!("ENKI_EXECUTION_ID={}", spec.execution.hex()),
        "ENKI_MODEL=large".into(),
        format!("ENKI_OUTPUT_FILE={}.output", spec.log.display()),
        "ENKI_PURPOSE=fix".into(),
        "ENKI_ROLE=tester".into(),
        format!("ENKI_RUN={}", spec.id),
        "ENKI_STEP_ID=build".into(),
        format!("ENKI_TASK_ID={}", spec.task),
        "ENKI_TIER=heavy".into(),
    ];
    assert_eq!(end.text.lines().collect::<Vec<_>>(), want);
}

#[tokio::test]
async fn the_model_of_the_plan_goes_before_the_one_of_the_tier() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), 2);
    spec.model = Some("chosen".into());
    let config = shell().args(["-c", "echo $ENKI_MODEL"]).model(Tier::Standard, "usual");
    assert_eq!(run(&CommandAgent::new(config), spec).await.0.text, "chosen\n");
}

#[tokio::test]
async fn the_exit_code_judges() {
    assert_eq!(script(3, "echo fine").await.0.exit, AgentExit::Success);
    let failed = script(4, "echo said; echo one >&2; printf '\\033[31mtwo\\033[0m\\n\\n' >&2; exit 3").await.0;
    assert_eq!(failed.exit, AgentExit::Error { message: "exit code 3: one | two".into(), transient: false });
    assert_eq!(failed.text, "said\n");
    let silent = script(5, "exit 1").await.0;
    assert_eq!(silent.exit, AgentExit::Error { message: "exit code 1, and it said nothing".into(), transient: false });
    let killed = script(6, "echo last words; kill -9 $$").await.0;
    assert_eq!(killed.exit, AgentExit::Error { message: "signal 9: last words".into(), transient: true });
}

#[tokio::test]
async fn the_output_file_is_read_up_to_its_limit_and_never_through_a_link() {
    let (end, dir) = script(7, "echo text; printf 'for the next step' > \"$ENKI_OUTPUT_FILE\"").await;
    assert_eq!((end.text.as_str(), end.output.as_deref()), ("text\n", Some("for the next step")));
    assert_eq!(std::fs::read_dir(dir.path().join("logs")).unwrap().count(), 1, "only the log stays");
    let (end, _) = script(8, "head -c 100000 /dev/zero | tr '\\0' x > \"$ENKI_OUTPUT_FILE\"").await;
    assert_eq!(end.output.map(|text| text.len()), Some(16 << 10));
    let (end, _) = script(9, "ln -s /etc/passwd \"$ENKI_OUTPUT_FILE\"").await;
    assert_eq!(end.output, None);
    let (end, _) = script(10, "mkfifo \"$ENKI_OUTPUT_FILE\"").await;
    assert_eq!(end.output, None);
    let swap = "d=$(dirname \"$ENKI_OUTPUT_FILE\"); mv $d $d.old; mkdir other; ln -s $PWD/other $d; echo x > $ENKI_OUTPUT_FILE";
    assert_eq!(script(11, swap).await.0.output, None);
}

#[tokio::test]
async fn an_output_of_an_earlier_attempt_is_not_taken_for_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path(), 12);
    std::fs::create_dir_all(spec.log.parent().unwrap()).unwrap();
    std::fs::write(dir.path().join("logs/attempt.log.output"), "old").unwrap();
    assert_eq!(run(&CommandAgent::new(shell().args(["-c", "true"])), spec).await.0.output, None);
}

#[tokio::test]
async fn the_log_is_private_and_has_both_streams() {
    let (_, dir) = script(13, "echo out; echo err >&2").await;
    let log = dir.path().join("logs/attempt.log");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&log), mode(log.parent().unwrap())), (0o600, 0o700));
    let mut lines: Vec<_> = std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
}

#[tokio::test]
async fn a_link_in_the_place_of_the_log_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path(), 14);
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::fs::create_dir_all(spec.log.parent().unwrap()).unwrap();
    symlink(&victim, &spec.log).unwrap();
    run(&CommandAgent::new(shell().args(["-c", "echo out"])), spec).await;
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
}

#[tokio::test]
async fn what_is_shown_is_one_clean_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = shell().args(["-c", "printf '\\033[32mgreen\\033[0m\\n'; printf '%0500d\\n' 7"]);
    let (_, shown) = run(&CommandAgent::new(config), spec(dir.path(), 15)).await;
    assert!(!shown.is_empty());
    for line in shown {
        assert!(line == "green" || line == "0".repeat(160), "{line}");
    }
}

#[tokio::test]
async fn a_missing_program_is_named_and_no_second_try_is_worth_it() {
    let dir = tempfile::tempdir().unwrap();
    let error = CommandAgent::new(CommandAgentConfig::new("no-such-agent").base_env(host()))
        .start(spec(dir.path(), 16))
        .await
        .unwrap_err();
    assert_eq!((error.program.as_str(), error.transient), ("no-such-agent", false));
    let text = error.to_string();
    assert!(text.starts_with("cannot start agent no-such-agent: not found in PATH"), "{text}");
    assert!(text.ends_with("install it or give its absolute path"), "{text}");
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).unwrap();
    let agent = CommandAgent::new(CommandAgentConfig::new(&plain));
    assert!(agent.program_path().unwrap_err().to_string().contains("is not executable"));
}

#[test]
fn configuration_cannot_speak_for_enki() {
    let error = shell().env("ENKI_TASK_ID", "forged").unwrap_err();
    assert!(error.to_string().contains("\"ENKI_TASK_ID\" cannot be set"), "{error}");
}

#[tokio::test]
async fn an_agent_without_a_log_runs_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), 17);
    spec.log = Default::default();
    let config = shell().args(["-c", "echo ${ENKI_OUTPUT_FILE-none}"]).log_limits(LogLimits { head: 1, tail: 1 });
    assert_eq!(run(&CommandAgent::new(config), spec).await.0.text, "none\n");
}
