//! `enki_backlog_*`: ideas that wait, and one that is picked becomes work.

mod keeper;
mod pick;

pub use keeper::{Backlog, Idea, Ideas, Promoted, Unreadable};
pub(crate) use pick::{Picked, pick};

use crate::failure::{Code, Failure};
use crate::office::Office;
use crate::text::{count, visible};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A new idea.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddInput {
    /// What could be done; the first line is its title.
    body: String,
}

/// Nothing is to be said.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListInput {}

/// Another text for an idea.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateInput {
    /// The idea's id, or at least 4 hex digits of it that no other has.
    id: String,
    /// What could be done; the first line is its title.
    body: String,
}

/// Which idea.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemInput {
    /// The idea's id, or at least 4 hex digits of it that no other has.
    id: String,
}

/// An idea.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Item {
    id: String,
    title: String,
    /// At most 4 KiB of it.
    body: String,
    /// Whether the body has more, which is in the note.
    cut: bool,
    status: String,
    /// Its file, from the root of the project.
    note: String,
}

/// An idea as it is kept now.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Kept {
    item: Item,
}

/// The ideas that wait.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Listed {
    /// The newest first, at most 200.
    items: Vec<Item>,
    /// How many there are.
    total: usize,
    /// Notes that cannot be read, and are left alone.
    broken: Vec<String>,
}

pub(crate) async fn add(office: &Office, input: AddInput) -> Result<Kept, Failure> {
    Ok(kept(keeper(office)?.add(said(input.body)?).await?))
}

pub(crate) async fn list(office: &Office, ListInput {}: ListInput) -> Result<Listed, Failure> {
    let Ideas { ideas, unreadable } = keeper(office)?.list().await?;
    let broken = unreadable.into_iter().map(|note| format!("{}:{}: {}", note.note, note.line, note.why)).collect();
    Ok(Listed { total: ideas.len(), items: ideas.into_iter().take(SHOWN).map(Item::from).collect(), broken })
}

pub(crate) async fn update(office: &Office, input: UpdateInput) -> Result<Kept, Failure> {
    let backlog = keeper(office)?;
    let id = known(input.id)?;
    Ok(kept(backlog.update(id, said(input.body)?).await?))
}

pub(crate) async fn remove(office: &Office, input: ItemInput) -> Result<Kept, Failure> {
    Ok(kept(keeper(office)?.remove(known(input.id)?).await?))
}

fn keeper(office: &Office) -> Result<&dyn Backlog, Failure> {
    office.project.backlog().ok_or_else(|| {
        Failure::new(Code::Unavailable, "no backlog is kept here", "tell the person what you would have put there")
    })
}

fn said(body: String) -> Result<String, Failure> {
    if body.trim().is_empty() {
        return Err(Failure::new(Code::ValidationError, "body is empty", "say what could be done; nothing changed"));
    }
    if body.len() > BODY_LIMIT {
        let message = format!("body has {} bytes, and {BODY_LIMIT} are the most", body.len());
        return Err(Failure::new(Code::ValidationError, message, "put the rest into a file, and name that"));
    }
    Ok(body)
}

/// An id, or the beginning of one, as it is compared.
fn known(id: String) -> Result<String, Failure> {
    let digits = id.len() >= FEWEST && id.len() <= 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if digits {
        return Ok(id.to_ascii_lowercase());
    }
    let message = format!("{} is not the id of an idea", crate::failure::quoted(&id));
    Err(Failure::new(
        Code::ValidationError,
        message,
        "give the id as enki_backlog_list shows it, or 4 of its digits or more",
    ))
}

fn kept(idea: Idea) -> Kept {
    Kept { item: idea.into() }
}

impl From<Idea> for Item {
    fn from(idea: Idea) -> Self {
        let shown = &idea.body[..idea.body.floor_char_boundary(BODY_SHOWN)];
        let cut = shown.len() < idea.body.len();
        Self { body: shown.to_owned(), cut, id: idea.id, title: idea.title, status: idea.status, note: idea.note }
    }
}

impl Item {
    fn text(&self) -> String {
        format!("{}  {}  {}  {}", self.id, visible(&self.status), visible(&self.title), visible(&self.note))
    }
}

impl Kept {
    pub(crate) fn text(&self) -> String {
        self.item.text()
    }
}

impl Listed {
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("{} in the backlog", count(self.total, "idea", "ideas"))];
        for item in &self.items {
            lines.push(format!("  {}", item.text()));
            // A line of somebody's text passes for none of ours.
            lines.extend(item.body.lines().map(|line| format!("    > {}", visible(line))));
            if item.cut {
                lines.push("    (more of it is in the note)".to_owned());
            }
        }
        if self.items.len() < self.total {
            lines.push(format!("  and {} more, which are older", self.total - self.items.len()));
        }
        lines.extend(self.broken.iter().map(|broken| format!("cannot be read: {}", visible(broken))));
        lines.join("\n")
    }
}

/// Most ideas that one answer lists.
const SHOWN: usize = 200;

/// Most of a body that an answer has, in bytes.
const BODY_SHOWN: usize = 4 << 10;

/// Longest body, in bytes.
const BODY_LIMIT: usize = 64 << 10;

/// Fewest digits of an id.
const FEWEST: usize = 4;
