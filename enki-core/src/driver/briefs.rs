//! What a step is about, read once more before it starts: a person may have changed the note that it was made of.

use super::orchestrator::Message;
use super::perform::Context;
use crate::dispatcher::Place;
use crate::engine::{Engine, Input};
use crate::execution::{Briefing, Report};
use crate::id::{ExecutionId, StepIx};
use crate::plan::{Amendment, PlanLimits, PlanProblems, Step};
use crate::spec::StepSpec;
use async_trait::async_trait;
use futures::FutureExt;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Reads the notes that steps were made of.
///
/// # Contract
///
/// Asked of steps whose execution has the origin `note(...)`, when nothing but this is awaited any more before their
/// first attempt. It may be asked of one several times, also after a crash; the last answer before the start counts. It is
/// recorded before the attempt is.
#[async_trait]
pub trait Briefs: fmt::Debug + Send + Sync {
    /// What the note of a step says now.
    async fn read(&self, asked: &Asked) -> Brief;
}

/// A step that is about to start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Asked {
    /// Its execution.
    pub execution: ExecutionId,
    /// Where that came from: which notes.
    pub origin: String,
    /// Its place in the plan.
    pub ix: StepIx,
    /// As it is known.
    pub step: Step,
}

/// What the note of a step says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Brief {
    /// There is none of this step: it was added later.
    Known,
    /// This, whether it is new or not. Title, description, tier, model, acceptance and `done_when` count.
    Says(Box<StepSpec>),
    /// That a person gave it up.
    Cancelled,
    /// What no step can be made of: the execution is held, and a person is told.
    Unreadable {
        /// Which file, in which line, what is wrong, and what to do.
        reason: String,
    },
}

impl Context {
    /// Has the note of a step read, and reports what it says.
    pub(super) fn read_note(&self, engine: &Engine, place: Place) {
        let (Some(briefs), Some(execution)) = (self.backends.briefs.clone(), engine.execution(place.execution)) else {
            return;
        };
        let step = execution.plan().step(place.step).clone();
        let asked = Asked { execution: place.execution, origin: execution.origin().to_owned(), ix: place.step, step };
        let (context, limits) = (self.clone(), engine.plan_limits());
        tokio::spawn(async move {
            // One that fails in any way must not leave its step waiting for an answer.
            let read = AssertUnwindSafe(context.briefing(&briefs, &asked, &limits)).catch_unwind().await;
            let briefing = read.unwrap_or_else(|_| Briefing::Unreadable { reason: "its reader panicked".to_owned() });
            let report = Report::Briefed { step: asked.ix, briefing };
            // A driver that has stopped asks again when it starts.
            let _ = context.inbox.send(Message::Progress(Input::Report(asked.execution, report)));
        });
    }

    async fn briefing(&self, briefs: &Arc<dyn Briefs>, asked: &Asked, limits: &PlanLimits) -> Briefing {
        match briefs.read(asked).await {
            Brief::Says(spec) => {
                // Before it is recorded, as what is submitted is.
                let spec = self.settings.redactor.clean_all(*spec);
                match Amendment::check(&asked.step, &spec, limits) {
                    Ok(amendment) => Briefing::Says(Box::new(amendment)),
                    Err(problems) => Briefing::Unreadable { reason: in_words(&problems) },
                }
            }
            Brief::Known => Briefing::Known,
            Brief::Cancelled => Briefing::Cancelled,
            Brief::Unreadable { reason } => Briefing::Unreadable { reason: self.settings.redactor.clean(&reason) },
        }
    }
}

fn in_words(problems: &PlanProblems) -> String {
    problems.0.iter().map(|problem| format!("{}; {}", problem.message, problem.help)).collect::<Vec<_>>().join("; ")
}
