//! `enki status --chains`: the review chains that go on.

use super::Context;
use crate::chains;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::project::Project;
use crate::render::{self, Paint};
use crate::session::open_to_read;
use serde_json::json;

/// Executions of which chains are listed.
const LISTED: u32 = 1000;

pub(super) async fn list(cx: &mut Context, id: Option<&str>) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let store = open_to_read(&project.state_dir())?;
    let mut open = Vec::new();
    match (id, &store) {
        (Some(_), None) => drop(super::see::store(cx)?),
        (None, None) => {}
        (Some(id), Some(store)) => {
            let named = look::find(store.as_ref(), Some(id)).await?;
            open = chains::open(store, named.execution).await?;
            if let Some(step) = named.step {
                let step = look::load(store.as_ref(), named.execution).await?.plan().step(step).id.to_string();
                open.retain(|chain| chain.step == step);
            }
        }
        (None, Some(store)) => {
            for summary in store.list(&look::listed(true, LISTED)).await? {
                open.extend(chains::open(store, summary.execution).await?);
            }
        }
    }
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.chains.v1", "chains": open}))?;
    } else {
        let text = render::open_chains(&open, cx.host.now(), Paint(cx.out.color_out));
        cx.out.write(&text)?;
    }
    Ok(Exit::Ok)
}
