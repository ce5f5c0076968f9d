//! Batches: built in one go where that is safe, and the same commits as one by one, always.

use crate::support::*;
use enki_core::id::{CommitId, EffectId};
use enki_core::refinery::{Build, Candidate, Change, Publish, Refinery};
use enki_core::workspace::{Expect, Start, WorkspaceProvider};
use enki_vcs_git::{GitProject, GitRefinery};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn id() -> EffectId {
    EffectId::of("build", &[])
}

/// A project whose captures and builds know of each other, as in one run of Enki.
struct Run {
    repo: Repo,
    project: GitProject,
    refinery: GitRefinery,
}

impl Run {
    fn new() -> Self {
        let repo = Repo::new();
        repo.write("d/inner.txt", "inner\n");
        repo.write("bin", "\0b");
        repo.commit("more files");
        repo.git(&["checkout", "-q", "-b", "elsewhere"]);
        let project = repo.project();
        let refinery = project.refinery();
        Self { repo, project, refinery }
    }

    /// A captured change on `base`.
    async fn change(&self, step: &str, base: CommitId, edit: impl FnOnce(&Path)) -> Change {
        let workspaces = self.project.workspaces();
        let spec = spec(step, 1, Start::Fresh { base });
        let made = workspaces.create(&spec).await.unwrap();
        edit(&made.path);
        let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
        step_change(step, 1, commit)
    }

    /// Builds with what this run knows, and as a run that knows nothing, in a refinery without objects. Both must be
    /// the same.
    async fn build(&self, base: CommitId, changes: &[Change]) -> Build {
        let short = self.refinery.build(base, changes, id()).await.unwrap();
        assert_eq!(self.refinery.build(base, changes, id()).await.unwrap(), short, "another answer the second time");
        let aside = self.repo.dir.path().join("refinery.git");
        fs::rename(self.repo.root.join(".enki/refinery.git"), &aside).unwrap();
        // One by one: each merge is asked of git, on what the one before gave.
        let (mut tip, mut commits, mut conflict) = (base, Vec::new(), None);
        for change in changes {
            match self.repo.refinery().build(tip, std::slice::from_ref(change), id()).await.unwrap() {
                Build::Candidate { candidate, .. } => {
                    tip = candidate.commit;
                    commits.push(Some(tip));
                }
                Build::Empty => commits.push(None),
                other @ Build::Conflict { .. } => {
                    conflict = Some(other);
                    break;
                }
            }
        }
        fs::remove_dir_all(self.repo.root.join(".enki/refinery.git")).unwrap();
        fs::rename(&aside, self.repo.root.join(".enki/refinery.git")).unwrap();
        match (&short, conflict) {
            (Build::Candidate { candidate, commits: made }, None) => {
                assert_eq!((candidate.commit, candidate.base, made), (tip, base, &commits));
            }
            (Build::Empty, None) => assert!(commits.iter().all(Option::is_none), "{commits:?}"),
            (Build::Conflict { .. }, Some(other)) => assert_eq!(short, other),
            other => panic!("{other:?}"),
        }
        short
    }

    async fn publish(&self, base: CommitId, built: &Build) -> Candidate {
        let Build::Candidate { candidate, .. } = built else { panic!("{built:?}") };
        assert_eq!(self.refinery.publish(&main(), base, candidate).await.unwrap(), Publish::Published);
        assert_eq!(self.repo.head("main"), candidate.commit);
        self.repo.git(&["fsck", "--strict"]);
        *candidate
    }
}

fn commits(built: &Build) -> usize {
    match built {
        Build::Candidate { commits, .. } => commits.iter().flatten().count(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_any_size_are_the_same_commits_as_one_by_one() {
    let run = Run::new();
    let base = run.repo.head("main");
    let mut changes = Vec::new();
    for n in 0..8 {
        let edit = move |p: &Path| match n {
            0 => write(p, "a.txt", "changed\n"),
            1 => write(p, "new/deep/\u{e4} \"quoted\"\n.txt", "new\n"),
            2 => fs::set_permissions(p.join("src/lib.rs"), fs::Permissions::from_mode(0o755)).unwrap(),
            3 => write(p, "bin", "\0\u{1}"),
            4 => std::os::unix::fs::symlink("a.txt", p.join("link")).unwrap(),
            5 => write(p, "new/other.txt", "x\n"),
            6 => {
                write(p, "d/inner.txt", "changed\n");
                write(p, "d/second.txt", "new\n");
            }
            _ => write(p, "z.txt", ""),
        };
        changes.push(run.change(&format!("s{n}"), base, edit).await);
    }
    for size in [1, 2, 8] {
        assert_eq!(commits(&run.build(base, &changes[..size]).await), size);
    }
    let built = run.build(base, &changes).await;
    let candidate = run.publish(base, &built).await;
    // The next batch is of changes that began before the target moved, and of one that did not.
    let old = run.change("old", base, |p| write(p, "e.txt", "e\n")).await;
    let new = run.change("new", candidate.commit, |p| write(p, "new/other.txt", "y\n")).await;
    let built = run.build(candidate.commit, &[old, new]).await;
    assert_eq!(commits(&built), 2);
    run.publish(candidate.commit, &built).await;
    assert_eq!(run.repo.git(&["show", "main:new/other.txt"]), "y");
    assert_eq!(run.repo.git(&["rev-list", "--count", &format!("{base}..main")]), "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_change_nothing_or_came_before_get_no_commit() {
    let run = Run::new();
    let base = run.repo.head("main");
    let one = run.change("one", base, |p| write(p, "1.txt", "1\n")).await;
    let two = run.change("two", base, |p| write(p, "2.txt", "2\n")).await;
    let again = Change { request: step_change("again", 1, one.commit).request, ..one.clone() };
    let alike = run.change("alike", base, |p| write(p, "2.txt", "2\n")).await;
    let built = run.build(base, &[one.clone(), again.clone(), two.clone(), alike.clone()]).await;
    assert_eq!(commits(&built), 2);
    let candidate = run.publish(base, &built).await;
    assert_eq!(run.build(candidate.commit, &[one, again, two, alike]).await, Build::Empty);
}

/// Bad input 63.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_in_conflict_is_named_whatever_the_conflict_is() {
    type Edit = Box<dyn Fn(&Path)>;
    let rename = |from: &'static str, to: &'static str| move |p: &Path| fs::rename(p.join(from), p.join(to)).unwrap();
    let cases: [(&str, Edit, Edit); 6] = [
        ("content", Box::new(|p| write(p, "a.txt", "x\n")), Box::new(|p| write(p, "a.txt", "y\n"))),
        ("binary", Box::new(|p| write(p, "bin", "\0x")), Box::new(|p| write(p, "bin", "\0y"))),
        ("rename", Box::new(rename("a.txt", "b.txt")), Box::new(rename("a.txt", "c.txt"))),
        ("deleted", Box::new(|p| fs::remove_file(p.join("a.txt")).unwrap()), Box::new(|p| write(p, "a.txt", "y\n"))),
        ("folder", Box::new(|p| write(p, "new", "file\n")), Box::new(|p| write(p, "new/inner", "folder\n"))),
        // A folder that is moved on one side takes new files of the other along, or asks.
        ("moved folder", Box::new(rename("d", "e")), Box::new(|p| write(p, "d/third.txt", "new\n"))),
    ];
    let run = Run::new();
    let base = run.repo.head("main");
    for (n, (name, ours, theirs)) in cases.iter().enumerate() {
        let first = run.change(&format!("f{n}"), base, |p| write(p, "plain.txt", "x\n")).await;
        let ours = run.change(&format!("o{n}"), base, ours).await;
        let theirs = run.change(&format!("t{n}"), base, theirs).await;
        let built = run.build(base, &[first.clone(), ours.clone(), theirs.clone()]).await;
        match built {
            Build::Conflict { request, .. } => assert_eq!(request, theirs.request, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        // The same with the first of the two on the target already.
        let tip = run.build(base, std::slice::from_ref(&ours)).await;
        let Build::Candidate { candidate, .. } = tip else { panic!("{name}: {tip:?}") };
        run.repo.git(&["branch", &format!("b{n}"), &base.to_string()]);
        let target = format!("b{n}").parse().unwrap();
        assert_eq!(run.refinery.publish(&target, base, &candidate).await.unwrap(), Publish::Published);
        let built = run.build(candidate.commit, &[first, theirs.clone()]).await;
        assert!(matches!(&built, Build::Conflict { request, .. } if *request == theirs.request), "{name}: {built:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_one_file_that_merge_are_merged() {
    let run = Run::new();
    run.repo.git(&["checkout", "-q", "main"]);
    run.repo.write("long.txt", &(0..40).map(|n| format!("{n}\n")).collect::<String>());
    let base = run.repo.commit("a long file");
    run.repo.git(&["checkout", "-q", "elsewhere"]);
    let line = |n: usize| {
        move |p: &Path| {
            let text = fs::read_to_string(p.join("long.txt")).unwrap();
            write(p, "long.txt", &text.replace(&format!("\n{n}\n"), &format!("\n{n} changed\n")));
        }
    };
    let changes = [run.change("one", base, line(3)).await, run.change("two", base, line(30)).await];
    let built = run.build(base, &changes).await;
    assert_eq!(commits(&built), 2);
    run.publish(base, &built).await;
    let text = run.repo.git(&["show", "main:long.txt"]);
    assert!(text.contains("3 changed") && text.contains("30 changed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_batch_stays_behind_in_the_refinery_but_what_was_not_published() {
    let run = Run::new();
    let base = run.repo.head("main");
    let one = run.change("one", base, |p| write(p, "1.txt", "1\n")).await;
    let two = run.change("two", base, |p| write(p, "2.txt", "2\n")).await;
    let built = run.build(base, &[one, two]).await;
    run.publish(base, &built).await;
    let refinery = run.repo.root.join(".enki/refinery.git");
    assert_eq!(run.repo.git_in(&refinery, &["for-each-ref"]), "");
    let count = run.repo.git_in(&refinery, &["count-objects", "-v"]);
    assert!(count.contains("count: 0\n") && count.contains("packs: 0\n"), "{count}");
    assert_eq!(fs::read_dir(run.repo.root.join(".enki/tmp")).unwrap().count(), 0);
}
