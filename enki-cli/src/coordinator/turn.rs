//! One turn of a coordinator: one run of its agent, with tools of Enki's as long as it lasts.

use super::book::{Book, Line};
use super::helm::Helm;
use super::works::{What, Works};
use crate::commands::Context;
use crate::commands::mcp::attempts::tool_servers;
use crate::config::Config;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::money;
use crate::session::logs_dir;
use crate::wire::Coordinator;
use enki_core::agent::{AgentEnd, AgentEvent, AgentExit, AgentSession, AgentSpec, Usage};
use enki_core::budget::{Budget, Unit};
use enki_core::id::{AttemptNo, EffectId, ExecutionId};
use enki_core::prompt::Coordinate;
use enki_core::tier::Purpose;
use enki_core::wake::Happening;
use enki_vcs_git::GitProject;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A turn whose agent lives.
pub(crate) struct Turn {
    number: u32,
    session: Box<dyn AgentSession>,
    _seat: super::helm::Seat,
    servers: PathBuf,
    /// What may still be used, and what earlier turns used.
    left: Budget,
    spoke: bool,
    over: bool,
}

/// What is to be shown of a turn.
#[derive(Debug)]
pub(crate) enum Shown {
    /// It does that now.
    Activity(String),
    /// It is saying that: a piece, and the whole follows.
    Partial(String),
    /// It used that up to now.
    Uses(Usage),
    /// It says that.
    Said(String),
    /// It is over.
    Ended(Box<AgentEnd>),
}

/// What a turn is about.
pub(crate) struct About<'a> {
    pub(crate) person: Option<&'a str>,
    pub(crate) happened: &'a [Happening<What>],
}

impl Turn {
    /// Writes the turn down, and starts its agent.
    pub(crate) async fn begin(
        cx: &Context,
        (git, config, coordinator): (&GitProject, &Config, &Coordinator),
        (book, works, helm): (&mut Book, &Works, &Helm),
        about: About<'_>,
    ) -> Result<Self, CliError> {
        let left = left(config, book.used())?;
        let logs = logs_dir(&git.enki_dir());
        let told: Vec<(String, String)> = about.happened.iter().filter_map(|one| works.tell(one, &logs)).collect();
        let (number, lines) = (book.next(), works.lines());
        let turn = Coordinate { person: about.person, cut: book.is_cut(), executions: &lines, happened: &told };
        let mut prompt = turn.render();
        let program = cx.host.supervisor.clone().ok_or_else(|| {
            CliError::environment("this program does not know where it is, so the coordinator could not call it")
                .hint("start it by its absolute path")
        })?;
        let conversation = u128::from_str_radix(book.id(), 16).map_or(ExecutionId::new(0), ExecutionId::new);
        let id = EffectId::of("coordinator", &[book.id().as_bytes(), &number.to_be_bytes()]);
        let step = "coordinator".parse().expect("it is a name of a step");
        let mut spec = AgentSpec::new(id, conversation, step, AttemptNo(number), Purpose::Work);
        let role = &coordinator.role;
        role.name.clone_into(&mut spec.role);
        if coordinator.takes_roles {
            spec.system_prompt.clone_from(&role.system_prompt);
        } else {
            prompt = format!("{}\n\n{prompt}", role.system_prompt.trim());
        }
        // Commands that only look are known to the client by itself; a rule would let their options write.
        spec.tools = if role.tools.is_empty() { vec!["Read".to_owned()] } else { role.tools.clone() };
        spec.can_edit = false;
        spec.tier = role.tier.unwrap_or_default();
        (spec.prompt, spec.resume, spec.budget) = (prompt, book.session(), left);
        git.root().clone_into(&mut spec.workspace);
        spec.log = logs.join("coordinator").join(book.id()).join(format!("{number}.log"));
        spec.timeout = Duration::from_secs(config.int("workers.timeout"));
        spec.idle_timeout = Duration::from_secs(config.int("workers.stall"));
        let seat = helm.seat(book.id()).await?;
        let servers = book.folder().join("tools.json");
        let cannot = |error: std::io::Error| {
            CliError::environment(format!("cannot write {}: {error}", servers.display()))
                .hint("check the folder's permissions and its free space")
        };
        match fs::remove_file(&servers) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
            _ => {}
        }
        tool_servers(&servers, &program, git.root(), seat.token()).map_err(cannot)?;
        spec.tool_servers = Some(servers.clone());
        let (at, told) = (cx.host.now(), works.versions().clone());
        // Before its agent starts: after a crash the turn is known to have begun, and what it was told is told again.
        book.add(&Line::Turn { at, turn: number, by_person: about.person.is_some(), told })?;
        let session = coordinator.runner.start(spec).await.map_err(|error| {
            CliError::environment(error.to_string()).hint("`enki config show` tells which agent is in use")
        })?;
        Ok(Self { number, session, _seat: seat, servers, left, spoke: false, over: false })
    }

    /// Its number in the conversation.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// The next thing to show. May be dropped and asked again.
    pub(crate) async fn next(&mut self) -> Shown {
        loop {
            match self.session.next().await {
                AgentEvent::Activity(text) => return Shown::Activity(text),
                AgentEvent::Partial(piece) => return Shown::Partial(piece),
                AgentEvent::Text(text) if !text.trim().is_empty() => {
                    self.spoke = true;
                    return Shown::Said(text);
                }
                AgentEvent::Used(usage) if is_used_up(self.left, usage) => {
                    self.over = true;
                    self.session.stop(GRACE).await;
                }
                AgentEvent::Used(usage) => return Shown::Uses(usage),
                AgentEvent::Ended(mut end) => {
                    drop(fs::remove_file(&self.servers));
                    if self.over && end.exit != AgentExit::Success {
                        end.exit = AgentExit::OverBudget;
                    }
                    return Shown::Ended(Box::new(end));
                }
                _ => {}
            }
        }
    }

    /// Whether anything that it said was shown.
    pub(crate) const fn spoke(&self) -> bool {
        self.spoke
    }

    /// Ends it early.
    pub(crate) async fn stop(&mut self) {
        self.session.stop(GRACE).await;
    }
}

/// Whether nothing of a limit is left.
fn is_used_up(limit: Budget, used: Usage) -> bool {
    Unit::ALL.into_iter().any(|unit| limit.limit(unit).is_some_and(|most| used.of(unit) >= most))
}

/// What a conversation may use.
pub(super) fn limit(config: &Config) -> Budget {
    crate::budget::limits(crate::budget::configured(config, "budget.coordinator"))
}

/// What a conversation may still use.
fn left(config: &Config, used: Usage) -> Result<Budget, CliError> {
    let limit = limit(config);
    if is_used_up(limit, used) {
        let what = format!("${:.2} and {} tokens", money(used.cost_micro_usd), used.of(Unit::Tokens));
        return Err(CliError::new(Exit::Failed, format!("this conversation used its budget: {what}"))
            .hint("begin another one with `enki ask --new`, or raise budget.coordinator.cost_usd or .tokens"));
    }
    Ok(Budget {
        tokens: limit.tokens.map(|most| most - used.of(Unit::Tokens)),
        cost_micro_usd: limit.cost_micro_usd.map(|most| most - used.cost_micro_usd),
    })
}

/// How long a stopped agent has before it is killed.
const GRACE: Duration = Duration::from_secs(5);
