//! `enki pause`, `cancel`, `retry`, `add`, `decide`, `stop`: over the socket of whoever drives, or, with nobody
//! driving, applied to the store.

use super::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::lock::{self, ProjectLock};
use crate::offline::Offline;
use crate::project::Project;
use crate::rpc::Client;
use crate::session::store_path;
use crate::steer::{self, Action, Done};
use crate::wire;
use crate::words::Words;
use enki_core::plan::PlanLimits;
use enki_core::spec::{DefaultsSpec, PlanSpec};
use enki_core::store::TaskStore;
use enki_store_sqlite::SqliteStore;
use serde_json::json;
use std::sync::Arc;

pub(super) async fn run(cx: &mut Context, action: Action) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    if matches!(action, Action::Stop) && !store_path(&project.state_dir()).exists() {
        cx.out.note("nothing is open");
        return Ok(Exit::Ok);
    }
    let (done, driven) = perform(cx, action).await?;
    say(cx, &done, driven)
}

/// Has whoever drives do it, or does it to what is stored. Whether somebody drives comes with it.
pub(crate) async fn perform(cx: &mut Context, action: Action) -> Result<(Done, bool), CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let enki_dir = project.state_dir();
    if !store_path(&enki_dir).exists() {
        return Err(CliError::new(Exit::NotFound, "there is no execution yet").hint("start one with `enki run PLAN`"));
    }
    if let Some(mut client) = Client::connect(&enki_dir).await? {
        let params = serde_json::to_value(&action).map_err(|e| CliError::new(Exit::Internal, e.to_string()))?;
        let done = client.call("steer", params).await?;
        let done: Done = serde_json::from_value(done).map_err(|e| CliError::new(Exit::Internal, e.to_string()))?;
        return Ok((done, true));
    }
    let config = cx.config(Some(&project))?;
    let lock = match ProjectLock::take(&enki_dir, &cx.host)? {
        Ok(lock) => lock,
        Err(holder) => return Err(lock::locked(holder.as_ref())),
    };
    let store: Arc<dyn TaskStore> = Arc::new(SqliteStore::open(store_path(&enki_dir), &wire::store_options(&config))?);
    let limits = wire::limits(&config);
    let words = Words::load(&cx.host, Some(&project.root))?.configured(&config)?;
    let plan_limits = PlanLimits { max_steps: limits.max_steps, ..words.plan_limits() };
    let mut offline = Offline::open(Arc::clone(&store), &lock.holder, limits, cx.host.clock).await?;
    let done = steer::perform(&mut offline, store.as_ref(), action, plan_limits).await;
    offline.close().await?;
    Ok((done?, false))
}

/// Says what became of it.
pub(super) fn say(cx: &mut Context, done: &Done, driven: bool) -> Result<Exit, CliError> {
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.steer.v1", "execution_ids": done.executions, "status": done.status,
            "draining": done.draining, "message": done.message, "driven": driven}))?;
        return Ok(Exit::Ok);
    }
    cx.out.line(&done.message)?;
    if !done.draining.is_empty() {
        cx.out.note(&format!("still running: {}", done.draining.join(", ")));
    }
    if !driven && done.status == "running" {
        cx.out.note("nobody drives this project now; `enki resume` does");
    }
    Ok(Exit::Ok)
}

/// What a file of added steps may not say: the execution has it already, and it would be ignored in silence.
pub(super) fn only_steps(spec: &PlanSpec) -> Result<(), CliError> {
    let said = [
        ("target", spec.target.is_some()),
        ("area", spec.area.is_some()),
        ("land", spec.land.is_some()),
        ("recipe", spec.recipe.is_some()),
        ("class", spec.class.is_some()),
        ("priority", spec.priority.is_some()),
        ("at", spec.at.is_some()),
        ("after", spec.after.is_some()),
        ("request_id", spec.request_id.is_some()),
        ("defaults", spec.defaults != DefaultsSpec::default()),
        ("budget", spec.budget.is_some()),
    ];
    let said: Vec<&str> = said.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
    if said.is_empty() {
        return Ok(());
    }
    let message = format!("added steps cannot change the execution's {}", said.join(", "));
    Err(CliError::usage(message).hint("leave it out, or say it in each step; nothing was added"))
}
