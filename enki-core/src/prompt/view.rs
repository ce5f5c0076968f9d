//! What a template may use: what the plan says about the step, and nothing that an agent wrote.

use super::data::line;
use crate::execution::Execution;
use crate::id::StepIx;
use crate::plan::{NeedOn, Step};
use crate::spec::Condition;
use crate::tier::Purpose;
use serde::Serialize;

/// The names a template may use. A test holds it against the fields below.
pub(super) const NAMES: &[&str] = &[
    "purpose",
    "role",
    "plan.title",
    "plan.description",
    "step.id",
    "step.title",
    "step.description",
    "scope.files",
    "scope.directories",
    "constraints",
    "skills",
    "acceptance",
    "expected_outcome",
    "blocking",
    "blocked_by",
    "fix.number",
    "fix.of",
];

#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    purpose: &'a str,
    /// Empty for a plain worker.
    role: &'a str,
    plan: PlanView<'a>,
    step: StepView<'a>,
    scope: ScopeView<'a>,
    constraints: &'a [String],
    skills: &'a [String],
    acceptance: &'a [String],
    /// Empty if the plan gives none.
    expected_outcome: &'a str,
    /// Items have `id`, `title` and `until`.
    blocking: Vec<Neighbour>,
    blocked_by: Vec<Neighbour>,
    fix: FixView,
}

#[derive(Debug, Serialize)]
struct PlanView<'a> {
    title: &'a str,
    description: &'a str,
}

#[derive(Debug, Serialize)]
struct StepView<'a> {
    id: &'a str,
    title: &'a str,
    description: &'a str,
}

#[derive(Debug, Serialize)]
struct ScopeView<'a> {
    files: &'a [String],
    directories: &'a [String],
}

#[derive(Debug, Serialize)]
struct Neighbour {
    id: String,
    title: String,
    until: &'static str,
}

/// Both 0 for an attempt that is no fix.
#[derive(Debug, Serialize)]
struct FixView {
    number: u32,
    of: u32,
}

impl<'a> View<'a> {
    pub(super) fn of(execution: &'a Execution, ix: StepIx, purpose: Purpose) -> Self {
        let (plan, step) = (execution.plan(), execution.plan().step(ix));
        let blocked_by = step.needs.iter().map(|need| match need.on {
            NeedOn::Step(on) => neighbour(plan.step(on), need.condition),
            NeedOn::External(external) => Neighbour {
                id: external.execution.to_string(),
                title: "work of another execution".to_owned(),
                until: word(need.condition),
            },
        });
        let blocking = plan.dependents(ix).iter().map(|(of, condition)| neighbour(plan.step(*of), *condition));
        let mut view = Self {
            purpose: purpose.as_str(),
            role: step.role_of(purpose, execution.step(ix).course.at).unwrap_or_default(),
            plan: PlanView { title: &plan.title, description: plan.description.trim() },
            step: StepView { id: step.id.as_str(), title: &step.title, description: step.description.trim() },
            scope: ScopeView { files: &[], directories: &[] },
            constraints: &[],
            skills: &[],
            acceptance: &[],
            expected_outcome: "",
            blocking: blocking.collect(),
            blocked_by: blocked_by.collect(),
            fix: FixView { number: 0, of: 0 },
        };
        if let Some(brief) = &step.brief {
            view.scope = ScopeView { files: &brief.files, directories: &brief.directories };
            (view.constraints, view.skills, view.acceptance) = (&brief.constraints, &brief.skills, &brief.acceptance);
            view.expected_outcome = brief.done_when.as_deref().unwrap_or_default();
        }
        if purpose == Purpose::Fix {
            let number = fix_number(execution, ix);
            view.fix = FixView { number, of: step.review.as_ref().map_or(0, |review| review.max_fixes).max(number) };
        }
        view
    }

    /// Views that a template must be able to be rendered from: one with everything, one with as little as there can be.
    pub(super) fn samples() -> [View<'static>; 2] {
        let some = || vec![Neighbour { id: "other".to_owned(), title: "Another step".to_owned(), until: "merged" }];
        let texts: &'static [String] = SAMPLE.as_slice();
        let step = StepView { id: "step", title: "A step", description: "What to do." };
        let bare = StepView { id: "s", title: "t", description: "d" };
        [
            View {
                purpose: "fix",
                role: "engineer",
                plan: PlanView { title: "A plan", description: "What for." },
                step,
                scope: ScopeView { files: texts, directories: texts },
                constraints: texts,
                skills: texts,
                acceptance: texts,
                expected_outcome: "It works.",
                blocking: some(),
                blocked_by: some(),
                fix: FixView { number: 1, of: 3 },
            },
            View {
                purpose: "work",
                role: "",
                plan: PlanView { title: "t", description: "" },
                step: bare,
                scope: ScopeView { files: &[], directories: &[] },
                constraints: &[],
                skills: &[],
                acceptance: &[],
                expected_outcome: "",
                blocking: Vec::new(),
                blocked_by: Vec::new(),
                fix: FixView { number: 0, of: 0 },
            },
        ]
    }
}

static SAMPLE: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| vec!["one".to_owned(), "two".to_owned()]);

/// Which fix of the chain it is, from 1. One that was not charged counts as the one before it.
pub(super) fn fix_number(execution: &Execution, ix: StepIx) -> u32 {
    execution.step(ix).course.fixes.max(1)
}

fn neighbour(step: &Step, condition: Condition) -> Neighbour {
    Neighbour { id: step.id.to_string(), title: line(&step.title).into_owned(), until: word(condition) }
}

const fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::Started => "started",
        Condition::Completed => "completed",
        Condition::Merged => "merged",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl View<'_> {
        pub(in super::super) fn rename(&mut self, id: &'static str) {
            self.step.id = id;
        }
    }

    #[test]
    fn the_names_a_template_may_use_are_the_fields_there_are() {
        let value = serde_json::to_value(&View::samples()[0]).unwrap();
        let mut names = Vec::new();
        for (name, value) in value.as_object().unwrap() {
            match value.as_object() {
                Some(inside) => names.extend(inside.keys().map(|key| format!("{name}.{key}"))),
                None => names.push(name.clone()),
            }
        }
        let mut known = NAMES.to_vec();
        known.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, known);
    }
}
