//! How far each execution was when its notes were written last. It is a cache: a start looks at those that have moved since,
//! and reads no note of the others. Without it every execution is looked at once more, which changes nothing.

use enki_core::store::Summary;
use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug)]
pub(super) struct Told {
    path: PathBuf,
    known: HashSet<String>,
}

impl Told {
    /// What is known in the project at that root.
    pub(super) fn load(root: &Path) -> Self {
        let path = root.join(".enki/notes-told");
        let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
        let text = if is_file { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let known = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        Self { path, known }
    }

    /// Whether its notes say all there is to say.
    pub(super) fn has(&self, summary: &Summary) -> bool {
        self.known.contains(&line(summary))
    }

    /// Keeps that the notes of these say all there is to say.
    pub(super) fn keep<'a>(&mut self, summaries: impl IntoIterator<Item = &'a Summary>) {
        self.known = summaries.into_iter().map(line).collect();
        if let Err(error) = self.write() {
            tracing::debug!(%error, path = %self.path.display(), "the next start looks at every execution");
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(self.path.parent().unwrap_or(Path::new(".")))?;
        let mut lines: Vec<&str> = self.known.iter().map(String::as_str).collect();
        lines.sort_unstable();
        file.write_all((lines.join("\n") + "\n").as_bytes())?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Another one once it has moved: two moves in one millisecond that differ for its notes differ in its status.
fn line(summary: &Summary) -> String {
    format!("{} {} {}", summary.execution, summary.updated.0, summary.status)
}
