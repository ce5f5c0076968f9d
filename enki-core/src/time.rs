//! Points in time, as arguments. No machine reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Milliseconds since the Unix epoch. Supplied by the caller; used for deadlines and for display, never for order.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// That much later; stays at the last representable instant.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Whether nothing is said by it: what is not stored.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(crate) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// The time since `earlier`, zero if the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A wait, as it was decided: from when until when.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Wait {
    /// When it is over.
    pub until: Timestamp,
    /// When it began; zero if that is not known.
    pub since: Timestamp,
}

impl Wait {
    /// No wait at all.
    pub const NONE: Self = Self { until: Timestamp(0), since: Timestamp(0) };

    /// Whether it is over. It is for a clock that stands before its begin too: that one was set back, and nobody is to wait
    /// longer by as much as it was. So a wait takes at most twice its length, whatever becomes of the clock.
    #[must_use]
    pub fn is_over(self, now: Timestamp) -> bool {
        self.until <= now || now < self.since
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Whole milliseconds on the wire.
pub(crate) mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }
}
