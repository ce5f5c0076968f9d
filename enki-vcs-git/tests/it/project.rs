//! What is opened and what is refused, and with which words.

use crate::support::*;
use enki_core::refinery::{Publish, Refinery};
use enki_vcs_git::{GitError, GitProject, Head};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

/// Bad inputs 2 and 3.
#[test]
fn a_folder_without_files_under_version_control_is_refused_and_left_alone() {
    let repo = Repo::bare_folder("p");
    let error = repo.try_open().unwrap_err();
    assert!(matches!(error, GitError::NotARepository { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "{} is in no project: `enki init` makes one of the folder as it is; or go to a git repository, or make one with `git init` and a first commit",
            repo.root.display()
        )
    );
    repo.git(&["init", "-q", "-b", "trunk"]);
    let error = repo.try_open().unwrap_err();
    assert!(matches!(&error, GitError::Unborn { branch, .. } if branch == "trunk"), "{error}");
    assert!(!repo.root.join(".enki").exists());
    let bare = Repo::bare_folder("bare.git");
    bare.git(&["init", "-q", "--bare"]);
    assert!(matches!(bare.try_open().unwrap_err(), GitError::Bare { .. }));
    let missing = GitProject::open(&repo.root.join("none"), repo.options()).unwrap_err();
    assert!(matches!(missing, GitError::NotARepository { .. }));
}

/// Bad input 57.
#[test]
fn a_missing_or_old_git_is_named() {
    let repo = Repo::new();
    let mut options = repo.options();
    options.env = vec![("PATH".into(), repo.dir.path().join("home").into_os_string())];
    assert!(matches!(GitProject::open(&repo.root, options).unwrap_err(), GitError::Missing { .. }));
    let error = GitProject::open(&repo.root, with_git(&repo, "echo git version 2.37.1")).unwrap_err();
    let program = repo.dir.path().join("bin/git");
    assert_eq!(
        error.to_string(),
        format!(
            "{} is git 2.37.1, and Enki needs 2.38 or newer: install a newer git, or put one first on PATH",
            program.display()
        )
    );
    let unfixed = "test \"$1$2\" = --no-pagerversion && echo git version 2.45.0 && exit";
    let options = with_git(&repo, &format!("{unfixed}\nexec {} \"$@\"", which_git().display()));
    let project = GitProject::open(&repo.root, options).unwrap();
    assert!(project.facts().warnings[0].contains("lacks the security fixes"), "{:?}", project.facts());
}

/// Bad input 58, F19.
#[tokio::test(flavor = "multi_thread")]
async fn the_persons_own_git_decides_whether_the_owner_is_trusted() {
    let repo = Repo::new();
    let options = with_git(&repo, &format!("GIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {} \"$@\"", which_git().display()));
    let error = GitProject::open(&repo.root, options.clone()).unwrap_err();
    assert!(matches!(&error, GitError::DubiousOwnership { path } if *path == repo.root), "{error}");
    assert!(!error.to_string().contains('*'), "{error}");
    let config = repo.dir.path().join("home/.gitconfig");
    fs::write(&config, format!("[safe]\n\tdirectory = {}\n", repo.root.display())).unwrap();
    let before = fs::read(&config).unwrap();
    let refinery = GitProject::open(&repo.root, options).unwrap().refinery();
    let base = repo.head("main");
    let change = repo.change("a", base, &[("b.txt", "b\n")]).await;
    refinery.import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(fs::read(&config).unwrap(), before);
}

#[test]
fn head_is_told_as_branch_or_detached_and_changes_are_seen() {
    let repo = Repo::new();
    let id = repo.head("main");
    assert_eq!(repo.project().head(), &Head::Branch(main(), id));
    assert!(!repo.project().is_dirty().unwrap());
    repo.write("untracked.txt", "no matter");
    assert!(!repo.project().is_dirty().unwrap());
    repo.write("a.txt", "changed");
    assert!(repo.project().is_dirty().unwrap());
    repo.git(&["checkout", "-q", "--detach"]);
    assert_eq!(repo.project().head(), &Head::Detached(id));
    let below = GitProject::open(&repo.root.join("src"), repo.options()).unwrap();
    assert_eq!(below.root(), repo.root);
}

/// Bad inputs 5 and 6.
#[test]
fn a_branch_that_is_not_there_comes_with_candidates() {
    let repo = Repo::new();
    repo.git(&["branch", "feature/x"]);
    repo.git(&["tag", "v1"]);
    repo.git(&["update-ref", "refs/remotes/origin/far", "main"]);
    let project = repo.project();
    assert_eq!(project.resolve_branch("feature/x").unwrap(), ("feature/x".parse().unwrap(), repo.head("main")));
    let candidates = |name: &str| match project.resolve_branch(name).unwrap_err() {
        GitError::NoSuchBranch { candidates, .. } => candidates.join("; "),
        other => panic!("{other}"),
    };
    assert_eq!(candidates("nope"), "feature/x; main");
    assert_eq!(candidates("v1"), "feature/x; main; v1 (a tag, which cannot move)");
    assert_eq!(
        candidates("far"),
        "feature/x; main; origin:far (at a remote; `git branch far origin/far` makes it a local branch)"
    );
    for option in ["-x", "--upload-pack=sh", "@{-1}", "HEAD"] {
        candidates(option);
    }
}

/// Bad input 74.
#[test]
fn the_callers_git_variables_are_dropped() {
    let repo = Repo::new();
    let other = Repo::new();
    let mut options = repo.options();
    for (name, value) in
        [("GIT_DIR", ".git"), ("GIT_WORK_TREE", "."), ("GIT_INDEX_FILE", "index"), ("GIT_CONFIG_COUNT", "x")]
    {
        options.env.push((name.into(), other.root.join(value).into_os_string()));
    }
    assert_eq!(GitProject::open(&repo.root, options).unwrap().root(), repo.root);
}

#[test]
fn enkis_folder_is_hidden_twice_and_a_link_in_its_place_is_refused() {
    let repo = Repo::new();
    let project = repo.project();
    assert!(!repo.root.join(".enki").exists());
    project.ensure_enki_dir().unwrap();
    project.ensure_enki_dir().unwrap();
    assert_eq!(repo.status(), "");
    let exclude = repo.read(".git/info/exclude");
    assert_eq!(exclude.matches("/.enki/").count(), 1, "{exclude}");
    fs::remove_dir_all(repo.root.join(".enki")).unwrap();
    symlink(repo.dir.path(), repo.root.join(".enki")).unwrap();
    assert!(matches!(project.ensure_enki_dir().unwrap_err(), GitError::Unsupported { .. }));
}

/// One change from its workspace to the checked-out branch.
async fn land_one(repo: &Repo) {
    let refinery = repo.refinery();
    let base = refinery.open(&main(), &integration()).await.unwrap();
    let change = repo.change("a", base, &[("b.txt", "b\n")]).await;
    refinery.import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    assert_eq!(refinery.publish(&integration(), base, &candidate).await.unwrap(), Publish::Published);
    let state = refinery.inspect(&integration(), Some(base)).await.unwrap();
    assert!(state.contains && state.was_there);
    assert_eq!(refinery.open(&main(), &integration()).await.unwrap(), base);
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(repo.read("b.txt"), "b\n");
    assert_eq!(repo.status(), "");
    repo.git(&["fsck", "--strict"]);
}

/// Bad input 12.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_no_utf_8_or_full_of_signs_works() {
    for name in [&b"n\xffo"[..], b"a b'\"c$(x)"] {
        land_one(&Repo::with(OsStr::from_bytes(name), &[])).await;
    }
    let repo = Repo::with("a\nb", &[]);
    assert!(matches!(repo.try_open().unwrap_err(), GitError::Unsupported { .. }));
}

/// Bad input 73.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_no_signing_key_and_a_commit_template_do_not_matter() {
    let repo = Repo::new();
    repo.git(&["config", "commit.gpgSign", "true"]);
    repo.git(&["config", "commit.template", "/none"]);
    repo.git(&["config", "gpg.program", "/bin/false"]);
    repo.git(&["config", "log.showSignature", "true"]);
    repo.git(&["config", "user.useConfigOnly", "true"]);
    land_one(&repo).await;
}

#[test]
fn what_git_tracks_below_a_path_is_told_however_it_is_named() {
    let repo = Repo::new();
    for path in [".enki/roles/a b.toml", ".enki/roles/*.toml", ".enki/rolesx", "src/.enki/roles/c.toml"] {
        fs::create_dir_all(repo.root.join(path).parent().unwrap()).unwrap();
        fs::write(repo.root.join(path), "x").unwrap();
        repo.git(&["--literal-pathspecs", "add", "-f", path]);
    }
    fs::write(repo.root.join(".enki/roles/mine.toml"), "x").unwrap();
    let tracked = repo.project().tracked(&[".enki/roles", ".enki/prompts"]).unwrap();
    assert_eq!(tracked, [".enki/roles/*.toml", ".enki/roles/a b.toml"]);
}

#[test]
fn the_files_of_commits_are_told_each_by_itself_and_missing_ones_are_left_out() {
    let repo = Repo::new();
    repo.write("ü b.txt", "1");
    let first = repo.commit("first");
    repo.write("c.txt", "2");
    repo.git(&["rm", "-q", "ü b.txt"]);
    let second = repo.commit("second");
    repo.git(&["checkout", "-q", "-b", "side", &first.to_string()]);
    repo.write("side.txt", "3");
    repo.commit("side");
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["merge", "-q", "--no-edit", "side"]);
    let merge = repo.head("main");
    let missing = "0123456789012345678901234567890123456789".parse().unwrap();
    let found = repo.project().files_of([merge, missing, first, second]).unwrap();
    let files = |commit| found.get(&commit).map(|files| files.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(files(first), Some(vec!["ü b.txt"]));
    assert_eq!(files(second), Some(vec!["c.txt", "ü b.txt"]));
    assert_eq!(files(merge), Some(vec!["side.txt"]), "what a merge brings in");
    assert_eq!(files(missing), None);
    assert!(repo.project().files_of([]).unwrap().is_empty());
}
