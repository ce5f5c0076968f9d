//! `enki_backlog_pick`: an idea becomes a task, and the task an execution.

use super::{ItemInput, Promoted, keeper, known};
use crate::create::{self, CreatedTask, TITLE};
use crate::failure::{Code, Failure, quoted};
use crate::find;
use crate::office::Office;
use crate::text::visible;
use enki_core::id::ExecutionId;
use enki_core::spec::{PlanSpec, StepSpec};
use enki_core::tier::Tier;
use schemars::JsonSchema;
use serde::Serialize;

/// An idea that is work now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Picked {
    /// The idea.
    id: String,
    /// The task's file, from the root of the project.
    task_note: String,
    #[serde(flatten)]
    task: CreatedTask,
}

/// Promotes it first, then submits it, then notes the execution. After a crash in between the same call goes on: the
/// promotion finds its task, and the submission its execution, by the task's note as its key.
pub(crate) async fn pick(office: &Office, input: ItemInput, conversation: Option<&str>) -> Result<Picked, Failure> {
    let backlog = keeper(office)?;
    let promoted = backlog.promote(known(input.id)?).await?;
    let task = match given(office, &promoted).await? {
        Some(id) => create::standing(office, id, true).await?,
        None => {
            let origin = conversation.map_or_else(|| format!("note({})", promoted.task_note), str::to_owned);
            let task = create::one(office, plan(&promoted)?, &origin).await?;
            let noted = match task.execution_id().parse::<ExecutionId>() {
                Ok(id) => backlog.started(promoted.task_note.clone(), id.short()).await,
                Err(_) => Ok(()),
            };
            // It is submitted, whatever the note says; the next pick finds it by its key.
            task.noted(noted.err().map(|error| format!("its note does not name the execution yet: {error}")))
        }
    };
    Ok(Picked { id: promoted.id, task_note: promoted.task_note, task })
}

/// The execution that its note names, if the project knows it.
async fn given(office: &Office, promoted: &Promoted) -> Result<Option<ExecutionId>, Failure> {
    let Some(id) = &promoted.execution else { return Ok(None) };
    match find::execution(office.machines.as_ref(), id).await {
        Ok(id) => Ok(Some(id)),
        // The note came from elsewhere, or a person changed it.
        Err(failure) if matches!(failure.code(), Code::NotFound | Code::ValidationError) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn plan(promoted: &Promoted) -> Result<PlanSpec, Failure> {
    let line: Vec<&str> = promoted.title.split_whitespace().collect();
    let title: String = line.join(" ").chars().filter(|c| !c.is_control()).take(TITLE).collect();
    let step = StepSpec {
        id: "task".to_owned(),
        title: if title.is_empty() { "An idea of the backlog".to_owned() } else { title },
        description: promoted.prompt.clone(),
        tier: promoted.tier.as_deref().map(|word| tier(word, &promoted.task_note)).transpose()?,
        model: promoted.model.clone(),
        acceptance: promoted.acceptance.clone(),
        done_when: promoted.done_when.clone(),
        ..StepSpec::default()
    };
    let request_id = Some(format!("note:{}", promoted.task_note));
    Ok(PlanSpec { steps: vec![step], request_id, ..PlanSpec::default() })
}

fn tier(word: &str, note: &str) -> Result<Tier, Failure> {
    serde_json::from_value(serde_json::Value::String(word.to_ascii_lowercase())).map_err(|_| {
        let message = format!("{}: {} is no tier", visible(note), quoted(word));
        Failure::new(Code::ValidationError, message, "write light, standard or heavy there; nothing was started")
    })
}

impl Picked {
    pub(crate) fn text(&self) -> String {
        format!("{} is {}\n{}", self.id, visible(&self.task_note), self.task.text())
    }
}
