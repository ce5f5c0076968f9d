//! When a coordinator is woken: what happened to the work that it made is gathered, and given to it as one turn.
//!
//! Pure: no clock, no agent. Two rules keep it from talking to itself for ever. It takes at most so many turns without a
//! word of a person, and a turn of its own that changed nothing is its last one until a person speaks. What happened
//! after that is not lost: it is told with the person's next words.

use crate::id::ExecutionId;

/// When a coordinator should hear of something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Urgency {
    /// At once: something waits for its answer.
    Now,
    /// Once nothing more happens to that execution by itself: by then there may be more to tell.
    AtRest,
}

/// Something that happened to an execution.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Happening<T> {
    /// To which.
    pub execution: ExecutionId,
    /// When it should be told.
    pub urgency: Urgency,
    /// What is told.
    pub what: T,
}

/// What a coordinator's turn did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Did {
    /// It made, answered or changed something.
    Something,
    /// It only spoke, or failed.
    Nothing,
}

/// Why a coordinator is not woken although there is something to tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Silent {
    /// Its last turn changed nothing.
    NothingDone,
    /// It took all the turns that it may without a word of a person.
    OutOfTurns,
}

/// Gathers what happened, and knows when a coordinator's next turn is due.
#[derive(Clone, Debug)]
pub struct Wake<T> {
    waiting: Vec<Happening<T>>,
    most: u32,
    taken: u32,
    done: bool,
    at_work: bool,
}

impl<T> Wake<T> {
    /// A coordinator that may take so many turns without a word of a person.
    #[must_use]
    pub const fn new(most: u32) -> Self {
        Self { waiting: Vec::new(), most, taken: 0, done: false, at_work: false }
    }

    /// A person spoke: it may go on.
    pub const fn person_spoke(&mut self) {
        (self.taken, self.done) = (0, false);
    }

    /// It took so many turns already, in an earlier process, and the last one did that.
    pub const fn took(&mut self, turns: u32, last: Did) {
        (self.taken, self.done) = (turns, turns > 0 && matches!(last, Did::Nothing));
    }

    /// Something happened.
    pub fn happened(&mut self, happening: Happening<T>) {
        self.waiting.push(happening);
    }

    /// What is not the case any more needs no turn.
    pub fn retain(&mut self, is: impl FnMut(&Happening<T>) -> bool) {
        self.waiting.retain(is);
    }

    /// Whether a turn is due. `at_rest` says whether nothing more happens to an execution by itself.
    pub fn is_due(&self, at_rest: impl Fn(ExecutionId) -> bool) -> bool {
        let wants = |one: &Happening<T>| one.urgency == Urgency::Now || at_rest(one.execution);
        !self.at_work && self.silent().is_none() && self.waiting.iter().any(wants)
    }

    /// Why it hears nothing of what waits, if it does not.
    #[must_use]
    pub const fn silent(&self) -> Option<Silent> {
        match self.done {
            _ if self.waiting.is_empty() => None,
            true => Some(Silent::NothingDone),
            false if self.taken >= self.most => Some(Silent::OutOfTurns),
            false => None,
        }
    }

    /// Begins a turn that a person's words call for, or one that is due; gives all that is to be told.
    pub fn begin(&mut self, by_person: bool) -> Vec<Happening<T>> {
        self.at_work = true;
        if !by_person {
            self.taken += 1;
        }
        std::mem::take(&mut self.waiting)
    }

    /// The turn is over. One that a person called for may well change nothing.
    pub const fn ended(&mut self, by_person: bool, did: Did) {
        self.at_work = false;
        self.done = !by_person && matches!(did, Did::Nothing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: u32 = 3;

    #[derive(Clone, Debug)]
    enum Op {
        Happens(u8, bool),
        Rests(u8, bool),
        Wakes(bool),
        Speaks(bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0u8..3, any::<bool>()).prop_map(|(of, now)| Op::Happens(of, now)),
            2 => (0u8..3, any::<bool>()).prop_map(|(of, rests)| Op::Rests(of, rests)),
            6 => any::<bool>().prop_map(Op::Wakes),
            1 => any::<bool>().prop_map(Op::Speaks),
        ]
    }

    fn happening(of: u8, now: bool, what: u32) -> Happening<u32> {
        let urgency = if now { Urgency::Now } else { Urgency::AtRest };
        Happening { execution: ExecutionId::new(of.into()), urgency, what }
    }

    proptest! {
        /// Whatever happens: no more turns than allowed between two words of a person, none after one that did nothing,
        /// none for nothing; and everything is told once, in order, or still waits.
        #[test]
        fn it_never_loops_and_loses_nothing(ops in proptest::collection::vec(op(), 0..120)) {
            let mut wake = Wake::new(MOST);
            let (mut rests, mut told, mut all) = ([false; 3], Vec::new(), 0u32);
            let (mut turns, mut idle) = (0, false);
            for op in ops {
                match op {
                    Op::Happens(of, now) => {
                        wake.happened(happening(of, now, all));
                        all += 1;
                    }
                    Op::Rests(of, is) => rests[usize::from(of)] = is,
                    Op::Speaks(did) => {
                        wake.person_spoke();
                        told.extend(wake.begin(true).into_iter().map(|one| one.what));
                        prop_assert!(!wake.is_due(|_| true), "one turn at a time");
                        wake.ended(true, if did { Did::Something } else { Did::Nothing });
                        (turns, idle) = (0, false);
                    }
                    Op::Wakes(did) => {
                        let at_rest = |id: ExecutionId| rests[usize::try_from(id.get()).unwrap()];
                        if wake.is_due(at_rest) {
                            prop_assert!(turns < MOST && !idle);
                            let batch = wake.begin(false);
                            prop_assert!(batch.iter().any(|one| one.urgency == Urgency::Now || at_rest(one.execution)));
                            told.extend(batch.into_iter().map(|one| one.what));
                            wake.ended(false, if did { Did::Something } else { Did::Nothing });
                            (turns, idle) = (turns + 1, !did);
                        }
                    }
                }
            }
            wake.person_spoke();
            told.extend(wake.begin(true).into_iter().map(|one| one.what));
            prop_assert_eq!(told, (0..all).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_waits_for_an_answer_is_told_at_once_and_the_rest_at_rest() {
        let mut wake = Wake::new(MOST);
        wake.happened(happening(1, false, 0));
        assert!(!wake.is_due(|_| false));
        assert!(wake.is_due(|id| id.get() == 1));
        wake.happened(happening(2, true, 1));
        assert!(wake.is_due(|_| false));
        assert_eq!(wake.begin(false).len(), 2, "all of it in one turn");
    }

    #[test]
    fn it_says_why_it_is_silent() {
        let mut wake = Wake::new(1);
        wake.took(1, Did::Something);
        assert_eq!(wake.silent(), None, "there is nothing to tell");
        wake.happened(happening(1, true, 0));
        assert_eq!((wake.silent(), wake.is_due(|_| true)), (Some(Silent::OutOfTurns), false));
        wake.person_spoke();
        assert_eq!((wake.silent(), wake.is_due(|_| true)), (None, true));
        wake.took(1, Did::Nothing);
        assert_eq!(wake.silent(), Some(Silent::NothingDone));
    }
}
