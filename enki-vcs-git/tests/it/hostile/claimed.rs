//! What the `.git` of a workspace claims to be (bad input 69).

use super::{Vector, vector};
use crate::support::*;
use std::fs;
use std::os::unix::fs::symlink;

pub(super) const VECTORS: &[Vector] = &[
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
        // Where the new one was given the number of the old one, what is in it tells.
        "refused: .git",
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
];
