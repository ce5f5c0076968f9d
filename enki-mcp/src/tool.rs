//! The tools: names, words, schemas, and who may call which. One table.

use crate::role::Role;
use crate::{backlog, call, create, dag, edit, mail, report, status, steer, stop, task_list, worklog};
use rmcp::model::{JsonObject, Tool as Definition, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A tool.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the tools of that name, told about by `Tool::about`")]
pub enum Tool {
    #[serde(rename = "enki_status")]
    Status,
    #[serde(rename = "enki_task_list")]
    TaskList,
    #[serde(rename = "enki_dag")]
    Dag,
    #[serde(rename = "enki_task_create")]
    TaskCreate,
    #[serde(rename = "enki_execution_create")]
    ExecutionCreate,
    #[serde(rename = "enki_execution_add_steps")]
    AddSteps,
    #[serde(rename = "enki_quick_task")]
    QuickTask,
    #[serde(rename = "enki_resume")]
    Resume,
    #[serde(rename = "enki_pause")]
    Pause,
    #[serde(rename = "enki_cancel")]
    Cancel,
    #[serde(rename = "enki_stop_all")]
    StopAll,
    #[serde(rename = "enki_task_retry")]
    Retry,
    #[serde(rename = "enki_backlog_add")]
    BacklogAdd,
    #[serde(rename = "enki_backlog_list")]
    BacklogList,
    #[serde(rename = "enki_backlog_update")]
    BacklogUpdate,
    #[serde(rename = "enki_backlog_remove")]
    BacklogRemove,
    #[serde(rename = "enki_backlog_pick")]
    BacklogPick,
    #[serde(rename = "enki_note")]
    Note,
    #[serde(rename = "enki_promote")]
    Promote,
    #[serde(rename = "enki_schedule")]
    Schedule,
    #[serde(rename = "enki_enqueue")]
    Enqueue,
    #[serde(rename = "enki_execute")]
    Execute,
    #[serde(rename = "enki_run_prompt")]
    RunPrompt,
    #[serde(rename = "enki_queue_list")]
    QueueList,
    #[serde(rename = "enki_tail")]
    Tail,
    #[serde(rename = "enki_queue_cancel")]
    QueueCancel,
    #[serde(rename = "enki_projects")]
    Projects,
    #[serde(rename = "enki_note_resolve")]
    NoteResolve,
    #[serde(rename = "enki_trace")]
    Trace,
    #[serde(rename = "enki_worker_report")]
    Report,
    #[serde(rename = "enki_edit_file")]
    Edit,
    #[serde(rename = "enki_mail_send")]
    MailSend,
    #[serde(rename = "enki_mail_check")]
    MailCheck,
    #[serde(rename = "enki_mail_inbox")]
    MailInbox,
    #[serde(rename = "enki_mail_read")]
    MailRead,
    #[serde(rename = "enki_mail_reply")]
    MailReply,
    #[serde(rename = "enki_mail_thread")]
    MailThread,
    #[serde(rename = "enki_call")]
    Call,
    #[serde(rename = "enki_tools")]
    Tools,
}

/// What a tool does to the world.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Does {
    /// It only looks.
    Reads,
    /// It writes for itself: whoever drives is not asked, and need not be there.
    Writes,
    /// It changes something, without starting agents.
    Changes,
    /// What it does may call for agents, so somebody has to drive.
    Starts,
}

impl Tool {
    /// All, in the order they are listed.
    pub const ALL: [Self; 39] = [
        Self::Status,
        Self::TaskList,
        Self::Dag,
        Self::TaskCreate,
        Self::ExecutionCreate,
        Self::AddSteps,
        Self::QuickTask,
        Self::Resume,
        Self::Pause,
        Self::Cancel,
        Self::StopAll,
        Self::Retry,
        Self::BacklogAdd,
        Self::BacklogList,
        Self::BacklogUpdate,
        Self::BacklogRemove,
        Self::BacklogPick,
        Self::Note,
        Self::Promote,
        Self::Schedule,
        Self::Enqueue,
        Self::Execute,
        Self::RunPrompt,
        Self::QueueList,
        Self::Tail,
        Self::QueueCancel,
        Self::Projects,
        Self::NoteResolve,
        Self::Trace,
        Self::Report,
        Self::Edit,
        Self::MailSend,
        Self::MailCheck,
        Self::MailInbox,
        Self::MailRead,
        Self::MailReply,
        Self::MailThread,
        Self::Call,
        Self::Tools,
    ];

    /// Its name in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "enki_status",
            Self::TaskList => "enki_task_list",
            Self::Dag => "enki_dag",
            Self::TaskCreate => "enki_task_create",
            Self::ExecutionCreate => "enki_execution_create",
            Self::AddSteps => "enki_execution_add_steps",
            Self::QuickTask => "enki_quick_task",
            Self::Resume => "enki_resume",
            Self::Pause => "enki_pause",
            Self::Cancel => "enki_cancel",
            Self::StopAll => "enki_stop_all",
            Self::Retry => "enki_task_retry",
            Self::BacklogAdd => "enki_backlog_add",
            Self::BacklogList => "enki_backlog_list",
            Self::BacklogUpdate => "enki_backlog_update",
            Self::BacklogRemove => "enki_backlog_remove",
            Self::BacklogPick => "enki_backlog_pick",
            Self::Note => "enki_note",
            Self::Promote => "enki_promote",
            Self::Schedule => "enki_schedule",
            Self::Enqueue => "enki_enqueue",
            Self::Execute => "enki_execute",
            Self::RunPrompt => "enki_run_prompt",
            Self::QueueList => "enki_queue_list",
            Self::Tail => "enki_tail",
            Self::QueueCancel => "enki_queue_cancel",
            Self::Projects => "enki_projects",
            Self::NoteResolve => "enki_note_resolve",
            Self::Trace => "enki_trace",
            Self::Report => "enki_worker_report",
            Self::Edit => "enki_edit_file",
            Self::MailSend => "enki_mail_send",
            Self::MailCheck => "enki_mail_check",
            Self::MailInbox => "enki_mail_inbox",
            Self::MailRead => "enki_mail_read",
            Self::MailReply => "enki_mail_reply",
            Self::MailThread => "enki_mail_thread",
            Self::Call => "enki_call",
            Self::Tools => "enki_tools",
        }
    }

    /// Another name by which it is called. It is not listed.
    const fn alias(self) -> Option<&'static str> {
        Some(match self {
            Self::Note => "worklog_note",
            Self::Promote => "promote_to_task",
            Self::Schedule => "schedule_queue",
            Self::Enqueue => "enqueue_task",
            Self::Execute => "execute_task",
            Self::RunPrompt => "run_prompt",
            Self::QueueList => "list_queue",
            Self::Tail => "tail_task",
            Self::QueueCancel => "queue_cancel",
            Self::Projects => "list_projects",
            Self::NoteResolve => "note_resolve",
            _ => return None,
        })
    }

    /// The tool of that name, or of that other name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name || tool.alias() == Some(name))
    }

    /// Whether it is one of notes and their queue. Those act by themselves, also in other projects than the server's.
    #[must_use]
    pub const fn is_worklog(self) -> bool {
        matches!(
            self,
            Self::Note
                | Self::Promote
                | Self::Schedule
                | Self::Enqueue
                | Self::Execute
                | Self::RunPrompt
                | Self::QueueList
                | Self::Tail
                | Self::QueueCancel
                | Self::Projects
                | Self::NoteResolve
                | Self::Trace
        )
    }

    /// Whether its answer may wait for agents. Whoever hears it no more has given it up.
    #[must_use]
    pub const fn waits(self) -> bool {
        matches!(self, Self::Execute | Self::RunPrompt | Self::Tail)
    }

    /// Whether it is one of mail: those are there only where a project has mail, and for no agent of a step that is
    /// reviewed.
    #[must_use]
    pub const fn is_mail(self) -> bool {
        matches!(
            self,
            Self::MailSend | Self::MailCheck | Self::MailInbox | Self::MailRead | Self::MailReply | Self::MailThread
        )
    }

    /// Whether callers of that role may use it, and of the tools of mail, whether they may where there is mail. What is
    /// listed and what is allowed are both this.
    #[must_use]
    pub const fn allowed(self, role: Role) -> bool {
        use Role::{Coordinator, Quick, Reader, Resolver, Reviewer, Worker};
        match self {
            Self::Status | Self::TaskList => true,
            Self::Dag => !matches!(role, Quick),
            Self::TaskCreate
            | Self::ExecutionCreate
            | Self::AddSteps
            | Self::QuickTask
            | Self::Resume
            | Self::Pause
            | Self::Cancel
            | Self::StopAll
            | Self::Retry
            | Self::BacklogAdd
            | Self::BacklogList
            | Self::BacklogUpdate
            | Self::BacklogRemove
            | Self::BacklogPick
            | Self::Promote
            | Self::Schedule
            | Self::Enqueue
            | Self::Execute
            | Self::RunPrompt
            | Self::Tail
            | Self::QueueCancel
            | Self::Projects => matches!(role, Coordinator),
            Self::Note | Self::QueueList | Self::NoteResolve | Self::Trace => {
                matches!(role, Coordinator | Worker | Reader)
            }
            Self::Report => matches!(role, Worker | Reader | Reviewer | Resolver),
            Self::Edit => matches!(role, Worker),
            Self::MailSend
            | Self::MailCheck
            | Self::MailInbox
            | Self::MailRead
            | Self::MailReply
            | Self::MailThread => matches!(role, Coordinator | Worker | Reader),
            Self::Call | Self::Tools => matches!(role, Coordinator | Worker),
        }
    }

    /// What it does to the world.
    #[must_use]
    pub const fn does(self) -> Does {
        match self {
            Self::Status
            | Self::TaskList
            | Self::Dag
            | Self::BacklogList
            | Self::QueueList
            | Self::Tail
            | Self::Projects
            | Self::NoteResolve
            | Self::Trace
            | Self::MailCheck
            | Self::MailInbox
            | Self::MailThread
            | Self::Call
            | Self::Tools => Does::Reads,
            Self::Note | Self::Promote | Self::QueueCancel => Does::Writes,
            Self::Pause
            | Self::Cancel
            | Self::StopAll
            | Self::Report
            | Self::Edit
            | Self::BacklogAdd
            | Self::BacklogUpdate
            | Self::BacklogRemove
            | Self::MailSend
            | Self::MailRead
            | Self::MailReply => Does::Changes,
            Self::TaskCreate
            | Self::ExecutionCreate
            | Self::AddSteps
            | Self::QuickTask
            | Self::Resume
            | Self::BacklogPick
            | Self::Schedule
            | Self::Enqueue
            | Self::Execute
            | Self::RunPrompt
            | Self::Retry => Does::Starts,
        }
    }

    /// What it is for, in the words a model reads.
    const fn about(self) -> &'static str {
        match self {
            Self::Status => {
                "How far the open executions are, or one of any age: steps per status, permits in use, holds that wait \
                 for an answer, length of the merge queue."
            }
            Self::TaskList => {
                "Lists tasks, which are the steps of executions: id, status, tier, title and what their agents do now, \
                 newest execution first."
            }
            Self::Dag => {
                "The graph of an execution as ASCII text in layers: one line a step with its status and what it needs."
            }
            Self::TaskCreate => {
                "Gives one quick, independent change to an agent, as an execution of one step. It starts by itself as \
                 soon as a permit is free. For two or more related changes use enki_execution_create."
            }
            Self::ExecutionCreate => {
                "Submits a plan of steps; those that are ready start by themselves, there is no start call. Each step \
                 is worked on by an agent in a clone of its own and merged once it passes. Where the person wants to \
                 see such plans first, it is created held: show it to them, then answer with enki_resume."
            }
            Self::AddSteps => {
                "Adds steps to an execution that has not ended, also while it is held or paused. They may need old and \
                 new steps. All or nothing."
            }
            Self::QuickTask => {
                "Gives one small change to a light agent, with high priority and without a review. It is merged like \
                 any other."
            }
            Self::Resume => {
                "Goes on with an execution: clears a pause, or answers what it waits for. Nothing that has ended runs \
                 again. An approval wants the person's own answer."
            }
            Self::Pause => "Starts nothing new in an execution or for a step; what runs ends by itself.",
            Self::Cancel => {
                "Gives up an execution, or a step with all that waits for it. Its agents are stopped; work that was \
                 captured is kept."
            }
            Self::StopAll => "Pauses every execution and stops all agents now. Everything can be resumed.",
            Self::Retry => "Tries a failed task again, and with it what was blocked by it.",
            Self::BacklogAdd => {
                "Keeps an idea for later, as a note in the project that the person can read and edit. Nothing is started."
            }
            Self::BacklogList => "The ideas that wait, newest first, with their ids.",
            Self::BacklogUpdate => "Gives an idea that waits another text.",
            Self::BacklogRemove => "Drops an idea. Its note stays, with the status cancelled.",
            Self::BacklogPick => {
                "Makes work of an idea: its note is promoted to a task note, and that is given to an agent as an \
                 execution of one step, which starts by itself. Picked twice, it is the same task."
            }
            Self::Note => {
                "Writes down what was observed, as a note in the log of the project that it is about: an issue, an idea \
                 or an observation. Nothing is started, unless auto_dispatch asks for that: then it is promoted, and its \
                 task starts at once."
            }
            Self::Promote => {
                "Makes a task note of a note: its text becomes a prompt, quoted as data. Twice is the same task. Nothing \
                 is started."
            }
            Self::Schedule => {
                "Puts a task note into the queue, or several that are done one after another: now, at a time, or after \
                 other entries. The same again is the same entry until that has ended."
            }
            Self::Enqueue => "Puts a task note into the queue now.",
            Self::Execute => {
                "Does a task note now and waits until it has ended or needs a person; gives its output and result note. \
                 To give the call up cancels the task. For work that outlives this session use enki_schedule."
            }
            Self::RunPrompt => {
                "Has an agent do one prompt and waits for its output. It may change no file, unless write is set: then \
                 what it changes lands like other work. To give the call up cancels it."
            }
            Self::QueueList => "Lists the entries of the queue that are not finished, or all, the newest first.",
            Self::Tail => {
                "The last lines of an entry: what happened, and what its agents said. With follow it waits until the entry \
                 has ended or needs a person."
            }
            Self::QueueCancel => "Gives an entry of the queue up; one that is finished stays as it is.",
            Self::Projects => "Lists the person's projects by id; notes and entries name them.",
            Self::NoteResolve => "Which note an id, a file name or a path means: path, project, kind, status.",
            Self::Trace => {
                "All that belongs together, from whichever of it: the note, its task, every entry with attempts and \
                 commits, results and issues."
            }
            Self::Report => "Says in one line what you do now, for the people who watch.",
            Self::Edit => {
                "Replaces a part of a file of your workspace. `content` has lines of the file that stay, as anchors \
                 `12:a3|text` (number, low byte of the xxh3-64 of the trimmed line in hex), and new lines: everything \
                 from the first to the last anchor is replaced by it. A stale anchor is refused, and the answer shows \
                 the lines around it with their anchors."
            }
            Self::MailSend => {
                "Writes to the coordinator, to the agent of another task, or to all workers. A message changes no state: \
                 nothing is started, stopped or answered by it."
            }
            Self::MailCheck => "How many messages wait for you.",
            Self::MailInbox => "Lists what was written to you, newest first, without the bodies.",
            Self::MailRead => "Shows a message of yours, which is then read.",
            Self::MailReply => {
                "Answers a message of yours, and says with status what becomes of a request to you: accepted, rejected or \
                 completed."
            }
            Self::MailThread => "Shows a thread as far as it is yours.",
            Self::Call => {
                "Runs one of the commands that enki_tools lists. Every answer has the same envelope, failures too: ok, \
                 code, message, data, traceId."
            }
            Self::Tools => "Lists the commands of enki_call with the schemas of their inputs.",
        }
    }

    /// It as the protocol describes it.
    pub(crate) fn definition(self) -> Definition {
        match self {
            Self::Status => self.of::<status::StatusInput, status::Status>(),
            Self::TaskList => self.of::<task_list::TaskListInput, task_list::TaskList>(),
            Self::Dag => self.of::<dag::DagInput, dag::Dag>(),
            Self::TaskCreate => self.of::<create::TaskInput, create::CreatedTask>(),
            Self::ExecutionCreate => self.of::<enki_core::spec::PlanSpec, create::Created>(),
            Self::AddSteps => self.of::<create::AddInput, create::Added>(),
            Self::QuickTask => self.of::<create::QuickInput, create::CreatedTask>(),
            Self::Resume => self.of::<steer::ResumeInput, steer::Resumed>(),
            Self::Pause => self.of::<steer::SteerInput, steer::Paused>(),
            Self::Cancel => self.of::<steer::SteerInput, steer::Cancelled>(),
            Self::StopAll => self.of::<stop::StopInput, stop::Stopped>(),
            Self::Retry => self.of::<steer::RetryInput, steer::Retried>(),
            Self::BacklogAdd => self.of::<backlog::AddInput, backlog::Kept>(),
            Self::BacklogList => self.of::<backlog::ListInput, backlog::Listed>(),
            Self::BacklogUpdate => self.of::<backlog::UpdateInput, backlog::Kept>(),
            Self::BacklogRemove => self.of::<backlog::ItemInput, backlog::Kept>(),
            Self::BacklogPick => self.of::<backlog::ItemInput, backlog::Picked>(),
            Self::Note => self.of::<worklog::NoteInput, worklog::Noted>(),
            Self::Promote => self.of::<worklog::PromoteInput, worklog::PromotedNote>(),
            Self::Schedule => self.of::<worklog::ScheduleInput, worklog::Queued>(),
            Self::Enqueue => self.of::<worklog::EnqueueInput, worklog::Queued>(),
            Self::Execute => self.of::<worklog::ExecuteInput, worklog::Ran>(),
            Self::RunPrompt => self.of::<worklog::PromptInput, worklog::Ran>(),
            Self::QueueList => self.of::<worklog::QueueInput, worklog::Entries>(),
            Self::Tail => self.of::<worklog::TailInput, worklog::Tail>(),
            Self::QueueCancel => self.of::<worklog::CancelInput, worklog::GivenUp>(),
            Self::Projects => self.of::<worklog::ProjectsInput, worklog::KnownProjects>(),
            Self::NoteResolve => self.of::<worklog::ResolveInput, worklog::FoundNote>(),
            Self::Trace => self.of::<worklog::TraceInput, worklog::Chain>(),
            Self::Report => self.of::<report::ReportInput, report::Reported>(),
            Self::Edit => self.of::<edit::EditInput, edit::Edited>(),
            Self::MailSend => self.of::<mail::SendInput, mail::Sent>(),
            Self::MailCheck => self.of::<mail::NoInput, mail::Checked>(),
            Self::MailInbox => self.of::<mail::NoInput, mail::Inbox>(),
            Self::MailRead => self.of::<mail::ReadInput, mail::Letter>(),
            Self::MailReply => self.of::<mail::ReplyInput, mail::Sent>(),
            Self::MailThread => self.of::<mail::ThreadInput, mail::Thread>(),
            Self::Call => self.of::<call::CallInput, call::Envelope>(),
            Self::Tools => self.of::<call::ToolsInput, call::Listed>(),
        }
    }

    fn of<I: JsonSchema + 'static, O: JsonSchema + 'static>(self) -> Definition {
        let reads = self.does() == Does::Reads;
        let gives_up = matches!(self, Self::Cancel | Self::StopAll | Self::QueueCancel);
        let again = !matches!(
            self,
            Self::Retry
                | Self::Edit
                | Self::AddSteps
                | Self::BacklogAdd
                | Self::MailSend
                | Self::MailReply
                | Self::Note
                | Self::RunPrompt
        );
        let annotations =
            ToolAnnotations::new().read_only(reads).destructive(gives_up).idempotent(again).open_world(false);
        Definition::new(self.name(), self.about(), JsonObject::new())
            .with_input_schema::<I>()
            .with_output_schema::<O>()
            .with_annotations(annotations)
    }
}
