//! The grammar of the command line.

mod notes;

pub(crate) use notes::{NoteArgs, NotesArgs, ProjectsCommand, PromoteArgs, QueueAddArgs, QueueCommand, RunNow};

use crate::budget::More;
use crate::commands::keep::GcArgs;
use crate::commands::memory::MemoryCommand;
use crate::commands::search::SearchArgs;
use crate::output::Color;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use enki_core::tier::Purpose;
use std::path::PathBuf;

/// Turns a plan into merged commits: a team of coding agents, one private clone each, one merge queue.
#[derive(Debug, Parser)]
#[command(name = "enki", version, disable_help_subcommand = true, max_term_width = 100, infer_long_args = false)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that mean the same everywhere.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Act in that project
    #[arg(id = "start", short = 'C', value_name = "DIR", global = true)]
    pub(crate) dir: Option<PathBuf>,
    /// Act in that project of your list (`enki projects`)
    #[arg(id = "named", long = "project", value_name = "NAME", global = true, conflicts_with = "start")]
    pub(crate) named: Option<String>,
    /// Print one JSON object, or one a line, and nothing else on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Say more about what happens inside; twice for even more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a plan: it goes on until it ends or waits for you. The same plan again resumes
    Run(RunArgs),
    /// Tell the coordinator what you want: it makes a plan of it, and steers that until it is done
    ///
    /// It goes on with the last conversation. Plans of several steps wait for your approval (approval.decomposition).
    /// Without TEXT it goes on where it stopped.
    Ask(AskArgs),
    /// Talk with the coordinator on a terminal: the conversation of `ask`, with its plans beside it
    ///
    /// Questions are answered in place; /help lists the commands and keys, /quit leaves. Without a terminal use `ask`.
    Chat(TalkArgs),
    /// Go on: clear a pause, answer a hold, ask a service that waits again, or take up what was interrupted
    Resume {
        /// The execution or task; the newest open execution if left out
        id: Option<String>,
        /// What differs from the configuration.
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Show all of it on a small repository made for it; costs nothing
    Demo {
        /// Where; a new temporary folder if left out
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// List the executions, or show one with its steps
    Status {
        /// The execution or task
        id: Option<String>,
        /// List the open review chains instead: of that execution, or of all that are open
        #[arg(long)]
        chains: bool,
    },
    /// Show everything about an execution or task
    Show {
        /// The execution or task
        id: String,
    },
    /// Show the events of an execution or task, of a task also its agents' output
    Log {
        /// The execution or task
        id: String,
        /// Go on while it goes on, with what its agents say as they say it
        #[arg(short, long)]
        follow: bool,
    },
    /// Draw an execution with its states
    Graph {
        /// The execution; the newest one if left out
        id: Option<String>,
        /// How to draw it.
        #[command(flatten)]
        picture: Picture,
    },
    /// Hold an execution's log against the rules of orchestration; exit 7 if one was broken
    Validate {
        /// The execution
        #[arg(required_unless_present = "transcript", conflicts_with = "transcript")]
        id: Option<String>,
        /// Search the transcript of another coordinator instead, a text or JSON lines; - for stdin. Its answers are approximate
        #[arg(long, value_name = "FILE")]
        transcript: Option<PathBuf>,
    },
    /// Review chains of a coordinator that starts the agents itself
    Chain {
        /// What to do with them.
        #[command(subcommand)]
        command: ChainCommand,
    },
    /// Print what an outside coordinator has to do for the chains of an execution, one `<gv>` line each
    Directives {
        /// The execution; the newest open one if left out
        id: Option<String>,
        /// Go on while it goes on
        #[arg(short, long)]
        follow: bool,
        /// Give a coordinator of that name only what it was not given yet, also over restarts
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
    },
    /// Start nothing new; what runs may end
    Pause {
        /// The execution or task
        id: String,
    },
    /// Give up an execution or task; work that was captured is kept
    Cancel {
        /// The execution or task
        id: String,
    },
    /// Try a failed task again, or all failed ones of an execution
    Retry {
        /// The execution or task
        id: String,
        /// Start from the beginning instead of from what it had
        #[arg(long)]
        fresh: bool,
        /// What its agents and reviewers are told from now on, as your own words
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// What it may cost from now on.
        #[command(flatten)]
        more: More,
    },
    /// Take the work of a task as it is whose review escalated: a pass of yours, recorded. Its check still counts
    Accept {
        /// The task
        id: String,
        /// Why it is good enough
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// Who says so; your user name if left out
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Add the steps of a plan file to an execution
    Add {
        /// The execution
        id: String,
        /// The plan: JSON, TOML or YAML; `-` for stdin
        file: PathBuf,
    },
    /// Answer what an execution waits for
    Decide {
        /// The execution
        id: String,
        /// Which hold, if there are several
        #[arg(long, value_name = "N")]
        hold: Option<u32>,
        /// `approve`, `reject`, or words for the record
        answer: String,
    },
    /// Pause everything and stop all agents now; everything can be resumed
    Stop,
    /// Serve tools to a coding agent that coordinates, over MCP at standard input and output
    ///
    /// Works beside whoever drives the project, and drives it itself where nobody does and there is something to do.
    /// `enki mcp config` prints what to paste into a client.
    Mcp {
        /// What else to do.
        #[command(subcommand)]
        command: Option<McpCommand>,
    },
    /// Land what waits: after a dirty checkout, or what a failed or cancelled execution has merged
    Land {
        /// The execution
        id: String,
    },
    /// Free what is safe to free: what can be made again, and what has landed
    Gc(GcArgs),
    /// List pinned work, or restore one attempt's as a branch
    Recover {
        /// The commit, or the task whose last attempt is meant
        id: Option<String>,
        /// Name of the branch; `recovered/<step>-<commit>` if left out
        #[arg(long, value_name = "NAME", requires = "id", allow_hyphen_values = true)]
        branch: Option<String>,
    },
    /// What the project remembers: decisions, patterns, failures, preferences
    Memory {
        /// What to do with it.
        #[command(subcommand)]
        command: MemoryCommand,
    },
    /// Write down an idea, an issue or an observation, as a file of the project (docs/log)
    Note(NoteArgs),
    /// List notes, the newest first: what is open, unless a status or a kind is named
    Notes(NotesArgs),
    /// Make a task of a note: another file, with a prompt that you can edit. Twice gives the same task
    Promote(PromoteArgs),
    /// Run task notes: now, at a time, or after others
    Queue {
        /// What to do with it.
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// Find notes, outputs of steps, failures and what is remembered by their words, best first
    Search(SearchArgs),
    /// Tell what belongs together: the thought, its task, its entries, attempts, commits and results
    Trace {
        /// Any of them: a note, an entry, a task or a commit; or the beginning of one
        what: String,
    },
    /// Your projects, by name; without more, list them
    Projects {
        /// What to do with them.
        #[command(subcommand)]
        command: Option<ProjectsCommand>,
    },
    /// Drive your projects, all or those named, as long as it runs: what is due starts as it comes
    ///
    /// One that cannot be driven is named and tried again, with waits that grow. What comes into the list meanwhile is driven
    /// too, if none is named here; what leaves it is let go once nothing runs in it.
    Up {
        /// The projects
        #[arg(value_name = "PROJECT")]
        projects: Vec<String>,
    },
    /// Prepare this project: make .enki, overwrite nothing
    Init,
    /// Look at a plan file without running it
    Plan {
        /// What to do with it.
        #[command(subcommand)]
        command: PlanCommand,
    },
    /// The configuration
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show what agents wrote to each other (mail.enabled), or one thread of it with the texts
    Mail {
        /// A message of the thread, such as msg-7
        thread: Option<String>,
    },
    /// List the roles a step can have, or tell about one
    Roles {
        /// The role
        name: Option<String>,
    },
    /// Print a script that completes commands in your shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page of a command, or of enki
    Man {
        /// The command, such as `plan check`
        command: Vec<String>,
    },
    /// Print help on a command, or on `exit-codes`
    Help {
        /// The command, such as `plan check`, or `exit-codes`
        topic: Vec<String>,
    },
}

/// Commands on chains of outside coordinators.
#[derive(Debug, Subcommand)]
pub(crate) enum ChainCommand {
    /// Take in what a coordinator says, one line each (`start`, `ended`, `taken`, `cancel`), and print what it has to do,
    /// one `<gv>` line each. What was not answered is printed again at the next start
    Drive {
        /// Over standard input and output
        #[arg(long, required = true)]
        stdio: bool,
        /// The coordinator; each name has chains of its own
        #[arg(long = "as", value_name = "NAME", default_value = "coordinator")]
        name: String,
    },
}

/// What to run.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// The plan: JSON, TOML or YAML; `-` for stdin
    #[arg(required_unless_present = "task", conflicts_with = "task")]
    pub(crate) plan: Option<PathBuf>,
    /// Run one task of that title instead of a plan
    #[arg(long, value_name = "TITLE")]
    pub(crate) task: Option<String>,
    /// What the task is about
    #[arg(long, short, value_name = "TEXT", requires = "task")]
    pub(crate) description: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What differs from the configuration.
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// What to tell the coordinator.
#[derive(Args, Clone, Debug)]
pub(crate) struct AskArgs {
    /// What you want, in your own words; `-` for stdin
    pub(crate) text: Option<String>,
    /// Approve the plans that it makes
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
}

/// Which conversation, and with what it is worked on.
#[derive(Args, Clone, Debug)]
pub(crate) struct TalkArgs {
    /// Begin another conversation
    #[arg(long)]
    pub(crate) new: bool,
    /// Agent: `claude`, or a program with its arguments
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Command that must pass on the merged tree
    #[arg(long, value_name = "CMD")]
    check: Option<String>,
    /// Agents at once, 1 to 1000
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    jobs: Option<String>,
}

impl TalkArgs {
    pub(crate) fn overrides(self) -> Overrides {
        Overrides { agent: self.agent, check: self.check, jobs: self.jobs, ..Overrides::default() }
    }
}

/// Flags that override the configuration or the plan for one call.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// Agent: `claude`, or a program with its arguments
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Branch to land on; `origin:main` pushes to that branch of the remote
    #[arg(long, value_name = "BRANCH", allow_hyphen_values = true)]
    pub(crate) target: Option<String>,
    /// When merged work lands
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) land: Option<LandWhen>,
    /// Command that must pass on the merged tree
    #[arg(long, value_name = "CMD")]
    pub(crate) check: Option<String>,
    /// Agents at once, 1 to 1000
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) jobs: Option<String>,
    /// Hold when it has cost that much
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub(crate) budget_usd: Option<String>,
    /// Hold when it has used so many tokens
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) budget_tokens: Option<String>,
}

/// When merged work lands on the target.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum LandWhen {
    /// After each step
    Each,
    /// All together when all steps are done
    End,
}

/// Commands on plan files.
#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Show problems and advice, each with line and column, and what the plan amounts to: its kind of work, and the
    /// waves of steps that could run side by side. With -v also a role and skills for steps that leave them open
    Check {
        /// The plan: JSON, TOML or YAML; `-` for stdin
        file: PathBuf,
        /// Fail on advice too
        #[arg(long)]
        strict: bool,
    },
    /// Draw the plan
    Graph {
        /// The plan: JSON, TOML or YAML; `-` for stdin
        file: PathBuf,
        /// How to draw it.
        #[command(flatten)]
        picture: Picture,
    },
    /// Print what the agent of a step would be told
    Prompt {
        /// The plan: JSON, TOML or YAML; `-` for stdin
        file: PathBuf,
        /// The step
        step: String,
        /// Which of its attempts
        #[arg(long, value_enum, value_name = "WHAT", default_value = "work")]
        purpose: PurposeWord,
    },
    /// Print the JSON Schema of plan files
    Schema,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum PurposeWord {
    /// To do the step
    Work,
    /// To judge what was done
    Review,
    /// To repair what a review found
    Fix,
    /// To bring it together with a change that landed first
    Resolve,
}

impl From<PurposeWord> for Purpose {
    fn from(word: PurposeWord) -> Self {
        match word {
            PurposeWord::Work => Self::Work,
            PurposeWord::Review => Self::Review,
            PurposeWord::Fix => Self::Fix,
            PurposeWord::Resolve => Self::Resolve,
        }
    }
}

/// How to draw a graph.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Picture {
    /// As a Graphviz graph
    #[arg(long, conflicts_with = "svg")]
    pub(crate) dot: bool,
    /// As an SVG picture
    #[arg(long)]
    pub(crate) svg: bool,
    /// As text in ASCII only
    #[arg(long, conflicts_with_all = ["dot", "svg"])]
    pub(crate) ascii: bool,
}

/// Commands about the MCP server.
#[derive(Debug, Subcommand)]
pub(crate) enum McpCommand {
    /// Print what to paste into a client, so that it starts this program as its server for this project
    Config {
        /// Which client
        #[arg(long, value_enum, value_name = "NAME", default_value = "claude-code")]
        client: McpClient,
    },
}

/// A client that can start an MCP server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum McpClient {
    /// Claude Code
    ClaudeCode,
    /// Claude Desktop
    ClaudeDesktop,
    /// Cursor
    Cursor,
    /// Visual Studio Code
    Vscode,
    /// Windsurf
    Windsurf,
    /// Zed
    Zed,
    /// Codex
    Codex,
    /// Gemini CLI
    Gemini,
    /// Any other, in the form that most take
    Json,
}

/// Commands on the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with its value
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
}
