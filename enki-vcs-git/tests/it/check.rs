//! The check runs on exactly the candidate's files, and says what it knows.

use crate::support::*;
use enki_core::id::EffectId;
use enki_core::refinery::{Candidate, Check, Gate, Refinery};
use enki_vcs_git::{GitProject, GitRefinery};
use std::time::Duration;

async fn candidate(repo: &Repo, step: &str, edits: &[(&str, &str)]) -> Candidate {
    let change = repo.change(step, repo.head("main"), edits).await;
    repo.candidate(repo.head("main"), &[change]).await
}

async fn check(refinery: &GitRefinery, candidate: &Candidate, command: &str) -> Check {
    check_for(refinery, candidate, command, 60).await
}

async fn check_for(refinery: &GitRefinery, candidate: &Candidate, command: &str, seconds: u64) -> Check {
    let gate = Gate::new(command, Duration::from_secs(seconds));
    refinery.check(candidate, &gate, EffectId::of("check", &[command.as_bytes()])).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_comes_with_the_last_lines_of_both_outputs() {
    let repo = Repo::new();
    let candidate = candidate(&repo, "a", &[("b.txt", "b\n")]).await;
    let said = check(&repo.refinery(), &candidate, "seq 1 100; echo wrong >&2; exit 3").await;
    let Check::Failed { log } = said else { panic!("{said:?}") };
    assert_eq!(log.lines().count(), 60);
    assert!(log.starts_with("42\n") && log.ends_with("100\nwrong"), "{log}");
    let failed = check(&repo.refinery(), &candidate, "no-such-program-anywhere").await;
    assert!(matches!(&failed, Check::Failed { log } if log.contains("not found")), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_takes_too_long_is_killed_with_all_its_children() {
    let repo = Repo::new();
    let candidate = candidate(&repo, "a", &[("b.txt", "b\n")]).await;
    let mark = repo.dir.path().join("mark");
    let command = format!("echo begun; setsid sh -c 'sleep 30; echo alive > {}' & sleep 30", mark.display());
    let said = check_for(&repo.refinery(), &candidate, &command, 1).await;
    assert_eq!(said, Check::TimedOut { log: "begun".to_owned() });
    assert_eq!(enki_process::marked(&[run_of(&repo, &command)]).unwrap(), [0u32; 0]);
    assert!(!mark.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_from_outside_is_not_the_changes_fault() {
    let repo = Repo::new();
    let candidate = candidate(&repo, "a", &[("b.txt", "b\n")]).await;
    for command in ["kill -KILL $$", "kill -TERM $$", "sh -c 'kill -KILL $$'; exit $?"] {
        let said = check(&repo.refinery(), &candidate, command).await;
        assert!(matches!(said, Check::Unknown { .. }), "{command}: {said:?}");
    }
    let said = check(&repo.refinery(), &candidate, "kill -SEGV $$").await;
    assert!(matches!(said, Check::Failed { .. }), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_sees_the_candidates_files_and_ignored_ones_survive() {
    let repo = Repo::new();
    let refinery = repo.refinery();
    let one = candidate(&repo, "one", &[("one.txt", "1\n"), ("a.txt", "changed\n")]).await;
    let two = candidate(&repo, "two", &[("two.txt", "2\n")]).await;
    let spoil = "test -f one.txt && mkdir -p target deep/er && echo cache >target/c && echo x >left.txt && rm src/lib.rs \
                 && echo y >a.txt && git init -q nested && echo z >deep/er/z && echo kept >$TMPDIR/t";
    assert_eq!(check(&refinery, &one, spoil).await, Check::Passed);
    let look = "ls -A; cat a.txt target/c; ls -A $TMPDIR; git log -1 --format=%H; test -z \"$(git status --porcelain)\"; exit 1";
    let Check::Failed { log } = check(&refinery, &two, look).await else { panic!() };
    let expected = format!(".git\n.gitignore\na.txt\nsrc\ntarget\ntwo.txt\none\ntwo\nthree\ncache\n{}", two.commit);
    assert_eq!(log, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_at_the_same_time_have_folders_of_their_own() {
    let repo = Repo::new();
    let one = candidate(&repo, "one", &[("one.txt", "1\n")]).await;
    let two = candidate(&repo, "two", &[("two.txt", "2\n")]).await;
    let refinery = repo.refinery();
    let pipe = repo.dir.path().join("pipe");
    // The first waits for the second, so neither ends if they share a folder.
    let first = format!("mkfifo {0} && cat {0} && test -f one.txt && test ! -e two.txt", pipe.display());
    let second = format!(
        "until test -p {0}; do sleep 0.01; done; echo >{0}; test -f two.txt && test ! -e one.txt",
        pipe.display()
    );
    let (a, b) = tokio::join!(check(&refinery, &one, &first), check(&refinery, &two, &second));
    assert_eq!((a, b), (Check::Passed, Check::Passed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_made_unusable_is_made_anew() {
    let repo = Repo::new();
    let refinery = repo.refinery();
    let one = candidate(&repo, "one", &[("one.txt", "1\n")]).await;
    assert_eq!(check(&refinery, &one, "true").await, Check::Passed);
    let folder = repo.root.join(".enki/checks/1");
    std::fs::write(folder.join("git/index"), "garbage").unwrap();
    std::fs::write(folder.join("git/index.lock"), "").unwrap();
    assert_eq!(check(&refinery, &one, "test -f one.txt").await, Check::Passed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_a_check_is_a_short_list() {
    let repo = Repo::new();
    let mut options = repo.options();
    for (name, value) in [("SECRET_TOKEN", "x"), ("GIT_DIR", "/x"), ("LANG", "C"), ("WANTED", "w")] {
        options.env.push((name.into(), value.into()));
    }
    options.check_env.push("WANTED".to_owned());
    let refinery = GitProject::open(&repo.root, options).unwrap().refinery();
    let candidate = candidate(&repo, "a", &[("b.txt", "b\n")]).await;
    let Check::Failed { log } = check(&refinery, &candidate, "env; exit 1").await else { panic!() };
    let mut names: Vec<&str> = log.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["ENKI_PROJECT", "ENKI_RUN", "GIT_CEILING_DIRECTORIES", "HOME", "LANG", "PATH", "PWD", "TMPDIR", "WANTED"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_not_the_commits_is_never_checked() {
    let repo = Repo::new();
    let mut one = candidate(&repo, "one", &[("one.txt", "1\n")]).await;
    one.tree = repo.git(&["rev-parse", "main^{tree}"]).parse().unwrap();
    let gate = Gate::new("true", Duration::from_secs(9));
    let error = repo.refinery().check(&one, &gate, EffectId::of("x", &[])).await.unwrap_err();
    assert!(!error.lost, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_a_clean_or_a_loss_of_power_took_is_said_to_be_lost_and_can_be_built_again() {
    let repo = Repo::new();
    let (gate, id) = (Gate::new("test -e b.txt", Duration::from_secs(60)), EffectId::of("x", &[]));
    let change = repo.change("a", repo.head("main"), &[("b.txt", "b\n")]).await;
    let first = repo.candidate(repo.head("main"), std::slice::from_ref(&change)).await;
    let refinery = repo.root.join(".enki/refinery.git");
    for empties in [false, true] {
        if empties {
            for folder in std::fs::read_dir(refinery.join("objects")).unwrap().flatten() {
                let objects = folder.path().read_dir().unwrap().flatten().map(|object| object.path());
                for object in objects.filter(|object| object.file_name().unwrap().len() == 38) {
                    std::fs::remove_file(&object).unwrap();
                    std::fs::write(object, "").unwrap();
                }
            }
        } else {
            std::fs::remove_dir_all(&refinery).unwrap();
        }
        let error = repo.refinery().check(&first, &gate, id).await.unwrap_err();
        assert!(error.lost, "empties {empties}: {error}");
        let again = repo.candidate(repo.head("main"), std::slice::from_ref(&change)).await;
        assert_eq!(again, first);
        assert_eq!(repo.refinery().check(&first, &gate, id).await.unwrap(), Check::Passed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_nobody_waits_for_any_more_is_dead_before_the_next_begins() {
    let repo = Repo::new();
    let one = candidate(&repo, "one", &[("one.txt", "1\n")]).await;
    let refinery = repo.refinery();
    let mark = repo.dir.path().join("mark");
    let command = format!("trap '' TERM; touch {}; while :; do echo x >again.txt; done", mark.display());
    let running = {
        let (refinery, command) = (refinery.clone(), command.clone());
        tokio::spawn(async move { check(&refinery, &one, &command).await })
    };
    while !mark.exists() {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let said = check(&refinery, &one, "test ! -e again.txt && ls && test ! -e again.txt").await;
    assert_eq!(said, Check::Passed);
    assert_eq!(enki_process::marked(&[run_of(&repo, &command)]).unwrap(), [0u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test plays the orchestrator that was killed")]
async fn what_a_killed_orchestrator_left_in_a_check_folder_is_killed() {
    let repo = Repo::new();
    let one = candidate(&repo, "one", &[("one.txt", "1\n")]).await;
    let folder = repo.root.join(".enki/checks/1");
    let tag = EffectId::of("check folder", &[folder.as_os_str().as_encoded_bytes()]).hex();
    let mut orphan = std::process::Command::new("sleep").arg("1000").env("ENKI_PROJECT", tag).spawn().unwrap();
    let pid = orphan.id();
    let (tell, dead) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(orphan.wait()).ok());
    assert_eq!(check(&repo.refinery(), &one, "true").await, Check::Passed);
    let status = dead.recv_timeout(Duration::from_secs(10));
    assert!(status.is_ok_and(|status| !status.unwrap().success()), "process {pid} lives on");
}

/// What every process of a check in the first folder carries.
fn run_of(repo: &Repo, command: &str) -> enki_process::Marker {
    let id = EffectId::of("check", &[command.as_bytes()]).hex();
    let folder = repo.root.join(".enki/checks/1");
    enki_process::Marker::run(EffectId::of("check run", &[id.as_bytes(), folder.as_os_str().as_encoded_bytes()]))
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_of_two_projects_under_one_id_leave_each_other_alone() {
    let (one, other) = (Repo::new(), Repo::new());
    let go_on = one.dir.path().join("go-on");
    let begun = one.dir.path().join("begun");
    // The same words, and so the same id, in both; only one of them has to wait.
    let command =
        format!("test -e b.txt || exit 0; touch {}; while ! test -e {}; do :; done", begun.display(), go_on.display());
    let waits = candidate(&one, "a", &[("b.txt", "b\n")]).await;
    let passes = candidate(&other, "a", &[("c.txt", "c\n")]).await;
    let running = {
        let (refinery, command) = (one.refinery(), command.clone());
        tokio::spawn(async move { check(&refinery, &waits, &command).await })
    };
    while !begun.exists() {
        tokio::task::yield_now().await;
    }
    assert!(!enki_process::marked(&[run_of(&one, &command)]).unwrap().is_empty(), "it is found by its mark");
    assert_eq!(check(&other.refinery(), &passes, &command).await, Check::Passed);
    std::fs::write(&go_on, "").unwrap();
    assert_eq!(running.await.unwrap(), Check::Passed);
}
