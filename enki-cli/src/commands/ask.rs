//! `enki ask`: a conversation line by line. It ends when nothing more happens by itself.

use super::Context;
use crate::args::AskArgs;
use crate::coordinator::{Begin, Conversation, Front, Rest, Seen, Which, Wish};
use crate::drive::{self, Answers, Signals};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::{self, Live, Paint};
use crate::source::visible;
use crate::steer::Action;
use enki_core::budget::Budget;
use enki_core::execution::{Execution, HoldReason};
use serde_json::json;
use std::io::Read as _;

/// Lines to standard output and error, and questions to a terminal.
struct Lines {
    live: Live,
    signals: Signals,
    yes: bool,
    asked: u32,
    /// What the coordinator does: shown, unless what it tells of is said right after it.
    does: Option<String>,
}

pub(super) async fn run(cx: &mut Context, args: AskArgs) -> Result<Exit, CliError> {
    let text = words(cx, args.text.as_deref())?;
    let (yes, which) = (args.yes, if args.talk.new { Which::New } else { Which::Current });
    let overrides = args.talk.overrides();
    let mut talk = Conversation::open(cx, which, &overrides, text.map_or(Begin::GoOn, Begin::Words)).await?;
    let mut lines = Lines { live: Live::new(&cx.out), signals: Signals::new()?, yes, asked: 0, does: None };
    let went = Box::pin(talk.run(cx, &mut lines)).await;
    lines.live.finish();
    went?;
    talk.close(cx).await
}

/// What the person wants.
fn words(cx: &mut Context, text: Option<&str>) -> Result<Option<String>, CliError> {
    let mut read = String::new();
    let text = match text {
        Some("-") => {
            let limit = 256 * 1024;
            cx.host.stdin.as_mut().take(limit).read_to_string(&mut read).map_err(|error| {
                CliError::usage(format!("cannot read what you want from standard input: {error}")).hint("give UTF-8")
            })?;
            Some(read.as_str())
        }
        text => text,
    };
    match text.map(str::trim) {
        Some("") => Err(CliError::usage("you said nothing").hint("say what you want: enki ask \"...\"")),
        text => Ok(text.map(str::to_owned)),
    }
}

impl Front for Lines {
    fn show(&mut self, cx: &mut Context, seen: Seen<'_>) -> Result<(), CliError> {
        match seen {
            Seen::Event(state, one) => self.live.event(&mut cx.out, state, &one.event, one.at),
            Seen::State(state) => self.live.turn(state),
            Seen::Does(text) => {
                let Some(text) = self.does.replace(text.to_owned()) else { return Ok(()) };
                let text = Paint(cx.out.color).dim(&format!("coordinator: {}", visible(&text)));
                self.live.say(&mut cx.out, &text);
            }
            Seen::Says(turn, text) => {
                self.does = None;
                self.says(cx, turn, text);
            }
            Seen::Ends(_) => self.does = None,
            Seen::Note(text) => self.live.say(&mut cx.out, text),
            Seen::Refused(error) => return Err(error),
            // What was there before is no news; what failed is said at the end, and the rest has lines of its own.
            Seen::Before(..)
            | Seen::Found(_)
            | Seen::Step(..)
            | Seen::Waits(_)
            | Seen::Spoke(_)
            | Seen::Begins
            | Seen::Partial(_)
            | Seen::Uses(_)
            | Seen::Fails(_)
            | Seen::Granted(_)
            | Seen::New => {}
        }
        Ok(())
    }

    async fn wish(&mut self, _: &mut Context) -> Wish {
        Wish::Leave(Some(self.signals.next().await))
    }

    /// Asks the person what only they can answer, or what the coordinator left open.
    async fn rest(&mut self, cx: &mut Context, waits: &[Execution]) -> Rest {
        self.asked += 1;
        let Some(state) = waits.first().filter(|_| self.asked <= MOST_ANSWERS) else { return Rest::Over };
        let approval = state.holds().values().any(|reason| matches!(reason, HoldReason::Approval { .. }));
        self.live.finish();
        if approval {
            show_plan(cx, state);
        }
        let go_on = if approval && self.yes {
            cx.out.note("approved by --yes");
            true
        } else {
            tokio::select! {
                go_on = drive::answer(cx, state, Answers::Person) => go_on,
                signal = self.signals.next() => return Rest::Wish(Wish::Leave(Some(signal))),
            }
        };
        self.live = Live::new(&cx.out);
        let id = Some(state.id().hex());
        if go_on { Rest::Wish(Wish::Steer(Action::Resume { id, budget: Budget::default() })) } else { Rest::Over }
    }
}

impl Lines {
    fn says(&mut self, cx: &mut Context, turn: u32, text: &str) {
        // A reader that went away does not end what was begun.
        if cx.out.json {
            drop(cx.out.object(&json!({"schema": "enki.said.v1", "turn": turn, "text": text})));
            return;
        }
        self.live.finish();
        for line in text.trim().lines() {
            drop(cx.out.line(&visible(line)));
        }
        self.live = Live::new(&cx.out);
    }
}

/// What a plan would do.
fn show_plan(cx: &mut Context, state: &Execution) {
    cx.out.note(&format!("{} {:?} would do:", state.id(), visible(&state.plan().title)));
    render::waves(state.plan()).iter().for_each(|line| cx.out.note(&format!("  {line}")));
    let width = state.plan().steps().iter().map(|step| step.id.as_str().len()).max().unwrap_or(0);
    for step in state.plan().steps() {
        cx.out.note(&format!("  {:width$}  {}", step.id.as_str(), visible(&step.title)));
    }
}

/// Questions to a person in one call.
const MOST_ANSWERS: u32 = 1000;
