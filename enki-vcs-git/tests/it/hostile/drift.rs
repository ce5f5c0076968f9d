//! What changes in the person's repository while an attempt runs: what fails it, what is told, and what is nobody's
//! business.

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::refinery::{Import, Publish, Refinery};
use enki_core::workspace::{Capture, Expect, Start, WorkspaceProvider};
use enki_vcs_git::{DriftRule, Policy};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// A repository with a second branch whose commit nothing else has, and a tag.
fn busy() -> Repo {
    let repo = Repo::new();
    repo.git(&["checkout", "-q", "-b", "other"]);
    repo.write("other.txt", "other\n");
    repo.commit("only here");
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["branch", "merged"]);
    repo.git(&["tag", "v1"]);
    repo
}

/// What a capture says after `meanwhile` was done to the repository: the answer without its notices, and them.
async fn beside(repo: &Repo, meanwhile: impl FnOnce(&Repo, &Path)) -> (Capture, Vec<String>) {
    let (workspaces, spec, made) = fresh(repo, "a").await;
    write(&made.path, "new.txt", "new\n");
    meanwhile(repo, &made.path);
    workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap().apart()
}

fn tampered(capture: Capture) -> (Vec<String>, Option<CommitId>) {
    match capture {
        Capture::Tampered { what, work } => (what, work.map(|(commit, _)| commit)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_repository_that_change_fail_the_attempt_and_its_work_is_kept() {
    type Hurt = fn(&Repo);
    let cases: [(&str, Hurt, &[&str]); 11] = [
        ("key", |repo| drop(repo.git(&["config", "core.fsmonitor", "/evil"])), &["config: core.fsmonitor was added"]),
        ("include", |repo| drop(repo.git(&["config", "include.path", "more"])), &["config: include.path was added"]),
        (
            "remote",
            |repo| drop(repo.git(&["remote", "add", "x", "/x"])),
            &["config: remote.x.fetch was added", "config: remote.x.url was added"],
        ),
        ("broken", |repo| fs::write(repo.root.join(".git/config"), "[core\n").unwrap(), &[]),
        (
            "hook",
            |repo| write_program(&repo.root.join(".git/hooks/post-merge"), "true"),
            &["hooks/post-merge was added"],
        ),
        (
            "mode",
            |repo| {
                let sample = repo.root.join(".git/hooks/mine");
                fs::set_permissions(sample, fs::Permissions::from_mode(0o755)).unwrap();
            },
            &["hooks/mine was changed"],
        ),
        ("attributes", |repo| repo.write(".git/info/attributes", "* filter=x\n"), &["info/attributes was added"]),
        ("exclude", |repo| repo.write(".git/info/exclude", "*\n"), &["info/exclude was changed"]),
        ("borrow", |repo| repo.write(".git/objects/info/alternates", "/x\n"), &["objects/info/alternates was added"]),
        ("grafts", |repo| repo.write(".git/info/grafts", ""), &["info/grafts was added"]),
        (
            "link",
            |repo| {
                fs::remove_dir_all(repo.root.join(".git/hooks")).unwrap();
                symlink(repo.dir.path(), repo.root.join(".git/hooks")).unwrap();
            },
            &["hooks was added", "hooks/mine was removed"],
        ),
    ];
    for (name, hurt, expected) in cases {
        let repo = Repo::new();
        fs::remove_dir_all(repo.root.join(".git/hooks")).unwrap();
        repo.write(".git/hooks/mine", "exit 0\n");
        let (capture, notices) = beside(&repo, |repo, _| hurt(repo)).await;
        let (what, work) = tampered(capture);
        if name == "broken" {
            assert_eq!(what[0], "config cannot be read by git any more");
            assert!(what[1].contains("is in its workspace only"), "{what:?}");
            continue;
        }
        assert_eq!(what, expected, "{name}");
        assert_eq!(notices, [""; 0], "{name}");
        assert!(repo.is_kept(work.unwrap()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_commit_switch_stage_and_fetch_meanwhile_and_is_told_of_it() {
    let repo = busy();
    let (before, merged) = (repo.head("main"), repo.head("merged"));
    let (capture, notices) = beside(&repo, |repo, _| {
        repo.write("mine.txt", "mine\n");
        repo.commit("the person's own");
        repo.git(&["branch", "-D", "merged"]);
        repo.git(&["config", "branch.main.remote", "origin"]);
        repo.git(&["checkout", "-q", "-b", "more"]);
    })
    .await;
    committed(capture);
    let now = repo.head("main");
    let staged = notices.last().unwrap();
    assert!(staged.starts_with("what is staged changed, from "), "{staged}");
    assert_eq!(
        notices[..notices.len() - 1],
        [
            "config: branch.main.remote was added".to_owned(),
            format!("refs/heads/main moved from {before} to {now}"),
            format!("refs/heads/merged was removed; it was at {merged}"),
            format!("refs/heads/more was added at {now}"),
            "HEAD was refs/heads/main and is refs/heads/more".to_owned(),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_project_fails_the_attempt_for_any_move() {
    let repo = Repo::new();
    let project = repo.project();
    let mut policy = Policy::default();
    policy.drift = DriftRule::Fail;
    project.set_policy(policy);
    let workspaces = project.workspaces();
    let spec = spec("a", 1, Start::Fresh { base: repo.head("main") });
    workspaces.create(&spec).await.unwrap();
    repo.git(&["tag", "v2"]);
    let captured = workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap();
    assert_eq!(tampered(captured).0, [format!("refs/tags/v2 was added at {}", repo.head("main"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_move_is_is_not_told() {
    let repo = busy();
    let (capture, notices) = beside(&repo, |repo, _| {
        // Writes the index anew, with other stat data.
        let file = fs::File::options().append(true).open(repo.root.join("a.txt")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        repo.git(&["status"]);
        repo.git(&["pack-refs", "--all"]);
        repo.git(&["gc", "-q", "--prune=now"]);
        repo.write("a.txt", "the person edits\n");
        repo.write(".git/info/exclude", "");
    })
    .await;
    let _ = capture;
    // The sample that git writes into `info/exclude` went; Enki's own line does not count.
    assert_eq!(notices, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_was_removed_with_the_only_copy_of_its_commits_fails_the_attempt() {
    let repo = busy();
    let old = repo.head("other");
    let (capture, _) = beside(&repo, |repo, _| drop(repo.git(&["branch", "-D", "other"]))).await;
    let what = format!("refs/heads/other was removed; it was at {old}, and no other branch or tag has its commits");
    assert_eq!(tampered(capture).0, [what]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_made_fails_it_wherever_it_turns_up_in_the_persons_repository() {
    let repo = busy();
    let old = repo.head("main");
    let (capture, _) = beside(&repo, |repo, work| {
        repo.git_in(work, &["add", "-A"]);
        repo.git_in(work, &["commit", "-q", "-m", "mine"]);
        repo.git_in(work, &["push", "-q", &repo.root.display().to_string(), "+HEAD:refs/heads/merged"]);
    })
    .await;
    let (now, work) = (repo.head("merged"), tampered(capture.clone()).1.unwrap());
    let moved = format!("refs/heads/merged moved from {old} to {now}, a commit that the agent made in its workspace");
    assert_eq!(tampered(capture).0, [moved]);
    assert!(repo.is_kept(work));

    let repo = busy();
    let (capture, _) = beside(&repo, |repo, _| {
        repo.write("new.txt", "new\n");
        repo.commit("the same files, committed where they do not belong");
    })
    .await;
    assert!(tampered(capture).0[0].ends_with("which has just the files of the agent's workspace"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_enki_moves_itself_is_no_drift() {
    let repo = Repo::new();
    let project = repo.project();
    let (workspaces, refinery) = (project.workspaces(), project.refinery());
    let base = refinery.open(&main(), &integration()).await.unwrap();
    let (first, other) = (spec("a", 1, Start::Fresh { base }), spec("b", 1, Start::Fresh { base }));
    let made = workspaces.create(&first).await.unwrap();
    workspaces.create(&other).await.unwrap();
    write(&made.path, "new.txt", "new\n");
    let commit = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    let change = step_change("a", 1, commit);
    assert_eq!(refinery.import(&change).await.unwrap(), Import::Imported);
    let candidate = repo.candidate(base, &[change]).await;
    for target in [integration(), main()] {
        assert_eq!(refinery.publish(&target, base, &candidate).await.unwrap(), Publish::Published);
    }
    assert_eq!(workspaces.capture(&capture(&other, Expect::Change)).await.unwrap(), Capture::NoChange);
    // Also for an orchestrator that was not there when it happened.
    let later = repo.workspaces().capture(&capture(&other, Expect::Change)).await.unwrap();
    assert_eq!(later, Capture::NoChange);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_orchestrator_sees_what_changed_since_the_attempt_began() {
    let repo = Repo::new();
    let (_, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "new\n");
    write_program(&repo.root.join(".git/hooks/post-merge"), "true");
    let captured = repo.workspaces().capture(&capture(&spec, Expect::Change)).await.unwrap();
    assert_eq!(tampered(captured).0, ["hooks/post-merge was added"]);
    // The next attempt begins with what is there, as the person was told.
    let next = crate::support::spec("a", 2, spec.start);
    let workspaces = repo.workspaces();
    workspaces.create(&next).await.unwrap();
    assert_eq!(workspaces.capture(&capture(&next, Expect::Change)).await.unwrap(), Capture::NoChange);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_persons_git_is_not_run_with_settings_that_changed_since_the_start() {
    let repo = Repo::new();
    let project = repo.project();
    let (workspaces, refinery) = (project.workspaces(), project.refinery());
    let canary = repo.dir.path().join("canary");
    let base = repo.head("main");
    let spec = spec("a", 1, Start::Fresh { base });
    let made = workspaces.create(&spec).await.unwrap();
    write(&made.path, "new.txt", "new\n");
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    // After its capture, so that only the landing can see it.
    write_program(&repo.root.join(".git/hooks/post-merge"), &format!("touch {}", canary.display()));
    let change = step_change("a", 1, commit);
    refinery.import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    let blocked = refinery.publish(&main(), base, &candidate).await.unwrap();
    let Publish::Blocked { reason, command } = blocked else { panic!("{blocked:?}") };
    assert!(reason.contains("hooks/post-merge was added"), "{reason}");
    assert_eq!(command, format!("git merge --ff-only {}", candidate.commit));
    assert!(!canary.exists());
    // Who starts Enki anew has looked.
    assert_eq!(repo.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert!(canary.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn enkis_own_note_of_an_attempt_is_not_the_agents_to_change() {
    for name in ["enki-watch.json", "enki-state.json"] {
        let repo = Repo::new();
        let dir = repo.root.join(format!(".enki/capture/{}.git", task("a")));
        let older = repo.head("main");
        repo.write("b.txt", "b\n");
        let base = repo.commit("second");
        let (capture, _) = beside(&repo, |_, _| {
            let text = fs::read_to_string(dir.join(name)).unwrap();
            fs::write(dir.join(name), text.replace(&base.to_string(), &older.to_string())).unwrap();
        })
        .await;
        let what = tampered(capture).0;
        assert!(what[0].contains("Enki's own note"), "{name}: {what:?}");
    }
}
