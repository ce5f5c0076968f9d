//! The mail of a project, as it is stored: decided, appended, and only then changed.

use crate::failure::{Code, Failure};
use crate::text::visible;
use enki_core::mail::{Event, Input, LOG, Mail, Rejected};
use enki_core::record;
use enki_core::redact::Redactor;
use enki_core::store::{Append, Holder, Lease, StoreError, StoreErrorKind, TaskStore, Version};
use enki_core::time::Timestamp;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The mail of one project. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Post(Arc<Inner>);

struct Inner {
    /// None as long as the project has no store: then there is no mail.
    store: Option<Arc<dyn TaskStore>>,
    /// None where it is only looked at.
    lease: Option<Lease>,
    clock: fn() -> Timestamp,
    redactor: Redactor,
    /// None where it has to be read again: nothing is known of an append that was not waited for.
    state: Mutex<Option<Mail>>,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("writes", &self.0.lease.is_some()).finish_non_exhaustive()
    }
}

impl Post {
    /// To read and write. The caller holds the project's lock, so that nobody else writes; secrets are taken out of what
    /// is written.
    ///
    /// # Errors
    ///
    /// If the store cannot be written.
    pub async fn open(
        store: Arc<dyn TaskStore>,
        holder: &Holder,
        clock: fn() -> Timestamp,
        redactor: Redactor,
    ) -> Result<Self, StoreError> {
        let now = clock();
        // It expires at once, so that whoever has the project's lock next need not wait for it. Until then it is ours.
        let lease = store.acquire("mail", holder, now, now).await?;
        Ok(Self(Arc::new(Inner { store: Some(store), lease: Some(lease), clock, redactor, state: Mutex::default() })))
    }

    /// Only to read.
    #[must_use]
    pub fn looking(store: Option<Arc<dyn TaskStore>>, clock: fn() -> Timestamp) -> Self {
        let redactor = Redactor::default();
        Self(Arc::new(Inner { store, lease: None, clock, redactor, state: Mutex::default() }))
    }

    /// Looks at it.
    pub(crate) async fn look<T>(&self, look: impl FnOnce(&Mail, Timestamp) -> T) -> Result<T, Failure> {
        let mut state = self.0.state.lock().await;
        let mail = match state.take() {
            Some(mail) => mail,
            None => self.read().await?,
        };
        Ok(look(state.insert(mail), (self.0.clock)()))
    }

    /// Says something, and gives what became of it. Durable on return.
    pub(crate) async fn say(&self, mut input: Input) -> Result<Vec<Event>, Failure> {
        let clean = |text: &mut String| *text = self.0.redactor.clean(text);
        match &mut input {
            Input::Send(draft) => {
                clean(&mut draft.subject);
                clean(&mut draft.body);
            }
            Input::Reply { body, .. } => clean(body),
            Input::Read { .. } => {}
        }
        let mut state = self.0.state.lock().await;
        let mut mail = match state.take() {
            Some(mail) => mail,
            None => self.read().await?,
        };
        let now = (self.0.clock)();
        let events = match mail.decide(&input, now) {
            Ok(events) => events,
            Err(rejected) => {
                *state = Some(mail);
                return Err(rejected.into());
            }
        };
        if !events.is_empty() {
            let (Some(store), Some(lease)) = (&self.0.store, &self.0.lease) else {
                *state = Some(mail);
                let message = "nothing was ever submitted in this project, so there is nobody to write to";
                return Err(Failure::new(Code::InvalidState, message, "nothing was sent"));
            };
            let append = Append {
                log: LOG,
                expected: Version(mail.facts()),
                at: now,
                format: record::FORMAT,
                events: events.iter().map(record::encode_mail).collect(),
                summary: None,
                tasks: Vec::new(),
            };
            // Whatever cuts this short leaves no state behind: what is in the log is read again.
            store.append(lease, vec![append]).await.map_err(|error| stored(&error))?;
            events.iter().for_each(|event| mail.apply(event));
        }
        *state = Some(mail);
        Ok(events)
    }

    async fn read(&self) -> Result<Mail, Failure> {
        let mut mail = Mail::default();
        let Some(store) = &self.0.store else { return Ok(mail) };
        for row in store.load(LOG, Version(0)).await.map_err(|error| stored(&error))? {
            let unreadable = |error: record::RecordError| {
                let message = format!("the mail cannot be used at event {}: {error}", row.version.0);
                Failure::new(Code::Unavailable, message, "tell the person; nothing else is touched by it")
            };
            if self.0.lease.is_some() {
                record::check_writable(row.format).map_err(unreadable)?;
            }
            mail.apply(&record::decode_mail(row.format, &row.body).map_err(unreadable)?);
        }
        Ok(mail)
    }
}

fn stored(error: &StoreError) -> Failure {
    let code = if matches!(error.kind, StoreErrorKind::LeaseLost(_)) { Code::Locked } else { Code::Unavailable };
    Failure::new(
        code,
        visible(&error.to_string()),
        "it may be there or not: look with enki_mail_inbox, then call again",
    )
}

impl From<Rejected> for Failure {
    fn from(why: Rejected) -> Self {
        let (code, hint) = match &why {
            Rejected::NoMessage(_) => (Code::NotFound, "enki_mail_inbox lists yours"),
            Rejected::NoThread(_) => (Code::NotFound, "leave thread_id out for a new one"),
            Rejected::OtherThread(..) => (Code::ValidationError, "leave thread_id out: reply_to gives it"),
            Rejected::ToSelf => (Code::ValidationError, "name another address"),
            Rejected::Subject => (Code::ValidationError, "say in one line what it is about"),
            Rejected::Body => (Code::ValidationError, "shorten it, or name a file that the other can read"),
            Rejected::Lasts => (Code::ValidationError, "leave ttl_seconds out for 7 days"),
            Rejected::RequestToAll => (Code::ValidationError, "send a note, or ask one worker"),
            Rejected::TooMany(_) => (Code::InvalidState, "go on with your work"),
            Rejected::Full(_) => (Code::InvalidState, "nothing was sent; it has to read first"),
            Rejected::NoRequest(_) => (Code::ValidationError, "leave status out"),
            Rejected::Answered(..) => (Code::InvalidState, "leave status out to say more"),
            _ => (Code::InvalidState, "nothing was sent"),
        };
        Self::new(code, why.to_string(), hint)
    }
}
