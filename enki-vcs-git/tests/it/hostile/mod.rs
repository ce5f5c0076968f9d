//! Every way that is known in which a workspace, or an agent that writes by path, may try to make the host run something,
//! to reach what is not its own, or to get unchecked work merged (S3, S4; bad inputs 34, 62 to 71, 88, 89).
//!
//! Each vector is a whole run: a workspace is made, a hostile agent does its worst, the workspace is captured, and what comes
//! of it goes through import, build, check and both publishes as far as it gets. Two things are asserted: nothing of the
//! agent's was ever run by the host, and the outcome has the name that it should have. `--nocapture` prints the table.

use crate::support::*;
use enki_core::id::EffectId;
use enki_core::refinery::{Build, Check, Gate, Import, Publish, Refinery};
use enki_core::workspace::{Capture, Expect, Start, WorkspaceProvider};
use enki_vcs_git::Policy;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where an agent does its worst.
struct Bed {
    repo: Repo,
    work: PathBuf,
    /// A program that leaves a mark.
    run: String,
    canary: PathBuf,
}

impl Bed {
    fn main(&self) -> &Path {
        &self.repo.root
    }

    fn enki(&self) -> PathBuf {
        self.repo.root.join(".enki")
    }

    fn capture_dir(&self) -> PathBuf {
        self.enki().join(format!("capture/{}.git", task("a")))
    }

    /// A commit of the agent's own, so that there is something to fetch.
    fn commit(&self) {
        self.repo.git_in(&self.work, &["add", "-A"]);
        self.repo.git_in(&self.work, &["commit", "-q", "-m", "the agent's own"]);
    }

    /// Adds to the configuration of the workspace; `RUN` is the program that must not be run.
    fn config(&self, text: &str) {
        self.commit();
        append(&self.work.join(".git/config"), &text.replace("RUN", &self.run));
    }

    fn git(&self, args: &[&str]) {
        self.repo.git_in(&self.work, args);
    }

    fn git_at_main(&self, args: &[&str]) {
        self.repo.git(args);
    }

    fn plant(&self, file: &Path) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(&self.run, file).unwrap();
    }
}

fn append(file: &Path, text: &str) {
    let before = fs::read_to_string(file).unwrap_or_default();
    fs::write(file, format!("{before}\n{text}\n")).unwrap();
}

const HOOKS: &str = "applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg commit-msg post-commit \
     pre-rebase post-checkout post-merge pre-push pre-receive update proc-receive post-receive post-update \
     reference-transaction push-to-checkout pre-auto-gc post-rewrite fsmonitor-watchman sendemail-validate post-index-change";

struct Vector {
    name: &'static str,
    hurt: fn(&Bed),
    /// How the outcome begins, and what it must also tell after a bar.
    outcome: &'static str,
}

const fn vector(name: &'static str, hurt: fn(&Bed), outcome: &'static str) -> Vector {
    Vector { name, hurt, outcome }
}

const VECTORS: &[Vector] = &[
    // What a workspace configures (S3, F1 to F4, bad inputs 67 and 68).
    vector(
        "all hooks in the workspace's .git",
        |b| {
            b.commit();
            for name in HOOKS.split_whitespace() {
                b.plant(&b.work.join(".git/hooks").join(name));
            }
        },
        "merged",
    ),
    vector(
        "core.hooksPath",
        |b| {
            for name in HOOKS.split_whitespace() {
                b.plant(&b.work.join("tools").join(name));
            }
            let at = b.work.join("tools");
            b.config(&format!("[core]\n\thooksPath = {}", at.display()));
        },
        "merged",
    ),
    vector("core.fsmonitor", |b| b.config("[core]\n\tfsmonitor = RUN"), "merged"),
    vector(
        "filter.clean and .smudge",
        |b| {
            write(&b.work, ".gitattributes", "* filter=evil\n");
            b.config("[filter \"evil\"]\n\tclean = RUN\n\tsmudge = RUN\n\trequired = true");
        },
        "merged|names the driver filter=evil",
    ),
    vector(
        "filter.process",
        |b| {
            write(&b.work, ".gitattributes", "* filter=evil\n");
            b.config("[filter \"evil\"]\n\tprocess = RUN");
        },
        "merged|names the driver filter=evil",
    ),
    vector(
        "merge driver and merge.default",
        |b| {
            write(&b.work, ".gitattributes", "* merge=evil\n");
            b.config("[merge]\n\tdefault = evil\n[merge \"evil\"]\n\tdriver = RUN %O %A %B");
        },
        "merged|names the driver merge=evil",
    ),
    vector(
        "diff driver, textconv, diff.external",
        |b| {
            write(&b.work, ".gitattributes", "* diff=evil\n");
            b.config("[diff]\n\texternal = RUN\n[diff \"evil\"]\n\ttextconv = RUN\n\tcommand = RUN");
        },
        "merged|names the driver diff=evil",
    ),
    vector(
        "drivers in .git/info/attributes",
        |b| {
            b.commit();
            write(&b.work, ".git/info/attributes", "* filter=evil merge=evil diff=evil\n");
            append(&b.work.join(".git/config"), &format!("[filter \"evil\"]\n\tclean = {0}\n\tsmudge = {0}", b.run));
        },
        "merged",
    ),
    vector(
        "core.pager and pager.*",
        |b| b.config("[core]\n\tpager = RUN\n[pager]\n\tdiff = RUN\n\tlog = RUN"),
        "merged",
    ),
    vector(
        "core.editor, sequence.editor",
        |b| b.config("[core]\n\teditor = RUN\n[sequence]\n\teditor = RUN"),
        "merged",
    ),
    vector(
        "aliases of the commands that Enki runs",
        |b| {
            b.config("[alias]\n\tls-files = !RUN\n\tupdate-index = !RUN\n\twrite-tree = !RUN\n\tfetch = !RUN\n\tupload-pack = !RUN\n\tread-tree = !RUN")
        },
        "merged",
    ),
    vector("core.sshCommand, core.gitProxy", |b| b.config("[core]\n\tsshCommand = RUN\n\tgitProxy = RUN"), "merged"),
    vector(
        "core.askPass, credential.helper",
        |b| b.config("[core]\n\taskPass = RUN\n[credential]\n\thelper = !RUN"),
        "merged",
    ),
    vector(
        "gpg.program and commit.gpgSign",
        |b| {
            b.config("[gpg]\n\tprogram = RUN\n[commit]\n\tgpgSign = true\n[tag]\n\tgpgSign = true\n[log]\n\tshowSignature = true")
        },
        "merged",
    ),
    vector(
        "include and includeIf",
        |b| {
            write(
                &b.work,
                "more.config",
                &format!("[core]\n\tfsmonitor = {0}\n[uploadpack]\n\tpackObjectsHook = {0}\n", b.run),
            );
            let more = b.work.join("more.config");
            b.config(&format!("[include]\n\tpath = {0}\n[includeIf \"gitdir:/**\"]\n\tpath = {0}", more.display()));
        },
        "merged",
    ),
    vector(
        "init.templateDir with hooks",
        |b| {
            b.plant(&b.work.join("template/hooks/post-checkout"));
            let at = b.work.join("template");
            b.config(&format!("[init]\n\ttemplateDir = {}", at.display()));
        },
        "merged",
    ),
    vector("uploadpack.packObjectsHook", |b| b.config("[uploadpack]\n\tpackObjectsHook = RUN"), "merged"),
    vector(
        "remote.*.uploadpack, core.alternateRefsCommand",
        |b| {
            b.config("[remote \"origin\"]\n\turl = .\n\tuploadpack = RUN\n\treceivepack = RUN\n\tvcs = evil\n[core]\n\talternateRefsCommand = RUN")
        },
        "merged",
    ),
    vector(
        "url.insteadOf and protocol.ext",
        |b| b.config("[url \"ext::RUN \"]\n\tinsteadOf = /\n[protocol \"ext\"]\n\tallow = always"),
        "merged",
    ),
    vector(
        "a partial clone with a promisor that runs",
        |b| b.config("[extensions]\n\tpartialClone = origin\n[remote \"origin\"]\n\turl = ext::RUN\n\tpromisor = true"),
        "merged",
    ),
    vector(
        "config.worktree",
        |b| {
            b.config("[extensions]\n\tworktreeConfig = true");
            append(&b.work.join(".git/config.worktree"), &format!("[core]\n\tfsmonitor = {}", b.run));
        },
        "merged",
    ),
    vector(
        "core.worktree at the main checkout",
        |b| {
            let main = b.main().display().to_string();
            b.config(&format!("[core]\n\tworktree = {main}"));
        },
        "merged",
    ),
    vector(
        "an extension that git does not know",
        |b| b.config("[core]\n\trepositoryformatversion = 1\n[extensions]\n\tevil = true"),
        "merged|its own commits stay in its workspace",
    ),
    vector(
        "a configuration that git cannot read",
        |b| b.config("[core\n"),
        "merged|its own commits stay in its workspace",
    ),
    vector(
        "an index with an extension and rubbish",
        |b| {
            b.commit();
            let index = b.work.join(".git/index");
            let mut bytes = fs::read(&index).unwrap();
            let at = bytes.len() - 20;
            bytes.splice(at..at, *b"FSMN\0\0\0\x04evil");
            fs::write(index, bytes).unwrap();
        },
        "merged",
    ),
    vector(
        ".envrc, .vscode, Makefile",
        |b| {
            write(&b.work, ".envrc", &b.run);
            write(&b.work, ".vscode/settings.json", "{}");
            write(&b.work, "Makefile", &format!("all:\n\t{}\n", b.run));
        },
        "merged",
    ),
    // What a workspace holds (F5, F16, bad inputs 34, 62 to 67, 71, 88).
    vector(
        "a bare repository among the files",
        |b| {
            b.git(&["init", "-q", "--bare", "bare"]);
            append(&b.work.join("bare/config"), &format!("[core]\n\tfsmonitor = {}", b.run));
        },
        "merged",
    ),
    vector(
        "a repository inside, without a commit",
        |b| b.git(&["init", "-q", "inside"]),
        "refused: inside is a git repository of its own",
    ),
    vector(
        "a repository inside, with a commit",
        |b| {
            b.git(&["init", "-q", "inside"]);
            b.git(&["-C", "inside", "commit", "-q", "--allow-empty", "-m", "x"]);
        },
        "refused: inside is a git repository of its own",
    ),
    vector(
        "a gitlink in the agent's own commit",
        |b| {
            b.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", b.repo.head("main"))]);
            b.git(&["commit", "-q", "-m", "a gitlink"]);
        },
        "merged",
    ),
    vector(
        ".gitmodules with a url that is an option",
        |b| write(&b.work, ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = -u./evil\n"),
        "refused: .gitmodules declares submodules",
    ),
    vector(
        "an absolute symbolic link",
        |b| symlink("/etc/passwd", b.work.join("l")).unwrap(),
        "refused: l is a symbolic link that leaves the workspace",
    ),
    vector(
        "a symbolic link out of the workspace",
        |b| symlink("../../../.git/config", b.work.join("l")).unwrap(),
        "refused: l is a symbolic link that leaves the workspace",
    ),
    vector(
        "a symbolic link into .git",
        |b| symlink(".git/hooks/post-merge", b.work.join("l")).unwrap(),
        "refused: l is a symbolic link that leaves the workspace",
    ),
    vector(
        "a folder swapped for a link to the main checkout",
        |b| {
            fs::remove_dir_all(b.work.join("src")).unwrap();
            symlink(b.main(), b.work.join("src")).unwrap();
        },
        "refused: src is a symbolic link that leaves the workspace",
    ),
    vector(
        "x/.GIT/hooks",
        |b| b.plant(&b.work.join("x/.GIT/hooks/post-merge")),
        "refused: x/.GIT/hooks/post-merge has a part that some file system takes for .git",
    ),
    vector(
        "git~1, .git::$INDEX, .g<ignored>it",
        |b| {
            for name in ["git~1", ".git::$INDEX_ALLOCATION", ".g\u{200c}it"] {
                write(&b.work, name, "x");
            }
        },
        "refused|git~1 has a part",
    ),
    vector(
        "names that differ by case only",
        |b| {
            write(&b.work, "A.txt", "x");
            write(&b.work, "SRC/lib.rs", "x");
        },
        "refused: A.txt differs from a.txt by case only; SRC differs from src by case only",
    ),
    vector(
        "a tree with .git in the agent's own commit",
        evil_tree,
        "merged|its own commits stay in its workspace: git says",
    ),
    vector(
        "a commit of unrelated history, and a merge",
        |b| {
            b.git(&["checkout", "-q", "--orphan", "x"]);
            b.commit();
            b.git(&["checkout", "-q", "-f", "-B", "y", &b.repo.head("main").to_string()]);
            b.git(&["merge", "-q", "--allow-unrelated-histories", "-s", "ours", "-m", "m", "x"]);
            write(&b.work, "new.txt", "new\n");
        },
        "merged",
    ),
    vector(
        "settings of agents and of Enki",
        |b| {
            write(&b.work, ".claude/settings.json", "{}");
            write(&b.work, ".mcp.json", "{}");
            write(&b.work, "enki.toml", "");
        },
        "refused: .claude/settings.json is settings of Enki or of an agent",
    ),
    vector(
        "the script that the check runs",
        |b| write(&b.work, "ci.sh", "exit 0\n"),
        "refused: ci.sh is run by the check; only a person changes it",
    ),
    vector(
        "the script that the check runs is removed",
        |b| fs::remove_file(b.work.join("ci.sh")).unwrap(),
        "refused: ci.sh is run by the check; only a person changes it",
    ),
    vector(
        "a sparse file of 5 GB",
        |b| fs::File::create(b.work.join("big")).unwrap().set_len(5 << 30).unwrap(),
        "refused: big has 5368709120 bytes, more than the limit",
    ),
    vector(
        "100,001 tiny files",
        |b| {
            fs::create_dir(b.work.join("many")).unwrap();
            for n in 0..100_001 {
                fs::write(b.work.join(format!("many/{n}")), "").unwrap();
            }
        },
        "refused: 100002 changed files are more than the limit of 100000",
    ),
    vector(
        "a FIFO in place of a file",
        |b| {
            fs::remove_file(b.work.join("a.txt")).unwrap();
            fifo(&b.work.join("a.txt"));
        },
        "refused: a.txt is neither a file nor a folder nor a link",
    ),
    vector(
        "a socket in place of a file",
        |b| {
            fs::remove_file(b.work.join("a.txt")).unwrap();
            std::os::unix::net::UnixListener::bind(b.work.join("a.txt")).unwrap();
        },
        "refused: a.txt is neither a file nor a folder nor a link",
    ),
    vector(
        "FIFOs where git reads rules",
        |b| {
            fs::remove_file(b.work.join(".gitignore")).unwrap();
            for name in [".gitignore", ".gitattributes"] {
                fifo(&b.work.join(name));
            }
        },
        "refused|.gitignore is neither a file nor a folder nor a link",
    ),
    vector(
        "a FIFO deep inside where git reads rules",
        |b| {
            write(&b.work, "d/e/f.txt", "x");
            fifo(&b.work.join("d/e/.gitignore"));
        },
        "refused: d/e/.gitignore is neither a file nor a folder nor a link",
    ),
    vector(
        "names that are no UTF-8, options or line breaks",
        |b| {
            for name in [&b"\xff\xfe"[..], b"-rf", b"--upload-pack=x", b"new\nline", b"a\\b"] {
                fs::write(b.work.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
            }
        },
        "merged",
    ),
    vector(
        "chmod 000 on files and folders",
        |b| {
            for name in ["src/lib.rs", "src", "."] {
                fs::set_permissions(b.work.join(name), fs::Permissions::from_mode(0o000)).unwrap();
            }
        },
        "merged",
    ),
    vector(
        "a read-only folder deep inside",
        |b| {
            write(&b.work, "d/e/f.txt", "x");
            fs::set_permissions(b.work.join("d/e"), fs::Permissions::from_mode(0o555)).unwrap();
            fs::set_permissions(b.work.join("d"), fs::Permissions::from_mode(0o555)).unwrap();
        },
        "merged",
    ),
    vector("the workspace is deleted", |b| fs::remove_dir_all(&b.work).unwrap(), "lost"),
    vector(
        "the workspace is a link to the main checkout",
        |b| {
            fs::remove_dir_all(&b.work).unwrap();
            symlink(b.main(), &b.work).unwrap();
        },
        "lost",
    ),
    // What its .git claims to be (bad input 69).
    vector(
        ".git is a link to the main repository",
        |b| {
            fs::remove_dir_all(b.work.join(".git")).unwrap();
            symlink(b.main().join(".git"), b.work.join(".git")).unwrap();
        },
        "refused: .git of the workspace is not the folder that Enki made",
    ),
    vector(
        ".git is a file that names the main repository",
        |b| {
            fs::remove_dir_all(b.work.join(".git")).unwrap();
            write(&b.work, ".git", &format!("gitdir: {}\n", b.main().join(".git").display()));
        },
        "refused: .git of the workspace is not the folder that Enki made",
    ),
    vector(
        ".git is made anew",
        |b| {
            fs::rename(b.work.join(".git"), b.work.join("target-git")).unwrap();
            fs::remove_dir_all(b.work.join("target-git")).unwrap();
            fs::create_dir(b.work.join("filler")).unwrap();
            b.git(&["init", "-q"]);
            fs::remove_dir(b.work.join("filler")).unwrap();
        },
        "refused: .git of the workspace was replaced by another one",
    ),
    vector(".git is gone", |b| fs::remove_dir_all(b.work.join(".git")).unwrap(), "merged"),
    vector(
        "commondir at the main repository",
        |b| write(&b.work, ".git/commondir", &b.main().join(".git").display().to_string()),
        "refused: .git/commondir of the workspace is there: it leads to another git directory",
    ),
    vector(
        "other alternates",
        |b| write(&b.work, ".git/objects/info/alternates", "/somewhere/objects\n"),
        "refused: .git/objects/info/alternates of the workspace was changed",
    ),
    vector(
        "alternates behind a link",
        |b| {
            fs::remove_file(b.work.join(".git/objects/info/alternates")).unwrap();
            symlink("/etc/passwd", b.work.join(".git/objects/info/alternates")).unwrap();
        },
        "refused: .git/objects/info/alternates of the workspace is a link",
    ),
    vector(
        "replace refs",
        |b| {
            b.commit();
            b.git(&["replace", "--graft", "HEAD"]);
        },
        "refused: .git/refs/replace of the workspace replaces objects",
    ),
    vector(
        "grafts",
        |b| write(&b.work, ".git/info/grafts", &format!("{}\n", b.repo.head("main"))),
        "refused: .git/info/grafts of the workspace is there: it replaces history",
    ),
    vector(
        "a shallow file",
        |b| write(&b.work, ".git/shallow", &format!("{}\n", b.repo.head("main"))),
        "refused: .git/shallow of the workspace was changed: it cuts history off",
    ),
    vector(
        "objects as a FIFO and HEAD as a link",
        |b| {
            b.commit();
            fs::remove_file(b.work.join(".git/HEAD")).unwrap();
            symlink("/etc/passwd", b.work.join(".git/HEAD")).unwrap();
        },
        "merged",
    ),
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

fn fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
}

/// A commit of the agent whose tree has an entry `.git`, as only a program that writes objects can make it.
fn evil_tree(bed: &Bed) {
    let blob = bed.repo.git_in(&bed.work, &["hash-object", "-w", "a.txt"]);
    let raw: Vec<u8> = (0..20).map(|n| u8::from_str_radix(&blob[n * 2..n * 2 + 2], 16).unwrap()).collect();
    fs::write(bed.work.join("target-tree"), [&b"100644 .git\0"[..], &raw].concat()).unwrap();
    let tree = bed.repo.git_in(&bed.work, &["hash-object", "-t", "tree", "-w", "--literally", "target-tree"]);
    fs::remove_file(bed.work.join("target-tree")).unwrap();
    let commit = bed.repo.git_in(&bed.work, &["commit-tree", "-p", "HEAD", "-m", "evil", &tree]);
    bed.repo.git_in(&bed.work, &["update-ref", "HEAD", &commit]);
}

/// One whole run. Gives the outcome.
async fn run(vector: &Vector) -> String {
    let repo = Repo::new();
    repo.write("ci.sh", "test -e new.txt\n");
    repo.commit("a check");
    repo.git(&["checkout", "-q", "-b", "only"]);
    repo.write("only.txt", "only\n");
    repo.commit("only here");
    repo.git(&["checkout", "-q", "main"]);
    let canary = repo.dir.path().join("canary");
    let program = repo.dir.path().join("program.sh");
    write_program(&program, &format!("echo \"$0 $*\" >>'{}'\ncat", canary.display()));
    let project = repo.project();
    let mut policy = Policy::default();
    policy.protected = vec!["ci.sh".to_owned()];
    project.set_policy(policy);
    let (workspaces, refinery) = (project.workspaces(), project.refinery());
    let base = refinery.open(&main(), &integration()).await.unwrap();
    let spec = spec("a", 1, Start::Fresh { base });
    let made = workspaces.create(&spec).await.unwrap();
    // Another one, so that the refinery is there before the agent is.
    repo.change("other", base, &[("other.txt", "other\n")]).await;
    refinery.build(base, &[], EffectId::of("first", &[])).await.unwrap();
    write(&made.path, "new.txt", "new\n");
    let bed = Bed { repo, work: made.path, run: program.display().to_string(), canary };
    (vector.hurt)(&bed);
    // What an agent's own commands ran is its own matter.
    fs::remove_file(&bed.canary).ok();

    let outcome = match workspaces.capture(&capture(&spec, Expect::Change)).await {
        Err(error) => format!("lost: {error}"),
        Ok(captured) => {
            let (captured, notices) = captured.apart();
            let told = if notices.is_empty() { String::new() } else { format!(" (notice: {})", notices.join("; ")) };
            match captured {
                Capture::Refused { reason } => format!("refused: {reason}{told}"),
                Capture::Tampered { what, .. } => format!("tampered: {}{told}", what.join("; ")),
                Capture::Change { commit, .. } => {
                    let change = step_change("a", 1, commit);
                    assert_eq!(refinery.import(&change).await.unwrap(), Import::Imported, "{}", vector.name);
                    let built = refinery.build(base, &[change], EffectId::of("b", &[])).await.unwrap();
                    let Build::Candidate { candidate, .. } = built else { panic!("{}: {built:?}", vector.name) };
                    let gate = Gate::new("sh ./ci.sh", Duration::from_secs(60));
                    let checked = refinery.check(&candidate, &gate, EffectId::of("c", &[])).await.unwrap();
                    assert_eq!(checked, Check::Passed, "{}", vector.name);
                    let published = refinery.publish(&integration(), base, &candidate).await.unwrap();
                    assert_eq!(published, Publish::Published, "{}", vector.name);
                    let landed = refinery.publish(&main(), base, &candidate).await.unwrap();
                    let word = if landed == Publish::Published { "merged" } else { "built, and not landed by force" };
                    format!("{word}{told}")
                }
                other => format!("{other:?}{told}"),
            }
        }
    };
    // A further attempt finds its way, and what was there is kept; then everything is cleaned up as far as that loses nothing.
    let next = crate::support::spec("a", 2, spec.start);
    if workspaces.create(&next).await.is_ok() {
        workspaces.capture(&capture(&next, Expect::Change)).await.ok();
        workspaces.remove(task("a")).await.ok();
    }
    let ran = fs::read_to_string(&bed.canary).unwrap_or_default();
    assert_eq!(ran, "", "{}: the host ran what the agent planted", vector.name);
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_agent_plants_is_not_run_and_its_outcome_has_a_name() {
    let room = Arc::new(Semaphore::new(4));
    let jobs: Vec<_> = VECTORS
        .iter()
        .map(|vector| {
            let room = Arc::clone(&room);
            tokio::spawn(async move {
                let _permit = room.acquire().await.unwrap();
                run(vector).await
            })
        })
        .collect();
    let mut wrong = Vec::new();
    println!("vector | outcome");
    for (vector, job) in VECTORS.iter().zip(jobs) {
        let outcome = job.await.unwrap_or_else(|e| format!("the test failed: {e}"));
        let shown: String = outcome.chars().take(220).collect();
        println!("{} | {}", vector.name, shown.replace('\n', " "));
        let (start, tells) = vector.outcome.split_once('|').unwrap_or((vector.outcome, ""));
        if !outcome.starts_with(start) || !outcome.contains(tells) {
            wrong.push(format!("{}: {outcome:?} instead of {:?}", vector.name, vector.outcome));
        }
    }
    println!("{} vectors, nothing planted was run", VECTORS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
