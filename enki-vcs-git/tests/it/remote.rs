//! Landing on a branch of a remote: the server compares and swaps, and nothing is ever forced.

use crate::support::*;
use enki_core::branch::Branch;
use enki_core::id::CommitId;
use enki_core::refinery::{Candidate, Publish, Refinery, RefineryError};
use enki_vcs_git::{GitError, GitProject};
use std::fs;
use std::path::PathBuf;

/// A bare repository, and a person's clone of it with `main` checked out.
struct Pair {
    repo: Repo,
    server: PathBuf,
}

impl Pair {
    fn new() -> Self {
        let repo = Repo::new();
        let server = repo.dir.path().canonicalize().unwrap().join("server.git");
        repo.git(&["init", "-q", "--bare", "-b", "main", &server.display().to_string()]);
        repo.git(&["remote", "add", "origin", &format!("file://{}", server.display())]);
        repo.git(&["push", "-q", "origin", "main"]);
        Self { repo, server }
    }

    fn at_server(&self) -> CommitId {
        self.repo.git_in(&self.server, &["rev-parse", "refs/heads/main"]).parse().unwrap()
    }

    /// Somebody else pushes a commit.
    fn move_on(&self, name: &str) -> CommitId {
        let other = self.repo.dir.path().join(format!("clone of {name}"));
        self.repo.git(&["clone", "-q", &self.server.display().to_string(), &other.display().to_string()]);
        write(&other, name, "by somebody else\n");
        self.repo.git_in(&other, &["add", "-A"]);
        self.repo.git_in(&other, &["commit", "-q", "-m", name]);
        self.repo.git_in(&other, &["push", "-q", "origin", "main"]);
        self.at_server()
    }

    /// A candidate on what the server has.
    async fn ready(&self) -> (CommitId, Candidate) {
        let base = self.repo.refinery().open(&there(), &integration()).await.unwrap();
        let change = self.repo.change("a", base, &[("b.txt", "b\n")]).await;
        self.repo.refinery().import(&change).await.unwrap();
        (base, self.repo.candidate(base, &[change]).await)
    }

    async fn publish(&self, expected: CommitId, candidate: &Candidate) -> Result<Publish, RefineryError> {
        self.repo.refinery().publish(&there(), expected, candidate).await
    }

    fn hook(&self, script: &str) {
        write_program(&self.server.join("hooks/pre-receive"), script);
    }
}

fn there() -> Branch {
    "origin:main".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_begins_at_the_head_of_the_remote_and_is_pushed_there() {
    let pair = Pair::new();
    let now = pair.move_on("theirs.txt");
    let local = pair.repo.head("main");
    let (base, candidate) = pair.ready().await;
    assert_eq!(base, now);
    // They fetch when they want to.
    assert_eq!(pair.repo.head("refs/remotes/origin/main"), local);
    assert_eq!(pair.publish(base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(pair.at_server(), candidate.commit);
    // Nothing of the person's moved but what their own push moves.
    assert_eq!((pair.repo.head("main"), pair.repo.status()), (local, String::new()));
    assert_eq!(pair.repo.head("refs/enki/remote/origin/main"), candidate.commit);
    assert_eq!(pair.repo.head(&format!("refs/enki/anchor/{}", candidate.commit)), candidate.commit);
    let state = pair.repo.refinery().inspect(&there(), Some(candidate.commit)).await.unwrap();
    assert!(state.head == Some(candidate.commit) && state.contains, "{state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_moved_in_between_keeps_what_it_has() {
    let pair = Pair::new();
    let (base, candidate) = pair.ready().await;
    let now = pair.move_on("theirs.txt");
    assert_eq!(pair.publish(base, &candidate).await.unwrap(), Publish::Moved { now: Some(now) });
    assert_eq!(pair.at_server(), now);
    // What came in is there to build on.
    let change = pair.repo.change("c", now, &[("c.txt", "c\n")]).await;
    pair.repo.refinery().import(&change).await.unwrap();
    let candidate = pair.repo.candidate(now, &[change]).await;
    assert_eq!(pair.publish(now, &candidate).await.unwrap(), Publish::Published);
    // A branch of the remote that was taken away is not made again.
    pair.repo.git_in(&pair.server, &["update-ref", "-d", "refs/heads/main"]);
    let change = pair.repo.change("d", candidate.commit, &[("d.txt", "d\n")]).await;
    pair.repo.refinery().import(&change).await.unwrap();
    let next = pair.repo.candidate(candidate.commit, &[change]).await;
    assert_eq!(pair.publish(candidate.commit, &next).await.unwrap(), Publish::Moved { now: None });
    assert_eq!(pair.repo.refinery().inspect(&there(), None).await.unwrap().head, None);
}

/// A push runs what the person's git is set up to run.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pushed_with_settings_that_changed_since_enki_was_started() {
    let pair = Pair::new();
    let (base, candidate) = pair.ready().await;
    let project = pair.repo.project();
    let workspaces = project.workspaces();
    let spec = spec("b", 1, enki_core::workspace::Start::Fresh { base });
    enki_core::workspace::WorkspaceProvider::create(&workspaces, &spec).await.unwrap();
    let canary = pair.repo.dir.path().join("canary");
    write_program(&pair.repo.root.join(".git/hooks/pre-push"), &format!("touch '{}'", canary.display()));
    let published = project.refinery().publish(&there(), base, &candidate).await.unwrap();
    let Publish::Blocked { reason, command } = published else { panic!("{published:?}") };
    assert!(
        reason.contains("hooks/pre-push was added") && command.starts_with("git push origin "),
        "{reason}, {command}"
    );
    assert!(pair.at_server() == base && !canary.exists());
}

/// Killed between the push and its answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_answer_was_lost_is_known_to_be_done() {
    let pair = Pair::new();
    let (base, candidate) = pair.ready().await;
    pair.repo.git(&["push", "-q", "origin", &format!("{}:refs/heads/main", integration_tip(&pair, &candidate))]);
    let state = pair.repo.refinery().inspect(&there(), Some(candidate.commit)).await.unwrap();
    assert!(state.contains, "{state:?}");
    assert_eq!(pair.publish(base, &candidate).await.unwrap(), Publish::Published);
    let now = pair.move_on("on top.txt");
    assert_eq!(pair.publish(base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(pair.at_server(), now);
    // It was there, and somebody took it back: that is told apart from never having been there.
    pair.repo.refinery().inspect(&there(), None).await.unwrap();
    pair.repo.git_in(&pair.server, &["update-ref", "refs/heads/main", &candidate.commit.to_string()]);
    pair.repo.refinery().inspect(&there(), None).await.unwrap();
    pair.repo.git_in(&pair.server, &["update-ref", "refs/heads/main", &base.to_string()]);
    let state = pair.repo.refinery().inspect(&there(), Some(candidate.commit)).await.unwrap();
    assert!(!state.contains && state.was_there, "{state:?}");
}

/// The candidate's commit in the person's repository, as the anchor of a publish that was killed leaves it.
fn integration_tip(pair: &Pair, candidate: &Candidate) -> CommitId {
    let refinery = pair.repo.root.join(".enki/refinery.git").display().to_string();
    pair.repo.git(&["fetch", "-q", &refinery, &candidate.commit.to_string()]);
    candidate.commit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_or_a_hook_that_declines_is_for_the_person_to_settle() {
    let pair = Pair::new();
    let (base, candidate) = pair.ready().await;
    pair.hook("echo 'not on Fridays' >&2; exit 1");
    let blocked = pair.publish(base, &candidate).await.unwrap();
    let command = format!("git push origin {}:refs/heads/main", candidate.commit);
    assert_eq!(
        blocked,
        Publish::Blocked {
            reason: "origin does not take the push: pre-receive hook declined: not on Fridays".to_owned(),
            command: command.clone()
        }
    );
    assert_eq!(pair.at_server(), base);
    pair.hook("exit 0");
    write_program(&pair.repo.root.join(".git/hooks/pre-push"), "echo 'run the tests first' >&2; exit 1");
    let blocked = pair.publish(base, &candidate).await.unwrap();
    assert!(
        matches!(&blocked, Publish::Blocked { reason, .. } if reason.contains("run the tests first")),
        "{blocked:?}"
    );
    fs::remove_file(pair.repo.root.join(".git/hooks/pre-push")).unwrap();
    // The command that was named finishes it.
    pair.repo.git(&command.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(pair.publish(base, &candidate).await.unwrap(), Publish::Published);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_vanishes_is_nobodys_fault_and_may_come_back() {
    let pair = Pair::new();
    let (base, candidate) = pair.ready().await;
    let away = pair.server.with_extension("away");
    fs::rename(&pair.server, &away).unwrap();
    let error = pair.publish(base, &candidate).await.unwrap_err();
    assert!(error.transient && error.reason.starts_with("push to origin failed: "), "{error}");
    let error = pair.repo.refinery().inspect(&there(), Some(candidate.commit)).await.unwrap_err();
    assert!(error.transient && error.reason.starts_with("fetch from origin failed: "), "{error}");
    fs::rename(&away, &pair.server).unwrap();
    assert_eq!(pair.publish(base, &candidate).await.unwrap(), Publish::Published);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_candidate_is_not_built_on_is_never_pushed_away() {
    let pair = Pair::new();
    let (_, candidate) = pair.ready().await;
    let now = pair.move_on("theirs.txt");
    pair.repo.refinery().inspect(&there(), None).await.unwrap();
    let error = pair.publish(now, &candidate).await.unwrap_err();
    assert!(error.reason.contains("is not built on"), "{error}");
    assert_eq!(pair.at_server(), now);
}

/// Bad input 6.
#[test]
fn a_remote_or_branch_that_is_not_there_comes_with_candidates() {
    let pair = Pair::new();
    pair.repo.git(&["push", "-q", "origin", "main:refs/heads/dev"]);
    let project = pair.repo.project();
    let candidates = |name: &str| match project.resolve_branch(name).unwrap_err() {
        GitError::NoSuchRemoteBranch { candidates, .. } => candidates.join("; "),
        other => panic!("{other}"),
    };
    assert_eq!(candidates("origin:nope"), "origin:dev; origin:main");
    assert_eq!(candidates("upstream:main"), "origin:main");
    // A folder of that name is not a remote.
    pair.repo.git(&["clone", "-q", "--bare", ".", "folder"]);
    assert_eq!(candidates("folder:main"), "origin:main");
    assert!(matches!(project.resolve_branch("git@host:main"), Err(GitError::NoSuchBranch { .. })));
    assert_eq!(project.resolve_branch("origin:dev").unwrap().1, pair.at_server());
    let alone = Repo::new();
    let error = alone.project().resolve_branch("origin:main").unwrap_err();
    assert!(error.to_string().contains("git remote add origin"), "{error}");
}

/// Their ssh is used, with their settings, and told that nobody is there to ask.
#[test]
fn the_persons_own_ssh_is_asked_without_prompts() {
    let pair = Pair::new();
    let ssh = pair.repo.dir.path().join("my ssh");
    let args = pair.repo.dir.path().join("args");
    write_program(
        &ssh,
        &format!("echo \"$@\" >>'{}'; echo 'Permission denied (publickey).' >&2; exit 255", args.display()),
    );
    pair.repo.git(&["remote", "add", "far", "ssh://git@example.invalid/x.git"]);
    pair.repo.git(&["config", "core.sshCommand", &format!("'{}' -i key", ssh.display())]);
    let error = pair.repo.project().resolve_branch("far:main").unwrap_err();
    assert!(matches!(&error, GitError::Remote { said, .. } if said.contains("Permission denied")), "{error}");
    let seen = fs::read_to_string(&args).unwrap();
    assert!(seen.contains("-i key -oBatchMode=yes") && seen.contains("git@example.invalid"), "{seen}");
    let mut options = pair.repo.options();
    options.env.push(("GIT_SSH_COMMAND".into(), format!("'{}' -i other", ssh.display()).into()));
    GitProject::open(&pair.repo.root, options).unwrap().resolve_branch("far:main").unwrap_err();
    assert!(fs::read_to_string(&args).unwrap().contains("-i other -oBatchMode=yes"));
}
