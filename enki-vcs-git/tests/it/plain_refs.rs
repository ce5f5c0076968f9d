//! Refs of Enki's that are made and deleted as files, and packed by the person's git in between.

use crate::support::*;
use enki_core::workspace::{Expect, Start, WorkspaceProvider};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn refs(repo: &Repo, below: &str) -> Vec<String> {
    repo.git(&["for-each-ref", "--format=%(refname) %(objectname)", below]).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_ref_is_as_much_there_as_a_file() {
    let repo = Repo::new();
    let base = repo.head("main");
    let (workspaces, first) = (repo.project().workspaces(), spec("a", 1, Start::Fresh { base }));
    let made = workspaces.create(&first).await.unwrap();
    let pinned = refs(&repo, "refs/enki/base");
    assert!(pinned.len() == 1 && pinned[0].ends_with(&base.to_string()), "{pinned:?}");
    write(&made.path, "one.txt", "one\n");
    let one = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    let kept = refs(&repo, "refs/enki/kept");
    assert!(kept.len() == 1 && kept[0].ends_with(&one.to_string()), "{kept:?}");

    repo.git(&["pack-refs", "--all", "--prune"]);
    assert!(!repo.root.join(".git").join(kept[0].split(' ').next().unwrap()).exists(), "it is packed");
    // The same attempt did more: its name is taken, and what it names stays.
    write(&made.path, "two.txt", "two\n");
    let two = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    assert_ne!(one, two);
    let now = refs(&repo, "refs/enki/kept");
    assert!(now.len() == 2 && now.contains(&kept[0]), "{now:?}");
    // And again, with both there.
    assert_eq!(committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap()), two);
    assert_eq!(refs(&repo, "refs/enki/kept"), now);

    repo.git(&["update-ref", "refs/heads/main", &two.to_string()]);
    workspaces.remove(first.task).await.unwrap();
    assert_eq!(refs(&repo, "refs/enki/base"), Vec::<String>::new());
    assert_eq!(repo.git(&["fsck", "--strict", "--no-dangling"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_of_a_group_may_move_what_enki_made_where_they_may_move_refs() {
    let repo = Repo::new();
    repo.git(&["config", "core.sharedRepository", "group"]);
    let folders = ["", "/heads", "/tags"].map(|name| repo.root.join(format!(".git/refs{name}")));
    folders.iter().for_each(|dir| fs::set_permissions(dir, fs::Permissions::from_mode(0o2775)).unwrap());
    let workspaces = repo.project().workspaces();
    let first = spec("a", 1, Start::Fresh { base: repo.head("main") });
    workspaces.create(&first).await.unwrap();
    let mode = |name: &str| fs::metadata(repo.root.join(".git").join(name)).unwrap().permissions().mode() & 0o7777;
    let name = refs(&repo, "refs/enki/base")[0].split(' ').next().unwrap().to_owned();
    assert_eq!([mode("refs/enki"), mode("refs/enki/base"), mode(&name)], [0o2775, 0o2775, 0o664]);
}
