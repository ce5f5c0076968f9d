//! What a fact of one machine means for another. Everything that follows from one input is in one append.

use super::services::Told;
use super::{Engine, Event, QueueId, Rejected, Slot};
use crate::branch::Branch;
use crate::dispatcher::Place;
use crate::execution::{self, Execution, HoldReason, NeedState, Next, Refusal, StepState, Touched};
use crate::id::{CommitId, ExecutionId, RequestId, StepIx};
use crate::merge_queue::{self, Eject, Entry, MergeQueue, QueuePause};
use crate::refinery::{Change, ChangeKind};
use crate::store::Version;
use crate::tier::Pool;
use crate::time::Timestamp;
use std::collections::BTreeSet;

impl Engine {
    pub(super) fn execution_input(
        &mut self,
        id: ExecutionId,
        input: &execution::Input,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        self.execution_fact(id, input, now)?;
        self.settle(id, now);
        Ok(())
    }

    /// Records what an input means, and not yet what follows from it.
    fn execution_fact(&mut self, id: ExecutionId, input: &execution::Input, now: Timestamp) -> Result<(), Rejected> {
        let execution = self.execution(id).ok_or(Rejected::UnknownExecution(id))?;
        let events = execution.decide(input, now, &self.limits)?;
        self.record_execution(id, events, now);
        Ok(())
    }

    pub(super) fn queue_input(
        &mut self,
        id: QueueId,
        input: &merge_queue::Input,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let slot = self.queues.get(&id).ok_or(Rejected::UnknownQueue)?;
        let events = slot.machine.decide(input, now, &self.limits)?;
        self.record_queue(id, events, now);
        self.settle_queue(id, now);
        // An answer was consumed: what is wanted next is looked at even if nothing changed.
        self.dirty.queues.insert(id);
        Ok(())
    }

    pub(super) fn settle(&mut self, id: ExecutionId, now: Timestamp) {
        loop {
            let events = self.execution(id).map(|e| e.settle(now)).unwrap_or_default();
            if events.is_empty() {
                return;
            }
            self.record_execution(id, events, now);
        }
    }

    pub(super) fn settle_queue(&mut self, id: QueueId, now: Timestamp) {
        loop {
            let events = self.queues.get(&id).map(|slot| slot.machine.settle(&self.limits)).unwrap_or_default();
            if events.is_empty() {
                return;
            }
            self.record_queue(id, events, now);
        }
    }

    /// Records a decision as a whole, and only then what it means for others: their answers find nothing half done.
    pub(super) fn record_execution(&mut self, id: ExecutionId, events: Vec<execution::Event>, now: Timestamp) {
        if events.is_empty() {
            return;
        }
        let routes: Vec<Route> = events.into_iter().flat_map(|event| self.apply_execution(id, event)).collect();
        for route in routes {
            self.follow(id, route, now);
        }
        self.tell_watchers(id, now);
    }

    fn apply_execution(&mut self, id: ExecutionId, event: execution::Event) -> Vec<Route> {
        let Some(slot) = self.executions.get(&id) else { return vec![] };
        let merging = match &event {
            execution::Event::StepCancelled { step } => match slot.machine.step(*step).state {
                StepState::Merging { request } => Some(request),
                _ => None,
            },
            _ => None,
        };
        let trouble = match &event {
            execution::Event::HoldClosed { hold, .. } => {
                matches!(slot.machine.holds().get(hold), Some(HoldReason::Trouble { .. }))
            }
            _ => false,
        };
        let heard = self.told(id, &event).map(|(step, pool, told)| Route::Heed(step, pool, told));
        let slot = self.executions.get_mut(&id).expect("it was there a moment ago");
        let mut touched = Touched::default();
        if !matches!(event, execution::Event::Submitted(_)) {
            slot.machine.apply_noting(&event, &mut touched);
        }
        self.dirty.steps.extend(touched.steps.iter().map(|step| Place { execution: id, step: *step }));
        if touched.all || matches!(event, execution::Event::Submitted(_)) {
            self.dirty.executions.insert(id);
        }
        self.note_disk(&event);
        let routes = heard.into_iter().chain(self.routes(id, &event, merging, trouble)).collect();
        self.batch.push((crate::store::LogId::execution(id), Event::Execution(event)));
        routes
    }

    /// What an execution's fact asks of queues and services.
    fn routes(
        &mut self,
        id: ExecutionId,
        event: &execution::Event,
        merging: Option<RequestId>,
        trouble: bool,
    ) -> Vec<Route> {
        match event {
            execution::Event::Opened { base } => vec![Route::Open(*base)],
            execution::Event::AttemptEnded { step, next: Next::Merge { request }, .. }
            | execution::Event::StepAccepted { step, next: Next::Merge { request }, .. } => {
                self.requests.insert(*request, id);
                vec![Route::Merge(*step, *request)]
            }
            execution::Event::MergeRequested { step, request } => {
                self.requests.insert(*request, id);
                vec![Route::Merge(*step, *request)]
            }
            execution::Event::LandingRequested { request, tip, merge } => {
                self.requests.insert(*request, id);
                vec![Route::Land(*request, merge.unwrap_or(*tip))]
            }
            execution::Event::StepCancelled { .. } => merging.map(Route::WithdrawMerge).into_iter().collect(),
            execution::Event::LandingRefused { request, reason: Refusal::Withdrawn, .. } => {
                vec![Route::WithdrawLanding(*request)]
            }
            execution::Event::HoldClosed { .. } if trouble => vec![Route::ResumeQueues],
            execution::Event::StepsAdded { .. } => vec![Route::Watch],
            execution::Event::ServiceFreed => vec![Route::FreeServices],
            _ => Vec::new(),
        }
    }

    fn follow(&mut self, id: ExecutionId, route: Route, now: Timestamp) {
        let Some(execution) = self.execution(id) else { return };
        let (own, target) = (Branch::integration(id), execution.target().clone());
        match route {
            Route::Open(base) => self.open_queue(own, Some(base), now),
            Route::Merge(step, request) => {
                if let Some(entry) = step_entry(execution, step, request, now) {
                    self.enqueue(&own, entry, now);
                }
            }
            Route::Land(request, commit) => {
                let passed = execution.gate().and_then(|gate| self.queue(&own)?.head_passed(gate, now, &self.limits));
                let kind = ChangeKind::Landing { execution: id, title: execution.landing_title() };
                let change = Change { request, kind, commit, at: now };
                let priority = execution.plan().priority;
                let entry = Entry { priority, passed, ..Entry::new(change, execution.gate().cloned()) };
                self.open_queue(target.clone(), None, now);
                self.enqueue(&target, entry, now);
            }
            Route::WithdrawMerge(request) => self.withdraw(&own, request, now),
            Route::WithdrawLanding(request) => self.withdraw(&target, request, now),
            Route::ResumeQueues => {
                for branch in [own, target] {
                    // A queue that is not paused, or not there, has nothing to resume.
                    let _ = self.queue_input(QueueId::of(&branch), &merge_queue::Input::Resume, now);
                }
            }
            Route::Watch => self.watch_again(id, now),
            Route::Heed(step, pool, told) => self.heed(id, step, pool, told, now),
            Route::FreeServices => self.free_services(now),
        }
    }

    fn watch_again(&mut self, id: ExecutionId, now: Timestamp) {
        let Some(execution) = self.execution(id) else { return };
        let needed: Vec<_> = execution.plan().externals().iter().map(|(external, _)| *external).collect();
        for (n, external) in needed.iter().enumerate() {
            self.watchers.entry(external.execution).or_default().insert(id);
            let state = self.execution(external.execution).map(|e| e.need_state(external.step)).unwrap_or_default();
            let report = execution::Report::Need { external: u32::try_from(n).unwrap_or(u32::MAX), state };
            // A known state is no news.
            let _ = self.execution_input(id, &execution::Input::Report(report), now);
        }
    }

    fn open_queue(&mut self, target: Branch, head: Option<crate::id::CommitId>, now: Timestamp) {
        let id = QueueId::of(&target);
        if let std::collections::btree_map::Entry::Vacant(place) = self.queues.entry(id) {
            place.insert(Slot { machine: MergeQueue::new(target.clone(), head), version: Version(0) });
            self.record_queue(id, vec![merge_queue::Event::Opened { target, head }], now);
        }
    }

    fn enqueue(&mut self, target: &Branch, entry: Entry, now: Timestamp) {
        // The same request again is the same thing: `Known` is no error.
        let _ = self.queue_input(QueueId::of(target), &merge_queue::Input::Enqueue(Box::new(entry)), now);
    }

    fn withdraw(&mut self, target: &Branch, request: RequestId, now: Timestamp) {
        // One that has left the queue meanwhile needs no withdrawal.
        let _ = self.queue_input(QueueId::of(target), &merge_queue::Input::Withdraw(request), now);
    }

    /// As [`Self::record_execution`].
    fn record_queue(&mut self, id: QueueId, events: Vec<merge_queue::Event>, now: Timestamp) {
        let news: Vec<News> = events.into_iter().filter_map(|event| self.apply_queue(id, event)).collect();
        for news in news {
            match news {
                News::Merged(merged, head) => self.report_merged(&merged, head, now),
                News::Refused(request, reason) => self.report_refused(request, reason, now),
                News::Paused(why) => self.report_trouble(id, &why, now),
                News::Resumed => self.report_trouble_over(id, now),
                News::Queued => {
                    // It waits for the same thing as the others, and has to say so.
                    if let Some(why) = self.queues.get(&id).and_then(|slot| slot.machine.paused()).cloned() {
                        self.report_trouble(id, &why, now);
                    }
                }
            }
        }
    }

    fn apply_queue(&mut self, id: QueueId, event: merge_queue::Event) -> Option<News> {
        let slot = self.queues.get_mut(&id)?;
        let mut merged = Vec::new();
        match &event {
            merge_queue::Event::Committing { .. } if self.boot.as_deref() != slot.machine.boot() => {
                if let Some(boot) = self.boot.clone() {
                    let booted = merge_queue::Event::Booted { boot };
                    slot.machine.apply(&booted);
                    self.batch.push((id.log(), Event::Queue(booted)));
                }
            }
            merge_queue::Event::Merged { line, .. } => {
                if let Some(line) = slot.machine.line(*line) {
                    let commits = line.commits().iter().copied().chain(std::iter::repeat(None));
                    merged = line.members.iter().map(merge_queue::Member::request).zip(commits).collect();
                }
            }
            _ => {}
        }
        slot.machine.apply(&event);
        self.dirty.queues.insert(id);
        self.batch.push((id.log(), Event::Queue(event.clone())));
        match event {
            merge_queue::Event::Merged { commit, .. } => Some(News::Merged(merged, commit)),
            merge_queue::Event::Ejected { request, reason, .. } => Some(News::Refused(request, reason)),
            merge_queue::Event::QueuePaused { why } => Some(News::Paused(why)),
            merge_queue::Event::QueueResumed => Some(News::Resumed),
            merge_queue::Event::Queued(_) => Some(News::Queued),
            _ => None,
        }
    }

    fn report_merged(&mut self, merged: &[(RequestId, Option<CommitId>)], head: CommitId, now: Timestamp) {
        let mut told = BTreeSet::new();
        for (request, commit) in merged {
            let Some(id) = self.requests.remove(request) else { continue };
            let merging = self.execution(id).is_some_and(|e| e.is_merging(*request));
            let report = match commit {
                Some(commit) if merging => execution::Report::Merged { request: *request, commit: *commit },
                None if merging => execution::Report::Refused { request: *request, reason: Refusal::Empty },
                _ => execution::Report::Landed { request: *request, commit: head },
            };
            // A request that its execution gave up meanwhile is merged all the same; nobody waits for the news.
            let _ = self.execution_fact(id, &execution::Input::Report(report), now);
            told.insert(id);
        }
        // Only once all members of a batch are merged may what follows, a landing say, begin.
        for id in told {
            self.settle(id, now);
        }
    }

    fn report_refused(&mut self, request: RequestId, reason: Eject, now: Timestamp) {
        let Some(id) = self.requests.remove(&request) else { return };
        let reason = match reason {
            Eject::Failed { log } | Eject::TimedOut { log } => Refusal::Check { log },
            Eject::Conflict { paths, hunks, onto, .. } => Refusal::Conflict { paths, hunks, onto },
            Eject::Interaction { with, log } => {
                let titles: Vec<&str> = with.iter().map(|partner| partner.title.as_str()).collect();
                Refusal::Interaction { with: titles.join("\", \""), log }
            }
            Eject::Refused { policy } => Refusal::Policy { reason: policy },
            Eject::Empty => Refusal::Empty,
            Eject::Moved => Refusal::Moved,
            Eject::Rewound => Refusal::Rewound,
            Eject::Blocked { reason, command } => Refusal::Blocked { reason, command },
        };
        // As above: one that was given up needs no answer.
        let _ =
            self.execution_input(id, &execution::Input::Report(execution::Report::Refused { request, reason }), now);
    }

    fn report_trouble(&mut self, id: QueueId, why: &QueuePause, now: Timestamp) {
        let Some(slot) = self.queues.get(&id) else { return };
        let target = slot.machine.target().clone();
        let text = match why {
            QueuePause::Person => return,
            QueuePause::BaseRed { log } => {
                format!("{target} itself does not pass its check: {}", log.lines().last().unwrap_or("no output"))
            }
            QueuePause::Infrastructure { reason } => format!("merging into {target} kept failing: {reason}"),
            QueuePause::Rewound { commit } => format!(
                "{target} does not have {} any more, which was merged into it: somebody moved it back; if that is \
                 meant, resume to go on from where it is, else move it forward again first",
                commit.short()
            ),
            QueuePause::TargetGone => format!("branch {target} does not exist any more; make it again, then resume"),
        };
        let mut concerned: BTreeSet<ExecutionId> =
            slot.machine.requests().filter_map(|r| self.requests.get(&r).copied()).collect();
        if matches!(why, QueuePause::Rewound { .. }) || concerned.is_empty() {
            // Whoever believes to have merged or landed there.
            concerned.extend(self.alive_on(&target));
        }
        for execution in concerned {
            let report = execution::Report::Trouble(text.clone());
            // An execution that is being cancelled has no use for the news.
            let _ = self.execution_input(execution, &execution::Input::Report(report), now);
        }
    }

    /// Open executions that merge or land there.
    fn alive_on(&self, target: &Branch) -> Vec<ExecutionId> {
        let of = |e: &&Execution| e.target() == target || Branch::integration(e.id()) == *target;
        self.executions().filter(|e| e.ended().is_none()).filter(of).map(Execution::id).collect()
    }

    /// A queue goes on: those it held up do so too, unless another one of theirs is stopped.
    fn report_trouble_over(&mut self, id: QueueId, now: Timestamp) {
        let Some(target) = self.queues.get(&id).map(|slot| slot.machine.target().clone()) else { return };
        for execution in self.alive_on(&target) {
            let branches =
                [Some(Branch::integration(execution)), self.execution(execution).map(|e| e.target().clone())];
            let stopped = |branch: &Branch| self.queue(branch).is_some_and(|queue| queue.paused().is_some());
            if !branches.iter().flatten().any(stopped) {
                // One that is not held up has nothing to close.
                let _ = self.execution_input(execution, &execution::Input::Report(execution::Report::TroubleOver), now);
            }
        }
    }

    fn tell_watchers(&mut self, id: ExecutionId, now: Timestamp) {
        let Some(watchers) = self.watchers.get(&id) else { return };
        for watcher in watchers.clone() {
            let Some(of) = self.execution(id) else { return };
            let Some(who) = self.execution(watcher) else { continue };
            let mut news = Vec::new();
            for (n, (external, _)) in who.plan().externals().iter().enumerate() {
                if external.execution == id {
                    let state = of.need_state(external.step);
                    if who.externals()[n] != state {
                        news.push(execution::Report::Need { external: u32::try_from(n).unwrap_or(u32::MAX), state });
                    }
                }
            }
            if who.after().is_some_and(|(after, _)| after == id) {
                let state = of.need_state(None);
                if matches!(state, NeedState::Landed | NeedState::Dead) || who.predecessor_state() != NeedState::Waiting
                {
                    news.push(execution::Report::Predecessor(state));
                }
            }
            for report in news {
                // Total on its own executions: a need that is known is no news.
                let _ = self.execution_input(watcher, &execution::Input::Report(report), now);
            }
        }
    }
}

/// What an execution's fact means for queues and services.
enum Route {
    Open(crate::id::CommitId),
    Merge(StepIx, RequestId),
    Land(RequestId, crate::id::CommitId),
    WithdrawMerge(RequestId),
    WithdrawLanding(RequestId),
    ResumeQueues,
    Watch,
    Heed(StepIx, Pool, Told),
    FreeServices,
}

/// What a queue's fact means for executions.
enum News {
    Merged(Vec<(RequestId, Option<CommitId>)>, CommitId),
    Refused(RequestId, Eject),
    Paused(QueuePause),
    Resumed,
    Queued,
}

fn step_entry(execution: &Execution, ix: StepIx, request: RequestId, now: Timestamp) -> Option<Entry> {
    let step = execution.step(ix);
    let work = step.work.as_ref()?;
    let kind = ChangeKind::Step {
        task: execution.task(ix),
        attempt: work.attempt,
        title: execution.plan().step(ix).title.to_string(),
        summary: step.output.as_deref().unwrap_or_default().to_owned(),
    };
    let change = Change { request, kind, commit: work.commit, at: now };
    let priority = execution.plan().step(ix).priority;
    Some(Entry { priority, frees: execution.frees(ix), ..Entry::new(change, execution.gate().cloned()) })
}
