//! `enki_edit_file`: a part of a file of the attempt's own workspace is replaced.

mod anchors;
mod file;

use crate::failure::{Code, Failure, quoted};
use file::Place;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// An edit.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditInput {
    /// The file, relative to the workspace. One that is not there is made.
    pub(crate) path: String,
    /// Anchors of lines that stay, `{number}:{2 hex}|text`, and new lines between and around them. The text behind the
    /// bar may be left out.
    content: String,
}

/// It is done.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Edited {
    pub(crate) path: String,
    /// Lines of the file now.
    lines: usize,
    /// What was written, with its anchors, for the next edit; at most 200 lines.
    now: Vec<String>,
}

/// Edits a file. Blocks.
pub(crate) fn edit(workspace: &Path, input: &EditInput) -> Result<Edited, Failure> {
    let cannot = |error: io::Error| {
        let message = format!("cannot edit {}: {error}", quoted(&input.path));
        let beneath = matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory)
            || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
        if beneath {
            let hint = "name a regular file by a path relative to your workspace, without links on the way";
            return Failure::new(Code::SafetyBlocked, message, hint);
        }
        Failure::new(Code::Environment, message, "nothing was changed")
    };
    let place = Place::open(workspace, &input.path).map_err(cannot)?;
    let (old, mode) = place.read().map_err(cannot)?.unwrap_or_else(|| (Vec::new(), 0o644));
    let old = String::from_utf8(old).map_err(|_| {
        let message = format!("{} is no text in UTF-8", quoted(&input.path));
        Failure::new(Code::ValidationError, message, "edit it another way")
    })?;
    let new = anchors::replace(&old, &input.content)?;
    place.write(new.text.as_bytes(), mode).map_err(cannot)?;
    let lines: Vec<&str> = new.text.lines().collect();
    let shown = lines.iter().enumerate().take(new.region.1).skip(new.region.0).take(SHOWN);
    let now = shown.map(|(n, line)| anchors::anchored(n + 1, line)).collect();
    Ok(Edited { path: input.path.clone(), lines: lines.len(), now })
}

impl Edited {
    pub(crate) fn text(&self) -> String {
        format!("{} has {} lines now:\n{}", quoted(&self.path), self.lines, self.now.join("\n"))
    }
}

/// Most lines of what was written that are shown.
const SHOWN: usize = 200;
