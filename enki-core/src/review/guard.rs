//! Guards: when a way of a chain is taken.

use crate::verdict::Decision;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is known when an attempt of a chain has ended well.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Facts {
    /// What the verdict rule made of a review.
    pub decision: Option<Decision>,
    /// The score of a review.
    pub score: Option<f32>,
    /// Fixes begun so far.
    pub fixes: u32,
    /// Whether the attempt changed anything.
    pub changed: bool,
}

/// When a way is taken. What a verdict means is decided before, by [`crate::verdict::Verdict::decide`]: no guard can make
/// a pass of what has a critical finding.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Guard {
    /// Always.
    #[default]
    Always,
    /// The review passed.
    Pass,
    /// The review asks for repairs.
    Revise,
    /// The review says that repairs will not help.
    Fail,
    /// The attempt changed something.
    Changed,
    /// It changed nothing.
    Unchanged,
    /// The score is at least that, or (without `least`) below it.
    Score {
        /// At least, instead of below.
        least: bool,
        /// That score.
        than: f32,
    },
    /// At least so many fixes were begun, or (without `least`) fewer.
    Fixes {
        /// At least, instead of below.
        least: bool,
        /// So many.
        than: u32,
    },
    /// All of them.
    All(Vec<Self>),
}

impl Guard {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, facts: &Facts) -> bool {
        match self {
            Self::Always => true,
            Self::Pass => facts.decision == Some(Decision::Complete),
            Self::Revise => facts.decision == Some(Decision::Revise),
            Self::Fail => facts.decision == Some(Decision::Replan),
            Self::Changed => facts.changed,
            Self::Unchanged => !facts.changed,
            Self::Score { least, than } => facts.score.is_some_and(|score| (score >= *than) == *least),
            Self::Fixes { least, than } => (facts.fixes >= *than) == *least,
            Self::All(all) => all.iter().all(|guard| guard.holds(facts)),
        }
    }

    pub(super) fn is_always(&self) -> bool {
        *self == Self::Always
    }

    /// Whether it speaks of a verdict.
    pub(super) fn needs_verdict(&self) -> bool {
        match self {
            Self::Pass | Self::Revise | Self::Fail | Self::Score { .. } => true,
            Self::Always | Self::Changed | Self::Unchanged | Self::Fixes { .. } => false,
            Self::All(all) => all.iter().any(Self::needs_verdict),
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |least: bool| if least { ">=" } else { "<" };
        match self {
            Self::Always => f.write_str("always"),
            Self::Pass => f.write_str("pass"),
            Self::Revise => f.write_str("revise"),
            Self::Fail => f.write_str("fail"),
            Self::Changed => f.write_str("changed"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Score { least, than } => write!(f, "score {} {than}", sign(*least)),
            Self::Fixes { least, than } => write!(f, "fixes {} {than}", sign(*least)),
            Self::All(all) => {
                for (n, guard) in all.iter().enumerate() {
                    write!(f, "{}{guard}", if n > 0 { " and " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Guard {
    type Err = String;

    /// Conditions joined by `and`: `always`, `pass`, `revise`, `fail`, `changed`, `unchanged`, `score >= 9`, `score < 9`,
    /// `fixes >= 2`, `fixes < 2`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all: Vec<Self> = text.split(" and ").map(|part| one(part.trim())).collect::<Result<_, _>>()?;
        if all.len() == 1 { Ok(all.remove(0)) } else { Ok(Self::All(all)) }
    }
}

fn one(text: &str) -> Result<Guard, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let sign = |word: &str| match word {
        ">=" => Ok(true),
        "<" => Ok(false),
        other => Err(format!("{other:?} is no comparison; write >= or <")),
    };
    let number = |word: &str, what: &str| format!("{word:?} is no {what}");
    Ok(match words[..] {
        ["always"] => Guard::Always,
        ["pass"] => Guard::Pass,
        ["revise"] => Guard::Revise,
        ["fail"] => Guard::Fail,
        ["changed"] => Guard::Changed,
        ["unchanged"] => Guard::Unchanged,
        ["score", how, than] => {
            let than: f32 = than.parse().map_err(|_| number(than, "score"))?;
            if !(0.0..=10.0).contains(&than) {
                return Err(format!("a score is from 0 to 10, not {than}"));
            }
            Guard::Score { least: sign(how)?, than }
        }
        ["fixes", how, than] => {
            Guard::Fixes { least: sign(how)?, than: than.parse().map_err(|_| number(than, "number of fixes"))? }
        }
        _ => {
            return Err(format!(
                "{text:?} is no condition; known are always, pass, revise, fail, changed, unchanged, score >= N, score < N, \
                 fixes >= N, fixes < N, joined by and"
            ));
        }
    })
}

impl Serialize for Guard {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guard {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["always", "pass", "revise and fixes < 2", "score >= 9.5 and pass", "fixes >= 1", "unchanged"] {
            let guard: Guard = text.parse().unwrap();
            assert_eq!(guard.to_string(), text);
        }
        for wrong in
            ["", "passed", "score = 9", "score >= eleven", "score >= 11", "fixes < -1", "pass and", "pass or fail"]
        {
            assert!(wrong.parse::<Guard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_score_that_was_not_given_is_neither_high_nor_low() {
        let none = Facts::default();
        assert!(!"score >= 1".parse::<Guard>().unwrap().holds(&none));
        assert!(!"score < 1".parse::<Guard>().unwrap().holds(&none));
    }
}
