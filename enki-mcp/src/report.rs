//! `enki_worker_report`: what an agent says that it does now.

use crate::activity::Activity;
use crate::failure::{Code, Failure};
use crate::machines::Machines;
use crate::mail::unread;
use crate::passes::Attempt;
use crate::text::visible;
use enki_core::dispatcher::Place;
use enki_core::id::StepIx;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest line that is kept, in characters.
const LONGEST: usize = 160;

/// What it does.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportInput {
    /// One line; of more than 160 characters the first 160 are shown.
    status: String,
}

/// It is shown from now on.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Reported {
    task_id: String,
    /// As it is shown.
    status: String,
    /// Messages that wait for you, if you get mail: see `enki_mail_inbox`.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<usize>,
}

pub(crate) fn report(
    machines: &dyn Machines,
    activity: &Activity,
    attempt: &Attempt,
    step: StepIx,
    input: &ReportInput,
) -> Result<Reported, Failure> {
    let status: String = visible(input.status.trim()).chars().take(LONGEST).collect();
    if status.is_empty() {
        return Err(Failure::new(Code::ValidationError, "status is empty", "say in one line what you do"));
    }
    let place = Place { execution: attempt.execution, step };
    activity.said(place, attempt.number, status.clone());
    machines.tell_activity(place, attempt.number, status.clone())?;
    Ok(Reported { task_id: attempt.task.to_string(), status, unread: None })
}

impl Reported {
    /// The same, with what waits for whoever reported.
    pub(crate) fn with_mail(self, unread: Option<usize>) -> Self {
        Self { unread, ..self }
    }

    pub(crate) fn text(&self) -> String {
        let mail = self.unread.filter(|n| *n > 0).map(|n| format!("\n{}: enki_mail_inbox", unread(n)));
        format!("{} shows: {}{}", self.task_id, self.status, mail.unwrap_or_default())
    }
}
