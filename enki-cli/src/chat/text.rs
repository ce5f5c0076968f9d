//! Text as a terminal shows it: clusters of characters, their columns, and lines that fit.

use crate::source::visible;
use ratatui::style::Style;
use ratatui::text::Span;

/// What stands for one character to the eye; each line end is one of its own. The text has no other control character.
pub(super) fn clusters(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    for line in text.split_inclusive('\n') {
        let body = line.strip_suffix('\n').unwrap_or(line);
        let (span, mut at) = (Span::raw(body), 0);
        for cluster in span.styled_graphemes(Style::new()) {
            let end = at + cluster.symbol.len();
            all.push(&body[at..end]);
            at = end;
        }
        all.extend(line[body.len()..].split_inclusive('\n'));
    }
    all
}

/// How many columns it takes.
pub(super) fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// What came from outside, as lines that do no harm to a terminal: each control character can be seen.
pub(super) fn lines(text: &str) -> Vec<String> {
    let line = |line: &str| visible(&line.strip_suffix('\r').unwrap_or(line).replace('\t', "    "));
    text.trim_end().split('\n').map(line).collect()
}

/// A line as rows of at most `width` columns, broken at spaces where there are any.
pub(super) fn wrapped(line: &str, width: usize) -> Vec<&str> {
    let (mut rows, mut start, mut used, mut at) = (Vec::new(), 0, 0, 0);
    // Where the row may end, and what follows it begins.
    let mut space: Option<(usize, usize)> = None;
    let indent = line.len() - line.trim_start_matches(' ').len();
    for cluster in clusters(line) {
        let wide = columns(cluster);
        if cluster == " " && used + wide > width && at > start {
            rows.push(&line[start..at]);
            at += 1;
            (start, used, space) = (at, 0, None);
            continue;
        }
        while used + wide > width && at > start {
            let (end, next) = space.take().unwrap_or((at, at));
            rows.push(&line[start..end]);
            (start, used) = (next, columns(&line[next..at]));
        }
        used += wide;
        // Spaces that a line begins with belong to it.
        if cluster == " " && at >= indent {
            space = Some((at, at + 1));
        }
        at += cluster.len();
    }
    if start < line.len() || rows.is_empty() {
        rows.push(&line[start..]);
    }
    rows
}

/// As much of it as fits, with a sign where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for cluster in clusters(text) {
        used += columns(cluster);
        if used + 1 > width {
            break;
        }
        out.push_str(cluster);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_break_at_spaces_else_between_characters() {
        assert_eq!(wrapped("the quick brown fox", 9), ["the quick", "brown fox"]);
        assert_eq!(wrapped("    indented text", 12), ["    indented", "text"]);
        assert_eq!(wrapped("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("日本語のテキスト", 6), ["日本語", "のテキ", "スト"]);
        assert_eq!(wrapped("e\u{301}e\u{301}e\u{301}", 2), ["e\u{301}e\u{301}", "e\u{301}"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("日", 1), ["日"], "what never fits stands alone");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!((cut("日本語", 5), cut("abc", 3), cut("abcd", 3)), ("日本…".into(), "abc".into(), "ab…".into()));
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn control_characters_can_be_seen() {
        assert_eq!(lines("a\u{1b}[2J\r\n\tb\u{202e}\n"), ["a\\u{1b}[2J", "    b\\u{202e}"]);
    }

    proptest::proptest! {
        /// No row is wider than asked, and nothing is lost but spaces at the breaks.
        #[test]
        fn rows_fit_and_lose_nothing(line in "[a-c é日\u{301}👩‍💻]{0,40}", width in 2usize..12) {
            let rows = wrapped(&line, width);
            for row in &rows {
                proptest::prop_assert!(columns(row) <= width || clusters(row).len() == 1, "{row:?}");
            }
            let bare = |text: &str| text.replace(' ', "");
            proptest::prop_assert_eq!(bare(&rows.concat()), bare(&line));
        }
    }
}
