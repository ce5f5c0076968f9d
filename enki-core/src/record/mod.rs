//! The stored format: how events of the machines become the bodies of a [`TaskStore`](crate::store::TaskStore)'s logs.
//!
//! What is stored are wire types of their own, [`v1`], not the events in memory, so that the machines may be changed
//! while every log ever written stays readable. The rules:
//!
//! * A released wire type is never edited so that it reads or writes other bytes for the same fact. The golden logs of
//!   `tests/golden/v1` hold each variant and are never edited either.
//! * A new field that may be missing, with a default that means what its absence meant, is a new **minor**. An older
//!   reader reads it and misses the field, so it may not write to such a log any more: [`check_writable`].
//! * Everything else, a new kind of event above all, is a new **major**: it gets a `v2`, and a pure function from
//!   `v1`'s wire event to `v2`'s, so that [`decode`] goes up one step at a time. An older reader refuses it by name.

pub mod v1;

use crate::chain::outside;
use crate::engine::Event;
use crate::mail;
use crate::store::{Format, LogKind};

/// The format that [`encode`] writes.
pub const FORMAT: Format = Format { major: 1, minor: 0 };

/// A stored event that cannot be used here. The log is left as it is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A version of the format that is not known here wrote it.
    #[error("cannot read an event of format {}.{}: known here is {}.{}; use a newer enki", .0.major, .0.minor, FORMAT.major, FORMAT.minor)]
    UnknownFormat(Format),
    /// A newer minor version wrote it: it can be read, but writing on would lose what is new in it.
    #[error("cannot write to a log of format {}.{}: known here is {}.{}; use a newer enki", .0.major, .0.minor, FORMAT.major, FORMAT.minor)]
    NewerMinor(Format),
    /// The body is not what its format says.
    #[error("cannot read an event of an {} log: {what}; the log is damaged, restore it from a backup", .kind.as_str())]
    Malformed {
        /// The kind of log it is in.
        kind: LogKind,
        /// What is wrong, with line and column of the body.
        what: String,
    },
}

/// The body of an event, in [`FORMAT`]: one line of JSON.
#[must_use]
pub fn encode(event: &Event) -> String {
    v1::encode(event)
}

/// Reads the body of an event of a log of that kind.
///
/// # Errors
///
/// [`RecordError::UnknownFormat`] if an unknown major version wrote it, [`RecordError::Malformed`] if the body is not
/// what its format says. A newer minor version is read; what it adds is left out.
pub fn decode(kind: LogKind, format: Format, body: &str) -> Result<Event, RecordError> {
    match format.major {
        1 => v1::decode(kind, body).map_err(|what| RecordError::Malformed { kind, what }),
        _ => Err(RecordError::UnknownFormat(format)),
    }
}

/// The body of an event of the chains of an outside coordinator, in [`FORMAT`]: one line of JSON.
#[must_use]
pub fn encode_chains(event: &outside::Event) -> String {
    v1::encode_chains(event)
}

/// Reads the body of an event of a log of [`LogKind::Chains`].
///
/// # Errors
///
/// As [`decode`].
pub fn decode_chains(format: Format, body: &str) -> Result<outside::Event, RecordError> {
    match format.major {
        1 => v1::decode_chains(body).map_err(|what| RecordError::Malformed { kind: LogKind::Chains, what }),
        _ => Err(RecordError::UnknownFormat(format)),
    }
}

/// The body of an event of the mail, in [`FORMAT`]: one line of JSON.
#[must_use]
pub fn encode_mail(event: &mail::Event) -> String {
    v1::encode_mail(event)
}

/// Reads the body of an event of a log of [`LogKind::Mail`].
///
/// # Errors
///
/// As [`decode`].
pub fn decode_mail(format: Format, body: &str) -> Result<mail::Event, RecordError> {
    match format.major {
        1 => v1::decode_mail(body).map_err(|what| RecordError::Malformed { kind: LogKind::Mail, what }),
        _ => Err(RecordError::UnknownFormat(format)),
    }
}

/// Whether events may be appended to a log that holds one of that format.
///
/// # Errors
///
/// [`RecordError::NewerMinor`] or [`RecordError::UnknownFormat`] if a newer version wrote to it.
pub fn check_writable(format: Format) -> Result<(), RecordError> {
    if format.major != FORMAT.major {
        Err(RecordError::UnknownFormat(format))
    } else if format.minor > FORMAT.minor {
        Err(RecordError::NewerMinor(format))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution;

    const TRIGGERED: &str = "\"triggered\"";

    #[test]
    fn an_unknown_major_is_refused_by_name() {
        for major in [0, 2] {
            let error = decode(LogKind::Execution, Format { major, minor: 7 }, TRIGGERED).unwrap_err();
            assert_eq!(error, RecordError::UnknownFormat(Format { major, minor: 7 }));
            assert!(error.to_string().contains(&format!("{major}.7")), "{error}");
        }
    }

    #[test]
    fn a_newer_minor_is_read_but_not_written() {
        let newer = Format { minor: FORMAT.minor + 1, ..FORMAT };
        let event = decode(LogKind::Execution, newer, TRIGGERED).unwrap();
        assert_eq!(event, Event::Execution(execution::Event::Triggered));
        let body = r#"{"need_changed":{"external":1,"state":"dead","added_later":[1,2]}}"#;
        assert!(decode(LogKind::Execution, newer, body).is_ok());
        assert_eq!(check_writable(newer), Err(RecordError::NewerMinor(newer)));
        assert_eq!(check_writable(FORMAT), Ok(()));
    }

    #[test]
    fn a_malformed_body_is_an_error_that_names_what() {
        for (body, what) in [
            ("", "EOF"),
            ("{\"triggered\"", "EOF"),
            ("\"unheard_of\"", "unheard_of"),
            (r#"{"opened":{}}"#, "base"),
            (r#"{"opened":{"base":"abc"}}"#, "commit id"),
            (r#"{"need_changed":{"external":-1,"state":"dead"}}"#, "-1"),
            (r#"{"steps_added":{"steps":[{"id":"../x","title":"t","text":"d"}]}}"#, "../x"),
            (r#"{"steps_added":{"steps":[{"id":"x","title":"t","text":"d","needs":[{}]}]}}"#, "need"),
        ] {
            let error = decode(LogKind::Execution, FORMAT, body).unwrap_err().to_string();
            assert!(error.contains(what), "{body}: {error}");
        }
        assert!(decode(LogKind::Queue, FORMAT, TRIGGERED).is_err(), "an event of another kind of log");
    }
}
