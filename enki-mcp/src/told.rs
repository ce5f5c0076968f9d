//! What a call that waits tells before it answers.

use tokio::sync::mpsc;

/// Where a call tells how far it is. Cheap to clone; what nobody hears is lost, and holds nothing up.
#[derive(Clone, Debug, Default)]
pub struct Told(Option<mpsc::Sender<String>>);

impl Told {
    /// With whoever hears it.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<String>) {
        let (tells, hears) = mpsc::channel(WAITING);
        (Self(Some(tells)), hears)
    }

    /// Tells a line.
    pub fn say(&self, line: impl Into<String>) {
        if let Some(tells) = &self.0 {
            // Whoever does not keep up misses some: the answer has it all.
            drop(tells.try_send(line.into()));
        }
    }
}

/// How many lines may wait to be heard.
const WAITING: usize = 64;
