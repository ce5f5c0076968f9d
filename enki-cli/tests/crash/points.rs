//! Every crash point, once, twice, and once more while the crash is recovered from.

use crate::oracle;
use crate::place::{Kind, Place};
use enki_core::crash::{ABSENT, POINTS};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How often a plan is killed.
#[derive(Clone, Copy, Debug)]
enum Way {
    Once,
    /// In the runs after it at the same point, at a point of recovery, and at the same point once more.
    Again,
    /// In the run after it at a point of recovery.
    InRecovery,
}

struct Case {
    /// Place in [`POINTS`].
    point: usize,
    kind: Kind,
    way: Way,
    /// At which hit.
    hit: usize,
    /// Which of the points of recovery.
    recovery: usize,
}

/// What is done in the background is not done at the same moment each time: a point there may be missed.
const TRIES: usize = 4;

const RECOVERY: [&str; 3] = ["recovery.start", "recovery.row", "recovery.end"];

#[test]
fn a_crash_at_any_point_loses_nothing_and_doubles_nothing() {
    let kinds = [Kind::AWAY, Kind { checked_out: true, ..Kind::AWAY }, Kind { old_store: true, ..Kind::AWAY }];
    let mut hits = kinds.map(all_hits);
    let mut never: Vec<&str> = POINTS.iter().map(|point| point.name).collect();
    for _ in 0..TRIES {
        never.retain(|name| hits.iter().all(|hits| !hits.contains_key(*name)));
        if never.is_empty() {
            break;
        }
        hits[0].extend(all_hits(kinds[0]));
    }
    assert!(never.is_empty(), "no scenario passes {never:?}");

    let cases = cases(&kinds, &hits);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<usize, Vec<Result<(), String>>>::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = crash_there(case).map_err(|why| format!("{:?} at hit {}: {why}", case.way, case.hit));
                    results.lock().unwrap().entry(case.point).or_default().push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let failed = print(&hits, &results);
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// How often each point is passed by the run that passes it most.
fn all_hits(kind: Kind) -> BTreeMap<String, usize> {
    let place = Place::new(kind);
    let runs = place.to_the_end(|_, _| None).unwrap();
    oracle::look(&place).unwrap();
    let mut most = BTreeMap::new();
    for run in &runs {
        for name in &run.passed {
            let hits = most.entry(name.clone()).or_insert(0);
            *hits = run.hits(name).max(*hits);
        }
    }
    most
}

fn cases(kinds: &[Kind], hits: &[BTreeMap<String, usize>]) -> Vec<Case> {
    let full = std::env::var_os("ENKI_CRASH_FULL").is_some();
    let only = std::env::var("ENKI_CRASH_ONLY").unwrap_or_default();
    let mut cases = Vec::new();
    for (point, name) in POINTS.iter().map(|point| point.name).enumerate().filter(|(_, name)| name.starts_with(&only)) {
        let of = |scenario: usize| hits[scenario].get(name).map(|hits| (kinds[scenario], *hits));
        let passing: Vec<(Kind, usize)> = (0..2).filter_map(of).collect();
        let passing = if passing.is_empty() { of(2).into_iter().collect() } else { passing };
        let recovery = point % RECOVERY.len();
        let case = |(kind, _), way, hit| Case { point, kind, way, hit, recovery };
        if full {
            for n in 0..3 {
                for way in [Way::Once, Way::Again, Way::InRecovery] {
                    let (kind, most) = passing[n % passing.len()];
                    let hit = [1, most.div_ceil(2), most.div_ceil(3)][n];
                    cases.push(Case { recovery: (point + n) % RECOVERY.len(), ..case((kind, most), way, hit) });
                }
            }
        } else {
            let (first, last) = (passing[0], passing[passing.len() - 1]);
            cases.push(case(first, Way::Once, first.1.div_ceil(2)));
            cases.push(case(last, Way::Again, 1));
        }
    }
    cases
}

fn crash_there(case: &Case) -> Result<(), String> {
    for _ in 0..TRIES {
        if crash(case)? {
            return Ok(());
        }
    }
    Err(format!("none of {TRIES} runs died there"))
}

/// Says whether a run died there.
fn crash(case: &Case) -> Result<bool, String> {
    let name = POINTS[case.point].name;
    let place = Place::new(case.kind);
    let first = format!("{name}:{}", case.hit);
    let (mut died, mut after) = (false, 0);
    place.to_the_end(|place, args| {
        let at = match (died, case.way, after) {
            (false, ..) => &first,
            (true, Way::Again, 0 | 2) => name,
            (true, Way::Again, 1) | (true, Way::InRecovery, 0) => RECOVERY[case.recovery],
            (true, ..) => return None,
        };
        after += usize::from(died);
        let run = place.run(args, Some(at), None);
        died |= run.was_killed() && run.hits(name) == case.hit;
        Some(run)
    })?;
    oracle::look(&place).map(|()| died)
}

/// Prints the table, and gives what failed.
fn print(hits: &[BTreeMap<String, usize>], results: &BTreeMap<usize, Vec<Result<(), String>>>) -> Vec<String> {
    println!("{:<26} {:>5}  result", "crash point", "hits");
    let mut failed = Vec::new();
    for (at, point) in POINTS.iter().enumerate() {
        let most = hits.iter().filter_map(|hits| hits.get(point.name)).max().copied().unwrap_or(0);
        let all = results.get(&at).map_or(&[][..], |all| all);
        let bad: Vec<String> =
            all.iter().filter_map(|one| Some(format!("{}: {}", point.name, one.as_ref().err()?))).collect();
        let result = if bad.is_empty() { format!("{} well", all.len()) } else { format!("{} FAILED", bad.len()) };
        println!("{:<26} {most:>5}  {result}", point.name);
        failed.extend(bad);
    }
    for point in ABSENT {
        println!("{:<26} {:>5}  does not exist: {}", point.name, "-", point.about);
    }
    failed
}
