//! The suite of workspaces, on those in memory.

use enki_testkit::fakes::{FakeRepository, FakeWorkspaces};
use enki_testkit::suite::project::{Edit, main};
use enki_testkit::suite::workspace::WorkspaceFixture;
use std::path::Path;

struct InMemory;

impl WorkspaceFixture for InMemory {
    type Provider = FakeWorkspaces;
    type Project = FakeRepository;

    async fn project(&self, files: &[(&str, &str)]) -> (FakeRepository, FakeWorkspaces) {
        let repository = FakeRepository::with_files(&main(), files);
        let workspaces = FakeWorkspaces::new(repository.clone());
        (repository, workspaces)
    }

    async fn artifact(&self, _: &FakeRepository, provider: &FakeWorkspaces, path: &str) -> Option<String> {
        provider.artifact(path)
    }

    async fn read(&self, provider: &FakeWorkspaces, workspace: &Path, path: &str) -> Option<String> {
        provider.read(workspace, path)
    }

    async fn edit(&self, provider: &FakeWorkspaces, workspace: &Path, edits: &[Edit<'_>]) {
        provider.edit_all(workspace, edits).expect("the workspace is there");
    }
}

enki_testkit::workspace_conformance!(InMemory);
