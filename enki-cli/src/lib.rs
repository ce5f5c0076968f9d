//! The enki command line, and the library behind it.
//!
//! [`run`] is the whole program as a function: it is given a [`Host`] (arguments, environment, streams, clock) and
//! [`Backends`], and returns how the process ends. The binary `enki` calls it with those of its process; a program of
//! your own can call it with agents of your own.

mod args;
mod budget;
mod chains;
mod chat;
mod clients;
mod commands;
pub mod config;
mod convert;
mod coordinator;
mod drive;
mod enrich;
pub mod error;
pub mod exit;
pub mod graph;
pub mod host;
mod lock;
mod look;
mod moved;
mod notes;
mod offline;
pub mod output;
pub mod plan_file;
pub mod project;
mod queue;
mod registry;
mod render;
mod rpc;
mod sandbox;
mod session;
pub mod source;
mod steer;
mod view;
mod wire;
mod words;

pub use exit::Exit;
pub use host::{Host, Terminals};
pub use wire::Backends;

use args::Cli;
use clap::Parser as _;
use commands::Context;
use error::CliError;
use output::{Color, Out};
use std::io::Write;

/// Runs one call of the command line.
#[must_use]
pub fn run(mut host: Host, backends: Backends) -> Exit {
    let take = |stream: &mut Box<dyn Write + Send>| std::mem::replace(stream, Box::new(std::io::sink()));
    let (stdout, stderr) = (take(&mut host.stdout), take(&mut host.stderr));
    let mut out = Out::new(stdout, stderr, host.terminal);
    let cli = match Cli::try_parse_from(&host.args) {
        Ok(cli) => cli,
        Err(error) => {
            return misused(&error, out.with_color(Color::Auto, |name| host.var(name).map(str::to_owned)), &host);
        }
    };
    out = out.with_color(cli.global.color, |name| host.var(name).map(str::to_owned));
    out.json = cli.global.json;
    out.quiet = cli.global.quiet;
    let global = cli.global.clone();
    trace(global.verbose, out.color);
    let mut cx = Context { host, out, global, backends };
    match commands::run(cli, &mut cx) {
        Ok(exit) => exit,
        Err(error) => {
            cx.out.error(&error);
            error.exit
        }
    }
}

/// With `-v`: what happens inside, on stderr. A host that has a subscriber of its own keeps it.
fn trace(verbose: u8, color: bool) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let made = tracing_subscriber::fmt().with_max_level(level).with_ansi(color).with_writer(std::io::stderr);
    drop(made.try_init());
}

/// Help, version, or arguments that fit no command (bad input 1).
fn misused(error: &clap::Error, mut out: Out, host: &Host) -> Exit {
    if !error.use_stderr() {
        let printed = out.write(&error.render().ansi().to_string());
        return printed.map_or_else(|error| error.exit, |()| Exit::Ok);
    }
    out.json = host.args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    if out.json {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let hint = rest.lines().map(str::trim).find_map(|line| line.strip_prefix("tip: ")).unwrap_or("see `enki help`");
        out.error(&CliError::usage(message).hint(hint));
    } else {
        out.say(error.render().ansi().to_string().trim_end());
    }
    Exit::Usage
}
