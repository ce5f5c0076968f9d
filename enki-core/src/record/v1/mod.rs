//! Stored format 1: one line of JSON for each event.
//!
//! An event is its name in snake case, with its fields: `{"opened":{"base":"9fceb02…"}}`, or just the name if it has
//! none: `"triggered"`. Steps are their position in the plan, from 0. Ids are lower-case hex, times are milliseconds
//! since the Unix epoch, durations milliseconds. A field at its default is left out; unknown fields are skipped.
//!
//! Leaf types that are plain data are used as they are where they are defined, and say there that they are part of
//! this format.

mod chains;
mod execution;
#[cfg(test)]
mod golden;
mod mail;
mod plan;
mod queue;

pub use chains::ChainsEvent;
pub use execution::ExecutionEvent;
pub use mail::MailEvent;
pub use plan::{After, Brief, Need, Plan, Start, Step};
pub use queue::QueueEvent;

use crate::chain::outside;
use crate::engine::Event;
use crate::store::LogKind;

/// The body of an event.
pub(super) fn encode(event: &Event) -> String {
    let body = match event {
        Event::Execution(event) => serde_json::to_string(&ExecutionEvent::from(event)),
        Event::Queue(event) => serde_json::to_string(&QueueEvent::from(event)),
    };
    body.expect("wire types have only string keys and no serializer of theirs fails")
}

/// The body of an event of an outside coordinator's chains.
pub(super) fn encode_chains(event: &outside::Event) -> String {
    serde_json::to_string(&ChainsEvent::from(event)).expect("wire types have only string keys")
}

/// The event of such a body, or what is wrong with it.
pub(super) fn decode_chains(body: &str) -> Result<outside::Event, String> {
    serde_json::from_str::<ChainsEvent<'_>>(body).map(ChainsEvent::into_event).map_err(|error| error.to_string())
}

/// The body of an event of the mail.
pub(super) fn encode_mail(event: &crate::mail::Event) -> String {
    serde_json::to_string(&MailEvent::from(event)).expect("wire types have only string keys")
}

/// The event of such a body, or what is wrong with it.
pub(super) fn decode_mail(body: &str) -> Result<crate::mail::Event, String> {
    serde_json::from_str::<MailEvent<'_>>(body).map(MailEvent::into_event).map_err(|error| error.to_string())
}

/// The event of a body, or what is wrong with it.
pub(super) fn decode(kind: LogKind, body: &str) -> Result<Event, String> {
    let malformed = |error: serde_json::Error| error.to_string();
    match kind {
        LogKind::Execution => {
            let wire: ExecutionEvent<'_> = serde_json::from_str(body).map_err(malformed)?;
            wire.into_event().map(Event::Execution)
        }
        LogKind::Queue => {
            let wire: QueueEvent<'_> = serde_json::from_str(body).map_err(malformed)?;
            Ok(Event::Queue(wire.into_event()))
        }
        LogKind::Chains | LogKind::Mail => Err(format!("a log of {} is no machine's here", kind.as_str())),
    }
}
