//! What is captured, what is refused, and that nothing is lost by it.

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::workspace::{Capture, Expect, Start, WorkspaceErrorKind, WorkspaceProvider};
use enki_vcs_git::GitProject;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_commit_has_the_base_as_parent_and_is_kept_in_the_persons_repository() {
    let repo = Repo::new();
    let base = repo.head("main");
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "new\n");
    write(&made.path, "target/cache.bin", "ignored");
    fs::remove_file(made.path.join("src/lib.rs")).unwrap();
    fs::set_permissions(made.path.join("a.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    let captured = workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap();
    let Capture::Change { commit, tree, files, .. } = captured else { panic!("{captured:?}") };
    assert_eq!(files, 3);
    assert_eq!(repo.head(&format!("{commit}^")), base);
    assert_eq!(repo.git(&["rev-parse", &format!("{commit}^{{tree}}")]), tree.to_string());
    assert!(repo.is_kept(commit));
    let diff = repo.git(&["diff", "--raw", "--abbrev=4", &base.to_string(), &commit.to_string()]);
    let kinds: Vec<&str> = diff.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["M\ta.txt", "A\tnew.txt", "D\tsrc/lib.rs"]);
    // Even if all of `.enki/` goes (F17).
    repo.git(&["clean", "-fdxq"]);
    repo.git(&["-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now"]);
    assert!(repo.is_kept(commit));
    repo.git(&["fsck", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_capture_again_gives_the_same_commit() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "new\n");
    let first = workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap();
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), first);
    // And by another orchestrator, later, after the workspace went to the next attempt.
    let commit = committed(first.clone());
    let next = crate::support::spec("a", 2, Start::Continue { base: repo.head("main"), head: commit });
    repo.workspaces().create(&next).await.unwrap();
    assert_eq!(repo.workspaces().capture(&capture(&spec, Expect::Change)).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_capture_of_the_same_attempt_keeps_both_commits() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "new\n");
    let first = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    write(&made.path, "new.txt", "newer\n");
    let second = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    assert_ne!(first, second);
    assert_eq!(repo.head(&format!("{second}^")), repo.head("main"));
    assert!(repo.is_kept(first) && repo.is_kept(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_difference_is_no_change() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "target/cache.bin", "ignored");
    write(&made.path, "a.txt", "one\ntwo\nthree\n");
    write(&made.path, ".enki/artifacts/note.md", "Enki's own folder is no change");
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_the_agent_are_captured_as_files() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "new\n");
    assert_eq!(repo.git_in(&made.path, &["branch", "--show-current"]), format!("task/{}", task("a")));
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain"]), "?? new.txt");
    repo.git_in(&made.path, &["add", "-A"]);
    repo.git_in(&made.path, &["commit", "-q", "-m", "mine"]);
    assert_eq!(repo.git_in(&made.path, &["log", "--oneline"]).lines().count(), 2);
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    assert_eq!(repo.git(&["show", &format!("{commit}:new.txt")]), "new");
    assert_eq!(repo.head("main"), repo.head(&format!("{commit}^")));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_may_become_folders_and_folders_files() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    fs::remove_file(made.path.join("a.txt")).unwrap();
    write(&made.path, "a.txt/inner", "1\n");
    fs::remove_dir_all(made.path.join("src")).unwrap();
    write(&made.path, "src", "a file\n");
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    let files = repo.git(&["ls-tree", "-r", "--name-only", &commit.to_string()]);
    assert_eq!(files, ".gitignore\na.txt/inner\nsrc");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_are_captured_byte_for_byte() {
    use std::os::unix::ffi::OsStrExt;
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    for name in [&b"-rf"[..], b"a b\"c", b"new\nline", b"\xff\xfe", b":(top)x", b"*", b"tab\tx", "\u{202e}x".as_bytes()]
    {
        fs::write(made.path.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    let captured = workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap();
    assert!(matches!(captured, Capture::Change { files: 8, .. }), "{captured:?}");
}

/// Bad input 66, F16.
#[tokio::test(flavor = "multi_thread")]
async fn a_nested_repository_is_refused_and_the_files_beside_it_are_kept() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "beside.txt", "kept\n");
    for name in ["empty", "full"] {
        fs::create_dir(made.path.join(name)).unwrap();
        repo.git_in(&made.path.join(name), &["init", "-q"]);
        write(&made.path, &format!("{name}/x.txt"), "x\n");
    }
    repo.git_in(&made.path.join("full"), &["add", "-A"]);
    repo.git_in(&made.path.join("full"), &["commit", "-q", "-m", "x"]);
    let reason = refused(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    assert_eq!(reason, "empty is a git repository of its own; full is a git repository of its own");
    let kept = repo.git(&["for-each-ref", "--format=%(objectname)", "refs/enki/kept"]);
    assert_eq!(repo.git(&["show", &format!("{kept}:beside.txt")]), "kept");

    // The step goes back to its agent, which finds its files as they were.
    let head: CommitId = kept.parse().unwrap();
    let next = crate::support::spec("a", 2, Start::Continue { base: repo.head("main"), head });
    let made = workspaces.create(&next).await.unwrap();
    for name in ["empty", "full"] {
        assert!(made.path.join(name).join("x.txt").exists());
        fs::remove_dir_all(made.path.join(name).join(".git")).unwrap();
    }
    let commit = committed(workspaces.capture(&capture(&next, Expect::Change)).await.unwrap());
    assert_eq!(repo.git(&["ls-tree", "-r", "--name-only", &commit.to_string()]).lines().count(), 6);
}

/// Bad inputs 34, 64, 65, 66, 71.
#[tokio::test(flavor = "multi_thread")]
async fn content_against_the_policy_is_refused_with_rule_and_path() {
    let repo = Repo::new();
    let mut options = repo.options();
    options.max_file_bytes = 1000;
    let workspaces = GitProject::open(&repo.root, options).unwrap().workspaces();
    type Hurt = fn(&std::path::Path);
    let cases: [(&str, Hurt, &str); 9] = [
        (
            "server",
            |p| fs::write(p.join(".mcp.json"), "{}").unwrap(),
            ".mcp.json is settings of Enki or of an agent; only a person changes it",
        ),
        (
            "trust",
            |p| {
                fs::create_dir(p.join(".claude")).unwrap();
                fs::write(p.join(".claude/settings.json"), "{}").unwrap();
            },
            ".claude/settings.json is settings of Enki or of an agent; only a person changes it",
        ),
        (
            "root",
            |p| symlink("/etc/passwd", p.join("l")).unwrap(),
            "l is a symbolic link that leaves the workspace, to /etc/passwd",
        ),
        (
            "up",
            |p| symlink("../../x", p.join("src/l")).unwrap(),
            "src/l is a symbolic link that leaves the workspace, to ../../x",
        ),
        (
            "big",
            |p| fs::write(p.join("big.bin"), vec![0; 1001]).unwrap(),
            "big.bin has 1001 bytes, more than the limit of 1000",
        ),
        ("case", |p| write(p, "x/.GIT/hooks", "x"), "x/.GIT/hooks has a part that some file system takes for .git"),
        ("short", |p| write(p, "git~1", "x"), "git~1 has a part that some file system takes for .git"),
        (
            "modules",
            |p| write(p, ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = -u\n"),
            ".gitmodules declares submodules",
        ),
        (
            "socket",
            |p| {
                fs::remove_file(p.join("a.txt")).unwrap();
                std::os::unix::net::UnixListener::bind(p.join("a.txt")).unwrap();
            },
            "a.txt is neither a file nor a folder nor a link",
        ),
    ];
    for (step, hurt, expected) in cases {
        let spec = spec(step, 1, Start::Fresh { base: repo.head("main") });
        let made = workspaces.create(&spec).await.unwrap();
        write(&made.path, "good.txt", "good\n");
        hurt(&made.path);
        let reason = refused(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
        assert_eq!(reason, expected);
        assert!(made.path.join("good.txt").exists());
    }
    repo.git(&["fsck", "--strict"]);
}

/// Bad input 65: only what is added or changed is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn links_inside_and_links_that_were_there_are_no_matter() {
    let repo = Repo::new();
    symlink("/etc/hostname", repo.root.join("old-link")).unwrap();
    repo.commit("a link of the person");
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    symlink("../a.txt", made.path.join("src/inside")).unwrap();
    committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
}

/// Bad input 69.
#[tokio::test(flavor = "multi_thread")]
async fn a_git_dir_that_points_elsewhere_is_refused_and_never_followed() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    fs::remove_dir_all(made.path.join(".git")).unwrap();
    symlink(repo.root.join(".git"), made.path.join(".git")).unwrap();
    write(&made.path, "new.txt", "new\n");
    let reason = refused(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    assert_eq!(reason, ".git of the workspace is not the folder that Enki made");
    let next = crate::support::spec("a", 2, Start::Fresh { base: repo.head("main") });
    workspaces.create(&next).await.unwrap();
    assert_eq!(repo.status(), "");
    repo.git(&["fsck", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_git_dir_does_not_matter() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    fs::remove_dir_all(made.path.join(".git")).unwrap();
    write(&made.path, "new.txt", "new\n");
    committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
}

/// Bad input 88.
#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_was_deleted_is_lost_and_can_be_made_again() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    fs::remove_dir_all(&made.path).unwrap();
    let error = workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap_err();
    assert_eq!(error.kind, WorkspaceErrorKind::Lost);
    let again = workspaces.create(&crate::support::spec("a", 2, spec.start)).await.unwrap();
    assert!(again.path.join("a.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_review_changed_is_dropped_and_told() {
    let repo = Repo::new();
    let (workspaces, first, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "new\n");
    let head = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    let review = spec("a", 2, Start::Continue { base: repo.head("main"), head });
    let made = workspaces.create(&review).await.unwrap();
    write(&made.path, "target/cache.bin", "a build leaves ignored files");
    assert_eq!(workspaces.capture(&capture(&review, Expect::Nothing)).await.unwrap(), Capture::NoChange);

    write(&made.path, "new.txt", "improved\n");
    write(&made.path, "more.txt", "more\n");
    fs::create_dir(made.path.join("nested")).unwrap();
    repo.git_in(&made.path.join("nested"), &["init", "-q"]);
    let altered = Capture::Altered { paths: vec!["more.txt".to_owned(), "new.txt".to_owned(), "nested".to_owned()] };
    assert_eq!(workspaces.capture(&capture(&review, Expect::Nothing)).await.unwrap(), altered);
    assert_eq!(fs::read_to_string(made.path.join("new.txt")).unwrap(), "new\n");
    assert!(!made.path.join("more.txt").exists() && !made.path.join("nested").exists());
    assert!(made.path.join("target/cache.bin").exists());
    // Told again after a crash that lost the answer.
    assert_eq!(workspaces.capture(&capture(&review, Expect::Nothing)).await.unwrap(), altered);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_comes_to_its_place_below_the_project() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "look").await;
    let path = format!(".enki/artifacts/{EXECUTION}/look.md");
    let expect = || capture(&spec, Expect::Artifact);
    assert_eq!(workspaces.capture(&expect()).await.unwrap(), Capture::NoArtifact);
    write(&made.path, &path, " \n");
    assert_eq!(workspaces.capture(&expect()).await.unwrap(), Capture::NoArtifact);
    write(&made.path, &format!(".enki/artifacts/{EXECUTION}/other.md"), "not this step's\n");
    assert_eq!(workspaces.capture(&expect()).await.unwrap(), Capture::NoArtifact);
    write(&made.path, &path, "# Report\n");
    assert_eq!(workspaces.capture(&expect()).await.unwrap(), Capture::Artifact);
    assert_eq!(repo.read(&path), "# Report\n");
    write(&made.path, "a.txt", "changed as well");
    assert_eq!(workspaces.capture(&expect()).await.unwrap(), Capture::Altered { paths: vec!["a.txt".to_owned()] });
    assert_eq!(repo.status(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_behind_a_link_is_refused() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "look").await;
    let secret = repo.dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::create_dir_all(made.path.join(".enki/artifacts")).unwrap();
    let folder = made.path.join(format!(".enki/artifacts/{EXECUTION}"));
    symlink(repo.dir.path(), &folder).unwrap();
    refused(workspaces.capture(&capture(&spec, Expect::Artifact)).await.unwrap());
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    symlink(&secret, folder.join("look.md")).unwrap();
    let captured = workspaces.capture(&capture(&spec, Expect::Artifact)).await.unwrap();
    assert_eq!(captured, Capture::NoArtifact);
    assert!(!repo.root.join(format!(".enki/artifacts/{EXECUTION}/look.md")).exists());
}
