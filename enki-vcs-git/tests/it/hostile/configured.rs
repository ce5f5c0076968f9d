//! What a workspace configures (S3, F1 to F4, bad inputs 67 and 68).

use super::{HOOKS, Vector, append, vector};
use crate::support::*;
use std::fs;

pub(super) const VECTORS: &[Vector] = &[
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
];
