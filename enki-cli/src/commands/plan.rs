//! `enki plan check`, `graph`, `schema`.

use super::Context;
use crate::args::PlanCommand;
use crate::error::CliError;
use crate::exit::Exit;
use crate::graph::Graph;
use crate::plan_file::PlanFile;
use enki_core::id::ExecutionId;
use enki_core::plan::{External, Plan, PlanLimits};
use enki_core::spec::PlanSpec;
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;

pub(super) fn run(cx: &mut Context, command: PlanCommand) -> Result<Exit, CliError> {
    match command {
        PlanCommand::Check { file, strict } => check(cx, &file, strict),
        PlanCommand::Graph { file, picture } => {
            let read = cx.plan_file(&file)?;
            let mut graph = Graph::of_plan(&build(&read)?);
            for (node, step) in graph.nodes.iter_mut().zip(read.steps()) {
                let outside: Vec<&str> = step.needs.iter().filter_map(|need| need.task.as_deref()).collect();
                if !outside.is_empty() {
                    node.note = format!("{}, waits for {}", node.note, outside.join(", "));
                }
            }
            cx.draw(&graph, picture)?;
            Ok(Exit::Ok)
        }
        PlanCommand::Schema => {
            let schema = schemars::schema_for!(PlanSpec);
            let text = serde_json::to_string_pretty(&schema)
                .map_err(|error| CliError::new(Exit::Internal, error.to_string()))?;
            cx.out.line(&text)?;
            Ok(Exit::Ok)
        }
    }
}

fn check(cx: &mut Context, path: &Path, strict: bool) -> Result<Exit, CliError> {
    let file = cx.plan_file(path)?;
    let plan = build(&file)?;
    let advice = file.advice();
    let count = advice.list.len();
    let exit = if strict && count > 0 { Exit::Usage } else { Exit::Ok };
    if cx.out.json {
        cx.out
            .object(&json!({"schema": "enki.plan-check.v1", "file": path.display().to_string(), "title": plan.title,
            "steps": plan.steps().len(), "ok": exit == Exit::Ok, "problems": [], "advice": advice.to_json()}))?;
        return Ok(exit);
    }
    if count > 0 {
        let text = advice.render(cx.out.color);
        cx.out.say(&format!("{text}\n"));
    }
    let steps = plan.steps().len();
    let pieces = if count == 1 { "1 piece".to_owned() } else { format!("{count} pieces") };
    let advised = if count == 0 { String::new() } else { format!(", {pieces} of advice") };
    let word = if steps == 1 { "step" } else { "steps" };
    cx.out.line(&format!("{}: ok, {steps} {word}{advised}", path.display()))?;
    if exit != Exit::Ok {
        return Err(CliError::usage(format!("{}: {pieces} of advice, and --strict allows none", path.display()))
            .hint("follow the advice, or leave --strict out"));
    }
    Ok(exit)
}

/// Checks a plan by itself: names of tasks outside it are taken as known, since no store is asked.
fn build(file: &PlanFile) -> Result<Plan, CliError> {
    let outside = External { execution: ExecutionId::new(0), step: None };
    let externals: HashMap<String, External> =
        file.spec.external_names().map(|name| (name.to_owned(), outside)).collect();
    file.check(&PlanLimits::default(), &externals)
        .map_err(|problems| CliError::problems(problems, "fix the plan, then run the same command again"))
}
