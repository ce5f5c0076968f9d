//! One chain by itself.

use super::{Course, Ended, Escalation, Refused, Then};
use crate::id::{AttemptNo, TreeId};
use crate::limits::Limits;
use crate::review::{Review, Reviewer, StateIx};
use crate::tier::Purpose;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// A review loop: its review, how far it is, and what should run.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    review: Review,
    course: Course,
    state: State,
    attempts: u32,
}

/// Where a chain is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// An attempt should run.
    Open {
        /// What for.
        purpose: Purpose,
        /// The attempt that runs; `None` until it was started.
        live: Option<AttemptNo>,
    },
    /// What it made passed, and is handed in.
    Complete,
    /// A person has to look.
    Escalated(Escalation),
    /// An attempt failed, and no budget is left for another try.
    Failed,
    /// It was given up.
    Cancelled,
}

/// Something that happened to a chain.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The attempt that is wanted may run.
    Start,
    /// An attempt reports its end.
    Report {
        /// Which attempt.
        attempt: AttemptNo,
        /// What it was for, as far as the reporter knows.
        purpose: Purpose,
        /// How it ended.
        report: Report,
    },
    /// What was handed in was not taken.
    Refused(Refused),
    /// It is given up.
    Cancel,
}

/// How an attempt ended.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Well, with work.
    Worked {
        /// Whether it differs from what the attempt began with.
        changed: bool,
        /// The tree it left, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tree: Option<TreeId>,
    },
    /// Well, with a verdict.
    Reviewed {
        /// The verdict.
        verdict: Verdict,
        /// Exactly what it judged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tree: Option<TreeId>,
    },
    /// It changed source and may not.
    Void,
    /// It failed in a way that another try may help.
    Infra,
    /// Its agent could not be started.
    NotStarted,
    /// It was stopped, or has to wait.
    Interrupted,
    /// The agent asks a person to decide.
    Asks,
    /// It failed for good.
    Dead,
}

/// A fact about a chain.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An attempt was started.
    Started {
        /// Which.
        attempt: AttemptNo,
    },
    /// It ended.
    Ended {
        /// Which.
        attempt: AttemptNo,
        /// How.
        report: Report,
        /// What follows, decided once.
        then: Then,
    },
    /// What was handed in was not taken.
    Refused {
        /// What follows, decided once.
        then: Then,
    },
    /// It was given up.
    Cancelled,
}

/// What should be in flight: derived, never stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted<'a> {
    /// The attempt: the one that runs, or the number that the next one gets.
    pub attempt: AttemptNo,
    /// What it is for.
    pub purpose: Purpose,
    /// Who judges, if it is a review.
    pub reviewer: Option<&'a Reviewer>,
}

/// An input that is not accepted now. Nothing changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// About an attempt that is not the one that runs: late, or said twice.
    #[error("a report of attempt {0} came late; it changes nothing")]
    Stale(AttemptNo),
    /// The attempt is for something else than the report says.
    #[error("attempt {attempt} is a {is}, not a {said}")]
    WrongPurpose {
        /// Which attempt.
        attempt: AttemptNo,
        /// What it is for.
        is: Purpose,
        /// What the report says.
        said: Purpose,
    },
    /// Such an end does not belong to such an attempt: work out of a review, or a verdict out of work.
    #[error("attempt {0} cannot end like that")]
    WrongReport(AttemptNo),
    /// The chain has ended, or an attempt runs already.
    #[error("the chain is not waiting for that")]
    NotNow,
}

impl Chain {
    /// A chain at its start.
    #[must_use]
    pub fn new(review: Review) -> Self {
        let purpose = Course::first(Some(&review));
        Self { review, course: Course::default(), state: State::Open { purpose, live: None }, attempts: 0 }
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// How far it is, and what it has used.
    #[must_use]
    pub const fn course(&self) -> &Course {
        &self.course
    }

    /// Its review.
    #[must_use]
    pub const fn review(&self) -> &Review {
        &self.review
    }

    /// Attempts started so far.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The attempt that should be in flight; `None` once the chain has ended.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted<'_>> {
        let State::Open { purpose, live } = self.state else { return None };
        let reviewer = match &self.review.state(self.course.at).does {
            crate::review::Does::Review(reviewer) if purpose == Purpose::Review => Some(reviewer),
            _ => None,
        };
        Some(Wanted { attempt: live.unwrap_or(AttemptNo(self.attempts + 1)), purpose, reviewer })
    }

    /// Decides what an input means. Pure.
    ///
    /// # Errors
    ///
    /// [`Rejected`] if the state does not accept it: late, doubled and foreign reports are harmless.
    pub fn decide(&self, input: &Input, limits: &Limits) -> Result<Event, Rejected> {
        match (input, self.state) {
            (Input::Start, State::Open { live: None, .. }) => {
                Ok(Event::Started { attempt: AttemptNo(self.attempts + 1) })
            }
            (Input::Report { attempt, purpose, report }, State::Open { purpose: is, live: Some(live) })
                if *attempt == live =>
            {
                if *purpose != is {
                    return Err(Rejected::WrongPurpose { attempt: live, is, said: *purpose });
                }
                let ended = match report {
                    Report::Worked { .. } if is == Purpose::Review => return Err(Rejected::WrongReport(live)),
                    Report::Reviewed { .. } if is != Purpose::Review => return Err(Rejected::WrongReport(live)),
                    Report::Worked { changed, .. } => Ended::Worked { changed: *changed },
                    Report::Reviewed { verdict, .. } => Ended::Reviewed(verdict),
                    Report::Void => Ended::Void,
                    Report::Infra => Ended::Infra,
                    Report::NotStarted => Ended::NotStarted,
                    Report::Interrupted => Ended::Interrupted,
                    Report::Asks => Ended::Asks,
                    Report::Dead => Ended::Dead,
                };
                let then = self.course.ended(Some(&self.review), is, ended, limits);
                Ok(Event::Ended { attempt: live, report: report.clone(), then })
            }
            (Input::Report { attempt, .. }, _) => Err(Rejected::Stale(*attempt)),
            (Input::Refused(refused), State::Complete) => {
                Ok(Event::Refused { then: self.course.refused(Some(&self.review), *refused, limits) })
            }
            (Input::Cancel, State::Open { .. }) => Ok(Event::Cancelled),
            (Input::Start | Input::Refused(_) | Input::Cancel, _) => Err(Rejected::NotNow),
        }
    }

    /// Changes the state by one fact. Total, live and on replay.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { attempt } => {
                self.attempts = attempt.0;
                if let State::Open { live, .. } = &mut self.state {
                    *live = Some(*attempt);
                }
            }
            Event::Ended { attempt, report, then } => {
                match report {
                    Report::Worked { changed: true, tree } => self.course.note_work(*tree),
                    Report::Reviewed { verdict, tree } => self.course.note_verdict(*attempt, *tree, verdict),
                    _ => {}
                }
                self.proceed(*then);
            }
            Event::Refused { then } => {
                self.course.follow_up();
                self.proceed(*then);
            }
            Event::Cancelled => self.state = State::Cancelled,
        }
    }

    fn proceed(&mut self, then: Then) {
        self.course.take(then);
        self.state = match then {
            Then::Run { purpose, .. } => State::Open { purpose, live: None },
            Then::Complete => State::Complete,
            Then::Escalate(reason) => State::Escalated(reason),
            Then::Fail => State::Failed,
        };
    }

    /// Checks what must hold after every input, with `m` fixes allowed and `limits` for the rest.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn invariants(&self, limits: &Limits) -> Result<(), String> {
        let (course, review) = (&self.course, &self.review);
        let within = course.fixes <= review.max_fixes
            && course.moves <= review.max_moves
            && course.infra <= limits.infra_retries
            && course.voids <= 1
            && course.resolutions <= limits.resolutions;
        if !within {
            return Err(format!("a budget is exceeded: {course:?}"));
        }
        if usize::from(course.at.0) >= review.states().len() {
            return Err(format!("state {} is not there", course.at.0));
        }
        match self.state {
            State::Open { purpose, .. }
                if purpose != Purpose::Resolve && review.state(course.at).purpose() != purpose =>
            {
                Err(format!("a {purpose} in state {}", review.state(course.at).name))
            }
            State::Open { live: Some(live), .. } if live.0 != self.attempts => {
                Err(format!("attempt {live} is not the last"))
            }
            _ => Ok(()),
        }
    }
}

impl Chain {
    /// The name of the state it is in.
    #[must_use]
    pub fn at(&self) -> (StateIx, &str) {
        (self.course.at, &self.review.state(self.course.at).name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Refused;
    use crate::review::Reviewer;
    use crate::verdict::Verdict;

    fn chain() -> Chain {
        Chain::new(Review::work_then_fix(Reviewer::agent(), 9.0, 2))
    }

    fn hear(chain: &mut Chain, input: &Input) {
        let event = chain.decide(input, &Limits::default()).unwrap();
        chain.apply(&event);
    }

    fn report(attempt: u32, purpose: Purpose, report: Report) -> Input {
        Input::Report { attempt: AttemptNo(attempt), purpose, report }
    }

    #[test]
    fn work_is_no_verdict_and_a_verdict_no_work() {
        let worked = || Report::Worked { changed: true, tree: None };
        let passed = || Report::Reviewed { verdict: Verdict::of(crate::verdict::Gate::Pass), tree: None };
        let limits = Limits::default();
        let mut chain = chain();
        hear(&mut chain, &Input::Start);
        for other in [0, 2] {
            let stale = Err(Rejected::Stale(AttemptNo(other)));
            assert_eq!(chain.decide(&report(other, Purpose::Work, worked()), &limits), stale);
        }
        let wrong = Err(Rejected::WrongReport(AttemptNo(1)));
        assert_eq!(chain.decide(&report(1, Purpose::Work, passed()), &limits), wrong);
        hear(&mut chain, &report(1, Purpose::Work, worked()));
        hear(&mut chain, &Input::Start);
        let wrong = Err(Rejected::WrongReport(AttemptNo(2)));
        assert_eq!(chain.decide(&report(2, Purpose::Review, worked()), &limits), wrong);
        assert_eq!((chain.attempts(), chain.at()), (2, (StateIx(1), "reviewing")));
        hear(&mut chain, &report(2, Purpose::Review, passed()));
        assert_eq!(chain.state(), State::Complete);
        // What was handed in clashes: who resolves that is no reviewer, in whichever state the chain stands.
        hear(&mut chain, &Input::Refused(Refused::Clash { in_vain: false }));
        let wanted = chain.wanted().unwrap();
        assert_eq!((wanted.purpose, wanted.reviewer), (Purpose::Resolve, None));
        assert_eq!(chain.invariants(&limits), Ok(()), "it is resolved where the review was");
    }

    #[test]
    fn a_state_that_breaks_an_invariant_is_noticed() {
        let limits = Limits::default();
        let broken = |how: &dyn Fn(&mut Chain)| {
            let mut chain = chain();
            hear(&mut chain, &Input::Start);
            assert_eq!(chain.invariants(&limits), Ok(()));
            how(&mut chain);
            chain.invariants(&limits).expect_err("it is noticed")
        };
        for over in [
            &|chain: &mut Chain| chain.course.fixes = 3,
            &|chain: &mut Chain| chain.course.moves = 100,
            &|chain: &mut Chain| chain.course.infra = Limits::default().infra_retries + 1,
            &|chain: &mut Chain| chain.course.voids = 2,
            &|chain: &mut Chain| chain.course.resolutions = Limits::default().resolutions + 1,
        ] as [&dyn Fn(&mut Chain); 5]
        {
            assert!(broken(over).starts_with("a budget is exceeded"));
        }
        assert_eq!(broken(&|chain| chain.course.at = StateIx(3)), "state 3 is not there");
        assert_eq!(broken(&|chain| chain.course.at = StateIx(1)), "a work in state reviewing");
        assert_eq!(broken(&|chain| chain.attempts = 2), "attempt 1 is not the last");
    }
}
