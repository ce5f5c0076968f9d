//! Advice on how a plan is written (enki-tasks section 9, wrfc G25). It never refuses anything.

mod between;
mod step;

use crate::spec::PlanSpec;

/// What is looked for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Rule {
    /// Too short, or names nothing concrete.
    Vague,
    /// Many files, or several areas.
    Broad,
    /// Nothing tells when it is done.
    NoDone,
    /// A fault without its message, file or reproduction.
    MissingContext,
    /// Refers to a step whose work will not be there.
    UnseenBranch,
    /// Light, but speaks of heavy work.
    HeavyWords,
    /// Names no skill of the protocol, where skills are in use.
    ProtocolSkills,
    /// Changes a file that another step changes at the same time.
    SameFile,
    /// Uses a type or file that another step makes, without waiting for it.
    TypesBeforeUse,
    /// Uses a table or schema that another step makes, without waiting for it.
    SchemaBeforeQueries,
    /// Plans what another step still finds out.
    DiscoveryBeforePlanning,
    /// `blocking` of one step and `blocked_by` of the other do not say the same.
    OneSided,
}

impl Rule {
    /// Its name: `vague`, `no-done`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vague => "vague",
            Self::Broad => "broad",
            Self::NoDone => "no-done",
            Self::MissingContext => "missing-context",
            Self::UnseenBranch => "unseen-branch",
            Self::HeavyWords => "heavy-words",
            Self::ProtocolSkills => "protocol-skills",
            Self::SameFile => "same-file",
            Self::TypesBeforeUse => "types-before-use",
            Self::SchemaBeforeQueries => "schema-before-queries",
            Self::DiscoveryBeforePlanning => "discovery-before-planning",
            Self::OneSided => "one-sided",
        }
    }
}

/// One piece of advice.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Warning {
    /// Position of the step.
    pub step: usize,
    /// The field of the step it is best shown at.
    pub field: &'static str,
    /// What it comes from.
    pub rule: Rule,
    /// What was noticed, in one sentence.
    pub message: String,
    /// What to write instead.
    pub suggestion: String,
}

/// What a project expects of its plans.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct LintOptions {
    /// Skills of which every step that does work names at least one; none are expected if it is empty. `None`: the
    /// [usual ones](super::assign::PROTOCOL_SKILLS), but only where a plan uses skills: of steps that name some skills,
    /// and of all steps once one of them names such a skill. So a plan without skills is never asked for any.
    pub protocol_skills: Option<Vec<String>>,
}

/// Looks at every step of a plan, as written. The warnings are in the order of the steps, and of the rules for each.
/// Rules between steps pass over what lies beyond the first 4096 steps.
#[must_use]
pub fn lint(plan: &PlanSpec, options: &LintOptions) -> Vec<Warning> {
    let mut all = Vec::new();
    for n in 0..plan.steps.len() {
        step::look(plan, n, &mut all);
    }
    step::skills(plan, options, &mut all);
    between::look(plan, &mut all);
    all.sort_by_key(|warning| (warning.step, warning.rule));
    all
}

#[cfg(test)]
mod tests;
