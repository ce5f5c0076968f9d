//! A reviewer's answer, and the one rule that turns it into a decision (model section 4).

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
    /// From 0 to 10, if the reviewer gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Number of critical findings. Any forbids a pass.
    pub critical: u32,
    /// Acceptance criteria met, of how many; fewer than all forbids a pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<(u32, u32)>,
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

    /// Decides by rules 1 to 5 of model section 4. Score and gate together: the stricter wins.
    #[must_use]
    pub fn decide(&self, min_score: f32) -> Decision {
        let by_score = self.score.map(|score| if score >= min_score { Gate::Pass } else { Gate::Revise });
        let Some(said) = self.gate.max(by_score) else { return Decision::Unparsable };
        let short = self.acceptance.is_some_and(|(met, total)| met < total);
        let capped = if self.critical > 0 || short { said.max(Gate::Revise) } else { said };
        match capped {
            Gate::Pass => Decision::Complete,
            Gate::Revise => Decision::Revise,
            Gate::Fail => Decision::Replan,
        }
    }

    /// Reads a verdict from a reviewer's final text: the last line `VERDICT: <word>` and the last line
    /// `SCORE: N/10`, where the word is of any vocabulary of model section 4. Total: any text gives an answer.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut verdict = Self { text: cap(text.trim(), 16 * 1024), ..Self::default() };
        for line in text.lines().map(str::trim) {
            if let Some(word) = strip_label(line, "VERDICT:") {
                verdict.gate = gate_word(word).or(verdict.gate);
            } else if let Some(rest) = strip_label(line, "SCORE:") {
                let number = rest.split('/').next().unwrap_or(rest).trim();
                verdict.score = number.parse::<f32>().ok().filter(|n| (0.0..=10.0).contains(n)).or(verdict.score);
            } else if let Some(rest) = strip_label(line, "CRITICAL:") {
                verdict.critical = rest.trim().parse().unwrap_or(verdict.critical);
            }
        }
        verdict
    }
}

fn strip_label<'a>(line: &'a str, label: &str) -> Option<&'a str> {
    let head = line.get(..label.len())?;
    head.eq_ignore_ascii_case(label).then(|| &line[label.len()..])
}

fn gate_word(word: &str) -> Option<Gate> {
    match word.trim().to_ascii_uppercase().as_str() {
        "READY" | "PASS" | "GO" | "UPDATE" => Some(Gate::Pass),
        "NEEDS_WORK" | "REVISE" => Some(Gate::Revise),
        "NOT_READY" | "FAIL" | "BLOCK" => Some(Gate::Fail),
        _ => None,
    }
}

fn cap(text: &str, bytes: usize) -> String {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
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
        assert_eq!(Verdict { acceptance: Some((1, 2)), ..pass.clone() }.decide(0.0), Decision::Revise);
        assert_eq!(Verdict { acceptance: Some((2, 2)), ..pass }.decide(0.0), Decision::Complete);
    }

    #[test]
    fn the_last_verdict_and_score_of_a_text_count() {
        let verdict = Verdict::parse("VERDICT: FAIL\nlooked again\n verdict: needs_work \nSCORE: 7.5/10\n");
        assert_eq!((verdict.gate, verdict.score), (Some(Gate::Revise), Some(7.5)));
        assert_eq!(Verdict::parse("fine, I guess; SCORE: 11/10").decide(9.0), Decision::Unparsable);
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_score_in_range_or_none(text in "\\PC*(SCORE: ?-?[0-9./e]{0,8}\n\\PC*)?") {
            let verdict = Verdict::parse(&text);
            proptest::prop_assert!(verdict.score.is_none_or(|s| (0.0..=10.0).contains(&s)));
        }
    }
}
