//! Where the notes of a project stand, below its root.

use std::fmt;
use std::path::{Component, Path};

/// The folder of a project's notes, from the project's root: `docs/log`, unless the person says another one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct LogDir(Vec<String>);

impl LogDir {
    /// The folder that a text names.
    ///
    /// # Errors
    ///
    /// Why it is none: it is not below the root, it is Enki's or git's, or a path of a note in it could not be told from
    /// the text around it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        for part in Path::new(text).components() {
            match part {
                Component::Normal(part) => parts.push(part.to_str().unwrap_or_default().to_owned()),
                Component::CurDir => {}
                Component::ParentDir => return Err("it has `..` in it"),
                Component::RootDir | Component::Prefix(_) => return Err("it is not relative"),
            }
        }
        let is_kept = |part: &String| [".git", ".enki"].iter().any(|kept| part.eq_ignore_ascii_case(kept));
        if parts.is_empty() {
            Err("it names no folder below the project's")
        } else if parts.iter().any(is_kept) {
            Err("it is in a folder of git or of Enki")
        } else if text.len() > LONGEST {
            Err("it is longer than 200 bytes")
        } else if text.chars().any(char::is_control) || text.contains(", ") || text.contains('\\') {
            Err("it has a control character, a backslash, or a comma and a space in it")
        } else {
            Ok(Self(parts))
        }
    }

    /// The first part of the way to it, from that root, that is there and is no real folder: a symbolic link or a file.
    #[must_use]
    pub fn blocked(&self, root: &Path) -> Option<String> {
        let mut ways = (1..=self.0.len()).map(|end| self.0[..end].join("/"));
        ways.find(|way| root.join(way).symlink_metadata().is_ok_and(|found| !found.is_dir()))
    }

    /// Each folder on the way.
    pub(crate) fn parts(&self) -> &[String] {
        &self.0
    }
}

impl Default for LogDir {
    fn default() -> Self {
        Self(vec!["docs".to_owned(), "log".to_owned()])
    }
}

impl fmt::Display for LogDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// Longest path of such a folder, in bytes.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_below_the_project_is_one() {
        for (text, dir) in
            [("docs/log", "docs/log"), ("./notes//log/", "notes/log"), (".notes/Größe (1)", ".notes/Größe (1)")]
        {
            assert_eq!(LogDir::parse(text).map(|dir| dir.to_string()), Ok(dir.to_owned()));
        }
        let long = "n".repeat(LONGEST + 1);
        for text in ["", ".", "/notes", "..", "a/../b", ".git/notes", "a/.Enki", "a, b", "a\nb", "a\\b", &long] {
            assert!(LogDir::parse(text).is_err(), "{text}");
        }
        assert_eq!(LogDir::default().to_string(), "docs/log");
    }

    #[test]
    fn a_link_or_a_file_on_the_way_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogDir::parse("a/b/c").unwrap();
        assert_eq!(log.blocked(dir.path()), None, "what is not there can be made");
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/b")).unwrap();
        assert_eq!(log.blocked(dir.path()).as_deref(), Some("a/b"));
        std::fs::remove_file(dir.path().join("a/b")).unwrap();
        std::fs::create_dir(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/c"), "").unwrap();
        assert_eq!(log.blocked(dir.path()).as_deref(), Some("a/b/c"));
    }
}
