//! Hundreds of histories of the real machines, with crashes at every append and everything else that may happen.
//! One that fails prints the command that replays it; `--example simulate` runs as many as one likes.

use enki_testkit::sim::{Faults, History, Report, simulate, simulate_aloud};

/// Histories, and how many threads share them.
const HISTORIES: u64 = 500;
const THREADS: u64 = 2;

#[test]
fn hundreds_of_histories_keep_every_promise() {
    let part = |thread: u64| {
        let seeds = (0..HISTORIES).filter(move |seed| seed % THREADS == thread);
        let run = |total: Report, seed| match simulate(seed) {
            Ok(report) => total.plus(report),
            Err(failure) => panic!("{failure}"),
        };
        seeds.fold(Report::default(), run)
    };
    let total = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || part(thread))).collect();
        let reports = parts.into_iter().map(|part| part.join().unwrap_or_else(|why| std::panic::resume_unwind(why)));
        reports.fold(Report::default(), Report::plus)
    });
    println!("{total:#?}");
    // A simulation in which nothing happens proves nothing.
    for (what, number) in [
        ("executions done", total.done),
        ("executions failed", total.failed),
        ("executions cancelled", total.cancelled),
        ("crashes", total.crashes),
        ("losses of power", total.power_losses),
        ("appends refused by the fence", total.fenced),
        ("stale reports", total.stale_reports),
        ("changes by people", total.person_changes),
        ("clock jumps", total.clock_jumps),
        ("landings that conflicted", total.landing_conflicts),
        ("landings that an agent resolved", total.resolved_landings),
    ] {
        assert!(number > 20, "only {number} {what} in {HISTORIES} histories");
    }
    assert!(total.merges > HISTORIES && total.attempts > HISTORIES, "{total:#?}");
}

/// Seeds whose histories once broke a promise.
#[test]
fn histories_that_failed_once_keep_every_promise() {
    for seed in [2, 3, 22, 57, 193, 552, 11832, 12436, 14914, 14993, 15257, 19502, 3_320_687_207] {
        simulate(seed).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// R13: the same seed gives the same history, byte for byte.
#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..50 {
        let (first, second) = (simulate_aloud(seed), simulate_aloud(seed));
        assert_eq!(first.0, second.0, "seed {seed}");
        let differs = first.1.iter().zip(&second.1).position(|(a, b)| a != b);
        if let Some(at) = differs {
            panic!("seed {seed} differs at line {at}:\n{}\n{}", first.1[at], second.1[at]);
        }
        assert_eq!(first.1.len(), second.1.len(), "seed {seed}");
    }
}

/// Every fault can be left out by its name, and then does not come.
#[test]
fn a_history_can_be_told_again_without_a_fault() {
    let names = Faults::NAMES;
    assert!(names.iter().all(|name| Faults::default().by_name(name).is_some()) && names.len() == 22);
    let mut calm = History::new(7);
    calm.without = names.map(str::to_owned).into();
    let report = calm.run().unwrap();
    assert_eq!((report.crashes, report.takeovers, report.person_changes, report.failed), (0, 0, 0, 0), "{report:?}");
    let again = calm.to_string();
    assert!(again.contains("--seed 7 --without agent_breaks_the_gate --without "), "{again}");
    assert_eq!(calm.shrink(), calm, "it breaks nothing");
}
