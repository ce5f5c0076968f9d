//! What agents do now.

use enki_core::dispatcher::Place;
use enki_core::driver::{NoticeKind, Orchestrator};
use enki_core::engine::{Engine, Event as Any};
use enki_core::execution::Event;
use enki_core::id::{AttemptNo, ExecutionId, StepIx};
use enki_core::store::LogKind;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast::error::RecvError;

/// What the agents of an orchestrator do now: what they say of it, or else what was seen of them. Not stored. Cheap to
/// clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Mutex<HashMap<Place, Now>>>);

#[derive(Clone, Debug)]
struct Now {
    attempt: AttemptNo,
    seen: String,
    said: Option<String>,
}

impl Activity {
    /// Follows an orchestrator until it stops.
    pub async fn follow(self, orchestrator: Orchestrator) {
        let mut notices = orchestrator.watch();
        drop(orchestrator);
        loop {
            match notices.recv().await {
                Ok(notice) => match notice.kind {
                    NoticeKind::Activity { place, attempt, text } => self.of(place, attempt, |now| now.seen = text),
                    NoticeKind::Event { log, event: Any::Execution(Event::AttemptEnded { step, .. }) }
                        if log.kind == LogKind::Execution =>
                    {
                        self.lock().remove(&Place { execution: ExecutionId::new(log.id), step });
                    }
                    _ => {}
                },
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// What an agent says that it does.
    pub(crate) fn said(&self, place: Place, attempt: AttemptNo, text: String) {
        self.of(place, attempt, |now| now.said = Some(text));
    }

    fn of(&self, place: Place, attempt: AttemptNo, change: impl FnOnce(&mut Now)) {
        let mut all = self.lock();
        let now = all.entry(place).or_insert_with(|| Now { attempt, seen: String::new(), said: None });
        if now.attempt != attempt {
            *now = Now { attempt, seen: String::new(), said: None };
        }
        change(now);
    }

    /// What the live attempt of a step does.
    #[must_use]
    pub fn now(&self, engine: &Engine, execution: ExecutionId, step: StepIx) -> Option<String> {
        let live = engine.execution(execution)?.steps().get(step.index())?.live()?;
        let all = self.lock();
        let now = all.get(&Place { execution, step }).filter(|now| now.attempt == live)?;
        now.said.clone().or_else(|| Some(now.seen.clone())).filter(|text| !text.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Now>> {
        // Each change is one assignment: what a panicking thread left is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
