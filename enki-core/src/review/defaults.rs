//! What reviews are like where a plan does not say.

use super::Review;
use std::collections::BTreeMap;

/// What is copied into the review of a step that leaves it open. A change of it changes no chain that has begun.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReviewDefaults {
    /// Scores below this are at best a revise. From 0 to 10.
    pub min_score: f32,
    /// Number of fixes before a person is asked.
    pub max_fixes: u32,
    /// Times in a row that a review is asked again whose answer cannot be read, before a person is.
    pub reask: u32,
    /// Most moves of a chain, by the name of its kind, where somebody set them. Never fewer than its fixes can take.
    pub max_moves: BTreeMap<String, u32>,
}

impl ReviewDefaults {
    /// Most moves of a chain of a built-in kind with so many fixes: what was set, else the usual, which always allows all
    /// of its fixes.
    ///
    /// # Errors
    ///
    /// What was set, if all its fixes take more.
    pub fn moves(&self, kind: &str, max_fixes: u32) -> Result<u32, u32> {
        let bound = Review::bound(max_fixes);
        match self.max_moves.get(kind) {
            Some(set) if *set < bound => Err(*set),
            Some(set) => Ok(*set),
            None => Ok(usual(kind).max(bound)),
        }
    }
}

const fn usual(kind: &str) -> u32 {
    match kind.as_bytes() {
        b"review_only" => 10,
        b"test_then_fix" => 15,
        b"fix_loop" => 30,
        _ => 20,
    }
}

impl Default for ReviewDefaults {
    fn default() -> Self {
        Self { min_score: 9.5, max_fixes: 3, reask: 0, max_moves: BTreeMap::new() }
    }
}
