//! Logs of format 1 as they were first written, in `tests/golden/v1`. They are never edited: a test that fails here
//! says that logs of people out there cannot be read any more, or not as they were meant.

use crate::agent::Usage;
use crate::branch::Branch;
use crate::budget::{Budget, BudgetOf, Spent, Unit};
use crate::engine::Event;
use crate::execution::{
    Answer, AttemptEnd, Charge, DoneKind, EndStatus, Escalation, Event as E, Execution, FailReason, HoldNo, HoldReason,
    NeedState, Next, Outcome, ProjectKind, Refusal, RetryMode, ServiceWait, Submitted, Work,
};
use crate::id::{AttemptNo, CommitId, ExecutionId, RequestId, StepIx, TaskId, TreeId};
use crate::limits::Limits;
use crate::merge_queue::{Eject, Entry, Event as Q, LineNo, MergeQueue, Partner, QueuePause};
use crate::plan::{Amendment, Brief, External, Need, NeedOn, Plan, Step};
use crate::record::{FORMAT, decode, encode};
use crate::refinery::{Candidate, Change, ChangeKind, Check, Gate};
use crate::review::{Review, Reviewer};
use crate::role::RoleOutput;
use crate::spec::{AfterWhen, Condition, Land};
use crate::store::LogKind;
use crate::tier::{Pool, Priority, Purpose, Tier};
use crate::time::Timestamp;
use crate::verdict::{self, Verdict};
use crate::workspace::Start;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

const EXECUTION: &str = include_str!("../../../tests/golden/v1/execution.jsonl");
const EXECUTION_STATE: &str = include_str!("../../../tests/golden/v1/execution.state");
const QUEUE: &str = include_str!("../../../tests/golden/v1/queue.jsonl");
const QUEUE_STATE: &str = include_str!("../../../tests/golden/v1/queue.state");

/// Checks that each variant is among the values. A new variant stops the build here: add a golden log of the format
/// that has it.
macro_rules! assert_all {
    ($values:expr, $type:ident { $($variant:ident),+ $(,)? }) => {{
        let name = |value: &$type| match value { $($type::$variant { .. } => stringify!($variant)),+ };
        let seen: BTreeSet<&str> = $values.iter().map(name).collect();
        assert_eq!(seen, BTreeSet::from([$(stringify!($variant)),+]), "{}", stringify!($type));
    }};
}

fn commit(n: u32) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

fn tree(n: u32) -> TreeId {
    format!("{:040x}", 0x7ee0_0000 + n).parse().unwrap()
}

fn request(n: u32) -> RequestId {
    RequestId::of(ExecutionId::new(0x0199_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001), Some(StepIx(0)), n)
}

fn text() -> String {
    "a \"quoted\" line\nand ünï💥".to_owned()
}

fn paths() -> Vec<String> {
    vec!["src/lib.rs".to_owned(), "a b".to_owned()]
}

fn outcomes() -> Vec<Outcome> {
    let verdict = Verdict {
        gate: Some(verdict::Gate::Revise),
        score: Some(7.5),
        rubric: Some(9.52),
        findings: vec![
            verdict::Finding::new(verdict::Severity::Critical, "injection")
                .in_file("src/a b.rs", Some(3))
                .with_points("security", 2.0),
            verdict::Finding::new(verdict::Severity::Nitpick, &text()),
        ],
        critical: 1,
        acceptance: Some((2, 3)),
        files: paths(),
        text: text(),
    };
    vec![
        Outcome::Changed,
        Outcome::NoChange,
        Outcome::Artifact,
        Outcome::Reviewed(verdict),
        Outcome::Reviewed(Verdict::of(verdict::Gate::Pass)),
        Outcome::Reviewed(Verdict::of(verdict::Gate::Fail)),
        Outcome::Asks { question: text() },
        Outcome::AgentError { message: text(), transient: true },
        Outcome::NoResult,
        Outcome::Declined { message: text() },
        Outcome::TimedOut,
        Outcome::Stuck,
        Outcome::Lost,
        Outcome::Killed,
        Outcome::OverBudget,
        Outcome::RateLimited { until: Timestamp(1_790_000_000_000) },
        Outcome::Unavailable { until: Timestamp(1_790_000_000_000), reason: text() },
        Outcome::DiskLow { until: Timestamp(1_790_000_000_000), reason: text() },
        Outcome::OutputLimit,
        Outcome::Void { paths: paths() },
        Outcome::NotStarted { reason: text() },
        Outcome::Workspace { reason: text() },
        Outcome::Policy { reason: text() },
        Outcome::Tampered { what: paths() },
        Outcome::NoArtifact,
        Outcome::Unresolved { paths: paths() },
    ]
}

fn failures() -> Vec<FailReason> {
    vec![
        FailReason::Timeout,
        FailReason::Stuck,
        FailReason::Lost,
        FailReason::NoResult,
        FailReason::Spawn { reason: text() },
        FailReason::AgentError { message: text() },
        FailReason::Refused { message: text() },
        FailReason::OutputLimit,
        FailReason::Budget { spent: spents()[0], then: Box::new(Next::Merge { request: request(7) }) },
        FailReason::Workspace { reason: text() },
        FailReason::Tampered { what: paths() },
        FailReason::NoArtifact,
        FailReason::Escalated(Escalation::Unparsable),
        FailReason::Escalated(Escalation::Replan),
        FailReason::Escalated(Escalation::FixesExhausted),
        FailReason::Escalated(Escalation::ReviewerEdited),
        FailReason::Escalated(Escalation::ByAgent),
        FailReason::Escalated(Escalation::NoProgress),
        FailReason::Escalated(Escalation::TooLong),
        FailReason::Escalated(Escalation::NoWay),
        FailReason::Conflict { paths: paths() },
        FailReason::Check { log: text() },
        FailReason::Rewound,
    ]
}

fn spents() -> Vec<Spent> {
    let step = StepIx(0);
    let spent = |of, unit, used| Spent { of, unit, used, limit: 1_000 };
    vec![
        spent(BudgetOf::Execution, Unit::MicroUsd, 500),
        spent(BudgetOf::Step(step), Unit::Tokens, 950),
        spent(BudgetOf::Run(step), Unit::Tokens, 1_200),
    ]
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::Check { log: text() },
        Refusal::Conflict { paths: paths(), hunks: "<<<<<<< a".to_owned(), onto: None },
        Refusal::Interaction { with: text(), log: text() },
        Refusal::Empty,
        Refusal::Policy { reason: text() },
        Refusal::Moved,
        Refusal::Blocked { reason: text(), command: "git merge x".to_owned() },
        Refusal::Rewound,
        Refusal::Withdrawn,
    ]
}

fn charges() -> Vec<Charge> {
    use Charge::{Fix, Infra, Nothing, Reask, Repeat, Resolution, Spawn, Void};
    vec![Nothing, Repeat, Fix, Infra, Spawn, Void, Resolution, Reask]
}

fn holds() -> Vec<HoldReason> {
    vec![
        HoldReason::Checkpoint { step: StepIx(1) },
        HoldReason::Approval { point: "decomposition".to_owned() },
        HoldReason::Budget,
        HoldReason::Rewound,
        HoldReason::Landing { reason: text(), command: "git merge x".to_owned() },
        HoldReason::Trouble { reason: text() },
        HoldReason::Note { step: StepIx(1), reason: text() },
    ]
}

fn submitted() -> Submitted {
    let id = |n: u128| ExecutionId::new(0x0199_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0000 + n);
    let need = |on, condition| Need { on, condition };
    let mut plan = Plan::default();
    plan.title = "Golden".to_owned();
    plan.description = text();
    plan.target = Some("main".parse().unwrap());
    plan.land = Land::End;
    plan.priority = Priority::High;
    plan.request_id = Some("ticket-17".to_owned());
    plan.fingerprint = "00112233445566778899aabbccddeeff".to_owned();
    plan.class = Some(crate::advice::Class::Refactoring);
    plan.at = Some("2026-11-20T17:00:00Z".to_owned());
    plan.after = Some((id(9), AfterWhen::Any));
    plan.budget = Budget { tokens: Some(1_000_000), cost_micro_usd: Some(2_500_000) };
    let brief = Brief {
        files: paths(),
        directories: vec!["src".to_owned()],
        constraints: vec![text()],
        skills: vec!["rust".to_owned()],
        acceptance: vec!["it builds".to_owned()],
        done_when: Some("the tests pass".to_owned()),
    };
    let outside = |step| NeedOn::External(External { execution: id(8), step });
    plan.extend(vec![
        Step {
            id: "full".parse().unwrap(),
            title: "Everything".into(),
            description: "all fields".into(),
            tier: Tier::Heavy,
            role: Some("bug_fixer".into()),
            output: RoleOutput::Branch,
            read_only: false,
            model: Some("opus-9".into()),
            pinned: true,
            needs: vec![need(outside(None), Condition::Started), need(outside(Some(StepIx(2))), Condition::Completed)],
            checkpoint: true,
            review: Some(Review::test_then_fix(Reviewer::command("cargo test"), 8.5, 2).into()),
            timeout: Some(Duration::from_millis(90_500)),
            budget: Budget { tokens: Some(500_000), cost_micro_usd: None },
            run_budget: Budget { tokens: None, cost_micro_usd: Some(750_000) },
            priority: Priority::Low,
            brief: Some(Box::new(brief)),
        },
        Step {
            id: "report".parse().unwrap(),
            title: "Report".into(),
            description: "an artifact".into(),
            tier: Tier::Light,
            output: RoleOutput::Artifact,
            read_only: true,
            needs: vec![need(NeedOn::Step(StepIx(0)), Condition::Merged)],
            ..Step::default()
        },
        Step {
            id: "plain".parse().unwrap(),
            title: "Plain".into(),
            description: "nothing special".into(),
            needs: vec![need(NeedOn::Step(StepIx(0)), Condition::Started)],
            ..Step::default()
        },
    ]);
    Submitted {
        id: id(1),
        plan: plan.into(),
        origin: "cli".to_owned(),
        target: "main".parse().unwrap(),
        land: Land::End,
        gate: Some(Gate::new("make check", Duration::from_millis(1500)).in_environment("5eed")),
        created: Timestamp(1_780_000_000_000),
        start_at: Some(Timestamp(1_780_000_060_000)),
        after: Some((id(9), AfterWhen::Success)),
        approval: true,
        project: ProjectKind::Repository,
    }
}

/// One long life that meets everything.
fn execution_log() -> Vec<E> {
    let (full, report, plain) = (StepIx(0), StepIx(1), StepIx(2));
    let mut events = vec![E::Submitted(Box::new(submitted()))];
    let states = [NeedState::Waiting, NeedState::Started, NeedState::Completed, NeedState::Landed, NeedState::Dead];
    for state in states {
        events.extend([E::NeedChanged { external: 0, state }, E::PredecessorChanged { state }]);
    }
    events.extend([
        E::NeedChanged { external: 0, state: NeedState::Landed },
        E::NeedChanged { external: 1, state: NeedState::Landed },
        E::Triggered,
        E::HoldClosed { hold: HoldNo(1), answer: Some(Answer::Approve) },
        E::Opened { base: commit(1) },
    ]);
    let mut attempt = 0;
    let mut run = |events: &mut Vec<E>, end: AttemptEnd, next: Next| {
        attempt += 1;
        let (base, head, attempt) = (commit(1), commit(attempt), AttemptNo(attempt));
        let (purpose, start) = match attempt.0 % 4 {
            0 => (Purpose::Work, Start::Fresh { base }),
            1 => (Purpose::Review, Start::Continue { base, head }),
            2 => (Purpose::Fix, Start::Continue { base, head }),
            _ => (Purpose::Resolve, Start::Resolve { onto: base, change: head }),
        };
        let session = (attempt.0 % 2 == 0).then(|| format!("session-{attempt}"));
        events.extend([
            E::AttemptStarted { step: full, attempt, purpose, start, sandbox: (attempt.0 % 4 != 0).then_some(2) },
            E::AttemptLive { step: full, attempt, session },
        ]);
        let usage = Usage { input_tokens: 4, output_tokens: 2, cost_micro_usd: 1 };
        if !events.iter().any(|event| matches!(event, E::AttemptSpent { .. })) {
            events.push(E::AttemptSpent { step: full, attempt, usage });
        }
        events.push(E::AttemptEnded { step: full, attempt, end: Box::new(end), next });
    };
    events.extend(spents().into_iter().map(|spent| E::BudgetWarned { percent: 50, spent }));
    let limits = Budget { tokens: Some(2_000_000), cost_micro_usd: Some(5_000_000) };
    events.extend(spents().iter().map(|spent| E::BudgetSet { of: spent.of, budget: limits }));
    let again = |n: usize| Next::Run {
        purpose: Purpose::Work,
        not_before: Timestamp(1_780_000_100_000),
        since: if n.is_multiple_of(2) { Timestamp::default() } else { Timestamp(1_780_000_095_000) },
        at: crate::review::StateIx(u16::try_from(n % 3).unwrap()),
        charge: charges()[n % charges().len()],
        findings: n.is_multiple_of(2).then(text),
    };
    for (n, outcome) in outcomes().into_iter().enumerate() {
        let n32 = u32::try_from(n).unwrap();
        let mut end = AttemptEnd::new(outcome);
        if n % 3 == 0 {
            let attempt = AttemptNo(n32 + 1);
            end.work = Some(Work { base: commit(1), commit: commit(100 + n32), tree: tree(n32), attempt });
            (end.output, end.session) = (Some(text()), Some("session".to_owned()));
            (end.files, end.claims) = (paths(), vec!["f-0badcafe".to_owned()]);
            end.proposals = vec![r#"{"kind":"decision","what":"one lock"}"#.to_owned()];
            end.saw = Some(tree(n32));
            end.usage = Usage { input_tokens: 10, output_tokens: 20, cost_micro_usd: 30 };
            end.notices = vec![text(), "refs/heads/x was removed".to_owned()];
        }
        run(&mut events, end, again(n));
    }
    for (n, reason) in failures().into_iter().enumerate() {
        let mode = if n % 2 == 0 { RetryMode::Continue } else { RetryMode::Fresh };
        run(&mut events, AttemptEnd::new(Outcome::Lost), Next::Fail(reason));
        let note = (n == 0).then(text);
        events.push(E::StepRetried { step: full, mode, note });
    }
    run(&mut events, AttemptEnd::new(Outcome::Lost), Next::Fail(FailReason::Escalated(Escalation::Replan)));
    let (next, tree) = (Next::Merge { request: request(90) }, Some(tree(90)));
    events.push(E::StepAccepted { step: full, by: "somebody".to_owned(), why: text(), tree, next });
    events.push(E::MergeRefused { step: full, reason: Refusal::Withdrawn, next: again(0) });
    for (n, reason) in refusals().into_iter().enumerate() {
        let request = request(u32::try_from(n).unwrap());
        run(&mut events, AttemptEnd::new(Outcome::Changed), Next::Merge { request });
        events.push(E::MergeRefused { step: full, reason, next: again(n) });
    }
    events.push(E::MergeRequested { step: full, request: request(98) });
    run(&mut events, AttemptEnd::new(Outcome::Changed), Next::Merge { request: request(99) });
    events.push(E::StepMerged { step: full, commit: commit(500) });
    for (n, reason) in holds().into_iter().enumerate() {
        let hold = HoldNo(u32::try_from(n).unwrap() + 2);
        let answer = [None, Some(Answer::Reject), Some(Answer::Text(text()))][n % 3].clone();
        events.extend([E::HoldOpened { hold, reason }, E::HoldClosed { hold, answer }]);
    }
    let mut added = Step { id: "added".parse().unwrap(), ..submitted().plan.step(plain).clone() };
    added.needs.clear();
    events.extend([E::StepsAdded { steps: vec![added] }, E::Paused { step: None }, E::Paused { step: Some(plain) }]);
    events.extend([E::Resumed { step: None }, E::Resumed { step: Some(plain) }]);
    let says = crate::spec::StepSpec {
        title: "Plain now".to_owned(),
        description: text(),
        tier: Some(Tier::Heavy),
        model: Some("opus-9".to_owned()),
        acceptance: vec!["it builds".to_owned()],
        done_when: Some("the tests pass".to_owned()),
        ..Default::default()
    };
    let limits = crate::plan::PlanLimits::default();
    let amendment = Amendment::check(submitted().plan.step(plain), &says, &limits).unwrap().into();
    events.push(E::StepAmended { step: plain, amendment });
    for pool in [Pool::Worker, Pool::Reviewer, Pool::Command] {
        let wait = ServiceWait { until: Timestamp(1_790_000_000_000), why: text() };
        events.push(E::ServiceWaits { pool, wait });
    }
    events.push(E::ServiceFreed);
    let start = Start::Fresh { base: commit(500) };
    for step in [report, plain] {
        events.push(E::AttemptStarted { step, attempt: AttemptNo(1), purpose: Purpose::Work, start, sandbox: None });
    }
    events.push(E::AttemptStopped { step: plain, attempt: AttemptNo(1) });
    events.push(E::AttemptStarted { step: plain, attempt: AttemptNo(2), purpose: Purpose::Work, start, sandbox: None });
    for (step, attempt, outcome, done) in
        [(report, 1, Outcome::Artifact, DoneKind::Artifact), (plain, 2, Outcome::NoChange, DoneKind::NoChanges)]
    {
        let end = Box::new(AttemptEnd::new(outcome));
        events.push(E::AttemptEnded { step, attempt: AttemptNo(attempt), end, next: Next::Done(done) });
    }
    for reason in refusals() {
        events.push(E::LandingRequested { request: request(200), tip: commit(500), merge: None });
        let again = matches!(reason, Refusal::Blocked { .. }).then_some(Timestamp(1_790_000_060_000));
        let since = Timestamp(if again.is_some() { 1_790_000_000_000 } else { 0 });
        events.push(E::LandingRefused { request: request(200), reason, again, since });
    }
    events.push(E::LandingRequested { request: request(201), tip: commit(500), merge: None });
    events.push(E::Landed { request: request(201), commit: commit(501) });
    for status in [EndStatus::Done, EndStatus::Failed] {
        events.push(E::Ended { status });
    }
    events.extend([E::CancelRequested, E::StepCancelled { step: StepIx(3) }]);
    events.push(E::Ended { status: EndStatus::Cancelled });
    events.push(E::LandingAsked);
    resolved_landing(&mut events);
    events
}

/// A landing that conflicts, the step that resolves it, and the landing of its merge.
fn resolved_landing(events: &mut Vec<E>) {
    let (onto, tip, merge) = (commit(600), commit(500), commit(601));
    let (step, attempt) = (StepIx(4), AttemptNo(1));
    let of_enki = Step {
        id: "land-1".parse().unwrap(),
        title: "Merge it".into(),
        description: "solve it".into(),
        role: Some("resolver".into()),
        ..Step::default()
    };
    let conflict = Refusal::Conflict { paths: paths(), hunks: text(), onto: Some(onto) };
    let mut end = AttemptEnd::new(Outcome::Changed);
    end.work = Some(Work { base: onto, commit: merge, tree: tree(601), attempt });
    events.extend([
        E::LandingRequested { request: request(202), tip, merge: None },
        E::LandingRefused { request: request(202), reason: conflict, again: None, since: Timestamp(0) },
        E::LandingResolution { step: Box::new(of_enki), onto, tip, paths: paths(), findings: text() },
        E::AttemptStarted {
            step,
            attempt,
            purpose: Purpose::Resolve,
            start: Start::Merge { onto, change: tip },
            sandbox: None,
        },
        E::AttemptEnded { step, attempt, end: Box::new(end), next: Next::Done(DoneKind::Resolved { commit: merge }) },
        E::LandingRequested { request: request(203), tip, merge: Some(merge) },
        E::Landed { request: request(203), commit: merge },
    ]);
}

fn entries() -> Vec<Entry> {
    let execution = submitted().id;
    let task = TaskId::of(execution, &"full".parse().unwrap());
    let step = ChangeKind::Step { task, attempt: AttemptNo(3), title: "Everything".to_owned(), summary: text() };
    let landing = ChangeKind::Landing { execution, title: "Merge it".to_owned() };
    let kinds = [(step, Priority::Normal), (landing, Priority::High)];
    let entry = |(n, (kind, priority)): (usize, (ChangeKind, Priority))| {
        let n = u32::try_from(n).unwrap();
        Entry {
            change: Change { request: request(n), kind, commit: commit(n + 10), at: Timestamp(1_780_000_000_000) },
            priority,
            gate: (n == 0).then(|| Gate::new("make check", Duration::from_secs(60))),
            passed: (n == 1).then(|| tree(5)),
            rebuilds: n * 2,
            frees: n,
            age: 988_888 + u64::from(n),
        }
    };
    kinds.into_iter().enumerate().map(entry).collect()
}

fn checks() -> Vec<Check> {
    vec![
        Check::Failed { log: text() },
        Check::TimedOut { log: text() },
        Check::Unknown { reason: text() },
        Check::Passed,
    ]
}

fn pauses() -> Vec<QueuePause> {
    vec![
        QueuePause::Person,
        QueuePause::BaseRed { log: text() },
        QueuePause::Infrastructure { reason: text() },
        QueuePause::TargetGone,
        QueuePause::Rewound { commit: commit(20) },
    ]
}

fn partners() -> Vec<Partner> {
    vec![Partner { request: request(7), title: text() }]
}

fn ejects() -> Vec<Eject> {
    vec![
        Eject::Failed { log: text() },
        Eject::TimedOut { log: text() },
        Eject::Conflict { paths: paths(), hunks: "<<<<<<< a".to_owned(), onto: None, with: partners() },
        Eject::Interaction { with: partners(), log: text() },
        Eject::Refused { policy: text() },
        Eject::Empty,
        Eject::Moved,
        Eject::Rewound,
        Eject::Blocked { reason: text(), command: "git merge x".to_owned() },
    ]
}

/// A queue that meets everything; its last change waits.
fn queue_log() -> Vec<Q> {
    let line = LineNo(1);
    let candidate = Candidate { commit: commit(20), tree: tree(20), base: commit(1) };
    let mut events = vec![Q::Opened { target: Branch::integration(submitted().id), head: None }];
    events.push(Q::TargetSeen { head: commit(1) });
    events.extend(entries().into_iter().map(|entry| Q::Queued(Box::new(entry))));
    for why in pauses() {
        events.extend([Q::QueuePaused { why }, Q::QueueResumed]);
    }
    events.push(Q::TargetSeen { head: commit(1) });
    events.push(Q::BatchFormed { line, base: commit(1), members: vec![request(0)] });
    events.extend([Q::ImportRecorded { line }, Q::Prepared { line, candidate, commits: vec![Some(commit(20)), None] }]);
    let at = Timestamp(1_780_000_100_000);
    for check in checks() {
        events.extend([
            Q::CheckRecorded { line, check: check.clone(), at },
            Q::BaseRecorded { line, check: check.clone(), at },
            Q::OldBaseRecorded { line, check },
        ]);
    }
    events.extend([
        Q::Confirming { line },
        Q::CheckingBase { line },
        Q::CheckingOldBase { line },
        Q::Deferred { line, until: Timestamp(1_780_000_200_000), since: Timestamp(1_780_000_190_000), reason: text() },
        Q::VerdictReused { line, tree: tree(20) },
        Q::Verified { line },
        Q::Booted { boot: text() },
        Q::Committing { line },
        Q::Stale { line, head: commit(2) },
        Q::BatchFormed { line: LineNo(2), base: commit(2), members: vec![request(0)] },
        Q::ImportRecorded { line: LineNo(2) },
        Q::Prepared {
            line: LineNo(2),
            candidate: Candidate { base: commit(2), ..candidate },
            commits: vec![Some(commit(20))],
        },
        Q::Committing { line: LineNo(2) },
        Q::Merged { line: LineNo(2), commit: commit(20) },
        Q::Republishing { line: LineNo(3), candidate },
        Q::Merged { line: LineNo(3), commit: commit(20) },
        Q::Predicted { of: vec![request(1)], clashes: vec![(request(1), request(2))], off: vec![request(1)] },
        Q::Tried { request: request(1) },
        Q::BatchFormed { line: LineNo(4), base: commit(20), members: vec![request(1), request(2)] },
        Q::LeftOut { line: LineNo(4), request: request(2) },
        Q::BatchFormed { line: LineNo(5), base: commit(20), members: vec![request(1), request(2)] },
        Q::BatchSplit { line: LineNo(5), groups: vec![vec![request(1)], vec![request(2)]] },
    ]);
    for (n, reason) in ejects().into_iter().enumerate() {
        let mut entry = entries().remove(0);
        entry.change.request = request(300 + u32::try_from(n).unwrap());
        let request = entry.change.request;
        events.push(Q::Queued(Box::new(entry)));
        events.push(Q::Ejected {
            request,
            charged: matches!(reason, Eject::Failed { .. } | Eject::TimedOut { .. }),
            reason,
        });
    }
    let mut entry = entries().remove(0);
    entry.change.request = request(400);
    events.extend([Q::Queued(Box::new(entry)), Q::Withdrawn { request: request(400) }]);
    events
}

fn read(kind: LogKind, text: &str) -> Vec<Event> {
    let read = |line: &str| decode(kind, FORMAT, line).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(read).collect()
}

/// With `WRITE_GOLDEN` set it writes them, which is for a format that is not released yet and for nothing else.
#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of the test itself")]
fn golden_logs_are_what_was_first_written() {
    let lines = |events: Vec<Event>| events.iter().fold(String::new(), |all, event| all + &encode(event) + "\n");
    let execution = lines(execution_log().into_iter().map(Event::Execution).collect());
    let queue = lines(queue_log().into_iter().map(Event::Queue).collect());
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
        std::fs::write(folder.join("execution.jsonl"), &execution).unwrap();
        std::fs::write(folder.join("queue.jsonl"), &queue).unwrap();
        std::fs::write(folder.join("execution.state"), execution_state(&execution)).unwrap();
        std::fs::write(folder.join("queue.state"), queue_state(&queue)).unwrap();
        return;
    }
    assert_eq!(EXECUTION, execution);
    assert_eq!(QUEUE, queue);
}

#[test]
fn golden_logs_are_read_as_they_were_meant_and_written_back_byte_for_byte() {
    let execution: Vec<Event> = execution_log().into_iter().map(Event::Execution).collect();
    assert_eq!(read(LogKind::Execution, EXECUTION), execution);
    let queue: Vec<Event> = queue_log().into_iter().map(Event::Queue).collect();
    assert_eq!(read(LogKind::Queue, QUEUE), queue);
    for (kind, text) in [(LogKind::Execution, EXECUTION), (LogKind::Queue, QUEUE)] {
        for line in text.lines() {
            assert_eq!(encode(&decode(kind, FORMAT, line).unwrap()), line);
        }
    }
}

#[test]
fn golden_logs_fold_to_the_state_they_always_gave() {
    assert_eq!(execution_state(EXECUTION), EXECUTION_STATE);
    assert_eq!(queue_state(QUEUE), QUEUE_STATE);
}

/// What the log says at each event, as far as people see it, and the last state in detail.
fn execution_state(log: &str) -> String {
    let mut state: Option<Execution> = None;
    let mut text = String::new();
    let mut shown = String::new();
    for event in read(LogKind::Execution, log) {
        let Event::Execution(event) = event else { unreachable!() };
        match (&mut state, &event) {
            (None, E::Submitted(submitted)) => state = Some(Execution::new(submitted)),
            (Some(state), event) => state.apply(event),
            (None, _) => panic!("a log starts with its submission"),
        }
        let state = state.as_ref().expect("it was submitted");
        let words: Vec<&str> = (0..state.steps().len()).map(|n| state.word(StepIx::at(n))).collect();
        let now = format!("{} {words:?} holds {:?}", state.status(), state.holds().keys().collect::<Vec<_>>());
        if now != shown {
            let _ = writeln!(text, "{now}");
            shown = now;
        }
    }
    let state = state.expect("it was submitted");
    for step in state.steps() {
        let _ = writeln!(text, "{step:?}");
    }
    let _ = writeln!(text, "{:?} {:?}", state.counts(), state.usage());
    let _ = writeln!(text, "{:?} {:?} {:?} {:?}", state.head(), state.landed(), state.externals(), state.ended());
    text
}

fn queue_state(log: &str) -> String {
    let mut state: Option<MergeQueue> = None;
    let mut text = String::new();
    for event in read(LogKind::Queue, log) {
        let Event::Queue(event) = event else { unreachable!() };
        match (&mut state, &event) {
            (None, Q::Opened { target, head }) => state = Some(MergeQueue::new(target.clone(), *head)),
            (Some(state), event) => state.apply(event),
            (None, _) => panic!("a log starts with its opening"),
        }
        let state = state.as_ref().expect("it was opened");
        let stage = state.lines().next().map(|line| (line.no.0, line.stage));
        let _ = writeln!(text, "{:?} {stage:?} waiting {} {:?}", state.head(), state.waiting().count(), state.paused());
    }
    let state = state.expect("it was opened");
    let gate = Gate::new("make check", Duration::from_secs(60));
    let passed = state.head_passed(&gate, Timestamp(1_780_000_200_000), &Limits::default());
    let _ = writeln!(text, "{passed:?} flakes {:?}", state.flakes());
    text
}

#[test]
fn golden_logs_hold_every_variant() {
    assert_all!(
        execution_log(),
        E {
            Submitted,
            Opened,
            NeedChanged,
            PredecessorChanged,
            Triggered,
            AttemptStarted,
            AttemptLive,
            AttemptSpent,
            BudgetWarned,
            BudgetSet,
            AttemptEnded,
            StepMerged,
            MergeRefused,
            MergeRequested,
            LandingRequested,
            Landed,
            LandingRefused,
            LandingAsked,
            LandingResolution,
            HoldOpened,
            HoldClosed,
            Paused,
            Resumed,
            ServiceWaits,
            ServiceFreed,
            StepsAdded,
            StepAmended,
            StepCancelled,
            CancelRequested,
            AttemptStopped,
            StepRetried,
            StepAccepted,
            Ended,
        }
    );
    assert_all!(
        queue_log(),
        Q {
            Opened,
            Queued,
            Withdrawn,
            QueuePaused,
            QueueResumed,
            TargetSeen,
            BatchFormed,
            ImportRecorded,
            Prepared,
            CheckRecorded,
            VerdictReused,
            Confirming,
            CheckingBase,
            BaseRecorded,
            Deferred,
            Verified,
            Committing,
            Merged,
            Stale,
            Ejected,
            BatchSplit,
            LeftOut,
            CheckingOldBase,
            OldBaseRecorded,
            Predicted,
            Tried,
            Booted,
            Republishing,
        }
    );
    assert_all!(
        outcomes(),
        Outcome {
            Changed,
            NoChange,
            Artifact,
            Reviewed,
            Asks,
            AgentError,
            NoResult,
            Declined,
            TimedOut,
            Stuck,
            Lost,
            Killed,
            OverBudget,
            RateLimited,
            Unavailable,
            DiskLow,
            OutputLimit,
            Void,
            NotStarted,
            Workspace,
            Policy,
            Tampered,
            NoArtifact,
            Unresolved,
        }
    );
    assert_all!(
        failures(),
        FailReason {
            Timeout,
            Stuck,
            Lost,
            NoResult,
            Spawn,
            AgentError,
            Refused,
            OutputLimit,
            Budget,
            Workspace,
            Tampered,
            NoArtifact,
            Escalated,
            Conflict,
            Check,
            Rewound,
        }
    );
    let escalations: Vec<Escalation> =
        failures().iter().filter_map(|f| if let FailReason::Escalated(e) = f { Some(*e) } else { None }).collect();
    assert_all!(
        escalations,
        Escalation { Unparsable, Replan, FixesExhausted, ReviewerEdited, ByAgent, NoProgress, TooLong, NoWay }
    );
    assert_all!(
        refusals(),
        Refusal { Check, Conflict, Interaction, Empty, Policy, Moved, Blocked, Rewound, Withdrawn }
    );
    assert_all!(charges(), Charge { Nothing, Repeat, Fix, Infra, Spawn, Void, Resolution, Reask });
    assert_all!(holds(), HoldReason { Checkpoint, Approval, Budget, Rewound, Landing, Trouble, Note });
    assert_all!(checks(), Check { Passed, Failed, TimedOut, Unknown });
    assert_all!(pauses(), QueuePause { Person, BaseRed, Infrastructure, TargetGone, Rewound });
    assert_all!(ejects(), Eject { Failed, TimedOut, Conflict, Interaction, Refused, Empty, Moved, Rewound, Blocked });
    let kinds: Vec<ChangeKind> = entries().into_iter().map(|entry| entry.change.kind).collect();
    assert_all!(kinds, ChangeKind { Step, Landing });
    let mut nexts = Vec::new();
    let (mut purposes, mut starts, mut answers, mut modes, mut ends) = (vec![], vec![], vec![], vec![], vec![]);
    let mut states = Vec::new();
    for event in execution_log() {
        match event {
            E::AttemptEnded { next, .. } | E::MergeRefused { next, .. } => nexts.push(next),
            E::AttemptStarted { purpose, start, .. } => {
                purposes.push(purpose);
                starts.push(start);
            }
            E::HoldClosed { answer, .. } => answers.extend(answer),
            E::StepRetried { mode, .. } => modes.push(mode),
            E::Ended { status } => ends.push(status),
            E::NeedChanged { state, .. } => states.push(state),
            _ => {}
        }
    }
    assert_all!(nexts, Next { Done, Merge, Run, Fail });
    assert_all!(purposes, Purpose { Work, Review, Fix, Resolve });
    assert_all!(starts, Start { Fresh, Continue, Resolve, Merge });
    assert_all!(answers, Answer { Approve, Reject, Text });
    assert_all!(modes, RetryMode { Continue, Fresh });
    assert_all!(ends, EndStatus { Done, Failed, Cancelled });
    assert_all!(states, NeedState { Waiting, Started, Completed, Landed, Dead });
    let done: Vec<DoneKind> =
        nexts.iter().filter_map(|n| if let Next::Done(d) = n { Some(*d) } else { None }).collect();
    let done: Vec<DoneKind> = done.into_iter().chain([DoneKind::Merged { commit: commit(1) }]).collect();
    assert_all!(done, DoneKind { Merged, NoChanges, Artifact, Resolved });
}
