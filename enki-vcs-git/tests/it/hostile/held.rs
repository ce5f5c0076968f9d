//! What a workspace holds (F5, F16, bad inputs 34, 62 to 67, 71, 88).

use super::{Bed, Vector, append, vector};
use crate::support::*;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

pub(super) const VECTORS: &[Vector] = &[
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
