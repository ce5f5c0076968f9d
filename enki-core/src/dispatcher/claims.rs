//! Which files the steps at work said they change, so that another one on the same files can be started later.

use super::Place;
use crate::branch::Branch;
use crate::execution::Claim;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// Claims of steps that wait, and of steps that are on their files.
///
/// To ask whether a claim overlaps costs O(paths of the claim * their depth * log(paths held)), however many steps wait
/// or work; to take or give back the files costs O(paths of the claim * log(paths held)).
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    known: HashMap<Place, (Claim, bool)>,
    held: HashMap<Branch, BTreeMap<Box<str>, u32>>,
}

impl Claims {
    /// Takes over the claim of a step, and whether the step is on its files.
    pub(super) fn set(&mut self, place: Place, claim: Option<Claim>, held: bool) {
        if claim.is_none() && self.known.is_empty() {
            return;
        }
        if let Some((old, true)) = self.known.remove(&place) {
            self.release(&old);
        }
        if let Some(claim) = claim {
            if held {
                let paths = self.held.entry(claim.target.clone()).or_default();
                for path in claim.scope.paths() {
                    *paths.entry(path.into()).or_default() += 1;
                }
            }
            self.known.insert(place, (claim, held));
        }
    }

    fn release(&mut self, claim: &Claim) {
        let Some(paths) = self.held.get_mut(&claim.target) else { return };
        for path in claim.scope.paths() {
            if let Some(count) = paths.get_mut(path) {
                *count -= 1;
                if *count == 0 {
                    paths.remove(path);
                }
            }
        }
        if paths.is_empty() {
            self.held.remove(&claim.target);
        }
    }

    /// Whether a step that waits said it changes files that a step at work said it changes.
    pub(super) fn overlaps(&self, place: Place) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let Some((claim, false)) = self.known.get(&place) else { return false };
        let Some(held) = self.held.get(&claim.target) else { return false };
        claim.scope.paths().any(|path| touches(held, path))
    }

    /// Checks what is held against the claims it comes from.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut again = Self::default();
        for (place, (claim, held)) in &self.known {
            again.set(*place, Some(claim.clone()), *held);
        }
        if again.held == self.held {
            Ok(())
        } else {
            Err(format!("files {:?} are held, not {:?}", self.held, again.held))
        }
    }
}

/// Whether a held path is this one, above it or below it.
fn touches(held: &BTreeMap<Box<str>, u32>, path: &str) -> bool {
    let mut above = path;
    loop {
        if held.contains_key(above) {
            return true;
        }
        match above.rfind('/') {
            Some(at) => above = &above[..at],
            None if above.is_empty() => break,
            None => above = "",
        }
    }
    if path.is_empty() {
        return !held.is_empty();
    }
    let below = format!("{path}/");
    held.range::<str, _>((Bound::Included(&*below), Bound::Unbounded))
        .next()
        .is_some_and(|(held, _)| held.starts_with(&below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_touches_itself_and_what_is_above_and_below_it() {
        let held = |paths: &[&str]| paths.iter().map(|path| (Box::from(*path), 1)).collect::<BTreeMap<_, _>>();
        for (path, other, touch) in [
            ("src/a.rs", "src/a.rs", true),
            ("src/a.rs", "src", true),
            ("src", "src/deep/er/a.rs", true),
            ("src/a.rs", "src/a.rst", false),
            ("src", "src-gen/a.rs", false),
            ("src/b", "src/a.rs", false),
            ("", "x", true),
            ("x", "", true),
        ] {
            assert_eq!(touches(&held(&[other]), path), touch, "{path} and {other}");
            assert_eq!(touches(&held(&[path, "zz"]), other), touch || other == "zz", "{other} and {path}");
        }
        assert!(!touches(&held(&[]), ""));
    }

    #[test]
    fn files_that_no_step_holds_any_more_are_noticed() {
        let mut claims = Claims::default();
        assert_eq!(claims.check(), Ok(()));
        claims.held.insert("main".parse().unwrap(), BTreeMap::from([("src".into(), 1)]));
        assert!(claims.check().unwrap_err().contains("src"));
    }
}
