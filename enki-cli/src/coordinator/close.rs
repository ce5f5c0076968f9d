//! How a conversation ends in a process: what is told of it, and the exit code.

use super::conversation::{Conversation, Leaving};
use crate::commands::Context;
use crate::drive;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::{self, money};
use crate::view::exit_of;
use enki_core::agent::{AgentExit, Usage};
use enki_core::budget::Unit;
use enki_core::execution::Execution;
use enki_core::wake::Silent;
use serde_json::json;

impl Conversation {
    /// Gives the project back, and says how it ended.
    pub(crate) async fn close(self, cx: &mut Context) -> Result<Exit, CliError> {
        let interrupted = if let Leaving::For(exit) = self.leaving { Some(exit) } else { None };
        let silent = self.wake.silent();
        let all = self.works.ids();
        let states: Vec<Execution> = all.iter().filter_map(|id| self.works.state(*id)).cloned().collect();
        let shown = states.iter().filter(|state| self.moved.contains(&state.id()) || state.ended().is_none());
        let mut exits = Vec::new();
        self.helm.close();
        for state in shown {
            let exit = interrupted.unwrap_or_else(|| exit_of(state));
            drive::summary(cx, state, exit, &self.git).await?;
            exits.push(exit);
        }
        exits.extend(self.failed.as_ref().map(|error| error.exit));
        let first = ORDER.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Ok);
        let exit = interrupted.unwrap_or(first);
        if cx.out.json {
            let total = self.book.used();
            drop(cx.out.object(&json!({"schema": "enki.ask.v1", "conversation": self.book.id(), "turns": self.turns,
                "said": self.said, "executions": all.iter().map(|id| id.hex()).collect::<Vec<_>>(),
                "cost": cost(self.used), "conversation_cost": cost(total),
                "error": self.failed.as_ref().map(CliError::to_json),
                "exit": {"code": exit.code(), "name": exit.name()}})));
            return Ok(exit);
        }
        if self.used.cost_micro_usd > 0 || self.used.of(Unit::Tokens) > 0 {
            let (own, total) = (self.used, self.book.used());
            cx.out.note(&format!(
                "coordinator: ${:.2}, {} tokens; ${:.2} in this conversation",
                money(own.cost_micro_usd),
                own.of(Unit::Tokens),
                money(total.cost_micro_usd)
            ));
        }
        match silent {
            Some(Silent::OutOfTurns) => {
                let most = self.config.int("coordinator.turns");
                cx.out.note(&format!("the coordinator took {most} turns without a word of yours (coordinator.turns); enki ask \"...\" goes on"));
            }
            Some(Silent::NothingDone) => {
                cx.out.note("the coordinator leaves the rest to you; enki ask \"...\" goes on")
            }
            None => {}
        }
        if let Some(error) = self.failed {
            cx.out.error(&error);
        }
        Ok(exit)
    }
}

fn cost(usage: Usage) -> serde_json::Value {
    json!({"usd": money(usage.cost_micro_usd), "tokens": usage.of(Unit::Tokens)})
}

/// Why a turn did not end well.
pub(super) fn why(exit: &AgentExit) -> Option<CliError> {
    let go_on = "what it made goes on; `enki ask` goes on with the conversation";
    let (code, message) = match exit {
        AgentExit::Success => return None,
        AgentExit::Killed => (Exit::Environment, "it was stopped".to_owned()),
        AgentExit::NoResult => (Exit::Environment, "it ended without a result".to_owned()),
        AgentExit::Error { message, .. } | AgentExit::Refused { message } => (Exit::Environment, message.clone()),
        AgentExit::TimedOut => (Exit::Environment, "it ran longer than workers.timeout".to_owned()),
        AgentExit::Stuck => (Exit::Environment, "it gave no sign of life".to_owned()),
        AgentExit::OutputLimit => (Exit::Environment, "it put out too much".to_owned()),
        AgentExit::RateLimited { until } => {
            (Exit::Environment, format!("its service asks to wait until {}", render::time(*until)))
        }
        AgentExit::Unavailable { message } => {
            (Exit::Environment, format!("its service is out: {message}; say it again in a while"))
        }
        AgentExit::OverBudget => {
            return Some(
                CliError::new(Exit::Failed, "the coordinator's turn was stopped: its budget is used up")
                    .hint("begin another conversation with `enki ask --new`, or raise budget.coordinator"),
            );
        }
        _ => (Exit::Environment, "it ended in a way that this version does not know".to_owned()),
    };
    Some(CliError::new(code, format!("the coordinator's turn failed: {message}")).hint(go_on))
}

/// The first of these that applies is how it ended.
const ORDER: [Exit; 8] = [
    Exit::Store,
    Exit::Locked,
    Exit::WouldLoseWork,
    Exit::Environment,
    Exit::Failed,
    Exit::NeedsPerson,
    Exit::Usage,
    Exit::Internal,
];
