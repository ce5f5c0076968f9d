//! What a review found, with ids that stay the same over its rounds.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// How bad a finding is.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Must not land.
    Critical,
    /// Should not land.
    #[default]
    Major,
    /// Worth repairing.
    Minor,
    /// A matter of taste.
    Nitpick,
}

impl Severity {
    /// The word of a reviewer, of any usual vocabulary. `None` for a word that says nothing.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "critical" | "blocker" | "fatal" => Some(Self::Critical),
            "major" | "high" | "error" => Some(Self::Major),
            "minor" | "medium" | "warning" => Some(Self::Minor),
            "nitpick" | "nit" | "low" | "info" | "style" => Some(Self::Nitpick),
            _ => None,
        }
    }

    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Major => "major",
            Self::Minor => "minor",
            Self::Nitpick => "nitpick",
        }
    }
}

/// One thing that a review found.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Finding {
    /// The same over all rounds of a chain: the reviewer's own, or made of what it is about.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// In one line, at most 300 characters.
    pub title: String,
    /// Where, relative to the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// On which line, from 1. It moves as the file changes, and is no part of the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Category of the rubric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Points of the rubric, from 0.25 to 3.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "super::finite::maybe_score")]
    pub points: Option<f32>,
}

const TITLE_LIMIT: usize = 300;

impl Finding {
    /// A finding with an id of its own making.
    #[must_use]
    pub fn new(severity: Severity, title: &str) -> Self {
        let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let title = title.chars().take(TITLE_LIMIT).collect();
        Self { severity, title, ..Self::default() }.identified()
    }

    /// The same, in that file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>, line: Option<u32>) -> Self {
        self.file = Some(file.into());
        self.line = line;
        self.identified()
    }

    /// The same, with points of the rubric.
    #[must_use]
    pub fn with_points(mut self, category: impl Into<String>, points: f32) -> Self {
        self.category = Some(category.into());
        self.points = points.is_finite().then(|| points.clamp(0.25, 3.0));
        self
    }

    /// The same under the id that the reviewer knows it by, if that is one.
    #[must_use]
    pub fn known_as(mut self, id: &str) -> Self {
        let fits = (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if fits {
            id.clone_into(&mut self.id);
        }
        self
    }

    /// Made of the file and the words of the title: case, punctuation and numbers, which shift as lines do, do not count.
    fn identified(mut self) -> Self {
        let words = self.title.to_lowercase();
        let words = words.split(|c: char| !c.is_alphanumeric()).filter(|w| w.chars().any(char::is_alphabetic));
        let mut hash = Sha256::new();
        hash.update(self.file.as_deref().unwrap_or_default());
        for word in words {
            hash.update([0]);
            hash.update(word);
        }
        let digest = hash.finalize();
        self.id = format!("f-{}", digest[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self
    }
}

/// In one line: its id, how bad it is, where, and what.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.severity.as_str())?;
        if let Some(file) = &self.file {
            f.write_str(", ")?;
            // A path is whatever a reviewer wrote: it stays on the line.
            file.chars().filter(|c| !c.is_control()).try_for_each(|c| f.write_char(c))?;
        }
        if let (Some(_), Some(line)) = (&self.file, self.line) {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_finding_has_the_same_id_wherever_its_line_moved() {
        let first = Finding::new(Severity::Major, "Unwrap on line 12 may panic.").in_file("src/a.rs", Some(12));
        let again = Finding::new(Severity::Minor, "unwrap on line 40 may panic").in_file("src/a.rs", Some(40));
        assert_eq!(first.id, again.id);
        assert_ne!(first.id, Finding::new(Severity::Major, "Unwrap may panic").in_file("src/b.rs", None).id);
        assert_eq!(first.clone().known_as("F-7").id, "F-7");
        assert_eq!(first.clone().known_as("two words").id, first.id);
    }
}
