//! `enki help`, `completions`, `man`.

use super::Context;
use crate::args::Cli;
use crate::error::CliError;
use crate::exit::Exit;
use clap::CommandFactory as _;
use clap_complete::Shell;
use enki_core::plan::nearest;

pub(super) fn help(cx: &mut Context, topic: &[String]) -> Result<Exit, CliError> {
    if topic == ["exit-codes"] {
        if cx.out.json {
            let one =
                |exit: Exit| serde_json::json!({"code": exit.code(), "name": exit.name(), "when": exit.meaning()});
            let codes: Vec<_> = Exit::ALL.into_iter().map(one).collect();
            cx.out.object(&serde_json::json!({"schema": "enki.exit-codes.v1", "codes": codes}))?;
        } else {
            cx.out.write(&Exit::table())?;
        }
        return Ok(Exit::Ok);
    }
    let text = command(topic)?.render_long_help();
    cx.out.write(&text.ansi().to_string())?;
    if topic.is_empty() {
        cx.out.line("\nMore: `enki help exit-codes`, `enki help COMMAND`, `enki man`")?;
    }
    Ok(Exit::Ok)
}

pub(super) fn completions(cx: &mut Context, shell: Shell) -> Result<Exit, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "enki", &mut text);
    cx.out.write(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Ok)
}

pub(super) fn man(cx: &mut Context, topic: &[String]) -> Result<Exit, CliError> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command(topic)?)
        .render(&mut text)
        .map_err(|error| CliError::new(Exit::Internal, format!("cannot render the manual page: {error}")))?;
    cx.out.write(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Ok)
}

/// The command of that name.
fn command(topic: &[String]) -> Result<clap::Command, CliError> {
    let mut command = Cli::command();
    command.build();
    for name in topic {
        let Some(found) = command.find_subcommand(name) else {
            let names = command.get_subcommands().map(clap::Command::get_name).chain(["exit-codes"]);
            let hint = match nearest(name, names) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "`enki help` lists the commands".to_owned(),
            };
            return Err(CliError::usage(format!("no help on {name:?}")).hint(hint));
        };
        command = found.clone();
    }
    Ok(command)
}
