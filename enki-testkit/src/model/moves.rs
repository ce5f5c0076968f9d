//! What can happen next.

use super::history::{History, PERSON};
use super::world::{Flight, Host, World, gate, limits, request};
use enki_core::id::{AttemptNo, ExecutionId, TaskId};
use enki_core::merge_queue::{Effect, EffectKind, Entry, Event, Input, LineNo, QueuePause, Report};
use enki_core::refinery::{Build, Candidate, Change, ChangeKind, Check};
use enki_core::time::Timestamp;

/// One thing that can happen, and what is then.
pub(super) struct Move {
    pub(super) name: String,
    /// Whether it need not happen for all to end.
    pub(super) misfortune: bool,
    pub(super) to: Result<World, String>,
}

impl World {
    /// All that can happen next.
    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves = Moves { from: self, all: Vec::new() };
        moves.starts();
        moves.people();
        moves.misfortunes();
        for host in 0..self.hosts.len() {
            moves.of_host(host);
        }
        moves.all
    }
}

struct Moves<'a> {
    from: &'a World,
    all: Vec<Move>,
}

impl Moves<'_> {
    fn add(&mut self, name: impl Into<String>, of: impl FnOnce(&mut World) -> Result<(), String>) {
        self.push(name.into(), false, of);
    }

    fn misfortune(&mut self, name: impl Into<String>, of: impl FnOnce(&mut World) -> Result<(), String>) {
        self.push(name.into(), true, of);
    }

    fn push(&mut self, name: String, misfortune: bool, of: impl FnOnce(&mut World) -> Result<(), String>) {
        let mut to = self.from.clone();
        let to = of(&mut to).map(|()| to);
        self.all.push(Move { name, misfortune, to });
    }

    fn starts(&mut self) {
        let leads = self.from.hosts.iter().any(|host| host.epoch == self.from.epoch);
        if !leads && self.from.hosts.len() < 2 {
            self.add("an orchestrator starts", World::start);
        } else if leads && self.from.left.takeovers > 0 && self.from.hosts.len() < 2 {
            self.misfortune("another orchestrator takes the lease", |world| {
                world.left.takeovers -= 1;
                world.start()
            });
        }
    }

    fn people(&mut self) {
        let left = self.from.left;
        let leader = self.from.hosts.iter().position(|host| host.epoch == self.from.epoch);
        if let Some(leader) = leader
            && left.changes > 0
        {
            self.add(format!("change {} asks to be published", self.from.asked + 1), |world| {
                world.left.changes -= 1;
                world.asked += 1;
                let entry = Entry::new(change(world.asked), Some(gate()));
                world.hear(leader, &Input::Enqueue(Box::new(entry)))
            });
        }
        let Some(head) = self.from.git.target else { return };
        if left.person_commits > 0 {
            self.misfortune("a person commits to the target", |world| {
                world.left.person_commits -= 1;
                world.git.set(Some(head.and(PERSON)));
                world.facts.ever.extend(world.git.target);
                Ok(())
            });
        }
        if left.person_resets > 0 {
            self.misfortune("a person deletes the target", |world| {
                world.left.person_resets -= 1;
                world.facts.tampered = true;
                world.git.set(None);
                Ok(())
            });
            if let Some(parent) = head.parent() {
                self.misfortune("a person sets the target back", |world| {
                    world.left.person_resets -= 1;
                    world.facts.tampered = true;
                    world.git.set(Some(parent));
                    Ok(())
                });
            }
        }
    }

    fn misfortunes(&mut self) {
        if self.from.left.crashes > 0 {
            for host in 0..self.from.hosts.len() {
                self.misfortune(format!("orchestrator {} dies", self.from.hosts[host].epoch), |world| {
                    world.left.crashes -= 1;
                    world.die(host);
                    Ok(())
                });
            }
            if let Some((base, _)) = self.from.git.unsynced {
                self.misfortune("the power goes, and the last move of the target with it", |world| {
                    world.left.crashes -= 1;
                    world.boot += 1;
                    (world.git.target, world.git.unsynced) = (Some(base), None);
                    world.hosts.clear();
                    world.orphans.clear();
                    Ok(())
                });
            }
        }
        for orphan in &self.from.orphans {
            let (base, commit) = *orphan;
            self.add("git ends what an orchestrator that died had told it", |world| {
                world.orphans.remove(&(base, commit));
                world.publish(Candidate { commit: commit.commit(), tree: commit.tree(), base: base.commit() }).map(drop)
            });
        }
    }

    fn of_host(&mut self, at: usize) {
        let host = &self.from.hosts[at];
        let who = host.epoch;
        for (n, flight) in host.flights.iter().enumerate() {
            let what = format!("{:?} of line {}", flight.effect.kind, flight.effect.line.0);
            let Some(answer) = &flight.answer else {
                self.performs(at, n, &what);
                continue;
            };
            self.add(format!("{who} hears of {what}"), |world| {
                world.hosts[at].flights.remove(n);
                world.hear(at, answer)
            });
            if self.from.left.doubled_answers > 0 {
                self.misfortune(format!("{who} hears of {what}, and will once more"), |world| {
                    world.left.doubled_answers -= 1;
                    world.hear(at, answer)
                });
            }
        }
        let idle = host.flights.is_empty();
        if idle && let Some(at_time) = host.queue.next_deadline(self.from.now) {
            self.add(format!("time passes until {}", at_time.0), |world| {
                world.now = at_time;
                let epochs: Vec<u8> = world.hosts.iter().map(|host| host.epoch).collect();
                epochs.into_iter().try_for_each(|epoch| {
                    // One that finds out that it is fenced is gone.
                    match world.hosts.iter().position(|host| host.epoch == epoch) {
                        Some(at) => world.settle(at),
                        None => Ok(()),
                    }
                })
            });
        }
    }

    fn performs(&mut self, at: usize, n: usize, what: &str) {
        let who = self.from.hosts[at].epoch;
        self.add(format!("{what} is done for {who}"), |world| world.perform(at, n, Check::Passed));
        let kind = self.from.hosts[at].flights[n].effect.kind;
        if kind == EffectKind::Check && self.from.left.failed_checks > 0 {
            self.misfortune(format!("{what} says no to {who}"), |world| {
                world.left.failed_checks -= 1;
                world.perform(at, n, Check::Failed { log: String::new() })
            });
        }
        if self.from.left.lost_answers > 0 {
            self.misfortune(format!("{what} is done for {who}, and its answer is lost"), |world| {
                world.left.lost_answers -= 1;
                world.perform(at, n, Check::Passed)?;
                world.hosts[at].flights[n].answer = Some(lost(world.hosts[at].flights[n].effect));
                Ok(())
            });
            self.misfortune(format!("{what} is not done for {who}"), |world| {
                world.left.lost_answers -= 1;
                world.hosts[at].flights[n].answer = Some(lost(world.hosts[at].flights[n].effect));
                Ok(())
            });
        }
    }
}

impl World {
    /// An orchestrator takes the lease and takes up what is recorded.
    fn start(&mut self) -> Result<(), String> {
        self.epoch += 1;
        let queue = self.store.clone();
        let inspects = queue.last_merged().is_some();
        self.hosts.push(Host { epoch: self.epoch, boot: self.boot, queue, inspects, flights: Vec::new() });
        self.settle(self.hosts.len() - 1)
    }

    /// Its git children that move the target go on.
    fn die(&mut self, host: usize) {
        let host = self.hosts.remove(host);
        let publishing = host.flights.iter().filter(|f| f.effect.kind == EffectKind::Publish && f.answer.is_none());
        let candidates = publishing.filter_map(|flight| host.queue.line(flight.effect.line)?.candidate);
        self.orphans.extend(candidates.map(|c| (History::of(c.base), History::of(c.commit))));
    }

    /// An orchestrator hears something: it decides, appends, and goes on with what is then wanted.
    fn hear(&mut self, at: usize, input: &Input) -> Result<(), String> {
        let host = &mut self.hosts[at];
        let input = match input {
            Input::Inspected { state, .. } => {
                host.inspects = false;
                let before = host.queue.boot();
                let rebooted = before.is_some_and(|before| before != boot(host.boot));
                Input::Inspected { state: *state, rebooted }
            }
            input => input.clone(),
        };
        match host.queue.decide(&input, self.now, &limits()) {
            Ok(events) => self.record(at, events),
            // Late, or known: it changes nothing.
            Err(_) => self.settle(at),
        }
    }

    fn settle(&mut self, at: usize) -> Result<(), String> {
        self.record(at, Vec::new())
    }

    fn record(&mut self, at: usize, mut events: Vec<Event>) -> Result<(), String> {
        let host = &mut self.hosts[at];
        let mut batch = Vec::new();
        loop {
            for event in events {
                if matches!(event, Event::Committing { .. }) && host.queue.boot() != Some(&boot(host.boot)) {
                    let booted = Event::Booted { boot: boot(host.boot) };
                    host.queue.apply(&booted);
                    batch.push(booted);
                }
                host.queue.apply(&event);
                batch.push(event);
            }
            events = host.queue.settle(&limits());
            if events.is_empty() {
                break;
            }
        }
        let epoch = host.epoch;
        if !batch.is_empty() && !self.append(epoch, &batch)? {
            // Fenced: it starts nothing more, and ends.
            self.die(at);
            return Ok(());
        }
        let now = self.now;
        let host = &mut self.hosts[at];
        let inspect = Effect { line: LineNo(0), kind: EffectKind::Inspect, attempt: 0 };
        let wanted: Vec<Effect> = if host.inspects && host.queue.paused().is_none() {
            vec![inspect]
        } else {
            host.queue.effects(now).collect()
        };
        let asides = |kind| matches!(kind, EffectKind::Predict | EffectKind::Try);
        for effect in wanted.into_iter().filter(|effect| !asides(effect.kind)) {
            if !host.flights.iter().any(|flight| flight.effect == effect) {
                host.flights.push(Flight { effect, answer: None });
            }
        }
        host.flights.sort_by_key(|flight| flight.effect);
        Ok(())
    }

    /// A mechanism does its work.
    fn perform(&mut self, at: usize, n: usize, says: Check) -> Result<(), String> {
        let host = &self.hosts[at];
        let effect = host.flights[n].effect;
        let line = host.queue.line(effect.line);
        let candidate = line.and_then(|line| line.candidate);
        let report = |report| Input::Report(effect, report);
        let answer = match (effect.kind, line) {
            (EffectKind::Look, _) => Input::Seen(self.git.target.map(|head| head.commit())),
            (EffectKind::Inspect, _) => match host.queue.last_merged() {
                Some(last) => Input::Inspected { state: self.git.inspect(History::of(last.commit)), rebooted: false },
                None => lost(effect),
            },
            (EffectKind::Import, _) => report(Report::Imported),
            (EffectKind::Build, Some(line)) => {
                let base = History::of(line.base);
                let mut tip = base;
                let mut commits = Vec::new();
                for change in (1..=self.asked).filter(|change| line.has(request(*change))) {
                    let news = !tip.has(change);
                    tip = if news { tip.and(change) } else { tip };
                    commits.push(news.then(|| tip.commit()));
                }
                let candidate = Candidate { commit: tip.commit(), tree: tip.tree(), base: base.commit() };
                report(Report::Built(if tip == base { Build::Empty } else { Build::Candidate { candidate, commits } }))
            }
            (EffectKind::Check, Some(_)) => {
                if let Some(candidate) = candidate
                    && says == Check::Passed
                {
                    self.facts.passed.insert(candidate.tree.to_string());
                }
                report(Report::Checked(says))
            }
            (EffectKind::CheckBase, _) => report(Report::BaseChecked(Check::Passed)),
            (EffectKind::CheckOldBase, _) => report(Report::OldBaseChecked(Check::Passed)),
            (EffectKind::Publish, _) => match candidate {
                Some(candidate) if self.publish(candidate)? => report(Report::Published),
                Some(candidate) => report(Report::Moved(self.git.inspect(History::of(candidate.commit)))),
                None => lost(effect),
            },
            // Of a line that is not there any more.
            _ => lost(effect),
        };
        self.hosts[at].flights[n].answer = Some(answer);
        Ok(())
    }
}

fn lost(effect: Effect) -> Input {
    let reason = "its answer is lost".to_owned();
    match effect.kind {
        EffectKind::Inspect => Input::Pause(QueuePause::Infrastructure { reason }),
        _ => Input::Report(effect, Report::Failed(reason)),
    }
}

fn boot(number: u8) -> String {
    format!("boot {number}")
}

fn change(number: u8) -> Change {
    let execution = ExecutionId::new(1);
    let task = TaskId::of(execution, &"step".parse().expect("it is a name"));
    let kind =
        ChangeKind::Step { task, attempt: AttemptNo(1), title: format!("change {number}"), summary: String::new() };
    let commit = History::root().and(number).commit();
    Change { request: request(number), kind, commit, at: Timestamp(0) }
}
