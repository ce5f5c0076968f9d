//! What git knows of the person: their name, and what they did last.

use super::{GitProject, Head};

impl GitProject {
    /// The name that the person's git signs with, if it has one. Blocks.
    #[must_use]
    pub fn person_name(&self) -> Option<String> {
        let output = self.as_person(self.root()).args(["config", "--get", "user.name"]).ok().ok()?;
        let name = output.line();
        (!name.trim().is_empty()).then(|| name.trim().to_owned())
    }

    /// The last commits of what is checked out, the newest first, each as its short id and its subject. None if git
    /// cannot tell. Blocks.
    #[must_use]
    pub fn last_commits(&self, number: usize) -> Vec<String> {
        let (Head::Branch(_, head) | Head::Detached(head)) = self.head();
        let (number, head) = (format!("-{number}"), head.to_string());
        let output = self.at_person().args(["log", &number, "--no-show-signature", "--format=%h %s", &head, "--"]).ok();
        let output = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).lines().map(ToOwned::to_owned).collect()
    }
}
