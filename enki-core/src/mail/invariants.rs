//! What must hold of the mail after every input. Unit and property tests call the same function.

use super::{Address, Kind, Mail, To};
use std::collections::BTreeMap;

/// Checks the state against itself, recomputing from scratch what is kept incrementally.
///
/// # Errors
///
/// The invariant that is broken, with the message.
pub fn check(mail: &Mail) -> Result<(), String> {
    let mut again = Mail { facts: mail.facts, last: mail.last, ..Mail::default() };
    let mut kept: BTreeMap<Address, usize> = BTreeMap::new();
    for (no, message) in &mail.messages {
        if *no > mail.last || message.thread > *no {
            return Err(format!("{no} is newer than the last one, or older than its thread"));
        }
        if message.reply_to.is_some_and(|asked| asked >= *no) {
            return Err(format!("{no} answers what came after it"));
        }
        if message.to == To::One(message.from) {
            return Err(format!("{no} is to its writer"));
        }
        if let Some(who) = message.read_by.iter().find(|who| !message.to.includes(**who) || message.from == **who) {
            return Err(format!("{who} has read {no}, which is not for it"));
        }
        if matches!((message.kind, message.to), (Kind::Request(_), To::Workers)) {
            return Err(format!("{no} asks nobody in particular"));
        }
        *kept.entry(message.from).or_default() += 1;
        again.threads.entry(message.thread).or_default().insert(*no);
        again.expiry.insert((message.expires, *no));
        match message.to {
            To::Workers => drop(again.broadcast.insert(*no)),
            To::One(to) if !message.read_by.contains(&to) => drop(again.unread.entry(to).or_default().insert(*no)),
            To::One(_) => {}
        }
    }
    if (&again.threads, &again.expiry, &again.broadcast, &again.unread)
        != (&mail.threads, &mail.expiry, &mail.broadcast, &mail.unread)
    {
        return Err("threads, expiry or what waits unread are not those of the messages".to_owned());
    }
    for (who, written) in &mail.written {
        let kept = kept.remove(who).unwrap_or(0);
        if written.kept != kept || (written.in_all as usize) < kept {
            return Err(format!("{who} is said to have written {} messages, not {kept}", written.kept));
        }
    }
    if let Some(who) = kept.keys().next() {
        return Err(format!("{who} is said to have written nothing"));
    }
    Ok(())
}
