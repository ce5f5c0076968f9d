//! Which client this is, and whether it is new enough.

use crate::config::ClaudeConfig;
use crate::runner::cannot_start;
use enki_core::agent::AgentError;
use enki_core::id::EffectId;
use enki_process::{Cause, Spawn, Status};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A version of the client, `major.minor.patch`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u64, pub u64, pub u64);

/// Clients older than this let a repository's settings grant trust or redirect requests (CVE-2026-21852, -33068, -40068).
pub const OLDEST_SAFE: Version = Version(2, 1, 128);

/// How a person gets the newest client.
pub const UPDATE: &str = "npm install -g @anthropic-ai/claude-code";

/// What a client says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientVersion {
    /// New enough.
    Good(Version),
    /// Older than [`OLDEST_SAFE`]: it would run, but should not.
    Old(Version),
    /// It said something else, here in one line: perhaps it is another program.
    Unknown(String),
}

impl ClientVersion {
    /// The warning for people, if one is due.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Good(_) => None,
            Self::Old(found) => Some(format!(
                "claude {found} is older than {OLDEST_SAFE}: a repository's settings could redirect it; update it with `{UPDATE}`"
            )),
            Self::Unknown(said) => {
                Some(format!("cannot tell the version of claude from {said:?}; {OLDEST_SAFE} or newer is wanted"))
            }
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Reads the line that `claude --version` prints: `2.1.197 (Claude Code)`. Never fails.
impl From<&str> for ClientVersion {
    fn from(line: &str) -> Self {
        match line.split_whitespace().next().map(Version::from_str) {
            Some(Ok(version)) if version < OLDEST_SAFE => Self::Old(version),
            Some(Ok(version)) => Self::Good(version),
            _ => Self::Unknown(line.trim().chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect()),
        }
    }
}

impl FromStr for Version {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A pre-release counts as its release.
        let text = text.split(['-', '+']).next().unwrap_or(text);
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default().parse();
        Ok(Self(part()?, part()?, part()?))
    }
}

/// The client, asked for its version, with the environment of an attempt.
pub(crate) fn spawn(config: &ClaudeConfig) -> Spawn {
    // A mark of its own: the end of one such process must not end another.
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let nth = ASKED.fetch_add(1, Ordering::Relaxed);
    let id = EffectId::of("claude version", &[&std::process::id().to_be_bytes(), &nth.to_be_bytes()]);
    let mut spawn = Spawn::new(&config.program, id)
        .arg("--version")
        .base_env(config.base_env.clone())
        .env("DISABLE_AUTOUPDATER", "1")
        .timeout(Duration::from_secs(30))
        .grace(Duration::from_secs(1))
        // Whatever is in the folder of the caller is none of its business.
        .directory("/")
        .output_limit(1 << 20);
    for (name, value) in &config.env {
        spawn = spawn.env(name, value);
    }
    spawn
}

pub(crate) async fn ask(config: &ClaudeConfig) -> Result<ClientVersion, AgentError> {
    let ended = spawn(config).start().await.map_err(|error| cannot_start(&error))?.wait().await;
    if ended.cause != Cause::Exited || ended.status != Status::Code(0) {
        let words = String::from_utf8_lossy(&ended.stderr_tail);
        let words = words.trim().lines().next().unwrap_or("nothing on standard error");
        let reason = format!("`--version` ended with {}: {words}", ended.status);
        return Err(AgentError::new(config.program.to_string_lossy(), reason, false));
    }
    Ok(ClientVersion::from(String::from_utf8_lossy(&ended.stdout_tail).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_below_the_oldest_safe_version_is_warned_of() {
        assert_eq!(ClientVersion::from("2.1.197 (Claude Code)\n"), ClientVersion::Good(Version(2, 1, 197)));
        assert_eq!(ClientVersion::from("2.1.128"), ClientVersion::Good(Version(2, 1, 128)));
        assert_eq!(ClientVersion::from("2.1.127 (Claude Code)"), ClientVersion::Old(Version(2, 1, 127)));
        assert_eq!(ClientVersion::from("1.0.200"), ClientVersion::Old(Version(1, 0, 200)));
        assert_eq!(ClientVersion::from("3.0.0-beta.1 (Claude Code)"), ClientVersion::Good(Version(3, 0, 0)));
        assert_eq!(ClientVersion::from("2.1.128").warning(), None);
        assert!(ClientVersion::from("2.0.0").warning().unwrap().contains("2.0.0 is older than 2.1.128"));
    }

    #[test]
    fn what_is_no_version_is_unknown() {
        for text in ["", "GNU bash, version 5.2", "2.1", "v2.1.197", "2.1.x", "\u{1b}[31m"] {
            assert!(matches!(ClientVersion::from(text), ClientVersion::Unknown(_)), "{text:?}");
            assert!(ClientVersion::from(text).warning().is_some());
        }
    }
}
