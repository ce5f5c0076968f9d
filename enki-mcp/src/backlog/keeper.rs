//! Where ideas are kept: whoever embeds the server says it.

use crate::failure::Failure;
use enki_core::async_trait;
use std::fmt;

/// An idea that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Idea {
    /// 12 hex digits.
    pub id: String,
    /// Its first line.
    pub title: String,
    /// What could be done.
    pub body: String,
    /// How far it is.
    pub status: String,
    /// Where it is kept.
    pub note: String,
}

/// A note that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// Where it is kept.
    pub note: String,
    /// The line, from 1; 0 for the whole.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

/// The ideas that wait.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ideas {
    /// The newest first.
    pub ideas: Vec<Idea>,
    /// What stands among them.
    pub unreadable: Vec<Unreadable>,
}

/// The task that was made of an idea, as it reads now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Promoted {
    /// The idea's id.
    pub id: String,
    /// Where the task is kept.
    pub task_note: String,
    /// One line.
    pub title: String,
    /// What its agent is told.
    pub prompt: String,
    /// When it is done.
    pub done_when: Option<String>,
    /// What must hold of it.
    pub acceptance: Vec<String>,
    /// Light, standard or heavy, or another name for one.
    pub tier: Option<String>,
    /// The model that shall do it.
    pub model: Option<String>,
    /// The execution that it was given to, if it was.
    pub execution: Option<String>,
}

/// Keeps ideas.
///
/// # Contract
///
/// What a method confirms is durable on return; what it refuses changed nothing. Ids are 12 lower-case hex digits, given
/// whole or as the first 4 or more; one that nothing has is [`NotFound`](crate::Code::NotFound), one that several have
/// [`AmbiguousTaskSelection`](crate::Code::AmbiguousTaskSelection). Nothing that is dropped is deleted.
#[async_trait]
pub trait Backlog: fmt::Debug + Send + Sync {
    /// Keeps an idea.
    async fn add(&self, body: String) -> Result<Idea, Failure>;

    /// Those that wait.
    async fn list(&self) -> Result<Ideas, Failure>;

    /// Gives one that waits another text.
    async fn update(&self, id: String, body: String) -> Result<Idea, Failure>;

    /// Drops one that waits; one that is dropped already stays so.
    async fn remove(&self, id: String) -> Result<Idea, Failure>;

    /// Makes a task of one; the same again is the same task.
    async fn promote(&self, id: String) -> Result<Promoted, Failure>;

    /// Keeps with a task which execution it was given to.
    async fn started(&self, task_note: String, execution: String) -> Result<(), Failure>;
}
