//! The files a step says it will change.

use super::Brief;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Largest number of paths that are looked at; what a step names beyond them is not known here.
const MOST: usize = 64;

/// The paths a step says it will change: files, and folders with all that is in them. Relative, without `.` and without
/// an end in `/`; the empty path is the whole project. A pattern stands for the folder it begins in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope(Box<[Box<str>]>);

impl Scope {
    /// The scope that a step declares, if it does.
    pub(super) fn of(brief: &Brief) -> Option<Arc<Self>> {
        let declared = brief.files.iter().chain(&brief.directories);
        let paths: BTreeSet<Box<str>> = declared.take(MOST).filter_map(|path| clean(path)).collect();
        (!paths.is_empty()).then(|| Arc::new(Self(paths.into_iter().collect())))
    }

    /// Its paths, in order, each once.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|path| &**path)
    }
}

/// A path as [`Scope`] has it; `None` for one that leads out of the project.
fn clean(path: &str) -> Option<Box<str>> {
    let path = path.trim();
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part.contains(['*', '?', '[', '{']) {
            break;
        }
        parts.push(part);
    }
    let outside = path.is_empty() || path.starts_with('/') || parts.contains(&"..");
    (!outside).then(|| parts.join("/").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_paths_without_ornament_and_patterns_are_their_folders() {
        let files = ["./src/a.rs", "src//a.rs", "src/**/*.rs", "/etc/passwd", "../x", "", " docs/ "];
        let brief = Brief {
            files: files.iter().map(|s| (*s).to_owned()).collect(),
            directories: vec!["benches/".to_owned()],
            ..Brief::default()
        };
        let scope = Scope::of(&brief).unwrap();
        assert_eq!(scope.paths().collect::<Vec<_>>(), ["benches", "docs", "src", "src/a.rs"]);
        assert_eq!(Scope::of(&Brief::default()), None);
        let all = Brief { directories: vec![".".to_owned()], ..Brief::default() };
        assert_eq!(Scope::of(&all).unwrap().paths().collect::<Vec<_>>(), [""]);
    }
}
