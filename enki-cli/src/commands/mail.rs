//! `enki mail`: what agents wrote to each other, for a person. It also shows what has expired.

use super::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::Project;
use crate::render::{self, Paint};
use crate::session::open_to_read;
use crate::source::visible;
use enki_core::id::InvalidId;
use enki_core::mail::{Event, Kind, LOG, Mail, Message, MessageNo, Priority, Status};
use enki_core::record;
use enki_core::store::{TaskStore, Version};
use enki_core::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) async fn run(cx: &mut Context, thread: Option<&str>) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let all = match open_to_read(&project.state_dir())? {
        Some(store) => read(store.as_ref()).await?,
        None => BTreeMap::new(),
    };
    let thread = thread.map(|text| thread_of(&all, text)).transpose()?;
    let shown: Vec<(&MessageNo, &Message)> =
        all.iter().filter(|(_, message)| thread.is_none_or(|thread| message.thread == thread)).collect();
    let now = cx.host.now();
    if cx.out.json {
        let messages: Vec<Value> = shown.iter().map(|(no, message)| to_json(**no, message, now)).collect();
        cx.out.object(&json!({"schema": "enki.mail.v1", "messages": messages}))?;
        return Ok(Exit::Ok);
    }
    if shown.is_empty() {
        cx.out.note("no agent wrote to another yet (mail.enabled)");
    }
    let paint = Paint(cx.out.color_out);
    for (no, message) in shown {
        cx.out.line(&line(*no, message, now, paint))?;
        if thread.is_some() {
            for line in message.body.lines() {
                cx.out.line(&format!("  {}", visible(line)))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// All messages that were ever written, as they are now.
async fn read(store: &dyn TaskStore) -> Result<BTreeMap<MessageNo, Message>, CliError> {
    let (mut mail, mut all) = (Mail::default(), BTreeMap::new());
    for row in store.load(LOG, Version(0)).await? {
        let event = record::decode_mail(row.format, &row.body).map_err(|error| {
            let message = format!("the mail cannot be read at event {}: {error}", row.version.0);
            CliError::new(Exit::Store, message).hint("use a newer enki, or a backup: enki.db.backup-* beside the store")
        })?;
        mail.apply(&event);
        let touched = match &event {
            Event::Sent { no, message, .. } => [Some(*no), message.reply_to],
            Event::Read { no, .. } => [Some(*no), None],
        };
        for no in touched.into_iter().flatten() {
            if let Some(message) = mail.get(no, Timestamp(i64::MIN)) {
                all.insert(no, message.clone());
            }
        }
    }
    Ok(all)
}

fn thread_of(all: &BTreeMap<MessageNo, Message>, text: &str) -> Result<MessageNo, CliError> {
    let no: MessageNo = text.parse().map_err(|error: InvalidId| CliError::usage(error.to_string()))?;
    let found = all.get(&no).map(|message| message.thread);
    found.ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("there is no message {no}")).hint("`enki mail` lists them")
    })
}

fn line(no: MessageNo, message: &Message, now: Timestamp, paint: Paint) -> String {
    let mut marks = Vec::new();
    match message.priority {
        Priority::High => marks.push("high".to_owned()),
        Priority::Low => marks.push("low".to_owned()),
        Priority::Normal => {}
    }
    match message.kind {
        Kind::Request(status) => marks.push(format!("request {}", status.map_or("open", Status::as_str))),
        Kind::Note => {}
    }
    if message.expires <= now {
        marks.push("expired".to_owned());
    } else if message.read_by.is_empty() {
        marks.push("unread".to_owned());
    }
    let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
    let (at, subject) = (render::time(message.at), paint.bold(&visible(&message.subject)));
    format!("{no:<8} {at}  {} to {}{marks}: {subject}", message.from, message.to)
}

fn to_json(no: MessageNo, message: &Message, now: Timestamp) -> Value {
    let (request, status) = match message.kind {
        Kind::Note => (false, None),
        Kind::Request(status) => (true, status),
    };
    json!({"id": no.to_string(), "thread": message.thread.to_string(), "from": message.from, "to": message.to,
        "subject": message.subject, "body": message.body, "priority": message.priority, "request": request,
        "status": status, "reply_to": message.reply_to.map(|no| no.to_string()), "at": render::time(message.at),
        "expires": render::time(message.expires), "expired": message.expires <= now, "read_by": message.read_by})
}
