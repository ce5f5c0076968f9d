//! What a command prints: results on stdout, everything else on stderr.

use crate::error::CliError;
use crate::host::Terminals;
use anstream::{AutoStream, ColorChoice};
use serde_json::Value;
use std::io::{self, Write};

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The two streams, and how to write on them.
pub struct Out {
    stdout: AutoStream<Box<dyn Write + Send>>,
    stderr: AutoStream<Box<dyn Write + Send>>,
    /// Colour on stderr.
    pub color: bool,
    /// Colour on stdout.
    pub color_out: bool,
    /// One JSON object per result.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
    /// Which streams are terminals.
    pub terminal: Terminals,
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").field("json", &self.json).field("quiet", &self.quiet).finish_non_exhaustive()
    }
}

impl Out {
    /// Writes on these streams.
    #[must_use]
    pub fn new(stdout: Box<dyn Write + Send>, stderr: Box<dyn Write + Send>, terminal: Terminals) -> Self {
        Self {
            stdout: AutoStream::new(stdout, ColorChoice::Never),
            stderr: AutoStream::new(stderr, ColorChoice::Never),
            color: false,
            color_out: false,
            json: false,
            quiet: false,
            terminal,
        }
    }

    /// Decides about colour. `var` gives environment variables.
    #[must_use]
    pub fn with_color(mut self, color: Color, var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).is_some_and(|value| !value.is_empty());
        let forced = var("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
        let dumb = var("TERM").is_some_and(|term| term == "dumb");
        let on = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if set("NO_COLOR") => false,
            Color::Auto => forced || (terminal && !dumb),
        };
        self.color_out = on(self.terminal.stdout);
        self.color = on(self.terminal.stderr);
        let choice = |on: bool| if on { ColorChoice::AlwaysAnsi } else { ColorChoice::Never };
        self.stdout = AutoStream::new(self.stdout.into_inner(), choice(self.color_out));
        self.stderr = AutoStream::new(self.stderr.into_inner(), choice(self.color));
        self
    }

    /// Takes standard output for something that speaks a protocol on it; nothing else is written there from now on.
    pub(crate) fn take_stdout(&mut self) -> Box<dyn Write + Send> {
        let sink: Box<dyn Write + Send> = Box::new(io::sink());
        std::mem::replace(&mut self.stdout, AutoStream::new(sink, ColorChoice::Never)).into_inner()
    }

    /// Writes part of the result as it is.
    ///
    /// # Errors
    ///
    /// [`CliError::pipe_closed`] if the reader went away.
    pub fn write(&mut self, text: &str) -> Result<(), CliError> {
        let written = self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::pipe_closed(),
            _ => CliError::environment(format!("cannot write to standard output: {error}")),
        })
    }

    /// Writes one line of the result.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.write(&format!("{text}\n"))
    }

    /// Writes one JSON object as one line of the result.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn object(&mut self, value: &Value) -> Result<(), CliError> {
        self.line(&value.to_string())
    }

    /// Writes one line of progress, unless it shall be quiet. A reader that went away is no error.
    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Writes one line to stderr, even if it shall be quiet. A reader that went away is no error.
    pub fn say(&mut self, text: &str) {
        let _ = self.stderr.write_all(format!("{text}\n").as_bytes()).and_then(|()| self.stderr.flush());
    }

    /// Says an error: an object with `--json`, else for people.
    pub fn error(&mut self, error: &CliError) {
        if error.exit == crate::exit::Exit::PipeClosed {
            return;
        }
        if self.json {
            let _ = self.object(&error.to_json());
        } else {
            let text = error.render(self.color);
            self.say(text.trim_end());
        }
    }
}
