//! From events to an end: what a run put out, what it cost, and how it is judged.
//!
//! The order of judgement, first match wins:
//!
//! 1. a result that is no error, with a process that ended well or was ended by the runner: success;
//! 2. the runner's own reason for ending the process: stopped, out of time, silent, too much output;
//! 3. a result that is an error: by stop reason, subtype, HTTP status and the client's word, in that order;
//! 4. no readable result: by exit status, and by standard error if the client never came up.
//!
//! Subtype and text never make a success: the client reports a refused request as `success` with `is_error`.

use crate::decode::{Event, Final, Said};
use enki_core::agent::{AgentEnd, AgentEvent, AgentExit, Usage};
use enki_core::time::Timestamp;
use enki_process::clean_line;
use std::time::Duration;

/// How the process of a run ended.
#[derive(Clone, Debug, Default)]
pub struct ProcessEnd {
    /// Why the runner ended it, if it did so before the result came.
    pub cut: Option<Cut>,
    /// How it went.
    pub status: Status,
    /// What it wrote to standard error, bounded.
    pub stderr: String,
}

/// Why the runner ended a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// Asked to.
    Stopped,
    /// The attempt's time was over.
    TimedOut,
    /// There was no sign of life for too long.
    Silent,
    /// It put out too much.
    TooMuch,
}

/// The end of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// It ended with that code.
    Code(i32),
    /// Somebody else ended it with that signal.
    Signal(i32),
    /// The runner ended it.
    Ours,
}

impl Default for Status {
    fn default() -> Self {
        Self::Code(0)
    }
}

/// Listens to the events of one run and judges its end.
#[derive(Debug)]
pub struct Judge {
    /// Paths below it are shown without it.
    workspace: String,
    /// The pause after a rate limit that names no time.
    pause: Duration,
    session: Option<String>,
    started: bool,
    tail: Tail,
    error: String,
    /// Tool calls not answered yet, but for those that only start a subagent.
    calls: usize,
    retry: Option<(Option<u64>, u64)>,
    resets_at: Option<u64>,
    /// What its messages used up to now. The result knows better, and what they cost.
    used: Usage,
    result: Outcome,
}

#[derive(Debug, Default)]
enum Outcome {
    #[default]
    None,
    /// Something that began as the result could not be read.
    Broken,
    Read(Box<Verdict>),
}

/// The result, owned.
#[derive(Debug)]
struct Verdict {
    is_error: bool,
    subtype: String,
    status: Option<u64>,
    text: Option<String>,
    structured: Option<enki_core::verdict::Verdict>,
    proposals: Vec<String>,
    stop_reason: String,
    terminal_reason: String,
    error: String,
    denied: Vec<String>,
    notice: Option<String>,
    usage: Usage,
}

impl Judge {
    /// A judge of a run in that workspace. `pause` is how long a rate limit lasts that names no time.
    #[must_use]
    pub fn new(workspace: &str, pause: Duration) -> Self {
        Self {
            workspace: workspace.trim_end_matches('/').to_owned(),
            pause,
            session: None,
            started: false,
            tail: Tail::default(),
            error: String::new(),
            calls: 0,
            retry: None,
            resets_at: None,
            used: Usage::default(),
            result: Outcome::None,
        }
    }

    /// Takes note of an event, and gives `show` what watchers should see of it.
    pub fn see(&mut self, event: &Event<'_>, show: &mut dyn FnMut(AgentEvent)) {
        match event {
            Event::Init { session, failed_servers, .. } => {
                self.started = true;
                self.session_is(session, show);
                for server in failed_servers {
                    show(AgentEvent::Activity(one_line(&format!("tool server {server} did not start"))));
                }
            }
            Event::Retry { attempt, of, delay_ms, status, error } => {
                self.retry = Some((*status, *delay_ms));
                let answer = status.map_or_else(|| "no answer".to_owned(), |s| format!("answer {s}"));
                show(AgentEvent::Activity(one_line(&format!(
                    "waiting for the service: {answer} ({error}), retry {attempt} of {of} in {delay_ms} ms"
                ))));
            }
            Event::Fallback { model } => {
                show(AgentEvent::Activity(one_line(&format!("goes on with model {model}"))));
            }
            Event::Limit { rejected, resets_at } => {
                self.resets_at = rejected.then_some(*resets_at).flatten();
                if *rejected {
                    show(AgentEvent::Activity("the account's rate limit is reached".to_owned()));
                }
            }
            Event::Piece { nested: true, .. } => {}
            Event::Piece { text, nested: false } => show(AgentEvent::Partial((*text).to_owned())),
            Event::Text(said) => self.said(said, show),
            Event::Tool { name, about, nested } => {
                self.spoke();
                if !matches!(*name, "Agent" | "Task") {
                    self.calls += 1;
                }
                let about = self.short(about);
                let by = if *nested { "subagent: " } else { "" };
                show(AgentEvent::Activity(one_line(&format!("{by}{name} {about}"))));
            }
            Event::Answered { nested, calls, .. } => {
                self.calls = self.calls.saturating_sub(*calls);
                if !nested {
                    self.tail.clear();
                }
            }
            Event::Used { input, output } => {
                self.used.input_tokens = self.used.input_tokens.saturating_add(*input);
                self.used.output_tokens = self.used.output_tokens.saturating_add(*output);
                show(AgentEvent::Used(self.used));
            }
            Event::Result(result) => self.result(result, show),
            Event::Broken { result: true } => {
                self.result = Outcome::Broken;
                show(AgentEvent::Activity("the final result could not be read".to_owned()));
            }
            Event::Quiet | Event::Unknown | Event::Broken { result: false } => {}
        }
    }

    /// Whether a readable result has come.
    #[must_use]
    pub const fn has_result(&self) -> bool {
        matches!(self.result, Outcome::Read(_))
    }

    /// Whether a tool is at work. Then the client may well be silent; otherwise it waits for the model, and hears from it.
    #[must_use]
    pub const fn awaits_tool(&self) -> bool {
        self.calls > 0
    }

    /// Whether the run failed at once because the session to resume does not exist (here, for this folder).
    #[must_use]
    pub fn session_is_missing(&self) -> bool {
        matches!(&self.result, Outcome::Read(r) if r.is_error && r.error.starts_with("No conversation found"))
    }

    /// Whether the client refused the name of the session because an earlier run has it, and did nothing else.
    #[must_use]
    pub fn session_is_taken(&self, stderr: &str) -> bool {
        !self.started && matches!(self.result, Outcome::None) && stderr.contains("is already in use")
    }

    /// Judges the run. `now` counts only for when a rate limit ends.
    #[must_use]
    pub fn end(self, process: &ProcessEnd, now: Timestamp) -> AgentEnd {
        let mut end = AgentEnd::new(self.exit(process, now));
        end.usage = self.used;
        if let Outcome::Read(result) = self.result {
            end.usage = result.usage.max(self.used);
            if end.exit == AgentExit::Success {
                end.text = self.tail.complete(result.text);
                // A failure names them in its message.
                end.notices.extend(result.notice);
                // An object of another schema says neither, and then the text may.
                let says = |verdict: &enki_core::verdict::Verdict| verdict.gate.is_some() || verdict.score.is_some();
                end.verdict = result.structured.filter(says).map(Box::new);
                end.proposals = result.proposals;
            }
        }
        end.session = self.session;
        end
    }

    fn exit(&self, process: &ProcessEnd, now: Timestamp) -> AgentExit {
        let ended_well = matches!(process.status, Status::Code(0) | Status::Ours);
        match (&self.result, process.cut) {
            (Outcome::Read(result), _) if result.is_ok() && ended_well => AgentExit::Success,
            (_, Some(Cut::Stopped)) => AgentExit::Killed,
            (_, Some(Cut::TimedOut)) => AgentExit::TimedOut,
            (_, Some(Cut::Silent)) => AgentExit::Stuck,
            (_, Some(Cut::TooMuch)) => AgentExit::OutputLimit,
            (Outcome::Read(result), None) if result.is_ok() => {
                failed(format!("the client reported success, but {}", how(process.status)), true)
            }
            (Outcome::Read(result), None) => self.failure(result, now),
            (Outcome::Broken, None) => AgentExit::NoResult,
            (Outcome::None, None) => self.without_result(process),
        }
    }

    fn failure(&self, result: &Verdict, now: Timestamp) -> AgentExit {
        let said = result.words();
        if result.stop_reason == "refusal" {
            return AgentExit::Refused { message: said };
        }
        let message = |what: &str| format!("{what}{}", result.denied());
        match result.subtype.as_str() {
            "error_max_turns" => {
                return failed(message(&format!("{said}; split the step, or raise the limit of turns")), false);
            }
            "error_max_budget_usd" => {
                return failed(message(&format!("{said}; split the step, or raise the budget of an attempt")), false);
            }
            _ => {}
        }
        match result.terminal_reason.as_str() {
            "aborted_tools" | "aborted_streaming" => return failed("somebody interrupted the client".to_owned(), true),
            "prompt_too_long" | "blocking_limit" | "image_error" => return failed(message(&said), false),
            _ => {}
        }
        // The client leaves the status out for some failures; then the last retry knows it.
        let status = result.status.or(self.retry.and_then(|(status, _)| status).filter(|_| !self.error.is_empty()));
        match (status, self.error.as_str()) {
            (Some(429), _) | (_, "rate_limit") => AgentExit::RateLimited { until: self.until(now) },
            (_, "billing_error") => failed(format!("{said}; the account needs credit"), false),
            (Some(401 | 403), _) | (_, "authentication_failed" | "oauth_org_not_allowed") => {
                failed(format!("claude is not logged in ({said}); {LOGIN}"), false)
            }
            (Some(408 | 500..), _) | (None, "overloaded" | "server_error") => {
                AgentExit::Unavailable { message: message(&said) }
            }
            (Some(409 | 425), _) => failed(message(&said), true),
            // It tried again, and nobody answered: the network, or the service.
            _ if status.is_none() && self.retry.is_some() => AgentExit::Unavailable { message: message(&said) },
            (Some(400..500), _) | (_, "invalid_request" | "model_not_found") => failed(message(&said), false),
            _ => failed(message(&said), true),
        }
    }

    fn without_result(&self, process: &ProcessEnd) -> AgentExit {
        let words = one_line(process.stderr.trim().lines().next().unwrap_or_default());
        let with = if words.is_empty() { String::new() } else { format!(": {words}") };
        match process.status {
            Status::Code(0) | Status::Ours => AgentExit::NoResult,
            // It never came up: wrong option, wrong user, wrong setting. The next try would end the same way.
            Status::Code(code) if !self.started && !words.is_empty() => {
                failed(format!("claude ended at once with code {code}{with}"), false)
            }
            Status::Code(_) | Status::Signal(_) => {
                failed(format!("claude ended without a result, {}{with}", how(process.status)), true)
            }
        }
    }

    /// When to try again: when the service said so, else after the longer of the client's last wait and the pause.
    fn until(&self, now: Timestamp) -> Timestamp {
        let told = self.resets_at.and_then(|s| i64::try_from(s).ok()?.checked_mul(1000)).map(Timestamp);
        // The longest limit is a week; anything beyond is not believed.
        if let Some(told) = told.filter(|t| *t > now && t.since(now) < Duration::from_secs(8 * 24 * 3600)) {
            return told;
        }
        let waited = Duration::from_millis(self.retry.map_or(0, |(_, delay)| delay).min(3_600_000));
        now.plus(self.pause.max(waited))
    }

    fn session_is(&mut self, session: &str, show: &mut dyn FnMut(AgentEvent)) {
        if !session.is_empty() && self.session.as_deref() != Some(session) {
            self.session = Some(session.to_owned());
            show(AgentEvent::Session(session.to_owned()));
        }
    }

    /// A path of the workspace without the workspace.
    fn short<'a>(&self, about: &'a str) -> &'a str {
        let inside = about.strip_prefix(self.workspace.as_str()).and_then(|rest| rest.strip_prefix('/'));
        inside.filter(|_| !self.workspace.is_empty()).unwrap_or(about)
    }

    /// The model answered: earlier failures are over.
    fn spoke(&mut self) {
        self.error.clear();
        self.retry = None;
    }

    fn said(&mut self, said: &Said<'_>, show: &mut dyn FnMut(AgentEvent)) {
        if said.nested {
            return;
        }
        if said.synthetic {
            said.error.clone_into(&mut self.error);
            show(AgentEvent::Activity(one_line(said.text)));
            return;
        }
        self.spoke();
        self.tail.push(said.message, said.text);
        show(AgentEvent::Activity(one_line(said.text)));
        show(AgentEvent::Text(said.text.to_owned()));
    }

    /// For people: a run that was denied its tools often got nowhere, and says that it is done.
    fn denials(&self, result: &Final<'_>) -> Option<String> {
        let (tool, about) = result.denials.first()?;
        let calls = if result.denials.len() == 1 {
            "a tool call was".to_owned()
        } else {
            format!("{} tool calls were", result.denials.len())
        };
        let first = one_line(&format!("{tool} {}", self.short(about)));
        let among = if result.denials.len() == 1 { "" } else { "the first: " };
        Some(format!("{calls} denied, {among}{first}; the `tools` of a role allow more"))
    }

    fn result(&mut self, result: &Final<'_>, show: &mut dyn FnMut(AgentEvent)) {
        // A run that failed to resume names the session it would have made; there is none.
        if self.started || !result.is_error {
            self.session_is(result.session, show);
        }
        for (tool, about) in result.denials.iter().take(8) {
            show(AgentEvent::Activity(one_line(&format!("denied: {tool} {}", self.short(about)))));
        }
        self.result = Outcome::Read(Box::new(Verdict {
            is_error: result.is_error,
            subtype: result.subtype.to_owned(),
            status: result.status,
            text: result.text.map(|text| last(text, MAX_TEXT).to_owned()),
            structured: result.structured.map(enki_core::verdict::Verdict::of_object),
            proposals: result.structured.map(enki_core::prompt::proposals_in).unwrap_or_default(),
            notice: self.denials(result),
            stop_reason: result.stop_reason.to_owned(),
            terminal_reason: result.terminal_reason.to_owned(),
            error: result.errors.first().map(|e| one_line(e)).unwrap_or_default(),
            denied: result.denials.iter().map(|(tool, _)| one_line(tool)).collect(),
            usage: usage(result),
        }));
    }
}

impl Verdict {
    fn is_ok(&self) -> bool {
        !self.is_error && !self.subtype.starts_with("error")
    }

    /// The failure in one line.
    fn words(&self) -> String {
        let text = self.text.as_deref().map(one_line).filter(|t| !t.is_empty());
        let error = Some(self.error.clone()).filter(|e| !e.is_empty());
        text.or(error).unwrap_or_else(|| format!("the client reported {}", one_line(&self.subtype)))
    }

    /// A note for people if tools were denied: often that is why a run got nowhere.
    fn denied(&self) -> String {
        let mut tools = self.denied.clone();
        tools.sort_unstable();
        tools.dedup();
        tools.truncate(5);
        if tools.is_empty() {
            return String::new();
        }
        format!("; {} tool calls were denied ({})", self.denied.len(), tools.join(", "))
    }
}

/// The texts since the last tool answer: the model's final message, in its pieces.
#[derive(Debug, Default)]
struct Tail {
    text: String,
    message: String,
}

impl Tail {
    fn push(&mut self, message: &str, text: &str) {
        // Blocks of one message stand apart; a new message without an answer between goes on where the last was cut.
        if !self.text.is_empty() && self.message == message && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.push_str(last(text, MAX_TEXT));
        if self.text.len() > 2 * MAX_TEXT {
            self.text = last(&self.text, MAX_TEXT).to_owned();
        }
        message.clone_into(&mut self.message);
    }

    fn clear(&mut self) {
        self.text.clear();
        self.message.clear();
    }

    /// The whole final message: the result is only its last piece if the model was cut by `max_tokens` and went on.
    fn complete(mut self, result: Option<String>) -> String {
        match result.filter(|r| !r.trim().is_empty()) {
            Some(result) if !self.text.ends_with(&result) => result,
            _ => {
                let from = self.text.len() - last(&self.text, MAX_TEXT).len();
                self.text.split_off(from)
            }
        }
    }
}

/// Millionths of a dollar, to the nearest, halves up: sums of a table's prices carry errors far below that.
fn usage(result: &Final<'_>) -> Usage {
    let mut usage = Usage::default();
    usage.input_tokens = result.input_tokens;
    usage.output_tokens = result.output_tokens;
    usage.cost_micro_usd = micro_usd(result.cost_usd);
    usage
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast to an integer saturates")]
fn micro_usd(usd: f64) -> u64 {
    (usd * 1e6).round() as u64
}

fn failed(message: String, transient: bool) -> AgentExit {
    AgentExit::Error { message, transient }
}

fn how(status: Status) -> String {
    match status {
        Status::Code(code) => format!("its exit code was {code}"),
        Status::Signal(9) => "it was killed by signal 9, perhaps for want of memory".to_owned(),
        Status::Signal(signal) => format!("it was killed by signal {signal}"),
        Status::Ours => "it was ended by the runner".to_owned(),
    }
}

/// One line for people: the first with anything on it, without terminal codes, at most 200 characters.
fn one_line(text: &str) -> String {
    let text = text.trim();
    let line = text.lines().next().unwrap_or_default();
    let mut out = clean_line(line.as_bytes(), 200);
    if line.len() < text.len() || line.chars().nth(200).is_some() {
        out.push('…');
    }
    out
}

/// The end of a text, at most so many bytes: verdicts are on the last lines.
fn last(text: &str, bytes: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

const LOGIN: &str = "run `claude` once and log in, or set ANTHROPIC_API_KEY";

/// Longest final message.
const MAX_TEXT: usize = 256 << 10;

#[cfg(test)]
mod tests;
