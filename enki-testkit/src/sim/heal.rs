//! People and misfortune, and the second phase: nothing fails any more, and everything has to end.

use super::{Faults, Simulation, Task, plans, target};
use crate::fakes::vcs::Merge;
use enki_core::branch::Branch;
use enki_core::engine::{Engine, Input};
use enki_core::execution::{Answer, Command, Execution, HoldReason, StepState};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::merge_queue::QueuePause;
use enki_core::spec::Land;

/// Rounds of help by a person, each until nothing moves any more. One is enough for most histories.
const ROUNDS: u32 = 40;

impl Simulation {
    /// A person looks in: submits, commands, or changes branches.
    pub(super) fn person(&mut self) -> Result<(), String> {
        let delay = i64::try_from(1000 + self.rng.below(120_000)).unwrap_or(1000);
        self.after(delay, Task::Person);
        if self.submitted == 0 || (self.submitted < 3 && self.rng.chance(150)) {
            self.submit()?;
        }
        if self.rng.chance(self.faults.commands)
            && let Some(id) = self.leader()
            && let Some(host) = self.hosts.get(&id)
            && let Some((execution, command)) = plans::command(&mut self.rng, &host.engine, &self.limits)
            // The last one that has to do with a branch may be the one for which it would be put back.
            && !(gives_up(&command) && self.main_is_lost())
        {
            self.report.commands += 1;
            self.note(|| format!("          a person wants {command:?} of {execution}"));
            self.deliver(id, Input::Command(execution, command))?;
        }
        self.person_at_git();
        Ok(())
    }

    fn submit(&mut self) -> Result<(), String> {
        let now = self.now();
        let Some(id) = self.leader() else { return Ok(()) };
        let Some(host) = self.hosts.get(&id) else { return Ok(()) };
        let existing: Vec<&Execution> = host.engine.executions().collect();
        let submitted = plans::submit(&mut self.rng, self.submitted + 1, &existing, now);
        self.submitted += 1;
        self.deliver(id, Input::Submit(Box::new(submitted)))
    }

    fn person_at_git(&mut self) {
        let before = self.repository.head(&target());
        self.person_changes_branches();
        let after = self.repository.head(&target());
        if before != after {
            self.note(|| format!("          a person moves main from {before:?} to {after:?}"));
        }
    }

    /// Whether the last move of main was lost with the power, and nobody has made it again yet.
    pub(super) fn main_is_lost(&mut self) -> bool {
        let repository = &self.repository;
        self.lost_moves
            .retain(|branch, commit| !repository.head(branch).is_some_and(|head| repository.contains(head, *commit)));
        self.lost_moves.contains_key(&target())
    }

    fn person_changes_branches(&mut self) {
        let main = target();
        if self.main_is_lost() {
            // Whoever moves it before it is put back is asked; that is another history.
            return;
        }
        let Some(head) = self.repository.head(&main) else {
            if self.rng.chance(300) {
                self.bring_back(&main);
            }
            return;
        };
        if self.rng.chance(self.faults.person_moves_target) {
            let path = self.rng.pick(&["README.md", "shared.txt", "theirs.txt"]);
            let text = format!("by a person at {}\n", self.elapsed);
            self.repository.edit(&main, &[(path, Some(&text))], "by a person");
            self.report.person_changes += 1;
        } else if self.rng.chance(self.faults.person_breaks_target) {
            self.repository.edit(&main, &[("broken.txt", Some("BAD\n"))], "by a careless person");
            self.report.person_changes += 1;
        } else if self.rng.chance(self.faults.person_resets_target) {
            let parents = self.repository.get(head).map(|commit| commit.parents).unwrap_or_default();
            if let Some(parent) = parents.first() {
                self.repository.set(&main, Some(*parent));
                self.oracle.tampered.insert(main);
                self.report.person_changes += 1;
            }
        } else if self.rng.chance(self.faults.person_deletes_target) {
            self.repository.keep(head);
            self.repository.set(&main, None);
            self.report.person_changes += 1;
            self.lost_heads.insert(main, head);
        }
    }

    fn bring_back(&mut self, branch: &Branch) {
        if let Some(head) = self.lost_heads.remove(branch) {
            self.note(|| format!("          a person makes {branch} again"));
            self.repository.set(branch, Some(head));
        }
    }

    /// Something goes wrong by itself.
    pub(super) fn chaos(&mut self) -> Result<(), String> {
        if self.healing {
            return Ok(());
        }
        let delay = i64::try_from(10_000 + self.rng.below(300_000)).unwrap_or(10_000);
        self.after(delay, Task::Chaos);
        if self.rng.chance(self.faults.crash_any_time)
            && let Some(id) = self.leader()
        {
            self.crash(id);
        }
        if self.rng.chance(self.faults.takeover) && self.leader().is_some() {
            self.report.takeovers += 1;
            self.note(|| "another orchestrator takes over".to_owned());
            self.start_host()?;
        }
        if self.rng.chance(self.faults.clock_jump) {
            let hour = 3_600_000;
            let by = self.rng.pick(&[hour, -hour, 24 * hour, -24 * hour, 87_600 * hour, -87_600 * hour, 1000, -1000]);
            self.skew += by;
            self.report.clock_jumps += 1;
            self.note(|| format!("the clock jumps by {by} ms"));
            self.clock_jumped();
        }
        Ok(())
    }

    /// The second phase.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.note(|| "from here on nothing fails".to_owned());
        self.healing = true;
        self.faults = Faults::none();
        self.agenda.retain(|_, task| !matches!(task, Task::Person | Task::Chaos));
        let lost: Vec<Branch> = self.lost_heads.keys().cloned().collect();
        lost.iter().for_each(|branch| self.bring_back(branch));
        self.restart()?;
        for _ in 0..ROUNDS {
            self.drain()?;
            let Some(id) = self.leader() else { return Err("no orchestrator runs".to_owned()) };
            let Some(host) = self.hosts.get(&id) else { return Err("no orchestrator runs".to_owned()) };
            let open: Vec<ExecutionId> =
                host.engine.executions().filter(|e| e.ended().is_none()).map(Execution::id).collect();
            if open.is_empty() {
                return Ok(());
            }
            for execution in &open {
                named(&host.engine, *execution)?;
                landed_by_itself(&host.engine, *execution)?;
            }
            for execution in open {
                self.help(execution)?;
            }
        }
        self.drain()?;
        let stuck = self.leader().and_then(|id| self.hosts.get(&id)).map(|host| {
            let open = host.engine.executions().filter(|e| e.ended().is_none());
            open.map(|e| format!("{} is {}, waits for {:?}: {:?}", e.id(), e.status(), e.waiting_for(), words(e)))
                .collect::<Vec<_>>()
        });
        match stuck {
            Some(stuck) if stuck.is_empty() => Ok(()),
            stuck => Err(format!("R8: it does not end, whatever a person does: {stuck:?}")),
        }
    }

    /// Lets everything happen that is on its way.
    fn drain(&mut self) -> Result<(), String> {
        while let Some(((at, _), task)) = self.agenda.pop_first() {
            let turn = matches!(task, Task::Wake(host) if self.leader() == Some(host));
            self.step(at, task)?;
            if turn && self.waits_for_people() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether nothing is on its way but landings that are tried again and again until a person helps.
    fn waits_for_people(&self) -> bool {
        let Some(host) = self.leader().and_then(|id| self.hosts.get(&id)) else { return false };
        self.agenda.values().all(|task| matches!(task, Task::Wake(_)))
            && host.engine.executions().all(|e| host.engine.at_rest(e.id()))
            && !host.engine.executions().any(way_is_free)
    }

    /// A person does what an execution waits for.
    fn help(&mut self, id: ExecutionId) -> Result<(), String> {
        let branches = [target(), Branch::integration(id)];
        for branch in &branches {
            self.bring_back(branch);
            let Some(host) = self.leader().and_then(|id| self.hosts.get(&id)) else { continue };
            let red = host.engine.queue(branch).and_then(|queue| queue.paused());
            if matches!(red, Some(QueuePause::BaseRed { .. })) {
                self.repair(branch);
            }
        }
        let Some(leader) = self.leader() else { return Ok(()) };
        let Some(execution) = self.hosts.get(&leader).and_then(|host| host.engine.execution(id)) else { return Ok(()) };
        let lands = execution.holds().values().any(|reason| matches!(reason, HoldReason::Landing { .. }));
        let paused = |ix: &StepIx| execution.step(*ix).paused;
        let steps: Vec<StepIx> = (0..execution.steps().len()).map(StepIx::at).filter(paused).collect();
        let engine = self.hosts.get(&leader).map(|host| &host.engine);
        let over = |id: ExecutionId| engine.and_then(|e| e.execution(id)).is_none_or(|e| e.ended().is_some());
        let needed = execution.plan().externals().iter().map(|(external, _)| external.execution);
        let mut needed = needed.chain(execution.after().map(|(after, _)| after)).peekable();
        let waits = needed.peek().is_some() && needed.all(over);
        let nothing_else = execution.holds().is_empty() && !execution.is_paused() && steps.is_empty();
        let blocked = execution.steps().iter().all(|s| !matches!(s.state, StepState::Running(_)));
        if lands {
            self.merge_by_hand(id);
        }
        let mut commands: Vec<Command> = steps.into_iter().map(|step| Command::Resume(Some(step))).collect();
        commands.push(Command::Resume(None));
        if waits && nothing_else && blocked {
            // What it waits for outside will not come any more.
            commands.push(Command::Cancel { step: None, committing: Vec::new() });
        }
        for command in commands {
            self.note(|| format!("          a person helps {id}: {command:?}"));
            let Some(leader) = self.leader() else { return Ok(()) };
            self.deliver(leader, Input::Command(id, command))?;
        }
        Ok(())
    }

    /// Takes bad files off a branch.
    fn repair(&mut self, branch: &Branch) {
        let files = self.repository.head(branch).and_then(|head| self.repository.files(head)).unwrap_or_default();
        let bad: Vec<&str> =
            files.iter().filter(|(_, content)| content.contains("BAD")).map(|(path, _)| path.as_str()).collect();
        let edits: Vec<_> = bad.into_iter().map(|path| (path, Some("repaired\n"))).collect();
        if !edits.is_empty() {
            self.note(|| format!("          a person repairs {branch}"));
            self.repository.edit(branch, &edits, "repaired by a person");
        }
    }

    /// Merges the integration branch into the target, as the hold says.
    fn merge_by_hand(&mut self, id: ExecutionId) {
        if self.main_is_lost() {
            return;
        }
        let integration = Branch::integration(id);
        let (Some(ours), Some(theirs)) = (self.repository.head(&target()), self.repository.head(&integration)) else {
            return;
        };
        let files = match self.repository.merge(ours, theirs) {
            Some(Merge::Clean(files)) => files,
            Some(Merge::Conflict { paths, mut files }) => {
                for path in paths {
                    files.insert(path, "resolved by a person\n".to_owned());
                }
                files
            }
            None => return,
        };
        self.note(|| format!("          a person merges {integration}"));
        let commit = self.repository.commit(files, &[ours, theirs], "merged by a person", self.now());
        self.repository.set(&target(), Some(commit));
    }
}

/// Whether an execution, or a step of it, is given up by that.
const fn gives_up(command: &Command) -> bool {
    matches!(command, Command::Cancel { .. } | Command::Decide { answer: Answer::Reject, .. })
}

/// Nothing is on its way any more: whatever has not ended has to name what it waits for (I17).
fn named(engine: &Engine, id: ExecutionId) -> Result<(), String> {
    let Some(execution) = engine.execution(id) else { return Ok(()) };
    let paused = execution.steps().iter().any(|step| step.paused);
    if execution.waiting_for().is_empty() && !paused {
        return Err(format!("I17: {id} stands still and does not say why: {:?}", words(execution)));
    }
    Ok(())
}

/// The target is not in the way any more, and nothing is on its way: no landing waits for it still.
fn landed_by_itself(engine: &Engine, id: ExecutionId) -> Result<(), String> {
    match engine.execution(id).filter(|execution| way_is_free(execution)) {
        Some(execution) => Err(format!("the landing of {id} waits although its way is free: {:?}", execution.holds())),
        None => Ok(()),
    }
}

/// Whether it waits to land on a target that was checked out, as none is any more.
fn way_is_free(execution: &Execution) -> bool {
    let blocked = |reason: &HoldReason| matches!(reason, HoldReason::Landing { reason, .. } if reason.as_str() == super::perform::CHECKED_OUT);
    let asks = execution.open_requests().any(|(step, _)| step.is_none());
    // A queue that is stopped for another reason tries nothing, and a person is asked whether the target was meant to go back.
    let waits = |reason: &HoldReason| matches!(reason, HoldReason::Trouble { .. } | HoldReason::Rewound);
    let stopped = execution.holds().values().any(waits);
    execution.land() == Land::Each && !asks && !stopped && execution.holds().values().any(blocked)
}

fn words(execution: &Execution) -> Vec<&'static str> {
    (0..execution.steps().len()).map(|n| execution.word(StepIx::at(n))).collect()
}
