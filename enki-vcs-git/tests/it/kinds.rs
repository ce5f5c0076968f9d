//! Kinds of repositories: each is worked on through a whole step, or refused by name (bad input 72).

use crate::support::*;
use enki_core::branch::Branch;
use enki_core::id::{CommitId, EffectId};
use enki_core::refinery::{Change, Check, Gate, Import, Publish, Refinery};
use enki_core::workspace::{Capture, Expect, Start, WorkspaceProvider};
use enki_vcs_git::{GitError, GitProject};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One step from its workspace to the target: made, captured, brought in, built, checked, published twice.
async fn step(repo: &Repo, target: &Branch, name: &str, edits: &[(&str, &str)]) -> CommitId {
    let refinery = repo.refinery();
    let base = refinery.open(target, &integration()).await.unwrap();
    let base = refinery.inspect(&integration(), None).await.unwrap().head.unwrap_or(base);
    let change = repo.change(name, base, edits).await;
    assert_eq!(refinery.import(&change).await.unwrap(), Import::Imported);
    let candidate = repo.candidate(base, &[change]).await;
    let files: Vec<&str> = edits.iter().map(|(path, _)| *path).collect();
    let gate = Gate::new(format!("cat {} && git status --porcelain", files.join(" ")), Duration::from_secs(60));
    let check = refinery.check(&candidate, &gate, EffectId::of("check", &[])).await.unwrap();
    assert_eq!(check, Check::Passed);
    let before = refinery.inspect(target, None).await.unwrap().head.unwrap();
    for branch in [&integration(), target] {
        let expected = if branch == target { before } else { base };
        assert_eq!(refinery.publish(branch, expected, &candidate).await.unwrap(), Publish::Published);
    }
    let state = refinery.inspect(&integration(), Some(base)).await.unwrap();
    assert!(state.contains, "{state:?}");
    candidate.commit
}

/// A step that lands on the checked-out `main`.
async fn lands(repo: &Repo) {
    let commit = step(repo, &main(), "a", &[("a.txt", "changed\n"), ("b.txt", "b\n")]).await;
    assert_eq!((repo.read("a.txt"), repo.read("b.txt")), ("changed\n".to_owned(), "b\n".to_owned()));
    assert_eq!((repo.head("main"), repo.status()), (commit, String::new()));
    repo.git(&["fsck", "--strict"]);
}

/// A clone of `origin` made with these flags.
fn clone(origin: &Repo, flags: &[&str]) -> Repo {
    let repo = Repo::bare_folder("p");
    let url = format!("file://{}", origin.root.display());
    repo.git(&[&["-c", "protocol.file.allow=always", "clone", "-q"], flags, &[&url, "."]].concat());
    repo
}

#[tokio::test(flavor = "multi_thread")]
async fn sha_256_works() {
    if makes("--object-format=sha256") {
        let repo = Repo::with("p", &["--object-format=sha256"]);
        assert_eq!(repo.project().facts().object_format, "sha256");
        lands(&repo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reftable_works() {
    if makes("--ref-format=reftable") {
        let repo = Repo::with("p", &["--ref-format=reftable"]);
        assert_eq!(repo.project().facts().ref_format, "reftable");
        lands(&repo).await;
    }
}

/// What a loss of power leaves of a table that git had not written to its end. Git says then that nothing is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_refs_without_its_end_is_named_and_the_way_out_holds() {
    for format in ["--object-format=sha1", "--object-format=sha256"] {
        if !makes("--ref-format=reftable") || !makes(format) {
            return;
        }
        let repo = Repo::with("p", &["--ref-format=reftable", format]);
        // So large that git does not join it with the next one.
        (0..24).for_each(|n| drop(repo.git(&["branch", &format!("branch-{n}")])));
        repo.git(&["pack-refs", "--all"]);
        let before = repo.git(&["for-each-ref"]);
        let lists = repo.root.join(".git/reftable/tables.list");
        repo.git(&["branch", "more"]);
        let last = fs::read_to_string(&lists).unwrap().lines().last().unwrap().to_owned();
        let table = lists.with_file_name(&last);
        let whole = fs::read(&table).unwrap();
        for length in [whole.len() - 68 - 4 * usize::from(format.ends_with("256")), whole.len() - 1, 3, 0] {
            fs::write(&table, &whole[..length]).unwrap();
            let error = GitProject::open(&repo.root, repo.options()).unwrap_err();
            assert!(matches!(&error, GitError::CutOff { file } if *file == table), "{length}: {error}");
        }
        // As the error says.
        let list_of_others: String = fs::read_to_string(&lists)
            .unwrap()
            .lines()
            .filter(|name| *name != last)
            .map(|name| format!("{name}\n"))
            .collect();
        fs::write(&lists, list_of_others).unwrap();
        assert_eq!(repo.git(&["for-each-ref"]), before);
        lands(&repo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone_works() {
    let origin = Repo::new();
    origin.write("a.txt", "2\n");
    origin.commit("second");
    let repo = clone(&origin, &["--depth=1"]);
    assert!(repo.project().facts().shallow);
    lands(&repo).await;
    assert_eq!(repo.git(&["rev-list", "--count", "main"]), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_work_tree_is_a_project_too() {
    let repo = Repo::new();
    repo.git(&["checkout", "-q", "-b", "elsewhere"]);
    let linked = Repo::bare_folder("linked");
    repo.git(&["worktree", "add", "-q", &linked.root.display().to_string(), "main"]);
    lands(&linked).await;
    assert_eq!(repo.status(), "");
}

/// Objects that are borrowed, from a store that borrows in turn, by relative path too.
#[tokio::test(flavor = "multi_thread")]
async fn borrowed_objects_work() {
    let origin = Repo::new();
    let url = |repo: &Repo| repo.root.display().to_string();
    let middle = Repo::bare_folder("m");
    middle.git(&["clone", "-q", "--shared", &url(&origin), "."]);
    middle.write("middle.txt", "m\n");
    middle.commit("in the middle");
    let repo = Repo::bare_folder("p");
    repo.git(&["clone", "-q", "--shared", &url(&middle), "."]);
    lands(&repo).await;

    // Beside each other, so that a relative path is right for both.
    let near = Repo::bare_folder("near");
    near.git(&["clone", "-q", "--shared", &url(&origin), "."]);
    let store = near.dir.path().canonicalize().unwrap().join("store");
    fs::rename(origin.root.join(".git/objects"), &store).unwrap();
    fs::write(near.root.join(".git/objects/info/alternates"), "../../../store\n").unwrap();
    lands(&near).await;
}

/// Workspaces have all files; the person's checkout keeps its part.
#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_checkout_works_and_stays_sparse() {
    for sparse_index in ["--no-sparse-index", "--sparse-index"] {
        let repo = Repo::new();
        repo.write("wanted/x.txt", "x\n");
        repo.write("big/y.txt", "y\n");
        repo.commit("more");
        repo.git(&["sparse-checkout", "set", "--cone", sparse_index, "wanted"]);
        assert!(!repo.root.join("big").exists());
        let edits = [("big/y.txt", "changed\n"), ("big/new.txt", "n\n"), ("wanted/x.txt", "changed\n")];
        step(&repo, &main(), "a", &edits).await;
        assert_eq!((repo.read("wanted/x.txt"), repo.status()), ("changed\n".to_owned(), String::new()));
        assert!(!repo.root.join("big").exists());
        assert_eq!(repo.git(&["show", "main:big/y.txt"]), "changed");
    }
}

/// Pointers stay pointers wherever Enki writes files; the person's own checkout has the contents, by their filter.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_large_file_store_are_pointers_for_agents_and_contents_for_the_person() {
    let repo = Repo::new();
    let store = repo.dir.path().join("store");
    fs::create_dir(&store).unwrap();
    // As git-lfs does: the object is put into a store by its name, and a pointer is what git gets.
    let (clean, smudge) = (repo.dir.path().join("clean"), repo.dir.path().join("smudge"));
    let s = store.display();
    write_program(
        &clean,
        &format!(
            "cat >'{s}/new'; id=$(sha256sum <'{s}/new' | cut -c1-64); mv '{s}/new' '{s}'/$id; echo \"pointer $id\""
        ),
    );
    write_program(&smudge, &format!("read word id; cat '{s}'/$id"));
    repo.git(&["config", "filter.lfs.clean", &clean.display().to_string()]);
    repo.git(&["config", "filter.lfs.smudge", &smudge.display().to_string()]);
    repo.git(&["config", "filter.lfs.required", "true"]);
    repo.write(".gitattributes", "*.bin filter=lfs -text\n");
    repo.write("big.bin", "the real contents\n");
    repo.commit("a large file");
    let pointer = repo.git(&["show", "main:big.bin"]) + "\n";
    assert!(pointer.starts_with("pointer "), "{pointer}");
    repo.write("other.bin", "other contents\n");
    repo.git(&["add", "other.bin"]);
    let other = repo.git(&["show", ":other.bin"]) + "\n";
    repo.git(&["rm", "-q", "--cached", "other.bin"]);
    fs::remove_file(repo.root.join("other.bin")).unwrap();

    let (workspaces, spec, made) = fresh(&repo, "look").await;
    assert_eq!(fs::read_to_string(made.path.join("big.bin")).unwrap(), pointer);
    assert!(matches!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange));
    step(&repo, &main(), "a", &[("big.bin", &other), ("b.txt", "b\n")]).await;
    assert_eq!(repo.git(&["show", "main:big.bin"]) + "\n", other);
    assert_eq!((repo.read("big.bin"), repo.status()), ("other contents\n".to_owned(), String::new()));
}

/// A repository with a submodule at `lib`, checked out, on `main`.
fn with_submodule() -> (Repo, Repo, String) {
    let library = Repo::new();
    let repo = Repo::new();
    let url = library.root.display().to_string();
    repo.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", &url, "lib"]);
    repo.commit("a library");
    let pointer = repo.git(&["rev-parse", "main:lib"]);
    (repo, library, pointer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pointer_of_a_submodule_survives_a_step() {
    let (repo, library, pointer) = with_submodule();
    let facts = repo.project().facts().clone();
    assert!(facts.submodules && facts.warnings.join("; ").contains("submodules"), "{facts:?}");
    lands(&repo).await;
    assert_eq!(repo.git(&["rev-parse", "main:lib"]), pointer);
    assert_eq!(repo.read("lib/a.txt"), "one\ntwo\nthree\n");
    // An agent that clears empty folders away has not asked for its removal.
    let base = repo.head("main");
    let (workspaces, spec) = (repo.workspaces(), spec("tidy", 1, Start::Fresh { base }));
    let made = workspaces.create(&spec).await.unwrap();
    assert_eq!(fs::read_dir(made.path.join("lib")).unwrap().count(), 0);
    fs::remove_dir(made.path.join("lib")).unwrap();
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
    // Nor has one that checks it out to build with it.
    repo.git_in(&made.path, &["clone", "-q", &library.root.display().to_string(), "lib"]);
    write(&made.path, "c.txt", "c\n");
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    assert_eq!(repo.git(&["rev-parse", &format!("{commit}:lib")]), pointer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_changes_a_submodule_is_refused() {
    let (repo, _library, _) = with_submodule();
    let base = repo.head("main");
    for (name, change) in [
        ("declared", (|at: &Path| fs::remove_file(at.join(".gitmodules")).unwrap()) as fn(&Path)),
        ("file", |at| {
            fs::remove_dir(at.join("lib")).unwrap();
            fs::write(at.join("lib"), "a file\n").unwrap();
        }),
        ("files", |at| write(at, "lib/x.txt", "x\n")),
        ("another", |at| {
            let inner = Repo::new();
            inner.git_in(at, &["clone", "-q", &inner.root.display().to_string(), "lib"]);
            inner.git_in(&at.join("lib"), &["commit", "-q", "--allow-empty", "-m", "of the agent"]);
        }),
    ] {
        let (workspaces, spec) = (repo.workspaces(), spec(name, 1, Start::Fresh { base }));
        let made = workspaces.create(&spec).await.unwrap();
        change(&made.path);
        let reason = refused(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
        assert!(reason.contains("submodule"), "{name}: {reason}");
    }
    // By a commit of another making it is not imported either.
    let other = repo.dir.path().join("other");
    repo.git(&["worktree", "add", "-q", "--detach", &other.display().to_string()]);
    repo.git_in(&other, &["rm", "-q", "--cached", "lib"]);
    repo.git_in(&other, &["commit", "-q", "-m", "without"]);
    let commit = repo.git_in(&other, &["rev-parse", "HEAD"]).parse().unwrap();
    let change: Change = step_change("x", 1, commit);
    let import = repo.refinery().import(&change).await.unwrap();
    assert!(matches!(&import, Import::Refused { reason } if reason.contains("lib")), "{import:?}");
}

fn partial(origin: &Repo, filter: &str, more: &[&str]) -> Repo {
    origin.git(&["config", "uploadpack.allowFilter", "true"]);
    origin.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    clone(origin, &[&[filter], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_clone_that_has_what_the_target_needs_works() {
    let origin = Repo::new();
    origin.write("a.txt", "2\n");
    origin.commit("second");
    let repo = partial(&origin, "--filter=blob:none", &[]);
    assert!(repo.project().facts().partial);
    assert!(repo.project().resolve_branch("main").is_ok());
    lands(&repo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_clone_that_lacks_files_of_the_target_is_refused_by_name() {
    let origin = Repo::new();
    for filter in ["--filter=blob:none", "--filter=tree:0"] {
        let repo = partial(&origin, filter, &["--no-checkout"]);
        let error = repo.project().resolve_branch("main").unwrap_err();
        assert!(matches!(&error, GitError::Unsupported { reason, .. } if reason.contains("partial clone")), "{error}");
        // What it says to do helps.
        let command = error.to_string();
        let command = command.split('`').nth(1).unwrap();
        repo.git(&command.split(' ').skip(1).collect::<Vec<_>>());
        repo.git(&["checkout", "-q", "main"]);
        lands(&repo).await;
    }
}

/// Each with the words of its own; nothing is made in any of them.
#[test]
fn what_cannot_be_a_project_is_refused_by_name() {
    let bare = Repo::bare_folder("bare.git");
    bare.git(&["init", "-q", "--bare"]);
    assert!(matches!(bare.try_open().unwrap_err(), GitError::Bare { .. }));
    let unborn = Repo::bare_folder("p");
    unborn.git(&["init", "-q", "-b", "trunk"]);
    assert!(matches!(unborn.try_open().unwrap_err(), GitError::Unborn { .. }));
    let future = Repo::new();
    future.git(&["config", "core.repositoryFormatVersion", "1"]);
    future.git(&["config", "extensions.fromTheFuture", "true"]);
    let error = future.try_open().unwrap_err();
    assert!(error.to_string().contains("fromthefuture"), "{error}");
    for (repo, at) in [(&bare, PathBuf::new()), (&unborn, ".enki".into()), (&future, ".enki".into())] {
        assert!(!repo.root.join(at).join("git").exists());
    }
}
