//! A reviewer's answer, and the one rule that turns it into a decision (model section 4).

mod finding;
pub(crate) mod finite;
mod read;
pub mod rubric;
mod schema;

pub use finding::{Finding, Severity};
pub use read::{Reading, gate_word};
pub use schema::schema;

use serde::{Deserialize, Serialize};

/// The word at the gate.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// Good as it is.
    Pass,
    /// Good after repairs.
    Revise,
    /// Wrong approach; repairs will not help.
    Fail,
}

impl Gate {
    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Revise => "revise",
            Self::Fail => "fail",
        }
    }
}

/// A reviewer's answer to one captured change.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Verdict {
    /// The word, if the reviewer said one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// From 0 to 10, if the reviewer gave one; the lower of theirs and the rubric's.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "finite::maybe_score")]
    pub score: Option<f32>,
    /// What the rubric makes of the findings, if they have points.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "finite::maybe_score")]
    pub rubric: Option<f32>,
    /// What was found, at most 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Number of critical findings, listed or only counted. Any forbids a pass.
    pub critical: u32,
    /// Acceptance criteria met, of how many; fewer than all forbids a pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<(u32, u32)>,
    /// Files that the reviewer names; a note, never evidence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The findings in words, for the fix that follows. Capped by the parser.
    pub text: String,
}

/// What a verdict means for a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// The chain is complete.
    Complete,
    /// Another fix is due, if the budget allows one.
    Revise,
    /// A person has to plan anew; no fix is started.
    Replan,
    /// Nothing could be understood.
    Unparsable,
}

impl Verdict {
    /// A verdict of just that word.
    #[must_use]
    pub fn of(gate: Gate) -> Self {
        Self { gate: Some(gate), ..Self::default() }
    }

    /// The same, with those words for whoever repairs it.
    #[must_use]
    pub fn saying(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Decides by rules 1 to 5 of model section 4. Score and gate together: the stricter wins.
    #[must_use]
    pub fn decide(&self, min_score: f32) -> Decision {
        let by_score = self.score.map(|score| if score >= min_score { Gate::Pass } else { Gate::Revise });
        let Some(said) = self.gate.max(by_score) else { return Decision::Unparsable };
        let short = self.acceptance.is_some_and(|(met, total)| met < total);
        let capped = if self.is_critical() || short { said.max(Gate::Revise) } else { said };
        match capped {
            Gate::Pass => Decision::Complete,
            Gate::Revise => Decision::Revise,
            Gate::Fail => Decision::Replan,
        }
    }

    fn is_critical(&self) -> bool {
        self.critical > 0 || self.findings.iter().any(|finding| finding.severity == Severity::Critical)
    }

    /// What it is about, to be compared with another round's: the ids of its findings, without order or repeats. A
    /// verdict that lists none is known by its words, up to the first empty line: its summary.
    #[must_use]
    pub fn gist(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.findings.iter().map(|finding| finding.id.clone()).collect();
        if ids.is_empty() {
            let summary = self.text.split("\n\n").next().unwrap_or_default();
            ids.push(Finding::new(Severity::Major, summary).id);
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// All that whoever repairs it has to know: each finding with its id and place, then the words.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text: String = self.findings.iter().map(|finding| format!("- {finding}\n")).collect();
        if !text.is_empty() && !self.text.is_empty() {
            text.push('\n');
        }
        text.push_str(&self.text);
        text
    }

    /// In one line for people: `revise, 7.5/10, 1 critical, 2 of 3 criteria`.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut parts: Vec<String> = self.gate.map(|gate| gate.as_str().to_owned()).into_iter().collect();
        parts.extend(self.score.map(|score| format!("{score}/10")));
        let count = |severity| self.findings.iter().filter(|f| f.severity == severity).count();
        let critical = count(Severity::Critical).max(self.critical as usize);
        let counts = [(critical, "critical"), (count(Severity::Major), "major"), (count(Severity::Minor), "minor")];
        parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
        parts.extend(self.acceptance.map(|(met, total)| format!("{met} of {total} criteria")));
        if parts.is_empty() { "nothing that could be understood".to_owned() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_of_score_and_gate_wins() {
        let both = |gate, score| Verdict { gate: Some(gate), score: Some(score), ..Verdict::default() }.decide(9.0);
        assert_eq!(both(Gate::Pass, 9.5), Decision::Complete);
        assert_eq!(both(Gate::Pass, 8.0), Decision::Revise);
        assert_eq!(both(Gate::Revise, 10.0), Decision::Revise);
        assert_eq!(both(Gate::Fail, 10.0), Decision::Replan);
        assert_eq!(Verdict::default().decide(9.0), Decision::Unparsable);
    }

    #[test]
    fn a_critical_finding_or_an_unmet_criterion_forbids_a_pass() {
        let pass = Verdict::of(Gate::Pass);
        assert_eq!(Verdict { critical: 1, ..pass.clone() }.decide(0.0), Decision::Revise);
        let listed = vec![Finding::new(Severity::Critical, "the token is logged")];
        assert_eq!(Verdict { findings: listed, ..pass.clone() }.decide(0.0), Decision::Revise);
        assert_eq!(Verdict { acceptance: Some((1, 2)), ..pass.clone() }.decide(0.0), Decision::Revise);
        assert_eq!(Verdict { acceptance: Some((2, 2)), ..pass }.decide(0.0), Decision::Complete);
    }

    #[test]
    fn a_fix_is_told_each_finding_with_its_place_and_the_words() {
        let found =
            Finding::new(Severity::Critical, "the token\nis logged").in_file("src/a.rs", Some(7)).known_as("F-1");
        let verdict = Verdict { findings: vec![found, Finding::new(Severity::Minor, "long")], ..Verdict::default() };
        let id = &verdict.findings[1].id;
        let listed = format!("- F-1 critical, src/a.rs:7: the token is logged\n- {id} minor: long\n");
        assert_eq!(verdict.in_full(), listed);
        assert_eq!(verdict.saying("mend both").in_full(), format!("{listed}\nmend both"));
        assert_eq!(Verdict::of(Gate::Revise).saying("mend it").in_full(), "mend it");
    }

    #[test]
    fn the_gist_is_what_was_found_whatever_its_order() {
        let (a, b) = (Finding::new(Severity::Major, "a"), Finding::new(Severity::Minor, "b"));
        let of = |findings: Vec<Finding>| Verdict { findings, ..Verdict::default() }.gist();
        assert_eq!(of(vec![a.clone(), b.clone()]), of(vec![b.clone(), a.clone(), b]));
        assert_ne!(of(vec![a]), of(vec![]));
        assert_ne!(Verdict::default().saying("too long").gist(), Verdict::default().saying("too short").gist());
    }
}
