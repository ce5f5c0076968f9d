//! The review loop alone: every sequence of verdicts ends within its bounds, and noise changes nothing.

use enki_core::chain::{Chain, Escalation, Input, Rejected, Report, State};
use enki_core::id::{AttemptNo, TreeId};
use enki_core::limits::Limits;
use enki_core::review::{CustomSpec, Review, Reviewer};
use enki_core::tier::Purpose;
use enki_core::verdict::{Gate, Verdict};
use proptest::prelude::*;

pub(crate) fn tree(n: u8) -> TreeId {
    format!("{n:040x}").parse().unwrap()
}

/// What a reviewer may say, and whether the fix before it changed anything.
#[derive(Clone, Copy, Debug)]
struct Said {
    gate: Option<Gate>,
    /// Which findings: the same number, the same findings.
    about: u8,
    changed: bool,
}

fn said() -> Vec<Said> {
    let gates = [Some(Gate::Pass), Some(Gate::Revise), Some(Gate::Fail), None];
    let mut all = Vec::new();
    for gate in gates {
        for about in 0..2 {
            for changed in [true, false] {
                all.push(Said { gate, about, changed });
            }
        }
    }
    all
}

fn go(chain: &mut Chain, input: &Input, limits: &Limits) -> Result<(), Rejected> {
    let before = chain.clone();
    match chain.decide(input, limits) {
        Ok(event) => {
            chain.apply(&event);
            chain.invariants(limits).unwrap_or_else(|broken| panic!("{broken}\n{before:?}\n{input:?}"));
            Ok(())
        }
        Err(rejected) => {
            assert_eq!(*chain, before);
            Err(rejected)
        }
    }
}

/// Runs one attempt to a good end. Gives the purpose.
fn attempt(chain: &mut Chain, say: Said, trees: &mut u8, limits: &Limits) -> Purpose {
    let wanted = chain.wanted().unwrap();
    let (attempt, purpose) = (wanted.attempt, wanted.purpose);
    go(chain, &Input::Start, limits).unwrap();
    *trees += u8::from(purpose != Purpose::Review && say.changed);
    let verdict = say
        .gate
        .map_or_else(Verdict::default, Verdict::of)
        .saying(["first thing", "second thing"][usize::from(say.about)]);
    let report = match purpose {
        Purpose::Review => Report::Reviewed { verdict, tree: Some(tree(*trees)) },
        _ => Report::Worked { changed: say.changed, tree: Some(tree(*trees)) },
    };
    go(chain, &Input::Report { attempt, purpose, report }, limits).unwrap();
    purpose
}

fn kinds() -> Vec<Review> {
    let custom: CustomSpec = serde_json::from_str(
        r#"{"initial": "working", "max_moves": 5, "max_fixes": 2, "states": {
            "working": {"does": "work", "to": [{"state": "testing"}]},
            "testing": {"does": "review", "command": "true", "to": [{"when": "pass", "state": "judging"}, {"when": "revise", "state": "fixing"}]},
            "judging": {"does": "review", "to": [{"when": "pass", "state": "complete"}, {"when": "revise", "state": "fixing"}]},
            "fixing": {"does": "fix", "to": [{"when": "unchanged", "state": "judging"}, {"state": "testing"}]}}}"#,
    )
    .unwrap();
    let mut all = vec![Review::review_only(Reviewer::agent(), 9.0), custom.check("careful").unwrap()];
    for fixes in 0..=3 {
        all.push(Review::work_then_fix(Reviewer::agent(), 9.0, fixes));
        all.push(Review::test_then_fix(Reviewer::command("cargo test"), 9.0, fixes));
        all.push(Review::fix_loop(Reviewer::command("cargo test"), 9.0, fixes));
    }
    all
}

#[test]
fn every_sequence_of_verdicts_ends_within_the_bounds() {
    let limits = Limits::default();
    let mut ends = std::collections::BTreeSet::new();
    for review in kinds().into_iter().filter(|review| review.max_fixes <= 2) {
        // Depth first over everything that can be said at each attempt; a chain that ends closes its branch.
        let mut open = vec![(Chain::new(review.clone()), 0u8, [0u32; 3])];
        while let Some((chain, trees, counts)) = open.pop() {
            for say in said() {
                let (mut chain, mut trees, mut counts) = (chain.clone(), trees, counts);
                let purpose = chain.wanted().unwrap().purpose;
                // What is said matters to a review only, what is changed to the others only.
                let matters =
                    if purpose == Purpose::Review { say.changed } else { say.gate.is_none() && say.about == 0 };
                if !matters {
                    continue;
                }
                attempt(&mut chain, say, &mut trees, &limits);
                counts[match purpose {
                    Purpose::Review => 0,
                    Purpose::Fix => 1,
                    _ => 2,
                }] += 1;
                let [reviews, fixes, works] = counts;
                let m = review.max_fixes;
                assert!(fixes <= m && works <= 1, "{counts:?} of {}", review.kind);
                assert!(chain.course().moves <= review.max_moves);
                if &*review.kind != "careful" {
                    assert!(reviews <= m + 1 && reviews + fixes + works <= 2 * m + 2, "{counts:?} of {}", review.kind);
                }
                match chain.state() {
                    State::Open { .. } => open.push((chain, trees, counts)),
                    State::Complete => {
                        let last = chain.course().rounds.last().expect("nothing is complete that was not reviewed");
                        assert_eq!((last.gate, last.tree), (Some(Gate::Pass), Some(tree(trees))), "{}", review.kind);
                        ends.insert("complete");
                    }
                    State::Escalated(reason) => {
                        ends.insert(reason.as_str());
                    }
                    State::Failed | State::Cancelled => panic!("{chain:?}"),
                }
            }
        }
    }
    let all = ["complete", "fixes_exhausted", "no_progress", "replan", "too_long", "unparsable"];
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn a_loop_that_makes_no_progress_ends_before_its_budget_is_spent() {
    let limits = Limits::default();
    let revise = |about, changed| Said { gate: Some(Gate::Revise), about, changed };
    let run = |says: &[Said]| {
        let mut chain = Chain::new(Review::work_then_fix(Reviewer::agent(), 9.0, 3));
        let mut trees = 0;
        attempt(&mut chain, revise(0, true), &mut trees, &limits);
        for say in says {
            // The review, and what the fix after it does.
            attempt(&mut chain, *say, &mut trees, &limits);
            if chain.wanted().is_some() {
                attempt(&mut chain, *say, &mut trees, &limits);
            }
        }
        (chain.state(), chain.course().fixes)
    };
    let stuck = State::Escalated(Escalation::NoProgress);
    assert_eq!(run(&[revise(0, false), revise(0, true)]), (stuck, 1));
    let open = |fixes| (State::Open { purpose: Purpose::Review, live: None }, fixes);
    assert_eq!(run(&[revise(0, true), revise(0, true)]), open(2), "the fix changed something");
    assert_eq!(run(&[revise(0, false), revise(1, true)]), open(2), "the review found another thing");
}

#[test]
fn budgets_do_not_consume_each_other() {
    use enki_core::chain::Refused;
    let limits = Limits::default();
    let mut chain = Chain::new(Review::work_then_fix(Reviewer::agent(), 9.0, 1));
    let fail = |chain: &mut Chain| {
        let wanted = chain.wanted().unwrap();
        let report = Input::Report { attempt: wanted.attempt, purpose: wanted.purpose, report: Report::Infra };
        go(chain, &Input::Start, &limits).unwrap();
        go(chain, &report, &limits).unwrap();
    };
    let good = |gate| Said { gate: Some(gate), about: 0, changed: true };
    let mut trees = 0;
    for round in 0..2 {
        // All infrastructure retries at each place, and not one more is needed.
        for _ in 0..limits.infra_retries {
            fail(&mut chain);
        }
        attempt(&mut chain, good(Gate::Pass), &mut trees, &limits);
        attempt(&mut chain, good(Gate::Pass), &mut trees, &limits);
        assert_eq!((chain.state(), chain.course().number), (State::Complete, round));
        go(&mut chain, &Input::Refused(Refused::Clash { in_vain: false }), &limits).unwrap();
        assert_eq!(chain.wanted().unwrap().purpose, Purpose::Resolve);
    }
    attempt(&mut chain, good(Gate::Pass), &mut trees, &limits);
    attempt(&mut chain, good(Gate::Pass), &mut trees, &limits);
    go(&mut chain, &Input::Refused(Refused::Check), &limits).unwrap();
    assert_eq!((chain.wanted().unwrap().purpose, chain.course().fixes), (Purpose::Fix, 1));
    attempt(&mut chain, good(Gate::Pass), &mut trees, &limits);
    attempt(&mut chain, good(Gate::Pass), &mut trees, &limits);
    go(&mut chain, &Input::Refused(Refused::Check), &limits).unwrap();
    assert_eq!(chain.state(), State::Failed, "the one fix is used");
}

fn report() -> impl Strategy<Value = Report> {
    let verdict = prop_oneof![
        3 => Just(Verdict::of(Gate::Revise)),
        1 => Just(Verdict::of(Gate::Pass)),
        1 => Just(Verdict::of(Gate::Fail)),
        1 => Just(Verdict::default()),
    ];
    prop_oneof![
        4 => (any::<bool>(), 0u8..4).prop_map(|(changed, n)| Report::Worked { changed, tree: Some(tree(n)) }),
        4 => (verdict, 0u8..4).prop_map(|(verdict, n)| Report::Reviewed { verdict, tree: Some(tree(n)) }),
        1 => Just(Report::Void),
        2 => Just(Report::Infra),
        1 => Just(Report::NotStarted),
        1 => Just(Report::Interrupted),
        1 => Just(Report::Asks),
        1 => Just(Report::Dead),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    use enki_core::chain::Refused;
    let purpose = prop::sample::select(vec![Purpose::Work, Purpose::Review, Purpose::Fix, Purpose::Resolve]);
    prop_oneof![
        6 => Just(Input::Start),
        12 => (0u32..12, purpose, report())
            .prop_map(|(n, purpose, report)| Input::Report { attempt: AttemptNo(n), purpose, report }),
        2 => any::<bool>().prop_map(|in_vain| Input::Refused(Refused::Clash { in_vain })),
        2 => Just(Input::Refused(Refused::Check)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever arrives in whatever order: no bound breaks, a refusal changes nothing, and what only the live attempt may
    /// say is believed of it alone. Replaying the facts gives the same state.
    #[test]
    fn noise_is_harmless(kind in 0usize..14, inputs in prop::collection::vec((input(), any::<bool>()), 0..120)) {
        let limits = Limits::default();
        let review = kinds()[kind].clone();
        let (mut chain, mut log) = (Chain::new(review.clone()), Vec::new());
        for (mut input, aimed) in inputs {
            let live = match chain.state() { State::Open { live, .. } => live, _ => None };
            // Half of the reports are aimed at what runs; the rest are late, early or foreign.
            if let (true, Input::Report { attempt, purpose, .. }, Some(now)) = (aimed, &mut input, live) {
                (*attempt, *purpose) = (now, chain.wanted().unwrap().purpose);
            }
            let before = chain.clone();
            match chain.decide(&input, &limits) {
                Ok(event) => {
                    if let Input::Report { attempt, purpose, .. } = &input {
                        prop_assert_eq!((Some(*attempt), *purpose), (live, before.wanted().unwrap().purpose));
                    }
                    chain.apply(&event);
                    log.push(event);
                    prop_assert_eq!(chain.invariants(&limits), Ok(()));
                }
                Err(_) => prop_assert_eq!(&chain, &before),
            }
        }
        let mut replayed = Chain::new(review);
        log.iter().for_each(|event| replayed.apply(event));
        prop_assert_eq!(replayed, chain);
    }
}
