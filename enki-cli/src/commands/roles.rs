//! `enki roles`.

use super::Context;
use crate::error::CliError;
use crate::exit::Exit;
use enki_core::plan::nearest;
use enki_core::role::{ROLES, Role, RoleOutput, role};
use serde_json::json;

pub(super) fn run(cx: &mut Context, name: Option<&str>) -> Result<Exit, CliError> {
    let shown: Vec<&Role> = match name {
        None => ROLES.iter().collect(),
        Some(name) => vec![role(name).ok_or_else(|| {
            let hint = match nearest(name, ROLES.iter().map(|role| role.name)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "`enki roles` lists them".to_owned(),
            };
            CliError::usage(format!("no role {name:?}")).hint(hint)
        })?],
    };
    let puts_out = |role: &Role| match role.output {
        RoleOutput::Artifact => "artifact",
        _ => "branch",
    };
    if cx.out.json {
        let roles: Vec<_> = shown
            .iter()
            .map(|role| json!({"name": role.name, "description": role.description, "output": puts_out(role)}))
            .collect();
        cx.out.object(&json!({"schema": "enki.roles.v1", "roles": roles}))?;
        return Ok(Exit::Ok);
    }
    for role in shown {
        cx.out.line(&format!("{:<18} {:<9} {}", role.name, puts_out(role), role.description))?;
    }
    Ok(Exit::Ok)
}
