//! The words of notes, their queue, and the projects that they are of.

use super::Overrides;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What to write down.
#[derive(Args, Clone, Debug)]
pub(crate) struct NoteArgs {
    /// What you observed, in your own words; `-` for stdin
    pub(crate) text: String,
    /// What it is; by its words if left out
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) kind: Option<NoteKind>,
    /// Where it comes from; `conversation` if left out. What was spoken has its prompt made by `notes.enrich`
    #[arg(long, value_name = "SOURCE", value_parser = ["agent-observation", "conversation", "agent-execution", "voice"])]
    pub(crate) source: Option<String>,
    /// The stream that it is about; the project's own, of the list of projects, if left out. Tasks have none
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) stream: Option<String>,
    /// Make a task of it and start that at once
    #[command(flatten)]
    pub(crate) now: RunNow,
    /// The model that shall do it: with --kind task, or with --run
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The tier of the work, likewise; with --run heavy if neither is said
    #[arg(long, value_name = "TIER", value_parser = ["light", "standard", "heavy"])]
    pub(crate) tier: Option<String>,
}

/// Which note becomes a task.
#[derive(Args, Clone, Debug)]
pub(crate) struct PromoteArgs {
    /// The note: its path, its file's name or its id, or the beginning of one
    pub(crate) note: String,
    /// When it is done, in a line
    #[arg(long, value_name = "TEXT")]
    pub(crate) goal: Option<String>,
    /// The model that shall do it
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The tier of the work
    #[arg(long, value_name = "TIER", value_parser = ["light", "standard", "heavy"])]
    pub(crate) tier: Option<String>,
    /// Make another task although there is one
    #[arg(long)]
    pub(crate) again: bool,
    /// Start it at once
    #[command(flatten)]
    pub(crate) now: RunNow,
}

/// A start at once.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunNow {
    /// Start its task at once; with nobody driving, drive until that has ended
    #[arg(long)]
    pub(crate) run: bool,
    /// Is for the queue; known here to say so.
    #[arg(long, value_name = "TIME", hide = true)]
    pub(crate) at: Option<String>,
    /// The same.
    #[arg(long, value_name = "ID", hide = true)]
    pub(crate) after: Option<String>,
    /// The same.
    #[arg(long, value_name = "ID", hide = true)]
    pub(crate) after_any: Option<String>,
}

/// Which notes to list.
#[derive(Args, Clone, Debug)]
pub(crate) struct NotesArgs {
    /// Only of this kind; may be given several times
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) kind: Vec<NoteKind>,
    /// Only those that say this of themselves, or mean it; `all` for every one
    #[arg(long, value_name = "WORD")]
    pub(crate) status: Option<String>,
    /// Only those at least that many days old, such as `7d`
    #[arg(long, value_name = "DAYS")]
    pub(crate) older_than: Option<String>,
}

/// What a note is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum NoteKind {
    /// Something that could be done
    Idea,
    /// Something that is wrong
    Issue,
    /// Something that was seen
    Observation,
    /// Work that is described, for an agent
    Task,
    /// What became of a task
    Result,
}

impl From<NoteKind> for enki_notes::Kind {
    fn from(kind: NoteKind) -> Self {
        match kind {
            NoteKind::Idea => Self::Idea,
            NoteKind::Issue => Self::Issue,
            NoteKind::Observation => Self::Observation,
            NoteKind::Task => Self::Task,
            NoteKind::Result => Self::Result,
        }
    }
}

/// Commands on the list of projects.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsCommand {
    /// List them
    List,
    /// Add the project of a folder; of this one if none is named
    Add {
        /// The folder
        dir: Option<PathBuf>,
        /// By this name; the folder's if left out
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Forget one; its files stay
    Remove {
        /// The project
        id: String,
    },
}

/// Commands on the queue of task notes.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Start a task note, or several one after another; whoever drives the project does it, or the next `enki queue run`
    Add(QueueAddArgs),
    /// List what is not finished, the newest first
    List {
        /// Also what is finished
        #[arg(long)]
        all: bool,
        /// Only those that are so, such as `waiting` or `failed`
        #[arg(long, value_name = "WORD", conflicts_with = "all")]
        status: Option<String>,
        /// Only those put in since that time, as in 2026-01-31T18:00:00Z, or in so many days, as in `7d`
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only those with this in their title or their notes' paths
        #[arg(long, value_name = "TEXT")]
        query: Option<String>,
        /// What runs left to a person instead: proposals in result notes that nobody has ticked or removed
        #[arg(long, conflicts_with_all = ["all", "status", "since", "query"])]
        proposals: bool,
    },
    /// Show the events of an entry; of a task note, those of its entry
    Tail {
        /// The entry, or its task's note
        id: String,
        /// Go on while it goes on, with what its agents say as they say it
        #[arg(short, long)]
        follow: bool,
    },
    /// Give up an entry; one that is finished stays as it is
    Cancel {
        /// The entry, or its task's note
        id: String,
    },
    /// Do a task note now, wait until it has ended, and print its output; Ctrl-C gives it up
    Execute {
        /// The task's note: path, file's name, or the beginning of one
        task: String,
    },
    /// Run one prompt, wait until it has ended, and print its output; Ctrl-C gives it up. It changes no file
    Prompt {
        /// What you want; `-` for stdin
        text: String,
        /// The model that shall do it; sonnet if left out
        #[arg(long, value_name = "NAME")]
        model: Option<String>,
        /// Let it change files: what it changes lands like any other work
        #[arg(long)]
        write: bool,
    },
    /// Drive what is in the queue, until nothing is left or all that is left waits for a person
    Run {
        /// What differs from the configuration.
        #[command(flatten)]
        overrides: Overrides,
    },
}

/// What to put into the queue.
#[derive(Args, Clone, Debug)]
pub(crate) struct QueueAddArgs {
    /// Task notes: path, file's name, or the beginning of one. Several are done one after another
    #[arg(required = true, value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// Not before this time, as in 2026-01-31T18:00:00Z, or `now`
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Not before that entry is done; its failure blocks this one
    #[arg(long, value_name = "ID", conflicts_with = "after_any")]
    pub(crate) after: Option<String>,
    /// Not before that entry has ended, however
    #[arg(long, value_name = "ID")]
    pub(crate) after_any: Option<String>,
    /// How long an agent may run, in seconds; 1800 if left out. Waiting does not count
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// The model that shall do it, in place of the note's
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The tier of the work, in place of the note's
    #[arg(long, value_name = "TIER", value_parser = ["light", "standard", "heavy"])]
    pub(crate) tier: Option<String>,
    /// The branch on which it lands; the one checked out if left out
    #[arg(long, value_name = "BRANCH", allow_hyphen_values = true)]
    pub(crate) target: Option<String>,
}
