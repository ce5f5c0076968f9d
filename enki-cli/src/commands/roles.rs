//! `enki roles`.

use super::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::Project;
use crate::words::{Words, role_named};
use enki_core::role::{Role, RoleOrigin};
use serde_json::{Value, json};

pub(super) fn run(cx: &mut Context, name: Option<&str>) -> Result<Exit, CliError> {
    let project = cx.start_dir().ok().and_then(|start| Project::find(&start));
    let roles = Words::load(&cx.host, project.as_ref().map(|project| project.root.as_path()))?.roles;
    if let Some(name) = name {
        let (role, origin) = role_named(&roles, name)?;
        if cx.out.json {
            let mut shown = to_json(role, origin);
            shown["system_prompt"] = json!(role.system_prompt);
            cx.out.object(&json!({"schema": "enki.roles.v1", "roles": [shown]}))?;
            return Ok(Exit::Ok);
        }
        for (what, value) in rows(role, origin) {
            cx.out.line(&format!("{what:<12} {value}"))?;
        }
        cx.out.line(&format!("\n{}", role.system_prompt.trim_end()))?;
        return Ok(Exit::Ok);
    }
    if cx.out.json {
        let all: Vec<Value> = roles.iter().map(|(role, origin)| to_json(role, origin)).collect();
        cx.out.object(&json!({"schema": "enki.roles.v1", "roles": all}))?;
        return Ok(Exit::Ok);
    }
    for (role, origin) in roles.iter() {
        let from = if *origin == RoleOrigin::BuiltIn { String::new() } else { format!(" ({origin})") };
        cx.out.line(&format!("{:<18} {:<9} {}{from}", role.name, role.output.as_str(), role.description))?;
    }
    Ok(Exit::Ok)
}

fn to_json(role: &Role, origin: &RoleOrigin) -> Value {
    json!({"name": role.name, "label": role.label, "description": role.description, "can_edit": role.edits(),
        "output": role.output.as_str(), "tier": role.tier, "timeout": role.timeout, "tools": role.tools,
        "origin": origin.to_string()})
}

fn rows(role: &Role, origin: &RoleOrigin) -> Vec<(&'static str, String)> {
    let or = |value: Option<String>, default: &str| value.unwrap_or_else(|| default.to_owned());
    let tools = (!role.tools.is_empty()).then(|| role.tools.join(", "));
    vec![
        ("name", role.name.clone()),
        ("label", role.label.clone()),
        ("description", role.description.clone()),
        ("edits", if role.edits() { "yes" } else { "no" }.to_owned()),
        ("output", role.output.as_str().to_owned()),
        ("tier", or(role.tier.map(|tier| tier.to_string()), "the plan's, or standard")),
        ("timeout", or(role.timeout.map(|seconds| format!("{seconds} s")), "the plan's, or workers.timeout")),
        ("tools", or(tools, "the agent's usual ones")),
        ("origin", origin.to_string()),
    ]
}
