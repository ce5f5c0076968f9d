//! One machine alone: an execution driven by hand, without a runtime, a store or an agent.
//!
//! `cargo run -p enki-core --no-default-features --example machine_only`

use enki_core::branch::Branch;
use enki_core::execution::{
    AttemptEnd, Demand, Execution, Input, Outcome, ProjectKind, Report, Submitted, Touched, Work,
};
use enki_core::id::{AttemptNo, CommitId, ExecutionId};
use enki_core::limits::Limits;
use enki_core::plan::{Plan, PlanLimits};
use enki_core::spec::PlanSpec;
use enki_core::time::Timestamp;
use std::collections::HashMap;

/// Runs the example; a test does too.
pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec: PlanSpec = serde_json::from_str(
        r#"{"steps": [
            {"id": "types", "title": "Add types", "description": "Create types.rs"},
            {"id": "docs",  "title": "Say so",    "description": "Write it up", "needs": ["types"]}
        ]}"#,
    )?;
    let plan = Plan::build(&spec, &PlanLimits::default(), &HashMap::new())?;
    let mut execution = Execution::new(&Submitted {
        id: ExecutionId::new(1),
        land: plan.land,
        plan: plan.into(),
        origin: "example".into(),
        target: "main".parse::<Branch>()?,
        gate: None,
        created: Timestamp(0),
        start_at: None,
        after: None,
        approval: false,
        project: ProjectKind::default(),
    });
    let limits = Limits::default();
    let mut now = Timestamp(0);
    let mut head: CommitId = "0".repeat(40).parse()?;
    let answer = |execution: &mut Execution, input: Input, now: Timestamp| {
        for event in execution.decide(&input, now, &limits)? {
            println!("{now:>6}  {event:?}");
            execution.apply(&event);
        }
        execution.settle_all(now, &mut Touched::default(), |event| println!("{now:>6}  {event:?}"));
        Ok::<(), enki_core::execution::Rejected>(())
    };
    answer(&mut execution, Input::Report(Report::Opened(head)), now)?;
    while execution.ended().is_none() {
        now.0 += 1000;
        // What wants to start? Grant it, and play agent and merge queue.
        let wants = |e: &Execution, ix| matches!(e.demand(ix, now), Demand::Wants { .. });
        let next = execution.candidates().find(|ix| wants(&execution, *ix));
        if let Some(step) = next {
            answer(&mut execution, Input::Grant(step), now)?;
            head = format!("{:040x}", step.0 + 1).parse()?;
            let tree = head.to_string().parse()?;
            let mut end = AttemptEnd::new(Outcome::Changed);
            end.work = Some(Work { base: head, commit: head, tree, attempt: AttemptNo(1) });
            let ended = Report::Ended { step, attempt: AttemptNo(1), end: Box::new(end) };
            answer(&mut execution, Input::Report(ended), now)?;
        }
        let open: Vec<_> = execution.open_requests().collect();
        for (step, request) in open {
            let done = match step {
                Some(_) => Report::Merged { request, commit: head },
                None => Report::Landed { request, commit: head },
            };
            answer(&mut execution, Input::Report(done), now)?;
        }
    }
    println!("the execution is {}", execution.status());
    assert_eq!(execution.status(), "done");
    Ok(())
}
