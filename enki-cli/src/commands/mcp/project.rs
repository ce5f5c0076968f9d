//! The configured project, as far as a new plan depends on it.

use super::ideas::Notebook;
use super::worklog::Worklog;
use crate::budget;
use crate::commands::{Context, run};
use crate::config::Config;
use crate::error::CliError;
use crate::exit::Exit;
use crate::host::Host;
use crate::wire::{self, Agents};
use enki_core::advice::approval::Decomposition;
use enki_core::advice::lint::LintOptions;
use enki_core::async_trait;
use enki_core::execution::ProjectKind;
use enki_core::spec::PlanSpec;
use enki_mcp::{Backlog, Code, Failure, Project, Site};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A project with its configuration.
pub(crate) struct Configured {
    root: PathBuf,
    config: Config,
    agents: Agents,
    backlog: Notebook,
    worklog: Worklog,
    /// Without streams.
    host: Arc<Mutex<Host>>,
}

impl fmt::Debug for Configured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configured").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Configured {
    pub(crate) fn new(root: PathBuf, config: Config, agents: Agents, cx: &Context) -> Self {
        let backlog = Notebook::new(root.clone(), config.clone(), &cx.host);
        let worklog = Worklog::new(root.clone(), cx);
        Self { root, config, agents, backlog, worklog, host: Arc::new(Mutex::new(cx.host.without_streams())) }
    }
}

#[async_trait]
impl Project for Configured {
    async fn site(&self, target: Option<&str>) -> Result<Site, Failure> {
        let (root, config, host) = (self.root.clone(), self.config.clone(), Arc::clone(&self.host));
        let target = target.map(str::to_owned);
        // Git is asked anew: the person may have moved to another branch.
        let looked = tokio::task::spawn_blocking(move || -> Result<Site, CliError> {
            let host = host.lock().unwrap_or_else(PoisonError::into_inner);
            let git = wire::git(&root, &host)?;
            git.record_folder()?;
            Ok(Site {
                target: run::target(&git, &config, target.as_deref())?,
                gate: wire::gate(&config, &host, &root)?,
                kind: if git.is_folder() { ProjectKind::Folder } else { ProjectKind::default() },
            })
        });
        match looked.await {
            Ok(site) => site.map_err(|error| failure(&error)),
            Err(error) => Err(Failure::new(Code::Unavailable, error.to_string(), "please report this")),
        }
    }

    fn decomposition(&self) -> Decomposition {
        wire::decomposition(&self.config)
    }

    fn lint(&self) -> Option<LintOptions> {
        self.config.on("lint.enabled").then(|| wire::lint_options(&self.config))
    }

    fn has_folder(&self, folder: &str) -> bool {
        self.root.join(folder).is_dir()
    }

    fn backlog(&self) -> Option<&dyn Backlog> {
        Some(&self.backlog)
    }

    fn worklog(&self) -> Option<&dyn enki_mcp::Worklog> {
        Some(&self.worklog)
    }

    fn complete(&self, spec: &mut PlanSpec) -> Result<Vec<String>, Failure> {
        let unreviewed = wire::default_reviews(spec, &self.config, &self.agents).map_err(|error| failure(&error))?;
        budget::fill_in(spec, &self.config);
        let note = "no reviewer is configured for this agent (agent.reviewer), so steps that do not ask for a review \
                    get none";
        Ok(if unreviewed { vec![note.to_owned()] } else { Vec::new() })
    }
}

/// An error of the command line, for a model.
pub(super) fn failure(error: &CliError) -> Failure {
    let code = match error.exit {
        Exit::Usage => Code::ValidationError,
        Exit::NotFound => Code::NotFound,
        Exit::Locked => Code::Locked,
        Exit::Environment => Code::Environment,
        _ => Code::Unavailable,
    };
    let code = error.code.unwrap_or(code);
    Failure::new(code, error.message.clone(), error.hint.clone().unwrap_or_else(|| "nothing changed".to_owned()))
}
