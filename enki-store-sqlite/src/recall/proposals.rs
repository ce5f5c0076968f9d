//! What agents proposed, in a file of its own beside the entries: no search and no index knows it.

use super::{Books, FileRecall, new_id};
use crate::recall::folder::Folder;
use enki_core::recall::{Fault, Note, Proposal, Recall, RecallError};
use enki_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

const FILE: &str = "proposals.json";

/// Most proposals that wait for a person; the oldest of them go first.
const MOST: usize = 200;

/// The proposals of a call, read once.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    list: Vec<Proposal>,
    numbers: BTreeMap<String, u64>,
    changed: bool,
}

impl Proposals {
    pub(super) fn of(folder: &Folder) -> Result<Self, Fault> {
        let Some(bytes) = folder.read(FILE)? else { return Ok(Self::default()) };
        let list = serde_json::from_slice(&bytes).map_err(|error| Fault {
            path: folder.path().join(FILE),
            line: error.line().max(1),
            column: error.column().max(1),
            reason: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        })?;
        Ok(Self { list, ..Self::default() })
    }

    /// Keeps a proposal, and gives its id. The same is proposed once, and not at all if it is remembered already.
    pub(super) fn keep(&mut self, mut proposal: Proposal, at: Timestamp, books: &mut Books<'_>) -> Option<String> {
        let entry = &proposal.entry;
        let known = books.book(entry.kind()).is_some_and(|book| book.known.contains_key(&entry.sameness()));
        if known {
            return None;
        }
        if let Some(same) = self.list.iter().find(|other| other.entry.is_same(entry)) {
            return Some(same.id.clone());
        }
        let mut taken: BTreeSet<String> = self.list.iter().map(|other| other.id.clone()).collect();
        proposal.id = new_id("prop_", at, &mut self.numbers, &mut taken);
        let id = proposal.id.clone();
        self.list.push(proposal);
        self.list.drain(..self.list.len().saturating_sub(MOST));
        self.changed = true;
        Some(id)
    }

    pub(super) fn write(&self, folder: &Folder) -> Result<(), RecallError> {
        if !self.changed {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&self.list).expect("entries have texts as keys");
        folder.replace(FILE, format!("{text}\n").as_bytes())
    }
}

impl FileRecall {
    /// What waits for a person, the oldest first.
    ///
    /// # Errors
    ///
    /// What is wrong with their file, and where.
    pub fn proposals(&self) -> Result<Vec<Proposal>, Fault> {
        Proposals::of(&self.folder).map(|proposals| proposals.list)
    }

    /// Makes a proposal an entry, as if the person had written it, and gives the id of that. `None` if there is no such
    /// proposal. It is no proposal any more only once the entry is there: after a crash it may be taken again, and is
    /// the same entry then.
    ///
    /// # Errors
    ///
    /// What could not be read or written.
    pub fn take(&self, id: &str, at: Timestamp) -> Result<Option<String>, RecallError> {
        let found = self.proposals().map_err(|fault| broken("take a proposal", &fault))?;
        let Some(proposal) = found.into_iter().find(|proposal| proposal.id == id) else { return Ok(None) };
        let mut entry = proposal.entry;
        entry.set_date(proposal.date);
        let recorded = self.record(&[Note::Entry { entry, at }])?;
        let Some(kept) = recorded.ids.into_iter().flatten().next() else {
            let fault = recorded.faults.first();
            return Err(fault.map_or_else(
                || RecallError::new("take a proposal", "nothing was recorded"),
                |fault| broken("take a proposal", fault),
            ));
        };
        self.drop_proposal(id)?;
        Ok(Some(kept))
    }

    /// Forgets a proposal. Whether there was one.
    ///
    /// # Errors
    ///
    /// What could not be read or written.
    pub fn drop_proposal(&self, id: &str) -> Result<bool, RecallError> {
        self.writable()?;
        let _lock = self.folder.lock()?;
        let mut proposals = Proposals::of(&self.folder).map_err(|fault| broken("drop a proposal", &fault))?;
        let before = proposals.list.len();
        proposals.list.retain(|proposal| proposal.id != id);
        proposals.changed = proposals.list.len() < before;
        proposals.write(&self.folder)?;
        Ok(proposals.changed)
    }
}

fn broken(attempted: &str, fault: &Fault) -> RecallError {
    RecallError::new(attempted, format!("{fault}; repair the file, or move it away"))
}
