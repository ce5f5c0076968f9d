//! The built-in roles. Their prompts are files of their own, so that they read as what they are.

use super::{Role, RoleOutput};

/// A built-in role, as the table below has it.
pub(super) struct BuiltIn {
    name: &'static str,
    label: &'static str,
    description: &'static str,
    output: RoleOutput,
    edits: bool,
    system_prompt: &'static str,
}

impl BuiltIn {
    pub(super) fn to_role(&self) -> Role {
        Role {
            label: self.label.to_owned(),
            can_edit: self.edits,
            output: self.output,
            ..Role::new(self.name, self.description, self.system_prompt)
        }
    }
}

macro_rules! role {
    ($name:literal, $label:literal, Artifact, $description:literal) => {
        role!($name, $label, Artifact, false, $description)
    };
    ($name:literal, $label:literal, Branch, $description:literal) => {
        role!($name, $label, Branch, true, $description)
    };
    ($name:literal, $label:literal, Answer, $description:literal) => {
        role!($name, $label, Branch, false, $description)
    };
    ($name:literal, $label:literal, $output:ident, $edits:literal, $description:literal) => {
        BuiltIn {
            name: $name,
            label: $label,
            description: $description,
            output: RoleOutput::$output,
            edits: $edits,
            system_prompt: include_str!(concat!("built_in/", $name, ".md")),
        }
    };
}

/// In the order in which they are listed. Those that put out an artifact or an answer may not edit. None has a tier, a timeout or
/// tools: these are the plan's and the person's to give.
pub(super) const BUILT_IN: &[BuiltIn] = &[
    role!("feature_developer", "Feature developer", Branch, "explores, designs, implements, reviews its own work"),
    role!("bug_fixer", "Bug fixer", Branch, "root cause, smallest fix, regression test"),
    role!("ralph", "Ralph", Branch, "runs the check, fixes the first failure, repeats"),
    role!("documenter", "Documenter", Branch, "documentation and doc comments only"),
    role!("tester", "Tester", Branch, "writes and repairs tests"),
    role!("engineer", "Engineer", Branch, "implements exactly what the step says, and repairs what a review found"),
    role!("resolver", "Resolver", Branch, "brings two changes that clash together, keeping what both intend"),
    role!("researcher", "Researcher", Artifact, "read-only report with paths and lines"),
    role!("code_referencer", "Code referencer", Artifact, "studies outside code and cites it"),
    role!("reviewer", "Reviewer", Artifact, "judges a change by what it does, with evidence"),
    role!("planner", "Planner", Artifact, "splits a goal into steps that can run side by side"),
    role!("plan_reviewer", "Plan reviewer", Artifact, "judges a plan before anybody works on it"),
    role!("coordinator", "Coordinator", Artifact, "turns what a person wants into plans, and steers them"),
    role!("answerer", "Answerer", Answer, "answers one question in its report, and writes no file"),
    role!("architect", "Architect", Artifact, "compares designs and decides for one"),
];
