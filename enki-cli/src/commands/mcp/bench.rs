//! Workspaces and memory, for the commands of `enki_call`.

use crate::config::Config;
use crate::error::CliError;
use crate::host::Host;
use crate::wire;
use enki_core::async_trait;
use enki_core::id::TaskId;
use enki_core::recall::Recall;
use enki_core::workspace::WorkspaceError;
use enki_mcp::{Bench, Calls, Code, Diff, DiffAsk, Failure, Traces};
use enki_vcs_git::GitWorkspaces;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The folder of traces in a project.
pub(crate) fn traces_dir(enki_dir: &Path) -> PathBuf {
    enki_dir.join("traces")
}

/// What commands need, over these workspaces; where none are given they are looked for at each call.
pub(crate) fn calls(
    root: &Path,
    enki_dir: &Path,
    config: &Config,
    host: &Host,
    workspaces: Option<GitWorkspaces>,
) -> Calls {
    let traces = Traces::new(traces_dir(enki_dir), wire::redactor(config, host));
    let bench = Workbench {
        root: root.to_owned(),
        config: config.clone(),
        host: Arc::new(Mutex::new(host.without_streams())),
        workspaces,
        recall: wire::recall(config, host, root),
    };
    Calls::new(Arc::new(bench), traces, host.clock)
}

struct Workbench {
    root: PathBuf,
    config: Config,
    /// Without streams.
    host: Arc<Mutex<Host>>,
    workspaces: Option<GitWorkspaces>,
    recall: Option<Arc<dyn Recall>>,
}

impl fmt::Debug for Workbench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workbench").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Workbench {
    async fn workspaces(&self) -> Result<GitWorkspaces, Failure> {
        if let Some(workspaces) = &self.workspaces {
            return Ok(workspaces.clone());
        }
        let (root, config, host) = (self.root.clone(), self.config.clone(), Arc::clone(&self.host));
        let opened = tokio::task::spawn_blocking(move || -> Result<GitWorkspaces, CliError> {
            let host = host.lock().unwrap_or_else(PoisonError::into_inner);
            wire::workspaces(&config, &host, &wire::git(&root, &host)?)
        });
        let opened = opened.await.map_err(|error| Failure::new(Code::Unavailable, error.to_string(), "call again"))?;
        opened.map_err(|error| super::project::failure(&error))
    }
}

#[async_trait]
impl Bench for Workbench {
    async fn workspace(&self, task: TaskId) -> Result<Option<PathBuf>, Failure> {
        let path = self.workspaces().await?.root().join(task.to_string());
        Ok(path.is_dir().then_some(path))
    }

    async fn diff(&self, task: TaskId, ask: DiffAsk) -> Result<Option<Diff>, Failure> {
        let mut wanted = enki_vcs_git::DiffAsk::default();
        (wanted.base, wanted.files, wanted.hunks, wanted.patch) = (ask.base, ask.files, ask.hunks, ask.patch);
        let cannot = |error: WorkspaceError| Failure::new(Code::Environment, error.to_string(), "nothing was changed");
        let found = self.workspaces().await?.diff(task, wanted).await.map_err(cannot)?;
        Ok(found.map(|found| Diff {
            base: found.base,
            files: found.files.into_iter().map(|file| (file.path, file.lines)).collect(),
            total: found.total,
            lines: found.lines,
            hunks: found.hunks,
            patch: found.patch,
            size: found.size,
        }))
    }

    fn recall(&self) -> Option<Arc<dyn Recall>> {
        self.recall.clone()
    }
}
