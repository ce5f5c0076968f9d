//! Real processes, started, watched, stopped and buried.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panic and reads the clock")]

use enki_core::id::EffectId;
use enki_process::{BaseEnv, Cause, Child, ChildEvent, Ended, Feed, Marker, Spawn, Status, marked};
use std::ffi::OsString;
use std::time::{Duration, Instant};

/// An effect id of its own per test, so that tests do not hunt each other's processes.
fn id(name: &str) -> EffectId {
    EffectId::of("test", &[name.as_bytes(), &std::process::id().to_be_bytes()])
}

fn host() -> BaseEnv {
    BaseEnv::from_vars([(OsString::from("PATH"), OsString::from("/usr/local/bin:/usr/bin:/bin"))])
}

fn sh(name: &str, script: &str) -> Spawn {
    Spawn::new("sh", id(name)).arg("-c").arg(script).base_env(host())
}

async fn run(spawn: Spawn) -> Ended {
    spawn.start().await.unwrap().wait().await
}

fn stdout(ended: &Ended) -> &str {
    std::str::from_utf8(&ended.stdout_tail).unwrap()
}

fn living(name: &str) -> Vec<u32> {
    marked(&[Marker::run(id(name))])
}

/// Waits for the first line of stdout: the script is where it says it is.
async fn first_line(child: &mut Child) -> String {
    match child.next().await {
        ChildEvent::Output { bytes, .. } => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_child_runs_and_its_end_is_told() {
    let ended = run(sh("runs", "echo out; echo err >&2; exit 3")).await;
    assert_eq!((ended.cause, ended.status), (Cause::Exited, Status::Code(3)));
    assert_eq!((stdout(&ended), &ended.stderr_tail[..]), ("out\n", &b"err\n"[..]));
    assert_eq!((ended.strays, ended.survivors, ended.output_bytes), (0, 0, 8));
}

#[tokio::test]
async fn a_grandchild_in_a_session_of_its_own_dies_with_the_normal_end() {
    let ended = run(sh("setsid", "setsid sh -c 'sleep 1000' >/dev/null 2>&1 & sleep 0.1; echo done")).await;
    assert_eq!((ended.cause, ended.status), (Cause::Exited, Status::Code(0)));
    assert!(ended.strays >= 1);
    assert_eq!(living("setsid"), [0u32; 0]);
}

#[tokio::test]
async fn who_ignores_every_polite_signal_is_killed_after_the_grace() {
    let script =
        "trap '' TERM INT; setsid sh -c 'trap \"\" TERM; echo ready; sleep 1000' & while :; do sleep 1000; done";
    let mut child = sh("ignores", script).feed(Feed::Lines { longest: 100 }, 0).start().await.unwrap();
    assert_eq!(first_line(&mut child).await, "ready");
    let asked = Instant::now();
    child.stop(Duration::from_millis(200));
    let ended = child.wait().await;
    assert_eq!((ended.cause, ended.status), (Cause::Stopped, Status::Signal(9)));
    assert!(asked.elapsed() >= Duration::from_millis(200) && asked.elapsed() < Duration::from_millis(1500));
    assert_eq!(living("ignores"), [0u32; 0]);
}
