//! The host never runs code chosen by a workspace (S3), and an agent's repository never reaches the person's (F1).

use crate::support::*;
use enki_core::id::EffectId;
use enki_core::refinery::{Check, Gate, Import, Publish, Refinery};
use enki_core::workspace::{Expect, Start, WorkspaceProvider};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A program that leaves a mark, and sets everything in a workspace that git may run.
fn plant(repo: &Repo, work: &Path, canary: &Path) {
    let program = repo.dir.path().join("canary.sh");
    write_program(&program, &format!("echo \"$0 $*\" >>{}\ncat", canary.display()));
    let run = program.display().to_string();
    let config = work.join(".git/config");
    let hooks = work.join(".git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    let names = "applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg commit-msg \
                 post-commit pre-rebase post-checkout post-merge pre-push pre-receive update proc-receive post-receive \
                 post-update reference-transaction push-to-checkout pre-auto-gc post-rewrite fsmonitor-watchman \
                 post-index-change";
    for name in names.split_whitespace() {
        fs::copy(&program, hooks.join(name)).unwrap();
    }
    let mut text = fs::read_to_string(&config).unwrap();
    text.push_str(&format!(
        "[core]\n\thooksPath = {hooks}\n\tfsmonitor = {run}\n\tpager = {run}\n\teditor = {run}\n\taskPass = {run}\n\tsshCommand = {run}\n\
         \tgitProxy = {run}\n\talternateRefsCommand = {run}\n[filter \"evil\"]\n\tclean = {run}\n\tsmudge = {run}\n\trequired = true\n\
         [filter \"worse\"]\n\tprocess = {run}\n[merge \"evil\"]\n\tdriver = {run} %O %A %B\n[merge]\n\tdefault = evil\n\
         [diff \"evil\"]\n\ttextconv = {run}\n\tcommand = {run}\n[diff]\n\texternal = {run}\n[alias]\n\tmerge-tree = !{run}\n\tls-files = !{run}\n\
         \tupdate-index = !{run}\n[credential]\n\thelper = !{run}\n[gpg]\n\tprogram = {run}\n[commit]\n\tgpgSign = true\n\
         [uploadpack]\n\tpackObjectsHook = {run}\n[pager]\n\tdiff = {run}\n[sequence]\n\teditor = {run}\n[init]\n\ttemplateDir = {hooks}\n\
         [include]\n\tpath = {config2}\n[includeIf \"gitdir:/**\"]\n\tpath = {config2}\n[protocol \"ext\"]\n\tallow = always\n",
        hooks = hooks.display(),
        config2 = work.join("more.config").display(),
    ));
    fs::write(&config, text).unwrap();
    fs::write(work.join("more.config"), format!("[core]\n\tfsmonitor = {run}\n")).unwrap();
    write(work, ".gitattributes", "* filter=evil merge=evil diff=evil\nw.txt filter=worse\n");
    write(work, ".git/info/attributes", "* filter=evil merge=evil diff=evil\n");
    write(work, ".envrc", &run);
}

/// Bad inputs 67 and 68.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_workspace_configures_is_run() {
    let repo = Repo::new();
    let canary = repo.dir.path().join("canary");
    let refinery = repo.refinery();
    let base = refinery.open(&main(), &integration()).await.unwrap();
    let (workspaces, first, made) = fresh(&repo, "a").await;
    plant(&repo, &made.path, &canary);
    // The trap works: git in the workspace itself walks into it.
    repo.try_git_in(&made.path, &["status"]);
    assert!(canary.exists());
    fs::remove_file(&canary).unwrap();

    write(&made.path, "a.txt", "one\nAGENT\nthree\n");
    write(&made.path, "w.txt", "w\n");
    let commit = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    let again = spec("a", 2, Start::Continue { base, head: commit });
    let made = workspaces.create(&again).await.unwrap();
    plant(&repo, &made.path, &canary);
    write(&made.path, "a.txt", "one\nAGENT again\nthree\n");
    let commit = committed(workspaces.capture(&capture(&again, Expect::Change)).await.unwrap());
    plant(&repo, &made.path, &canary);
    write(&made.path, "stray.txt", "left\n");
    let review = spec("a", 3, Start::Continue { base, head: commit });
    let made = workspaces.create(&review).await.unwrap();
    plant(&repo, &made.path, &canary);
    write(&made.path, "a.txt", "a review that edits\n");
    workspaces.capture(&capture(&review, Expect::Nothing)).await.unwrap();

    let change = step_change("a", 2, commit);
    assert_eq!(refinery.import(&change).await.unwrap(), Import::Imported);
    let candidate = repo.candidate(base, &[change]).await;
    let gate = Gate::new("grep -q again a.txt", Duration::from_secs(60));
    assert_eq!(refinery.check(&candidate, &gate, EffectId::of("c", &[])).await.unwrap(), Check::Passed);
    assert_eq!(refinery.publish(&integration(), base, &candidate).await.unwrap(), Publish::Published);

    let other = repo.change("b", base, &[("a.txt", "one\nOTHER\nthree\n")]).await;
    let resolve = spec("b", 2, Start::Resolve { onto: candidate.commit, change: other.commit });
    let made = workspaces.create(&resolve).await.unwrap();
    assert_eq!(made.conflicts, ["a.txt"]);
    plant(&repo, &made.path, &canary);
    write(&made.path, "a.txt", "one\nboth\nthree\n");
    workspaces.capture(&capture(&resolve, Expect::Change)).await.unwrap();

    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    workspaces.remove(task("a")).await.unwrap();
    assert!(!canary.exists(), "{}", fs::read_to_string(&canary).unwrap());
    assert_eq!(repo.read("a.txt"), "one\nAGENT again\nthree\n");
}

/// The same trap in the person's own configuration is theirs, but Enki's calls do not walk into it.
#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_the_project_are_off_when_refs_move() {
    let repo = Repo::new();
    repo.git(&["checkout", "-q", "-b", "elsewhere"]);
    let canary = repo.dir.path().join("canary");
    let base = repo.head("main");
    plant(&repo, &repo.root, &canary);
    fs::remove_file(repo.root.join(".gitattributes")).unwrap();
    let change = repo.change("a", base, &[("b.txt", "b\n")]).await;
    let refinery = repo.refinery();
    refinery.open(&main(), &integration()).await.unwrap();
    refinery.import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    assert_eq!(refinery.publish(&integration(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert!(!canary.exists(), "{}", fs::read_to_string(&canary).unwrap());
}
