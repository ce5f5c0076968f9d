//! Every way that is known in which a workspace, or an agent that writes by path, may try to make the host run something,
//! to reach what is not its own, or to get unchecked work merged (S3, S4; bad inputs 34, 62 to 71, 88, 89).
//!
//! Each vector is a whole run: a workspace is made, a hostile agent does its worst, the workspace is captured, and what comes
//! of it goes through import, build, check and both publishes as far as it gets. Two things are asserted: nothing of the
//! agent's was ever run by the host, and the outcome has the name that it should have. `--nocapture` prints the table.
//! The vectors are in tables of their own, by where they come from.

mod claimed;
mod configured;
mod drift;
mod held;
mod races;
mod reached;

use crate::support::*;
use enki_core::id::EffectId;
use enki_core::refinery::{Build, Check, Gate, Import, Publish, Refinery};
use enki_core::workspace::{Capture, Expect, Start, WorkspaceProvider};
use enki_vcs_git::Policy;
use std::fs;
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
    let tables = [configured::VECTORS, held::VECTORS, claimed::VECTORS, reached::VECTORS];
    let jobs: Vec<_> = tables
        .into_iter()
        .flatten()
        .map(|vector| {
            let room = Arc::clone(&room);
            let job = tokio::spawn(async move {
                let _permit = room.acquire().await.unwrap();
                run(vector).await
            });
            (vector, job)
        })
        .collect();
    let mut wrong = Vec::new();
    println!("vector | outcome");
    let count = jobs.len();
    for (vector, job) in jobs {
        let outcome = job.await.unwrap_or_else(|e| format!("the test failed: {e}"));
        let shown: String = outcome.chars().take(220).collect();
        println!("{} | {}", vector.name, shown.replace('\n', " "));
        let (start, tells) = vector.outcome.split_once('|').unwrap_or((vector.outcome, ""));
        if !outcome.starts_with(start) || !outcome.contains(tells) {
            wrong.push(format!("{}: {outcome:?} instead of {:?}", vector.name, vector.outcome));
        }
    }
    println!("{} vectors, nothing planted was run", count);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
