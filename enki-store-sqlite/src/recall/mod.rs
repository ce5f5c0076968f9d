//! `Recall` on files: four JSON files are the truth, logs beside them are for people, and a search index is derived.
//!
//! Nobody has to have it open: every call looks at the files as they are then, since people and other programs may
//! write them too. Writers take a file lock; readers need none, because files are replaced and never changed.

mod document;
mod folder;
mod index;
mod logs;
mod proposals;

pub use folder::memory_folder;

use document::Document;
use enki_core::recall::{
    Entry, FailureStatus, Fault, Found, Kind, Note, Passed, Query, Recall, RecallError, Recorded, date, is_relevant,
    words,
};
use enki_core::redact::Redactor;
use enki_core::time::Timestamp;
use folder::{Folder, Stamp};
use index::{Index, IndexError, Of};
use logs::Logs;
use proposals::Proposals;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The memory of a project in a folder of its own.
#[derive(Debug)]
pub struct FileRecall {
    folder: Folder,
    redactor: Redactor,
    access: Access,
}

/// Whether files may be made, derived ones included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Access {
    Write,
    Read,
}

/// Most entries of a kind that Enki recorded by itself; the oldest of them go first. What a person wrote never goes.
const MOST_AUTOMATIC: usize = 5_000;

/// Largest text of one field, in bytes.
const TEXT_CAP: usize = 4 * 1024;

impl FileRecall {
    /// The memory in that folder, which is made when there is something to keep.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Folder::new(folder.into()), redactor: Redactor::default(), access: Access::Write }
    }

    /// The same, made to look at only: it makes no file, not even a derived one.
    #[must_use]
    pub fn read_only(folder: impl Into<PathBuf>) -> Self {
        Self { access: Access::Read, ..Self::new(folder) }
    }

    /// The same with what is taken out of everything that is recorded.
    #[must_use]
    pub fn with_redactor(self, redactor: Redactor) -> Self {
        Self { redactor, ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What tells the files from what they were: the same again means that every entry is.
    #[must_use]
    pub fn stamp(&self) -> String {
        self.folder.stamp().hash().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Every entry of these kinds, in the order of their files, and what cannot be read.
    ///
    /// # Errors
    ///
    /// If the folder cannot be looked at.
    pub fn entries(&self, kinds: &[Kind]) -> Result<(Vec<Entry>, Vec<Fault>), RecallError> {
        self.folder.look()?;
        let (mut entries, mut faults) = (Vec::new(), Vec::new());
        for kind in kinds {
            match self.folder.document(*kind) {
                Ok(document) => entries.extend(document.entries),
                Err(fault) => faults.push(fault),
            }
        }
        Ok((entries, faults))
    }

    /// The words of people and agents as they may be kept: without secrets, and not longer than anybody reads.
    fn fit(&self, text: &mut String) {
        *text = self.redactor.clean(text).replace('\0', "");
        if text.len() > TEXT_CAP {
            let mut end = TEXT_CAP;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(" ...");
        }
    }

    fn writable(&self) -> Result<(), RecallError> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => {
                Err(RecallError::new(format!("record in {}", self.path().display()), "it is open to look at only"))
            }
        }
    }

    fn fitted(&self, passed: &Passed) -> Passed {
        let mut passed = passed.clone();
        for text in [&mut passed.context, &mut passed.of, &mut passed.how, &mut passed.summary] {
            self.fit(text);
        }
        passed
    }
}

impl Recall for FileRecall {
    fn record(&self, notes: &[Note]) -> Result<Recorded, RecallError> {
        self.writable()?;
        let _lock = self.folder.lock()?;
        let before = self.folder.stamp();
        let (mut books, mut logs, mut ids) = (Books::new(&self.folder), Logs::default(), Vec::new());
        let mut proposals = None;
        for note in notes {
            ids.push(match note {
                Note::Entry { entry, at } => {
                    let mut entry = entry.clone();
                    entry.map_texts(&mut |text| self.fit(text));
                    books.keep(entry, *at, &mut logs)
                }
                Note::Passed(passed) => {
                    let passed = self.fitted(passed);
                    books.resolve(&passed, &mut logs);
                    logs.passed(&passed);
                    None
                }
                Note::Proposed { proposal, at } => {
                    let mut proposal = proposal.clone();
                    self.fit(&mut proposal.from);
                    proposal.entry.map_texts(&mut |text| self.fit(text));
                    match proposals.get_or_insert_with(|| Proposals::of(&self.folder)) {
                        Ok(proposals) => proposals.keep(proposal, *at, &mut books),
                        Err(_) => None,
                    }
                }
                _ => None,
            });
        }
        let proposals = proposals.transpose();
        let Books { open, mut faults, .. } = books;
        for mut book in open.into_values().flatten().filter(|book| book.changed) {
            let kind = book.kind;
            book.forget();
            self.folder.replace(&Folder::file(kind), &book.document.to_bytes(kind))?;
        }
        match proposals {
            Ok(Some(proposals)) => proposals.write(&self.folder)?,
            Ok(None) => {}
            Err(fault) => faults.push(fault),
        }
        faults.extend(logs.write(&self.folder)?);
        self.derive(&before);
        Ok(Recorded { ids, faults })
    }

    fn search(&self, query: &Query) -> Result<Found, RecallError> {
        let mut found = Found::default();
        let terms = words(&query.text);
        if terms.is_empty() || query.limit == 0 || !self.folder.look()? {
            return Ok(found);
        }
        let wanted = if query.for_agent { query.limit.saturating_mul(4) } else { query.limit };
        let kinds = if query.kinds.is_empty() { &Kind::ALL[..] } else { &query.kinds };
        let (index, faults) = self.index()?;
        found.hits = index
            .search(&terms, kinds, query.now, wanted)
            .map_err(|error| RecallError::new(format!("search {}", self.path().display()), error.to_string()))?;
        found.faults = faults
            .into_iter()
            .filter(|fault| kinds.iter().any(|kind| fault.path.ends_with(Folder::file(*kind))))
            .collect();
        if query.for_agent {
            found.hits.retain(|hit| is_for_agents(&hit.entry) && is_relevant(&hit.entry, &terms));
        }
        found.hits.truncate(query.limit);
        Ok(found)
    }
}

/// What was chosen by rule says nothing about the work, and what was taken back does not hold.
fn is_for_agents(entry: &Entry) -> bool {
    use enki_core::recall::DecisionStatus::Active;
    !matches!(entry, Entry::Decision(decision) if entry.is_automatic() || decision.status != Active)
}

impl FileRecall {
    /// The index of what is in the files now.
    fn index(&self) -> Result<(Index, Vec<Fault>), RecallError> {
        let stamp = self.folder.stamp();
        if let Some((index, broken)) = Index::open(&self.folder.index(), stamp.hash()) {
            return Ok((index, if broken { self.folder.faults(&stamp) } else { Vec::new() }));
        }
        if self.access == Access::Write
            && let Ok(_lock) = self.folder.lock()
        {
            // What was written meanwhile is in the files, whoever wrote it.
            let stamp = self.folder.stamp();
            let (entries, faults) = self.entries(&Kind::ALL)?;
            let of = Of { hash: stamp.hash(), broken: !faults.is_empty() };
            if let Err(error) = Index::make(&self.folder, &of, &entries) {
                tracing::debug!(%error, "the index of the memory cannot be kept");
            } else if let Some((index, _)) = Index::open(&self.folder.index(), stamp.hash()) {
                return Ok((index, faults));
            }
        }
        let (entries, faults) = self.entries(&Kind::ALL)?;
        let cannot =
            |error: IndexError| RecallError::new(format!("index {}", self.path().display()), error.to_string());
        Ok((Index::in_memory(&entries).map_err(cannot)?, faults))
    }

    /// Brings the derived files up to date. What does not work here is made good by the next search.
    fn derive(&self, before: &Stamp) {
        let after = self.folder.stamp();
        let (entries, faults) = match self.entries(&Kind::ALL) {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(%error, "the index of the memory is left as it is");
                return;
            }
        };
        let of = Of { hash: after.hash(), broken: !faults.is_empty() };
        let updated = Index::update(&self.folder.index(), before.hash(), &of, &entries).unwrap_or_else(|error| {
            tracing::debug!(%error, "the index of the memory is made anew");
            false
        });
        let made = if updated { Ok(()) } else { Index::make(&self.folder, &of, &entries) };
        if let Err(error) = made {
            tracing::debug!(%error, "the index of the memory is left as it is");
        }
        if let Err(error) = self.folder.replace("index.json", logs::contents(&entries).as_bytes()) {
            tracing::debug!(%error, "the list of the memory is left as it is");
        }
    }
}

/// `dec_YYYYMMDD_HHMMSS`; more in one second are numbered.
fn new_id(prefix: &str, at: Timestamp, numbers: &mut BTreeMap<String, u64>, taken: &mut BTreeSet<String>) -> String {
    let digits: String = date(at).chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(digits.len() - 6);
    let base = format!("{prefix}{day}_{time}");
    let number = numbers.entry(base.clone()).or_default();
    loop {
        *number += 1;
        let id = if *number == 1 { base.clone() } else { format!("{base}_{number}") };
        if taken.insert(id.clone()) {
            return id;
        }
    }
}

/// The files that a call works on, each read once.
struct Books<'a> {
    folder: &'a Folder,
    open: BTreeMap<Kind, Option<Book>>,
    faults: Vec<Fault>,
}

struct Book {
    kind: Kind,
    document: Document,
    /// Where each sameness is.
    known: BTreeMap<String, usize>,
    /// The ids that are taken, and how often one was asked for in the same second.
    ids: BTreeSet<String>,
    numbers: BTreeMap<String, u64>,
    /// Whether an entry was added or changed.
    changed: bool,
}

impl<'a> Books<'a> {
    const fn new(folder: &'a Folder) -> Self {
        Self { folder, open: BTreeMap::new(), faults: Vec::new() }
    }

    /// The file of a kind; none if it is broken, which is said once.
    fn book(&mut self, kind: Kind) -> Option<&mut Book> {
        let (folder, faults) = (self.folder, &mut self.faults);
        let opened = self.open.entry(kind).or_insert_with(|| match folder.document(kind) {
            Ok(document) => {
                let known = document.entries.iter().enumerate().map(|(n, entry)| (entry.sameness(), n)).collect();
                let ids = document.entries.iter().map(|entry| entry.id().to_owned()).collect();
                Some(Book { kind, document, known, ids, numbers: BTreeMap::new(), changed: false })
            }
            Err(fault) => {
                faults.push(fault);
                None
            }
        });
        opened.as_mut()
    }

    fn keep(&mut self, entry: Entry, at: Timestamp, logs: &mut Logs) -> Option<String> {
        let book = self.book(entry.kind())?;
        let id = book.keep(entry, at, logs);
        Some(id)
    }

    /// What failed in the same context is done with.
    fn resolve(&mut self, passed: &Passed, logs: &mut Logs) {
        if passed.context.is_empty() {
            return;
        }
        let Some(book) = self.book(Kind::Failure) else { return };
        for entry in &mut book.document.entries {
            let automatic = entry.is_automatic();
            let Entry::Failure(failure) = entry else { continue };
            if automatic && failure.context == passed.context && failure.status == FailureStatus::Unresolved {
                failure.status = FailureStatus::Resolved;
                if failure.resolution.is_empty() {
                    let said = if passed.summary.is_empty() { "" } else { ": " };
                    failure.resolution = format!("passed with attempt {}{said}{}", passed.attempts, passed.summary);
                }
                book.changed = true;
                logs.entry(entry, passed.at);
            }
        }
    }
}

impl Book {
    fn keep(&mut self, mut entry: Entry, at: Timestamp, logs: &mut Logs) -> String {
        let sameness = entry.sameness();
        let place = match self.known.get(&sameness) {
            Some(place) => {
                self.document.entries[*place].take_up(entry);
                *place
            }
            None => {
                if entry.id().is_empty() {
                    entry.set_id(new_id(self.kind.prefix(), at, &mut self.numbers, &mut self.ids));
                }
                self.known.insert(sameness, self.document.entries.len());
                self.document.entries.push(entry);
                self.document.entries.len() - 1
            }
        };
        let kept = &self.document.entries[place];
        let id = kept.id().to_owned();
        logs.entry(kept, at);
        self.changed = true;
        id
    }

    /// The oldest that Enki recorded by itself go, if there are too many of them.
    fn forget(&mut self) {
        let automatic = self.document.entries.iter().enumerate().filter(|(_, entry)| entry.is_automatic());
        let mut automatic: Vec<(String, usize)> =
            automatic.map(|(place, entry)| (entry.when().to_owned(), place)).collect();
        automatic.sort_unstable();
        let surplus = automatic.len().saturating_sub(MOST_AUTOMATIC);
        let gone: BTreeSet<usize> = automatic.into_iter().take(surplus).map(|(_, place)| place).collect();
        let mut place = 0;
        self.document.entries.retain(|_| {
            place += 1;
            !gone.contains(&(place - 1))
        });
    }
}
