//! Checking a plan: every problem that is found, each with its place.

use super::problem::{PathPart, PlanProblem};
use super::{Brief, External, Need, NeedOn, Plan, PlanLimits, Step};
use crate::budget::Budget;
use crate::id::{StepId, StepIx};
use crate::review::{COMMAND_TIMEOUT, Review, Reviewer};
use crate::role::{Role, RoleOutput};
use crate::spec::{BudgetSpec, Condition, NeedSpec, PlanSpec, ReviewSpec, ReviewTable, ReviewWord, StepSpec};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A path into a plan: `at!["steps", n, "id"]`.
macro_rules! at {
    ($($part:expr),+) => { vec![$($crate::plan::PathPart::from($part)),+] };
}
pub(super) use at;

pub(super) struct Check<'a> {
    pub(super) problems: Vec<PlanProblem>,
    pub(super) externals: &'a HashMap<String, External>,
    pub(super) limits: &'a PlanLimits,
}

impl<'a> Check<'a> {
    pub(super) fn problem(&mut self, path: Vec<PathPart>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(PlanProblem { path, also: None, message: message.into(), help: help.into() });
    }

    pub(super) fn text(&mut self, path: Vec<PathPart>, ok: bool, say: impl FnOnce() -> (String, String)) {
        if !ok {
            let (message, help) = say();
            self.problem(path, message, help);
        }
    }

    pub(super) fn title(&mut self, path: Vec<PathPart>, title: &str) {
        let lines = title.lines().count();
        self.text(path, lines == 1 && !title.trim().is_empty() && title.chars().count() <= 120, || {
            let shown: String = title.chars().take(60).collect();
            (format!("{shown:?} is not a title"), "write one line of 1 to 120 characters".into())
        });
    }

    pub(super) fn steps(&mut self, old: &Plan, specs: &[StepSpec], plan: &PlanSpec) -> Vec<Step> {
        let first = old.steps.len();
        let mut index: HashMap<&str, usize> = HashMap::with_capacity(specs.len());
        for (n, spec) in specs.iter().enumerate() {
            if let Err(error) = spec.id.parse::<StepId>() {
                self.problem(at!["steps", n, "id"], error.to_string(), "rename the step");
            } else if old.find(&spec.id).is_some() {
                self.problem(
                    at!["steps", n, "id"],
                    format!("the execution has a step {:?} already", spec.id),
                    "rename the new one",
                );
            } else if let Some(other) = index.insert(&spec.id, n) {
                self.problems.push(PlanProblem {
                    path: at!["steps", n, "id"],
                    also: Some(at!["steps", other, "id"]),
                    message: format!("two steps have the id {:?}", spec.id),
                    help: "rename one of them".into(),
                });
            }
        }
        let resolve =
            |id: &str| index.get(id).map(|n| first + n).or_else(|| old.find(id).map(StepIx::index)).map(StepIx::at);
        let names = || index.keys().copied().chain(old.steps.iter().map(|step| step.id.as_str()));
        let mut steps: Vec<Step> = Vec::with_capacity(specs.len());
        for (n, spec) in specs.iter().enumerate() {
            let mut step = self.step(n, spec, plan);
            for (m, need) in spec.needs.iter().enumerate() {
                step.needs.extend(self.need(&resolve, at!["steps", n, "needs", m], need, spec, names()));
            }
            steps.push(step);
        }
        for (n, spec) in specs.iter().enumerate() {
            for (m, blocked) in spec.blocking.iter().enumerate() {
                match index.get(blocked.as_str()) {
                    Some(at) if *at != n => {
                        let on = NeedOn::Step(StepIx::at(first + n));
                        if !steps[*at].needs.iter().any(|need| need.on == on) {
                            steps[*at].needs.push(Need { on, condition: Condition::Merged });
                        }
                    }
                    Some(_) => self.problem(
                        at!["steps", n, "blocking", m],
                        format!("step {blocked:?} blocks itself"),
                        "remove it",
                    ),
                    None => {
                        let help = nearest(blocked, index.keys().copied())
                            .map_or("it must be a step given here".into(), |near| format!("did you mean {near:?}?"));
                        self.problem(at!["steps", n, "blocking", m], format!("no step {blocked:?}"), help);
                    }
                }
            }
        }
        if self.problems.is_empty()
            && let Some(cycle) = find_cycle(&steps, first)
        {
            let mut names: Vec<&str> = cycle.iter().map(|n| specs[*n].id.as_str()).collect();
            names.push(names[0]);
            let n = cycle[0];
            self.problem(
                at!["steps", n, "needs"],
                format!("these steps wait for each other: {}", names.join(" -> ")),
                "remove one of the needs",
            );
        }
        steps
    }

    /// What a step is about.
    pub(super) fn words(&mut self, n: usize, spec: &StepSpec) {
        self.title(at!["steps", n, "title"], &spec.title);
        self.text(
            at!["steps", n, "description"],
            !spec.description.trim().is_empty() && spec.description.len() <= 64 * 1024,
            || (format!("the description has {} bytes", spec.description.len()), "write 1 byte to 64 KiB".into()),
        );
    }

    fn step(&mut self, n: usize, spec: &StepSpec, plan: &PlanSpec) -> Step {
        self.words(n, spec);
        let name = spec.role.as_ref().or(plan.defaults.role.as_ref());
        let known = name.and_then(|name| self.role(at!["steps", n, "role"], name));
        // What the plan says counts before what the role says, whichever of its places the plan says it in.
        let timeout = spec.timeout.or(plan.defaults.timeout).or_else(|| known?.timeout);
        let review = spec.review.as_ref().or(plan.defaults.review.as_ref());
        self.text(at!["steps", n, "timeout"], timeout.is_none_or(|t| (1..=604_800).contains(&t)), || {
            ("the timeout is out of range".into(), "use 1 to 604800 seconds".into())
        });
        let budget = spec.budget.unwrap_or_default();
        let usual = plan.defaults.budget.unwrap_or_default();
        let (own, of_run) = (budget.of_step().or(usual.of_step()), budget.of_run().or(usual.of_run()));
        let budget = self.some_budget(at!["steps", n, "budget"], own);
        let run_budget = self.some_budget(at!["steps", n, "budget", "run"], of_run);
        let output = known.map_or_else(RoleOutput::default, |role| role.output);
        let brief = Brief {
            files: spec.scope.files.clone(),
            directories: spec.scope.directories.clone(),
            constraints: spec.constraints.clone(),
            skills: spec.skills.clone(),
            acceptance: spec.acceptance.clone(),
            done_when: spec.done_when.clone(),
        };
        Step {
            id: spec.id.parse().unwrap_or_default(),
            title: spec.title.as_str().into(),
            description: spec.description.as_str().into(),
            tier: spec.tier.or(plan.defaults.tier).or_else(|| known?.tier).unwrap_or_default(),
            role: known.map(|role| role.name.as_str().into()),
            output,
            read_only: known.is_some_and(|role| !role.edits()),
            model: spec.model.as_deref().map(Into::into),
            pinned: spec.pinned,
            needs: Vec::new(),
            checkpoint: spec.checkpoint,
            review: self.review(n, review),
            timeout: timeout.map(Duration::from_secs),
            budget,
            run_budget,
            priority: spec.priority.or(plan.priority).unwrap_or_default(),
            brief: (brief != Brief::default()).then(|| Box::new(brief)),
        }
    }

    /// The limits of an execution, where the least that may be is nothing.
    pub(super) fn budget(&mut self, mut path: Vec<PathPart>, spec: BudgetSpec) -> Budget {
        let money = spec.cost_usd.is_none_or(|usd| usd.is_finite() && (0.0..=1e6).contains(&usd));
        path.push("cost_usd".into());
        self.text(path, money, || ("not an amount of money".into(), "use a number from 0 to 1000000".into()));
        Budget { tokens: spec.tokens, cost_micro_usd: spec.cost_usd.filter(|_| money).map(micro_usd) }
    }

    /// Those of a step or of each of its runs. With nothing it could never start.
    fn some_budget(&mut self, path: Vec<PathPart>, spec: BudgetSpec) -> Budget {
        let budget = self.budget(path.clone(), spec);
        for (field, limit) in [("tokens", budget.tokens), ("cost_usd", budget.cost_micro_usd)] {
            let mut path = path.clone();
            path.push(field.into());
            self.text(path, limit != Some(0), || {
                ("with nothing the step could never start".into(), "use more than 0, or leave it out".into())
            });
        }
        budget
    }

    fn role(&mut self, path: Vec<PathPart>, name: &str) -> Option<&'a Role> {
        let (roles, found) = (&self.limits.roles, self.limits.roles.get(name));
        if found.is_none() {
            let all = || roles.names().collect::<Vec<_>>().join(", ");
            let help = nearest(name, roles.names())
                .map_or_else(|| format!("known roles: {}", all()), |near| format!("did you mean {near:?}?"));
            self.problem(path, format!("no role {name:?}"), help);
        }
        found
    }

    fn review(&mut self, n: usize, spec: Option<&ReviewSpec>) -> Option<Arc<Review>> {
        let table = match spec? {
            ReviewSpec::Word(ReviewWord::None) => return None,
            ReviewSpec::Word(ReviewWord::Code) => &ReviewTable::default(),
            ReviewSpec::Table(table) => table,
        };
        let default = &self.limits.reviews;
        let (min_score, max_fixes) =
            (table.min_score.unwrap_or(default.min_score), table.max_fixes.unwrap_or(default.max_fixes));
        self.text(at!["steps", n, "review", "min_score"], (0.0..=10.0).contains(&min_score), || {
            (format!("{min_score} is not a score"), "use a number from 0 to 10".into())
        });
        self.text(at!["steps", n, "review", "max_fixes"], max_fixes <= 100, || {
            (format!("{max_fixes} fixes are too many"), "use 0 to 100".into())
        });
        let command = table.command.as_deref();
        self.text(at!["steps", n, "review", "command"], command.is_none_or(|c| !c.trim().is_empty()), || {
            ("the command is empty".into(), "write what to run, or leave it out".into())
        });
        self.text(at!["steps", n, "review", "reviewer"], table.reviewer.is_none() || command.is_none(), || {
            ("an agent and a command cannot both review".into(), "leave one of `reviewer` and `command` out".into())
        });
        let timeout = table.timeout;
        self.text(at!["steps", n, "review", "timeout"], timeout.is_none_or(|t| (1..=604_800).contains(&t)), || {
            ("the timeout is out of range".into(), "use 1 to 604800 seconds".into())
        });
        self.text(at!["steps", n, "review", "timeout"], timeout.is_none() || command.is_some(), || {
            ("is the limit of a command, and there is none".into(), "leave it out, or add `command`".into())
        });
        if let Some(name) = &table.reviewer {
            self.role(at!["steps", n, "review", "reviewer"], name);
        }
        if let Some(own) = table.kind.as_deref().and_then(|kind| self.limits.chains.get(kind)) {
            return Some(self.own_chain(n, table, own));
        }
        let role = |usual: Option<&str>| Reviewer::Agent { role: table.reviewer.as_deref().or(usual).map(Into::into) };
        let reviewer = |usual| match command {
            Some(command) => Reviewer::Command {
                command: command.into(),
                timeout: timeout.map_or(COMMAND_TIMEOUT, Duration::from_secs),
            },
            None => role(usual),
        };
        let review = match table.kind.as_deref().unwrap_or("code") {
            "code" | "wrfc_loop" => Review::work_then_fix(reviewer(None), min_score, max_fixes),
            "review_only" => {
                self.text(at!["steps", n, "review", "max_fixes"], table.max_fixes.unwrap_or(0) == 0, || {
                    ("a review alone has no fixes".into(), "leave `max_fixes` out, or use another kind".into())
                });
                Review::review_only(reviewer(None), min_score)
            }
            "test_then_fix" => Review::test_then_fix(reviewer(Some("tester")), min_score, max_fixes),
            "fix_loop" => Review::fix_loop(reviewer(Some("tester")), min_score, max_fixes),
            kind => {
                let known: Vec<&str> = Review::KINDS.into_iter().chain(self.limits.chains.names()).collect();
                let near = super::nearest(kind, known.iter().copied());
                let hint = near.map_or_else(
                    || format!("use one of {}", known.join(", ")),
                    |near| format!("did you mean {near:?}?"),
                );
                self.problem(at!["steps", n, "review", "kind"], format!("no review of kind {kind:?}"), hint);
                return None;
            }
        };
        Some(Arc::new(self.with_defaults(n, review)))
    }

    /// What a step cannot say itself of a built-in kind.
    fn with_defaults(&mut self, n: usize, mut review: Review) -> Review {
        let defaults = &self.limits.reviews;
        review.reask = defaults.reask;
        match defaults.moves(&review.kind, review.max_fixes) {
            Ok(moves) => review.max_moves = moves,
            Err(set) => {
                let bound = Review::bound(review.max_fixes);
                let message = format!(
                    "{} fixes take up to {bound} moves, and review.max_transitions allows {set}",
                    review.max_fixes
                );
                let help =
                    format!("allow fewer fixes, or set review.max_transitions.{} to {bound} or more", review.kind);
                self.problem(at!["steps", n, "review", "max_fixes"], message, help);
            }
        }
        review
    }

    /// A chain of somebody's own says all but the limits, which a step may set for itself.
    fn own_chain(&mut self, n: usize, table: &ReviewTable, own: &Arc<Review>) -> Arc<Review> {
        self.text(at!["steps", n, "review", "kind"], table.reviewer.is_none() && table.command.is_none(), || {
            (format!("the chain {:?} says itself who reviews", own.kind), "leave `reviewer` and `command` out".into())
        });
        let mut review = Arc::clone(own);
        if self.limits.reviews.reask > 0 {
            Arc::make_mut(&mut review).reask = self.limits.reviews.reask;
        }
        if table.min_score.is_some() || table.max_fixes.is_some() {
            let made = Arc::make_mut(&mut review);
            made.min_score = table.min_score.unwrap_or(made.min_score);
            made.max_fixes = table.max_fixes.unwrap_or(made.max_fixes);
        }
        review
    }

    fn need<'n>(
        &mut self,
        resolve: &impl Fn(&str) -> Option<StepIx>,
        path: Vec<PathPart>,
        need: &NeedSpec,
        of: &StepSpec,
        names: impl Iterator<Item = &'n str>,
    ) -> Option<Need> {
        let on = if let Some(step) = &need.step {
            if *step == of.id {
                self.problem(path, format!("step {step:?} needs itself"), "remove it");
                return None;
            }
            let found = resolve(step);
            if found.is_none() {
                let help = nearest(step, names)
                    .map_or("it must be a step of this plan".into(), |near| format!("did you mean {near:?}?"));
                self.problem(path, format!("no step {step:?}"), help);
            }
            NeedOn::Step(found?)
        } else {
            let task = need.task.as_deref().unwrap_or_default();
            let found = self.externals.get(task);
            if found.is_none() {
                self.problem(path, format!("no task or execution {task:?}"), "see `enki status` for ids");
            }
            NeedOn::External(*found?)
        };
        Some(Need { on, condition: need.condition })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie in 0..=1e6 dollars")]
fn micro_usd(usd: f64) -> u64 {
    (usd * 1e6).round() as u64
}

/// The name that was probably meant.
#[must_use]
pub fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let limit = word.chars().count().div_ceil(3).clamp(1, 3);
    names.map(|name| (distance(word, name), name)).filter(|(d, _)| *d <= limit).min().map(|(_, name)| name)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(80).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

/// A cycle among new steps, as positions in `steps`; old steps never need new ones. Takes steps away while all their
/// needs are taken; what is left holds a cycle, found by walking needs.
fn find_cycle(steps: &[Step], first: usize) -> Option<Vec<usize>> {
    let inner = |step: &Step| {
        let on = |need: &Need| match need.on {
            NeedOn::Step(ix) => ix.index().checked_sub(first),
            NeedOn::External(_) => None,
        };
        step.needs.iter().filter_map(on).collect::<Vec<usize>>()
    };
    let needs: Vec<Vec<usize>> = steps.iter().map(inner).collect();
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for (n, on) in needs.iter().enumerate() {
        for m in on {
            dependents[*m].push(n);
        }
    }
    let mut free: Vec<usize> = (0..steps.len()).filter(|n| open[*n] == 0).collect();
    let mut taken = 0;
    while let Some(n) = free.pop() {
        taken += 1;
        for m in &dependents[n] {
            open[*m] -= 1;
            if open[*m] == 0 {
                free.push(*m);
            }
        }
    }
    if taken == steps.len() {
        return None;
    }
    let mut at = open.iter().position(|o| *o > 0)?;
    let mut seen: Vec<Option<usize>> = vec![None; steps.len()];
    let mut walk = Vec::new();
    while seen[at].is_none() {
        seen[at] = Some(walk.len());
        walk.push(at);
        at = *needs[at].iter().find(|m| open[**m] > 0)?;
    }
    Some(walk.split_off(seen[at]?))
}
