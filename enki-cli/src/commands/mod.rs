//! One module for each command.

mod ask;
mod audit;
mod chain;
mod config;
mod demo;
mod help;
mod init;
pub(crate) mod keep;
mod land;
mod mail;
pub(crate) mod mcp;
pub(crate) mod memory;
mod notes;
mod plan;
mod projects;
pub(crate) mod queue;
mod roles;
pub(crate) mod run;
pub(crate) mod search;
pub(crate) mod see;
pub(crate) mod steer;
mod up;

use crate::args::{Cli, Command, Global};
use crate::budget;
use crate::chat;
use crate::config::Config;
use crate::error::CliError;
use crate::exit::Exit;
use crate::graph::{self, Graph, TextStyle};
use crate::host::Host;
use crate::output::Out;
use crate::plan_file::PlanFile;
use crate::project::Project;
use crate::registry::Registry;
use crate::source::MAX_BYTES;
use crate::steer::Action;
use crate::wire::Backends;
use enki_core::execution::{Answer, RetryMode};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a command works with.
pub(crate) struct Context {
    pub(crate) host: Host,
    pub(crate) out: Out,
    pub(crate) global: Global,
    pub(crate) backends: Backends,
}

impl Context {
    /// The folder the command starts from.
    pub(crate) fn start_dir(&self) -> Result<PathBuf, CliError> {
        match &self.global.named {
            Some(name) => Ok(Registry::load(&self.host)?.root(name)?.to_owned()),
            None => self.host.start_dir(self.global.dir.as_deref()),
        }
    }

    /// Who calls, as far as that is known.
    pub(crate) fn person(&self) -> String {
        let user = ["USER", "LOGNAME"].iter().find_map(|name| self.host.var(name));
        user.unwrap_or("a person").to_owned()
    }

    /// Whether only ASCII characters can be shown.
    pub(crate) fn is_ascii(&self) -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| self.host.var(name));
        locale.is_some_and(|locale| locale == "C" || locale == "POSIX")
    }

    /// The configuration, with its warnings said.
    pub(crate) fn config(&mut self, project: Option<&Project>) -> Result<Config, CliError> {
        let config = Config::load(&self.host, project)?;
        for warning in &config.warnings {
            let text = warning.render(self.out.color);
            self.out.say(&format!("{text}\n"));
        }
        Ok(config)
    }

    /// Reads a plan file, or stdin for `-`.
    pub(crate) fn plan_file(&mut self, path: &Path) -> Result<PlanFile, CliError> {
        let limit = MAX_BYTES as u64 + 1;
        let mut bytes = Vec::new();
        let name = if path == Path::new("-") {
            let read = self.host.stdin.as_mut().take(limit).read_to_end(&mut bytes);
            read.map_err(|error| CliError::environment(format!("cannot read the plan from standard input: {error}")))?;
            "<stdin>".to_owned()
        } else {
            let full = self.start_dir()?.join(path);
            let cannot = |error: &std::io::Error| {
                let message = format!("cannot read plan {}: {error}", path.display());
                if error.kind() == std::io::ErrorKind::NotFound || full.is_dir() {
                    CliError::usage(message).hint("name a JSON, TOML or YAML file, or - for standard input")
                } else {
                    CliError::environment(message).hint("check the file's permissions")
                }
            };
            let file = std::fs::File::open(&full).map_err(|error| cannot(&error))?;
            file.take(limit).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
            path.display().to_string()
        };
        PlanFile::parse(&name, bytes)
            .map_err(|problems| CliError::problems(problems, "see `enki plan schema` for the format"))
    }

    /// Prints a graph the way the flags say.
    pub(crate) fn draw(&mut self, graph: &Graph, picture: crate::args::Picture) -> Result<(), CliError> {
        let ascii = picture.ascii || self.is_ascii();
        let width = if self.out.terminal.stdout { self.host.width() } else { 0 };
        let text = if picture.dot {
            graph::dot(graph)
        } else if picture.svg {
            graph::svg(graph)
        } else {
            graph::text(graph, TextStyle { ascii, color: self.out.color_out, width })
        };
        self.out.write(&text)
    }
}

/// Runs a command.
pub(crate) fn run(cli: Cli, cx: &mut Context) -> Result<Exit, CliError> {
    match cli.command {
        Command::Init => init::run(cx),
        Command::Plan { command } => plan::run(cx, command),
        Command::Roles { name } => roles::run(cx, name.as_deref()),
        Command::Memory { command } => memory::run(cx, command),
        Command::Projects { command } => projects::run(cx, command),
        Command::Notes(args) => notes::list(cx, &args),
        Command::Completions { shell } => help::completions(cx, shell),
        Command::Man { command } => help::man(cx, &command),
        Command::Help { topic } => help::help(cx, &topic),
        command => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.map_err(|error| {
                CliError::environment(format!("cannot start threads: {error}"))
                    .hint("check the limits of this user (ulimit -a)")
            })?;
            let result = runtime.block_on(Box::pin(driving(command, cx)));
            // A question at the terminal may still be read; nothing that matters runs any more.
            runtime.shutdown_timeout(std::time::Duration::from_millis(200));
            result
        }
    }
}

/// Commands that talk to a store or an orchestrator.
async fn driving(command: Command, cx: &mut Context) -> Result<Exit, CliError> {
    match command {
        Command::Config { command } => config::run(cx, &command).await,
        Command::Run(args) => run::run(cx, args).await,
        Command::Ask(args) => ask::run(cx, args).await,
        Command::Chat(args) => chat::run(cx, args).await,
        Command::Resume { id, overrides } => run::resume(cx, id, &overrides).await,
        Command::Demo { dir } => demo::run(cx, dir.as_deref()).await,
        Command::Status { id, chains: true } => chain::list(cx, id.as_deref()).await,
        Command::Status { id, chains: false } => see::status(cx, id.as_deref()).await,
        Command::Show { id } => see::show(cx, &id).await,
        Command::Log { id, follow } => see::log(cx, &id, follow).await,
        Command::Validate { id, transcript } => audit::validate(cx, id.as_deref(), transcript.as_deref()).await,
        Command::Directives { id, follow, name } => audit::directives(cx, id.as_deref(), follow, name.as_deref()).await,
        Command::Chain { command } => chain::run(cx, command).await,
        Command::Graph { id, picture } => see::graph(cx, id.as_deref(), picture).await,
        Command::Pause { id } => steer::run(cx, Action::Pause { id: Some(id) }).await,
        Command::Cancel { id } => steer::run(cx, Action::Cancel { id }).await,
        Command::Retry { id, fresh, note, more } => {
            let mode = fresh.then_some(RetryMode::Fresh);
            let (budget, run_budget) = more.read()?;
            steer::run(cx, Action::Retry { id, mode, budget, run_budget, note }).await
        }
        Command::Accept { id, why, by } => {
            let by = by.unwrap_or_else(|| cx.person());
            steer::run(cx, Action::Accept { id, by, why }).await
        }
        Command::Add { id, file } => {
            let file = cx.plan_file(&file)?;
            steer::only_steps(&file.spec)?;
            let mut steps = file.spec.steps.clone();
            let project = Project::require(&cx.start_dir()?)?;
            let config = cx.config(Some(&project))?;
            budget::fill_in_steps(&mut steps, &config);
            let done = steer::run(cx, Action::Add { id, steps }).await;
            done.map_err(|error| if error.faults.is_empty() { error } else { placed(&file, &error) })
        }
        Command::Decide { id, hold, answer } => {
            let answer = match answer.as_str() {
                "approve" => Answer::Approve,
                "reject" => Answer::Reject,
                _ => Answer::Text(answer),
            };
            steer::run(cx, Action::Decide { id, hold, answer }).await
        }
        Command::Stop => steer::run(cx, Action::Stop).await,
        Command::Mcp { command } => Box::pin(mcp::run(cx, command)).await,
        Command::Mail { thread } => mail::run(cx, thread.as_deref()).await,
        Command::Note(args) => notes::note(cx, args).await,
        Command::Promote(args) => notes::promote(cx, args).await,
        Command::Search(args) => search::run(cx, &args).await,
        Command::Trace { what } => queue::trace(cx, &what).await,
        Command::Up { projects } => Box::pin(up::run(cx, &projects)).await,
        Command::Queue { command } => Box::pin(queue::run(cx, command)).await,
        Command::Land { id } => land::run(cx, &id).await,
        Command::Gc(args) => keep::gc(cx, &args).await,
        Command::Recover { id, branch } => keep::recover(cx, id.as_deref(), branch.as_deref()).await,
        Command::Init
        | Command::Plan { .. }
        | Command::Roles { .. }
        | Command::Memory { .. }
        | Command::Notes(_)
        | Command::Projects { .. }
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Help { .. } => Err(CliError::new(Exit::Internal, "this command needs no orchestrator")),
    }
}

/// Problems that whoever checked the steps found, drawn in the file that they come from.
fn placed(file: &PlanFile, error: &CliError) -> CliError {
    CliError::problems(file.locate_faults(&error.faults), error.hint.as_deref().unwrap_or("fix the steps"))
}
