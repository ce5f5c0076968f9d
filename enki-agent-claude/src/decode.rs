//! From bytes to events: a streaming, lenient decoder of the client's `stream-json` lines.
//!
//! The format grows with every release of the client, so unknown kinds and fields are skipped and counted, and a
//! broken line costs that line only. Memory is constant: a line longer than the limit is passed over, not kept.

use crate::lax::Lax;
use crate::wire::{Denial, Kind, Line, Piece, ToolInput};
use std::borrow::Cow;
use std::io::BufRead;

/// Lines longer than this are passed over by default: 8 MiB. The longest useful ones are results of some 100 KiB.
pub const MAX_LINE: usize = 8 << 20;

/// What one line says, as far as Enki listens. Texts borrow from the line.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The client is up.
    Init {
        /// Its session.
        session: &'a str,
        /// The model it will ask.
        model: &'a str,
        /// Its version.
        version: &'a str,
        /// Names of tool servers that did not start.
        failed_servers: Vec<&'a str>,
    },
    /// A request failed and will be sent again.
    Retry {
        /// Which retry, from 1.
        attempt: u64,
        /// How many there will be at most.
        of: u64,
        /// How long the client waits before it.
        delay_ms: u64,
        /// The HTTP status; `None` if there was no answer.
        status: Option<u64>,
        /// The client's word for it: `rate_limit`, `overloaded`, `server_error` and others.
        error: &'a str,
    },
    /// The client goes on with another model.
    Fallback {
        /// That model.
        model: &'a str,
    },
    /// The state of the account's rate limit changed.
    Limit {
        /// Whether requests are refused now.
        rejected: bool,
        /// When the limit resets, in seconds since the Unix epoch.
        resets_at: Option<u64>,
    },
    /// A piece of a text that the model is writing. The text comes whole later, unless the answer breaks off.
    Piece {
        /// It.
        text: &'a str,
        /// Whether a subagent writes it.
        nested: bool,
    },
    /// The model wrote a text.
    Text(Said<'a>),
    /// The model called a tool.
    Tool {
        /// The tool.
        name: &'a str,
        /// What the call is about: a file, a command, a pattern; may be empty and of several lines.
        about: &'a str,
        /// Whether a subagent called it.
        nested: bool,
    },
    /// The model was given tool results, or a text by the client itself.
    Answered {
        /// How many tool calls it answers.
        calls: usize,
        /// How many of them failed or were denied.
        failed: usize,
        /// Whether it went to a subagent.
        nested: bool,
    },
    /// A message of the model is complete.
    Used {
        /// Tokens read for it, cached ones included.
        input: u64,
        /// Tokens written.
        output: u64,
    },
    /// The last word of the client. There may be lines after it.
    Result(Box<Final<'a>>),
    /// A known kind of line that says nothing Enki needs.
    Quiet,
    /// A kind of line this version of Enki does not know.
    Unknown,
    /// A line that is not JSON of the expected outline, or one that was too long.
    Broken {
        /// Whether it began as the final result.
        result: bool,
    },
}

/// A text of the model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Said<'a> {
    /// The text.
    pub text: &'a str,
    /// The message it is part of: one message of the model comes as one line per block.
    pub message: &'a str,
    /// The client's word for a failure, if it wrote this text itself to report one.
    pub error: &'a str,
    /// Whether the client wrote it, not the model.
    pub synthetic: bool,
    /// Whether a subagent wrote it.
    pub nested: bool,
}

/// The final result.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Final<'a> {
    /// Whether the run failed. The only field to judge by: a refused request has subtype `success`.
    pub is_error: bool,
    /// `success` or `error_...`: why a failed run ended, not whether it failed.
    pub subtype: &'a str,
    /// HTTP status of the failed request; the client leaves it out for some.
    pub status: Option<u64>,
    /// Its session.
    pub session: &'a str,
    /// The last text, which is only the last piece of it if the model went on after `max_tokens`.
    pub text: Option<&'a str>,
    /// The object it answered with, if a schema was asked for and it kept to it.
    pub structured: Option<&'a serde_json::Map<String, serde_json::Value>>,
    /// Why the model stopped: `end_turn`, `tool_use`, `refusal` and others.
    pub stop_reason: &'a str,
    /// Why the client stopped: `completed`, `max_turns`, `aborted_tools` and others.
    pub terminal_reason: &'a str,
    /// Error texts of an `error_...` subtype.
    pub errors: Vec<&'a str>,
    /// Rounds with the model.
    pub turns: u64,
    /// Tokens read, cached ones included, of all models and subagents.
    pub input_tokens: u64,
    /// Tokens written, of all models and subagents.
    pub output_tokens: u64,
    /// Cost of this process in US dollars, as the client reckons it.
    pub cost_usd: f64,
    /// Tool calls that were denied: tool and what it was about.
    pub denials: Vec<(&'a str, &'a str)>,
}

/// How many lines of which fate a decoder has seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// All lines that were not blank.
    pub lines: u64,
    /// Of a kind this version does not know.
    pub unknown: u64,
    /// Not JSON of the expected outline, or cut.
    pub broken: u64,
    /// Longer than the limit, or with a gap.
    pub too_long: u64,
    /// Read only after invalid UTF-8, lone surrogates or control characters in them were replaced.
    pub repaired: u64,
}

/// Cuts a byte stream into lines and decodes them. Keeps at most one line.
#[derive(Debug)]
pub struct Decoder {
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
    max_line: usize,
    /// The line in `held` is too long or has a gap: only its beginning is kept, the rest is passed over.
    passing: bool,
    counts: Counts,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MAX_LINE)
    }
}

impl Decoder {
    /// A decoder that passes over lines longer than `max_line` bytes.
    #[must_use]
    pub const fn new(max_line: usize) -> Self {
        Self {
            held: Vec::new(),
            max_line,
            passing: false,
            counts: Counts { lines: 0, unknown: 0, broken: 0, too_long: 0, repaired: 0 },
        }
    }

    /// Takes the next bytes and gives `each` the events of every line that they complete.
    pub fn feed(&mut self, mut chunk: &[u8], each: &mut dyn FnMut(Event<'_>)) {
        while !chunk.is_empty() {
            // `skip_until` is the standard library's fast byte search; a slice as reader cannot fail.
            let used = (&mut &*chunk).skip_until(b'\n').unwrap_or(chunk.len());
            let (piece, rest) = chunk.split_at(used);
            chunk = rest;
            let Some(end) = piece.strip_suffix(b"\n") else {
                self.hold(piece);
                return;
            };
            if self.held.is_empty() && !self.passing && end.len() <= self.max_line {
                self.line(end, each);
            } else {
                self.hold(end);
                self.flush(each);
            }
        }
    }

    /// The stream ended: decodes a last line that lacks its newline.
    pub fn finish(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        if !self.held.is_empty() || self.passing {
            self.flush(each);
        }
    }

    /// Some bytes of the stream were lost: the line they belong to is passed over.
    pub fn gap(&mut self) {
        self.held.truncate(HEAD);
        self.passing = true;
    }

    /// What has been seen so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn hold(&mut self, piece: &[u8]) {
        if self.passing {
            return;
        }
        if self.held.len() + piece.len() <= self.max_line {
            self.held.extend_from_slice(piece);
            return;
        }
        // Enough is kept to see whether it was the result.
        let wanted = HEAD.saturating_sub(self.held.len()).min(piece.len());
        self.held.extend_from_slice(&piece[..wanted]);
        self.held.truncate(HEAD);
        self.held.shrink_to(KEPT);
        self.passing = true;
    }

    fn flush(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        let mut line = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.passing) {
            self.counts.lines += 1;
            self.counts.too_long += 1;
            each(Event::Broken { result: begins_as_result(&line) });
        } else {
            self.line(&line, each);
        }
        line.clear();
        line.shrink_to(KEPT);
        self.held = line;
    }

    fn line(&mut self, line: &[u8], each: &mut dyn FnMut(Event<'_>)) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        self.counts.lines += 1;
        // Most lines are pieces of a message that comes whole later: those of a thought or of a call are not even parsed.
        if line.starts_with(br#"{"type":"stream_event","#) {
            return if says_something(line) { self.piece(line, each) } else { each(Event::Quiet) };
        }
        // A struct is also read from an array; a line never is one.
        if !line.starts_with(b"{") {
            self.counts.broken += 1;
            return each(Event::Broken { result: false });
        }
        if let Ok(read) = serde_json::from_slice::<Line<'_>>(line) {
            return match read.kind {
                Kind::StreamEvent => self.piece(line, each),
                _ => self.give(&read, each),
            };
        }
        let repaired = repair(line);
        match serde_json::from_str::<Line<'_>>(&repaired) {
            Ok(read) => {
                self.counts.repaired += 1;
                self.give(&read, each);
            }
            Err(_) => {
                self.counts.broken += 1;
                each(Event::Broken { result: begins_as_result(line) });
            }
        }
    }

    fn piece(&mut self, line: &[u8], each: &mut dyn FnMut(Event<'_>)) {
        if let Ok(read) = serde_json::from_slice::<Piece<'_>>(line) {
            return piece(&read, each);
        }
        // The client cuts texts between the halves of a character.
        match serde_json::from_str::<Piece<'_>>(&repair(line)) {
            Ok(read) => {
                self.counts.repaired += 1;
                piece(&read, each);
            }
            Err(_) => {
                self.counts.broken += 1;
                each(Event::Broken { result: false });
            }
        }
    }

    fn give(&mut self, line: &Line<'_>, each: &mut dyn FnMut(Event<'_>)) {
        match line.kind {
            Kind::System => system(line, each),
            Kind::Assistant => assistant(line, each),
            Kind::User => user(line, each),
            Kind::RateLimitEvent => match &line.rate_limit_info.0 {
                Some(limit) => {
                    each(Event::Limit { rejected: limit.status.as_str() == "rejected", resets_at: limit.resets_at.0 })
                }
                None => each(Event::Quiet),
            },
            Kind::Result => match line.is_error.0 {
                Some(is_error) => each(Event::Result(Box::new(result(line, is_error)))),
                // Without its verdict it is no result.
                None => {
                    self.counts.broken += 1;
                    each(Event::Broken { result: true });
                }
            },
            // Read apart: here its `event` was skipped.
            Kind::StreamEvent => each(Event::Quiet),
            Kind::Other => {
                self.counts.unknown += 1;
                each(Event::Unknown);
            }
        }
    }
}

/// Whether a piece, by how the client writes it, is one of a text or the end of a message.
fn says_something(line: &[u8]) -> bool {
    let Some(event) = line.strip_prefix(br#"{"type":"stream_event","event":{"type":""#) else { return true };
    if event.starts_with(br#"message_delta""#) {
        return true;
    }
    let Some(delta) = event.strip_prefix(br#"content_block_delta","index":"#) else { return false };
    let digits = delta.iter().take_while(|b| b.is_ascii_digit()).count();
    match delta[digits..].strip_prefix(br#","delta":{"type":""#) {
        Some(kind) => kind.starts_with(br#"text_delta""#),
        None => true,
    }
}

fn piece(piece: &Piece<'_>, each: &mut dyn FnMut(Event<'_>)) {
    let nested = piece.parent_tool_use_id.0.is_some();
    let Some(event) = &piece.event.0 else { return each(Event::Quiet) };
    match (event.kind.as_str(), &event.delta.0, event.usage.0) {
        ("content_block_delta", Some(delta), _) if delta.kind.as_str() == "text_delta" => {
            each(Event::Piece { text: delta.text.as_str(), nested });
        }
        ("message_delta", _, Some(tokens)) => each(Event::Used { input: tokens.input, output: tokens.output }),
        _ => each(Event::Quiet),
    }
}

fn system(line: &Line<'_>, each: &mut dyn FnMut(Event<'_>)) {
    match line.subtype.as_str() {
        "init" => {
            let servers = line.mcp_servers.0.iter().flatten();
            let failed = servers.filter(|s| matches!(s.status.as_str(), "failed" | "needs-auth"));
            each(Event::Init {
                session: line.session_id.as_str(),
                model: line.model.as_str(),
                version: line.claude_code_version.as_str(),
                failed_servers: failed.map(|s| s.name.as_str()).collect(),
            });
        }
        "api_retry" => each(Event::Retry {
            attempt: line.attempt.0.unwrap_or(0),
            of: line.max_retries.0.unwrap_or(0),
            delay_ms: line.retry_delay_ms.0.unwrap_or(0),
            status: line.error_status.0,
            error: line.error.as_str(),
        }),
        "model_fallback" => each(Event::Fallback { model: line.fallback_model.as_str() }),
        _ => each(Event::Quiet),
    }
}

fn assistant(line: &Line<'_>, each: &mut dyn FnMut(Event<'_>)) {
    let nested = line.parent_tool_use_id.0.is_some();
    let Some(message) = &line.message.0 else { return each(Event::Quiet) };
    let mut quiet = true;
    for block in message.content.0.iter().flatten() {
        match block.kind.as_str() {
            "text" => each(Event::Text(Said {
                text: block.text.as_str(),
                message: message.id.as_str(),
                error: line.error.as_str(),
                synthetic: message.model.as_str() == "<synthetic>",
                nested,
            })),
            "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                each(Event::Tool { name: block.name.as_str(), about: about(&block.input), nested });
            }
            _ => continue,
        }
        quiet = false;
    }
    if quiet {
        each(Event::Quiet);
    }
}

fn user(line: &Line<'_>, each: &mut dyn FnMut(Event<'_>)) {
    let blocks = || line.message.0.iter().flat_map(|m| m.content.0.iter().flatten());
    each(Event::Answered {
        calls: blocks().filter(|b| b.kind.as_str() == "tool_result").count(),
        failed: blocks().filter(|b| b.is_error.0 == Some(true)).count(),
        nested: line.parent_tool_use_id.0.is_some(),
    });
}

fn result<'a>(line: &'a Line<'_>, is_error: bool) -> Final<'a> {
    // `usage` misses requests that were sent again without streaming, and subagents; the sum per model has them.
    let tokens = line.model_usage.0.and_then(|m| m.0).or(line.usage.0).unwrap_or_default();
    Final {
        is_error,
        subtype: line.subtype.as_str(),
        status: line.api_error_status.0,
        session: line.session_id.as_str(),
        text: line.result.0.as_deref(),
        structured: line.structured_output.0.as_ref(),
        stop_reason: line.stop_reason.as_str(),
        terminal_reason: line.terminal_reason.as_str(),
        errors: line.errors.0.iter().flatten().map(AsRef::as_ref).collect(),
        turns: line.num_turns.0.unwrap_or(0),
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        cost_usd: line.total_cost_usd.0.unwrap_or(0.0),
        denials: line.permission_denials.0.iter().flatten().map(denial).collect(),
    }
}

fn denial<'a>(denial: &'a Denial<'_>) -> (&'a str, &'a str) {
    (denial.tool_name.as_str(), about(&denial.tool_input))
}

fn about<'a>(input: &'a Lax<ToolInput<'_>>) -> &'a str {
    let Some(input) = &input.0 else { return "" };
    let fields = [
        &input.command,
        &input.file_path,
        &input.notebook_path,
        &input.path,
        &input.pattern,
        &input.url,
        &input.query,
        &input.description,
    ];
    fields.into_iter().map(crate::lax::Text::as_str).find(|text| !text.is_empty()).unwrap_or("")
}

/// The client writes `type` first, so a cut result is known by its beginning.
fn begins_as_result(line: &[u8]) -> bool {
    let head = &line[..line.len().min(HEAD)];
    let head: Vec<u8> = head.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    head.starts_with(br#"{"type":"result""#)
}

/// The line with U+FFFD for invalid UTF-8 and for lone surrogates (the client cuts texts between the halves of a
/// pair), and blanks for raw control characters.
fn repair(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut kept) = (0, 0);
    while at < bytes.len() {
        let step = match bytes[at] {
            b'\\' => match escaped_unit(bytes, at) {
                Some(0xd800..=0xdbff) if matches!(escaped_unit(bytes, at + 6), Some(0xdc00..=0xdfff)) => 12,
                Some(0xd800..=0xdfff) => {
                    out.push_str(&text[kept..at]);
                    out.push('\u{fffd}');
                    at += 6;
                    kept = at;
                    continue;
                }
                Some(_) => 6,
                // An escape is ASCII; skipping its second byte keeps `\\u` from looking like one.
                None if bytes.get(at + 1).is_some_and(u8::is_ascii) => 2,
                None => 1,
            },
            0..0x20 => {
                out.push_str(&text[kept..at]);
                out.push(' ');
                at += 1;
                kept = at;
                continue;
            }
            _ => 1,
        };
        at += step;
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

/// The UTF-16 unit of a `\uXXXX` escape at that place.
fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

/// How much of a too long line is kept: enough for [`begins_as_result`].
const HEAD: usize = 64;

/// Capacity the line buffer keeps between lines.
const KEPT: usize = 256 << 10;

#[cfg(test)]
mod tests;
