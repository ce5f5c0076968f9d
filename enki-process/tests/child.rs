//! Real processes, started, watched, stopped and buried.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panic and reads the clock")]

use enki_core::id::EffectId;
use enki_process::{
    BaseEnv, Cause, Child, ChildEvent, Descent, Ended, Feed, LogLimits, Marker, Polite, Spawn, Status, descent,
    kill_marked, marked,
};
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
    marked(&[Marker::run(id(name))]).unwrap()
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
async fn a_stray_of_a_short_run_dies_too() {
    // So short that not all processes are looked at. Some of the strays get away from the group in time.
    let mut strays = 0;
    for n in 0..30 {
        let name = format!("short-{n}");
        strays += run(sh(&name, "setsid -f sleep 1000; read x < /dev/null")).await.strays;
        assert_eq!(living(&name), [0u32; 0]);
    }
    assert!(strays > 0, "the test tests nothing");
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

#[tokio::test]
async fn the_end_does_not_wait_for_who_holds_the_output_open() {
    // The stray has no mark, no parent and a session of its own: nothing but a supervisor could find it.
    let script = "env -i setsid sleep 3 & echo $!; exit 0";
    let began = Instant::now();
    let ended = run(sh("holds", script)).await;
    assert_eq!(ended.status, Status::Code(0));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_stray_that_still_writes_does_not_delay_the_end() {
    // The second one is not found, and ends when nobody reads it any more.
    for script in ["setsid yes & sleep 0.1", "env -i setsid yes & sleep 0.1"] {
        let ended = run(sh("writes", script)).await;
        assert_eq!((ended.cause, ended.status), (Cause::Exited, Status::Code(0)));
        assert!(ended.elapsed < Duration::from_secs(3), "{:?}", ended.elapsed);
        assert_eq!(living("writes"), [0u32; 0]);
    }
}

#[tokio::test]
async fn who_cleared_its_environment_is_found_while_its_parents_live() {
    let script = "env -i setsid /bin/sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' & wait";
    let mut child = sh("cleared", script).feed(Feed::Lines { longest: 100 }, 0).start().await.unwrap();
    let stray = first_line(&mut child).await;
    child.stop(Duration::from_millis(50));
    child.wait().await;
    let stat = std::fs::read_to_string(format!("/proc/{stray}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[tokio::test]
async fn a_tree_that_forks_all_the_time_dies() {
    // Each process lives a moment and leaves a next one in a session of its own.
    let script = "f() { setsid sh -c 'sleep 0.01; eval \"$F\"' & }; F='setsid sh -c \"sleep 0.01; eval \\\"\\$F\\\"\" &'; \
                  export F; f; f; f; sleep 0.2";
    let ended = run(sh("forks", script)).await;
    assert_eq!((ended.status, ended.survivors), (Status::Code(0), 0));
    assert_eq!(living("forks"), [0u32; 0]);
}

#[tokio::test]
async fn an_interrupt_is_for_the_main_process_alone() {
    let script = "trap 'echo bye; exit 7' INT; (trap 'echo child' INT; sleep 1000) & echo ready; wait";
    let mut child =
        sh("interrupt", script).polite(Polite::Interrupt).feed(Feed::Lines { longest: 100 }, 0).start().await.unwrap();
    assert_eq!(first_line(&mut child).await, "ready");
    child.stop(Duration::from_secs(10));
    let ended = child.wait().await;
    assert_eq!((ended.cause, ended.status, stdout(&ended)), (Cause::Stopped, Status::Code(7), "ready\nbye\n"));
    assert_eq!(living("interrupt"), [0u32; 0]);
}

#[tokio::test]
async fn a_second_stop_can_only_shorten_the_grace() {
    let mut child = sh("twice", "trap '' TERM; echo ready; while :; do sleep 1000; done")
        .feed(Feed::Lines { longest: 100 }, 0)
        .start()
        .await
        .unwrap();
    first_line(&mut child).await;
    let asked = Instant::now();
    child.stop(Duration::from_secs(60));
    child.stop(Duration::from_millis(100));
    child.stop(Duration::from_secs(60));
    assert_eq!(child.wait().await.status, Status::Signal(9));
    assert!(asked.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_dropped_child_dies_with_its_tree() {
    let child = sh("dropped", "setsid sleep 1000 & sleep 1000").start().await.unwrap();
    assert!(!living("dropped").is_empty());
    drop(child);
    until(|| living("dropped").is_empty()).await;
}

#[tokio::test]
async fn a_dropped_start_leaves_nothing() {
    for _ in 0..20 {
        let start = sh("half", "setsid sleep 1000 & sleep 1000").start();
        drop(tokio::time::timeout(Duration::from_micros(200), start).await);
    }
    // A start that was dropped early may still be on its way; then it comes and goes.
    tokio::time::sleep(Duration::from_millis(200)).await;
    until(|| living("half").is_empty()).await;
}

#[tokio::test]
async fn the_time_limit_ends_a_busy_child() {
    let ended = run(sh("busy", "while :; do :; done").timeout(Duration::from_millis(200)).grace(Duration::ZERO)).await;
    assert_eq!(ended.cause, Cause::TimedOut);
    assert!(ended.elapsed >= Duration::from_millis(200) && ended.elapsed < Duration::from_secs(3));
}

#[tokio::test]
async fn silence_without_work_is_idle() {
    let ended = run(sh("idle", "echo; sleep 1000").idle_timeout(Duration::from_millis(300))).await;
    assert_eq!(ended.cause, Cause::Idle);
    assert!(ended.elapsed < Duration::from_secs(3), "{:?}", ended.elapsed);
}

#[tokio::test]
async fn work_in_silence_is_a_sign_of_life() {
    let spawn = sh("works", "while :; do :; done").idle_timeout(Duration::from_millis(400));
    let ended = run(spawn.timeout(Duration::from_millis(1500)).grace(Duration::ZERO)).await;
    assert_eq!(ended.cause, Cause::TimedOut);
}

#[tokio::test]
async fn a_huge_prompt_arrives_whole_though_the_child_writes_first() {
    // Both directions are full before the child reads: without care, a deadlock.
    let prompt = vec![b'p'; 20 << 20];
    let ended = run(sh("prompt", "head -c 1000000 /dev/zero; wc -c").stdin(prompt)).await;
    assert_eq!(ended.status, Status::Code(0));
    assert!(ended.stdout_tail.ends_with(b"20971520\n"));
}

#[tokio::test]
async fn a_child_need_not_read_its_prompt() {
    let ended = run(sh("unread", "exec <&-; echo ok").stdin(vec![b'p'; 10 << 20])).await;
    assert_eq!((ended.status, stdout(&ended)), (Status::Code(0), "ok\n"));
}

#[tokio::test]
async fn without_a_prompt_stdin_is_empty() {
    let ended = run(sh("empty", "wc -c")).await;
    assert_eq!(stdout(&ended).trim(), "0");
}

#[tokio::test]
async fn a_flood_is_cut_in_the_log_and_costs_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("flood.log");
    let limits = LogLimits { head: 1000, tail: 2000 };
    let before = resident();
    let script = "echo first; head -c 200000000 /dev/zero; echo last";
    let mut child = sh("flood", script).log(&log, limits).feed(Feed::Lines { longest: 4096 }, 0).start().await.unwrap();
    let mut most = 0;
    let ended = loop {
        match child.next().await {
            ChildEvent::Output { bytes, .. } => most = most.max(bytes.len()),
            ChildEvent::Ended(ended) => break ended,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((ended.output_bytes, most), (200_000_011, 4096));
    assert_eq!(ended.cut_bytes, 200_000_011 - 3000);
    let kept = std::fs::read(&log).unwrap();
    assert!(kept.starts_with(b"first\n\0\0") && kept.ends_with(b"\0last\n"));
    assert!(kept.len() < 3100, "{}", kept.len());
    assert!(resident() < before + (40 << 20), "{before} {}", resident());
}

#[tokio::test]
async fn a_log_has_a_text_once_and_of_one_that_was_cut_off_the_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("pieces.log");
    let script = "echo 'p:Hel'; echo 'p:lo'; echo 'p:on stderr' >&2; echo 'whole:Hello'; echo 'p:and th'; kill -9 $$";
    let limits = LogLimits::default();
    let ended = run(sh("pieces", script).log(&log, limits).log_whole("p:", &["whole:"]).tails(100, 100)).await;
    assert_eq!(ended.status, Status::Signal(9));
    let mut kept: Vec<_> = std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
    kept.sort_unstable();
    assert_eq!(kept, ["p:and th", "p:on stderr", "whole:Hello"]);
    assert_eq!(stdout(&ended), "p:Hel\np:lo\nwhole:Hello\np:and th\n", "who reads it gets all");
}

#[tokio::test]
async fn too_much_output_ends_the_child() {
    let ended = run(sh("much", "yes").output_limit(1 << 20).grace(Duration::from_millis(100))).await;
    assert_eq!(ended.cause, Cause::OutputLimit);
    assert!(ended.output_bytes > 1 << 20 && ended.output_bytes < 64 << 20, "{}", ended.output_bytes);
}

#[tokio::test]
async fn a_caller_that_takes_events_loses_none() {
    let script = "i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done";
    let mut child = sh("lines", script).feed(Feed::Lines { longest: 100 }, 0).start().await.unwrap();
    for i in 0..20000 {
        assert_eq!(first_line(&mut child).await, format!("line-{i}"));
    }
    assert!(matches!(child.next().await, ChildEvent::Ended(_)));
}

#[tokio::test]
async fn a_caller_that_takes_nothing_loses_the_oldest_and_stops_nobody() {
    let script = "head -c 3000000 /dev/zero | tr '\\0' '\\n'; echo the end";
    let mut child = sh("slow", script).feed(Feed::Lines { longest: 100 }, 0).start().await.unwrap();
    until(|| living("slow").is_empty()).await;
    assert!(matches!(child.next().await, ChildEvent::Lost { events: 1_000_000.., bytes: 0 }));
    let mut last = Vec::new();
    let ended = loop {
        match child.next().await {
            ChildEvent::Output { bytes, .. } => last = bytes,
            ChildEvent::Ended(ended) => break ended,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((&last[..], ended.output_bytes), (&b"the end"[..], 3_000_008));
}

#[tokio::test]
async fn the_latest_line_is_shown_now_and_then() {
    let script = "i=0; while [ $i -lt 30 ]; do echo line-$i; i=$((i+1)); sleep 0.01; done";
    let mut child =
        sh("latest", script).feed(Feed::Latest { every: Duration::from_millis(100) }, 0).start().await.unwrap();
    let mut shown = Vec::new();
    while let ChildEvent::Output { bytes, .. } = child.next().await {
        shown.push(String::from_utf8(bytes).unwrap());
    }
    assert_eq!(
        (shown.first().map(String::as_str), shown.last().map(String::as_str)),
        (Some("line-0"), Some("line-29"))
    );
    assert!((3..=15).contains(&shown.len()), "{shown:?}");
}

#[tokio::test]
async fn a_secret_of_the_host_does_not_pass_and_the_mark_does() {
    let vars = [("PATH", "/usr/bin:/bin"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("LC_ALL", "C")];
    let base = BaseEnv::from_vars(vars.map(|(k, v)| (OsString::from(k), OsString::from(v))));
    let spawn = Spawn::new("env", id("env")).base_env(base).env("MINE", "yes");
    let spawn = spawn.project(Marker::project("project-1").unwrap());
    let ended = run(spawn).await;
    let mut lines: Vec<&str> = stdout(&ended).lines().collect();
    lines.sort_unstable();
    let mark = format!("ENKI_RUN={}", id("env"));
    assert_eq!(lines, ["ENKI_PROJECT=project-1", &mark, "LC_ALL=C", "MINE=yes", "PATH=/usr/bin:/bin"]);
}

/// Where the descriptors of a shell lead, beside the three that it is given.
const DESCRIPTORS: &str =
    "for fd in /proc/$$/fd/*; do case ${fd##*/} in 0|1|2) ;; *) test -L $fd && readlink $fd ;; esac; done; true";

#[tokio::test]
async fn a_child_has_no_descriptor_of_ours() {
    // What this program was itself started with is not ours.
    let from_outside = std::process::Command::new("sh").args(["-c", DESCRIPTORS]).output().unwrap().stdout;
    let dir = tempfile::tempdir().unwrap();
    let store = std::fs::File::create(dir.path().join("store")).unwrap();
    store.lock().unwrap();
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let beside = sh("beside", "sleep 1000").log(dir.path().join("beside.log"), LogLimits::default());
    let beside = beside.stdin(vec![b'p'; 1 << 20]).start().await.unwrap();
    let spawn = sh("descriptors", &format!("{DESCRIPTORS}; echo end"));
    let spawn = spawn.log(dir.path().join("log"), LogLimits::default()).collect(dir.path().join("handed/over"), 10);
    let ended = run(spawn).await;
    let seen: Vec<&str> = stdout(&ended).lines().collect();
    let from_outside = String::from_utf8(from_outside).unwrap();
    assert_eq!(seen, from_outside.lines().chain(["end"]).collect::<Vec<_>>());
    beside.stop(Duration::ZERO);
    beside.wait().await;
    drop((store, socket, near, far));
}

#[tokio::test]
async fn a_program_that_cannot_run_is_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "echo").unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let cases = [
        (Spawn::new(&script, id("bad")), "needs an interpreter"),
        (Spawn::new("no-such-program", id("bad")).base_env(host()), "not found in PATH (/usr/local/bin:/usr/bin:/bin)"),
        (Spawn::new("sh", id("bad")), "no PATH is set"),
        (Spawn::new("/no/such/program", id("bad")), "not found; check"),
        (Spawn::new("./relative", id("bad")).base_env(host()), "a relative path"),
        (Spawn::new(&plain, id("bad")), "is not executable"),
        (Spawn::new(dir.path(), id("bad")), "is no file"),
        (sh("bad", "true").directory(dir.path().join("gone")), "there is no directory"),
        (sh("bad", "true").env("ENKI_RUN", "forged"), "\"ENKI_RUN\" cannot be set"),
        (sh("bad", "true").arg("x".repeat(200_000)), "give long text by stdin"),
        (sh("bad", "true").log(plain.join("log"), LogLimits::default()), "cannot be created"),
    ];
    for (spawn, want) in cases {
        let error = spawn.start().await.unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert!(!error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn two_hundred_runs_leave_no_zombie_thread_or_descriptor() {
    run(sh("warm", "true")).await;
    let dir = tempfile::tempdir().unwrap();
    let before = open_files();
    for batch in 0..25 {
        let runs: Vec<_> = (0..8)
            .map(|i| {
                let log = dir.path().join(format!("{batch}-{i}"));
                let script = if i % 4 == 0 { "setsid sleep 1000 & echo x" } else { "echo x" };
                tokio::spawn(run(sh(&format!("many-{batch}-{i}"), script).stdin("in").log(log, LogLimits::default())))
            })
            .collect();
        for ended in runs {
            let ended = ended.await.unwrap();
            assert_eq!((ended.status, ended.survivors), (Status::Code(0), 0));
        }
        for i in 0..8 {
            assert_eq!(living(&format!("many-{batch}-{i}")), [0u32; 0]);
        }
    }
    assert_eq!(children().iter().filter(|stat| stat.contains(") Z ") && stat.contains("(sh)")).count(), 0);
    // Tests beside this one have files open too, but not hundreds.
    assert!(open_files() < before + 100, "{before} {}", open_files());
}

#[tokio::test]
async fn kill_marked_kills_by_mark_and_nothing_else() {
    let project = Marker::project("project-of-kill-marked").unwrap();
    let one = sh("marked-1", "setsid sleep 1000 & wait").project(project.clone()).start().await.unwrap();
    let two = sh("marked-2", "sleep 1000").project(project.clone()).start().await.unwrap();
    let other = sh("marked-3", "exec sleep 1000").start().await.unwrap();
    let kill = |mark: Marker| async {
        tokio::task::spawn_blocking(|| kill_marked(&[mark], Duration::from_secs(5))).await.unwrap()
    };
    assert_eq!(kill(Marker::run(id("marked-1"))).await.survivors, 0);
    assert_eq!(living("marked-1"), [0u32; 0]);
    assert!(!living("marked-2").is_empty());
    assert!(kill(project).await.killed >= 1);
    assert_eq!(living("marked-2"), [0u32; 0]);
    assert!(!living("marked-3").is_empty());
    let ends = (one.wait().await, two.wait().await);
    assert_eq!((ends.0.status, ends.1.status), (Status::Signal(9), Status::Signal(9)));
    other.stop(Duration::ZERO);
    other.wait().await;
}

async fn until(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// `stat` of each child of this process.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = all.filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
    stats.filter(|s| s.rsplit(')').next().unwrap().split_whitespace().nth(1) == Some(&own)).collect()
}

#[tokio::test]
async fn whoever_works_for_a_project_is_told_by_itself_or_by_those_above_it() {
    let mark = Marker::project("descent-test").unwrap();
    let other = Marker::project("another-one").unwrap();
    // Itself, one that cleared its environment, and one that took a session of its own as well.
    let script = "echo $$; env -i /bin/sh -c 'echo $$; sleep 1000' & \
                  env -i setsid /bin/sh -c 'echo $$; sleep 1000' & wait";
    let spawn = sh("descent", script).project(mark.clone()).feed(Feed::Lines { longest: 100 }, 0);
    let mut child = spawn.start().await.unwrap();
    for _ in 0..3 {
        let pid: u32 = first_line(&mut child).await.trim().parse().unwrap();
        assert_eq!((descent(pid, &mark), descent(pid, &other)), (Descent::Ours, Descent::Foreign));
    }
    assert_eq!(descent(std::process::id(), &mark), Descent::Foreign);
    assert_eq!(descent(u32::MAX, &mark), Descent::Unknown);
    child.stop(Duration::from_millis(50));
    child.wait().await;
}
