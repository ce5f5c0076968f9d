//! Roles: what kind of worker does a step, and what it puts out.

use serde::{Deserialize, Serialize};

/// What a role's work results in.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RoleOutput {
    /// A change of the source, which is merged.
    #[default]
    Branch,
    /// A Markdown file at `.enki/artifacts/<execution>/<step>.md`; nothing is merged.
    Artifact,
}

/// A built-in role.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Role {
    /// The name used in plans.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// What its work results in.
    pub output: RoleOutput,
}

/// The built-in roles, in the order in which they are listed.
pub const ROLES: &[Role] = &[
    Role {
        name: "feature_developer",
        description: "explores, designs, implements, reviews its own work",
        output: RoleOutput::Branch,
    },
    Role { name: "bug_fixer", description: "root cause, smallest fix, regression test", output: RoleOutput::Branch },
    Role { name: "ralph", description: "runs the check, fixes the first failure, repeats", output: RoleOutput::Branch },
    Role { name: "documenter", description: "documentation and doc comments only", output: RoleOutput::Branch },
    Role { name: "tester", description: "writes and repairs tests", output: RoleOutput::Branch },
    Role { name: "researcher", description: "read-only report with paths and lines", output: RoleOutput::Artifact },
    Role { name: "code_referencer", description: "studies outside code and cites it", output: RoleOutput::Artifact },
];

/// The built-in role of that name.
#[must_use]
pub fn role(name: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.name == name)
}
