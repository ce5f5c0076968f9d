//! Mail between the agents of a project: messages with threads, requests and their answers, kept in one log.
//!
//! It never changes the state of any work. Who may read a message is [`Mail::sees`], and nothing else decides it. What
//! has expired is gone from here as soon as a later fact is recorded; the log keeps it.

mod address;
mod decide;
pub mod invariants;

pub use address::{Address, MessageNo, To};
pub use decide::{Draft, Input, Rejected};

use crate::store::{LogId, LogKind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The log of a project's mail.
pub const LOG: LogId = LogId { kind: LogKind::Mail, id: 0 };

/// Longest subject, in characters.
pub const LONGEST_SUBJECT: usize = 200;

/// Longest body, in bytes.
pub const LONGEST_BODY: usize = 16 * 1024;

/// How long a message lasts that does not say so.
pub const LASTS: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long one may last.
pub const LASTS_AT_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many messages one address may have in other boxes that have not expired: whoever writes more is not heard.
pub const MOST_SENT: usize = 200;

/// How many messages a worker may write in all.
pub const MOST_OF_A_WORKER: u32 = 500;

/// How many messages may wait unread for one address.
pub const MOST_UNREAD: usize = 100;

/// How much it matters, the most first.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it; part of stored format 1")]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

/// What an addressee says to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it; part of stored format 1")]
pub enum Status {
    Accepted,
    Rejected,
    Completed,
}

impl Status {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Completed => "completed",
        }
    }

    /// Whether that may be said after `before`: what was rejected or completed stays so.
    #[must_use]
    pub const fn follows(self, before: Option<Self>) -> bool {
        match before {
            None => true,
            Some(Self::Accepted) => !matches!(self, Self::Accepted),
            Some(Self::Rejected | Self::Completed) => false,
        }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It tells something.
    Note,
    /// It asks for something, and its addressee has said that, or nothing yet.
    Request(Option<Status>),
}

/// A message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Who wrote it.
    pub from: Address,
    /// Whom it is for.
    pub to: To,
    /// One line.
    pub subject: Box<str>,
    /// The rest.
    pub body: Box<str>,
    /// How much it matters.
    pub priority: Priority,
    /// What it is.
    pub kind: Kind,
    /// The first message of its thread, which may be itself.
    pub thread: MessageNo,
    /// What it answers.
    pub reply_to: Option<MessageNo>,
    /// When it was written.
    pub at: Timestamp,
    /// From when on it is gone.
    pub expires: Timestamp,
    /// Who has read it.
    pub read_by: BTreeSet<Address>,
}

/// A fact.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A message was written. `read_by` is empty.
    Sent {
        /// Its number.
        no: MessageNo,
        /// The message.
        message: Box<Message>,
        /// What it says to the request that it answers.
        answer: Option<Status>,
    },
    /// Somebody read one.
    Read {
        /// Which.
        no: MessageNo,
        /// Who.
        by: Address,
    },
}

/// The mail of a project.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mail {
    facts: u64,
    last: MessageNo,
    messages: BTreeMap<MessageNo, Message>,
    /// What waits unread for one address alone.
    unread: BTreeMap<Address, BTreeSet<MessageNo>>,
    /// What is for all workers.
    broadcast: BTreeSet<MessageNo>,
    threads: BTreeMap<MessageNo, BTreeSet<MessageNo>>,
    expiry: BTreeSet<(Timestamp, MessageNo)>,
    written: BTreeMap<Address, Written>,
}

/// What an address has written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Written {
    in_all: u32,
    kept: usize,
}

impl Mail {
    /// Number of facts so far: the version of its log.
    #[must_use]
    pub const fn facts(&self) -> u64 {
        self.facts
    }

    /// The message of that number, unless it has expired. Whether somebody may see it is [`Mail::sees`].
    #[must_use]
    pub fn get(&self, no: MessageNo, now: Timestamp) -> Option<&Message> {
        self.messages.get(&no).filter(|message| message.expires > now)
    }

    /// All messages that have not expired, oldest first.
    pub fn all(&self, now: Timestamp) -> impl Iterator<Item = (MessageNo, &Message)> {
        self.messages.iter().filter(move |(_, message)| message.expires > now).map(|(no, message)| (*no, message))
    }

    /// Whether whoever has that address may see a message: they wrote it, or it is for them.
    #[must_use]
    pub fn sees(who: Address, message: &Message) -> bool {
        message.from == who || message.to.includes(who)
    }

    /// What is for that address, newest first.
    pub fn inbox(&self, of: Address, now: Timestamp) -> impl Iterator<Item = (MessageNo, &Message)> {
        let mine = move |message: &Message| message.from != of && message.to.includes(of) && message.expires > now;
        self.messages.iter().rev().filter(move |(_, message)| mine(message)).map(|(no, message)| (*no, message))
    }

    /// What is for that address and was not read, oldest first.
    pub fn unread(&self, of: Address, now: Timestamp) -> impl Iterator<Item = (MessageNo, &Message)> {
        let own = self.unread.get(&of).into_iter().flatten();
        let all = self.broadcast.iter().filter(move |_| matches!(of, Address::Worker(_)));
        let found: BTreeSet<MessageNo> = own.chain(all).copied().collect();
        let is = move |message: &&Message| message.from != of && !message.read_by.contains(&of);
        found.into_iter().filter_map(move |no| Some((no, self.get(no, now).filter(is)?)))
    }

    /// What that address may see of a thread, oldest first.
    pub fn thread(
        &self,
        of: Address,
        thread: MessageNo,
        now: Timestamp,
    ) -> impl Iterator<Item = (MessageNo, &Message)> {
        let all = self.threads.get(&thread).into_iter().flatten();
        all.filter_map(move |no| Some((*no, self.get(*no, now).filter(|message| Self::sees(of, message))?)))
    }

    /// Changes the state by one fact. Total, live and on replay.
    pub fn apply(&mut self, event: &Event) {
        self.facts += 1;
        match event {
            Event::Sent { no, message, answer } => {
                self.forget(message.at);
                if let (Some(said), Some(asked)) = (answer, message.reply_to.and_then(|no| self.messages.get_mut(&no)))
                    && let Kind::Request(status) = &mut asked.kind
                {
                    *status = Some(*said);
                }
                self.last = self.last.max(*no);
                self.threads.entry(message.thread).or_default().insert(*no);
                self.expiry.insert((message.expires, *no));
                let written = self.written.entry(message.from).or_default();
                (written.in_all, written.kept) = (written.in_all.saturating_add(1), written.kept + 1);
                match message.to {
                    To::One(to) => drop(self.unread.entry(to).or_default().insert(*no)),
                    To::Workers => drop(self.broadcast.insert(*no)),
                }
                self.messages.insert(*no, (**message).clone());
            }
            Event::Read { no, by } => {
                let Some(message) = self.messages.get_mut(no) else { return };
                message.read_by.insert(*by);
                drop_from(&mut self.unread, by, *no);
            }
        }
    }

    /// Lets go of what had expired by then.
    fn forget(&mut self, by: Timestamp) {
        while let Some((expires, no)) = self.expiry.first().copied().filter(|(expires, _)| *expires <= by) {
            self.expiry.remove(&(expires, no));
            let Some(message) = self.messages.remove(&no) else { continue };
            drop_from(&mut self.threads, &message.thread, no);
            self.broadcast.remove(&no);
            if let To::One(to) = message.to {
                drop_from(&mut self.unread, &to, no);
            }
            if let Some(written) = self.written.get_mut(&message.from) {
                written.kept = written.kept.saturating_sub(1);
            }
        }
    }
}

fn drop_from<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<MessageNo>>, key: &K, no: MessageNo) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(&no);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}
