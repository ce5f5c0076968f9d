//! `enki run` and `enki resume`.

use super::Context;
use crate::args::{Overrides, RunArgs};
use crate::budget;
use crate::clients;
use crate::config::Config;
use crate::drive::{self, Answers};
use crate::error::CliError;
use crate::exit::Exit;
use crate::graph::Graph;
use crate::look;
use crate::notes;
use crate::plan_file::PlanFile;
use crate::project::Project;
use crate::render;
use crate::rpc::Client;
use crate::session::{Session, open_to_read};
use crate::steer::{Action, Done};
use crate::wire;
use enki_core::advice::approval::{self, Author};
use enki_core::advice::{classify_plan, recipe};
use enki_core::branch::Branch;
use enki_core::budget::{Budget, BudgetOf};
use enki_core::driver::Submission;
use enki_core::execution::Command;
use enki_core::execution::ProjectKind;
use enki_core::plan::{External, PathPart, Plan, PlanLimits, PlanProblem, PlanProblems};
use enki_core::spec::{BudgetSpec, Land, PlanSpec, RECIPES, StepSpec};
use enki_core::store::{Found, TaskStore};
use enki_core::time::Timestamp;
use enki_vcs_git::{GitProject, Head};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) async fn run(cx: &mut Context, args: RunArgs) -> Result<Exit, CliError> {
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let config = configured(cx, &git, &args.overrides)?;
    let file = match &args.plan {
        Some(path) => Some(cx.plan_file(path)?),
        None => None,
    };
    let mut spec = match (&file, &args.task) {
        (Some(file), _) => file.spec.clone(),
        (None, task) => single(task.as_deref().unwrap_or_default(), args.description.as_deref()),
    };
    override_plan(&mut spec, &args.overrides)?;
    let target = target(&git, &config, spec.target.as_deref())?;
    let agents = wire::agents(&cx.backends, &config, &cx.host, &git)?;
    let gate = wire::gate(&config, &cx.host, git.root())?;
    let store = open_to_read(&git.enki_dir())?;
    checked(file.as_ref(), &unshaped(&spec), store.as_ref(), &agents.words.plan_limits()).await?;
    let written = spec.fingerprint();
    let root = git.root().to_owned();
    let mut shaped = recipe::apply(&spec, &|folder| root.join(folder).is_dir());
    if shaped.is_changed() {
        // The steps that a recipe adds say nothing of what the person wants.
        shaped.spec.class = Some(classify_plan(&spec).class);
    }
    let fingerprint = shaped.done.is_some().then_some(written);
    let author = if shaped.is_changed() { Author::Recipe } else { Author::Person };
    let recipe = shaped.done.as_ref().map(recipe_line);
    spec = shaped.spec;
    let plan = checked(None, &spec, store.as_ref(), &agents.words.plan_limits()).await?;
    drop(store);
    if !args.dry_run {
        cx.out.note(&agents.sandbox.line());
    }
    if wire::default_reviews(&mut spec, &config, &agents)? {
        cx.out.note(
            "no reviewer is configured for this agent (agent.reviewer), so steps that do not ask for a review get none",
        );
    }
    if args.dry_run {
        recipe.iter().for_each(|line| cx.out.note(line));
        return dry(cx, &plan, &target, gate.as_ref().map(|gate| gate.command.as_str()), &agents.name);
    }
    let advice = file
        .as_ref()
        .filter(|_| config.on("lint.enabled"))
        .map_or(0, |file| file.advice(&wire::lint_options(&config)).len());
    if let (Some(path), 1..) = (&args.plan, advice) {
        let pieces = if advice == 1 { "1 piece".to_owned() } else { format!("{advice} pieces") };
        cx.out.note(&format!("{pieces} of advice on the plan: enki plan check {}", path.display()));
    }
    for warning in &git.facts().warnings {
        cx.out.note(&format!("warning: {warning}"));
    }
    budget::fill_in(&mut spec, &config);
    let mut submission = Submission::new(spec, target);
    submission.gate = gate;
    submission.start_at = start_time(&plan);
    if git.is_folder() {
        submission.project = ProjectKind::Folder;
    }
    let held = approval::is_held(author, plan.steps().len(), wire::decomposition(&config));
    submission.approval = held;
    submission.fingerprint = fingerprint;
    wire::record_folder(&git, &mut cx.out)?;
    clients::check(cx, &agents.clients, &git.ensure_enki_dir()?).await?;
    let session = Session::start(cx, &git, &config, &agents).await?;
    let accepted = session.orchestrator.submit(submission).await?;
    if accepted.known {
        cx.out.note(&format!("{} is this plan already; it goes on", accepted.execution));
    } else {
        recipe.iter().for_each(|line| cx.out.note(line));
        if held {
            cx.out.note("what it would do waits for your approval (approval.decomposition):");
            render::waves(&plan).iter().for_each(|line| cx.out.note(&format!("  {line}")));
        }
    }
    let (state, exit) = drive::drive(cx, session, accepted.execution, Answers::Person).await?;
    drive::summary(cx, &state, exit, &git).await?;
    Ok(exit)
}

pub(super) async fn resume(cx: &mut Context, id: Option<String>, overrides: &Overrides) -> Result<Exit, CliError> {
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let enki_dir = git.enki_dir();
    let more = budget::limits(of_flags(overrides)?);
    if let Some(mut client) = Client::connect(&enki_dir).await? {
        let action = Action::Resume { id, budget: more };
        let done = client.call("steer", serde_json::to_value(action).unwrap_or_default()).await?;
        return super::steer::say(cx, &serde_json::from_value::<Done>(done).map_err(internal)?, true);
    }
    let store = open_to_read(&enki_dir)?;
    let Some(store) = store else {
        return Err(CliError::new(Exit::NotFound, "there is no execution yet").hint("start one with `enki run PLAN`"));
    };
    let named = look::find(store.as_ref(), id.as_deref()).await?;
    drop(store);
    let config = configured(cx, &git, overrides)?;
    let agents = wire::agents(&cx.backends, &config, &cx.host, &git)?;
    cx.out.note(&agents.sandbox.line());
    wire::record_folder(&git, &mut cx.out)?;
    clients::check(cx, &agents.clients, &git.ensure_enki_dir()?).await?;
    let session = Session::start(cx, &git, &config, &agents).await?;
    let orchestrator = session.orchestrator.clone();
    orchestrator.load(named.execution).await?;
    let now = cx.host.now();
    let waits = move |engine: &enki_core::engine::Engine| {
        engine.execution(named.execution).is_some_and(|e| {
            let held = e.is_paused() || !e.holds().is_empty();
            e.ended().is_some() || held || e.service_waits(now).next().is_some()
        })
    };
    if more != Budget::default() {
        let of = named.step.map_or(BudgetOf::Execution, BudgetOf::Step);
        orchestrator.command(named.execution, Command::Budget { of, budget: more }).await?;
    }
    if named.step.is_some() || orchestrator.query(waits).await? {
        orchestrator.command(named.execution, Command::Resume(named.step)).await?;
    }
    let (state, exit) = drive::drive(cx, session, named.execution, Answers::Person).await?;
    drive::summary(cx, &state, exit, &git).await?;
    Ok(exit)
}

/// The plan as written, without a recipe that is still to be applied.
fn unshaped(spec: &PlanSpec) -> PlanSpec {
    let recipe = spec.recipe.clone().filter(|recipe| !RECIPES.contains(&recipe.as_str()));
    PlanSpec { recipe, ..spec.clone() }
}

/// What a recipe did, in one line.
pub(super) fn recipe_line(done: &recipe::Done) -> String {
    match done {
        recipe::Done::ScaffoldFirst { scaffold, tests } => {
            format!("recipe scaffold-first: {scaffold:?} comes first and {tests:?} last")
        }
        recipe::Done::Skipped(skip) => format!("recipe scaffold-first is skipped: {skip}"),
        _ => "the recipe was applied".to_owned(),
    }
}

fn internal(error: serde_json::Error) -> CliError {
    CliError::new(Exit::Internal, error.to_string())
}

/// The configuration with the flags of this call.
pub(crate) fn configured(cx: &mut Context, git: &GitProject, overrides: &Overrides) -> Result<Config, CliError> {
    let project = Project { root: git.root().to_owned() };
    let mut config = cx.config(Some(&project))?;
    if let Some(agent) = &overrides.agent {
        let mut words = agent.split_whitespace();
        let command = words.next().ok_or_else(|| CliError::usage("--agent is empty").hint("name a program"))?;
        let rest: Vec<&str> = words.collect();
        // A path given by hand is one of the folder it was given in.
        let path = cx.start_dir()?.join(command);
        let command = if command.contains('/') { path.to_str().unwrap_or(command) } else { command };
        if command != config.text("agent.command") || !rest.is_empty() {
            config.flag("agent.args", "--agent", &json!(rest).to_string())?;
        }
        config.flag("agent.command", "--agent", command)?;
    }
    if let Some(check) = &overrides.check {
        config.flag("refinery.check", "--check", check)?;
    }
    if let Some(jobs) = &overrides.jobs {
        config.flag("workers.max_workers", "--jobs", jobs)?;
    }
    Ok(config)
}

/// A plan of one step.
fn single(title: &str, description: Option<&str>) -> PlanSpec {
    let step = StepSpec {
        id: "task".to_owned(),
        title: title.to_owned(),
        description: description.unwrap_or(title).to_owned(),
        ..StepSpec::default()
    };
    PlanSpec { steps: vec![step], ..PlanSpec::default() }
}

fn override_plan(spec: &mut PlanSpec, overrides: &Overrides) -> Result<(), CliError> {
    if let Some(target) = &overrides.target {
        let branch: Branch = target.parse().map_err(|error: enki_core::id::InvalidId| {
            CliError::usage(format!("invalid value for --target: {error}"))
                .hint("name a local branch, or one of a remote as in origin:main")
        })?;
        spec.target = Some(branch.to_string());
    }
    if let Some(land) = overrides.land {
        spec.land = Some(if land == crate::args::LandWhen::End { Land::End } else { Land::Each });
    }
    let budget = of_flags(overrides)?;
    if budget != BudgetSpec::default() {
        spec.budget = Some(budget.or(spec.budget.unwrap_or_default()));
    }
    Ok(())
}

fn of_flags(overrides: &Overrides) -> Result<BudgetSpec, CliError> {
    budget::flags("--budget", overrides.budget_usd.as_deref(), overrides.budget_tokens.as_deref())
}

/// The branch on which the work lands (bad inputs 4 to 6).
pub(super) fn target(git: &GitProject, config: &Config, named: Option<&str>) -> Result<Branch, CliError> {
    let branch = match (named, git.head()) {
        (Some(name), _) => git.resolve_branch(name)?.0,
        (None, Head::Branch(branch, _)) => branch.clone(),
        (None, Head::Detached(commit)) => {
            let message = format!("HEAD is detached at {}, so there is no branch to land on", commit.short());
            return Err(CliError::usage(message).hint("name one with --target BRANCH"));
        }
    };
    match notes::results(config, git)? {
        Some(results) if *results.branch() == branch => {
            let message = format!("work cannot land on {branch}: results of notes are committed to it (log.branch)");
            Err(CliError::usage(message).hint("name another one with --target BRANCH, or another log.branch"))
        }
        _ => Ok(branch),
    }
}

/// Checks the plan before anything is made, so that problems are shown at their place.
async fn checked(
    file: Option<&PlanFile>,
    spec: &PlanSpec,
    store: Option<&Arc<dyn TaskStore>>,
    limits: &PlanLimits,
) -> Result<Plan, CliError> {
    let mut externals: HashMap<String, External> = HashMap::new();
    for name in spec.external_names() {
        let found = match store {
            Some(store) => store.find(name).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let external = match found.as_slice() {
            [Found::Execution(execution)] => External { execution: *execution, step: None },
            [Found::Task { execution, ix, .. }] => External { execution: *execution, step: Some(*ix) },
            _ => continue,
        };
        externals.insert(name.to_owned(), external);
    }
    let located = |problems: PlanProblems| -> CliError {
        let hint = "fix the plan, then run the same command again; nothing was stored";
        match file {
            Some(file) => CliError::problems(file.locate(&problems), hint),
            None => CliError::usage(problems.to_string()).hint(hint),
        }
    };
    let plan = Plan::build(spec, limits, &externals).map_err(located)?;
    if plan.at.is_some() && start_time(&plan).is_none() {
        let problem = PlanProblem {
            path: vec![PathPart::Field("at")],
            also: None,
            message: format!("{:?} is not a time", plan.at.as_deref().unwrap_or_default()),
            help: "write it as in 2026-01-31T18:00:00Z, or \"now\"".into(),
        };
        return Err(located(PlanProblems(vec![problem])));
    }
    Ok(plan)
}

fn start_time(plan: &Plan) -> Option<Timestamp> {
    let at: jiff::Timestamp = plan.at.as_deref()?.parse().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

/// Says what would be done.
fn dry(cx: &mut Context, plan: &Plan, target: &Branch, check: Option<&str>, agent: &str) -> Result<Exit, CliError> {
    if cx.out.json {
        let steps: Vec<_> = plan.steps().iter().map(|step| step.id.as_str()).collect();
        cx.out.object(
            &json!({"schema": "enki.dry-run.v1", "title": plan.title, "steps": steps, "target": target.as_str(),
            "check": check, "agent": agent}),
        )?;
        return Ok(Exit::Ok);
    }
    cx.draw(&Graph::of_plan(plan), crate::args::Picture::default())?;
    cx.out.line(&format!(
        "\nwould land on {target}, checked by {}, worked on by {agent}; nothing was started",
        check.map_or_else(|| "nothing".to_owned(), |check| format!("{check:?}"))
    ))?;
    Ok(Exit::Ok)
}
