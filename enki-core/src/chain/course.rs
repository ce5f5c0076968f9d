//! The course of a chain: what it has used, what was seen, and what follows when something ends. All policy of review
//! loops is here, for a chain that is used alone and for the steps of an execution.

use super::Escalation;
use crate::id::{AttemptNo, TreeId};
use crate::limits::Limits;
use crate::review::{Facts, Review, StateIx, To};
use crate::tier::Purpose;
use crate::verdict::{Decision, Finding, Gate, Verdict};
use serde::{Deserialize, Serialize};

/// How far a chain is, and what it has used of its budgets. None of them consumes another.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Course {
    /// The state of its review that it is in; without a review the only one.
    pub at: StateIx,
    /// Fixes begun.
    pub fixes: u32,
    /// Infrastructure failures since the last success.
    pub infra: u32,
    /// Times the agent could not be started, since the last success.
    pub spawns: u32,
    /// Attempts that changed source and may not, in a row.
    pub voids: u32,
    /// Times that the present review was asked again, because its answer could not be read.
    pub reasks: u32,
    /// Attempts to resolve a clash with a change that landed first.
    pub resolutions: u32,
    /// Moves from state to state since the chain, or the one that follows a refused merge, began.
    pub moves: u32,
    /// Which chain of its step it is, from 0: a refused merge opens the next one.
    pub number: u32,
    /// Each verdict so far, with the tree it is about.
    pub rounds: Vec<Round>,
    /// What its reviews listed so far, and what became of it; at most 200.
    pub known: Vec<Known>,
    /// What the last review found: see [`Verdict::gist`].
    gist: Vec<String>,
    /// Whether anything changed since the last review.
    touched: bool,
}

/// One verdict of a chain.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Round {
    /// The attempt that gave it.
    pub attempt: AttemptNo,
    /// The exact tree that was judged; `None` if nothing was captured.
    pub tree: Option<TreeId>,
    /// The word.
    pub gate: Option<Gate>,
    /// The score.
    pub score: Option<f32>,
}

/// A finding of an earlier round.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Known {
    /// As it was said last.
    pub finding: Finding,
    /// The round that found it first, from 1.
    pub first: u32,
    /// The round that found it last.
    pub last: u32,
    /// Whether a fix since then says that it is repaired.
    pub claimed: bool,
}

/// Most findings that a course remembers.
const MOST_KNOWN: usize = 200;

/// How an attempt ended, as far as its chain is concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended<'a> {
    /// Well, with work that was captured.
    Worked {
        /// Whether it differs from what the attempt began with.
        changed: bool,
    },
    /// Well, with a verdict.
    Reviewed(&'a Verdict),
    /// It changed source and may not: a review, or a role that only reads.
    Void,
    /// It failed in a way that another try may help.
    Infra,
    /// Its agent could not be started.
    NotStarted,
    /// It was stopped, or has to wait: nobody's fault.
    Interrupted,
    /// The agent asks a person to decide.
    Asks,
    /// It failed for good.
    Dead,
}

/// Why what a chain handed in was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// It fails the check.
    Check,
    /// It clashes with what landed first. `in_vain`: it was resolved onto the very head that refuses it again.
    Clash {
        /// Whether trying once more is vain.
        in_vain: bool,
    },
}

/// What follows.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Another attempt.
    Run {
        /// What for.
        purpose: Purpose,
        /// In which state of the review.
        at: StateIx,
        /// Which budget it is charged to.
        charge: Charge,
    },
    /// What was captured is good: it is handed in.
    Complete,
    /// A person is asked.
    Escalate(Escalation),
    /// It failed: a budget is used up, or no try helps.
    Fail,
}

/// Which budget an attempt is charged to. None consumes another.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Charge {
    /// None: part of the normal way, which clears the budgets of infrastructure and spawning.
    Nothing,
    /// None, and none is cleared: a repeat that is nobody's fault.
    Repeat,
    /// A fix after a review or a failed check.
    Fix,
    /// A repeat after an infrastructure failure.
    Infra,
    /// A repeat because the agent could not be started.
    Spawn,
    /// A repeat of what changed source and may not.
    Void,
    /// A clash with a change that landed first.
    Resolution,
    /// A review that is asked again, because its answer could not be read.
    Reask,
}

impl Course {
    /// The purpose of the first attempt.
    #[must_use]
    pub fn first(review: Option<&Review>) -> Purpose {
        review.map_or(Purpose::Work, |review| review.state(StateIx(0)).purpose())
    }

    /// What follows the end of an attempt.
    #[must_use]
    pub fn ended(&self, review: Option<&Review>, purpose: Purpose, ended: Ended<'_>, limits: &Limits) -> Then {
        let again = |charge| Then::Run { purpose, at: self.at, charge };
        match ended {
            Ended::Worked { changed } => self.worked(review, purpose, changed),
            Ended::Reviewed(verdict) => review.map_or(Then::Fail, |review| self.reviewed(review, verdict)),
            Ended::Void if self.voids == 0 => again(Charge::Void),
            Ended::Void => Then::Escalate(Escalation::ReviewerEdited),
            Ended::Infra if self.infra < limits.infra_retries => again(Charge::Infra),
            Ended::NotStarted if self.spawns + 1 < limits.spawn_failures => again(Charge::Spawn),
            Ended::Infra | Ended::NotStarted | Ended::Dead => Then::Fail,
            Ended::Interrupted => again(Charge::Repeat),
            Ended::Asks => Then::Escalate(Escalation::ByAgent),
        }
    }

    /// What follows when what was handed in is not taken.
    #[must_use]
    pub fn refused(&self, review: Option<&Review>, refused: Refused, limits: &Limits) -> Then {
        match (refused, review) {
            (Refused::Check, Some(review)) if self.fixes < review.max_fixes => match review.first_fix() {
                Some(at) => Then::Run { purpose: Purpose::Fix, at, charge: Charge::Fix },
                None => Then::Fail,
            },
            (Refused::Clash { in_vain: false }, _) if self.resolutions < limits.resolutions => {
                Then::Run { purpose: Purpose::Resolve, at: self.at, charge: Charge::Resolution }
            }
            (Refused::Check | Refused::Clash { .. }, _) => Then::Fail,
        }
    }

    fn worked(&self, review: Option<&Review>, purpose: Purpose, changed: bool) -> Then {
        match (review, purpose) {
            // What clashed is not on the target already, so the change was thrown away.
            (_, Purpose::Resolve) if !changed => Then::Fail,
            (None, _) => Then::Complete,
            // It is another tree than the one that passed.
            (Some(review), Purpose::Resolve) => self.go(review, To::State(review.first_review())),
            (Some(review), _) => {
                let facts = Facts { fixes: self.fixes, changed, ..Facts::default() };
                // Every way out of work that no guard allows ends at a review.
                let to = review.state(self.at).next(&facts).unwrap_or(To::State(review.first_review()));
                self.go(review, to)
            }
        }
    }

    fn reviewed(&self, review: &Review, verdict: &Verdict) -> Then {
        let decision = verdict.decide(review.min_score);
        if decision == Decision::Unparsable && self.reasks < review.reask {
            return Then::Run { purpose: Purpose::Review, at: self.at, charge: Charge::Reask };
        }
        if decision == Decision::Unparsable {
            return Then::Escalate(Escalation::Unparsable);
        }
        let seen_before = !self.rounds.is_empty() && !self.touched && self.gist == verdict.gist();
        if decision == Decision::Revise && seen_before {
            return Then::Escalate(Escalation::NoProgress);
        }
        let facts = Facts { decision: Some(decision), score: verdict.score, fixes: self.fixes, changed: false };
        match review.state(self.at).next(&facts) {
            // Only a way that leads on from a pass may end well, whatever its guard says.
            Some(To::Complete) if decision == Decision::Complete => Then::Complete,
            Some(to @ To::State(_)) => self.go(review, to),
            Some(To::Complete | To::Escalate) | None => Then::Escalate(match decision {
                Decision::Revise => Escalation::FixesExhausted,
                Decision::Replan => Escalation::Replan,
                Decision::Complete | Decision::Unparsable => Escalation::NoWay,
            }),
        }
    }

    fn go(&self, review: &Review, to: To) -> Then {
        let at = match to {
            To::State(at) => at,
            To::Complete => return Then::Complete,
            To::Escalate => return Then::Escalate(Escalation::NoWay),
        };
        let purpose = review.state(at).purpose();
        if purpose == Purpose::Fix && self.fixes >= review.max_fixes {
            return Then::Escalate(Escalation::FixesExhausted);
        }
        if self.moves >= review.max_moves {
            return Then::Escalate(Escalation::TooLong);
        }
        let charge = if purpose == Purpose::Fix { Charge::Fix } else { Charge::Nothing };
        Then::Run { purpose, at, charge }
    }

    /// Takes in that an attempt left work, with its tree if one was captured.
    pub fn note_work(&mut self, tree: Option<TreeId>) {
        let judged = self.rounds.last().and_then(|round| round.tree);
        self.touched |= tree.is_none() || tree != judged;
    }

    /// Takes in which findings a fix says it repaired. Others than those of the last review it cannot have meant.
    pub fn note_claims(&mut self, ids: &[String]) {
        let last = u32::try_from(self.rounds.len()).unwrap_or(u32::MAX);
        for known in self.known.iter_mut().filter(|known| known.last == last) {
            known.claimed |= ids.contains(&known.finding.id);
        }
    }

    /// Takes in a verdict on exactly that tree.
    pub fn note_verdict(&mut self, attempt: AttemptNo, tree: Option<TreeId>, verdict: &Verdict) {
        self.rounds.push(Round { attempt, tree, gate: verdict.gate, score: verdict.score });
        // What could not be read found nothing, and the next review does not repeat it.
        if verdict.gate.is_none() && verdict.score.is_none() {
            return;
        }
        let round = u32::try_from(self.rounds.len()).unwrap_or(u32::MAX);
        for finding in &verdict.findings {
            let at = self.known.iter().position(|known| known.finding.id == finding.id);
            let first = at.map_or(round, |at| self.known[at].first);
            let known = Known { finding: finding.clone(), first, last: round, claimed: false };
            match at {
                Some(at) => self.known[at] = known,
                None if self.known.len() < MOST_KNOWN => self.known.push(known),
                None => {}
            }
        }
        (self.gist, self.touched) = (verdict.gist(), false);
    }

    /// Takes in what followed.
    pub fn take(&mut self, then: Then) {
        let Then::Run { purpose, at, charge } = then else {
            if then == Then::Complete {
                (self.infra, self.spawns) = (0, 0);
            }
            return;
        };
        match charge {
            Charge::Nothing | Charge::Repeat => {}
            Charge::Fix => self.fixes += 1,
            Charge::Infra => self.infra += 1,
            Charge::Spawn => self.spawns += 1,
            Charge::Void => self.voids += 1,
            Charge::Resolution => self.resolutions += 1,
            Charge::Reask => self.reasks += 1,
        }
        if matches!(charge, Charge::Nothing | Charge::Fix) {
            (self.infra, self.spawns, self.reasks, self.at) = (0, 0, 0, at);
            self.moves += 1;
        }
        if charge == Charge::Nothing && purpose == Purpose::Review {
            self.voids = 0;
        }
    }

    /// A person wants it tried again: budgets begin anew, the history stays.
    #[must_use]
    pub fn renewed(self) -> Self {
        Self { rounds: self.rounds, known: self.known, number: self.number + 1, ..Self::default() }
    }

    /// Takes in that what was handed in was refused: the next chain of the step begins.
    pub fn follow_up(&mut self) {
        (self.number, self.moves) = (self.number + 1, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::CustomSpec;
    use crate::verdict::{Finding, Gate, Severity};

    fn review(states: &str) -> Review {
        let custom = format!(r#"{{"initial": "working", "max_moves": 20, "max_fixes": 5, "states": {states}}}"#);
        let custom: CustomSpec = serde_json::from_str(&custom).unwrap();
        custom.check("own").unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn name(review: &Review, then: Then) -> &str {
        match then {
            Then::Run { at, .. } => &review.state(at).name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn where_work_leads_may_depend_on_what_it_changed_and_how_often_it_was_repaired() {
        let review = review(
            r#"{"working": {"does": "work", "to": [{"when": "fixes >= 2", "state": "last"}, {"when": "unchanged", "state": "judging"}, {"state": "testing"}]},
                "testing": {"does": "review", "command": "true", "to": [{"when": "pass", "state": "judging"}, {"when": "revise", "state": "working"}]},
                "judging": {"does": "review", "to": [{"when": "pass", "state": "complete"}, {"when": "revise", "state": "working"}]},
                "last": {"does": "review", "to": [{"when": "pass", "state": "complete"}]}}"#,
        );
        let mut course = Course::default();
        assert_eq!(name(&review, course.worked(Some(&review), Purpose::Work, true)), "testing");
        assert_eq!(name(&review, course.worked(Some(&review), Purpose::Work, false)), "judging");
        course.fixes = 2;
        assert_eq!(name(&review, course.worked(Some(&review), Purpose::Work, true)), "last");
    }

    #[test]
    fn a_verdict_that_is_no_pass_completes_nothing_whatever_a_guard_says() {
        let review = review(
            r#"{"working": {"does": "work", "to": [{"state": "judging"}]},
                "judging": {"does": "review", "to": [{"when": "score >= 1", "state": "complete"}]}}"#,
        );
        let mut course = Course::default();
        course.take(course.worked(Some(&review), Purpose::Work, true));
        let said = |gate, score| Verdict { score: Some(score), ..Verdict::of(gate) };
        assert_eq!(course.reviewed(&review, &said(Gate::Revise, 5.0)), Then::Escalate(Escalation::FixesExhausted));
        assert_eq!(course.reviewed(&review, &said(Gate::Pass, 10.0)), Then::Complete);
    }

    #[test]
    fn two_hundred_findings_are_remembered() {
        let finding = |n: usize| Finding::new(Severity::default(), &"a".repeat(n + 1));
        let verdict =
            |of: std::ops::Range<usize>| Verdict { findings: of.map(finding).collect(), ..Verdict::of(Gate::Revise) };
        let mut course = Course::default();
        course.note_verdict(AttemptNo(1), None, &verdict(0..200));
        assert_eq!(course.known.len(), 200);
        course.note_verdict(AttemptNo(2), None, &verdict(199..202));
        assert_eq!(course.known.len(), 200);
        assert_eq!((course.known[199].first, course.known[199].last), (1, 2), "what is known is followed");
    }

    #[test]
    fn a_good_end_forgives_failures_of_infrastructure_and_another_end_does_not() {
        let tired = Course { infra: 1, spawns: 1, ..Course::default() };
        for (then, left) in [(Then::Complete, 0), (Then::Fail, 1), (Then::Escalate(Escalation::Replan), 1)] {
            let mut course = tired.clone();
            course.take(then);
            assert_eq!((course.infra, course.spawns), (left, left), "{then:?}");
        }
    }
}
