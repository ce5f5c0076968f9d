//! Roles: what kind of worker does a step, what it is told, whether it may edit, and what it puts out.

mod built_in;
mod registry;

pub use registry::{RoleOrigin, Roles};

use crate::tier::Tier;
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

impl RoleOutput {
    /// The word used in role files and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Artifact => "artifact",
        }
    }
}

/// A kind of worker. The same fields as in a role file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Role {
    /// The name used in plans: 1 to 64 characters of a-z, 0-9, _ and -, the first a letter or digit.
    pub name: String,
    /// The name shown to people.
    pub label: String,
    /// What it is for, in one line.
    pub description: String,
    /// What the agent is told about itself, beside the prompt of its attempt.
    pub system_prompt: String,
    /// Whether it may change source. See [`Role::edits`].
    #[serde(default = "yes")]
    pub can_edit: bool,
    /// What its work results in.
    #[serde(default)]
    pub output: RoleOutput,
    /// The tier of its steps that give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// The limit on one attempt of its steps that give none, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// What its agent may use without being asked, in the words of the runner, instead of the runner's own list.
    /// Empty leaves that list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}

const fn yes() -> bool {
    true
}

/// What cannot be accepted about a role.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {message}; {help}")]
#[non_exhaustive]
pub struct RoleProblem {
    /// The field it is about.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl RoleProblem {
    /// A problem with that field.
    #[must_use]
    pub fn new(field: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { field, message: message.into(), help: help.into() }
    }
}

impl Role {
    /// A role that edits, results in a branch, and leaves everything else to the plan and the runner.
    #[must_use]
    pub fn new(name: impl Into<String>, description: impl Into<String>, system_prompt: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            label: name.clone(),
            name,
            description: description.into(),
            system_prompt: system_prompt.into(),
            can_edit: true,
            output: RoleOutput::Branch,
            tier: None,
            timeout: None,
            tools: Vec::new(),
        }
    }

    /// Whether what it changes in the source is taken. A role that puts out an artifact changes no source whatever
    /// `can_edit` says.
    #[must_use]
    pub fn edits(&self) -> bool {
        self.can_edit && self.output == RoleOutput::Branch
    }

    /// Looks at what types cannot say.
    ///
    /// # Errors
    ///
    /// The first field that does not fit.
    pub fn check(&self) -> Result<(), RoleProblem> {
        let wrong = |field, message: String, help: &str| Err(RoleProblem { field, message, help: help.to_owned() });
        if self.name.parse::<crate::id::StepId>().is_err() {
            let message = format!("{:?} is not a name of a role", self.name);
            return wrong("name", message, "use 1 to 64 of a-z, 0-9, _ and -, the first a letter or digit");
        }
        for (field, text) in [("label", &self.label), ("description", &self.description)] {
            if text.trim().is_empty() || text.chars().any(char::is_control) || text.chars().count() > 200 {
                return wrong(field, format!("the {field} is not one line"), "write one line of 1 to 200 characters");
            }
        }
        if self.system_prompt.trim().is_empty() || self.system_prompt.len() > PROMPT_LIMIT {
            let message = format!("the system prompt has {} bytes", self.system_prompt.len());
            return wrong("system_prompt", message, "write 1 byte to 64 KiB");
        }
        if self.system_prompt.contains('\0') {
            return wrong("system_prompt", "the system prompt has a NUL in it".to_owned(), "remove it");
        }
        if self.timeout.is_some_and(|t| !(1..=604_800).contains(&t)) {
            return wrong("timeout", "the timeout is out of range".to_owned(), "use 1 to 604800 seconds");
        }
        let is_tool = |tool: &String| {
            !tool.trim().is_empty()
                && !tool.starts_with('-')
                && !tool.chars().any(char::is_control)
                && tool.len() <= 200
        };
        if let Some(tool) = self.tools.iter().find(|tool| !is_tool(tool)) {
            return wrong("tools", format!("{tool:?} is not the name of a tool"), "see the documentation of the agent");
        }
        Ok(())
    }
}

/// Largest system prompt, in bytes. It travels as one argument of a program, of which Linux allows 128 KiB.
const PROMPT_LIMIT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_that_does_not_fit_is_named() {
        let good = Role::new("scribe", "writes", "You write.");
        assert_eq!(good.check(), Ok(()));
        let field = |change: &dyn Fn(&mut Role)| {
            let mut role = good.clone();
            change(&mut role);
            role.check().unwrap_err().field
        };
        assert_eq!(field(&|r| r.name = "../x".into()), "name");
        assert_eq!(field(&|r| r.label = " ".into()), "label");
        assert_eq!(field(&|r| r.description = "two\nlines".into()), "description");
        assert_eq!(field(&|r| r.system_prompt = "x".repeat(PROMPT_LIMIT + 1)), "system_prompt");
        assert_eq!(field(&|r| r.system_prompt = "a\0b".into()), "system_prompt");
        assert_eq!(field(&|r| r.timeout = Some(0)), "timeout");
        assert_eq!(field(&|r| r.tools = vec!["--dangerously-skip-permissions".into()]), "tools");
    }

    #[test]
    fn what_puts_out_an_artifact_changes_no_source() {
        let mut role = Role::new("scribe", "writes", "You write.");
        assert!(role.edits());
        role.output = RoleOutput::Artifact;
        assert!(!role.edits());
        (role.output, role.can_edit) = (RoleOutput::Branch, false);
        assert!(!role.edits());
    }
}
