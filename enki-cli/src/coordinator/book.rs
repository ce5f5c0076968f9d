//! Conversations, each a file of lines in `.enki/coordinator`, synced line by line. What agents said belongs into files,
//! never into the store.

use crate::error::CliError;
use crate::exit::Exit;
use crate::lock::random_hex;
use enki_core::agent::{AgentExit, Usage};
use enki_core::id::ExecutionId;
use enki_core::time::Timestamp;
use enki_core::wake::Did;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// One line of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Line {
    /// The person spoke.
    Person { at: Timestamp, text: String },
    /// A turn begins; written before its agent starts.
    Turn {
        at: Timestamp,
        turn: u32,
        by_person: bool,
        /// Up to which event of each execution it is told.
        told: BTreeMap<ExecutionId, u64>,
    },
    /// The coordinator spoke.
    Said { at: Timestamp, turn: u32, text: String },
    /// The turn is over.
    Ended { at: Timestamp, turn: u32, session: Option<String>, usage: Usage, exit: AgentExit, changed: bool },
}

/// Which conversation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Which {
    /// The last one; a new one if there is none.
    Current,
    /// A new one.
    New,
}

/// A conversation that this process goes on with. No other can meanwhile.
#[derive(Debug)]
pub(crate) struct Book {
    id: String,
    folder: PathBuf,
    file: File,
    _lock: File,
    state: State,
}

/// What the lines say.
#[derive(Debug, Default)]
struct State {
    turns: u32,
    /// The session to go on with: that of the last turn that ended.
    session: Option<String>,
    told: BTreeMap<ExecutionId, u64>,
    used: Usage,
    /// Words of the person that no turn has ended well with: it has to be told them again.
    words: Vec<String>,
    /// Turns since the person spoke that they did not call for, and what the last one did.
    taken: u32,
    did: Option<Did>,
    /// A turn that did not end.
    open: Option<Open>,
}

/// A turn that did not end.
#[derive(Debug)]
struct Open {
    by_person: bool,
    told: BTreeMap<ExecutionId, u64>,
    /// How many of the words it is told. The person may speak meanwhile.
    words: usize,
}

impl State {
    fn apply(&mut self, line: &Line) {
        match line {
            Line::Person { text, .. } => {
                (self.taken, self.did) = (0, None);
                self.words.push(text.clone());
            }
            Line::Turn { turn, by_person, told, .. } => {
                self.turns = *turn;
                self.taken += u32::from(!by_person);
                let words = if *by_person { self.words.len() } else { 0 };
                self.open = Some(Open { by_person: *by_person, told: told.clone(), words });
            }
            Line::Said { .. } => {}
            Line::Ended { session, usage, exit, changed, .. } => {
                let Some(Open { by_person, told, words }) = self.open.take() else { return };
                self.used = self.used.plus(*usage);
                self.did = (!by_person).then_some(if *changed { Did::Something } else { Did::Nothing });
                if *exit == AgentExit::Success {
                    self.told = told;
                    self.words.drain(..words.min(self.words.len()));
                    self.session = session.clone().or(self.session.take());
                }
            }
        }
    }
}

impl Book {
    /// Takes a conversation up, or begins it.
    pub(crate) fn open(enki_dir: &Path, which: Which) -> Result<Self, CliError> {
        let folder = enki_dir.join("coordinator");
        let cannot = |error| cannot(&folder, &error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(cannot)?;
        let lock = own(OpenOptions::new().write(true).create(true).truncate(false), &folder, "lock")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(CliError::new(Exit::Locked, "another process speaks with the coordinator of this project")
                    .hint("wait until it has ended, or end it with Ctrl-C"));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        let current = folder.join("current");
        let known = match (which, fs::read_to_string(&current)) {
            (Which::New, _) => None,
            (Which::Current, Ok(id)) => Some(id.trim().to_owned()).filter(|id| is_id(id)),
            (Which::Current, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            (Which::Current, Err(error)) => return Err(cannot(error)),
        };
        let id = known.unwrap_or_else(random_hex);
        let (file, lines) = read(&folder, &id)?;
        let mut state = State::default();
        lines.iter().for_each(|line| state.apply(line));
        set_current(&folder, &id)?;
        Ok(Self { id, folder, file, _lock: lock, state })
    }

    /// Begins another conversation. This one's file is kept.
    pub(crate) fn renew(&mut self) -> Result<(), CliError> {
        let id = random_hex();
        let (file, _) = read(&self.folder, &id)?;
        set_current(&self.folder, &id)?;
        (self.id, self.file, self.state) = (id, file, State::default());
        Ok(())
    }

    /// All of it so far.
    pub(crate) fn lines(&self) -> Result<Vec<Line>, CliError> {
        Ok(read(&self.folder, &self.id)?.1)
    }

    /// Adds a line. Durable on return.
    pub(crate) fn add(&mut self, line: &Line) -> Result<(), CliError> {
        let text = serde_json::to_string(line).map_err(|error| CliError::new(Exit::Internal, error.to_string()))?;
        let written = self.file.write_all(format!("{text}\n").as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            CliError::environment(format!("cannot write down what was said, in {}: {error}", self.folder.display()))
                .hint("check the disk; nothing was begun that is not written down")
        })?;
        self.state.apply(line);
        Ok(())
    }

    /// Its name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Where it keeps what belongs to it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The session to go on with.
    pub(crate) fn session(&self) -> Option<String> {
        self.state.session.clone()
    }

    /// The number of the next turn.
    pub(crate) const fn next(&self) -> u32 {
        self.state.turns + 1
    }

    /// What the person said that it does not know yet.
    pub(crate) fn words(&self) -> Option<String> {
        (!self.state.words.is_empty()).then(|| self.state.words.join("\n\n"))
    }

    /// Whether the last turn was cut off.
    pub(crate) const fn is_cut(&self) -> bool {
        self.state.open.is_some()
    }

    /// Up to which event of an execution it was told.
    pub(crate) fn told(&self, execution: ExecutionId) -> u64 {
        self.state.told.get(&execution).copied().unwrap_or(0)
    }

    /// What it used, over all turns that ended.
    pub(crate) const fn used(&self) -> Usage {
        self.state.used
    }

    /// Turns since the person spoke, and what the last one did.
    pub(crate) fn taken(&self) -> (u32, Did) {
        (self.state.taken, self.state.did.unwrap_or(Did::Something))
    }
}

/// Opens a conversation's file to add to it, and gives what is in it.
fn read(folder: &Path, id: &str) -> Result<(File, Vec<Line>), CliError> {
    let cannot = |error| cannot(folder, &error);
    let mut file = own(OpenOptions::new().read(true).append(true).create(true), folder, &format!("{id}.jsonl"))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(cannot)?;
    // A line that a kill cut short was never acted on.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        file.set_len(whole as u64).map_err(cannot)?;
    }
    let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
    let line = |(n, line)| {
        serde_json::from_slice(line).map_err(|error| {
            let place = folder.display();
            CliError::environment(format!("cannot read line {} of {id}.jsonl in {place}: {error}", n + 1))
                .hint("begin another conversation with `enki ask --new`; this one's file is kept")
        })
    };
    Ok((file, lines.map(line).collect::<Result<_, _>>()?))
}

/// Makes it the one that is gone on with.
fn set_current(folder: &Path, id: &str) -> Result<(), CliError> {
    let cannot = |error| cannot(folder, &error);
    // The name last: whoever is killed before has a conversation that nobody knows of, and nothing in it.
    let mut fresh = own(OpenOptions::new().write(true).create(true).truncate(true), folder, "current.new")?;
    fresh.write_all(format!("{id}\n").as_bytes()).and_then(|()| fresh.sync_all()).map_err(cannot)?;
    fs::rename(folder.join("current.new"), folder.join("current")).map_err(cannot)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot)
}

/// A file that only its owner may read.
fn own(options: &mut OpenOptions, folder: &Path, name: &str) -> Result<File, CliError> {
    options.mode(0o600).open(folder.join(name)).map_err(|error| cannot(folder, &error))
}

fn cannot(folder: &Path, error: &std::io::Error) -> CliError {
    CliError::environment(format!("cannot use {}: {error}", folder.display()))
        .hint("check the folder's permissions and its free space")
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(turn: u32, by_person: bool, told: u64) -> Line {
        Line::Turn { at: Timestamp(1), turn, by_person, told: BTreeMap::from([(ExecutionId::new(7), told)]) }
    }

    fn ended(turn: u32, exit: AgentExit, changed: bool) -> Line {
        let mut usage = Usage::default();
        usage.output_tokens = 5;
        Line::Ended { at: Timestamp(2), turn, session: Some(format!("s{turn}")), usage, exit, changed }
    }

    #[test]
    fn a_conversation_goes_on_in_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::open(dir.path(), Which::Current).unwrap();
        let id = book.id().to_owned();
        for line in [turn(1, true, 3), ended(1, AgentExit::Success, true), turn(2, false, 9)] {
            book.add(&line).unwrap();
        }
        drop(book);
        let path = dir.path().join("coordinator").join(format!("{id}.jsonl"));
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"what\":\"ended\",\"at\":").unwrap();
        let mut book = Book::open(dir.path(), Which::Current).unwrap();
        assert_eq!((book.id(), book.next(), book.is_cut()), (id.as_str(), 3, true));
        assert_eq!((book.session().as_deref(), book.words()), (Some("s1"), None));
        assert_eq!(book.told(ExecutionId::new(7)), 3, "a turn that was cut off is told again");
        book.add(&ended(2, AgentExit::Success, false)).unwrap();
        assert_eq!((book.told(ExecutionId::new(7)), book.taken()), (9, (1, Did::Nothing)));
        book.add(&Line::Person { at: Timestamp(3), text: "go".into() }).unwrap();
        assert_eq!(book.words().as_deref(), Some("go"));
        assert_eq!((book.taken(), book.used().output_tokens), ((0, Did::Something), 10));
        drop(book);
        assert!(Book::open(dir.path(), Which::New).unwrap().id() != id);
    }

    #[test]
    fn what_is_said_during_a_turn_is_told_in_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::open(dir.path(), Which::Current).unwrap();
        let person = |text: &str| Line::Person { at: Timestamp(1), text: text.into() };
        for line in [person("first"), turn(1, true, 0), person("second"), ended(1, AgentExit::Success, true)] {
            book.add(&line).unwrap();
        }
        assert_eq!(book.words().as_deref(), Some("second"));
        // A turn that nobody's words called for is not told them, and one that failed has to be told again.
        for line in [turn(2, false, 0), ended(2, AgentExit::Success, true), turn(3, true, 0), person("third")] {
            book.add(&line).unwrap();
        }
        book.add(&ended(3, AgentExit::Killed, false)).unwrap();
        assert_eq!(book.words().as_deref(), Some("second\n\nthird"));
        drop(book);
        let mut book = Book::open(dir.path(), Which::Current).unwrap();
        assert_eq!((book.words().as_deref(), book.lines().unwrap().len()), (Some("second\n\nthird"), 9));
        let first = book.id().to_owned();
        book.renew().unwrap();
        assert_eq!((book.words(), book.next(), book.lines().unwrap()), (None, 1, Vec::new()));
        let id = book.id().to_owned();
        assert_ne!(id, first);
        drop(book);
        assert_eq!(Book::open(dir.path(), Which::Current).unwrap().id(), id, "it is the one that is gone on with");
        assert!(dir.path().join("coordinator").join(format!("{first}.jsonl")).exists());
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Book::open(dir.path(), Which::Current).unwrap();
        assert_eq!(Book::open(dir.path(), Which::Current).unwrap_err().exit, Exit::Locked);
    }
}
