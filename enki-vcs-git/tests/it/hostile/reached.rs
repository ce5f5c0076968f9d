//! What an agent reaches by path: the main repository (S4, F1, F10, bad input 89), and Enki's own folders.

use super::{HOOKS, Vector, append, vector};
use crate::support::*;
use std::fs;
use std::os::unix::fs::symlink;

pub(super) const VECTORS: &[Vector] = &[
    // The main repository, by path (S4, F1, F10, bad input 89).
    vector(
        "main: a hook",
        |b| b.plant(&b.main().join(".git/hooks/post-merge")),
        "tampered: hooks/post-merge was added",
    ),
    vector(
        "main: git -C config core.fsmonitor",
        |b| b.git_at_main(&["config", "core.fsmonitor", &b.run.clone()]),
        "tampered: config: core.fsmonitor was added",
    ),
    vector(
        "main: an alias, a filter, an include",
        |b| {
            append(
                &b.main().join(".git/config"),
                &format!("[alias]\n\tst = !{0}\n[filter \"x\"]\n\tclean = {0}\n[include]\n\tpath = x", b.run),
            );
        },
        "tampered: config: alias.st was added; config: filter.x.clean was added; config: include.path was added",
    ),
    vector(
        "main: config.worktree",
        |b| append(&b.main().join(".git/config.worktree"), "[core]\n\tfsmonitor = x"),
        "tampered: config.worktree was added",
    ),
    vector(
        "main: info/attributes",
        |b| write(b.main(), ".git/info/attributes", "* filter=x\n"),
        "tampered: info/attributes was added",
    ),
    vector(
        "main: info/exclude hides files",
        |b| write(b.main(), ".git/info/exclude", "*\n"),
        "tampered: info/exclude was changed",
    ),
    vector(
        "main: objects/info/alternates",
        |b| write(b.main(), ".git/objects/info/alternates", "/x\n"),
        "tampered: objects/info/alternates was added",
    ),
    vector("main: info/grafts", |b| write(b.main(), ".git/info/grafts", ""), "tampered: info/grafts was added"),
    vector("main: commondir", |b| write(b.main(), ".git/commondir", "../other\n"), "tampered|"),
    vector(
        "main: replace refs",
        |b| {
            let id = b.repo.head("main").to_string();
            b.git_at_main(&["update-ref", &format!("refs/replace/{id}"), &id]);
        },
        "tampered|makes git show other objects",
    ),
    vector(
        "main: .git moved away and linked",
        |b| {
            let away = b.repo.dir.path().join("away");
            fs::rename(b.main().join(".git"), &away).unwrap();
            symlink(&away, b.main().join(".git")).unwrap();
        },
        "tampered: the git directory was changed",
    ),
    vector("main: .git deleted", |b| fs::remove_dir_all(b.main().join(".git")).unwrap(), "lost"),
    vector(
        "main: HEAD switched",
        |b| b.git_at_main(&["symbolic-ref", "HEAD", "refs/heads/only"]),
        "merged|HEAD was refs/heads/main and is refs/heads/only",
    ),
    vector(
        "main: a commit in the person's name",
        |b| b.git_at_main(&["commit", "-q", "--allow-empty", "-m", "x"]),
        "built|refs/heads/main moved from",
    ),
    vector(
        "main: a push of the agent's own commit",
        |b| {
            b.commit();
            b.git(&["push", "-q", &b.main().display().to_string(), "+HEAD:refs/heads/only"]);
        },
        "tampered|a commit that the agent made in its workspace",
    ),
    vector(
        "main: a branch with the only copy of commits deleted",
        |b| b.git_at_main(&["branch", "-D", "only"]),
        "tampered|and no other branch or tag has its commits",
    ),
    vector(
        "main: a branch file with rubbish",
        |b| write(b.main(), ".git/refs/heads/only", "rubbish\n"),
        "tampered|refs/heads/only",
    ),
    vector(
        "main: tags and remote refs",
        |b| {
            b.git_at_main(&["tag", "x"]);
            b.git_at_main(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
        },
        "merged|refs/tags/x was added",
    ),
    vector("main: the index", |b| b.git_at_main(&["rm", "-q", "--cached", "a.txt"]), "built|what is staged changed"),
    vector(
        "main: assume-unchanged",
        |b| b.git_at_main(&["update-index", "--assume-unchanged", "a.txt"]),
        "merged|what is staged changed",
    ),
    vector(
        "main: the integration branch moved",
        |b| b.git_at_main(&["update-ref", "refs/heads/enki/x", "HEAD"]),
        "merged",
    ),
    vector("main: files of the checkout", |b| write(b.main(), "a.txt", "changed under the person\n"), "built"),
    // Enki's own folders, by path.
    vector(
        ".enki: configuration of the capture's git directory",
        |b| {
            append(
                &b.capture_dir().join("config"),
                &format!("[core]\n\tfsmonitor = {0}\n[filter \"evil\"]\n\tclean = {0}\n[include]\n\tpath = x", b.run),
            )
        },
        "merged",
    ),
    vector(
        ".enki: commondir and attributes of the capture's git directory",
        |b| {
            write(&b.capture_dir(), "commondir", &b.work.join(".git").display().to_string());
            write(&b.capture_dir(), "info/attributes", "* filter=evil\n");
            append(&b.work.join(".git/config"), &format!("[filter \"evil\"]\n\tclean = {}", b.run));
        },
        "merged",
    ),
    vector(
        ".enki: a merge driver in the refinery",
        |b| {
            write(&b.work, ".gitattributes", "* merge=evil\n");
            append(&b.enki().join("refinery.git/config"), &format!("[merge \"evil\"]\n\tdriver = {}", b.run));
        },
        "merged",
    ),
    vector(
        ".enki: hooks in the refinery",
        |b| {
            for name in HOOKS.split_whitespace() {
                b.plant(&b.enki().join("refinery.git/hooks").join(name));
            }
        },
        "merged",
    ),
    vector(
        ".enki: hooks, configuration and attributes where they once were",
        |b| {
            for name in HOOKS.split_whitespace() {
                b.plant(&b.enki().join("git/hooks").join(name));
            }
            write(
                &b.enki(),
                "git/config",
                &format!("[core]\n\tfsmonitor = {0}\n[uploadpack]\n\tpackObjectsHook = {0}", b.run),
            );
        },
        "merged",
    ),
    vector(
        ".enki: the git directory of a check folder",
        |b| {
            write(&b.enki(), "checks/1/git/HEAD", "ref: refs/heads/x\n");
            write(&b.enki(), "checks/1/git/config", &format!("[core]\n\tfsmonitor = {}", b.run));
            fs::create_dir_all(b.enki().join("checks/1/git/objects/info")).unwrap();
            fs::create_dir_all(b.enki().join("checks/1/git/refs")).unwrap();
            fs::create_dir_all(b.enki().join("checks/1/git/info")).unwrap();
        },
        "merged",
    ),
    vector(
        ".enki: the note of the workspace",
        |b| {
            let file = b.capture_dir().join("enki-state.json");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(file, text.replace(&b.repo.head("main").to_string(), &b.repo.head("only").to_string())).unwrap();
        },
        "tampered|Enki's own note of the workspace",
    ),
    vector(
        ".enki: the note of the attempt",
        |b| fs::write(b.capture_dir().join("enki-watch.json"), "{}").unwrap(),
        "tampered|Enki's own note of the attempt",
    ),
    vector(".enki: the capture's git directory deleted", |b| fs::remove_dir_all(b.capture_dir()).unwrap(), "lost"),
    vector(".enki: the refinery deleted", |b| fs::remove_dir_all(b.enki().join("refinery.git")).unwrap(), "merged"),
];
