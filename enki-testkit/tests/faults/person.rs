//! Whoever uses the driver: follows a script, starts it again when it stopped, and helps where help is asked for.

use crate::scenarios::{Act, Do, Scenario};
use crate::world::{Driving, World, known};
use enki_core::branch::Branch;
use enki_core::driver::{DriverError, Orchestrator, Shutdown};
use enki_core::engine::Engine;
use enki_core::execution::{Command, EndStatus, Execution};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::merge_queue::MergeQueue;
use enki_core::store::StoreErrorKind;
use std::time::Duration;

/// Rounds of help, each until nothing moves by itself any more.
const ROUNDS: usize = 12;
/// Starts of the driver over one scenario.
const LIVES: usize = 8;
/// Longer than any scenario lasts.
const FOR_EVER: Duration = Duration::from_secs(3 * 24 * 3600);

pub(crate) struct Person<'a> {
    world: &'a World,
    driving: Option<Driving>,
    lives: usize,
    /// Acts whose moment never came: only a fault may be the reason.
    pub(crate) skipped: Vec<&'static str>,
}

impl<'a> Person<'a> {
    pub(crate) const fn new(world: &'a World) -> Self {
        Self { world, driving: None, lives: 0, skipped: Vec::new() }
    }

    /// Plays the scenario to its end, and judges it.
    pub(crate) async fn plays(&mut self, scenario: &Scenario) -> Result<(), String> {
        match tokio::time::timeout(FOR_EVER, self.play(scenario)).await {
            Ok(result) => result.and_then(|()| self.world.judge.broken()),
            Err(_) => Err(format!("R8: it does not end: {}", self.state().await)),
        }
    }

    async fn play(&mut self, scenario: &Scenario) -> Result<(), String> {
        for act in (scenario.script)() {
            self.act(&act).await?;
        }
        let ended = self.help_until_all_ended().await?;
        for (id, status, files) in &ended {
            let cancelled = scenario.cancels && *status == EndStatus::Cancelled;
            if *status != EndStatus::Done && !cancelled {
                return Err(format!("R8: {id} ended as {status:?}"));
            }
            if *status == EndStatus::Done {
                let main = self.world.repository.head(&crate::world::main());
                let there = main.and_then(|head| self.world.repository.files(head)).unwrap_or_default();
                if let Some(missing) = files.iter().find(|file| !there.contains_key(*file)) {
                    return Err(format!("R3: {id} is done, and {missing} is not on the target"));
                }
            }
        }
        if ended.len() != scenario.executions {
            return Err(format!("{} executions instead of {}: {ended:?}", ended.len(), scenario.executions));
        }
        self.replay_equals().await?;
        self.shut_down(Shutdown::Drain).await?;
        self.world.judge.at_the_end()
    }

    /// A driver that runs; another one, if the last has stopped for the reason of the fault.
    async fn driver(&mut self) -> Result<Orchestrator, String> {
        if let Some((_, task)) = &mut self.driving
            && task.is_finished()
        {
            let ended = task.await.map_err(|panic| format!("the driver panicked: {panic}"))?;
            self.driving = None;
            if let Err(error) = ended {
                expected(&error, self.world)?;
            }
        }
        while self.driving.is_none() {
            self.lives += 1;
            if self.lives > LIVES {
                return Err("the driver stops again and again".to_owned());
            }
            match self.world.start().await {
                Ok(driving) => self.driving = Some(driving),
                Err(error) => expected(&error, self.world)?,
            }
        }
        let (enki, _) = self.driving.as_ref().ok_or("no driver runs")?;
        Ok(enki.clone())
    }

    /// The driver that answered that it stopped, or is about to: its end is waited for.
    async fn stopped(&mut self) {
        if let Some((_, task)) = &mut self.driving {
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn act(&mut self, act: &Act) -> Result<(), String> {
        for _ in 0..LIVES {
            let enki = self.driver().await?;
            let all = known(self.world).await;
            match (act.when)(&enki, &all).await {
                Ok(true) => {}
                Ok(false) => {
                    self.skipped.push(act.name);
                    return Ok(());
                }
                Err(DriverError::Stopped) => {
                    self.stopped().await;
                    continue;
                }
                Err(error) => return Err(format!("{}: {error}", act.name)),
            }
            let done = match &act.does {
                Do::Submit(submission) => enki.submit(submission()).await.map(drop),
                Do::Command(command) => {
                    let told = command.clone();
                    let wanted = enki.query(move |engine| told(engine, &all)).await;
                    match wanted {
                        Ok(Some((id, command))) => enki.command(id, command).await,
                        Ok(None) => Ok(()),
                        Err(error) => Err(error),
                    }
                }
                Do::Outside(change) => {
                    change(self.world);
                    Ok(())
                }
                Do::Restart(how) => {
                    self.shut_down(*how).await?;
                    Ok(())
                }
            };
            match done {
                Ok(()) => return Ok(()),
                // Done once already, and the answer was lost; or a fault made it pointless.
                Err(DriverError::Rejected(_)) if self.world.hits() > 0 => return Ok(()),
                Err(DriverError::Stopped) => self.stopped().await,
                Err(error) if error.store_kind().is_some() => {
                    expected(&error, self.world)?;
                    self.stops_if_it_has_to().await;
                }
                Err(error) => return Err(format!("{}: {error}", act.name)),
            }
        }
        Err(format!("{} cannot be done", act.name))
    }

    async fn help_until_all_ended(&mut self) -> Result<Vec<(ExecutionId, EndStatus, Vec<String>)>, String> {
        for _ in 0..ROUNDS {
            match self.help().await {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => {}
                Err(Trouble::Driver(DriverError::Stopped)) => self.stopped().await,
                Err(Trouble::Driver(DriverError::Rejected(_))) => {}
                Err(Trouble::Driver(error)) => {
                    expected(&error, self.world)?;
                    self.stops_if_it_has_to().await;
                }
                Err(Trouble::Broken(broken)) => return Err(broken),
            }
        }
        Err(format!("R8: it does not end, whatever a person does: {}", self.state().await))
    }

    /// A look that failed stops nothing; an append that failed stops the driver, a moment later.
    async fn stops_if_it_has_to(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    async fn help(&mut self) -> Result<Option<Vec<(ExecutionId, EndStatus, Vec<String>)>>, Trouble> {
        let enki = self.driver().await.map_err(Trouble::Broken)?;
        let all = known(self.world).await;
        for id in &all {
            enki.load(*id).await?;
            enki.rest(*id).await?;
        }
        let look = all.clone();
        let found = enki
            .query(move |engine| look.iter().map(|id| wants(engine, *id)).collect::<Result<Vec<_>, String>>())
            .await?
            .map_err(Trouble::Broken)?;
        let mut ended = Vec::new();
        for (id, what) in all.iter().zip(found) {
            match what {
                Wants::Nothing(EndStatus::Failed, commands, _) | Wants::Help(commands) => {
                    for command in commands {
                        enki.command(*id, command).await?;
                    }
                }
                Wants::Nothing(status, _, files) => ended.push((*id, status, files)),
            }
        }
        Ok((ended.len() == all.len()).then_some(ended))
    }

    async fn replay_equals(&mut self) -> Result<(), String> {
        let enki = self.driver().await?;
        let all = known(self.world).await;
        for id in &all {
            enki.load(*id).await.map_err(|error| error.to_string())?;
        }
        let look = move |engine: &Engine| -> Vec<(Execution, Vec<MergeQueue>)> {
            let of = |id: &ExecutionId| {
                let execution = engine.execution(*id)?.clone();
                let branches = [Branch::integration(*id), execution.target().clone()];
                Some((execution, branches.iter().filter_map(|branch| engine.queue(branch).cloned()).collect()))
            };
            all.iter().filter_map(of).collect()
        };
        let live = enki.query(look).await.map_err(|error| error.to_string())?;
        self.world.replay_equals(&live).await
    }

    async fn shut_down(&mut self, how: Shutdown) -> Result<(), String> {
        let Some((enki, task)) = self.driving.take() else { return Ok(()) };
        enki.shut_down(how);
        match task.await.map_err(|panic| format!("the driver panicked: {panic}"))? {
            Ok(()) => Ok(()),
            Err(error) => expected(&error, self.world),
        }
    }

    async fn state(&self) -> String {
        let Some((enki, _)) = &self.driving else { return "no driver runs".to_owned() };
        let told = enki.query(|engine| {
            let words = |e: &Execution| {
                let steps: Vec<_> = (0..e.steps().len()).map(|n| e.word(StepIx::at(n))).collect();
                format!("{} is {}, waits for {:?}: {steps:?}", e.id(), e.status(), e.waiting_for())
            };
            engine.executions().map(words).collect::<Vec<_>>().join("; ")
        });
        told.await.unwrap_or_else(|error| error.to_string())
    }
}

enum Trouble {
    Driver(DriverError),
    Broken(String),
}

impl From<DriverError> for Trouble {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

/// What an execution at rest asks of a person.
enum Wants {
    Help(Vec<Command>),
    /// It ended: so, with what may still be done about it, and with these files.
    Nothing(EndStatus, Vec<Command>, Vec<String>),
}

fn wants(engine: &Engine, id: ExecutionId) -> Result<Wants, String> {
    let execution = engine.execution(id).ok_or_else(|| format!("{id} is not there"))?;
    let all = || (0..execution.steps().len()).map(StepIx::at);
    let with = |word: &'static str| all().filter(move |ix| execution.word(*ix) == word);
    let retries: Vec<Command> = with("failed").map(|step| Command::Retry { step, mode: None, note: None }).collect();
    if let Some(status) = execution.ended() {
        // Those of Enki's own, reports, and steps that change a file of all have none of their own.
        let others = ["land", "report", "conflict"];
        let names = with("done").map(|ix| execution.plan().step(ix).id.as_str());
        let own = names.filter(|name| !others.iter().any(|other| name.starts_with(other)));
        let files = own.map(|name| format!("{name}.txt")).collect();
        return Ok(Wants::Nothing(status, retries, files));
    }
    let paused: Vec<StepIx> = all().filter(|ix| execution.step(*ix).paused).collect();
    if execution.waiting_for().is_empty() && paused.is_empty() {
        return Err(format!("I17: {id} stands still and does not say why"));
    }
    let mut commands: Vec<Command> = paused.into_iter().map(|step| Command::Resume(Some(step))).collect();
    if execution.is_paused() || !execution.holds().is_empty() {
        commands.push(Command::Resume(None));
    }
    commands.extend(retries);
    Ok(Wants::Help(commands))
}

/// Whether the fault of the test is a reason for that; without one nothing stops.
fn expected(error: &DriverError, world: &World) -> Result<(), String> {
    match error.store_kind() {
        Some(StoreErrorKind::Conflict { .. }) => Err(format!("R6: {error}")),
        Some(_) if world.hits() > 0 => Ok(()),
        _ => Err(format!("the driver stopped: {error}")),
    }
}
