//! A supervisor, its agent, and the deaths of each. This test program is the supervisor too, and the orchestrator that
//! gets killed, and one without descriptors; so it has a `main` of its own. `cargo test NAME` runs the tests whose name contains NAME.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panic, reads the clock and starts itself"
)]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use enki_process::supervise::{SUBCOMMAND, supervise_main};
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|arg| arg == SUBCOMMAND).is_some() {
        return supervise_main(args).into();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if args.next_if(|arg| arg == tests::ORCHESTRATE).is_some() {
        runtime.block_on(tests::orchestrate(args.next().unwrap().to_str().unwrap()));
        return std::process::ExitCode::SUCCESS;
    }
    if args.next_if(|arg| arg == tests::LOOK_BLINDLY).is_some() {
        runtime.block_on(tests::look_blindly(args.next().unwrap().to_str().unwrap()));
        return std::process::ExitCode::SUCCESS;
    }
    let filter = args.find(|arg| !arg.to_string_lossy().starts_with('-'));
    for (name, test) in tests::ALL {
        if filter.as_ref().is_none_or(|f| name.contains(&*f.to_string_lossy())) {
            runtime.block_on(test());
            println!("test {name} ... ok");
        }
    }
    std::process::ExitCode::SUCCESS
}

#[cfg(target_os = "linux")]
mod tests {
    use enki_core::id::EffectId;
    use enki_process::{
        BaseEnv, Cause, Child, ChildEvent, ChildLimits, Containment, Descent, Ended, Feed, Marker, Places, Polite,
        Probe, Sandbox, SandboxLevel, Spawn, Status, descent, kill_marked, marked, reap_orphans,
    };
    use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
    use std::ffi::OsString;
    use std::future::Future;
    use std::io::Read;
    use std::pin::Pin;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    pub(crate) const ORCHESTRATE: &str = "__orchestrate";
    pub(crate) const LOOK_BLINDLY: &str = "__look-blindly";

    type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

    macro_rules! all {
        ($($name:ident)*) => { pub(crate) const ALL: &[(&str, Test)] = &[$((stringify!($name), || Box::pin($name()))),*]; };
    }

    all! {
        a_supervised_child_is_like_any_other
        a_supervised_child_has_neither_descriptors_nor_variables_that_are_not_its_own
        who_left_every_trace_behind_dies_with_the_normal_end
        a_polite_stop_reaches_the_agent
        an_interrupt_reaches_the_agent
        who_ignores_everything_is_killed
        everything_dies_with_the_orchestrator
        the_agent_dies_with_orchestrator_and_supervisor_at_once
        what_a_killed_orchestrator_left_without_supervisor_is_reaped
        who_cannot_look_takes_nobody_for_gone
        the_agent_dies_with_its_supervisor
        a_stopped_supervisor_does_not_save_anybody
        limits_hold_for_the_agent
        a_program_that_cannot_be_executed_is_a_failure
        runs_side_by_side_leave_nothing
        a_sandboxed_child_reaches_what_it_is_given_and_nothing_else
        a_sandboxed_child_is_stopped_and_buried_like_any_other
        a_sandbox_that_cannot_be_had_starts_nothing
    }

    fn id(name: &str) -> EffectId {
        EffectId::of("supervise", &[name.as_bytes()])
    }

    fn sh(name: &str, script: &str) -> Spawn {
        let path = (OsString::from("PATH"), OsString::from("/usr/local/bin:/usr/bin:/bin"));
        Spawn::new("sh", id(name))
            .args(["-c", script])
            .base_env(BaseEnv::from_vars([path]))
            .supervisor(std::env::current_exe().unwrap(), ChildLimits::default())
            .feed(Feed::Lines { longest: 100 }, 0)
    }

    async fn run(spawn: Spawn) -> Ended {
        spawn.start().await.unwrap().wait().await
    }

    async fn line(child: &mut Child) -> String {
        match child.next().await {
            ChildEvent::Output { bytes, .. } => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn living(name: &str) -> Vec<u32> {
        marked(&[Marker::run(id(name))]).unwrap()
    }

    fn is_alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn until(what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(10), "{what} does not come about");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn a_supervised_child_is_like_any_other() {
        let ended = run(sh("same", "cat; echo err >&2; exit 3").stdin("in")).await;
        assert_eq!(
            (ended.cause, ended.status, ended.containment),
            (Cause::Exited, Status::Code(3), Containment::Supervisor)
        );
        assert_eq!((&ended.stdout_tail[..], &ended.stderr_tail[..]), (&b"in"[..], &b"err\n"[..]));
        for signal in [9, 15, 11, 1] {
            assert_eq!(run(sh("same", &format!("kill -{signal} $$"))).await.status, Status::Signal(signal));
        }
        // It stands alone: no terminal, and a group that is its own.
        let ended = run(sh("same", "ps -o pid=,pgid=,sid= -p $$ | tr -s ' '; echo $$")).await;
        let text = String::from_utf8(ended.stdout_tail).unwrap();
        let pid = text.lines().last().unwrap();
        assert_eq!(text.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), [pid; 3]);
    }

    async fn a_supervised_child_has_neither_descriptors_nor_variables_that_are_not_its_own() {
        let list =
            "for fd in /proc/$$/fd/*; do case ${fd##*/} in 0|1|2) ;; *) test -L $fd && readlink $fd ;; esac; done; env";
        // What this program was itself started with is not ours.
        let script = list.replace("; env", "");
        let from_outside = Command::new("sh").args(["-c", &script]).output().unwrap().stdout;
        let dir = tempfile::tempdir().unwrap();
        let store = std::fs::File::create(dir.path().join("store")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let spawn = sh("own", list).log(dir.path().join("log"), enki_process::LogLimits::default());
        let ended = run(spawn.env("MINE", "yes")).await;
        let text = String::from_utf8(ended.stdout_tail).unwrap();
        let text = text.strip_prefix(std::str::from_utf8(&from_outside).unwrap()).expect(&text);
        let mut names: Vec<&str> = text.lines().map(|line| line.split('=').next().unwrap()).collect();
        // The shell's own.
        names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
        names.sort_unstable();
        assert_eq!(names, ["ENKI_RUN", "MINE", "PATH"]);
        drop((store, socket));
    }

    async fn who_left_every_trace_behind_dies_with_the_normal_end() {
        // No mark, no parent, no session in common: only a supervisor can know it.
        let mut child = sh("trace", "env -i setsid sleep 1000 >/dev/null 2>&1 & echo $!").start().await.unwrap();
        let stray = line(&mut child).await;
        let ended = child.wait().await;
        assert_eq!(ended.status, Status::Code(0));
        assert!(!is_alive(&stray));
    }

    async fn a_polite_stop_reaches_the_agent() {
        let mut child =
            sh("polite", "trap 'echo bye; exit 5' TERM; echo ready; sleep 1000 & wait").start().await.unwrap();
        assert_eq!(line(&mut child).await, "ready");
        child.stop(Duration::from_secs(10));
        let ended = child.wait().await;
        assert_eq!(
            (ended.cause, ended.status, &ended.stdout_tail[..]),
            (Cause::Stopped, Status::Code(5), &b"ready\nbye\n"[..])
        );
        assert_eq!(living("polite"), [0u32; 0]);
        // Even one that is asked before it is there.
        let child = sh("early", "sleep 1000").start().await.unwrap();
        child.stop(Duration::from_secs(60));
        let ended = child.wait().await;
        assert_eq!(ended.cause, Cause::Stopped);
        assert!(ended.elapsed < Duration::from_secs(5));
    }

    async fn an_interrupt_reaches_the_agent() {
        let script = "trap 'echo bye; exit 7' INT; echo ready; while :; do sleep 0.05; done";
        let mut child = sh("interrupt", script).polite(Polite::Interrupt).start().await.unwrap();
        assert_eq!(line(&mut child).await, "ready");
        child.stop(Duration::from_secs(10));
        assert_eq!(child.wait().await.status, Status::Code(7));
    }

    async fn who_ignores_everything_is_killed() {
        let script = "trap '' TERM INT HUP; env -i setsid sh -c 'trap \"\" TERM; sleep 1000 & echo $!; wait' & \
                      while :; do sleep 1000; done";
        let mut child = sh("ignores", script).start().await.unwrap();
        let stray = line(&mut child).await;
        let asked = Instant::now();
        child.stop(Duration::from_millis(100));
        let ended = child.wait().await;
        assert_eq!((ended.cause, ended.survivors), (Cause::Stopped, 0));
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        assert!(!is_alive(&stray));
        assert_eq!(living("ignores"), [0u32; 0]);
    }

    /// The orchestrator to be killed: runs an agent for ever.
    pub(crate) async fn orchestrate(name: &str) {
        let mut spawn = sh(name, "env -i setsid sleep 1000 & echo $!; setsid sleep 1000 & wait");
        if name.starts_with("massacre") {
            spawn = sh(name, "setsid sleep 1000 & echo $!; wait");
        }
        if name == UNSUPERVISED {
            spawn = Spawn::new("/bin/sh", id(name))
                .args(["-c", "PATH=/usr/bin:/bin; setsid sleep 1000 & echo $!; wait"])
                .project(Marker::project(UNSUPERVISED).unwrap())
                .feed(Feed::Lines { longest: 100 }, 0);
        }
        let mut child = spawn.start().await.unwrap();
        println!("{}", line(&mut child).await);
        child.wait().await;
    }

    /// The levels that this machine gives, and where bubblewrap is. Says which it does not give.
    fn levels() -> Vec<(SandboxLevel, Option<std::path::PathBuf>)> {
        let (own, scratch) = (std::env::current_exe().unwrap(), tempfile::tempdir().unwrap());
        let mut levels = Vec::new();
        for level in [SandboxLevel::Rules, SandboxLevel::Tree] {
            let probe = Probe::of(Some(&own), level, scratch.path()).unwrap();
            if probe.level == level {
                levels.push((level, probe.bubblewrap));
            } else {
                println!("skipped: level {level}: {:?}", probe.missing);
            }
        }
        assert!(std::fs::read_dir(scratch.path()).unwrap().next().is_none(), "a probe leaves nothing");
        levels
    }

    async fn a_sandboxed_child_reaches_what_it_is_given_and_nothing_else() {
        for (level, bubblewrap) in levels() {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            for folder in ["work", "lent/secret", "else", "tmp"] {
                std::fs::create_dir_all(at(folder)).unwrap();
            }
            for file in ["lent/plain", "lent/secret/key", "else/key"] {
                std::fs::write(at(file), "content").unwrap();
            }
            let sandbox = Sandbox::new(level, bubblewrap)
                .readable(Places::of(&std::collections::BTreeMap::new()).readable)
                .readable([at("lent")])
                .writable([at("work")])
                .hidden([at("lent/secret")])
                .tmp(at("tmp"));
            let script = r#"
                cd "$1"
                echo x >work/mark && cat work/mark && mv work/mark work/moved && mkdir -p work/a/b && mv work/moved work/a/b/
                cat lent/plain && echo
                (echo x >lent/mark) 2>/dev/null; cat lent/secret/key else/key 2>/dev/null; (echo x >else/mark) 2>/dev/null
                kill -9 "$2" 2>/dev/null && echo killed
                echo y >"$TMPDIR/mark" && echo "$XDG_CACHE_HOME" && exit 3
            "#;
            let victim = Command::new("sleep").arg("1000").spawn().unwrap();
            let spawn = sh("reach", script).args(["sh".into(), dir.path().as_os_str().to_owned()]);
            let ended = run(spawn.arg(victim.id().to_string()).directory(at("work")).sandbox(sandbox)).await;
            let said = String::from_utf8_lossy(&ended.stdout_tail).into_owned();
            let tmp = if level == SandboxLevel::Tree { "/tmp".into() } else { at("tmp").display().to_string() };
            let complaint = String::from_utf8_lossy(&ended.stderr_tail).into_owned();
            assert_eq!(said, format!("x\ncontent\n{tmp}/cache\n"), "level {level}: {complaint}");
            assert_eq!(ended.status, Status::Code(3), "level {level}");
            assert!(at("work/a/b/moved").exists() && at("tmp/mark").exists(), "level {level}");
            assert!(!at("lent/mark").exists() && !at("else/mark").exists(), "level {level}");
            let mut victim = victim;
            assert!(victim.try_wait().unwrap().is_none(), "level {level}: a signal led out");
            victim.kill().unwrap();
            victim.wait().unwrap();
        }
    }

    async fn a_sandboxed_child_is_stopped_and_buried_like_any_other() {
        for (level, bubblewrap) in levels() {
            let sandbox = || {
                Sandbox::new(level, bubblewrap.clone())
                    .readable(Places::of(&std::collections::BTreeMap::new()).readable)
            };
            for (polite, signal) in [(Polite::Interrupt, "INT"), (Polite::Terminate, "TERM")] {
                let script = format!("trap 'echo bye; exit 7' {signal}; echo ready; while :; do sleep 0.05; done");
                let spawn = sh("boxed", &script).polite(polite).directory("/usr").sandbox(sandbox());
                let mut child = spawn.start().await.unwrap();
                assert_eq!(line(&mut child).await, "ready");
                child.stop(Duration::from_secs(10));
                let ended = child.wait().await;
                assert_eq!((ended.cause, ended.status), (Cause::Stopped, Status::Code(7)), "level {level} {signal}");
            }
            let script = "trap '' TERM INT; env -i setsid sleep 1000 & (setsid sleep 1000 &) ; echo ready; wait";
            let mut child = sh("boxed", script).directory("/usr").sandbox(sandbox()).start().await.unwrap();
            assert_eq!(line(&mut child).await, "ready");
            child.stop(Duration::ZERO);
            let ended = child.wait().await;
            assert_eq!((ended.cause, ended.survivors), (Cause::Stopped, 0), "level {level}");
            assert_eq!(living("boxed"), [0u32; 0], "level {level}");
            let ended = run(sh("boxed", "kill -9 $$").directory("/usr").sandbox(sandbox())).await;
            let wanted = if level == SandboxLevel::Tree { Status::Code(137) } else { Status::Signal(9) };
            assert_eq!(ended.status, wanted, "level {level}");
        }
    }

    async fn a_sandbox_that_cannot_be_had_starts_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("mark");
        let script = format!("touch '{}'", mark.display());
        let gone = Some("/nowhere/bwrap".into());
        let ended = run(sh("gone", &script).sandbox(Sandbox::new(SandboxLevel::Tree, gone))).await;
        assert_eq!(ended.status, Status::Code(127));
        let said = String::from_utf8_lossy(&ended.stderr_tail).into_owned();
        let wanted =
            if cfg!(feature = "sandbox") { "cannot execute /nowhere/bwrap" } else { "this program was built without" };
        assert!(said.starts_with(&format!("enki supervisor: {wanted}")), "{said}");
        let unsupervised = Spawn::new("/bin/sh", id("alone")).args(["-c", &script]);
        let error = unsupervised.sandbox(Sandbox::new(SandboxLevel::Rules, None)).start().await.unwrap_err();
        assert!(error.to_string().contains("its sandbox needs a supervisor"), "{error}");
        assert!(!mark.exists());
    }

    const UNSUPERVISED: &str = "unsupervised-project";

    /// Of this run alone: an earlier one that failed may have left processes.
    fn own_name(name: &str) -> String {
        format!("{name}-{}", std::process::id())
    }

    /// Starts an orchestrator, waits until its agent has a stray, kills it. Gives the stray.
    fn killed_orchestrator(name: &str, processes: usize, before: impl FnOnce()) -> String {
        let mut orchestrator = Command::new(std::env::current_exe().unwrap())
            .args([ORCHESTRATE, name])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stray = String::new();
        let mut out = orchestrator.stdout.take().unwrap();
        while !stray.ends_with('\n') {
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            stray.push(char::from(byte[0]));
        }
        let stray = stray.trim().to_owned();
        // One that is just being executed has no environment to be seen by.
        let began = Instant::now();
        while !is_alive(&stray) || living(name).len() < processes {
            assert!(began.elapsed() < Duration::from_secs(10), "{stray} {:?}", living(name));
            std::thread::yield_now();
        }
        before();
        orchestrator.kill().unwrap();
        orchestrator.wait().unwrap();
        stray
    }

    async fn everything_dies_with_the_orchestrator() {
        let name = own_name("orphans");
        let stray = killed_orchestrator(&name, 3, || {});
        until("the death of all", || living(&name).is_empty() && !is_alive(&stray)).await;
    }

    async fn the_agent_dies_with_orchestrator_and_supervisor_at_once() {
        let is_supervisor = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("__supervise")
        };
        let (name, supervisor) = (own_name("massacre"), std::cell::Cell::new(0));
        killed_orchestrator(&name, 3, || {
            supervisor.set(living(&name).into_iter().find(is_supervisor).unwrap());
            signal("-STOP", supervisor.get());
        });
        let before = living(&name).len();
        signal("-KILL", supervisor.get());
        // The agent dies by the kernel; what it had started is for the next start to reap.
        until("the death of the agent", || living(&name).len() <= before - 2).await;
        assert_eq!(kill_marked(&[Marker::run(id(&name))], Duration::from_secs(5)).survivors, 0);
    }

    fn signal(signal: &str, pid: u32) {
        assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
    }

    async fn what_a_killed_orchestrator_left_without_supervisor_is_reaped() {
        let stray = killed_orchestrator(UNSUPERVISED, 2, || {});
        let other = Marker::project("another-project").unwrap();
        assert_eq!(reap_orphans(&other).killed, 0);
        assert!(is_alive(&stray), "without a supervisor it lives on");
        let reaped = reap_orphans(&Marker::project(UNSUPERVISED).unwrap());
        assert!(reaped.killed >= 2 && reaped.survivors == 0, "{reaped:?}");
        assert!(!is_alive(&stray));
    }

    async fn who_cannot_look_takes_nobody_for_gone() {
        let name = own_name("unseen");
        let mut left = Command::new("sleep").arg("1000").env("ENKI_RUN", id(&name).hex()).spawn().unwrap();
        until("its mark", || living(&name) == [left.id()]).await;
        let looked = Command::new(std::env::current_exe().unwrap()).args([LOOK_BLINDLY, &name]).status().unwrap();
        let end = left.try_wait().unwrap();
        let _ = left.kill();
        left.wait().unwrap();
        assert!(looked.success());
        assert_eq!(end.and_then(|end| std::os::unix::process::ExitStatusExt::signal(&end)), Some(9));
    }

    /// All descriptors that the process may still open.
    fn every_descriptor() -> Vec<std::fs::File> {
        std::iter::repeat_with(|| std::fs::File::open("/dev/null")).map_while(Result::ok).collect()
    }

    /// Hunts the process with the mark `name` as one that has no descriptor to spare; then it has.
    pub(crate) async fn look_blindly(name: &str) {
        let marks = [Marker::run(id(name))];
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) }).unwrap();
        let taken = every_descriptor();
        let hunted = kill_marked(&marks, Duration::from_millis(100));
        assert_eq!((hunted.killed, hunted.survivors), (0, 1));
        for why in [hunted.unseen.unwrap(), marked(&marks).unwrap_err().to_string()] {
            assert!(why.starts_with("reading /proc/") && why.contains("failed: Too many open files"), "{why}");
        }
        assert_eq!(descent(std::process::id(), &marks[0]), Descent::Unknown);
        let again = std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            drop(taken);
        });
        let hunted = kill_marked(&marks, Duration::from_secs(10));
        again.join().unwrap();
        assert_eq!((hunted.killed, hunted.survivors, hunted.unseen), (1, 0, None));
        assert_eq!(living(name), [0u32; 0]);

        // The end of a child, which leaves one behind.
        let own = format!("{name}-child");
        let path = (OsString::from("PATH"), OsString::from("/usr/local/bin:/usr/bin:/bin"));
        let spawn = Spawn::new("sh", id(&own)).args(["-c", "setsid sh -c 'echo; exec sleep 1000' & wait"]);
        let spawn = spawn.base_env(BaseEnv::from_vars([path])).feed(Feed::Lines { longest: 100 }, 0);
        let mut child = spawn.start().await.unwrap();
        line(&mut child).await;
        let taken = every_descriptor();
        let pid = i32::try_from(child.pid()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        let ended = child.wait().await;
        drop(taken);
        assert_eq!((ended.status, ended.strays, ended.survivors), (Status::Signal(9), 0, 1));
        assert_eq!(kill_marked(&[Marker::run(id(&own))], Duration::from_secs(5)).killed, 1);
    }

    async fn the_agent_dies_with_its_supervisor() {
        let mut child = sh("beheaded", "setsid sleep 1000 & echo $$; wait").start().await.unwrap();
        let agent = line(&mut child).await;
        assert_ne!(agent, child.pid().to_string());
        signal("-KILL", child.pid());
        let ended = child.wait().await;
        assert_eq!((ended.cause, ended.status, ended.survivors), (Cause::Exited, Status::Signal(9), 0));
        assert!(!is_alive(&agent));
        assert_eq!(living("beheaded"), [0u32; 0]);
    }

    async fn a_stopped_supervisor_does_not_save_anybody() {
        let mut child = sh("frozen", "echo ready; sleep 1000").start().await.unwrap();
        line(&mut child).await;
        signal("-STOP", child.pid());
        child.stop(Duration::ZERO);
        let ended = child.wait().await;
        assert_eq!((ended.cause, ended.survivors), (Cause::Stopped, 0));
        assert!(ended.elapsed < Duration::from_secs(5));
        assert_eq!(living("frozen"), [0u32; 0]);
    }

    async fn limits_hold_for_the_agent() {
        let limits = ChildLimits { open_files: Some(64), file_size: Some(512 * 100), cpu_seconds: Some(1000) };
        let spawn = sh("limits", "ulimit -n; ulimit -f; ulimit -t");
        let ended = run(spawn.supervisor(std::env::current_exe().unwrap(), limits)).await;
        assert_eq!(String::from_utf8(ended.stdout_tail).unwrap(), "64\n100\n1000\n");
    }

    async fn a_program_that_cannot_be_executed_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("script");
        std::fs::write(&program, "#!/no/such/interpreter\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let spawn = Spawn::new(&program, id("cannot"));
        let ended = run(spawn.supervisor(std::env::current_exe().unwrap(), ChildLimits::default())).await;
        assert_eq!(ended.status, Status::Code(127));
        let said = String::from_utf8(ended.stderr_tail).unwrap();
        assert!(said.contains("cannot execute"), "{said:?}");
    }

    async fn runs_side_by_side_leave_nothing() {
        // A number of its own, by which `ps` tells these strays from everybody else's.
        let stray = format!("sleep 1000{}", std::process::id());
        for batch in 0..10 {
            let runs: Vec<_> = (0..8)
                .map(|i| {
                    let spawn = sh(&format!("many-{batch}-{i}"), &format!("env -i setsid {stray} & exit 2"));
                    tokio::spawn(run(spawn))
                })
                .collect();
            for ended in runs {
                let ended = ended.await.unwrap();
                assert_eq!((ended.status, ended.survivors), (Status::Code(2), 0));
            }
        }
        let all = Command::new("ps").args(["-eo", "stat=,args="]).output().unwrap().stdout;
        let all = String::from_utf8_lossy(&all).into_owned();
        assert_eq!(all.lines().filter(|l| !l.starts_with('Z') && l.ends_with(&stray)).count(), 0, "{all}");
    }
}
