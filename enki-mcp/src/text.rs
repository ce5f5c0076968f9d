//! Text that a model reads: what others wrote stays on its line.

use enki_core::execution::Execution;

/// Control characters and those that turn the direction of writing become visible escapes, so that a title cannot
/// pass for lines of an answer.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let breaks = matches!(c, '\u{2028}' | '\u{2029}');
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || breaks || turns {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// `1 step`, `2 steps`.
pub(crate) fn count(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// An execution in full and as people see it.
pub(crate) fn name(execution: &Execution) -> String {
    format!("{} ({})", execution.id().hex(), execution.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        assert_eq!(visible("a\nb\u{1b}[0m\u{2028}\u{202e}é"), "a\\nb\\u{1b}[0m\\u{2028}\\u{202e}é");
    }
}
