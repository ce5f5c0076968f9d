//! A checked plan: unique ids, known needs, no cycle, within the limits. The only way to one is [`Plan::build`].

mod amend;
mod check;
mod problem;
mod scope;

pub use amend::Amendment;
pub use check::nearest;
pub use problem::{PathPart, PlanProblem, PlanProblems};
pub use scope::Scope;

use crate::advice::{Class, classify_plan};
use crate::branch::Branch;
use crate::budget::{Budget, BudgetOf};
use crate::id::{ExecutionId, StepId, StepIx};
use crate::review::{Chains, Does, Review, ReviewDefaults, Reviewer, StateIx};
use crate::role::{RoleOutput, Roles};
use crate::spec::{AfterWhen, Condition, Land, PlanSpec, RECIPES, StepSpec};
use crate::tier::{Priority, Purpose, Tier};
use check::{Check, at};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A checked plan. Steps are only ever added at its end.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// One line.
    pub title: String,
    /// What it is about, may be empty.
    pub description: String,
    /// Branch on which the work lands, if the plan says so.
    pub target: Option<Branch>,
    /// When merged work reaches the target.
    pub land: Land,
    /// Priority of the whole plan.
    pub priority: Priority,
    /// The caller's idempotency key.
    pub request_id: Option<String>,
    /// Hash of the spec it came from.
    pub fingerprint: String,
    /// Kind of work, said or seen when it was checked; none of one that was stored before that was.
    pub class: Option<Class>,
    /// Start not before this time, as written: RFC 3339. The caller of the machines turns it into a timestamp.
    pub at: Option<String>,
    /// Start not before that execution ended.
    pub after: Option<(ExecutionId, AfterWhen)>,
    /// What it may cost.
    pub budget: Budget,
    steps: Vec<Step>,
    links: Vec<Links>,
    index: HashMap<StepId, StepIx>,
    externals: Vec<(External, Vec<(StepIx, Condition)>)>,
}

/// One checked step.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of `StepSpec`, checked and with defaults filled in")]
pub struct Step {
    pub id: StepId,
    pub title: Box<str>,
    pub description: Box<str>,
    pub tier: Tier,
    pub role: Option<Box<str>>,
    pub output: RoleOutput,
    /// Whether its attempts may change no source, as its role said when the plan was checked.
    pub read_only: bool,
    pub model: Option<Box<str>>,
    pub pinned: bool,
    pub needs: Vec<Need>,
    pub checkpoint: bool,
    pub review: Option<Arc<Review>>,
    pub timeout: Option<Duration>,
    /// What all its attempts together may use.
    pub budget: Budget,
    /// What each of its attempts may use.
    pub run_budget: Budget,
    pub priority: Priority,
    pub brief: Option<Box<Brief>>,
}

/// The parts of a step that only its prompt uses.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of `StepSpec`")]
pub struct Brief {
    pub files: Vec<String>,
    pub directories: Vec<String>,
    pub constraints: Vec<String>,
    pub skills: Vec<String>,
    pub acceptance: Vec<String>,
    pub done_when: Option<String>,
}

impl Step {
    /// The role of reviews, unless the step names another one.
    pub const REVIEWER: &str = "reviewer";

    /// The role of an attempt for that purpose, in that state of the step's review.
    #[must_use]
    pub fn role_of(&self, purpose: Purpose, at: StateIx) -> Option<&str> {
        match purpose {
            Purpose::Review => Some(match self.review.as_ref().map(|review| &review.state(at).does) {
                Some(Does::Review(Reviewer::Agent { role: Some(role) })) => role,
                _ => Self::REVIEWER,
            }),
            Purpose::Work | Purpose::Fix | Purpose::Resolve => self.role.as_deref(),
        }
    }

    /// The tier of an attempt for that purpose: reviews are at least standard (model section 10).
    #[must_use]
    pub fn tier_of(&self, purpose: Purpose) -> Tier {
        match purpose {
            Purpose::Review => self.tier.max(Tier::Standard),
            Purpose::Work | Purpose::Fix | Purpose::Resolve => self.tier,
        }
    }

    /// Whether a review can find a promise unkept: then even an empty change is reviewed.
    #[must_use]
    pub fn promises(&self) -> bool {
        self.brief.as_ref().is_some_and(|b| b.done_when.is_some() || !b.acceptance.is_empty())
    }
}

/// Something a step waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Need {
    /// What.
    pub on: NeedOn,
    /// Until what.
    pub condition: Condition,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NeedOn {
    /// A step of the same plan.
    Step(StepIx),
    /// A task or execution outside.
    External(External),
}

/// A task of another execution, or (without a step) the execution as a whole.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct External {
    /// Which execution.
    pub execution: ExecutionId,
    /// Which of its steps.
    pub step: Option<StepIx>,
}

/// Edges out of a step, and what the order of starts derives from them and from its scope.
#[derive(Clone, Debug, Default, PartialEq)]
struct Links {
    dependents: Vec<(StepIx, Condition)>,
    below: u32,
    scope: Option<Arc<Scope>>,
}

/// What plans are held against.
#[derive(Clone, Debug)]
pub struct PlanLimits {
    /// Largest number of steps, added ones included.
    pub max_steps: usize,
    /// The roles that steps may have. What a role decides is copied into the step.
    pub roles: Roles,
    /// Review chains of people's own, beside the built-in kinds. The one that a step names is copied into it.
    pub chains: Chains,
    /// What reviews are like that say no more.
    pub reviews: ReviewDefaults,
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self {
            max_steps: 1000,
            roles: Roles::built_in(),
            chains: Chains::default(),
            reviews: ReviewDefaults::default(),
        }
    }
}

/// Steps that were checked against a plan as it was then. Their needs name its steps by their places, so they fit no
/// other plan, nor the same one once it has grown.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    steps: Vec<Step>,
    upon: usize,
}

impl Added {
    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many steps the plan had.
    #[must_use]
    pub const fn upon(&self) -> usize {
        self.upon
    }

    /// The steps alone.
    #[must_use]
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

impl Plan {
    /// Checks a spec. `externals` holds what the names of [`PlanSpec::external_names`] stand for.
    ///
    /// # Errors
    ///
    /// All problems found, each with the path of the field it is about. Nothing has happened then.
    pub fn build(
        spec: &PlanSpec,
        limits: &PlanLimits,
        externals: &HashMap<String, External>,
    ) -> Result<Self, PlanProblems> {
        let mut check = Check { problems: Vec::new(), externals, limits };
        check.text(at!["schema"], spec.schema.as_deref().is_none_or(|s| s == "enki.plan.v1"), || {
            (
                format!("schema {:?} is not known here", spec.schema.as_deref().unwrap_or("")),
                "use \"enki.plan.v1\"".into(),
            )
        });
        if let Some(title) = &spec.title {
            check.title(at!["title"], title);
        }
        if spec.area.is_some() {
            check.problem(at!["area"], "streams are not part of this version", "name a branch in `target`");
        }
        if let Some(recipe) = spec.recipe.as_deref().filter(|r| *r != "plain") {
            let (message, help) = if RECIPES.contains(&recipe) {
                // A caller's mistake: built as it is, the plan would run without what its recipe promises.
                (format!("recipe {recipe:?} was not applied"), "apply it before the plan is checked".to_owned())
            } else {
                let help = nearest(recipe, RECIPES.iter().copied()).map_or_else(
                    || format!("use one of {}", RECIPES.join(", ")),
                    |near| format!("did you mean {near:?}?"),
                );
                (format!("recipe {recipe:?} is not known here"), help)
            };
            check.problem(at!["recipe"], message, help);
        }
        let target = spec.target.as_ref().and_then(|t| {
            t.parse::<Branch>()
                .map_err(|e| check.problem(at!["target"], e.to_string(), "name a local branch, or `<remote>:<branch>`"))
                .ok()
        });
        let budget = check.budget(at!["budget"], spec.budget.unwrap_or_default());
        let after = spec.after.as_ref().and_then(|a| {
            let found = externals.get(&a.execution).filter(|e| e.step.is_none());
            if found.is_none() {
                check.problem(at!["after"], format!("no execution {:?}", a.execution), "see `enki status` for ids");
            }
            found.map(|e| (e.execution, a.when))
        });
        if spec.steps.is_empty() {
            check.problem(at!["steps"], "the plan has no steps", "add at least one step");
        }
        let mut plan = Self {
            title: spec.title.clone().or_else(|| spec.steps.first().map(|s| s.title.clone())).unwrap_or_default(),
            description: spec.description.clone().unwrap_or_default(),
            target,
            land: spec.land.unwrap_or_default(),
            priority: spec.priority.unwrap_or_default(),
            request_id: spec.request_id.clone(),
            fingerprint: spec.fingerprint(),
            class: Some(classify_plan(spec).class),
            at: spec.at.clone().filter(|at| at != "now"),
            after,
            budget,
            ..Self::default()
        };
        if spec.steps.len() > limits.max_steps {
            let message = format!("{} steps are more than the limit of {}", spec.steps.len(), limits.max_steps);
            check.problem(at!["steps"], message, "split the plan into several");
            return Err(PlanProblems(check.problems));
        }
        let steps = check.steps(&plan, &spec.steps, spec);
        if !check.problems.is_empty() {
            return Err(PlanProblems(check.problems));
        }
        plan.extend(steps);
        Ok(plan)
    }

    /// Checks steps that shall be added to this plan, as it is now. They may need old and new steps.
    ///
    /// # Errors
    ///
    /// All problems found; paths count from the first new step.
    pub fn check_added(
        &self,
        specs: &[StepSpec],
        limits: &PlanLimits,
        externals: &HashMap<String, External>,
    ) -> Result<Added, PlanProblems> {
        let mut check = Check { problems: Vec::new(), externals, limits };
        if specs.is_empty() {
            check.problem(at!["steps"], "no steps were given", "add at least one step");
        }
        if self.steps.len() + specs.len() > limits.max_steps {
            let message =
                format!("{} steps are more than the limit of {}", self.steps.len() + specs.len(), limits.max_steps);
            check.problem(at!["steps"], message, "start another execution for them");
        }
        let steps = if check.problems.is_empty() { check.steps(self, specs, &PlanSpec::default()) } else { Vec::new() };
        let upon = self.steps.len();
        if check.problems.is_empty() { Ok(Added { steps, upon }) } else { Err(PlanProblems(check.problems)) }
    }

    /// What makes it impossible to take up stored steps as the next ones of this plan: a need of a step that is not
    /// there. Everything else was checked before they were stored.
    ///
    /// # Errors
    ///
    /// The step and its need, in words.
    pub fn check_stored(&self, steps: &[Step]) -> Result<(), String> {
        let known = self.steps.len() + steps.len();
        for step in steps {
            for need in &step.needs {
                if let NeedOn::Step(on) = need.on
                    && on.index() >= known
                {
                    return Err(format!("step {} needs step {} of {known}", step.id, on.0));
                }
            }
        }
        Ok(())
    }

    /// Adds steps that were checked against this plan, or were stored once. Gives the old steps whose place in the
    /// order of starts changed.
    pub fn extend(&mut self, steps: Vec<Step>) -> Vec<StepIx> {
        let first = self.steps.len();
        for step in steps {
            let ix = StepIx::at(self.steps.len());
            self.index.insert(step.id.clone(), ix);
            let scope = step.brief.as_deref().and_then(Scope::of);
            self.steps.push(step);
            self.links.push(Links { scope, ..Links::default() });
        }
        let mut moved = Vec::new();
        for at in first..self.steps.len() {
            let ix = StepIx::at(at);
            for n in 0..self.steps[at].needs.len() {
                let need = self.steps[at].needs[n];
                match need.on {
                    NeedOn::Step(on) => {
                        self.links[on.index()].dependents.push((ix, need.condition));
                        if on.index() < first {
                            moved.push(on);
                        }
                    }
                    NeedOn::External(external) => {
                        match self.externals.iter_mut().find(|(known, _)| *known == external) {
                            Some((_, waiting)) => waiting.push((ix, need.condition)),
                            None => self.externals.push((external, vec![(ix, need.condition)])),
                        }
                    }
                }
            }
        }
        self.raise_below(first, &mut moved);
        moved.sort_unstable();
        moved.dedup();
        moved
    }

    /// Longest paths below: from the new leaves upwards, each old ancestor only while its figure grows.
    fn raise_below(&mut self, first: usize, moved: &mut Vec<StepIx>) {
        let mut open: Vec<u32> =
            self.links[first..].iter().map(|l| u32::try_from(l.dependents.len()).unwrap_or(u32::MAX)).collect();
        let mut ready: Vec<usize> = (first..self.steps.len()).filter(|i| open[i - first] == 0).collect();
        let mut raise: Vec<usize> = Vec::new();
        while let Some(at) = ready.pop() {
            for need in &self.steps[at].needs {
                let NeedOn::Step(on) = need.on else { continue };
                let below = self.links[at].below + 1;
                let link = &mut self.links[on.index()];
                let grew = below > link.below;
                link.below = link.below.max(below);
                if on.index() >= first {
                    open[on.index() - first] -= 1;
                    if open[on.index() - first] == 0 {
                        ready.push(on.index());
                    }
                } else if grew {
                    raise.push(on.index());
                }
            }
        }
        while let Some(at) = raise.pop() {
            moved.push(StepIx::at(at));
            for need in &self.steps[at].needs {
                let NeedOn::Step(on) = need.on else { continue };
                let below = self.links[at].below + 1;
                if below > self.links[on.index()].below {
                    self.links[on.index()].below = below;
                    raise.push(on.index());
                }
            }
        }
    }

    /// Sets a budget anew. One of a step that is not there changes nothing.
    pub fn set_budget(&mut self, of: BudgetOf, budget: Budget) {
        match of {
            BudgetOf::Execution => self.budget = budget,
            BudgetOf::Step(ix) | BudgetOf::Run(ix) => {
                let Some(step) = self.steps.get_mut(ix.index()) else { return };
                *(if matches!(of, BudgetOf::Step(_)) { &mut step.budget } else { &mut step.run_budget }) = budget;
            }
        }
    }

    /// The steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step at that position.
    #[must_use]
    pub fn step(&self, ix: StepIx) -> &Step {
        &self.steps[ix.index()]
    }

    /// The position of the step of that id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<StepIx> {
        let id: StepId = id.parse().ok()?;
        self.index.get(&id).copied()
    }

    /// The steps that wait for this one, and until what.
    #[must_use]
    pub fn dependents(&self, ix: StepIx) -> &[(StepIx, Condition)] {
        &self.links[ix.index()].dependents
    }

    /// Length of the longest path of steps below this one.
    #[must_use]
    pub fn below(&self, ix: StepIx) -> u32 {
        self.links[ix.index()].below
    }

    /// Number of steps it directly blocks, less the number that directly block it (G17).
    #[must_use]
    pub fn fan(&self, ix: StepIx) -> i64 {
        let blocks = self.links[ix.index()].dependents.len();
        blocks as i64 - self.steps[ix.index()].needs.len() as i64
    }

    /// The files it says it will change, if it does.
    #[must_use]
    pub fn scope(&self, ix: StepIx) -> Option<&Arc<Scope>> {
        self.links[ix.index()].scope.as_ref()
    }

    /// What is needed from outside, and by which steps.
    #[must_use]
    pub fn externals(&self) -> &[(External, Vec<(StepIx, Condition)>)] {
        &self.externals
    }
}

impl Default for StepId {
    fn default() -> Self {
        "step".parse().expect("a valid step id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::NeedSpec;

    fn plan(edges: &[(&str, &[&str])]) -> Result<Plan, PlanProblems> {
        let step = |(id, needs): &(&str, &[&str])| StepSpec {
            id: (*id).into(),
            title: "t".into(),
            description: "d".into(),
            needs: needs.iter().map(|n| NeedSpec { step: Some((*n).into()), ..NeedSpec::default() }).collect(),
            ..StepSpec::default()
        };
        let spec = PlanSpec { steps: edges.iter().map(step).collect(), ..PlanSpec::default() };
        Plan::build(&spec, &PlanLimits::default(), &HashMap::new())
    }

    #[test]
    fn a_cycle_is_refused_with_its_path() {
        let error = plan(&[("a", &[]), ("b", &["a", "d"]), ("c", &["b"]), ("d", &["c"])]).unwrap_err();
        assert!(error.to_string().contains("b -> d -> c -> b"), "{error}");
    }

    #[test]
    fn unknown_needs_suggest_the_nearest_step() {
        let error = plan(&[("build", &[]), ("b", &["biuld"])]).unwrap_err();
        assert!(error.to_string().contains("steps[1].needs[0]: no step \"biuld\"; did you mean \"build\"?"), "{error}");
    }

    #[test]
    fn added_steps_are_told_the_nearest_old_step() {
        let old = plan(&[("slow", &[])]).unwrap();
        let needs = vec![NeedSpec { step: Some("slwo".into()), ..NeedSpec::default() }];
        let new = StepSpec { id: "b".into(), title: "t".into(), description: "d".into(), needs, ..StepSpec::default() };
        let error = old.check_added(&[new], &PlanLimits::default(), &HashMap::new()).unwrap_err();
        assert!(error.to_string().contains("did you mean \"slow\"?"), "{error}");
    }

    #[test]
    fn duplicates_name_both_places() {
        let error = plan(&[("a", &[]), ("a", &[])]).unwrap_err();
        assert_eq!(error.0[0].also, Some(at!["steps", 0, "id"]));
    }

    #[test]
    fn a_chain_of_ten_thousand_steps_overflows_no_stack() {
        let ids: Vec<String> = (0..10_000).map(|n| format!("s{n}")).collect();
        let step = |n: usize| StepSpec {
            id: ids[n].clone(),
            title: "t".into(),
            description: "d".into(),
            needs: (n > 0)
                .then(|| NeedSpec { step: Some(ids[n - 1].clone()), ..NeedSpec::default() })
                .into_iter()
                .collect(),
            ..StepSpec::default()
        };
        let spec = PlanSpec { steps: (0..10_000).map(step).collect(), ..PlanSpec::default() };
        assert!(
            Plan::build(&spec, &PlanLimits::default(), &HashMap::new())
                .unwrap_err()
                .to_string()
                .contains("limit of 1000")
        );
        let plan =
            Plan::build(&spec, &PlanLimits { max_steps: 10_000, ..PlanLimits::default() }, &HashMap::new()).unwrap();
        assert_eq!((plan.below(StepIx(0)), plan.below(StepIx(9_999))), (9_999, 0));
    }

    #[test]
    fn added_steps_lengthen_the_paths_above_them() {
        let mut plan = plan(&[("a", &[]), ("b", &["a"])]).unwrap();
        let new = StepSpec {
            id: "c".into(),
            title: "t".into(),
            description: "d".into(),
            needs: vec![NeedSpec { step: Some("b".into()), ..NeedSpec::default() }],
            ..StepSpec::default()
        };
        let added = plan.check_added(&[new], &PlanLimits::default(), &HashMap::new()).unwrap();
        assert_eq!(plan.extend(added.into_steps()), [StepIx(0), StepIx(1)]);
        assert_eq!((plan.below(StepIx(0)), plan.fan(StepIx(1))), (2, 0));
    }

    proptest::proptest! {
        /// Against brute force: a plan is accepted exactly when its steps can be ordered (R15).
        #[test]
        fn exactly_the_acyclic_graphs_are_accepted(edges in proptest::collection::vec((0usize..6, 0usize..6), 0..14)) {
            let names = ["a", "b", "c", "d", "e", "f"];
            let needs: Vec<Vec<&str>> = (0..6).map(|n| edges.iter().filter(|(of, on)| *of == n && on != of).map(|(_, on)| names[*on]).collect()).collect();
            let spec: Vec<(&str, &[&str])> = (0..6).map(|n| (names[n], needs[n].as_slice())).collect();
            let mut reach = [[false; 6]; 6];
            for (of, on) in edges.iter().filter(|(of, on)| of != on) { reach[*of][*on] = true; }
            for k in 0..6 { for i in 0..6 { for j in 0..6 { reach[i][j] |= reach[i][k] && reach[k][j]; } } }
            let cyclic = (0..6).any(|n| reach[n][n]);
            proptest::prop_assert_eq!(plan(&spec).is_err(), cyclic);
        }
    }
}
