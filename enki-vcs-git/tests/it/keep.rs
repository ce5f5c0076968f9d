//! What a project keeps, what of it may go, and the way back of what nobody merged. Nothing unmerged is ever deleted.

use crate::support::*;
use enki_core::id::{AttemptNo, CommitId, ExecutionId, TaskId};
use enki_core::refinery::{Change, Publish, Refinery};
use enki_core::workspace::{Expect, Start, WorkspaceProvider};
use enki_vcs_git::{Freed, GitKeep, GitProject, Item, Known, Life, Restored, Standing, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The execution of the tests in that state, with these steps.
fn known(life: Life, steps: &[&str]) -> Known {
    let tasks = steps.iter().map(|step| (task(step), EXECUTION)).collect();
    Known { targets: [main()].into(), executions: [(EXECUTION, life)].into(), tasks }
}

fn keep(repo: &Repo, known: Known) -> GitKeep {
    repo.workspaces().keep(known)
}

fn find<'a>(items: &'a [Item], id: &str) -> &'a Item {
    items.iter().find(|item| item.id == id).unwrap_or_else(|| panic!("{id} in {items:#?}"))
}

/// Frees all that may go. Gives the names of what went.
fn free(keep: &GitKeep) -> Vec<String> {
    let mut gone = Vec::new();
    for item in keep.survey().unwrap().iter().filter(|item| item.verdict.may_go()) {
        match keep.free(item).unwrap() {
            Freed::Gone => gone.push(item.id.clone()),
            Freed::Stays(why) => panic!("{}: {why}", item.id),
        }
    }
    gone
}

/// Merges a change into a branch as the queue does.
async fn merge(repo: &Repo, branch: &enki_core::branch::Branch, change: Change) -> CommitId {
    let refinery = repo.refinery();
    let base = repo.head(branch.as_str());
    refinery.import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    assert_eq!(refinery.publish(branch, base, &candidate).await.unwrap(), Publish::Published);
    candidate.commit
}

/// A step that was merged into the integration branch, which landed on main.
async fn landed(repo: &Repo) -> Change {
    let refinery = repo.refinery();
    let base = refinery.open(&main(), &integration()).await.unwrap();
    let change = repo.change("a", base, &[("new.txt", "new\n")]).await;
    let tip = merge(repo, &integration(), change.clone()).await;
    assert_eq!(merge(repo, &main(), landing(tip, 1)).await, tip);
    change
}

fn refs(repo: &Repo) -> Vec<String> {
    let all = repo.git(&["for-each-ref", "--format=%(refname)", "refs/enki", "refs/heads/enki"]);
    all.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn landed_work_goes_with_its_refs_and_folders_and_then_nothing_is_left_to_free() {
    let repo = Repo::new();
    landed(&repo).await;
    assert!(refs(&repo).len() >= 5, "{:?}", refs(&repo));
    let keep = keep(&repo, known(Life::Over, &["a"]));
    let gone = free(&keep);
    assert!(gone.contains(&task("a").to_string()) && gone.contains(&EXECUTION.to_string()), "{gone:?}");
    assert_eq!(refs(&repo), [""; 0]);
    assert_eq!(repo.workspaces().list().await.unwrap(), []);
    assert!(!repo.root.join(".enki/refinery.git").exists());
    assert_eq!(free(&keep), [""; 0]);
    assert_eq!(repo.read("new.txt"), "new\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_open_execution_is_touched() {
    let repo = Repo::new();
    landed(&repo).await;
    let before = refs(&repo);
    let keep = keep(&repo, known(Life::Open, &["a"]));
    let items = keep.survey().unwrap();
    assert_eq!(find(&items, &task("a").to_string()).verdict, Verdict::Live);
    assert_eq!(free(&keep), [""; 0]);
    for item in &items {
        assert!(matches!(keep.give_up(item).unwrap(), Freed::Stays(_)), "{item:?}");
    }
    assert_eq!(refs(&repo), before);
    assert_eq!(repo.workspaces().list().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_integration_branch_of_a_failed_execution_stays_for_its_retry() {
    let repo = Repo::new();
    landed(&repo).await;
    let keep = keep(&repo, known(Life::Failed, &["a"]));
    assert!(free(&keep).contains(&task("a").to_string()));
    assert_eq!(refs(&repo).iter().filter(|name| name.starts_with("refs/heads/")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_work_survives_is_listed_and_comes_back_as_a_branch() {
    let repo = Repo::new();
    let change = repo.change("a", repo.head("main"), &[("new.txt", "new\n"), ("src/lib.rs", "// more\n")]).await;
    let keep = keep(&repo, known(Life::Failed, &["a"]));
    assert_eq!(free(&keep), [""; 0]);
    let items = keep.survey().unwrap();
    let item = find(&items, &task("a").to_string());
    assert_eq!(item.verdict, Verdict::Unmerged { commits: vec![change.commit] });
    assert!(item.bytes > 0 && item.paths.len() == 2, "{item:?}");

    let pins = keep.pins().unwrap();
    let [pin] = &pins[..] else { panic!("{pins:?}") };
    assert_eq!((pin.commit, pin.task, pin.attempt), (change.commit, Some(task("a")), Some(AttemptNo(1))));
    assert_eq!((pin.files, pin.standing, &pin.title[..], pin.at), (2, Standing::Unmerged, "a title", AT));

    let branch = "recovered/a".parse().unwrap();
    assert_eq!(keep.restore(pin.commit, &branch).unwrap(), Restored::Yes);
    assert_eq!(keep.restore(pin.commit, &branch).unwrap(), Restored::Yes);
    assert_eq!(
        repo.head("recovered/a^{tree}").to_string(),
        repo.git(&["rev-parse", &format!("{}^{{tree}}", pin.commit)])
    );
    assert_eq!(repo.git(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    // A branch of the person is not moved.
    let head = repo.head("main");
    assert_eq!(keep.restore(pin.commit, &main()).unwrap(), Restored::Taken(head));
    assert_eq!(repo.head("main"), head);
}

/// F17.
#[tokio::test(flavor = "multi_thread")]
async fn clean_and_gc_of_the_person_lose_no_finished_work() {
    let repo = Repo::new();
    let change = repo.change("a", repo.head("main"), &[("new.txt", "new\n")]).await;
    let (workspaces, spec, made) = fresh(&repo, "b").await;
    write(&made.path, "b.txt", "b\n");
    let other = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    assert!(matches!(keep(&repo, known(Life::Over, &["a"])).give_up(&item_of(&repo, "a")).unwrap(), Freed::Gone));
    repo.git(&["clean", "-ffdxq"]);
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
    assert!(!repo.root.join(".enki").exists());
    // Without a store nobody knows the tasks; the commits tell.
    let keep = keep(&repo, Known { targets: [main()].into(), ..Known::default() });
    let pins = keep.pins().unwrap();
    let seen: BTreeSet<_> = pins.iter().map(|pin| (pin.commit, pin.task, pin.standing)).collect();
    let expected = [(change.commit, Some(task("a")), Standing::Archived), (other, Some(task("b")), Standing::Unmerged)];
    assert_eq!(seen, expected.into());
    for (n, pin) in pins.iter().enumerate() {
        keep.restore(pin.commit, &format!("recovered/{n}").parse().unwrap()).unwrap();
    }
    repo.git(&["fsck", "--strict"]);
    assert_eq!(free(&keep), [""; 0]);
}

fn item_of(repo: &Repo, step: &str) -> Item {
    let items = keep(repo, known(Life::Over, &["a", "b"])).survey().unwrap();
    find(&items, &task(step).to_string()).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ref_or_folder_without_a_row_is_shown_and_stays() {
    let repo = Repo::new();
    repo.change("a", repo.head("main"), &[("new.txt", "new\n")]).await;
    repo.git(&["update-ref", "refs/enki/strange/1", "main"]);
    fs::create_dir_all(repo.root.join(".enki/aside/mine")).unwrap();
    let before = refs(&repo);
    let keep = keep(&repo, known(Life::Over, &["other"]));
    assert_eq!(free(&keep), [""; 0]);
    let items = keep.survey().unwrap();
    for id in [&task("a").to_string(), "refs/enki/strange/1", repo.root.join(".enki/aside/mine").to_str().unwrap()] {
        assert_eq!(find(&items, id).verdict, Verdict::Foreign);
    }
    assert_eq!(refs(&repo), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_go_stays_also_when_it_is_freed_by_mistake() {
    let repo = Repo::new();
    landed(&repo).await;
    // A capture whose workspace is gone: nothing but the verdict protects it.
    let unmerged = repo.change("b", repo.head("main"), &[("b.txt", "b\n")]).await.commit;
    fs::remove_dir_all(repo.root.join(".enki/copies").join(task("b").to_string())).unwrap();
    fs::remove_dir_all(repo.root.join(format!(".enki/capture/{}.git", task("b")))).unwrap();
    // On main, but the store knows no execution of it.
    let foreign = ExecutionId::new(0xf0);
    repo.git(&["branch", &format!("enki/{foreign}"), "main"]);
    repo.git(&["update-ref", &format!("refs/enki/archive/{unmerged}"), &unmerged.to_string()]);
    let keep = keep(&repo, known(Life::Over, &["a", "b"]));
    let items = keep.survey().unwrap();
    assert_eq!(find(&items, &format!("enki/{foreign}")).verdict, Verdict::Foreign);
    assert_eq!(find(&items, &task("b").to_string()).verdict, Verdict::Unmerged { commits: vec![unmerged] });
    let before = refs(&repo);
    let stay: Vec<&Item> = items.iter().filter(|item| !item.verdict.may_go()).collect();
    assert!(stay.len() >= 3, "{stay:#?}");
    for item in stay {
        assert!(matches!(keep.free(item).unwrap(), Freed::Stays(_)), "{item:?}");
    }
    assert_eq!(refs(&repo), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_execution_still_needs_stays_although_it_is_on_the_target() {
    let repo = Repo::new();
    landed(&repo).await;
    // A candidate of no single task, as of several steps or of a landing.
    let first = repo.head("main~");
    let anchor = format!("refs/enki/anchor/{first}");
    repo.git(&["update-ref", &anchor, &first.to_string()]);
    // Another execution is open: its merge queue may look for any candidate.
    let mut two = known(Life::Over, &["a"]);
    two.executions.insert(ExecutionId::new(0xf0), Life::Open);
    let survey = keep(&repo, two.clone()).survey().unwrap();
    assert_eq!(find(&survey, "candidates in use").verdict, Verdict::Live);
    // And the person looks at the integration branch.
    let beside = repo.dir.path().join("beside");
    repo.git(&["worktree", "add", "-q", beside.to_str().unwrap(), integration().as_str()]);
    free(&keep(&repo, two));
    assert_eq!(refs(&repo), [anchor, integration().full_ref()]);
    repo.git(&["worktree", "remove", beside.to_str().unwrap()]);
    free(&keep(&repo, known(Life::Over, &["a"])));
    assert_eq!(refs(&repo), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_on_an_integration_branch_that_has_not_landed_waits_with_it() {
    let repo = Repo::new();
    let base = repo.refinery().open(&main(), &integration()).await.unwrap();
    let change = repo.change("a", base, &[("new.txt", "new\n")]).await;
    merge(&repo, &integration(), change).await;
    let keep = keep(&repo, known(Life::Over, &["a"]));
    let items = keep.survey().unwrap();
    assert!(matches!(find(&items, &EXECUTION.to_string()).verdict, Verdict::Unmerged { .. }));
    let item = find(&items, &task("a").to_string());
    assert_eq!(item.verdict, Verdict::Live, "{}", item.why);
    assert!(matches!(keep.give_up(item).unwrap(), Freed::Stays(_)));
    assert_eq!(free(&keep), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refinery_stays_while_a_folder_that_borrows_from_it_does() {
    let repo = Repo::new();
    landed(&repo).await;
    let workspaces = repo.project().with_options(|options| options.pool = 1).workspaces();
    workspaces.prepare(repo.head("main"), 1).await;
    let keep = workspaces.keep(known(Life::Over, &["a"]));
    let refinery = find(&keep.survey().unwrap(), "refinery.git").clone();
    assert_eq!(refinery.verdict, Verdict::Derived);
    assert!(matches!(keep.free(&refinery).unwrap(), Freed::Stays(_)), "a prepared workspace is there");
    assert!(repo.root.join(".enki/refinery.git").exists());
    free(&keep);
    assert!(!repo.root.join(".enki/refinery.git").exists());
}

#[test]
fn old_logs_go_but_not_those_of_an_open_execution() {
    let repo = Repo::new();
    repo.project().ensure_enki_dir().unwrap();
    let log = repo.root.join(format!(".enki/logs/{EXECUTION}"));
    fs::create_dir(&log).unwrap();
    fs::write(log.join("a"), "x").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(&log).unwrap().set_modified(long_ago).unwrap();
    free(&keep(&repo, known(Life::Open, &["a"])));
    assert!(log.exists());
    assert_eq!(free(&keep(&repo, known(Life::Over, &["a"]))), ["logs"]);
    assert!(!log.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_capture_is_archived_and_a_part_of_the_merged_one_is_not() {
    let repo = Repo::new();
    let base = repo.head("main");
    // Given up by a fresh start: what it did is in nothing that came after.
    let first = repo.change("a", base, &[("old-idea.txt", "1\n")]).await.commit;
    let workspaces = repo.workspaces();
    let second = spec("a", 2, Start::Fresh { base });
    let made = workspaces.create(&second).await.unwrap();
    write(&made.path, "new.txt", "1\n");
    let second = committed(workspaces.capture(&capture(&second, Expect::Change)).await.unwrap());
    // A fix on top.
    let third = spec("a", 3, Start::Continue { base, head: second });
    let made = workspaces.create(&third).await.unwrap();
    write(&made.path, "new.txt", "2\n");
    let third = committed(workspaces.capture(&capture(&third, Expect::Change)).await.unwrap());
    merge(&repo, &main(), step_change("a", 3, third)).await;

    let keep = keep(&repo, known(Life::Over, &["a"]));
    let item = item_of(&repo, "a");
    assert_eq!(item.verdict, Verdict::Landed { superseded: vec![first] }, "{}", item.why);
    assert_eq!(keep.free(&item).unwrap(), Freed::Gone);
    assert_eq!(refs(&repo), [format!("refs/enki/archive/{first}")]);
    assert!(repo.is_kept(first) && !repo.is_kept(second) && !repo.is_kept(third));
    assert_eq!(find(&keep.survey().unwrap(), &first.to_string()).verdict, Verdict::Archived);
    assert_eq!(keep.forget(first).unwrap(), Freed::Gone);
    assert_eq!(refs(&repo), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_nobody_captured_stay_are_saved_and_are_archived_when_given_up() {
    let repo = Repo::new();
    let (_, _, made) = fresh(&repo, "a").await;
    write(&made.path, "half.txt", "half\n");
    let keep = keep(&repo, known(Life::Over, &["a"]));
    let item = item_of(&repo, "a");
    assert_eq!(item.verdict, Verdict::Unmerged { commits: vec![] });
    assert!(item.why.contains("differ from what was captured"), "{}", item.why);
    assert_eq!(free(&keep), [""; 0]);
    assert_eq!(keep.save_left().unwrap(), []);
    let pins = keep.pins().unwrap();
    let [pin] = &pins[..] else { panic!("{pins:?}") };
    assert_eq!((pin.task, pin.attempt, pin.files), (Some(task("a")), None, 1));
    assert!(made.path.exists());

    write(&made.path, "half.txt", "more\n");
    assert_eq!(keep.give_up(&item_of(&repo, "a")).unwrap(), Freed::Gone);
    assert!(!made.path.exists());
    let archived = keep.pins().unwrap();
    assert!(archived.iter().all(|pin| pin.standing == Standing::Archived) && archived.len() == 2, "{archived:?}");
    let content = |commit: CommitId| repo.git(&["show", &format!("{commit}:half.txt")]);
    let contents: BTreeSet<String> = archived.iter().map(|pin| content(pin.commit)).collect();
    assert_eq!(contents, ["half".to_owned(), "more".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_refused_is_never_freed_and_is_archived_when_given_up() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    std::os::unix::fs::symlink("/etc/passwd", made.path.join("link")).unwrap();
    refused(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    let item = item_of(&repo, "a");
    assert_eq!(item.verdict, Verdict::Unmerged { commits: vec![] });
    let keep = keep(&repo, known(Life::Over, &["a"]));
    assert_eq!(free(&keep), [""; 0]);
    assert_eq!(keep.give_up(&item).unwrap(), Freed::Gone);
    let pins = keep.pins().unwrap();
    assert!(!pins.is_empty());
    for pin in pins {
        assert_eq!(pin.standing, Standing::Archived);
        assert_eq!(repo.git(&["cat-file", "-p", &format!("{}:link", pin.commit)]), "/etc/passwd");
    }
    assert!(!made.path.exists());
}

/// By the same attempt, which did better then, or by one that began anew beside it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_refused_stays_though_what_came_after_it_landed() {
    for anew in [false, true] {
        let repo = Repo::new();
        let (workspaces, mut spec, mut made) = fresh(&repo, "a").await;
        std::os::unix::fs::symlink("/etc/passwd", made.path.join("link")).unwrap();
        write(&made.path, "only.txt", "only here\n");
        refused(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
        if anew {
            spec = crate::support::spec("a", 2, spec.start);
            made = workspaces.create(&spec).await.unwrap();
            assert!(fs::read_dir(repo.root.join(".enki/aside")).unwrap().count() > 0);
        } else {
            fs::remove_file(made.path.join("link")).unwrap();
            fs::remove_file(made.path.join("only.txt")).unwrap();
        }
        write(&made.path, "new.txt", "new\n");
        let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
        merge(&repo, &main(), step_change("a", spec.attempt.0, commit)).await;
        let item = item_of(&repo, "a");
        assert_eq!(item.verdict, Verdict::Unmerged { commits: vec![] }, "{anew}: {}", item.why);
        let keep = keep(&repo, known(Life::Over, &["a"]));
        assert!(!free(&keep).contains(&task("a").to_string()));
        workspaces.remove(task("a")).await.unwrap_err();
        assert_eq!(keep.give_up(&item_of(&repo, "a")).unwrap(), Freed::Gone);
        let archived: Vec<_> = refs(&repo).into_iter().filter(|name| name.starts_with("refs/enki/archive/")).collect();
        let content = |name: &String| repo.try_git_in(&repo.root, &["show", &format!("{name}:only.txt")]).stdout;
        assert!(archived.iter().any(|name| content(name) == b"only here\n"), "{anew}: {archived:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_repository_is_not_removed_even_when_given_up() {
    let repo = Repo::new();
    let (_, _, made) = fresh(&repo, "a").await;
    repo.git_in(&made.path, &["init", "-q", "nested"]);
    write(&made.path, "nested/file", "mine\n");
    let item = item_of(&repo, "a");
    assert_eq!(item.verdict, Verdict::Unmerged { commits: vec![] });
    let Freed::Stays(why) = keep(&repo, known(Life::Over, &["a"])).give_up(&item).unwrap() else { panic!() };
    assert!(why.contains("nested") && made.path.join("nested/file").exists(), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refinery_stays_with_what_agents_committed_for_themselves() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "own.txt", "own\n");
    repo.git_in(&made.path, &["add", "-A"]);
    repo.git_in(&made.path, &["commit", "-q", "-m", "my own"]);
    let own = repo.git_in(&made.path, &["rev-parse", "HEAD"]);
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    merge(&repo, &main(), step_change("a", 1, commit)).await;
    let keep = keep(&repo, known(Life::Over, &["a"]));
    assert!(free(&keep).contains(&task("a").to_string()));
    assert_eq!(free(&keep), [""; 0]);
    assert_eq!(find(&keep.survey().unwrap(), "refinery.git").verdict, Verdict::Live);
    let refinery = repo.root.join(".enki/refinery.git");
    assert_eq!(repo.git(&["--git-dir", refinery.to_str().unwrap(), "cat-file", "-t", &own]), "commit");
}

/// Only `update-ref --stdin`, which deletes, fails: as if we had been killed just before.
#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_archive_and_deletion_loses_nothing_and_the_next_call_finishes() {
    let repo = Repo::new();
    let change = repo.change("a", repo.head("main"), &[("new.txt", "new\n")]).await;
    let script =
        format!("case \"$*\" in *'update-ref --stdin'*) kill -9 $$;; esac; exec {} \"$@\"", which_git().display());
    let dying = GitProject::open(&repo.root, with_git(&repo, &script)).unwrap();
    let dying = dying.workspaces().keep(known(Life::Over, &["a"]));
    let item = item_of(&repo, "a");
    dying.give_up(&item).unwrap_err();
    let archived = format!("refs/enki/archive/{}", change.commit);
    assert!(refs(&repo).contains(&archived) && refs(&repo).len() == 2, "{:?}", refs(&repo));
    let keep = keep(&repo, known(Life::Over, &["a"]));
    assert_eq!(keep.give_up(&item_of(&repo, "a")).unwrap(), Freed::Gone);
    assert_eq!(refs(&repo), [archived]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moved_since_it_was_looked_at_stays() {
    let repo = Repo::new();
    landed(&repo).await;
    let keep = keep(&repo, known(Life::Over, &["a"]));
    let items = keep.survey().unwrap();
    let before = refs(&repo);
    // The person takes the landing back.
    repo.git(&["reset", "-q", "--hard", "HEAD^"]);
    for item in items.iter().filter(|item| matches!(item.verdict, Verdict::Landed { .. })) {
        assert!(matches!(keep.free(item).unwrap(), Freed::Stays(_)), "{item:?}");
    }
    assert_eq!(refs(&repo), before);
    let items = keep.survey().unwrap();
    assert!(matches!(find(&items, &EXECUTION.to_string()).verdict, Verdict::Unmerged { .. }), "{items:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_captured_twice_is_not_taken_for_merged_by_its_name_alone() {
    let repo = Repo::new();
    let base = repo.head("main");
    let change = repo.change("a", base, &[("new.txt", "1\n")]).await;
    // The same attempt did more after its capture.
    let workspaces = repo.workspaces();
    let spec = spec("a", 1, Start::Fresh { base });
    write(&repo.root.join(".enki/copies").join(task("a").to_string()), "more.txt", "more\n");
    let again = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    assert_ne!(change.commit, again);
    merge(&repo, &main(), change.clone()).await;
    let keep = keep(&repo, known(Life::Over, &["a"]));
    let item = item_of(&repo, "a");
    assert_eq!(item.verdict, Verdict::Landed { superseded: vec![again] });
    let _ = keep.free(&item).unwrap();
    assert!(repo.is_kept(again));
}

/// Random numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A repository with refs in a random state, and what of it is known to be merged.
struct Scene {
    repo: Repo,
    known: Known,
    merged: BTreeSet<CommitId>,
}

impl Scene {
    fn commit(&self, parent: CommitId, file: &str, content: &str, marks: Option<(TaskId, u64)>) -> CommitId {
        let index = self.repo.dir.path().join("index");
        let index = index.to_str().unwrap();
        let env = format!("GIT_INDEX_FILE={index}");
        let blob = self.repo.dir.path().join("blob");
        fs::write(&blob, content).unwrap();
        let script = format!(
            "set -e; export {env}; git read-tree {parent}; b=$(git hash-object -w {}); \
             git update-index --add --cacheinfo 100644,$b,{file}; git write-tree",
            blob.display()
        );
        let tree = self.repo.sh(&script);
        let text = marks.map_or_else(
            || "a commit".to_owned(),
            |(task, attempt)| format!("a commit\n\nEnki-Task: {task}\nEnki-Attempt: {attempt}"),
        );
        self.repo.git(&["commit-tree", &tree, "-p", &parent.to_string(), "-m", &text]).parse().unwrap()
    }

    fn point(&self, name: &str, commit: CommitId) {
        self.repo.git(&["update-ref", name, &commit.to_string()]);
    }

    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let repo = Repo::new();
        let known = Known { targets: [main()].into(), ..Known::default() };
        let mut scene = Self { repo, known, merged: BTreeSet::new() };
        let mut name = 0;
        for n in 0..3u128 {
            let execution = ExecutionId::new(0xabc0 + n);
            let life = [Life::Open, Life::Failed, Life::Over, Life::Over][usize::try_from(dice.roll(4)).unwrap()];
            scene.known.executions.insert(execution, life);
            for step in ["a", "b"] {
                let task = TaskId::of(execution, &step.parse().unwrap());
                if dice.roll(6) > 0 {
                    scene.known.tasks.insert(task, execution);
                }
                let mut last = scene.repo.head("main");
                let base = last;
                for attempt in 1..=dice.roll(4) {
                    let parent = if dice.roll(2) == 0 { base } else { last };
                    let file = format!("{step}-{n}-{}", dice.roll(2));
                    let commit = scene.commit(parent, &file, &dice.roll(3).to_string(), Some((task, attempt)));
                    let kind = ["kept", "kept", "kept", "anchor", "archive"][usize::try_from(dice.roll(5)).unwrap()];
                    name += 1;
                    let end = if kind == "kept" { format!("{name:032x}") } else { commit.to_string() };
                    scene.point(&format!("refs/enki/{kind}/{end}"), commit);
                    last = commit;
                    if dice.roll(3) == 0 {
                        // Merged: squashed onto main, where other work has happened meanwhile.
                        let head = scene.repo.head("main");
                        let content = scene.repo.git(&["show", &format!("{commit}:{file}")]);
                        let merged = scene.commit(head, &file, &content, Some((task, attempt)));
                        let later = scene.commit(merged, "other", &name.to_string(), None);
                        scene.point("refs/heads/main", later);
                        scene.merged.insert(commit);
                    }
                }
            }
            if dice.roll(2) == 0 {
                let tip = scene.commit(scene.repo.head("main"), "integrated", &n.to_string(), None);
                scene.point(&format!("refs/heads/enki/{execution}"), tip);
            }
        }
        scene
    }
}

/// R1: whatever the refs are, every commit stays reachable that is neither merged nor part of one that is.
#[test]
fn freeing_makes_no_commit_unreachable_that_is_not_on_the_target() {
    for seed in 1..=12 {
        let scene = Scene::new(seed);
        let all = |repo: &Repo| -> BTreeSet<CommitId> {
            repo.git(&["rev-list", "--all"]).lines().map(|id| id.parse().unwrap()).collect()
        };
        let before = all(&scene.repo);
        let keep = keep(&scene.repo, scene.known.clone());
        free(&keep);
        assert_eq!(free(&keep), [""; 0], "seed {seed}: a second time frees nothing more");
        let lost: Vec<CommitId> = before.difference(&all(&scene.repo)).copied().collect();
        let main = scene.repo.head("main");
        let mut trees = BTreeMap::new();
        for id in scene.repo.git(&["log", "--format=%T %H", "main"]).lines() {
            let (tree, commit) = id.split_once(' ').unwrap();
            trees.insert(tree.to_owned(), commit.to_owned());
        }
        for commit in lost {
            let within = |merged: &CommitId| {
                let args = ["merge-base", "--is-ancestor", &commit.to_string(), &merged.to_string()];
                scene.repo.try_git_in(&scene.repo.root, &args).status.success()
            };
            // Merging it by hand changes nothing.
            let tree = scene
                .repo
                .try_git_in(&scene.repo.root, &["merge-tree", "--write-tree", &main.to_string(), &commit.to_string()]);
            let nothing = tree.status.success()
                && String::from_utf8_lossy(&tree.stdout).trim()
                    == scene.repo.git(&["rev-parse", &format!("{main}^{{tree}}")]);
            assert!(scene.merged.iter().any(within) || nothing, "seed {seed}: {commit} is lost");
        }
    }
}
