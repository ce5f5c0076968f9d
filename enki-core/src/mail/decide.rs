//! What somebody wants of the mail, and whether they may.

use super::{
    Address, Event, Kind, LASTS, LASTS_AT_MOST, LONGEST_BODY, LONGEST_SUBJECT, MOST_OF_A_WORKER, MOST_SENT,
    MOST_UNREAD, Mail, Message, MessageNo, Priority, Status, To,
};
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// What somebody wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// To write a message.
    Send(Box<Draft>),
    /// To have read one.
    Read {
        /// Who.
        by: Address,
        /// Which.
        no: MessageNo,
    },
    /// To answer one, which is then also read.
    Reply {
        /// Who.
        by: Address,
        /// Which.
        no: MessageNo,
        /// What they say.
        body: String,
        /// What they say to the request.
        answer: Option<Status>,
    },
}

/// A message to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// By whom.
    pub from: Address,
    /// For whom.
    pub to: To,
    /// One line.
    pub subject: String,
    /// The rest.
    pub body: String,
    /// How much it matters.
    pub priority: Priority,
    /// Whether it asks for something.
    pub request: bool,
    /// The thread it belongs to; that of what it answers, or a new one, if left out.
    pub thread: Option<MessageNo>,
    /// What it answers.
    pub reply_to: Option<MessageNo>,
    /// How long it lasts; [`LASTS`] if left out.
    pub lasts: Option<Duration>,
}

/// Why it is not accepted. Nothing changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// There is none, or none for them: the two are not told apart.
    #[error("there is no message {0} of yours, or it has expired")]
    NoMessage(MessageNo),
    /// There is none that they take part in.
    #[error("there is no thread {0} of yours, or all of it has expired")]
    NoThread(MessageNo),
    /// The message that it answers is in another one.
    #[error("message {0} is in thread {1}, not in {2}")]
    OtherThread(MessageNo, MessageNo, MessageNo),
    /// It would be for nobody else.
    #[error("a message to yourself reaches nobody")]
    ToSelf,
    /// Empty, or several lines.
    #[error("the subject is empty, longer than {LONGEST_SUBJECT} characters, or more than one line")]
    Subject,
    /// Empty, too long, or with characters of zero.
    #[error("the body is empty or longer than {LONGEST_BODY} bytes, or contains NUL")]
    Body,
    /// No time, or too much of it.
    #[error("a message lasts from 1 second to {} days", LASTS_AT_MOST.as_secs() / 86_400)]
    Lasts,
    /// Nobody in particular is asked.
    #[error("a request is to one address, not to {}", To::Workers)]
    RequestToAll,
    /// They wrote too many.
    #[error("{0} has written as many messages as it may")]
    TooMany(Address),
    /// It is full.
    #[error("{MOST_UNREAD} messages wait unread for {0}")]
    Full(Address),
    /// It asked for nothing, or not for anything of them.
    #[error("message {0} is no request to you, so it is not accepted, rejected or completed")]
    NoRequest(MessageNo),
    /// It has its answer.
    #[error("request {} is {} already", .0, .1.as_str())]
    Answered(MessageNo, Status),
}

impl Mail {
    /// Decides what an input means. Pure.
    ///
    /// # Errors
    ///
    /// [`Rejected`] if it is not accepted.
    pub fn decide(&self, input: &Input, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        match input {
            Input::Send(draft) => Ok(vec![self.send(draft, now)?]),
            Input::Read { by, no } => {
                let message = self.seen(*by, *no, now)?;
                let new = message.from != *by && !message.read_by.contains(by);
                Ok(new.then_some(Event::Read { no: *no, by: *by }).into_iter().collect())
            }
            Input::Reply { by, no, body, answer } => self.reply(*by, *no, body, *answer, now),
        }
    }

    fn seen(&self, who: Address, no: MessageNo, now: Timestamp) -> Result<&Message, Rejected> {
        self.get(no, now).filter(|message| Self::sees(who, message)).ok_or(Rejected::NoMessage(no))
    }

    fn send(&self, draft: &Draft, now: Timestamp) -> Result<Event, Rejected> {
        let Draft { from, to, priority, .. } = *draft;
        let subject = draft.subject.trim();
        let long = subject.chars().count() > LONGEST_SUBJECT;
        if subject.is_empty() || long || subject.contains(|c: char| c.is_control() || "\u{2028}\u{2029}".contains(c)) {
            return Err(Rejected::Subject);
        }
        let body = draft.body.trim_end();
        if body.is_empty() || body.len() > LONGEST_BODY || body.contains('\0') {
            return Err(Rejected::Body);
        }
        let lasts = draft.lasts.unwrap_or(LASTS);
        if lasts < Duration::from_secs(1) || lasts > LASTS_AT_MOST {
            return Err(Rejected::Lasts);
        }
        if to == To::One(from) {
            return Err(Rejected::ToSelf);
        }
        if draft.request && to == To::Workers {
            return Err(Rejected::RequestToAll);
        }
        let no = MessageNo(self.last.0 + 1);
        let answered = draft.reply_to.map(|no| self.seen(from, no, now).map(|message| (no, message.thread)));
        let thread = match (answered.transpose()?, draft.thread) {
            (Some((no, is)), Some(said)) if is != said => return Err(Rejected::OtherThread(no, is, said)),
            (Some((_, is)), _) => is,
            (None, Some(said)) if self.thread(from, said, now).next().is_none() => {
                return Err(Rejected::NoThread(said));
            }
            (None, Some(said)) => said,
            (None, None) => no,
        };
        self.has_room(from, to, now)?;
        let message = Message {
            from,
            to,
            subject: subject.into(),
            body: body.into(),
            priority,
            kind: if draft.request { Kind::Request(None) } else { Kind::Note },
            thread,
            reply_to: draft.reply_to,
            at: now,
            expires: now.plus(lasts),
            read_by: BTreeSet::new(),
        };
        Ok(Event::Sent { no, message: Box::new(message), answer: None })
    }

    fn has_room(&self, from: Address, to: To, now: Timestamp) -> Result<(), Rejected> {
        let written = self.written.get(&from).copied().unwrap_or_default();
        // What has expired by now is let go of by the fact that follows.
        let expired = || {
            let gone = self.expiry.iter().take_while(|(expires, _)| *expires <= now);
            gone.filter(|(_, no)| self.messages.get(no).is_some_and(|message| message.from == from)).count()
        };
        let worker = matches!(from, Address::Worker(_)) && written.in_all >= MOST_OF_A_WORKER;
        if worker || (written.kept >= MOST_SENT && written.kept - expired() >= MOST_SENT) {
            return Err(Rejected::TooMany(from));
        }
        match to {
            To::One(to) if self.unread(to, now).count() >= MOST_UNREAD => Err(Rejected::Full(to)),
            To::One(_) | To::Workers => Ok(()),
        }
    }

    fn reply(
        &self,
        by: Address,
        no: MessageNo,
        body: &str,
        answer: Option<Status>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let asked = self.seen(by, no, now)?;
        if let Some(answer) = answer {
            match asked.kind {
                Kind::Request(before) if asked.to == To::One(by) => match before {
                    Some(before) if !answer.follows(Some(before)) => return Err(Rejected::Answered(no, before)),
                    _ => {}
                },
                Kind::Request(_) | Kind::Note => return Err(Rejected::NoRequest(no)),
            }
        }
        let subject = match asked.subject.strip_prefix("Re: ") {
            Some(_) => asked.subject.to_string(),
            None => format!("Re: {}", asked.subject).chars().take(LONGEST_SUBJECT).collect(),
        };
        let draft = Draft {
            from: by,
            // One's own words are gone on with.
            to: if asked.from == by { asked.to } else { To::One(asked.from) },
            subject,
            body: body.to_owned(),
            priority: asked.priority,
            request: false,
            thread: None,
            reply_to: Some(no),
            lasts: None,
        };
        let Event::Sent { no: new, message, .. } = self.send(&draft, now)? else { return Ok(Vec::new()) };
        let mut events = self.decide(&Input::Read { by, no }, now)?;
        events.push(Event::Sent { no: new, message, answer });
        Ok(events)
    }
}
