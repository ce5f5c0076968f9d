//! The grammar of the command line.

use crate::output::Color;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
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
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) dir: Option<PathBuf>,
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

/// Commands on plan files.
#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Show problems and advice, each with line and column
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
    /// Print the JSON Schema of plan files
    Schema,
}

/// How to draw a graph.
#[derive(Args, Clone, Copy, Debug)]
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
