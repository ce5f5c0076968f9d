//! Chains whose directives an outside coordinator performs: it starts the agents and says how they ended, and everything
//! else is decided here. One of these is all chains of one coordinator, folded from its log.
//!
//! [`Outside::decide`] says what an input means, as facts to append; [`Outside::apply`] is the only way the state changes;
//! [`Outside::unanswered`] says what the coordinator has to do, derived and never stored: after a kill at any instant the
//! same log gives the same directives with the same ids.

mod told;

pub use told::Issued;

use super::{Chain, Rejected as NotMoved, Report, State, Then, Wid};
use crate::gv::Spawned;
use crate::id::{AttemptNo, EffectId, TreeId};
use crate::limits::Limits;
use crate::review::Review;
use crate::tier::Purpose;
use crate::verdict::{Reading, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// The chains of one coordinator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outside {
    chains: BTreeMap<Wid, Entry>,
    facts: u64,
}

/// One chain of a coordinator.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// What it is about, in one line.
    pub title: Box<str>,
    /// The loop itself.
    pub chain: Chain,
    /// All files that work and fixes name. A note of theirs, never evidence.
    pub files: BTreeSet<String>,
    /// The last verdict.
    pub verdict: Option<Box<Verdict>>,
    /// The fact that its present state follows from: the id of its directive.
    pub since: u64,
    /// Whether the coordinator has taken notice of its end.
    pub taken: bool,
    /// What the nonces of its reviews are made of; none if its reviewers need none.
    seed: Option<Box<str>>,
}

/// Something that a coordinator says.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// It begins a chain. Its first work, if it begins with work, comes from the coordinator's own plan.
    Open {
        /// The chain.
        wid: Wid,
        /// What it is about, in one line.
        title: Box<str>,
        /// Its review.
        review: Box<Review>,
        /// A random text that nonces are made of; none to ask for no nonce.
        seed: Option<Box<str>>,
    },
    /// An attempt has ended.
    Ended {
        /// Of which chain.
        wid: Wid,
        /// Which attempt.
        attempt: AttemptNo,
        /// What kind of agent it was, if it is said; then a wrong one is refused.
        by: Option<Spawned>,
        /// How it ended.
        end: Box<End>,
    },
    /// It has taken notice of the end of a chain.
    Taken {
        /// Of which.
        wid: Wid,
    },
    /// It gives a chain up.
    Cancel {
        /// Which.
        wid: Wid,
    },
}

/// How an attempt ended, as its coordinator tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// In one word.
    pub outcome: Word,
    /// The final message of the agent; a verdict is read from it.
    pub text: String,
    /// Whether work or a fix changed anything.
    pub changed: bool,
    /// The tree that was left or judged, if it is known.
    pub tree: Option<TreeId>,
    /// The files that were changed.
    pub files: Vec<String>,
}

/// How an attempt ended, in one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Word {
    /// Well.
    Done,
    /// In a way that another try may help.
    Failed,
    /// Its agent could not be started.
    NotStarted,
    /// It was stopped, or has to wait: nobody's fault.
    Interrupted,
    /// It changed source and may not.
    Void,
    /// The agent asks a person to decide.
    Asks,
    /// For good.
    Dead,
}

/// A fact about a chain of a coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It exists.
    Opened {
        /// The chain.
        wid: Wid,
        /// What it is about.
        title: Box<str>,
        /// Its review, as it is from now on.
        review: Box<Review>,
        /// What its nonces are made of.
        seed: Option<Box<str>>,
    },
    /// An attempt may be started; recorded before anybody is told to.
    Started {
        /// Of which chain.
        wid: Wid,
        /// Which.
        attempt: AttemptNo,
    },
    /// It ended.
    Ended {
        /// Of which chain.
        wid: Wid,
        /// Which.
        attempt: AttemptNo,
        /// How.
        report: Report,
        /// What follows, decided once.
        then: Then,
        /// The files it changed, by its own word.
        files: Vec<String>,
    },
    /// The chain was given up.
    Cancelled {
        /// Which.
        wid: Wid,
    },
    /// The coordinator has taken notice of its end.
    Taken {
        /// Of which.
        wid: Wid,
    },
}

/// What an input means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decided {
    /// The facts to append, all at once; none if it was said before.
    pub events: Vec<Event>,
    /// What should be known of how a verdict was read, one line each.
    pub notices: Vec<String>,
}

/// An input that is not accepted. Nothing changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// Nobody has begun it.
    #[error("there is no chain {0}; begin it with `start`")]
    Unknown(Wid),
    /// It was begun as something else.
    #[error("chain {0} was begun with another title or review; give the new one another name")]
    Another(Wid),
    /// As many are open as may be.
    #[error("{0} chains are open, and no more may be (review.max_chains); end one first")]
    Full(u32),
    /// It has not ended.
    #[error("chain {0} has not ended")]
    NotEnded(Wid),
    /// The agent is not of the kind that the attempt is for.
    #[error("attempt {attempt} of chain {wid} is a {is}, and no {by} ends it")]
    WrongKind {
        /// Of which chain.
        wid: Wid,
        /// Which attempt.
        attempt: AttemptNo,
        /// What it is for.
        is: Purpose,
        /// Who is said to have ended it.
        by: &'static str,
    },
    /// The chain itself does not accept it.
    #[error("chain {wid}: {why}")]
    Chain {
        /// Which.
        wid: Wid,
        /// Why.
        why: NotMoved,
    },
}

impl Rejected {
    /// Whether it was said too late or twice: harmless, and what a coordinator repeats after a restart.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        matches!(self, Self::Chain { why: NotMoved::Stale(_), .. })
    }
}

impl Outside {
    /// The chains by name.
    pub fn chains(&self) -> impl Iterator<Item = (&Wid, &Entry)> {
        self.chains.iter()
    }

    /// The chain of that name.
    #[must_use]
    pub fn get(&self, wid: &Wid) -> Option<&Entry> {
        self.chains.get(wid)
    }

    /// Number of facts so far: the version of its log.
    #[must_use]
    pub const fn facts(&self) -> u64 {
        self.facts
    }

    /// Decides what an input means. Pure.
    ///
    /// # Errors
    ///
    /// [`Rejected`] if the state does not accept it.
    pub fn decide(&self, input: &Input, limits: &Limits) -> Result<Decided, Rejected> {
        match input {
            Input::Open { wid, title, review, seed } => self.open(wid, title, review, seed.as_deref(), limits),
            Input::Ended { wid, attempt, by, end } => self.ended(wid, *attempt, *by, end, limits),
            Input::Taken { wid } => {
                let entry = self.known(wid)?;
                match entry.chain.state() {
                    State::Open { .. } => Err(Rejected::NotEnded(wid.clone())),
                    _ if entry.taken => Ok(Decided::default()),
                    _ => Ok(Decided { events: vec![Event::Taken { wid: wid.clone() }], notices: Vec::new() }),
                }
            }
            Input::Cancel { wid } => {
                let refused = |why| Rejected::Chain { wid: wid.clone(), why };
                match self.known(wid)?.chain.state() {
                    State::Open { .. } => {
                        Ok(Decided { events: vec![Event::Cancelled { wid: wid.clone() }], notices: Vec::new() })
                    }
                    State::Cancelled => Ok(Decided::default()),
                    State::Complete | State::Escalated(_) | State::Failed => Err(refused(NotMoved::NotNow)),
                }
            }
        }
    }

    fn known(&self, wid: &Wid) -> Result<&Entry, Rejected> {
        self.chains.get(wid).ok_or_else(|| Rejected::Unknown(wid.clone()))
    }

    fn open(
        &self,
        wid: &Wid,
        title: &str,
        review: &Review,
        seed: Option<&str>,
        limits: &Limits,
    ) -> Result<Decided, Rejected> {
        if let Some(known) = self.chains.get(wid) {
            let same = &*known.title == title && known.chain.review() == review;
            return if same { Ok(Decided::default()) } else { Err(Rejected::Another(wid.clone())) };
        }
        let open = self.chains.values().filter(|entry| matches!(entry.chain.state(), State::Open { .. })).count();
        if open >= limits.chains as usize {
            return Err(Rejected::Full(limits.chains));
        }
        let (title, review, seed) = (title.into(), Box::new(review.clone()), seed.map(Into::into));
        let opened = Event::Opened { wid: wid.clone(), title, review, seed };
        let started = Event::Started { wid: wid.clone(), attempt: AttemptNo(1) };
        Ok(Decided { events: vec![opened, started], notices: Vec::new() })
    }

    fn ended(
        &self,
        wid: &Wid,
        attempt: AttemptNo,
        by: Option<Spawned>,
        end: &End,
        limits: &Limits,
    ) -> Result<Decided, Rejected> {
        let entry = self.known(wid)?;
        let refused = |why| Rejected::Chain { wid: wid.clone(), why };
        let purpose = match entry.chain.state() {
            State::Open { purpose, live: Some(live) } if live == attempt => purpose,
            _ => return Err(refused(NotMoved::Stale(attempt))),
        };
        if let Some(by) = by.filter(|by| (*by == Spawned::Engineer) == (purpose == Purpose::Review)) {
            return Err(Rejected::WrongKind { wid: wid.clone(), attempt, is: purpose, by: told::word(by) });
        }
        let mut notices = Vec::new();
        let report = match end.outcome {
            Word::Done if purpose == Purpose::Review => {
                let read = Reading::of(&end.text, entry.nonce(wid, attempt).as_deref());
                notices = read.notices;
                Report::Reviewed { verdict: read.verdict, tree: end.tree }
            }
            Word::Done => Report::Worked { changed: end.changed, tree: end.tree },
            Word::Failed => Report::Infra,
            Word::NotStarted => Report::NotStarted,
            Word::Interrupted => Report::Interrupted,
            Word::Void => Report::Void,
            Word::Asks => Report::Asks,
            Word::Dead => Report::Dead,
        };
        let input = super::Input::Report { attempt, purpose, report };
        let decided = entry.chain.decide(&input, limits).map_err(refused)?;
        let mut after = entry.chain.clone();
        after.apply(&decided);
        let super::Event::Ended { attempt, report, then } = decided else { return Err(refused(NotMoved::NotNow)) };
        let mut events = vec![Event::Ended { wid: wid.clone(), attempt, report, then, files: end.files.clone() }];
        // Whatever follows is recorded as begun in the same append, before anybody is told.
        if let Some(wanted) = after.wanted() {
            events.push(Event::Started { wid: wid.clone(), attempt: wanted.attempt });
        }
        Ok(Decided { events, notices })
    }

    /// Changes the state by one fact. Total, live and on replay.
    pub fn apply(&mut self, event: &Event) {
        self.facts += 1;
        let facts = self.facts;
        match event {
            Event::Opened { wid, title, review, seed } => {
                let entry = Entry {
                    title: title.clone(),
                    chain: Chain::new((**review).clone()),
                    files: BTreeSet::new(),
                    verdict: None,
                    since: facts,
                    taken: false,
                    seed: seed.clone(),
                };
                self.chains.insert(wid.clone(), entry);
            }
            Event::Started { wid, attempt } => self.moved(wid, &super::Event::Started { attempt: *attempt }),
            Event::Ended { wid, attempt, report, then, files } => {
                self.moved(wid, &super::Event::Ended { attempt: *attempt, report: report.clone(), then: *then });
                if let Some(entry) = self.chains.get_mut(wid) {
                    entry.files.extend(files.iter().cloned());
                    if let Report::Reviewed { verdict, .. } = report {
                        entry.verdict = Some(Box::new(verdict.clone()));
                    }
                }
            }
            Event::Cancelled { wid } => self.moved(wid, &super::Event::Cancelled),
            Event::Taken { wid } => {
                if let Some(entry) = self.chains.get_mut(wid) {
                    entry.taken = true;
                }
            }
        }
    }

    fn moved(&mut self, wid: &Wid, event: &super::Event) {
        if let Some(entry) = self.chains.get_mut(wid) {
            entry.chain.apply(event);
            entry.since = self.facts;
        }
    }

    /// What the coordinator has to do, in the order in which it came to be: each until it is answered.
    #[must_use]
    pub fn unanswered(&self) -> Vec<Issued<'_>> {
        let mut all: Vec<Issued<'_>> = self.chains.iter().filter_map(|(wid, entry)| entry.issued(wid)).collect();
        all.sort_by_key(|issued| issued.id);
        all
    }
}

impl Entry {
    /// The word that the answer of a review carries, if it needs one: what a reviewer only quotes does not have it.
    fn nonce(&self, wid: &Wid, attempt: AttemptNo) -> Option<String> {
        let parts = [self.seed.as_deref()?.as_bytes(), wid.as_str().as_bytes(), &attempt.0.to_be_bytes()];
        let mut hex = EffectId::of("nonce", &parts).hex();
        hex.truncate(16);
        Some(hex)
    }
}
