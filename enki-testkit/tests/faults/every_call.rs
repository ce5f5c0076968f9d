//! Fails call N of each backend of each scenario, for N = 1, 2, 3, ... until a run has no hit.

use crate::person::Person;
use crate::scenarios::{SCENARIOS, Scenario};
use crate::world::World;
use enki_core::store::{Epoch, StoreErrorKind};
use enki_core::workspace::WorkspaceErrorKind;
use enki_testkit::fakes::{Fault, FaultClass, When};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which backend fails.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Of {
    Store,
    Workspaces,
    Refinery,
    Agents,
    Memory,
}

const BACKENDS: [Of; 5] = [Of::Store, Of::Workspaces, Of::Refinery, Of::Agents, Of::Memory];

/// One fault of one run.
#[derive(Clone, Debug)]
struct Planned {
    of: Of,
    call: u64,
    when: When,
    class: &'static str,
}

impl Of {
    /// The classes of errors that it knows, by name.
    const fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Store => &["busy", "full", "io", "readonly", "replaced", "leaselost"],
            Self::Workspaces => &["environment", "lost", "unmerged", "disklow"],
            Self::Refinery => &["transient", "permanent", "gone"],
            Self::Agents => &["transient", "permanent"],
            Self::Memory => &["permanent"],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Workspaces => "workspaces",
            Self::Refinery => "refinery",
            Self::Agents => "agents",
            Self::Memory => "memory",
        }
    }
}

fn class(name: &str) -> FaultClass {
    match name {
        "busy" => FaultClass::Store(StoreErrorKind::Busy),
        "full" => FaultClass::Store(StoreErrorKind::Full),
        "readonly" => FaultClass::Store(StoreErrorKind::ReadOnly),
        "replaced" => FaultClass::Store(StoreErrorKind::Replaced),
        "leaselost" => FaultClass::Store(StoreErrorKind::LeaseLost(Epoch(u64::MAX))),
        "environment" => FaultClass::Workspace(WorkspaceErrorKind::Environment),
        "lost" => FaultClass::Workspace(WorkspaceErrorKind::Lost),
        "unmerged" => FaultClass::Workspace(WorkspaceErrorKind::Unmerged),
        "disklow" => FaultClass::Workspace(WorkspaceErrorKind::DiskLow),
        "transient" => FaultClass::Transient,
        "gone" => FaultClass::Lost,
        _ => FaultClass::Permanent,
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.when == When::Before { "before" } else { "after" };
        write!(f, "{}:{}:{when}:{}", self.of.name(), self.call, self.class)
    }
}

impl Planned {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let name = parts.next()?;
        let of = BACKENDS.into_iter().find(|of| of.name() == name)?;
        let call = parts.next()?.parse().ok()?;
        let when = if parts.next()? == "before" { When::Before } else { When::After };
        let name = parts.next()?;
        let class = of.classes().iter().find(|class| **class == name)?;
        Some(Self { of, call, when, class })
    }
}

#[test]
fn every_call_fails_once_and_nothing_is_lost_or_doubled() {
    let told = |name: &str| std::env::var(name).unwrap_or_default();
    let (all, only) = (told("ENKI_FAULTS") == "all", told("ENKI_FAULTS_ONLY"));
    let one = Some(told("ENKI_FAULT")).filter(|text| !text.is_empty());
    let one = one.map(|text| Planned::parse(&text).unwrap_or_else(|| panic!("no fault is named {text}")));
    let scenarios: Vec<&Scenario> = SCENARIOS.iter().filter(|scenario| scenario.name.contains(&only)).collect();
    let (next, tallies) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tally = match &one {
                        Some(planned) => Tally::default().with(planned, run(scenario, Some(planned)).1),
                        None => every_call(scenario, all),
                    };
                    tallies.lock().unwrap().insert(scenario.name, tally);
                }
            });
        }
    });
    let tallies = tallies.into_inner().unwrap();
    let (mut total, mut failed) = (0, Vec::new());
    for (name, tally) in &tallies {
        println!(
            "{name:<48} {}",
            tally.failed_calls.iter().map(|(of, n)| format!("{} {n}", of.name())).collect::<Vec<_>>().join(", ")
        );
        total += tally.failed_calls.values().sum::<u64>();
        failed.extend(tally.broken.iter().map(|broken| {
            let (fault, why) = broken;
            format!("{name}, {fault}: {why}\nreplay it: ENKI_FAULTS_ONLY='{name}' ENKI_FAULT={fault} cargo test -p enki-testkit --test faults")
        }));
    }
    println!("{total} calls failed in {} scenarios, {} of them broke a promise", tallies.len(), failed.len());
    failed.truncate(10);
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    if one.is_none() && only.is_empty() {
        assert!(tallies.len() >= 20 && total > 2000, "only {total} calls failed in {} scenarios", tallies.len());
    }
}

#[derive(Default)]
struct Tally {
    failed_calls: BTreeMap<Of, u64>,
    broken: Vec<(String, String)>,
}

impl Tally {
    fn with(mut self, planned: &Planned, result: Result<(), String>) -> Self {
        *self.failed_calls.entry(planned.of).or_default() += 1;
        if let Err(broken) = result {
            self.broken.push((planned.to_string(), broken));
        }
        self
    }
}

fn every_call(scenario: &Scenario, all: bool) -> Tally {
    if let (_, Err(broken)) = run(scenario, None) {
        return Tally { broken: vec![("none".to_owned(), broken)], ..Tally::default() };
    }
    let mut tally = Tally::default();
    for of in BACKENDS {
        for (nth, when) in (1..).flat_map(|call| [(call, When::Before), (call, When::After)]) {
            let classes = of.classes();
            let turn = usize::try_from(nth).unwrap_or_default() % classes.len();
            let chosen = if all { classes } else { &classes[turn..=turn] };
            let mut hit = false;
            for class in chosen {
                let planned = Planned { of, call: nth, when, class };
                let (hits, result) = run(scenario, Some(&planned));
                if hits > 0 || result.is_err() {
                    hit = true;
                    tally = tally.with(&planned, result);
                }
            }
            if !hit {
                break;
            }
        }
    }
    tally
}

/// Plays a scenario with a fault, and says how often it hit and which promise was broken.
fn run(scenario: &Scenario, fault: Option<&Planned>) -> (u64, Result<(), String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        (scenario.world)(&mut world);
        if let Some(planned) = fault {
            let fault = Fault::at(planned.call, planned.when, class(planned.class));
            match planned.of {
                Of::Store => world.store.inject(fault),
                Of::Workspaces => world.spaces.inject(fault),
                Of::Refinery => world.refinery.inject(fault),
                Of::Agents => world.runner.inject(fault),
                Of::Memory => world.memory.inject(fault),
            }
        }
        let mut person = Person::new(&world);
        let mut result = person.plays(scenario).await;
        if result.is_ok() && fault.is_none() && !person.skipped.is_empty() {
            result = Err(format!("without a fault these have no moment: {:?}", person.skipped));
        }
        (world.hits(), result)
    })
}
