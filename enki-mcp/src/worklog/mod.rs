//! `enki_note`, `enki_promote`, the queue, `enki_projects`, `enki_trace`: observations become tasks, tasks entries, and
//! entries results.

mod keeper;

pub use keeper::{
    Asker, Chain, Entries, Entry, Errand, FoundNote, GivenUp, KnownProject, KnownProjects, NewNote, NoteKind,
    NoteSource, Noted, PromotedNote, Queued, Ran, Schedule, Tail, Wanted, Worklog,
};

use crate::failure::{Code, Failure};
use crate::office::Office;
use crate::text::{count, visible};
use crate::told::Told;
use enki_core::tier::Tier;
use schemars::JsonSchema;
use serde::Deserialize;

/// A new note.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoteInput {
    /// What you observed; the first line is its title.
    text: String,
    /// The project that it is about, as enki_projects lists them; `.` for this one.
    project_id: String,
    /// What it is; by its words if left out. A task is written as it is, with the text as its prompt.
    #[serde(default)]
    kind: Option<NoteKind>,
    /// Make a task of it, and start that at once.
    #[serde(default)]
    auto_dispatch: bool,
    /// The model of that task: haiku, sonnet, opus, or another name.
    #[serde(default)]
    model: Option<String>,
    /// Its tier; heavy if neither is said.
    #[serde(default)]
    tier: Option<Tier>,
    /// Where it comes from.
    #[serde(default)]
    source: Option<NoteSource>,
    /// The stream that it is about.
    #[serde(default)]
    stream: Option<String>,
    /// Not here: a task for later is put in with enki_schedule.
    #[serde(default)]
    scheduled_at: Option<String>,
    /// Not here: a task that waits for another is put in with enki_schedule.
    #[serde(default)]
    after: Option<String>,
    /// Not here: as `after`.
    #[serde(default)]
    after_any: Option<String>,
}

/// Which note becomes a task.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromoteInput {
    /// The note: its path, file name or capture_id, or the beginning of one.
    source: String,
    /// The model that shall do it: haiku, sonnet, opus, or another name.
    #[serde(default)]
    model: Option<String>,
    /// The tier of the work.
    #[serde(default)]
    tier: Option<Tier>,
    /// When it is done, in a line.
    #[serde(default)]
    goal: Option<String>,
}

/// One task's note, or several that are done one after another.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Paths {
    /// One.
    One(String),
    /// Several, in order; a failure blocks the rest.
    Several(Vec<String>),
}

/// What is put into the queue.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleInput {
    /// The task's note, or a list of them.
    task_path: Paths,
    /// The project that it is in, as enki_projects lists them; `.` for this one.
    project: String,
    /// In place of the note's: haiku, sonnet, opus, or another name.
    #[serde(default)]
    model: Option<String>,
    /// In place of the note's.
    #[serde(default)]
    tier: Option<Tier>,
    /// Not before this RFC 3339 time, or "now".
    #[serde(default)]
    scheduled_at: Option<String>,
    /// Not before that entry is done; its failure blocks this one.
    #[serde(default)]
    after: Option<String>,
    /// Not before that entry has ended, however.
    #[serde(default)]
    after_any: Option<String>,
    /// How long an agent may run, in seconds; 1800 if left out. Waiting does not count.
    #[serde(default)]
    timeout: Option<u64>,
}

/// What is put into the queue now.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnqueueInput {
    /// The task's note.
    task_path: String,
    /// How long an agent may run, in seconds; 1800 if left out. Waiting does not count.
    #[serde(default)]
    timeout: Option<u64>,
}

/// What is done now.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecuteInput {
    /// The task's note.
    task_path: String,
}

/// A prompt.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromptInput {
    /// The project that it is about, as enki_projects lists them; `.` for this one.
    project: String,
    /// What is wanted.
    prompt: String,
    /// haiku, sonnet, opus, or another name; sonnet if left out.
    #[serde(default)]
    model: Option<String>,
    /// Whether it may change files; what it changes lands like any other work.
    #[serde(default)]
    write: bool,
    /// Idempotency key: the same key and prompt again is the same run.
    #[serde(default)]
    pub(crate) request_id: Option<String>,
}

/// Which entries.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueueInput {
    /// "active", which is what is not finished, "all", or a status.
    #[serde(default)]
    status: Option<String>,
    /// The project, as enki_projects lists them; this one if left out.
    #[serde(default)]
    project: Option<String>,
    /// Put in not before this RFC 3339 time, or so many days ago, as in 7d.
    #[serde(default)]
    since: Option<String>,
    /// Made by that schedule.
    #[serde(default)]
    schedule_id: Option<String>,
    /// With this in title or path.
    #[serde(default)]
    query: Option<String>,
}

/// Which entry's lines.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailInput {
    /// The entry. This, or `task_path`.
    #[serde(default)]
    queue_id: Option<String>,
    /// Its task's note.
    #[serde(default)]
    task_path: Option<String>,
    /// Wait until it has ended, or waits for a person.
    #[serde(default)]
    follow: bool,
}

/// Which entry is given up.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelInput {
    /// The entry, or its task's note.
    queue_id: String,
}

/// Nothing is to be said.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectsInput {}

/// Which note.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveInput {
    /// Its capture_id, file name or path, or the beginning of one.
    id: String,
}

/// What is traced.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TraceInput {
    /// A note, an entry, a task, or a commit that an attempt left, that was merged or that landed; or the beginning of one.
    id: String,
}

pub(crate) async fn note(office: &Office, asker: Asker, input: NoteInput) -> Result<Noted, Failure> {
    let later = [&input.scheduled_at, &input.after, &input.after_any];
    if later.iter().any(|time| time.as_deref().is_some_and(|time| time != "now")) {
        return Err(Failure::new(
            Code::ValidationError,
            "a note starts nothing later, or after something else",
            "write it without these, promote it with enki_promote, and put the task in with enki_schedule; nothing was \
             written",
        ));
    }
    let source = match (asker, input.source) {
        (Asker::Coordinator, source) => source.unwrap_or(NoteSource::Conversation),
        (Asker::Agent(_), source) => agents(&input, source)?,
    };
    let text = said("text", input.text)?;
    let note = NewNote {
        text,
        project: input.project_id,
        kind: input.kind,
        source,
        stream: input.stream,
        run: input.auto_dispatch,
        model: input.model,
        tier: input.tier,
    };
    keeper(office)?.note(asker, note).await
}

/// An agent observes; what is to be done is for others to decide.
fn agents(input: &NoteInput, source: Option<NoteSource>) -> Result<NoteSource, Failure> {
    let refuse = |what: &str, hint: &str| Err(Failure::new(Code::NotAllowed, what, hint));
    if input.auto_dispatch {
        return refuse("an agent starts nothing", "write the note without auto_dispatch; nothing was written");
    }
    if input.kind == Some(NoteKind::Task) {
        return refuse("an agent writes no tasks", "write what you observed: an issue, idea or observation");
    }
    match source {
        None | Some(NoteSource::AgentExecution) => Ok(NoteSource::AgentExecution),
        Some(NoteSource::AgentObservation) => Ok(NoteSource::AgentObservation),
        Some(NoteSource::Conversation | NoteSource::Voice) => {
            refuse("an agent speaks for nobody else", "leave source out; nothing was written")
        }
    }
}

pub(crate) async fn promote(office: &Office, input: PromoteInput) -> Result<PromotedNote, Failure> {
    let PromoteInput { source, model, tier, goal } = input;
    keeper(office)?.promote(source, goal, model, tier).await
}

pub(crate) async fn schedule(office: &Office, input: ScheduleInput) -> Result<Queued, Failure> {
    let tasks = match input.task_path {
        Paths::One(path) => vec![path],
        Paths::Several(paths) => paths,
    };
    if tasks.is_empty() {
        return Err(empty("task_path"));
    }
    if input.after.is_some() && input.after_any.is_some() {
        return Err(Failure::new(
            Code::ValidationError,
            "after and after_any are both given",
            "give one of them; nothing was stored",
        ));
    }
    let ask = Schedule {
        tasks,
        project: Some(input.project),
        model: input.model,
        tier: input.tier,
        at: input.scheduled_at,
        after: input.after,
        after_any: input.after_any,
        timeout: input.timeout,
    };
    keeper(office)?.schedule(ask).await
}

pub(crate) async fn enqueue(office: &Office, input: EnqueueInput) -> Result<Queued, Failure> {
    let ask = Schedule { tasks: vec![input.task_path], timeout: input.timeout, ..Schedule::default() };
    keeper(office)?.schedule(ask).await
}

pub(crate) async fn execute(office: &Office, input: ExecuteInput, told: &Told) -> Result<Ran, Failure> {
    keeper(office)?.execute(input.task_path, told.clone()).await
}

pub(crate) async fn prompt(office: &Office, input: PromptInput, told: &Told) -> Result<Ran, Failure> {
    let PromptInput { project, prompt, model, write, request_id } = input;
    let prompt = said("prompt", prompt)?;
    keeper(office)?.prompt(Errand { project, prompt, model, write, request_id }, told.clone()).await
}

pub(crate) async fn list(office: &Office, asker: Asker, input: QueueInput) -> Result<Entries, Failure> {
    let QueueInput { status, project, since, schedule_id, query } = input;
    keeper(office)?.entries(asker, Wanted { status, project, since, schedule_id, query }).await
}

pub(crate) async fn tail(office: &Office, input: TailInput, told: &Told) -> Result<Tail, Failure> {
    match (input.queue_id, input.task_path) {
        (Some(of), None) | (None, Some(of)) => keeper(office)?.tail(of, input.follow, told.clone()).await,
        (None, None) | (Some(_), Some(_)) => Err(Failure::new(
            Code::ValidationError,
            "one of queue_id and task_path says whose lines are meant",
            "give one of them",
        )),
    }
}

pub(crate) async fn cancel(office: &Office, input: CancelInput) -> Result<GivenUp, Failure> {
    keeper(office)?.give_up(input.queue_id).await
}

pub(crate) async fn projects(office: &Office, ProjectsInput {}: ProjectsInput) -> Result<KnownProjects, Failure> {
    keeper(office)?.projects().await
}

pub(crate) async fn resolve(office: &Office, asker: Asker, input: ResolveInput) -> Result<FoundNote, Failure> {
    keeper(office)?.resolve(asker, input.id).await
}

pub(crate) async fn trace(office: &Office, asker: Asker, input: TraceInput) -> Result<Chain, Failure> {
    keeper(office)?.trace(asker, input.id).await
}

fn keeper(office: &Office) -> Result<&dyn Worklog, Failure> {
    office.project.worklog().ok_or_else(|| {
        Failure::new(Code::Unavailable, "no notes are kept here", "tell the person what you would have written")
    })
}

fn empty(what: &str) -> Failure {
    Failure::new(Code::ValidationError, format!("{what} is empty"), "say what it is about; nothing changed")
}

fn said(what: &str, text: String) -> Result<String, Failure> {
    if text.trim().is_empty() {
        return Err(empty(what));
    }
    if text.len() > LONGEST {
        let message = format!("{what} has {} bytes, and {LONGEST} are the most", text.len());
        return Err(Failure::new(Code::ValidationError, message, "put the rest into a file, and name that"));
    }
    Ok(text)
}

impl Noted {
    pub(crate) fn text(&self) -> String {
        let id = self.capture_id.as_ref().map_or_else(String::new, |id| format!("  {id}"));
        let mut text = format!("{}  {}{id}", self.kind, visible(&self.path));
        if let Some(entry) = &self.entry {
            text = format!("{text}\n{}", entry.text());
        }
        text
    }
}

impl PromotedNote {
    pub(crate) fn text(&self) -> String {
        let before = if self.known { ", as it was before" } else { "" };
        format!("{} is the task {}{before}", visible(&self.source_path), visible(&self.task_path))
    }
}

impl Queued {
    pub(crate) fn text(&self) -> String {
        let was = if self.known { "was there already" } else { "is in the queue" };
        let mut lines = vec![format!("{} {was} and is {}", self.queue_id, self.status)];
        lines.extend(self.task_paths.iter().map(|path| format!("  {}", visible(path))));
        lines.extend(self.notes.iter().map(|note| format!("note: {}", visible(note))));
        lines.join("\n")
    }
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![self.entry.text()];
        lines.extend(self.reasons.iter().map(|reason| format!("because: {}", visible(reason))));
        lines.extend(self.result_paths.iter().map(|path| format!("result: {}", visible(path))));
        // A line of an agent's passes for none of ours.
        lines.extend(self.output.lines().map(|line| format!("> {}", visible(line))));
        lines.join("\n")
    }
}

impl Entries {
    pub(crate) fn text(&self) -> String {
        let mut lines =
            vec![format!("{} in the queue of {}", count(self.total, "entry", "entries"), visible(&self.project))];
        for entry in &self.entries {
            lines.push(format!("  {}  {:<15}  {}", entry.queue_id, entry.status, visible(&entry.title)));
            lines.extend(entry.task_paths.iter().map(|path| format!("    {}", visible(path))));
        }
        if self.entries.len() < self.total {
            lines.push(format!("  and {} more, which are older", self.total - self.entries.len()));
        }
        lines.join("\n")
    }
}

impl Tail {
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("{} is {}", self.queue_id, self.status)];
        if self.cut {
            lines.push("(there is more before this)".to_owned());
        }
        lines.extend(self.lines.iter().map(|line| format!("> {}", visible(line))));
        lines.join("\n")
    }
}

impl GivenUp {
    pub(crate) fn text(&self) -> String {
        format!("{} is {}", self.queue_id, self.status)
    }
}

impl KnownProjects {
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![count(self.projects.len(), "project", "projects")];
        for one in &self.projects {
            let here = if one.current { ", this one" } else { "" };
            let gone = if one.there { "" } else { ", not there" };
            lines.push(format!("  {}  {}{here}{gone}", visible(&one.id), visible(&one.root)));
        }
        lines.join("\n")
    }
}

impl FoundNote {
    pub(crate) fn text(&self) -> String {
        let (path, title, status) = (visible(&self.path), visible(&self.title), visible(&self.status));
        format!("{path} in {}: {}, {status}, {title}", visible(&self.project), self.kind)
    }
}

impl Chain {
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| visible(line)).collect::<Vec<_>>().join("\n")
    }
}

/// Longest text of a note or a prompt, in bytes.
const LONGEST: usize = 64 << 10;
