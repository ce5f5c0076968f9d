//! The marks by which a process is known as ours, whatever became of its parents.

use enki_core::id::EffectId;
use std::fmt;

/// The variable that every process started here inherits to its descendants: the effect it works for, in 32 hex digits.
/// In an agent's agent the ids are joined by `:`, outermost first.
pub const RUN_MARKER: &str = "ENKI_RUN";

/// The variable that names the project on whose behalf a process runs; joined by `:` as [`RUN_MARKER`] is.
pub const PROJECT_MARKER: &str = "ENKI_PROJECT";

/// A mark in a process's environment.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Marker {
    name: &'static str,
    value: String,
}

/// A text that cannot be a project's mark.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} cannot mark a project's processes: use 8 to 64 characters of a-z, A-Z, 0-9, _ and -")]
pub struct InvalidMarker {
    /// What was given, shortened to 80 characters.
    pub text: String,
}

impl Marker {
    /// The mark of an effect.
    #[must_use]
    pub fn run(id: EffectId) -> Self {
        Self { name: RUN_MARKER, value: id.hex() }
    }

    /// The mark of a project: best a hash of its directory.
    ///
    /// # Errors
    ///
    /// [`InvalidMarker`] if `tag` is not 8 to 64 characters of `a-z`, `A-Z`, `0-9`, `_` and `-`. A short tag would
    /// soon be another project's.
    pub fn project(tag: &str) -> Result<Self, InvalidMarker> {
        let plain = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if plain && (8..=64).contains(&tag.len()) {
            Ok(Self { name: PROJECT_MARKER, value: tag.to_owned() })
        } else {
            Err(InvalidMarker { text: tag.chars().take(80).collect() })
        }
    }

    /// The variable.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its value, without those of outer agents.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether an environment, as the kernel gives it (entries ended by NUL), carries the mark.
    #[must_use]
    pub fn is_in(&self, environ: &[u8]) -> bool {
        environ.split(|b| *b == 0).any(|entry| {
            let value = entry.strip_prefix(self.name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value.is_some_and(|v| v.split(|b| *b == b':').any(|part| part == self.value.as_bytes()))
        })
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_whole_entry_or_a_part_between_colons() {
        let mark = Marker::project("0123456789").unwrap();
        assert!(mark.is_in(b"A=1\0ENKI_PROJECT=0123456789\0"));
        assert!(mark.is_in(b"ENKI_PROJECT=outerouter:0123456789"));
        for not in [&b"ENKI_PROJECT=01234567890\0"[..], b"XENKI_PROJECT=0123456789\0", b"ENKI_RUN=0123456789\0", b""] {
            assert!(!mark.is_in(not), "{}", String::from_utf8_lossy(not));
        }
    }

    #[test]
    fn a_project_mark_is_long_and_plain() {
        for bad in ["", "short", "has space in it", "a:bcdefghijk", "a\0bcdefghijk", &"x".repeat(65)] {
            assert!(Marker::project(bad).is_err(), "{bad:?}");
        }
    }
}
