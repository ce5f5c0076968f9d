//! `enki chat`: the conversation with the coordinator on a terminal, with its plans beside it.
//!
//! [`model`] is what it knows, and what keys and happenings make of it; [`view`] and [`panel`] draw that. Both are pure.
//! [`terminal`] alone knows the terminal. What the conversation itself does is in [`crate::coordinator`].

mod commands;
mod editor;
mod model;
mod panel;
mod plans;
mod questions;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod view;

use crate::args::TalkArgs;
use crate::commands::Context;
use crate::coordinator::{Begin, Conversation, Which};
use crate::error::CliError;
use crate::exit::Exit;
use model::Model;
use terminal::{Screen, columns_and_rows};
use view::Look;

/// Talks until the person leaves.
pub(crate) async fn run(cx: &mut Context, args: TalkArgs) -> Result<Exit, CliError> {
    let size = terminal_of(cx)?;
    let which = if args.new { Which::New } else { Which::Current };
    let mut talk = Conversation::open(cx, which, &args.overrides(), Begin::Open).await?;
    let mut model = Model::new(&talk.lines()?, talk.used(), talk.limit(), size);
    model.person = cx.person();
    let look = Look { color: cx.out.color_out, ascii: cx.is_ascii() };
    let mut screen = Screen::take(model, look)?;
    let went = Box::pin(talk.run(cx, &mut screen)).await;
    // What follows is for the terminal as it was.
    drop(screen);
    went?;
    talk.close(cx).await
}

/// The size of the terminal, if there is one that can be drawn on.
fn terminal_of(cx: &Context) -> Result<(u16, u16), CliError> {
    let ask = "say what you want with: enki ask \"...\"";
    if cx.out.json {
        return Err(CliError::usage("a chat is for people, and --json for programs").hint(ask));
    }
    if !(cx.out.terminal.stdin && cx.out.terminal.stdout) {
        return Err(CliError::usage("a chat needs a terminal").hint(ask));
    }
    if cx.host.var("TERM").is_none_or(|term| term == "dumb") {
        return Err(CliError::usage("this terminal cannot be drawn on (TERM)").hint(ask));
    }
    if cx.global.verbose > 0 && cx.out.terminal.stderr {
        return Err(CliError::usage("-v would write over the chat").hint("send that elsewhere: enki chat -v 2>FILE"));
    }
    columns_and_rows()
}
