//! The whole way of a change, with nothing faked.

use crate::support::*;
use enki_core::id::EffectId;
use enki_core::refinery::{Build, Check, Gate, Import, Publish, Refinery};
use enki_core::workspace::{Expect, Start, WorkspaceProvider};
use std::time::Duration;

fn gate(command: &str) -> Gate {
    Gate::new(command, Duration::from_secs(60))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_from_a_workspace_to_the_persons_files() {
    let repo = Repo::new();
    let refinery = repo.refinery();
    let base = refinery.open(&main(), &integration()).await.unwrap();
    assert_eq!(base, repo.head("main"));

    let change = repo.change("build", base, &[("a.txt", "one\nTWO\nthree\n"), ("new/b.txt", "b\n")]).await;
    assert_eq!(refinery.import(&change).await.unwrap(), Import::Imported);
    let candidate = repo.candidate(base, std::slice::from_ref(&change)).await;
    let gate = gate("test -f new/b.txt && grep -q TWO a.txt && test -z \"$(git status --porcelain)\"");
    assert_eq!(refinery.check(&candidate, &gate, EffectId::of("c", &[])).await.unwrap(), Check::Passed);
    assert_eq!(refinery.publish(&integration(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(repo.head(integration().as_str()), candidate.commit);
    assert_eq!(repo.read("a.txt"), "one\ntwo\nthree\n");

    let landing = landing(candidate.commit, 1);
    assert_eq!(refinery.import(&landing).await.unwrap(), Import::Imported);
    let landed = repo.candidate(base, &[landing]).await;
    assert_eq!(landed.commit, candidate.commit);
    assert_eq!(refinery.publish(&main(), base, &landed).await.unwrap(), Publish::Published);
    assert_eq!(repo.head("main"), candidate.commit);
    assert_eq!(repo.read("a.txt"), "one\nTWO\nthree\n");
    assert_eq!(repo.read("new/b.txt"), "b\n");
    assert_eq!(repo.status(), "");
    assert_eq!(
        repo.git(&["log", "-1", "--format=%an <%ae> %at%n%B"]),
        format!(
            "Enki <enki@localhost> 1700000000\nDo build\n\nWhat was done\n\nEnki-Task: {}\nEnki-Attempt: 1",
            task("build")
        )
    );
    repo.git(&["fsck", "--strict"]);
    repo.workspaces().remove(task("build")).await.unwrap();
    assert_eq!(repo.workspaces().list().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_changes_of_one_line_meet_in_a_resolution() {
    let repo = Repo::new();
    let refinery = repo.refinery();
    let base = refinery.open(&main(), &integration()).await.unwrap();
    let one = repo.change("one", base, &[("a.txt", "one\nfrom one\nthree\n")]).await;
    let two = repo.change("two", base, &[("a.txt", "one\nfrom two\nthree\n"), ("two.txt", "2\n")]).await;

    let first = repo.candidate(base, &[one]).await;
    assert_eq!(refinery.publish(&integration(), base, &first).await.unwrap(), Publish::Published);
    let conflict = refinery.build(first.commit, std::slice::from_ref(&two), EffectId::of("b", &[])).await.unwrap();
    assert!(matches!(conflict, Build::Conflict { request, paths, .. } if request == two.request && paths == ["a.txt"]));

    let workspaces = repo.workspaces();
    let spec = spec("two", 2, Start::Resolve { onto: first.commit, change: two.commit });
    let made = workspaces.create(&spec).await.unwrap();
    assert_eq!(made.conflicts, ["a.txt"]);
    let marked = std::fs::read_to_string(made.path.join("a.txt")).unwrap();
    assert!(marked.contains("<<<<<<< ") && marked.contains("from one") && marked.contains("from two"), "{marked}");
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain"]), "UU a.txt\nA  two.txt");
    write(&made.path, "a.txt", "one\nfrom one and two\nthree\n");
    let solved = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    assert_eq!(repo.head(&format!("{solved}^")), first.commit);

    let again = step_change("two", 2, solved);
    assert_eq!(refinery.import(&again).await.unwrap(), Import::Imported);
    let second = repo.candidate(first.commit, &[again]).await;
    assert_eq!(refinery.publish(&integration(), first.commit, &second).await.unwrap(), Publish::Published);
    assert_eq!(repo.git(&["show", &format!("{}:a.txt", second.commit)]), "one\nfrom one and two\nthree");
    assert_eq!(repo.git(&["show", &format!("{}:two.txt", second.commit)]), "2");
}
