//! The suite of refineries, on the one in memory.

use enki_core::id::CommitId;
use enki_core::refinery::{Check, Gate};
use enki_core::time::Timestamp;
use enki_testkit::fakes::vcs::{Files, apply};
use enki_testkit::fakes::{FakeRefinery, FakeRepository};
use enki_testkit::suite::project::{Edit, main};
use enki_testkit::suite::refinery::{RefineryFixture, Wish};
use std::time::Duration;

struct InMemory;

impl RefineryFixture for InMemory {
    type Refinery = FakeRefinery;
    type Project = FakeRepository;

    async fn project(&self, files: &[(&str, &str)]) -> (FakeRepository, FakeRefinery) {
        let repository = FakeRepository::with_files(&main(), files);
        (repository.clone(), FakeRefinery::new(repository).judged_by(judge))
    }

    async fn captured(
        &self,
        project: &FakeRepository,
        _: &FakeRefinery,
        base: CommitId,
        edits: &[Edit<'_>],
    ) -> CommitId {
        let mut files = project.files(base).expect("the base is known");
        apply(&mut files, edits);
        let commit = project.commit(files, &[base], "captured", Timestamp(1));
        project.keep(commit);
        commit
    }

    fn gate(&self, wish: &Wish) -> Result<Gate, &'static str> {
        let command = match wish {
            Wish::FileIs { path, content } => format!("is {path} {}", content.trim_end()),
            other => format!("{other:?}"),
        };
        Ok(Gate::new(command, Duration::from_secs(1)))
    }
}

fn judge(gate: &Gate, files: &Files) -> Check {
    match gate.command.split(' ').collect::<Vec<_>>()[..] {
        ["Pass"] => Check::Passed,
        ["Hang"] => Check::TimedOut { log: String::new() },
        ["is", path, content] if files.get(path).is_some_and(|c| c.trim_end() == content) => Check::Passed,
        ["Fail"] | ["is", ..] => Check::Failed { log: "this is the reason".into() },
        _ => Check::Unknown { reason: gate.command.clone() },
    }
}

enki_testkit::refinery_conformance!(InMemory);
