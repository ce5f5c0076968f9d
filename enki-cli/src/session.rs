//! A running orchestrator in this process: lock, store, backends, driver, and the socket others reach it by.

use crate::commands::Context;
use crate::commands::mcp::attempts::Admission;
use crate::commands::mcp::bench;
use crate::commands::mcp::project::Configured;
use crate::config::{Config, files_run_by};
use crate::error::CliError;
use crate::lock::ProjectLock;
use crate::look;
use crate::notes;
use crate::queue::briefs::NoteBriefs;
use crate::queue::keeper::Keeper;
use crate::registry::Registry;
use crate::rpc;
use crate::wire;
use enki_agent_claude::ClaudeAgent;
use enki_core::driver::{self, Backends as Driven, DriverError, Orchestrator, Settings};
use enki_core::store::TaskStore;
use enki_mcp::{Activity, Office, Passes};
use enki_store_sqlite::SqliteStore;
use enki_vcs_git::{DriftRule, GitProject, Policy, SideBranch};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The store's place in a project.
pub(crate) fn store_path(enki_dir: &Path) -> PathBuf {
    enki_dir.join("enki.db")
}

/// Where agents' output goes.
pub(crate) fn logs_dir(enki_dir: &Path) -> PathBuf {
    enki_dir.join("logs")
}

/// Opens the store to read, if there is one.
pub(crate) fn open_to_read(enki_dir: &Path) -> Result<Option<Arc<dyn TaskStore>>, CliError> {
    let path = store_path(enki_dir);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let store = SqliteStore::open_read_only(path)?;
    Ok(Some(Arc::new(store)))
}

/// An orchestrator of this process.
pub(crate) struct Session {
    pub(crate) store: Arc<dyn TaskStore>,
    pub(crate) orchestrator: Orchestrator,
    /// Where tools are called.
    pub(crate) office: Office,
    /// Until it was waited for.
    driver: Option<JoinHandle<Result<(), DriverError>>>,
    /// How it ended, until that was told.
    ended: Result<(), CliError>,
    keeper: Keeper,
    server: rpc::Server,
    git: GitProject,
    _lock: ProjectLock,
}

impl Session {
    /// Takes the lock and starts to drive everything that is open in the project.
    pub(crate) async fn start(
        cx: &Context,
        git: &GitProject,
        config: &Config,
        agents: &wire::Agents,
    ) -> Result<Self, CliError> {
        let enki_dir = git.ensure_enki_dir()?;
        let lock = ProjectLock::require(&enki_dir, &cx.host)?;
        // Whoever drove before is gone; what it may have left is ended before anything new starts.
        let marker = wire::marker(git.root())?;
        let reaped = marker.clone();
        let reaped = tokio::task::spawn_blocking(move || enki_process::reap_orphans(&reaped)).await;
        let trouble = match reaped {
            Ok(hunted) => hunted.trouble(),
            Err(error) => Some(format!("may live, because the search for them failed: {error}")),
        };
        if let Some(trouble) = trouble {
            let message = format!("processes of an earlier run {trouble}");
            return Err(
                CliError::environment(message).hint("find them by ENKI_PROJECT in their environment and end them")
            );
        }
        let store: Arc<dyn TaskStore> =
            Arc::new(SqliteStore::open(store_path(&enki_dir), &wire::store_options(config))?);
        agents.sandbox.tidy();
        git.confine_commands(agents.sandbox.of_commands());
        let results = notes::results(config, git)?;
        results.as_ref().map(SideBranch::require_unused).transpose()?;
        let mut policy = policy(config, git, store.as_ref()).await?;
        policy.side = results.as_ref().map(|results| results.branch().clone());
        git.set_policy(policy);
        let clients = agents.clients.clone();
        git.watch_outside(move || {
            let looked: Result<Vec<_>, _> = clients.iter().map(ClaudeAgent::trusted).collect();
            Ok(looked?.into_iter().flatten().collect())
        });
        let workspaces = Arc::new(agents.workspaces.clone());
        let refinery = Arc::new(git.refinery().commit_suffix(config.text("git.commit_suffix")));
        let mut driven = Driven::new(Arc::clone(&store), workspaces, refinery, Arc::clone(&agents.worker));
        driven.reviewer.clone_from(&agents.reviewer);
        driven.recall = wire::recall(config, &cx.host, git.root());
        driven.briefs = Some(Arc::new(NoteBriefs::new(git.root(), &cx.host)?));
        let passes = Passes::default();
        if let Some(program) = &cx.host.supervisor {
            let admission = Admission::new(program.clone(), git.root(), &enki_dir, passes.clone());
            let admission =
                admission.map(|admission| admission.with_mail(config.on("mail.enabled"))).map_err(|error| {
                    CliError::environment(format!("cannot make {}: {error}", enki_dir.join("attempts").display()))
                        .hint("check the folder's permissions")
                })?;
            driven.tools = Some(Arc::new(admission));
        }
        let mut settings = Settings::new(lock.holder.clone(), logs_dir(&enki_dir));
        settings.limits = wire::limits(config);
        settings.limits.sandbox = Some(agents.sandbox.level.number());
        settings.boot.clone_from(&cx.host.boot);
        settings.redactor = wire::redactor(config, &cx.host);
        if !agents.may_start {
            settings.limits.runs = 0;
        }
        settings.timeout = Duration::from_secs(config.int("workers.timeout"));
        (settings.roles, settings.prompts) = (agents.words.roles.clone(), agents.words.prompts.clone());
        settings.chains = agents.words.chains.clone();
        settings.reviews = agents.words.reviews.clone();
        settings.idle_timeout = Duration::from_secs(config.int("workers.stall"));
        let mail = wire::mail(config, &cx.host, &store, &lock.holder).await?;
        let keeping = Registry::keeping(&cx.host, git.root())?;
        let (orchestrator, driver) = driver::start(driven, settings).await?;
        let project = Configured::new(git.root().to_owned(), config.clone(), agents.clone(), cx);
        let activity = Activity::default();
        let office = Office::new(Arc::new(orchestrator.clone()), Arc::new(project), activity.clone(), passes);
        let office = mail.into_iter().fold(office, Office::with_mail);
        let workspaces = Some(agents.workspaces.clone());
        let office = office.with_calls(bench::calls(git.root(), &enki_dir, config, &cx.host, workspaces));
        let service = rpc::Service {
            orchestrator: orchestrator.clone(),
            store: Arc::clone(&store),
            activity,
            office: office.clone(),
            marker,
        };
        let server = rpc::Server::start(&enki_dir, service)?;
        let (person, own) = (git.clone(), config.clone());
        let keeper = Keeper::start(Arc::clone(&store), orchestrator.watch(), move || {
            notes::signed_log(&person, &own, keeping, results)
        });
        let (driver, ended, git) = (Some(driver), Ok(()), git.clone());
        Ok(Self { store, orchestrator, office, driver, ended, keeper, server, git, _lock: lock })
    }

    /// Waits until the driver has ended by itself, and notes say so. May be dropped and asked again.
    pub(crate) async fn ended(&mut self) -> Result<(), CliError> {
        if let Some(driver) = &mut self.driver {
            self.ended = match driver.await {
                Ok(result) => result.map_err(CliError::from),
                Err(error) => Err(CliError::new(crate::Exit::Internal, format!("the orchestrator ended: {error}"))),
            };
            self.driver = None;
            let git = self.git.clone();
            let looked = tokio::task::spawn_blocking(move || git.look_again()).await;
            if let Ok(Err(error)) = looked {
                tracing::warn!(%error, "it is not sure that git kept all that was published");
            }
        }
        self.keeper.finish().await;
        std::mem::replace(&mut self.ended, Ok(()))
    }

    /// Whether the driver has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.driver.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops to listen and gives the lock back. The driver has ended.
    pub(crate) fn close(self) {
        self.server.stop();
    }
}

/// What agents may not do: change what the checks run, unless the person's own configuration allows it.
async fn policy(config: &Config, git: &GitProject, store: &dyn TaskStore) -> Result<Policy, CliError> {
    let mut checks = vec![config.text("refinery.check").to_owned()];
    // An execution goes on with the check that it was started with.
    for open in store.list(&look::listed(true, u32::MAX)).await? {
        checks.extend(look::load(store, open.execution).await?.gate().map(|gate| gate.command.clone()));
    }
    let mut policy = Policy::default();
    policy.protected = checks.iter().flat_map(|check| files_run_by(check, git.root())).collect();
    policy.allowed = config.list("isolation.allow");
    policy.drift = if config.text("isolation.drift") == "fail" { DriftRule::Fail } else { DriftRule::Note };
    Ok(policy)
}
