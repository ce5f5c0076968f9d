//! The lines of one client, before the protocol sees them: one message each, of a bounded size, so often and no oftener.
//! What is no message is answered here, and the session goes on.

use rmcp::model::ErrorCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

/// Longest message, in bytes.
pub(crate) const LONGEST: usize = 4 << 20;

/// How many calls may come at once, and how many a second after that.
const BURST: f64 = 400.0;
const A_SECOND: f64 = 100.0;

/// Of how many calls it is remembered that they were made.
const REMEMBERED: usize = 1024;

/// How many bytes of answers are kept for calls that come again, and of each at most.
const KEPT: usize = 1 << 20;
const ANSWER: usize = 256 << 10;

/// Too many calls, by the code that servers may choose.
pub(crate) const TOO_MANY: i32 = -32_029;

/// What is said of it, for people and for programs.
pub(crate) fn too_many(wait_ms: u64) -> (String, Value) {
    (format!("too many calls; nothing was done, try again in {wait_ms} ms"), json!({ "retryAfterMs": wait_ms }))
}

/// A piece of input that ends with a line or with the input.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// A line.
    Whole(Vec<u8>),
    /// One that is longer than lines may be. Nothing of it is kept.
    TooLong,
    /// What stood at the end of the input, without an end of its own.
    Rest(Vec<u8>),
}

/// Lines of at most a given length; longer ones take no more memory than those.
#[derive(Debug)]
pub struct Lines<R> {
    read: BufReader<R>,
    longest: usize,
    line: Vec<u8>,
    too_long: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The lines of that stream.
    pub fn new(read: R, longest: usize) -> Self {
        Self { read: BufReader::with_capacity(64 << 10, read), longest, line: Vec::new(), too_long: false }
    }

    /// The next line; `None` at the end of the input. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the stream cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = self.read.fill_buf().await?;
            if bytes.is_empty() {
                let rest = std::mem::take(&mut self.line);
                return Ok(match (std::mem::take(&mut self.too_long), rest.is_empty()) {
                    (true, _) => Some(Line::TooLong),
                    (false, false) => Some(Line::Rest(rest)),
                    (false, true) => None,
                });
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            self.too_long |= self.line.len() + piece.len() > self.longest;
            if self.too_long {
                // What was kept of it goes at once.
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(piece);
            }
            let used = piece.len() + usize::from(end.is_some());
            self.read.consume(used);
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                return Ok(Some(if std::mem::take(&mut self.too_long) { Line::TooLong } else { Line::Whole(line) }));
            }
        }
    }
}

/// A bucket of calls that fills up again with time.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    left: f64,
    at: Instant,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { left: BURST, at: Instant::now() }
    }
}

impl Bucket {
    /// Takes one call, or says how long it has to wait.
    ///
    /// # Errors
    ///
    /// The time until one may be made.
    pub fn take(&mut self) -> Result<(), Duration> {
        let now = Instant::now();
        self.left = (self.left + (now - self.at).as_secs_f64() * A_SECOND).min(BURST);
        self.at = now;
        if self.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.left) / A_SECOND).max(Duration::from_millis(1)));
        }
        self.left -= 1.0;
        Ok(())
    }
}

/// What is done with a line.
#[derive(Debug)]
enum Judged {
    /// The protocol sees it.
    Forward,
    /// It is answered here.
    Answer(String),
    /// It is nothing, or its answer is on its way.
    Nothing,
}

/// The calls of one client: how often, and which there were.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    bucket: Bucket,
    began: Began,
    /// By the text of their id: what was asked, and the answer if it is kept.
    known: HashMap<String, Known>,
    order: VecDeque<String>,
    kept: usize,
}

/// How far the client is with the handshake.
#[derive(Debug, Default, PartialEq)]
enum Began {
    /// It did not begin one.
    #[default]
    No,
    /// With the request of that id, which is not answered yet. What comes behind it is answered after it.
    Asked(String),
    /// It is done, once for the whole session.
    Yes,
    /// Each request says for itself what a handshake would.
    Never,
}

#[derive(Debug)]
struct Known {
    asked: u64,
    answered: bool,
    answer: Option<String>,
}

const INITIALIZE: &str = "initialize";
const DISCOVER: &str = "server/discover";
const PING: &str = "ping";

/// Whether a request says what a handshake would, so that it needs none. Whether it says it well the protocol knows.
fn stands_alone(message: &serde_json::Map<String, Value>) -> bool {
    let meta = message.get("params").and_then(|params| params.get("_meta"));
    meta.is_some_and(|meta| meta.get("io.modelcontextprotocol/protocolVersion").is_some())
}

/// What is looked at of a message.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default, borrow)]
    method: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    #[serde(default)]
    result: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

/// `null` is an id too, though no good one.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

fn error(id: &Value, code: i32, message: &str) -> Judged {
    Judged::Answer(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string())
}

impl Gate {
    fn judge(&self, line: &Line) -> Judged {
        let bytes = match line {
            Line::TooLong => {
                let message = format!("a message is longer than {LONGEST} bytes; send less at a time");
                return error(&Value::Null, ErrorCode::INVALID_REQUEST.0, &message);
            }
            Line::Whole(bytes) | Line::Rest(bytes) => bytes.trim_ascii(),
        };
        if bytes.is_empty() {
            return Judged::Nothing;
        }
        let rest = matches!(line, Line::Rest(_));
        let message = match std::str::from_utf8(bytes).map(serde_json::from_str::<Value>) {
            // Half a message at the end of the input asks for nothing.
            Ok(Err(_)) | Err(_) if rest => return Judged::Nothing,
            Err(why) => return error(&Value::Null, ErrorCode::PARSE_ERROR.0, &format!("a line is no UTF-8: {why}")),
            Ok(Err(why)) => return error(&Value::Null, ErrorCode::PARSE_ERROR.0, &format!("a line is no JSON: {why}")),
            Ok(Ok(Value::Array(_))) => {
                let message = "several messages in one line are not taken; send each in a line of its own";
                return error(&Value::Null, ErrorCode::INVALID_REQUEST.0, message);
            }
            Ok(Ok(Value::Object(message))) => message,
            Ok(Ok(_)) => return error(&Value::Null, ErrorCode::INVALID_REQUEST.0, "a message is an object"),
        };
        let Some(method) = message.get("method").and_then(Value::as_str) else {
            // An answer of the client's, or nothing: the protocol says which. Before the handshake nothing was asked, and
            // it would end the session.
            let answers = message.contains_key("result") || message.contains_key("error");
            return if answers && self.lock().began == Began::No { Judged::Nothing } else { Judged::Forward };
        };
        // What an id may be is known to the protocol.
        let id = message.get("id");
        if id.is_none() && !method.starts_with("notifications/") {
            let message = format!("{} has no id, and needs one", crate::failure::quoted(method));
            return error(&Value::Null, ErrorCode::INVALID_REQUEST.0, &message);
        }
        self.admit(method, id, stands_alone(&message), bytes)
    }

    fn admit(&self, method: &str, id: Option<&Value>, alone: bool, bytes: &[u8]) -> Judged {
        let mut calls = self.lock();
        if let Err(wait) = calls.bucket.take() {
            let Some(id) = id else { return Judged::Nothing };
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            let (message, data) = too_many(ms);
            let error = json!({"code": TOO_MANY, "message": message, "data": data});
            return Judged::Answer(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
        }
        let Some(id) = id else {
            // There is nothing yet that it could be about, and it would end the session.
            return if calls.began == Began::No { Judged::Nothing } else { Judged::Forward };
        };
        let name = id.to_string();
        if let Some(why) = calls.out_of_turn(method, &name, alone) {
            return error(id, ErrorCode::INVALID_REQUEST.0, why);
        }
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let asked = hasher.finish();
        match calls.known.get(&name) {
            Some(Known { asked: before, answered: true, answer }) if *before == asked => match answer {
                Some(answer) => Judged::Answer(answer.clone()),
                None => error(id, ErrorCode::INVALID_REQUEST.0, "that was answered already; ask with a new id"),
            },
            // The same again: its one answer is on its way.
            Some(Known { asked: before, answered: false, .. }) if *before == asked => Judged::Nothing,
            Some(Known { answered: false, .. }) => {
                error(id, ErrorCode::INVALID_REQUEST.0, "that id is in use; another call has not been answered yet")
            }
            Some(_) | None => {
                match (method, &calls.began) {
                    (INITIALIZE, _) => calls.began = Began::Asked(name.clone()),
                    // Asking what is spoken here begins nothing.
                    (DISCOVER, _) => {}
                    (_, Began::No) if alone => calls.began = Began::Never,
                    _ => {}
                }
                calls.begin(name, asked);
                Judged::Forward
            }
        }
    }

    /// Remembers what a call was answered.
    fn answered(&self, line: &str) {
        let Ok(message) = serde_json::from_str::<Message<'_>>(line) else { return };
        let Message { method: None, id: Some(id), result, error } = message else { return };
        if result.is_some() || error.is_some() {
            let mut calls = self.lock();
            let name = id.to_string();
            if calls.began == Began::Asked(name.clone()) {
                // One that failed may be tried again.
                calls.began = if result.is_some() { Began::Yes } else { Began::No };
            }
            calls.end(&name, line);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// Why a request cannot be taken now: each belongs to a session that was begun, once, or says itself how it is meant.
    fn out_of_turn(&self, method: &str, name: &str, alone: bool) -> Option<&'static str> {
        match (&self.began, method) {
            // The same line again is answered once, as any other.
            (Began::Asked(first), INITIALIZE) if first != name => {
                Some("initialize was sent already, and is being answered")
            }
            (Began::Yes, INITIALIZE) => Some("the session has begun already; connect anew for another one"),
            (Began::Never, INITIALIZE) => Some("the session goes without initialize; connect anew for one with it"),
            (Began::Asked(_) | Began::Yes, _) | (Began::No, INITIALIZE | PING) => None,
            (Began::No | Began::Never, _) if alone => None,
            (Began::No | Began::Never, _) => Some(
                "the session has not begun; send initialize first, or name the version of the protocol, the client and its \
                 capabilities in the _meta of each request",
            ),
        }
    }

    fn begin(&mut self, name: String, asked: u64) {
        let known = Known { asked, answered: false, answer: None };
        if let Some(old) = self.known.insert(name.clone(), known) {
            self.kept -= old.answer.map_or(0, |answer| answer.len());
            self.order.retain(|other| *other != name);
        }
        self.order.push_back(name);
        while self.order.len() > REMEMBERED {
            let oldest = self.order.pop_front().and_then(|name| self.known.remove(&name));
            self.kept -= oldest.and_then(|oldest| oldest.answer).map_or(0, |answer| answer.len());
        }
    }

    fn end(&mut self, name: &str, answer: &str) {
        let Some(known) = self.known.get_mut(name) else { return };
        known.answered = true;
        if answer.len() <= ANSWER && known.answer.is_none() {
            self.kept += answer.len();
            known.answer = Some(answer.to_owned());
        }
        for name in &self.order {
            if self.kept <= KEPT {
                return;
            }
            let old = self.known.get_mut(name).and_then(|known| known.answer.take());
            self.kept -= old.map_or(0, |answer| answer.len());
        }
    }
}

/// Takes what the client writes to the protocol, until the input ends.
pub(crate) async fn incoming<R, P, W>(gate: &Gate, read: R, mut protocol: P, client: &Turn<W>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    P: AsyncWrite + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut lines = Lines::new(read, LONGEST);
    while let Some(line) = lines.next().await? {
        match gate.judge(&line) {
            Judged::Nothing => {}
            Judged::Answer(answer) => say(client, &answer).await?,
            Judged::Forward => {
                let (Line::Whole(mut bytes) | Line::Rest(mut bytes)) = line else { continue };
                bytes.push(b'\n');
                protocol.write_all(&bytes).await?;
            }
        }
    }
    protocol.shutdown().await
}

/// Takes what the protocol says to the client, until it ends.
pub(crate) async fn outgoing<P, W>(gate: &Gate, protocol: P, client: &Turn<W>) -> io::Result<()>
where
    P: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut lines = BufReader::new(protocol).lines();
    while let Some(line) = lines.next_line().await? {
        gate.answered(&line);
        say(client, &line).await?;
    }
    Ok(())
}

async fn say<W: AsyncWrite + Unpin>(client: &Turn<W>, line: &str) -> io::Result<()> {
    let mut client = client.lock().await;
    client.write_all(line.as_bytes()).await?;
    client.write_all(b"\n").await?;
    client.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_has_an_end_or_is_cut_short() {
        let text = b"one\n\nlonger than it may be\ntwo\nhalf";
        let mut lines = Lines::new(&text[..], 8);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        let whole = |text: &str| Line::Whole(text.into());
        assert_eq!(found, [whole("one"), whole(""), Line::TooLong, whole("two"), Line::Rest(b"half".to_vec())]);
        let mut lines = Lines::new(&b"12345678\n123456789"[..], 8);
        assert_eq!(lines.next().await.unwrap(), Some(whole("12345678")), "as long as it may be");
        assert_eq!(lines.next().await.unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next().await.unwrap(), None);
    }

    #[test]
    fn what_is_remembered_of_calls_is_bounded() {
        let mut calls = Calls::default();
        let answer = "x".repeat(ANSWER);
        for n in 0..2 * REMEMBERED {
            calls.begin(n.to_string(), 1);
            calls.end(&n.to_string(), if n % 2 == 0 { &answer } else { "short" });
        }
        assert_eq!((calls.known.len(), calls.order.len()), (REMEMBERED, REMEMBERED));
        let kept: usize = calls.known.values().filter_map(|known| known.answer.as_ref()).map(String::len).sum();
        assert!(kept == calls.kept && kept <= KEPT && kept > KEPT / 2, "{kept}");
        calls.begin("2046".into(), 2);
        let kept: usize = calls.known.values().filter_map(|known| known.answer.as_ref()).map(String::len).sum();
        assert_eq!(kept, calls.kept, "what is begun anew keeps no answer");
    }
}
