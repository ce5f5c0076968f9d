//! Folders without git: Enki keeps their versions, and what a person writes there is never lost or mixed.

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::id::EffectId;
use enki_core::refinery::{Build, Candidate, Change, Publish, Refinery};
use enki_vcs_git::{GitError, GitProject, Head};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// A folder with `a.txt` and `src/lib.rs`, made a project.
fn folder() -> Repo {
    let repo = Repo::bare_folder("f");
    repo.write("a.txt", "one\ntwo\nthree\n");
    repo.write("src/lib.rs", "// lib\n");
    make(&repo);
    repo
}

fn make(repo: &Repo) -> GitProject {
    let project = GitProject::open_or_make(&repo.root, repo.options()).unwrap();
    project.record_folder().unwrap().unwrap();
    project
}

/// Git as Enki keeps it.
fn own(repo: &Repo, args: &[&str]) -> String {
    repo.git_in(&repo.root, &[&["--git-dir=.enki/project.git"], args].concat())
}

fn tip(repo: &Repo) -> CommitId {
    own(repo, &["rev-parse", "main"]).parse().unwrap()
}

/// The files of the folder, without Enki's.
fn names(root: &Path) -> Vec<String> {
    fn walk(dir: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                if name != ".enki" {
                    walk(&entry.path(), &format!("{name}/"), found);
                }
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(root, "", &mut found);
    found.sort();
    found
}

/// A change of a step, made on what the folder has.
async fn ready(repo: &Repo, edits: &[(&str, &str)]) -> (CommitId, Candidate, Change) {
    let base = repo.refinery().open(&main(), &integration()).await.unwrap();
    let change = repo.change("a", base, edits).await;
    repo.refinery().import(&change).await.unwrap();
    (base, repo.candidate(base, std::slice::from_ref(&change)).await, change)
}

async fn publish(repo: &Repo, expected: CommitId, candidate: &Candidate) -> Publish {
    repo.refinery().publish(&main(), expected, candidate).await.unwrap()
}

#[test]
fn a_folder_becomes_a_project_and_nothing_else_is_left_in_it() {
    let repo = Repo::bare_folder("f");
    repo.write("a.txt", "a\n");
    let error = repo.try_open().unwrap_err();
    assert!(matches!(error, GitError::NotARepository { .. }) && error.to_string().contains("enki init"), "{error}");
    let project = GitProject::open_or_make(&repo.root, repo.options()).unwrap();
    assert!(project.is_folder());
    let recorded = project.record_folder().unwrap().unwrap();
    assert!(recorded.new && recorded.left_alone.is_empty(), "{recorded:?}");
    assert_eq!(
        own(&repo, &["log", "--format=%an: %s", "main", "-1"]).split(" at ").next(),
        Some("Enki: state of the folder")
    );
    assert_eq!(own(&repo, &["ls-tree", "-r", "--name-only", "main"]), "a.txt");
    assert_eq!(fs::read_dir(&repo.root).unwrap().count(), 2);
    assert_eq!(fs::metadata(repo.root.join(".enki/project.git")).unwrap().mode() & 0o77, 0);
    // The same again changes nothing, from anywhere in it.
    fs::create_dir(repo.root.join("sub")).unwrap();
    let again = GitProject::open_or_make(&repo.root.join("sub"), repo.options()).unwrap();
    assert_eq!(again.root(), repo.root);
    assert!(!again.record_folder().unwrap().unwrap().new);
    assert_eq!(again.head(), &Head::Branch(main(), recorded.commit));
    assert_eq!(again.resolve_branch("main").unwrap().1, recorded.commit);
    assert!(matches!(again.resolve_branch("origin:main"), Err(GitError::NoSuchRemoteBranch { .. })));
    own(&repo, &["fsck", "--strict"]);
}

#[test]
fn a_folder_that_is_everything_is_refused() {
    let repo = Repo::bare_folder("f");
    let home = repo.dir.path().join("home");
    for path in [&home, repo.dir.path()] {
        // Where the machine has a repository, that is what is found.
        if let Err(error) = GitProject::open_or_make(path, repo.options()) {
            assert!(matches!(error, GitError::TooBroad { .. }), "{error}");
            assert!(!path.join(".enki").exists());
        }
    }
    assert!(GitProject::open_or_make(&home, repo.options()).is_err());
    fs::create_dir(home.join("project")).unwrap();
    GitProject::open_or_make(&home.join("project"), repo.options()).unwrap();
}

/// The nearest one counts; at the same place, the repository.
#[test]
fn repositories_and_folders_in_one_another_are_told_apart() {
    let repo = Repo::new();
    repo.write("inner/x.txt", "x\n");
    let in_repo = GitProject::open_or_make(&repo.root.join("inner"), repo.options()).unwrap();
    assert!(!in_repo.is_folder() && in_repo.root() == repo.root && in_repo.record_folder().unwrap().is_none());

    let outer = folder();
    let nested = outer.root.join("nested");
    fs::create_dir(&nested).unwrap();
    outer.git_in(&nested, &["init", "-q"]);
    outer.git_in(&nested, &["commit", "-q", "--allow-empty", "-m", "x"]);
    assert_eq!(GitProject::open(&nested, outer.options()).unwrap().root(), nested);
    let recorded = outer.project().record_folder().unwrap().unwrap();
    assert_eq!(recorded.left_alone, ["nested is a git repository of its own"]);

    // The folder around it becomes a repository later, and then the folder itself.
    let parent = outer.root.parent().unwrap();
    outer.git_in(parent, &["init", "-q"]);
    outer.git_in(parent, &["commit", "-q", "--allow-empty", "-m", "x"]);
    assert!(outer.project().is_folder());
    outer.git_in(&outer.root, &["init", "-q"]);
    outer.git_in(&outer.root, &["commit", "-q", "--allow-empty", "-m", "x"]);
    let project = outer.project();
    assert!(!project.is_folder());
    assert!(project.facts().warnings.iter().any(|w| w.contains(".enki/project.git")), "{:?}", project.facts());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_lands_in_the_folder() {
    let repo = folder();
    fs::set_permissions(repo.root.join("a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let untouched = fs::metadata(repo.root.join("src/lib.rs")).unwrap();
    let edits = [("a.txt", "changed\n"), ("new/deep/b.txt", "b\n")];
    let (base, candidate, _) = ready(&repo, &edits).await;
    assert_eq!(publish(&repo, base, &candidate).await, Publish::Published);
    assert_eq!(names(&repo.root), ["a.txt", "new/deep/b.txt", "src/lib.rs"]);
    assert_eq!((repo.read("a.txt"), repo.read("new/deep/b.txt")), ("changed\n".to_owned(), "b\n".to_owned()));
    assert_eq!(fs::metadata(repo.root.join("a.txt")).unwrap().mode() & 0o777, 0o600);
    let same = fs::metadata(repo.root.join("src/lib.rs")).unwrap();
    assert_eq!((same.ino(), same.ctime_nsec()), (untouched.ino(), untouched.ctime_nsec()));
    assert_eq!(tip(&repo), candidate.commit);
    // The folder is what the branch says, so there is nothing to record, and again is the same.
    assert!(!repo.project().record_folder().unwrap().unwrap().new);
    assert_eq!(publish(&repo, base, &candidate).await, Publish::Published);
    assert!(!repo.root.join(".enki/project.git/landing").exists());
}

/// What a tree can bring: removals, a file that becomes a folder, a folder that becomes a file, links, rights.
#[tokio::test(flavor = "multi_thread")]
async fn files_folders_links_and_rights_change_places() {
    let repo = Repo::bare_folder("f");
    for (path, content) in
        [("file", "f\n"), ("dir/one", "1\n"), ("dir/two/x", "2\n"), ("gone/x", "x\n"), ("run.sh", "#!\n")]
    {
        repo.write(path, content);
    }
    make(&repo);
    let base = repo.refinery().open(&main(), &integration()).await.unwrap();
    let (workspaces, spec) = (repo.workspaces(), spec("a", 1, enki_core::workspace::Start::Fresh { base }));
    use enki_core::workspace::{Expect, WorkspaceProvider};
    let made = workspaces.create(&spec).await.unwrap();
    fs::remove_file(made.path.join("file")).unwrap();
    write(&made.path, "file/below", "b\n");
    fs::remove_dir_all(made.path.join("dir")).unwrap();
    write(&made.path, "dir", "now a file\n");
    fs::remove_dir_all(made.path.join("gone")).unwrap();
    fs::set_permissions(made.path.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run.sh", made.path.join("link")).unwrap();
    let change = step_change("a", 1, committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap()));
    repo.refinery().import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;

    // First with something in the way at the very end: all of it is undone.
    let before = names(&repo.root);
    symlink("/nowhere", repo.root.join("link")).unwrap();
    let blocked = publish(&repo, base, &candidate).await;
    // It is recorded as the person's, so the target has moved.
    assert!(matches!(blocked, Publish::Moved { now: Some(_) }), "{blocked:?}");
    fs::remove_file(repo.root.join("link")).unwrap();
    assert_eq!(names(&repo.root), before);
    let now = repo.project().record_folder().unwrap().unwrap().commit;
    let Build::Candidate { candidate, .. } = rebuilt(&repo, now).await else { panic!() };

    assert_eq!(publish(&repo, now, &candidate).await, Publish::Published);
    assert_eq!(names(&repo.root), ["dir", "file/below", "link", "run.sh"]);
    assert_eq!(fs::read_link(repo.root.join("link")).unwrap(), Path::new("run.sh"));
    assert_eq!(fs::metadata(repo.root.join("run.sh")).unwrap().mode() & 0o111, 0o111);
    assert!(!repo.project().record_folder().unwrap().unwrap().new);
}

/// The change of [`ready`] on another head.
async fn rebuilt(repo: &Repo, now: CommitId) -> Build {
    let commit = own(repo, &["for-each-ref", "--format=%(objectname)", "refs/enki/kept"])
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    repo.refinery().build(now, &[step_change("a", 1, commit)], EffectId::of("build", &[])).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_person_writes_meanwhile_is_neither_lost_nor_mixed() {
    let repo = folder();
    let (base, candidate, change) = ready(&repo, &[("a.txt", "ONE\ntwo\nthree\n")]).await;
    repo.write("a.txt", "one\ntwo\nTHREE\n");
    repo.write("mine.txt", "mine\n");
    let Publish::Moved { now: Some(now) } = publish(&repo, base, &candidate).await else { panic!() };
    assert_eq!(repo.read("a.txt"), "one\ntwo\nTHREE\n");
    assert_eq!(own(&repo, &["show", &format!("{now}:mine.txt")]), "mine");
    // Built on that, both are there.
    let candidate = repo.candidate(now, std::slice::from_ref(&change)).await;
    assert_eq!(publish(&repo, now, &candidate).await, Publish::Published);
    assert_eq!((repo.read("a.txt"), repo.read("mine.txt")), ("ONE\ntwo\nTHREE\n".to_owned(), "mine\n".to_owned()));
    // A real conflict is one like any other.
    let other = repo.change("b", now, &[("a.txt", "theirs\n")]).await;
    repo.refinery().import(&other).await.unwrap();
    repo.write("a.txt", "mine\n");
    let now = repo.project().record_folder().unwrap().unwrap().commit;
    let build = repo.refinery().build(now, &[other], EffectId::of("build", &[])).await.unwrap();
    assert!(matches!(build, Build::Conflict { .. }), "{build:?}");
    assert_eq!(repo.read("a.txt"), "mine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_enki_leaves_alone_is_said_once_and_never_touched() {
    let repo = Repo::bare_folder("f");
    repo.write(".gitignore", "build/\n*.log\n");
    repo.write("build/out.bin", "built\n");
    repo.write("b.log", "a log\n");
    repo.write("a.txt", "a\n");
    repo.write("big.bin", &"x".repeat(2000));
    let mut options = repo.options();
    options.max_file_bytes = 1000;
    let project = GitProject::open_or_make(&repo.root, options.clone()).unwrap();
    let said = project.record_folder().unwrap().unwrap().left_alone;
    assert_eq!(said, ["big.bin has 2000 bytes, more than the limit of 1000"]);
    repo.write("a.txt", "more\n");
    let next = project.record_folder().unwrap().unwrap();
    assert!(next.new && next.left_alone.is_empty(), "{next:?}");
    assert_eq!(own(&repo, &["ls-tree", "-r", "--name-only", "main"]), ".gitignore\na.txt");
    // A file that grows is not followed any further, and stays as it is.
    repo.write("a.txt", &"y".repeat(1500));
    assert_eq!(project.record_folder().unwrap().unwrap().left_alone.len(), 1);
    assert_eq!(own(&repo, &["ls-tree", "-r", "--name-only", "main"]), ".gitignore");

    let refinery = project.refinery();
    let base = refinery.open(&main(), &integration()).await.unwrap();
    let change = repo.change("a", base, &[("big.bin", "small\n"), ("c.txt", "c\n")]).await;
    refinery.import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    let blocked = refinery.publish(&main(), base, &candidate).await.unwrap();
    assert!(
        matches!(&blocked, Publish::Blocked { reason, .. } if reason.starts_with("big.bin is in the folder, ")),
        "{blocked:?}"
    );
    assert_eq!(names(&repo.root), [".gitignore", "a.txt", "b.log", "big.bin", "build/out.bin"]);
    assert_eq!(fs::metadata(repo.root.join("big.bin")).unwrap().len(), 2000);
    fs::rename(repo.root.join("big.bin"), repo.dir.path().join("big.bin")).unwrap();
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(names(&repo.root), [".gitignore", "a.txt", "b.log", "big.bin", "build/out.bin", "c.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nobody_may_read_is_left_alone() {
    let repo = folder();
    repo.write("secret", "s\n");
    fs::set_permissions(repo.root.join("secret"), fs::Permissions::from_mode(0o0)).unwrap();
    if fs::File::open(repo.root.join("secret")).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let recorded = repo.project().record_folder().unwrap().unwrap();
    assert!(recorded.left_alone[0].starts_with("secret cannot be read"), "{recorded:?}");
}

/// Ignored links and files on the way to what lands are not gone through.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_out_of_the_folder_is_not_gone_through() {
    let repo = Repo::bare_folder("f");
    repo.write(".gitignore", "data\n");
    repo.write("a.txt", "a\n");
    let outside = repo.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    make(&repo);
    let base = repo.refinery().open(&main(), &integration()).await.unwrap();
    // The folder's own rule is changed by the step, so that it can bring such a file.
    let edits = [(".gitignore", "\n"), ("a.txt", "changed\n"), ("data/x.txt", "x\n")];
    let change = repo.change("a", base, &edits).await;
    repo.refinery().import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    symlink(&outside, repo.root.join("data")).unwrap();
    let blocked = publish(&repo, base, &candidate).await;
    assert!(
        matches!(&blocked, Publish::Blocked { reason, .. } if reason.contains("data is not a folder")),
        "{blocked:?}"
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // What had moved before is back where it was.
    assert_eq!((repo.read("a.txt"), repo.read(".gitignore")), ("a\n".to_owned(), "data\n".to_owned()));
    assert!(!repo.project().record_folder().unwrap().unwrap().new);
}

/// Stopped by force between any two moves: with the branch not moved it is undone, else finished.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_landing_is_undone_or_finished() {
    let repo = folder();
    let edits = [("a.txt", "changed\n"), ("new/b.txt", "b\n"), ("src/lib.rs", "// other\n")];
    let (base, candidate, _) = ready(&repo, &edits).await;
    let git = which_git();
    let landing = repo.root.join(".enki/project.git/landing");
    // The git that moves the branch fails once all files are in place: what is on the disk then is what a kill leaves.
    let script = format!("case \"$*\" in *update-ref*refs/heads/main*) exit 1;; esac\nexec {} \"$@\"", git.display());
    let project = GitProject::open(&repo.root, with_git(&repo, &script)).unwrap();
    project.refinery().publish(&main(), base, &candidate).await.unwrap_err();
    assert!(landing.join("journal.json").exists());
    assert_eq!(names(&repo.root), ["a.txt", "new/b.txt", "src/lib.rs"]);

    // Undone, in any state of the moves: here with one file between its places.
    fs::rename(repo.root.join("a.txt"), landing.join("in/a.txt")).unwrap();
    let recorded = repo.project().record_folder().unwrap().unwrap();
    assert!(!recorded.new && recorded.commit == base, "{recorded:?}");
    assert_eq!(names(&repo.root), ["a.txt", "src/lib.rs"]);
    assert_eq!((repo.read("a.txt"), repo.read("src/lib.rs")), ("one\ntwo\nthree\n".to_owned(), "// lib\n".to_owned()));
    assert!(!landing.exists());
    assert_eq!(publish(&repo, base, &candidate).await, Publish::Published);

    // Finished, if the branch had moved.
    let repo = folder();
    let (base, candidate, _) = ready(&repo, &edits).await;
    let script = format!(
        "case \"$*\" in *update-ref*refs/heads/main*) {0} \"$@\"; exit 1;; esac\nexec {0} \"$@\"",
        git.display()
    );
    let project = GitProject::open(&repo.root, with_git(&repo, &script)).unwrap();
    project.refinery().publish(&main(), base, &candidate).await.unwrap_err();
    let landing = repo.root.join(".enki/project.git/landing");
    assert!(landing.join("journal.json").exists() && tip(&repo) == candidate.commit);
    let recorded = repo.project().record_folder().unwrap().unwrap();
    assert!(!recorded.new && recorded.commit == candidate.commit, "{recorded:?}");
    assert_eq!(names(&repo.root), ["a.txt", "new/b.txt", "src/lib.rs"]);
    assert_eq!((repo.read("a.txt"), repo.read("src/lib.rs")), ("changed\n".to_owned(), "// other\n".to_owned()));
    assert!(!landing.exists());
    assert_eq!(publish(&repo, base, &candidate).await, Publish::Published);
}

/// Its settings would say what git runs.
#[test]
fn a_git_directory_of_another_user_is_refused() {
    let repo = folder();
    let git_dir = repo.root.join(".enki/project.git");
    if std::os::unix::fs::chown(&git_dir, Some(4711), None).is_err() {
        println!("skipped: this user may not give files away");
        return;
    }
    let error = repo.try_open().unwrap_err();
    assert!(error.to_string().contains("is not a folder of this user"), "{error}");
}

/// An editor had the old file open, and wrote into it after the landing had moved it away; and the person has written
/// the new one already.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_written_after_it_was_moved_away_is_kept() {
    let repo = folder();
    let (base, candidate, _) = ready(&repo, &[("a.txt", "changed\n")]).await;
    let git = which_git();
    let script = format!("case \"$*\" in *update-ref*refs/heads/main*) exit 1;; esac\nexec {} \"$@\"", git.display());
    let project = GitProject::open(&repo.root, with_git(&repo, &script)).unwrap();
    let mut editor = fs::File::options().append(true).open(repo.root.join("a.txt")).unwrap();
    project.refinery().publish(&main(), base, &candidate).await.unwrap_err();
    std::io::Write::write_all(&mut editor, b"from the editor\n").unwrap();
    repo.write("a.txt", "mine\n");
    repo.project().record_folder().unwrap().unwrap();
    assert_eq!((repo.read("a.txt"), own(&repo, &["show", "main:a.txt"])), ("mine\n".to_owned(), "mine".to_owned()));
    let kept = repo.root.join(".enki/project.git/kept/1/out/0");
    assert_eq!(fs::read_to_string(kept).unwrap(), "one\ntwo\nthree\nfrom the editor\n");
}

/// The person's edit between the landing's look and its move of the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_in_the_last_moment_stays_and_the_rest_is_undone() {
    let repo = folder();
    let edits = [("a.txt", "changed\n"), ("new/b.txt", "b\n"), ("src/lib.rs", "// other\n")];
    let (base, candidate, _) = ready(&repo, &edits).await;
    let git = which_git();
    // The files were recorded before this call of git, and are moved after it.
    let script = format!(
        "case \"$*\" in *checkout-index*) echo mine >'{}';; esac\nexec {} \"$@\"",
        repo.root.join("src/lib.rs").display(),
        git.display()
    );
    let project = GitProject::open(&repo.root, with_git(&repo, &script)).unwrap();
    let moved = project.refinery().publish(&main(), base, &candidate).await.unwrap();
    assert!(matches!(moved, Publish::Moved { now: Some(_) }), "{moved:?}");
    assert_eq!(names(&repo.root), ["a.txt", "src/lib.rs"]);
    assert_eq!((repo.read("a.txt"), repo.read("src/lib.rs")), ("one\ntwo\nthree\n".to_owned(), "mine\n".to_owned()));
    assert_eq!(own(&repo, &["show", "main:src/lib.rs"]), "mine");
    assert_eq!(own(&repo, &["rev-parse", "main~"]), base.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_persons_git_settings_and_home_have_no_part_in_it() {
    let repo = folder();
    fs::write(
        repo.dir.path().join("home/.gitconfig"),
        "[core]\n\thooksPath = /nonexistent\n[commit]\n\tgpgSign = true\n",
    )
    .unwrap();
    repo.write(".gitattributes", "*.txt filter=evil\n");
    own(&repo, &["config", "user.name", "x"]);
    let (base, candidate, _) = ready(&repo, &[("a.txt", "changed\n")]).await;
    assert_eq!(publish(&repo, base, &candidate).await, Publish::Published);
}
