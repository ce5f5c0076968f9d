//! How many git processes each call starts. The figures are in the crate's documentation: change both.

use crate::support::*;
use enki_core::id::EffectId;
use enki_core::refinery::{Build, Publish, Refinery};
use enki_core::workspace::{Expect, Start, WorkspaceProvider};
use enki_vcs_git::{GitProject, WorkspaceMethod};
use std::fs;
use std::path::PathBuf;

struct Counter {
    log: PathBuf,
    seen: usize,
}

impl Counter {
    /// The calls since the last time, without one that git counts as more than one.
    fn since(&mut self) -> usize {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let calls = text.lines().count();
        let new = calls - self.seen;
        for line in text.lines().skip(self.seen) {
            println!("  {line}");
        }
        self.seen = calls;
        new
    }
}

/// The refinery of another process: it takes five to find the project.
fn another(repo: &Repo, script: &str) -> enki_vcs_git::GitRefinery {
    let options = with_git(repo, &format!("{script}\nexec {} \"$@\"", which_git().display()));
    GitProject::open(&repo.root, options).unwrap().refinery()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_starts_a_known_number_of_processes() {
    let repo = Repo::new();
    repo.git(&["checkout", "-q", "-b", "elsewhere"]);
    let log = repo.dir.path().join("calls");
    // The subcommand is the first argument that is neither an option nor the value of one.
    let script = format!("for a; do case $a in -*|*=*) ;; *) echo $a; break;; esac; done >>{}", log.display());
    let options = with_git(&repo, &format!("{script}\nexec {} \"$@\"", which_git().display()));
    let mut counter = Counter { log, seen: 0 };
    let mut counts = Vec::new();
    let mut note = |what: &'static str| counts.push((what, counter.since()));

    let project = GitProject::open(&repo.root, options).unwrap();
    note("find the project");
    let (workspaces, refinery) = (project.workspaces(), project.refinery());
    let base = refinery.open(&main(), &integration()).await.unwrap();
    note("open");
    let first = spec("a", 1, Start::Fresh { base });
    let made = workspaces.create(&first).await.unwrap();
    note("create, fresh");
    assert_eq!(
        workspaces.capture(&capture(&first, Expect::Nothing)).await.unwrap(),
        enki_core::workspace::Capture::NoChange
    );
    note("capture, nothing");
    write(&made.path, "b.txt", "b\n");
    let commit = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    note("capture, a change");
    workspaces.create(&spec("a", 2, Start::Continue { base, head: commit })).await.unwrap();
    note("create, continued");
    let change = step_change("a", 1, commit);
    refinery.import(&change).await.unwrap();
    note("import");
    let Build::Candidate { candidate, .. } = refinery.build(base, &[change], EffectId::of("b", &[])).await.unwrap()
    else {
        panic!("it builds")
    };
    note("build, the base is new to this process");
    let gate = enki_core::refinery::Gate::new("true", std::time::Duration::from_secs(9));
    refinery.check(&candidate, &gate, EffectId::of("c", &[])).await.unwrap();
    note("check, beside the command");
    assert_eq!(refinery.publish(&integration(), base, &candidate).await.unwrap(), Publish::Published);
    note("publish");
    refinery.inspect(&integration(), Some(candidate.commit)).await.unwrap();
    note("inspect");
    workspaces.remove(task("a")).await.unwrap();
    note("remove");
    workspaces.prepare(base, 1).await;
    // So that nothing is prepared behind our back while we count.
    workspaces.prepare(base, 0).await;
    note("prepare");
    workspaces.create(&spec("b", 1, Start::Fresh { base })).await.unwrap();
    note("create, from the pool");
    refinery.import(&landing(candidate.commit, 1)).await.unwrap();
    note("import of a landing");
    let built = refinery.build(base, &[landing(candidate.commit, 1)], EffectId::of("b", &[])).await.unwrap();
    note("build of a landing");
    assert!(matches!(built, Build::Candidate { candidate: same, .. } if same == candidate));
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    note("publish of a landing");
    let mut batch = Vec::new();
    for step in ["p", "q", "r"] {
        let spec = spec(step, 1, Start::Fresh { base });
        let made = workspaces.create(&spec).await.unwrap();
        write(&made.path, &format!("{step}/{step}.txt"), step);
        batch.push(step_change(step, 1, committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap())));
    }
    counter.since();
    let mut counts = std::mem::take(&mut counts);
    refinery.build(candidate.commit, &batch, EffectId::of("b", &[])).await.unwrap();
    counts.push(("build of a batch", counter.since()));
    refinery.build(candidate.commit, &batch[..1], EffectId::of("b", &[])).await.unwrap();
    counts.push(("build, the target moved meanwhile", counter.since()));
    let pairs: Vec<_> = batch.iter().map(|change| (candidate.commit, change.commit)).collect();
    refinery.predict(&pairs).await.unwrap();
    counts.push(("predict three pairs", counter.since()));
    let first = spec("s", 1, Start::Fresh { base });
    let made = workspaces.create(&first).await.unwrap();
    write(&made.path, "p/p.txt", "another");
    let other = step_change("s", 1, committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap()));
    counter.since();
    let both = [batch[0].clone(), other];
    let built = refinery.build(candidate.commit, &both, EffectId::of("b", &[])).await.unwrap();
    assert!(matches!(built, Build::Conflict { .. }));
    // One that is tried as a batch, two for the first member, one for the second, and two for its text.
    counts.push(("build of a conflict", counter.since()));
    // What another process captured is inspected and kept by its request.
    let other = another(&repo, &script);
    counter.since();
    other.import(&batch[0]).await.unwrap();
    counts.push(("import of another process's", counter.since()));
    other.build(candidate.commit, &batch[..1], EffectId::of("b", &[])).await.unwrap();
    counts.push(("build of another process's", counter.since()));
    let Build::Candidate { candidate: tip, .. } =
        refinery.build(candidate.commit, &batch[..1], EffectId::of("b", &[])).await.unwrap()
    else {
        panic!("it builds")
    };
    counter.since();
    assert_eq!(
        another(&repo, &script).publish(&integration(), candidate.commit, &tip).await.unwrap(),
        Publish::Published
    );
    counts.push(("publish of another process's", counter.since() - 5));
    repo.git(&["checkout", "-q", "main"]);
    // One looks for what another process anchored, one at what is staged, since it is not what it was before.
    assert_eq!(refinery.publish(&main(), candidate.commit, &tip).await.unwrap(), Publish::Published);
    counts.push(("publish of a landing, checked out", counter.since()));
    assert_eq!(
        counts,
        [
            ("find the project", 5),
            ("open", 3),
            ("create, fresh", 3),
            ("capture, nothing", 2),
            ("capture, a change", 7),
            ("create, continued", 2),
            ("import", 0),
            ("build, the base is new to this process", 1),
            ("check, beside the command", 3),
            ("publish", 1),
            ("inspect", 0),
            ("remove", 1),
            ("prepare", 3),
            ("create, from the pool", 0),
            ("import of a landing", 0),
            ("build of a landing", 0),
            ("publish of a landing", 1),
            ("build of a batch", 2),
            ("build, the target moved meanwhile", 1),
            ("predict three pairs", 1),
            ("build of a conflict", 6),
            ("import of another process's", 4),
            ("build of another process's", 3),
            ("publish of another process's", 4),
            ("publish of a landing, checked out", 4),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_starts_a_known_number_of_processes() {
    let repo = Repo::new();
    let log = repo.dir.path().join("calls");
    let script = format!("for a; do case $a in -*|*=*) ;; *) echo $a; break;; esac; done >>{}", log.display());
    let options = with_git(&repo, &format!("{script}\nexec {} \"$@\"", which_git().display()));
    let mut counter = Counter { log, seen: 0 };
    let project = GitProject::open(&repo.root, options).unwrap();
    let workspaces = project.with_options(|options| options.method = WorkspaceMethod::Overlay).workspaces();
    let base = repo.head("main");
    workspaces.prepare(base, 1).await;
    workspaces.prepare(base, 0).await;
    counter.since();
    let first = spec("a", 1, Start::Fresh { base });
    let made = workspaces.create(&first).await.unwrap();
    if mounts(&repo.root).is_empty() {
        println!("skipped: no overlay can be mounted here");
        return;
    }
    let mut counts = vec![counter.since()];
    workspaces.capture(&capture(&first, Expect::Nothing)).await.unwrap();
    counts.push(counter.since());
    write(&made.path, "a.txt", "mine\n");
    committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    counts.push(counter.since());
    workspaces.create(&spec("b", 1, Start::Fresh { base })).await.unwrap();
    counts.push(counter.since());
    // The first one asks also what the person has staged.
    assert_eq!(counts, [2, 2, 8, 1], "create, capture of nothing, capture of a change, create");
}
