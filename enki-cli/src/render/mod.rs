//! From state and events to text.

mod chains;
mod event;
pub(crate) mod keep;
mod live;
mod speech;
mod status;
mod waves;

pub(crate) use chains::{joined, open_chains};
pub(crate) use event::{line, to_json};
pub(crate) use live::Live;
pub(crate) use speech::Speech;
pub(crate) use status::{execution, list, step};
pub(crate) use waves::waves;

use crate::source::visible;
use enki_core::time::Timestamp;
use enki_mcp::Trace;
use std::time::Duration;

/// A time in UTC, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    let shown = jiff::Timestamp::from_millisecond(at.0).map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    shown.unwrap_or_else(|_| at.to_string())
}

/// The time of day in UTC.
pub(crate) fn clock(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), |at| at.strftime("%H:%M:%S").to_string())
}

/// A time span, in the two largest units that matter.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Millionths of a dollar as dollars.
#[expect(clippy::cast_precision_loss, reason = "no sum of money here needs 53 bits")]
pub(crate) fn money(micro: u64) -> f64 {
    micro as f64 / 1e6
}

/// A commit's first digits.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Calls of agents that were refused.
pub(crate) fn refused(traces: &[Trace], paint: Paint) -> String {
    let line = |trace: &Trace| {
        let attempt = trace.attempt.map_or_else(String::new, |attempt| format!(" (attempt {attempt})"));
        let (at, task) = (time(trace.at), trace.session.as_deref().unwrap_or_default());
        let (tool, message) = (visible(&trace.tool), visible(&trace.message));
        format!("  {} {task} {tool}: {} {message}{attempt}\n", paint.dim(&at), paint.bad(&trace.code))
    };
    match traces {
        [] => String::new(),
        traces => format!("refused calls\n{}", traces.iter().map(line).collect::<String>()),
    }
}

/// Colours of words on a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }
    pub(crate) fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }
    pub(crate) fn wait(self, text: &str) -> String {
        self.with("1;33", text)
    }
    pub(crate) fn busy(self, text: &str) -> String {
        self.with("36", text)
    }
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
    /// A status word in its colour.
    pub(crate) fn status(self, word: &str) -> String {
        match word {
            "done" => self.good(word),
            "failed" => self.bad(word),
            "held" | "paused" | "blocked" => self.wait(word),
            "running" | "merging" => self.busy(word),
            _ => self.dim(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_their_two_largest_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1m01s"), (3661, "1h01m")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
