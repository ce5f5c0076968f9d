//! Names of things. Each is its own type, so that a step id cannot be passed for a branch.
//!
//! Nothing here reads a clock or draws a random number: fresh ids come in as 128-bit values from the caller.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// A text that is not the id it was taken for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is not {kind}: {expected}")]
pub struct InvalidId {
    /// What was parsed, shortened to 80 characters.
    pub text: String,
    /// The kind of id that was wanted, with its article.
    pub kind: &'static str,
    /// The allowed form.
    pub expected: &'static str,
}

impl InvalidId {
    pub(crate) fn new(text: &str, kind: &'static str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), kind, expected }
    }
}

/// Id of an execution: 128 bits, time-ordered. Shown as `exec-` and the last 12 of its 32 hex digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ExecutionId(u128);

impl ExecutionId {
    /// Takes a fresh value, best a UUID v7 so that ids sort by time.
    #[must_use]
    pub const fn new(value: u128) -> Self {
        Self(value)
    }

    /// The value as 128 bits.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }

    /// All 32 hex digits: the form for refs, paths and stored rows.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The 12 hex digits that people see, without the prefix `exec-`.
    #[must_use]
    pub fn short(self) -> String {
        self.hex()[20..].to_owned()
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exec-{:012x}", self.0 & 0xffff_ffff_ffff)
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecutionId({:032x})", self.0)
    }
}

/// Parses the 32 hex digits. Prefixes and the short form are looked up in a store, not parsed.
impl FromStr for ExecutionId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        hex128(text).map(Self).ok_or_else(|| InvalidId::new(text, "an execution id", "32 lower-case hex digits"))
    }
}

impl Serialize for ExecutionId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for ExecutionId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Parsed(PhantomData))
    }
}

/// Parses a text where it lies, without a copy.
pub(crate) struct Parsed<T>(pub(crate) PhantomData<T>);

impl<T: FromStr<Err = InvalidId>> serde::de::Visitor<'_> for Parsed<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id or a name")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

fn hex128(text: &str) -> Option<u128> {
    let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (text.len() == 32 && lower).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// Id of a step inside its plan: `^[a-z0-9][a-z0-9_-]{0,63}$` (promise S1). It never becomes a path or a ref.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct StepId(Box<str>);

impl StepId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StepId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const EXPECTED: &str = "1 to 64 characters of a-z, 0-9, _ and -, the first a letter or digit";
        let head = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if head && rest && text.len() <= 64 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new(text, "a step id", EXPECTED))
        }
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepId({})", self.0)
    }
}

impl<'de> Deserialize<'de> for StepId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Parsed(PhantomData))
    }
}

/// Position of a step in its plan. Steps are only ever added at the end, so it never changes its meaning.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepIx(pub u32);

impl StepIx {
    /// The position as an index into the plan's steps.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The position of the step at `index`. Plans are limited far below `u32::MAX` steps.
    #[must_use]
    pub fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("plans have fewer than 2^32 steps"))
    }
}

/// Global id of a step, as people see it: `task-` and 12 hex digits. It follows from execution and step id, so the
/// pair and the task id name the same thing.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TaskId(u64);

impl TaskId {
    /// The task id of a step of an execution.
    #[must_use]
    pub fn of(execution: ExecutionId, step: &StepId) -> Self {
        let digest = Sha256::new().chain_update(execution.0.to_be_bytes()).chain_update(step.as_str()).finalize();
        Self(u64::from_be_bytes([0, 0, digest[0], digest[1], digest[2], digest[3], digest[4], digest[5]]))
    }

    /// The 12 hex digits without the prefix.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:012x}", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task-{:012x}", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({:012x})", self.0)
    }
}

/// Parses `task-<12 hex>`. Prefixes are looked up in a store, not parsed.
impl FromStr for TaskId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let hex = text.strip_prefix("task-").filter(|h| h.len() == 12);
        let lower = hex.filter(|h| h.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        lower
            .and_then(|h| u64::from_str_radix(h, 16).ok())
            .map(Self)
            .ok_or_else(|| InvalidId::new(text, "a task id", "task- and 12 lower-case hex digits"))
    }
}

impl Serialize for TaskId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Parsed(PhantomData))
    }
}

/// Number of an attempt of one step, from 1, never reused. Every report names it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptNo(pub u32);

impl fmt::Display for AttemptNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Id of one landing try: a hash of what asks for it, so the same request has the same id after a crash. Shown as
/// `mr-` and 12 hex digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(u128);

impl RequestId {
    /// The request of a step's change, the `n`-th of that step, or (without a step) of the `n`-th landing of the
    /// execution's integration branch.
    #[must_use]
    pub fn of(execution: ExecutionId, step: Option<StepIx>, n: u32) -> Self {
        let mut hash = Sha256::new().chain_update(b"request").chain_update(execution.0.to_be_bytes());
        hash.update(step.map_or(u64::MAX, |s| u64::from(s.0)).to_be_bytes());
        hash.update(n.to_be_bytes());
        Self(first128(&hash.finalize()))
    }

    /// All 32 hex digits: the form for refs and stored rows.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mr-{:012x}", self.0 & 0xffff_ffff_ffff)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({:032x})", self.0)
    }
}

impl FromStr for RequestId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        hex128(text).map(Self).ok_or_else(|| InvalidId::new(text, "a merge request id", "32 lower-case hex digits"))
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Parsed(PhantomData))
    }
}

/// Id of one effect: a hash of what it is about. The same id again is the same thing, never a second one; backends
/// use it as their idempotency key.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EffectId(u128);

impl EffectId {
    /// The id of the effect of that `kind` with those distinguishing `parts`.
    #[must_use]
    pub fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new().chain_update(kind);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(first128(&hash.finalize()))
    }

    /// The id of an attempt: its agent, its workspace set-up and its capture belong together.
    #[must_use]
    pub fn of_attempt(execution: ExecutionId, step: StepIx, attempt: AttemptNo) -> Self {
        Self::of("attempt", &[&execution.0.to_be_bytes(), &step.0.to_be_bytes(), &attempt.0.to_be_bytes()])
    }

    /// All 32 hex digits: the form for refs, paths and stored rows.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EffectId({:032x})", self.0)
    }
}

fn first128(digest: &[u8]) -> u128 {
    digest[..16].iter().fold(0, |acc, byte| (acc << 8) | u128::from(*byte))
}

/// An object id of a version-control system: 20 or 32 bytes, shown in hex. Small enough to be copied.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct ObjectId {
    len: u8,
    bytes: [u8; 32],
}

impl ObjectId {
    fn parse(text: &str) -> Option<Self> {
        if !matches!(text.len(), 40 | 64) || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = (nibble(pair[0]) << 4) | nibble(pair[1]);
        }
        Some(Self { len: if text.len() == 40 { 20 } else { 32 }, bytes })
    }
}

const fn nibble(b: u8) -> u8 {
    if b.is_ascii_digit() { b - b'0' } else { b - b'a' + 10 }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0u8; 64];
        let used = usize::from(self.len);
        for (pair, byte) in text.chunks_exact_mut(2).zip(&self.bytes[..used]) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text[..used * 2]).expect("hex digits are ASCII"))
    }
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(ObjectId);

        impl $name {
            /// The first 12 hex digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                format!("{:.12}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                ObjectId::parse(text)
                    .map(Self)
                    .ok_or_else(|| InvalidId::new(text, $kind, "40 or 64 lower-case hex digits"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str(Parsed(PhantomData))
            }
        }
    };
}

object_id! {
    /// Id of a commit, in full: 40 or 64 hex digits. Never a branch name or an abbreviation.
    CommitId, "a commit id"
}
object_id! {
    /// Id of a tree, in full: 40 or 64 hex digits. Equal ids mean equal files.
    TreeId, "a tree id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_ids_outside_the_pattern_are_refused() {
        let long = "a".repeat(65);
        for bad in [
            "",
            ".",
            "..",
            "../../etc",
            "a/b",
            "-rf",
            "_x",
            "CON",
            "Aa",
            "a\0",
            "a\n",
            "é",
            "🙂",
            "a\u{202e}b",
            " a",
            &long,
        ] {
            assert!(bad.parse::<StepId>().is_err(), "{bad:?}");
        }
        for good in ["a", "0", "a-b_c", &"a".repeat(64)] {
            assert_eq!(good.parse::<StepId>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn object_ids_round_trip_in_both_lengths() {
        for text in ["0123456789abcdef0123456789abcdef01234567", &"ab".repeat(32)] {
            let id: CommitId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(serde_json::from_str::<CommitId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        }
        for bad in ["", "HEAD", "0123", &"g".repeat(40), &"A".repeat(40)] {
            assert!(bad.parse::<CommitId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_task_id_follows_from_execution_and_step() {
        let execution = ExecutionId::new(7);
        let task = TaskId::of(execution, &"build".parse().unwrap());
        assert_eq!(task, TaskId::of(execution, &"build".parse().unwrap()));
        assert_ne!(task, TaskId::of(ExecutionId::new(8), &"build".parse().unwrap()));
        assert_eq!(task.to_string().parse::<TaskId>().unwrap(), task);
    }

    #[test]
    fn an_execution_shows_its_random_tail() {
        let id = ExecutionId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "exec-456789abcdef");
        assert_eq!(id.hex().parse::<ExecutionId>().unwrap(), id);
    }
}
