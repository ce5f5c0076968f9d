//! How the integration branch lands on the target, and what becomes of a landing that conflicts.
//!
//! A conflict is work, not a hold. Enki adds one step of its own: an ordinary attempt solves the conflict in a workspace
//! at the target's head, and what it leaves is a merge of both sides, which asks to land in the branch's stead. Only if
//! that step fails, a person is asked.

use super::event::{Event, HoldNo, HoldReason, ProjectKind};
use super::outcome::{Refusal, Work};
use super::step::{FailReason, LandingMerge, StepRun, StepState};
use super::{Execution, Touched};
use crate::branch::Branch;
use crate::id::{CommitId, RequestId, StepId, StepIx};
use crate::limits::Limits;
use crate::plan::Step;
use crate::retry::backoff;
use crate::spec::Land;
use crate::time::{Timestamp, Wait};
use std::sync::Arc;

/// How far the integration branch has landed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Landing {
    pub(super) requests: u32,
    pub(super) in_flight: Option<Flight>,
    /// A person wants it to land as it is.
    pub(super) asked: bool,
    /// What was tried last, landed or not.
    pub(super) tried: Option<Offer>,
    pub(super) landed: Option<CommitId>,
    /// Tries that were refused in a row, and when the next one is due by itself.
    pub(super) refusals: u32,
    pub(super) again: Option<Wait>,
    /// Whether what refused it last may have gone away since.
    pub(super) free_later: bool,
    /// Whether the last try was refused for where the target is, not for what was to land.
    pub(super) in_the_way: bool,
    /// Merges into the integration branch so far, and how many of them have landed.
    pub(super) merges: u32,
    pub(super) landed_merges: u32,
    /// The step that resolves a conflict with the target now.
    pub(super) resolver: Option<StepIx>,
    /// What such a step made, until that has landed or is of no use any more.
    pub(super) resolved: Option<Offer>,
    /// The step that could not. No other is begun until a person answers.
    pub(super) gave_up: Option<StepIx>,
    /// Conflicts that were resolved, or tried to be, since the last landing or a person's answer.
    pub(super) resolutions: u32,
}

/// What asks to land: a tip of the integration branch, as it is or as its merge with the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) tip: CommitId,
    /// What is to be on the target.
    pub(super) commit: CommitId,
    /// Merges into the integration branch up to the tip.
    pub(super) merges: u32,
}

/// A landing that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Flight {
    pub(super) request: RequestId,
    pub(super) offer: Offer,
}

impl Landing {
    /// Whoever answers wants it to be tried with all means again. What was made before is used again only if nothing
    /// was wrong with it: a person may have merged by hand meanwhile.
    fn answered(&mut self) {
        (self.gave_up, self.resolutions) = (None, 0);
        if !self.in_the_way {
            self.resolved = None;
        }
    }

    pub(super) fn requested(&mut self, request: RequestId, tip: CommitId, merge: Option<CommitId>) {
        self.requests += 1;
        self.again = None;
        let resolved = self.resolved.filter(|offer| Some(offer.commit) == merge);
        let plain = Offer { tip, commit: merge.unwrap_or(tip), merges: self.merges };
        self.in_flight = Some(Flight { request, offer: resolved.unwrap_or(plain) });
    }

    pub(super) fn done(&mut self) {
        (self.refusals, self.again, self.asked) = (0, None, false);
        (self.resolved, self.gave_up, self.resolutions) = (None, None, 0);
        if let Some(flight) = self.in_flight.take() {
            self.tried = Some(flight.offer);
            self.landed = Some(flight.offer.tip);
            self.landed_merges = flight.offer.merges;
        }
    }

    pub(super) fn refused(&mut self, reason: &Refusal, again: Option<Wait>) {
        self.free_later = reason.ends_by_itself();
        self.in_the_way = matches!(reason, Refusal::Blocked { .. } | Refusal::Moved | Refusal::Withdrawn);
        self.refusals += 1;
        self.again = again;
        self.tried = self.in_flight.take().map(|flight| flight.offer);
        if matches!(reason, Refusal::Conflict { .. } | Refusal::Rewound) {
            self.resolved = None;
        }
    }

    pub(super) fn asked_for(&mut self) {
        (self.asked, self.tried) = (true, None);
        (self.refusals, self.again) = (0, None);
        self.answered();
    }

    /// A hold of a landing is answered, or is replaced by another one while a try is in flight.
    pub(super) fn hold_closed(&mut self) {
        self.tried = None;
        (self.refusals, self.again) = (0, None);
        if self.in_flight.is_none() {
            self.answered();
        }
    }
}

impl Execution {
    /// First line of the commit that merges the integration branch into the target.
    #[must_use]
    pub fn landing_title(&self) -> String {
        format!("Merge {}: {}", Branch::integration(self.id), self.plan.title)
    }

    /// The step that resolves the conflict of a landing now, if there is one.
    #[must_use]
    pub const fn landing_resolver(&self) -> Option<StepIx> {
        self.landing.resolver
    }

    /// Whether the last landing was refused only because something of a person's is in the way.
    #[must_use]
    pub const fn landing_in_the_way(&self) -> bool {
        self.landing.in_the_way
    }

    pub(super) fn landed_events(&self, request: RequestId, commit: CommitId) -> Vec<Event> {
        self.close_landing_holds(None).chain([Event::Landed { request, commit }]).collect()
    }

    /// Ends the holds of landings, but for `keep`.
    fn close_landing_holds<'a>(&'a self, keep: Option<&'a HoldReason>) -> impl Iterator<Item = Event> + 'a {
        let open = self.holds.iter().filter(move |(_, reason)| {
            matches!(reason, HoldReason::Landing { .. }) && keep.is_none_or(|keep| *reason != keep)
        });
        open.map(|(hold, _)| Event::HoldClosed { hold: *hold, answer: None })
    }

    /// A person's word while a landing is tried by itself, at a start say: if it is refused, an agent may try again.
    pub(super) fn landing_answered(&self) -> Option<Event> {
        let late = self.landing.in_flight.is_some() && self.landing.gave_up.is_some();
        late.then_some(Event::LandingAsked)
    }

    /// What a refused landing means.
    pub(super) fn landing_refused(
        &self,
        flight: Flight,
        reason: &Refusal,
        now: Timestamp,
        limits: &Limits,
    ) -> Vec<Event> {
        // Not for ever: a checkout that nobody cleans up must not fill the log.
        let free_later = reason.ends_by_itself() && self.landing.refusals < limits.landing_tries;
        let wait = || backoff(&limits.landing_backoff, self.landing.refusals + 1, u64::from(self.landing.requests));
        let again = free_later.then(|| now.plus(wait()));
        let Flight { request, offer } = flight;
        let since = if again.is_some() { now } else { Timestamp::default() };
        let refused = |again| Event::LandingRefused { request, reason: reason.clone(), again, since };
        let hold = |reason: String, command: String| HoldReason::Landing { reason, command };
        let hold = match reason {
            // Contained already: that is what landing means.
            Refusal::Empty => return self.landed_events(request, self.head.expect("only a head asks to land")),
            // The target has moved on from where it was resolved: the branch itself asks, and hears what it is now.
            Refusal::Conflict { .. } if offer.commit != offer.tip => return vec![refused(None)],
            Refusal::Conflict { paths, hunks, onto: Some(onto) } if self.may_resolve_landing(limits) => {
                let resolution = Event::LandingResolution {
                    step: Box::new(self.landing_step()),
                    onto: *onto,
                    tip: offer.tip,
                    paths: paths.clone(),
                    findings: format!("conflict in {}\n\n{hunks}", paths.join(", ")),
                };
                // Closed first, as below.
                return self.close_landing_holds(None).chain([refused(again), resolution]).collect();
            }
            Refusal::Conflict { paths, .. } => self.conflict_hold(paths, self.landing.gave_up),
            Refusal::Blocked { reason, command } => hold(reason.clone(), command.clone()),
            Refusal::Interaction { with, .. } => hold(
                format!("its check passed, but fails together with \"{with}\", which landed first"),
                self.finish_by_hand(),
            ),
            Refusal::Check { log } => {
                let last = log.lines().last().unwrap_or("no output");
                hold(format!("the check fails on the merged tree: {last}"), self.finish_by_hand())
            }
            Refusal::Moved => hold(format!("{} kept moving", self.target), format!("enki resume {}", self.id)),
            Refusal::Policy { reason } => hold(reason.clone(), format!("enki resume {}", self.id)),
            Refusal::Withdrawn => return vec![refused(again)],
            Refusal::Rewound => {
                return vec![
                    refused(again),
                    Event::HoldOpened { hold: self.next_hold_no(), reason: HoldReason::Rewound },
                ];
            }
        };
        // What was in the way before may be another thing than what is now. Closed first: an answer asks to land again.
        let mut events: Vec<Event> = self.close_landing_holds(Some(&hold)).collect();
        events.push(refused(again));
        if !self.holds.values().any(|open| *open == hold) {
            events.push(Event::HoldOpened { hold: self.next_hold_no(), reason: hold });
        }
        events
    }

    /// The command with which a person finishes a landing that cannot be finished for them.
    fn finish_by_hand(&self) -> String {
        let branch = Branch::integration(self.id);
        match (self.project, self.target.remote()) {
            // There is no git for them: they change their files until both go together.
            (ProjectKind::Folder, _) => format!("enki land {}", self.id),
            (ProjectKind::Repository, None) => format!("git merge {branch}"),
            (ProjectKind::Repository, Some((remote, name))) => {
                format!("git pull {remote} {name} && git merge {branch} && git push {remote} HEAD:{name}")
            }
        }
    }

    /// A conflict that is left to a person, with what became of the step that was to solve it.
    fn conflict_hold(&self, paths: &[String], by: Option<StepIx>) -> HoldReason {
        let mut reason = format!("it conflicts with {} in {}", self.target, paths.join(", "));
        if let Some(ix) = by {
            let step = &self.plan.step(ix).id;
            let became = match &self.step(ix).state {
                StepState::Failed(FailReason::Conflict { paths }) => format!("left it in {}", paths.join(", ")),
                StepState::Failed(why) => format!("failed: {why}"),
                _ => "was given up".to_owned(),
            };
            reason = format!("{reason}, and step {step}, which was to solve that, {became}");
        }
        HoldReason::Landing { reason, command: self.finish_by_hand() }
    }

    /// Whether an agent may try before a person is asked: not where one just could not, and not for ever.
    pub(super) fn may_resolve_landing(&self, limits: &Limits) -> bool {
        let landing = &self.landing;
        let open = self.ended.is_none() && !self.cancelling;
        open && landing.gave_up.is_none()
            && landing.resolutions < limits.resolutions
            && self.steps.len() < limits.max_steps
    }

    /// The step that solves the conflict of a landing.
    pub(super) fn landing_step(&self) -> Step {
        let of_enki = self.steps.iter().filter(|step| step.landing.is_some()).count();
        let names = (of_enki + 1..).map(|n| format!("land-{n}"));
        let free = |name: &String| self.plan.find(name).is_none();
        let name = names.into_iter().find(free).expect("a plan has fewer steps than there are numbers");
        Step {
            id: name.parse::<StepId>().expect("a word and a number are a step id"),
            title: self.landing_title().into(),
            description: format!(
                "Solve the conflict of what this plan made with {}, so that it can land.",
                self.target
            )
            .into(),
            role: Some("resolver".into()),
            priority: self.plan.priority,
            ..Step::default()
        }
    }

    /// What the end of such a step with a change means: the merge that it left is to land.
    pub(super) fn landing_merge(work: Option<Work>) -> super::Next {
        match work {
            Some(work) => super::Next::Done(super::DoneKind::Resolved { commit: work.commit }),
            None => super::Next::Fail(FailReason::NoResult),
        }
    }

    /// Takes in a step of Enki's own. It needs nothing, nothing can need it yet, and it is in no count.
    pub(super) fn add_landing_step(
        &mut self,
        step: &Step,
        landing: LandingMerge,
        findings: &str,
        touched: &mut Touched,
    ) {
        let ix = StepIx::at(self.steps.len());
        touched.steps.extend(Arc::make_mut(&mut self.plan).extend(vec![step.clone()]));
        self.steps.push(StepRun {
            landing: Some(Box::new(landing)),
            findings: Some(findings.into()),
            ..StepRun::default()
        });
        self.count(ix, true);
        (self.landing.resolver, self.landing.resolutions) = (Some(ix), self.landing.resolutions + 1);
        touched.steps.push(ix);
    }

    /// Such a step is done: its merge asks to land.
    pub(super) fn landing_resolved(&mut self, ix: StepIx, commit: CommitId) {
        if let Some(merge) = &self.steps[ix.index()].landing {
            self.landing.resolved = Some(Offer { tip: merge.tip, commit, merges: merge.merges });
            self.landing.resolver = None;
        }
    }

    /// A conflict that its step could not solve, or was not let, is a person's.
    pub(super) fn landing_gave_up(&self, hold: HoldNo) -> Option<Event> {
        let ix = self.landing.resolver?;
        let step = self.step(ix);
        let merge = step.landing.as_ref()?;
        matches!(step.state, StepState::Failed(_) | StepState::Cancelled)
            .then(|| Event::HoldOpened { hold, reason: self.conflict_hold(&merge.paths, Some(ix)) })
    }

    /// The integration branch asks to land if it is time to, and its tip was not refused; or `again` although it was.
    pub(super) fn landing_event(&self, again: bool) -> Option<Event> {
        let landing = &self.landing;
        let head =
            self.head.filter(|_| self.landing_due() && landing.in_flight.is_none() && landing.resolver.is_none())?;
        let wanted = match self.land {
            Land::Each => true,
            Land::End => self.all_done(),
        };
        let (tip, merge) = landing.resolved.map_or((head, None), |offer| (offer.tip, Some(offer.commit)));
        let tried = landing.tried.map(|offer| offer.commit) == Some(merge.unwrap_or(tip));
        ((wanted || landing.asked) && (again || !tried)).then(|| Event::LandingRequested {
            request: RequestId::of(self.id, None, landing.requests + 1),
            tip,
            merge,
        })
    }
}
