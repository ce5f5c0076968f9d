//! What this process built comes into the person's repository as files, and nothing is believed that is not there.

use crate::support::*;
use enki_core::id::{CommitId, EffectId};
use enki_core::refinery::{Build, Candidate, Publish, Refinery};
use enki_core::workspace::{Expect, Start, WorkspaceProvider};
use enki_vcs_git::{GitOptions, GitProject};
use std::fs;
use std::path::PathBuf;

fn away() -> Repo {
    away_from(Repo::new())
}

fn away_from(repo: Repo) -> Repo {
    repo.git(&["checkout", "-q", "-b", "elsewhere"]);
    repo
}

/// A change captured and built by that project, on a base that the change was not made on.
async fn built(repo: &Repo, project: &GitProject, step: &str) -> (CommitId, Candidate) {
    let workspaces = project.workspaces();
    let spec = spec(step, 1, Start::Fresh { base: repo.head("main") });
    let made = workspaces.create(&spec).await.unwrap();
    write(&made.path, &format!("deep/{step}/b.txt"), step);
    repo.git(&["checkout", "-q", "main"]);
    repo.write(&format!("deep/person-{step}.txt"), "meanwhile\n");
    let base = repo.commit("meanwhile");
    repo.git(&["checkout", "-q", "elsewhere"]);
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    let change = step_change(step, 1, commit);
    let refinery = project.refinery();
    refinery.import(&change).await.unwrap();
    match refinery.build(base, &[change], EffectId::of("b", &[])).await.unwrap() {
        Build::Candidate { candidate, .. } => (base, candidate),
        other => panic!("{other:?}"),
    }
}

fn assert_whole(repo: &Repo, candidate: Candidate, step: &str) {
    assert_eq!(repo.head("main"), candidate.commit);
    assert_eq!(repo.head(&format!("refs/enki/anchor/{}", candidate.commit)), candidate.commit);
    // Without the refinery: what is published stands by itself.
    fs::rename(repo.root.join(".enki/refinery.git"), repo.dir.path().join("gone.git")).unwrap();
    repo.git(&["fsck", "--strict"]);
    assert_eq!(repo.git(&["show", &format!("main:deep/{step}/b.txt")]), step);
}

/// Bad input 75, before and after the anchor. Where refs are not files: there git makes the anchor, and can be told
/// what to do first.
#[tokio::test(flavor = "multi_thread")]
async fn objects_that_vanish_around_the_anchor_are_brought_in_again() {
    if !makes("--ref-format=reftable") {
        return;
    }
    let git = which_git();
    let git = git.display();
    for (step, before, after) in [
        ("pruned-before", "prune --expire=now", "version"),
        ("tree-after", "version", "rev-parse"),
        ("packed-after", "version", "repack -a -d -q"),
    ] {
        let repo = away_from(Repo::with("p", &["--ref-format=reftable"]));
        let (seen, root) = (repo.dir.path().join("seen"), repo.root.display());
        // Takes one tree away, where it says so.
        let take = format!("t=$({git} rev-parse \"$c\":deep); rm -f \".git/objects/${{t%${{t#??}}}}/${{t#??}}\"");
        let script = format!(
            "case \"$*\" in *update-ref*refs/enki/anchor/*) test -e {seen} || {{ touch {seen}; \
             for c in \"$@\"; do case $c in refs/enki/anchor/*) c=${{c##*/}}; break;; esac; done; \
             (cd {root} && {git} {before}) >/dev/null; {git} \"$@\" || exit; \
             cd {root}; if [ {after_word} = rev-parse ]; then {take}; else {git} {after} >/dev/null; fi; exit 0; }};; esac\nexec {git} \"$@\"",
            seen = seen.display(),
            after_word = after.split(' ').next().unwrap(),
        );
        let project = GitProject::open(&repo.root, with_git(&repo, &script)).unwrap();
        let (base, candidate) = built(&repo, &project, step).await;
        assert_eq!(project.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published, "{step}");
        assert!(seen.exists());
        assert_whole(&repo, candidate, step);
    }
}

/// Bad input 75: cleaned up after each call. One that goes on *while* a call brings objects in is tried above, at the
/// moments that matter; one that began before a ref was made and removes after that was looked at, below.
#[tokio::test(flavor = "multi_thread")]
async fn a_gc_between_any_two_calls_takes_nothing_away_of_what_was_built_here() {
    let repo = away();
    let project = repo.project();
    let clean = || {
        repo.git(&["prune", "--expire=now"]);
        repo.git(&["repack", "-a", "-d", "-q"]);
    };
    let (refinery, workspaces) = (project.refinery(), project.workspaces());
    let base = repo.head("main");
    let mut head = base;
    for n in 0..4 {
        let spec = spec(&format!("s{n}"), 1, Start::Fresh { base });
        let made = workspaces.create(&spec).await.unwrap();
        clean();
        write(&made.path, &format!("deep/{n}/b.txt"), "b\n");
        let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
        clean();
        let change = step_change(&format!("s{n}"), 1, commit);
        refinery.import(&change).await.unwrap();
        clean();
        let built = refinery.build(head, std::slice::from_ref(&change), EffectId::of("b", &[])).await.unwrap();
        let Build::Candidate { candidate, .. } = built else { panic!("{built:?}") };
        clean();
        assert_eq!(refinery.publish(&main(), head, &candidate).await.unwrap(), Publish::Published);
        clean();
        head = candidate.commit;
    }
    repo.git(&["fsck", "--strict"]);
    assert_eq!(repo.git(&["ls-tree", "-r", "--name-only", "main", "deep"]).lines().count(), 4);
}

/// The objects of the commits after `base`, as files of the person's repository.
fn files_of(repo: &Repo, base: CommitId, commit: CommitId) -> Vec<PathBuf> {
    let new = repo.git(&["rev-list", "--objects", "--no-object-names", &commit.to_string(), &format!("^{base}")]);
    assert!(new.lines().count() >= 4, "commit, two trees, a file: {new}");
    new.lines().map(|id| repo.root.join(".git/objects").join(&id[..2]).join(&id[2..])).collect()
}

async fn landed(repo: &Repo, project: &GitProject, name: &str, head: CommitId) -> CommitId {
    let workspaces = project.workspaces();
    let spec = spec(name, 1, Start::Fresh { base: head });
    let made = workspaces.create(&spec).await.unwrap();
    write(&made.path, &format!("deep/{name}.txt"), name);
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    let (change, refinery) = (step_change(name, 1, commit), project.refinery());
    refinery.import(&change).await.unwrap();
    let built = refinery.build(head, std::slice::from_ref(&change), EffectId::of("b", &[])).await.unwrap();
    let Build::Candidate { candidate, .. } = built else { panic!("{built:?}") };
    assert_eq!(refinery.publish(&main(), head, &candidate).await.unwrap(), Publish::Published);
    assert!(files_of(repo, head, candidate.commit).iter().all(|file| file.exists()));
    candidate.commit
}

/// A `git prune --expire=now` that began before a commit was published takes it away when all of it was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_late_prune_takes_of_a_published_commit_is_brought_in_again() {
    let repo = away();
    let project = repo.project();
    let base = repo.head("main");
    let take = |from, to| files_of(&repo, from, to).iter().for_each(|file| fs::remove_file(file).unwrap());
    let first = landed(&repo, &project, "first", base).await;
    let second = landed(&repo, &project, "second", first).await;
    // In the commit that is built on too.
    take(base, second);
    assert!(!repo.try_git_in(&repo.root, &["fsck", "--strict"]).status.success(), "nothing was taken");
    let third = landed(&repo, &project, "third", second).await;
    repo.git(&["fsck", "--strict"]);
    // By the next process, when an execution begins.
    take(second, third);
    let next = repo.project();
    next.refinery().open(&main(), &integration()).await.unwrap();
    repo.git(&["fsck", "--strict"]);
    assert_eq!(next.look_again().unwrap(), 0, "all of it is there");
    // What was packed into another pack is there too.
    repo.git(&["repack", "-a", "-d", "-q"]);
    repo.git(&["prune-packed"]);
    assert_eq!(next.look_again().unwrap(), 0, "all of it is packed");
    // An hour later they go.
    let copies = repo.root.join(".enki/spare");
    let folders = || fs::read_dir(&copies).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(folders().len(), 6, "of each capture and each candidate");
    let earlier = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    folders().iter().for_each(|folder| fs::File::open(folder).unwrap().set_modified(earlier).unwrap());
    assert_eq!(next.look_again().unwrap(), 0);
    assert_eq!(folders(), Vec::<PathBuf>::new());
    repo.git(&["fsck", "--strict"]);
}

/// A `gc --prune=now` that began before a change was kept takes it away when that was done and looked at.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_late_gc_takes_of_a_change_is_brought_in_again() {
    let repo = away();
    let project = repo.project();
    let (refinery, workspaces) = (project.refinery(), project.workspaces());
    let base = repo.head("main");
    let spec = spec("late", 1, Start::Fresh { base });
    let made = workspaces.create(&spec).await.unwrap();
    write(&made.path, "deep/late.txt", "late\n");
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    let change = step_change("late", 1, commit);
    refinery.import(&change).await.unwrap();
    files_of(&repo, base, commit).iter().for_each(|file| fs::remove_file(file).unwrap());
    // As the queue does: what is lost of a candidate is said, and it is built again.
    let (mut published, mut tries) = (None, 0);
    while published.is_none() {
        let built = refinery.build(base, std::slice::from_ref(&change), EffectId::of("b", &[])).await.unwrap();
        let Build::Candidate { candidate, .. } = built else { panic!("{built:?}") };
        published = match refinery.publish(&main(), base, &candidate).await {
            Ok(published) => Some(published),
            Err(error) if error.lost && tries < 3 => None,
            Err(error) => panic!("{error}"),
        };
        tries += 1;
    }
    assert_eq!(published, Some(Publish::Published));
    repo.git(&["fsck", "--strict"]);
    assert_eq!(repo.git(&["show", "main:deep/late.txt"]), "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_built_goes_the_long_way_to_the_same_end() {
    let repo = away();
    let (base, candidate) = built(&repo, &repo.project(), "a").await;
    assert_eq!(repo.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_whole(&repo, candidate, "a");
}

/// A person may keep a repository that a group writes.
#[tokio::test(flavor = "multi_thread")]
async fn new_folders_of_objects_have_the_rights_of_the_others() {
    use std::os::unix::fs::PermissionsExt;
    let repo = away();
    let store = repo.root.join(".git/objects");
    fs::set_permissions(&store, fs::Permissions::from_mode(0o2775)).unwrap();
    let project = repo.project();
    let (base, candidate) = built(&repo, &project, "a").await;
    let folder = store.join(&candidate.commit.to_string()[..2]);
    let new = !folder.exists();
    project.refinery().publish(&main(), base, &candidate).await.unwrap();
    let mode = fs::metadata(&folder).unwrap().permissions().mode() & 0o7777;
    assert!(!new || mode == 0o2775, "{mode:o}");
}

/// Plain files decide only what `git worktree list` would say too.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_checked_out_in_any_way_is_seen() {
    type Arrange = fn(&Repo);
    let cases: [(&str, bool, Arrange); 6] = [
        ("nowhere", false, |_| {}),
        ("here", true, |repo| drop(repo.git(&["checkout", "-q", "main"]))),
        ("in a linked work tree", true, |repo| {
            let linked = repo.dir.path().canonicalize().unwrap().join("linked");
            repo.git(&["worktree", "add", "-q", &linked.display().to_string(), "main"]);
        }),
        ("detached at it", false, |repo| drop(repo.git(&["checkout", "-q", "--detach", "main"]))),
        ("behind another name", true, |repo| {
            repo.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
            repo.git(&["symbolic-ref", "HEAD", "refs/heads/alias"]);
        }),
        ("by a link, as old versions did", true, |repo| {
            fs::remove_file(repo.root.join(".git/HEAD")).unwrap();
            std::os::unix::fs::symlink("refs/heads/main", repo.root.join(".git/HEAD")).unwrap();
        }),
    ];
    for (name, checked_out, arrange) in cases {
        let repo = away();
        let project = repo.project();
        let (base, candidate) = built(&repo, &project, "a").await;
        repo.git(&["reset", "-q", "--hard", "main"]);
        arrange(&repo);
        let listed =
            repo.git(&["worktree", "list", "--porcelain"]).lines().any(|line| line == "branch refs/heads/main");
        assert_eq!(listed, checked_out, "{name}: git says otherwise");
        assert_eq!(project.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published, "{name}");
        let trees = repo.git(&["worktree", "list", "--porcelain"]);
        let tree = trees.lines().filter_map(|line| line.strip_prefix("worktree ")).next_back().unwrap();
        let written = std::path::Path::new(tree).join("deep/a/b.txt").exists();
        assert_eq!(written, checked_out, "{name}: the files of a checked-out branch move with it, and no others");
    }
}

/// Linking is not possible there.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_on_another_file_system_is_copied_to() {
    let Some(other) = other_file_system() else {
        println!("skipped: /dev/shm is not a file system of its own here");
        return;
    };
    let repo = away();
    // The objects of the person are elsewhere, by a link, as some keep them.
    let store = repo.root.join(".git/objects");
    let moved = other.path().join("objects");
    repo.git(&["repack", "-a", "-d", "-q"]);
    let status = fs::create_dir_all(&moved).and_then(|()| copy(&store, &moved));
    status.unwrap();
    fs::remove_dir_all(&store).unwrap();
    std::os::unix::fs::symlink(&moved, &store).unwrap();
    let project = GitProject::open(&repo.root, GitOptions::new(repo.env())).unwrap();
    let (base, candidate) = built(&repo, &project, "a").await;
    assert_eq!(project.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_whole(&repo, candidate, "a");
}

fn other_file_system() -> Option<tempfile::TempDir> {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir_in("/dev/shm").ok()?;
    let here = tempfile::tempdir().ok()?;
    (dir.path().metadata().ok()?.dev() != here.path().metadata().ok()?.dev()).then_some(dir)
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}
