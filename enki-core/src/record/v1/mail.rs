//! Events of the mail between agents, as they are stored.

use crate::mail::{Address, Event, Kind, Message, MessageNo, Priority, Status, To};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// What is recorded of the mail; see the variant of that name of [`Event`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailEvent<'a> {
    /// A message was written.
    Sent {
        /// Its number.
        no: MessageNo,
        /// By whom.
        from: Address,
        /// For whom.
        to: To,
        /// One line.
        subject: Cow<'a, str>,
        /// The rest.
        body: Cow<'a, str>,
        /// How much it matters.
        #[serde(default, skip_serializing_if = "is_normal")]
        priority: Priority,
        /// Whether it asks for something.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        request: bool,
        /// The first message of its thread, unless it is that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<MessageNo>,
        /// What it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<MessageNo>,
        /// What it says to the request that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Status>,
        /// When it was written.
        at: Timestamp,
        /// From when on it is gone.
        expires: Timestamp,
    },
    /// Somebody read one.
    Read {
        /// Which.
        no: MessageNo,
        /// Who.
        by: Address,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_normal(priority: &Priority) -> bool {
    *priority == Priority::Normal
}

impl<'a> From<&'a Event> for MailEvent<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::Sent { no, message, answer } => Self::Sent {
                no: *no,
                from: message.from,
                to: message.to,
                subject: Cow::Borrowed(&message.subject),
                body: Cow::Borrowed(&message.body),
                priority: message.priority,
                request: matches!(message.kind, Kind::Request(_)),
                thread: (message.thread != *no).then_some(message.thread),
                reply_to: message.reply_to,
                answer: *answer,
                at: message.at,
                expires: message.expires,
            },
            Event::Read { no, by } => Self::Read { no: *no, by: *by },
        }
    }
}

impl MailEvent<'_> {
    /// The event it stands for.
    pub(super) fn into_event(self) -> Event {
        match self {
            Self::Sent { no, from, to, subject, body, priority, request, thread, reply_to, answer, at, expires } => {
                let kind = if request { Kind::Request(None) } else { Kind::Note };
                let (subject, body, thread) = (subject.into(), body.into(), thread.unwrap_or(no));
                let read_by = BTreeSet::new();
                let message =
                    Message { from, to, subject, body, priority, kind, thread, reply_to, at, expires, read_by };
                Event::Sent { no, message: Box::new(message), answer }
            }
            Self::Read { no, by } => Event::Read { no, by },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{decode_mail, encode_mail};
    use super::*;

    const MAIL: &str = include_str!("../../../tests/golden/v1/mail.jsonl");

    fn log() -> Vec<Event> {
        let worker = Address::Worker("task-0f3a91c2d4e5".parse().unwrap());
        let sent = |no, change: &dyn Fn(&mut Message), answer| {
            let mut message = Message {
                from: Address::Coordinator,
                to: To::One(worker),
                subject: "The \"routes\"".into(),
                body: "two\nlines".into(),
                priority: Priority::Normal,
                kind: Kind::Note,
                thread: MessageNo(no),
                reply_to: None,
                at: Timestamp(1_700_000_000_000),
                expires: Timestamp(1_700_000_001_000),
                read_by: BTreeSet::new(),
            };
            change(&mut message);
            Event::Sent { no: MessageNo(no), message: Box::new(message), answer }
        };
        let answer = |message: &mut Message| {
            (message.from, message.to) = (worker, To::One(Address::Coordinator));
            (message.thread, message.reply_to) = (MessageNo(2), Some(MessageNo(2)));
        };
        vec![
            sent(1, &|message| (message.to, message.priority) = (To::Workers, Priority::High), None),
            sent(2, &|message| (message.kind, message.priority) = (Kind::Request(None), Priority::Low), None),
            Event::Read { no: MessageNo(2), by: worker },
            sent(3, &answer, Some(Status::Accepted)),
            sent(4, &answer, Some(Status::Rejected)),
            sent(5, &answer, Some(Status::Completed)),
        ]
    }

    /// With `WRITE_GOLDEN` set it is written, which is for a format that is not released yet and for nothing else.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a switch of the test itself")]
    fn the_golden_log_is_what_was_first_written_and_read_as_it_was_meant() {
        let lines = log().iter().fold(String::new(), |all, event| all + &encode_mail(event) + "\n");
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
            std::fs::write(folder.join("mail.jsonl"), &lines).unwrap();
            return;
        }
        assert_eq!(MAIL, lines);
        let read: Vec<Event> = MAIL.lines().map(|line| decode_mail(line).unwrap()).collect();
        assert_eq!(read, log());
        for bad in ["", "\"sent\"", r#"{"read":{"no":1}}"#, r#"{"read":{"no":1,"by":"worker/../x"}}"#] {
            assert!(decode_mail(bad).is_err(), "{bad}");
        }
    }
}
