//! `enki plan check`, `graph`, `prompt`, `schema`.

use super::Context;
use super::run::recipe_line;
use crate::args::PlanCommand;
use crate::config::Config;
use crate::error::CliError;
use crate::exit::Exit;
use crate::graph::Graph;
use crate::plan_file::PlanFile;
use crate::project::Project;
use crate::render;
use crate::source::{Problems, visible};
use crate::wire;
use crate::words::Words;
use enki_core::advice::assign::Suggestion;
use enki_core::advice::lint::Warning;
use enki_core::advice::recipe::{self, Done, Shaped};
use enki_core::advice::{Classification, Waves, classify_plan};
use enki_core::branch::Branch;
use enki_core::execution::{Execution, ProjectKind, Submitted};
use enki_core::id::{AttemptNo, ExecutionId, StepIx};
use enki_core::plan::{External, Plan, nearest};
use enki_core::spec::{PlanSpec, StepSpec};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub(super) fn run(cx: &mut Context, command: PlanCommand) -> Result<Exit, CliError> {
    match command {
        PlanCommand::Check { file, strict } => check(cx, &file, strict),
        PlanCommand::Graph { file, picture } => {
            let read = cx.plan_file(&file)?;
            let root = root(cx)?;
            let (shaped, plan, _) = build(cx, &read, &root)?;
            if let Some(done) = &shaped.done {
                cx.out.note(&recipe_line(done));
            }
            let mut graph = Graph::of_plan(&plan);
            for (node, step) in graph.nodes.iter_mut().zip(&shaped.spec.steps) {
                let outside: Vec<&str> = step.needs.iter().filter_map(|need| need.task.as_deref()).collect();
                if !outside.is_empty() {
                    node.note = format!("{}, waits for {}", node.note, outside.join(", "));
                }
            }
            cx.draw(&graph, picture)?;
            Ok(Exit::Ok)
        }
        PlanCommand::Prompt { file, step, purpose } => prompt(cx, &file, &step, purpose.into()),
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
    let root = root(cx)?;
    let (shaped, plan, words) = build(cx, &file, &root)?;
    let config = config(cx)?;
    let advice = file.advice(&wire::lint_options(&config));
    let placed = file.locate_advice(&advice);
    let table = wire::assignments(&config);
    let knows = |name: &str| words.roles.get(name).is_some();
    let suggest = |step: &StepSpec| Some((step.id.clone(), table.suggest(step, &file.spec.defaults, &knows)?));
    let suggestions: Vec<(String, Suggestion)> = file.steps().iter().filter_map(suggest).collect();
    let class = classify_plan(&file.spec);
    let count = advice.len();
    let exit = if strict && count > 0 { Exit::Usage } else { Exit::Ok };
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.plan-check.v1", "file": path.display().to_string(), "title": plan.title,
            "steps": plan.steps().len(), "ok": exit == Exit::Ok, "problems": [],
            "advice": advice_json(&file, &advice, &placed), "class": class_json(&class),
            "recipe": shaped.done.as_ref().map(recipe_json), "waves": waves_json(&plan),
            "width": Waves::of(&plan).width(), "suggestions": suggestions.iter().map(suggestion_json).collect::<Vec<_>>()}))?;
        return Ok(exit);
    }
    if count > 0 {
        let text = placed.render(cx.out.color);
        cx.out.say(&format!("{text}\n"));
    }
    let steps = plan.steps().len();
    let pieces = if count == 1 { "1 piece".to_owned() } else { format!("{count} pieces") };
    let advised = if count == 0 { String::new() } else { format!(", {pieces} of advice") };
    let word = if steps == 1 { "step" } else { "steps" };
    cx.out.line(&format!("{}: ok, {steps} {word}{advised}", path.display()))?;
    if let Some(done) = &shaped.done {
        cx.out.line(&recipe_line(done))?;
    }
    let name = class.class;
    let why = match class.is_known() {
        true => format!("({})", class.words.join(", ")),
        false => "(a guess: no word of the plan says what kind of work it is)".to_owned(),
    };
    let how = format!("{}; parallelism {}", name.strategy(), name.parallelism().as_str());
    cx.out.line(&format!("{} {}: {how}", name.as_str(), visible(&why)))?;
    for line in render::waves(&plan) {
        cx.out.line(&line)?;
    }
    for (step, suggestion) in suggestions.iter().filter(|_| cx.global.verbose > 0) {
        let role = suggestion.role.iter().map(|role| format!("role {role:?}"));
        let skills = (!suggestion.skills.is_empty()).then(|| format!("skills {}", suggestion.skills.join(", ")));
        let what: Vec<String> = role.chain(skills).collect();
        cx.out.line(&visible(&format!("{step} looks like {}: {}", suggestion.work.as_str(), what.join(", "))))?;
    }
    if exit != Exit::Ok {
        return Err(CliError::usage(format!("{}: {pieces} of advice, and --strict allows none", path.display()))
            .hint("follow the advice, or leave --strict out"));
    }
    Ok(exit)
}

fn advice_json(file: &PlanFile, advice: &[Warning], placed: &Problems) -> Value {
    let mut list = placed.to_json();
    for (value, warning) in list.as_array_mut().into_iter().flatten().zip(advice) {
        value["step"] = json!(file.steps()[warning.step].id);
        value["rule"] = json!(warning.rule.as_str());
    }
    list
}

fn class_json(class: &Classification) -> Value {
    json!({"name": class.class.as_str(), "known": class.is_known(), "words": class.words,
        "strategy": class.class.strategy(), "parallelism": class.class.parallelism().as_str()})
}

fn recipe_json(done: &Done) -> Value {
    match done {
        Done::ScaffoldFirst { scaffold, tests } => {
            json!({"name": "scaffold-first", "applied": true, "scaffold": scaffold, "tests": tests})
        }
        Done::Skipped(skip) => json!({"name": "scaffold-first", "applied": false, "why": skip.to_string()}),
        other => json!({"text": recipe_line(other)}),
    }
}

fn waves_json(plan: &Plan) -> Value {
    let ids = |wave: &[StepIx]| wave.iter().map(|ix| plan.step(*ix).id.to_string()).collect::<Vec<_>>();
    Waves::of(plan).iter().map(ids).collect()
}

fn suggestion_json((step, suggestion): &(String, Suggestion)) -> Value {
    json!({"step": step, "work": suggestion.work.as_str(), "role": suggestion.role, "skills": suggestion.skills})
}

/// The folder that scopes are relative to: the project's, or without one the working directory.
fn root(cx: &Context) -> Result<PathBuf, CliError> {
    let start = cx.start_dir()?;
    Ok(Project::find(&start).map_or(start, |project| project.root))
}

/// The configuration, as far as there is one: a plan can be looked at without a home too.
fn config(cx: &mut Context) -> Result<Config, CliError> {
    if cx.host.dir("HOME").is_none() && cx.host.dir("XDG_CONFIG_HOME").is_none() {
        return Ok(Config::default());
    }
    let project = Project::find(&cx.start_dir()?);
    cx.config(project.as_ref())
}

/// Checks a plan by itself: names of tasks outside it are taken as known, since no store is asked. Then shapes it by
/// its recipe.
fn build(cx: &mut Context, file: &PlanFile, root: &Path) -> Result<(Shaped, Plan, Words), CliError> {
    let project = Project::find(&cx.start_dir()?);
    let words = Words::load(&cx.host, project.as_ref().map(|project| project.root.as_path()))?;
    let words = words.configured(&config(cx)?)?;
    let outside = External { execution: ExecutionId::new(0), step: None };
    let externals: HashMap<String, External> =
        file.spec.external_names().map(|name| (name.to_owned(), outside)).collect();
    let hint = "fix the plan, then run the same command again";
    let limits = words.plan_limits();
    let plan = file.check(&limits, &externals).map_err(|problems| CliError::problems(problems, hint))?;
    let shaped = recipe::apply(&file.spec, &|folder| root.join(folder).is_dir());
    if !shaped.is_changed() {
        return Ok((shaped, plan, words));
    }
    let plan = Plan::build(&shaped.spec, &limits, &externals);
    let plan = plan.map_err(|problems| CliError::usage(problems.to_string()).hint(hint))?;
    Ok((shaped, plan, words))
}

/// What the first attempt of a step would be told, as far as the plan alone says.
fn prompt(cx: &mut Context, path: &Path, step: &str, purpose: Purpose) -> Result<Exit, CliError> {
    let file = cx.plan_file(path)?;
    let root = root(cx)?;
    let (_, plan, words) = build(cx, &file, &root)?;
    let Some(ix) = plan.find(step) else {
        let hint = nearest(step, plan.steps().iter().map(|step| step.id.as_str()))
            .map_or_else(|| "`enki plan graph` shows the steps".to_owned(), |near| format!("did you mean {near:?}?"));
        return Err(CliError::usage(format!("{}: no step {step:?}", path.display())).hint(hint));
    };
    let execution = Execution::new(&Submitted {
        id: ExecutionId::new(0),
        target: Branch::integration(ExecutionId::new(0)),
        land: plan.land,
        gate: None,
        origin: "preview".to_owned(),
        created: Timestamp(0),
        start_at: None,
        after: None,
        approval: false,
        project: ProjectKind::default(),
        plan: plan.into(),
    });
    let text = words.prompts.of_attempt(&execution, ix, AttemptNo(1), purpose);
    if cx.out.json {
        let role = execution.plan().step(ix).role_of(purpose, enki_core::review::StateIx::default());
        let system = role.and_then(|name| words.roles.get(name)).map(|role| role.system_prompt.as_str());
        cx.out.object(&json!({"schema": "enki.prompt.v1", "step": step, "purpose": purpose.as_str(), "role": role,
            "system_prompt": system, "prompt": text}))?;
    } else {
        cx.out.write(&text)?;
    }
    Ok(Exit::Ok)
}
