//! Where notes and the queue are kept: whoever embeds the server says it. What it answers is what the tools answer.

use crate::failure::Failure;
use crate::told::Told;
use enki_core::async_trait;
use enki_core::id::TaskId;
use enki_core::tier::Tier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asker {
    /// A coordinator, for a person.
    Coordinator,
    /// The agent that works on that task. It sees its own project alone.
    Agent(TaskId),
}

/// What a note is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the notes themselves")]
pub enum NoteKind {
    Idea,
    Issue,
    Observation,
    Task,
}

/// Where a note comes from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words of the notes themselves")]
pub enum NoteSource {
    AgentObservation,
    Conversation,
    AgentExecution,
    Voice,
}

/// A note that is to be written.
#[derive(Clone, Debug)]
pub struct NewNote {
    /// What was observed.
    pub text: String,
    /// The project that it is about.
    pub project: String,
    /// What it is; by its words if left out.
    pub kind: Option<NoteKind>,
    /// Where it comes from.
    pub source: NoteSource,
    /// The stream that it is about.
    pub stream: Option<String>,
    /// Whether a task is made of it and started.
    pub run: bool,
    /// The model of that task.
    pub model: Option<String>,
    /// And its tier.
    pub tier: Option<Tier>,
}

/// A note that is written.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Noted {
    /// The project that it is in.
    pub project: String,
    /// Its file, from the root of that project.
    pub path: String,
    /// What it is.
    pub kind: String,
    /// Its id, 12 hex digits; a task has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_id: Option<String>,
    /// The entry that was started of it.
    #[serde(flatten)]
    pub entry: Option<Queued>,
}

/// A task that was made of a note.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct PromotedNote {
    /// The project that both are in.
    pub project: String,
    /// The task's file, from the root of that project.
    pub task_path: String,
    /// The note's.
    pub source_path: String,
    /// Whether it was promoted before: this is the task of then.
    pub known: bool,
}

/// Tasks that are to be done.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// Their notes, in the order in which they are done.
    pub tasks: Vec<String>,
    /// The project that they are in; the one that has them if left out.
    pub project: Option<String>,
    /// In place of the notes'.
    pub model: Option<String>,
    /// In place of the notes'.
    pub tier: Option<Tier>,
    /// Not before this time.
    pub at: Option<String>,
    /// Not before that entry is done.
    pub after: Option<String>,
    /// Not before that entry has ended.
    pub after_any: Option<String>,
    /// How long an agent may run, in seconds.
    pub timeout: Option<u64>,
}

/// An entry of the queue.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Queued {
    /// The project that it is in.
    pub project: String,
    /// Its id, 12 hex digits.
    pub queue_id: String,
    /// The same execution by its full id.
    pub execution_id: String,
    /// How far it is.
    pub status: String,
    /// Whether it was there already.
    pub known: bool,
    /// Its tasks, from the root of that project.
    pub task_paths: Vec<String>,
    /// What the caller should know of it.
    pub notes: Vec<String>,
}

/// A prompt that is to be run.
#[derive(Clone, Debug)]
pub struct Errand {
    /// The project that it is about.
    pub project: String,
    /// What is wanted.
    pub prompt: String,
    /// The model that shall do it.
    pub model: Option<String>,
    /// Whether what it changes lands.
    pub write: bool,
    /// The same key and prompt again is the same run.
    pub request_id: Option<String>,
}

/// What became of a run that was waited for.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Ran {
    /// The entry.
    #[serde(flatten)]
    pub entry: Queued,
    /// What its agents handed in.
    pub output: String,
    /// Why it failed, or what it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Its result notes.
    pub result_paths: Vec<String>,
}

/// Which entries are listed.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `active`, `all` or a status.
    pub status: Option<String>,
    /// The project; the one of the server if left out.
    pub project: Option<String>,
    /// Not older than this time, or than so many days.
    pub since: Option<String>,
    /// Made by that schedule.
    pub schedule_id: Option<String>,
    /// With this in title or path.
    pub query: Option<String>,
}

/// Entries of the queue.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Entries {
    /// The project that they are in.
    pub project: String,
    /// The newest first.
    pub entries: Vec<Entry>,
    /// How many there are; what is shown is at most 200.
    pub total: usize,
}

/// An entry, as a list tells it.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Entry {
    /// Its id, 12 hex digits.
    pub queue_id: String,
    /// The same execution by its full id.
    pub execution_id: String,
    /// What it is about.
    pub title: String,
    /// How far it is.
    pub status: String,
    /// Its task notes, one for each step.
    pub task_paths: Vec<String>,
    /// When it was put in.
    pub created_at: String,
    /// When its first agent started.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Not before this.
    pub scheduled_at: Option<String>,
    /// Not before that entry.
    pub after: Option<String>,
    /// How long an agent may run, in seconds, by step: as it was asked for, else as the project has it.
    pub timeout_s: Vec<u64>,
    /// By step.
    pub tiers: Vec<String>,
    /// By step: that which is named, else that of the tier.
    pub models: Vec<String>,
    /// How many steps it has.
    pub steps: usize,
    /// The sessions of its agents, by step.
    pub session_ids: Vec<Option<String>>,
    /// The folder with what its agents said.
    pub log_path: String,
    /// The results of its steps.
    pub result_notes: Vec<String>,
}

/// What is told of an entry.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Tail {
    /// The project that it is in.
    pub project: String,
    /// Its id, 12 hex digits.
    pub queue_id: String,
    /// How far it is.
    pub status: String,
    /// The last of what happened and of what its agents said.
    pub lines: Vec<String>,
    /// Whether there are more before them.
    pub cut: bool,
}

/// An entry that was given up, or had ended before.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct GivenUp {
    /// The project that it is in.
    pub project: String,
    /// Its id, 12 hex digits.
    pub queue_id: String,
    /// What it is now; one that had ended is what it was.
    pub status: String,
}

/// The projects of the person.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct KnownProjects {
    /// By their names.
    pub projects: Vec<KnownProject>,
}

/// A project of the person.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct KnownProject {
    /// Its name.
    pub id: String,
    /// Its folder.
    pub root: String,
    /// The stream of its notes, if it has one.
    pub stream: Option<String>,
    /// The model of its tasks, if it has one.
    pub model: Option<String>,
    /// Whether it is the one of this server.
    pub current: bool,
    /// Whether its folder is there.
    pub there: bool,
}

/// A note that was looked for.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct FoundNote {
    /// Its file, from the root of its project.
    pub path: String,
    /// The project that it is in.
    pub project: String,
    /// What it is.
    pub kind: String,
    /// How far it is.
    pub status: String,
    /// Its title.
    pub title: String,
}

/// All that belongs to one thought.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Chain {
    /// The project that it is in.
    pub project: String,
    /// From the thought to its result, a line each.
    pub lines: Vec<String>,
    /// The same for programs: source, task, entries with their attempts and commits, results and issues; the same of the other
    /// tasks, as others; broken links.
    pub chain: Value,
}

/// Keeps the notes and the queue of the person's projects.
///
/// # Contract
///
/// What a method confirms is durable on return; what it refuses changed nothing, unless it says so. A method that waits may
/// be dropped: [`Self::execute`] and [`Self::prompt`] then give up what they waited for, [`Self::tail`] changes nothing. A
/// project is named by its id, `.` is the one of the server; an unknown one is [`NotFound`](crate::Code::NotFound), with
/// the known ids as candidates.
#[async_trait]
pub trait Worklog: fmt::Debug + Send + Sync {
    /// Writes a note; if it asks for that, makes a task of it and starts that.
    async fn note(&self, asker: Asker, note: NewNote) -> Result<Noted, Failure>;

    /// Makes a task of a note; the same again is the same task.
    async fn promote(
        &self,
        source: String,
        goal: Option<String>,
        model: Option<String>,
        tier: Option<Tier>,
    ) -> Result<PromotedNote, Failure>;

    /// Puts tasks into the queue; the same again is the same entry until that has ended.
    async fn schedule(&self, ask: Schedule) -> Result<Queued, Failure>;

    /// Does a task now, and waits until nothing more happens to it by itself.
    async fn execute(&self, task: String, told: Told) -> Result<Ran, Failure>;

    /// Runs a prompt, and waits until nothing more happens to it by itself.
    async fn prompt(&self, errand: Errand, told: Told) -> Result<Ran, Failure>;

    /// Lists entries.
    async fn entries(&self, asker: Asker, wanted: Wanted) -> Result<Entries, Failure>;

    /// The last lines of an entry, or of a task's; to follow it is to wait until nothing more happens by itself.
    async fn tail(&self, of: String, follow: bool, told: Told) -> Result<Tail, Failure>;

    /// Gives an entry up; one that has ended stays as it is.
    async fn give_up(&self, queue_id: String) -> Result<GivenUp, Failure>;

    /// The projects.
    async fn projects(&self) -> Result<KnownProjects, Failure>;

    /// Which note an id, a name or a path means.
    async fn resolve(&self, asker: Asker, id: String) -> Result<FoundNote, Failure>;

    /// What belongs to a note, an entry, a task or a commit.
    async fn trace(&self, asker: Asker, what: String) -> Result<Chain, Failure>;
}
