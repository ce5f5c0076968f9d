//! Names of note files: kind, owner, time, and what tells two of one second apart.

use crate::kind::Kind;
use std::fmt;

/// Who writes notes, as it stands in names: letters, digits and single dashes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner(String);

impl Owner {
    /// A name as a slug; `enki` if nothing is left of it.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self::named(name).unwrap_or_default()
    }

    /// A name as a slug, if anything is left of it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let slug = slug(name, 32);
        (!slug.is_empty()).then_some(Self(slug))
    }

    /// The slug.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self("enki".to_owned())
    }
}

/// Lower-case letters and digits, everything else a dash, at most that long.
fn slug(text: &str, most: usize) -> String {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(most);
    slug.trim_end_matches('-').to_owned()
}

/// A point in time, in microseconds since the Unix epoch, from 1970 to the last day that can be told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Micros(i64);

impl Micros {
    pub(crate) fn new(micros: i64) -> Self {
        Self(micros.clamp(0, 253_402_207_199_999_999))
    }

    pub(crate) fn get(self) -> i64 {
        self.0
    }

    /// `20260131-180000-000123`, in UTC.
    fn stamp(self) -> String {
        format!("{}-{:06}", self.format("%Y%m%d-%H%M%S"), self.0.rem_euclid(1_000_000))
    }

    /// `2026-01-31T18:00:00Z`.
    pub(crate) fn iso(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    /// `2026-01-31`.
    pub(crate) fn date(self) -> String {
        self.format("%Y-%m-%d")
    }

    /// `2026-01-31 18:00`.
    pub(crate) fn minute(self) -> String {
        self.format("%Y-%m-%d %H:%M")
    }

    fn format(self, how: &str) -> String {
        let time = jiff::Timestamp::from_microsecond(self.0).expect("what is from 1970 to the last day is in range");
        time.strftime(how).to_string()
    }
}

/// The name of a new note of that time.
pub(crate) fn file_name(kind: Kind, owner: &Owner, at: Micros) -> String {
    format!("{kind}-{}-{}.md", owner.as_str(), at.stamp())
}

/// How a name of that time ends if words of Enki's stand in place of the microseconds, the dash before it included.
pub(crate) fn ending(at: Micros, slug: &str) -> String {
    format!("-{}-{slug}.md", at.format("%Y%m%d-%H%M%S"))
}

/// What of a name sorts by time: from the date on. None if the name has no date, as one that a person chose.
pub(crate) fn stamp_of(file: &str) -> Option<&str> {
    let is = |bytes: &[u8]| {
        let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
        bytes.len() > 17 && bytes[0] == b'-' && digits(1..9) && bytes[9] == b'-' && digits(10..16) && bytes[16] == b'-'
    };
    let bytes = file.as_bytes();
    (0..bytes.len()).find(|at| is(&bytes[*at..])).map(|at| &file[at + 1..])
}

/// A note's file: its path from the root of the project, with `/`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NotePath {
    path: String,
    kind: Kind,
}

impl NotePath {
    pub(crate) fn new(dir: &[String], kind: Kind, file: &str) -> Self {
        Self { path: format!("{}/{kind}/{file}", dir.join("/")), kind }
    }

    /// The path of a text that names a file right in the folder of a kind; nothing else is one.
    pub(crate) fn parse(dir: &[String], text: &str) -> Option<Self> {
        let rest = text.strip_prefix(&dir.join("/"))?.strip_prefix('/')?;
        let (kind, file) = rest.split_once('/')?;
        let kind = Kind::named(kind)?;
        is_file(file).then(|| Self::new(dir, kind, file))
    }

    /// What kind of note it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// From the root of the project.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for NotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Whether a file of that name may be a note: a plain name of Markdown that is not hidden.
pub(crate) fn is_file(name: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | '`' | '\u{2028}' | '\u{2029}');
    name.ends_with(".md") && !name.starts_with('.') && name.len() <= 255 && !name.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_slug() {
        for (name, owner) in [
            ("Ada Lovelace", "ada-lovelace"),
            ("../../etc", "etc"),
            ("Zoë", "zo"),
            ("李", "enki"),
            ("", "enki"),
            (&"x".repeat(99), &"x".repeat(32)),
        ] {
            assert_eq!(Owner::of(name).as_str(), owner);
        }
    }

    #[test]
    fn names_sort_by_time_and_tell_it() {
        let owner = Owner::of("a-20260101");
        let name = |at| file_name(Kind::Idea, &owner, Micros::new(at));
        assert_eq!(name(1_700_000_000_000_001), "idea-a-20260101-20231114-221320-000001.md");
        assert_eq!(stamp_of(&name(1_700_000_000_000_001)), Some("20231114-221320-000001.md"));
        assert!(name(1_700_000_000_999_999) < name(1_700_000_001_000_000));
        assert_eq!(stamp_of("idea-me-20231114-221320-dark-mode.md"), Some("20231114-221320-dark-mode.md"));
        assert_eq!(stamp_of("notes.md"), None);
        assert!(name(-5).contains("19700101-000000-000000"));
        assert!(name(i64::MAX).contains("99991230-215959-999999"));
    }

    #[test]
    fn a_path_is_one_file_in_the_folder_of_a_kind() {
        let dir = ["docs".to_owned(), "log".to_owned()];
        assert_eq!(NotePath::parse(&dir, "docs/log/task/x.md").map(|path| path.kind()), Some(Kind::Task));
        for text in [
            "docs/log/task/../../x.md",
            "docs/log/task/a/x.md",
            "docs/log/other/x.md",
            "/docs/log/task/x.md",
            "docs/log/task/.hidden.md",
            "docs/log/task/x.txt",
            "docs/log/task/a\nb.md",
            "docs/logs/task/x.md",
            "docs/log/task/",
        ] {
            assert_eq!(NotePath::parse(&dir, text), None, "{text}");
        }
    }
}
