//! Submitting a plan: looking up what it names, checking it, and recognising one that was submitted before.

use super::{Driver, DriverError};
use crate::branch::Branch;
use crate::engine::Input;
use crate::execution::{EndStatus, ProjectKind, Submitted};
use crate::id::ExecutionId;
use crate::plan::{External, Plan, PlanProblem, PlanProblems};
use crate::refinery::Gate;
use crate::spec::PlanSpec;
use crate::store::{Found, ListFilter};
use crate::time::Timestamp;
use std::collections::HashMap;
use tokio::sync::oneshot;

/// A plan with where its work lands and what it must pass.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Submission {
    /// The plan, as written.
    pub spec: PlanSpec,
    /// Where its work lands, unless the plan says so.
    pub target: Branch,
    /// What a merged tree must pass.
    pub gate: Option<Gate>,
    /// Where it came from: `cli`, `coordinator`, ...
    pub origin: String,
    /// Start not before; the plan's `at`, which only the caller can read.
    pub start_at: Option<Timestamp>,
    /// Held for approval before anything starts.
    pub approval: bool,
    /// What the target is in.
    pub project: ProjectKind,
    /// What the plan is recognised by, if that is not the hash of `spec`: that of the plan as written, where a recipe
    /// shaped it by what is there. What is there changes as the plan is carried out.
    pub fingerprint: Option<String>,
}

impl Submission {
    /// A plan that lands there, without a gate, from `cli`, at once.
    #[must_use]
    pub fn new(spec: PlanSpec, target: Branch) -> Self {
        Self {
            spec,
            target,
            gate: None,
            origin: "cli".to_owned(),
            start_at: None,
            approval: false,
            project: ProjectKind::default(),
            fingerprint: None,
        }
    }
}

/// The answer to a submission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Accepted {
    /// Its execution.
    pub execution: ExecutionId,
    /// Whether it was there already.
    pub known: bool,
}

impl Driver {
    pub(super) async fn submit(
        &mut self,
        submission: Submission,
        reply: oneshot::Sender<Result<Accepted, DriverError>>,
    ) {
        match self.try_submit(submission).await {
            Ok(accepted) => {
                // Confirmed only once it is durable.
                let (durable, done) = oneshot::channel();
                self.replies.push(durable);
                tokio::spawn(async move {
                    let result = done.await.unwrap_or(Err(DriverError::Stopped));
                    let _ = reply.send(result.map(|()| accepted));
                });
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    async fn try_submit(&mut self, submission: Submission) -> Result<Accepted, DriverError> {
        let fingerprint = submission.fingerprint.unwrap_or_else(|| submission.spec.fingerprint());
        // Before it is recorded: what is in the log stays there, and goes from it into prompts and commits.
        let spec = &self.perform.settings.redactor.clean_all(submission.spec);
        if let Some(known) = self.known(spec, fingerprint.clone()).await? {
            self.load(known).await?;
            return Ok(Accepted { execution: known, known: true });
        }
        let mut externals = HashMap::new();
        for name in spec.external_names() {
            if let Some(external) = self.external(name).await? {
                self.load(external.execution).await?;
                externals.insert(name.to_owned(), external);
            }
        }
        let limits = self.engine.plan_limits();
        let mut plan = Plan::build(spec, &limits, &externals)?;
        plan.fingerprint = fingerprint;
        self.reject_dead_needs(&plan)?;
        let target = plan.target.clone().unwrap_or(submission.target);
        self.load_queue(&target).await?;
        let id = ExecutionId::new(uuid::Uuid::now_v7().as_u128());
        let submitted = Submitted {
            id,
            target,
            land: plan.land,
            gate: submission.gate,
            origin: submission.origin,
            created: self.now(),
            start_at: submission.start_at,
            after: plan.after,
            approval: submission.approval,
            project: submission.project,
            plan: plan.into(),
        };
        let now = self.now();
        self.engine.handle(Input::Submit(Box::new(submitted)), now)?;
        Ok(Accepted { execution: id, known: false })
    }

    /// The execution of an equal submission: by request id whatever became of it, by fingerprint while it is open.
    async fn known(&self, spec: &PlanSpec, fingerprint: String) -> Result<Option<ExecutionId>, DriverError> {
        let filter = match &spec.request_id {
            Some(id) => ListFilter { request_id: Some(id.clone()), limit: 1, ..ListFilter::default() },
            None => {
                ListFilter { fingerprint: Some(fingerprint.clone()), open: true, limit: 1, ..ListFilter::default() }
            }
        };
        let Some(found) = self.backends.store.list(&filter).await?.into_iter().next() else { return Ok(None) };
        match &spec.request_id {
            Some(id) if found.fingerprint != fingerprint => {
                Err(DriverError::RequestIdConflict { id: id.clone(), execution: found.execution.to_string() })
            }
            _ => Ok(Some(found.execution)),
        }
    }

    async fn external(&self, name: &str) -> Result<Option<External>, DriverError> {
        let found = self.backends.store.find(name).await?;
        match found.as_slice() {
            [] => Ok(None),
            [Found::Execution(execution)] => Ok(Some(External { execution: *execution, step: None })),
            [Found::Task { execution, ix, .. }] => Ok(Some(External { execution: *execution, step: Some(*ix) })),
            several => Err(DriverError::Ambiguous {
                prefix: name.to_owned(),
                candidates: several
                    .iter()
                    .map(|found| match found {
                        Found::Execution(execution) => execution.to_string(),
                        Found::Task { task, .. } => task.to_string(),
                    })
                    .collect(),
            }),
        }
    }

    /// A plan that waits for something that has been given up would wait for ever.
    fn reject_dead_needs(&self, plan: &Plan) -> Result<(), DriverError> {
        for (external, steps) in plan.externals() {
            let cancelled = self
                .engine
                .execution(external.execution)
                .is_some_and(|e| matches!(e.ended(), Some(EndStatus::Cancelled)));
            if cancelled {
                let step = &plan.step(steps[0].0).id;
                return Err(DriverError::Plan(PlanProblems(vec![PlanProblem {
                    path: vec!["steps".into(), steps[0].0.index().into(), "needs".into()],
                    also: None,
                    message: format!("step {step} needs {}, which was cancelled", external.execution),
                    help: "leave the need out".to_owned(),
                }])));
            }
        }
        Ok(())
    }
}
