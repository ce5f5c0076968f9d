//! Set-up and tear-down commands of workspaces.

use crate::support::*;
use enki_core::workspace::{Capture, Expect, Start, WorkspaceErrorKind, WorkspaceProvider};
use enki_vcs_git::{GitOptions, GitWorkspaces};
use std::fs;
use std::time::Duration;

fn with(repo: &Repo, change: impl FnOnce(&mut GitOptions)) -> GitWorkspaces {
    repo.project().with_options(change).workspaces()
}

fn setting_up(repo: &Repo, command: &str) -> GitWorkspaces {
    with(repo, |options| {
        options.setup = Some(command.to_owned());
        options.pool = 1;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_up_runs_in_the_fresh_files_and_is_not_taken_for_work() {
    let repo = Repo::new();
    let spec = spec("a", 1, Start::Fresh { base: repo.head("main") });
    let log = repo.dir.path().join("env");
    let command = format!("mkdir target && cat a.txt >target/copy && env >{}", log.display());
    let workspaces = with(&repo, |options| {
        options.setup = Some(command);
        options.env.push(("ANTHROPIC_API_KEY".into(), "secret".into()));
        options.env.push(("LANG".into(), "C".into()));
    });
    let made = workspaces.create(&spec).await.unwrap();
    assert_eq!(fs::read_to_string(made.path.join("target/copy")).unwrap(), "one\ntwo\nthree\n");
    let env = fs::read_to_string(log).unwrap();
    assert!(env.contains("LANG=C") && !env.contains("secret"), "{env}");
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
    // The same attempt again, and the next one in the same folder, find what was set up.
    fs::remove_dir_all(made.path.join("target")).unwrap();
    workspaces.create(&spec).await.unwrap();
    assert!(!made.path.join("target").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn set_ups_of_two_projects_do_not_end_each_other() {
    let (first, second) = (Repo::new(), Repo::new());
    let file = |repo: &Repo, name: &str| repo.dir.path().join(name);
    // Each says that it has begun, and ends when it may.
    let begin = |repo: &Repo| {
        let (begun, go) = (file(repo, "begun"), file(repo, "go"));
        let command = format!("touch {}; until [ -e {} ]; do sleep 0.05; done", begun.display(), go.display());
        let (workspaces, spec) = (setting_up(repo, &command), spec("a", 1, Start::Fresh { base: repo.head("main") }));
        tokio::spawn(async move { workspaces.create(&spec).await })
    };
    let mut made = Vec::new();
    for repo in [&first, &second] {
        made.push(begin(repo));
        while !file(repo, "begun").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for (repo, made) in [&first, &second].into_iter().zip(made) {
        fs::write(file(repo, "go"), "").unwrap();
        made.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_fails_fails_the_attempt_with_its_last_words() {
    let repo = Repo::new();
    let base = repo.head("main");
    let workspaces = setting_up(&repo, "echo first; echo no such package >&2; exit 3");
    for attempt in 1..=2 {
        let error = workspaces.create(&spec("a", attempt, Start::Fresh { base })).await.unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::Environment);
        assert!(error.reason.contains("exit code 3") && error.reason.contains("no such package"), "{error}");
        assert!(error.reason.contains(&format!(".enki/logs/setup-{}.log", task("a"))), "{error}");
    }
    let made = setting_up(&repo, "true").create(&spec("a", 3, Start::Fresh { base })).await.unwrap();
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain"]), "");
    workspaces.prepare(base, 1).await;
    assert!(!repo.root.join(".enki/pool/1/ready.json").exists(), "nothing half set up is in the pool");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_changes_what_git_sees_is_refused_by_name() {
    let repo = Repo::new();
    let base = repo.head("main");
    for command in ["echo >>a.txt", "echo >new.lock", "rm src/lib.rs"] {
        let error = setting_up(&repo, command).create(&spec("a", 1, Start::Fresh { base })).await.unwrap_err();
        let path = command.rsplit(['>', ' ']).next().unwrap();
        assert!(error.reason.contains(path) && error.reason.contains(".gitignore"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_workspace_is_set_up_ahead_and_again_if_its_files_changed() {
    let repo = Repo::new();
    let base = repo.head("main");
    let count = repo.dir.path().join("count");
    let runs = || fs::read_to_string(&count).unwrap_or_default().len();
    let command = format!("mkdir -p target; cp a.txt target; printf x >>{}", count.display());
    let workspaces = setting_up(&repo, &command);
    workspaces.prepare(base, 1).await;
    workspaces.prepare(base, 1).await;
    assert_eq!(runs(), 1);
    repo.write("a.txt", "new\n");
    let second = repo.commit("second");
    workspaces.prepare(second, 1).await;
    assert_eq!(runs(), 2);
    workspaces.prepare(second, 0).await;
    let made = workspaces.create(&spec("a", 1, Start::Fresh { base: second })).await.unwrap();
    assert_eq!((runs(), fs::read_to_string(made.path.join("target/a.txt")).unwrap()), (2, "new\n".to_owned()));
    // Another command: what was set up otherwise is not handed out.
    workspaces.prepare(second, 1).await;
    workspaces.prepare(second, 0).await;
    let other = setting_up(&repo, "mkdir -p target; touch target/other");
    let made = other.create(&spec("b", 1, Start::Fresh { base: second })).await.unwrap();
    assert!(made.path.join("target/other").exists() && !made.path.join("target/a.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tear_down_runs_before_a_workspace_goes_and_may_fail() {
    let repo = Repo::new();
    let base = repo.head("main");
    let log = repo.dir.path().join("log");
    let command = format!("cat target/port >>{}; exit 1", log.display());
    let workspaces = with(&repo, |options| options.teardown = Some(command));
    let made = workspaces.create(&spec("a", 1, Start::Fresh { base })).await.unwrap();
    write(&made.path, "target/port", "4711\n");
    workspaces.remove(task("a")).await.unwrap();
    assert!(!made.path.exists());
    assert_eq!(fs::read_to_string(log).unwrap(), "4711\n");
    workspaces.remove(task("a")).await.unwrap();
}
