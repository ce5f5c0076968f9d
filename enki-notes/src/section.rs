//! Sections of a Markdown body: what stands under a heading of the second level that the note's kind knows.
//!
//! Only those headings divide. Another one is text of the section it stands in, and none is looked for inside a fenced
//! block.

use std::ops::Range;

/// Headings of a task note.
pub(crate) const TASK: &[&str] = &["Goal", "Context", "Prompt", "Acceptance Criteria", "Result"];

/// Headings that Enki puts after the text of a capture.
pub(crate) const CAPTURE: &[&str] = &["Source context", "Related Notes"];

/// Headings of a result note.
pub(crate) const RESULT: &[&str] = &["Summary", "Changes", "Validation", "Proposals", "Transcript"];

/// A text as a quote: data, of which no line is a heading, the end of a section, or Enki's own words.
pub(crate) fn quoted(text: &str) -> String {
    // Three characters end a line in Markdown, and more in other readers.
    let breaks = |c: char| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let odd = |c: char| c.is_control() && c != '\t';
    let text = text.trim().replace("\r\n", "\n");
    if text.is_empty() {
        return text;
    }
    let line = |line: &str| format!("> {}", line.replace(odd, "\u{fffd}")).trim_end().to_owned();
    text.split(breaks).map(line).collect::<Vec<_>>().join("\n")
}

/// Where the content of a section stands; the first of that name counts.
pub(crate) fn find(body: &[u8], known: &[&str], name: &str) -> Option<Range<usize>> {
    let all = headings(body, known);
    let n = all.iter().position(|(found, _)| *found == name)?;
    let end = all.get(n + 1).map_or(body.len(), |(_, next)| next.start);
    Some(all[n].1.end..end)
}

/// Where the first known heading begins; the end if there is none.
pub(crate) fn first(body: &[u8], known: &[&str]) -> usize {
    headings(body, known).first().map_or(body.len(), |(_, range)| range.start)
}

/// The text of a section without the empty lines around it; none if there is nothing.
pub(crate) fn text(body: &[u8], known: &[&str], name: &str) -> Option<String> {
    let content = String::from_utf8_lossy(&body[find(body, known, name)?]).into_owned();
    let content = content.trim_matches(['\n', '\r']).trim_end();
    (!content.trim().is_empty()).then(|| content.to_owned())
}

/// The body with another text in that section, which is added at the end if it is not there.
pub(crate) fn with(body: &[u8], known: &[&str], name: &str, text: &str) -> Vec<u8> {
    let end = line_end(body);
    let text = lines(text, end);
    if let Some(range) = find(body, known, name) {
        let more = if range.end < body.len() { end } else { "" };
        let new = format!("{end}{text}{end}{more}");
        return [&body[..range.start], new.as_bytes(), &body[range.end..]].concat();
    }
    let gap = match body {
        [] => "",
        body if body.ends_with(b"\n") => end,
        _ => &end.repeat(2),
    };
    [body, format!("{gap}## {name}{end}{end}{text}{end}").as_bytes()].concat()
}

/// The body with another text in place of what `part` finds in that section, or before all that is in it if it finds nothing.
pub(crate) fn with_part(
    body: &[u8],
    known: &[&str],
    name: &str,
    part: impl Fn(&[u8]) -> Option<Range<usize>>,
    text: &str,
) -> Vec<u8> {
    let end = line_end(body);
    let Some(range) = find(body, known, name) else { return with(body, known, name, text) };
    let content = &body[range.clone()];
    let Some(old) = part(content) else {
        if content.trim_ascii().is_empty() {
            return with(body, known, name, text);
        }
        let new = format!("{end}{}{end}", lines(text, end));
        let gap = if content.starts_with(end.as_bytes()) { "" } else { end };
        return [&body[..range.start], new.as_bytes(), gap.as_bytes(), &body[range.start..]].concat();
    };
    let at = range.start;
    [&body[..at + old.start], lines(text, end).as_bytes(), &body[at + old.end..]].concat()
}

/// How lines end in a text, by its first.
fn line_end(body: &[u8]) -> &'static str {
    if body.split(|b| *b == b'\n').next().is_some_and(|line| line.ends_with(b"\r")) { "\r\n" } else { "\n" }
}

fn lines(text: &str, end: &str) -> String {
    text.lines().collect::<Vec<_>>().join(end)
}

/// Known headings with the lines they fill.
fn headings<'k>(body: &[u8], known: &[&'k str]) -> Vec<(&'k str, Range<usize>)> {
    let mut found = Vec::new();
    let mut fence: Option<(u8, usize)> = None;
    let mut at = 0;
    for line in body.split_inclusive(|b| *b == b'\n') {
        let range = at..at + line.len();
        at = range.end;
        let line = line.trim_ascii_end();
        let inner = line.trim_ascii_start();
        let mark = inner.first().copied().unwrap_or_default();
        let run = inner.iter().take_while(|b| **b == mark).count();
        let is_fence = matches!(mark, b'`' | b'~') && run >= 3 && line.len() - inner.len() <= 3;
        match fence {
            Some((open, long)) => {
                if is_fence && mark == open && run >= long && inner.len() == run {
                    fence = None;
                }
            }
            None if is_fence && !(mark == b'`' && inner[run..].contains(&b'`')) => fence = Some((mark, run)),
            None => {
                let Some(name) = line.strip_prefix(b"## ") else { continue };
                let is = |heading: &&&str| name.trim_ascii().eq_ignore_ascii_case(heading.as_bytes());
                if let Some(name) = known.iter().find(is) {
                    found.push((*name, range));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"\n## Goal\n\nFast.\n\n## Prompt\n\nDo it.\n\n## Not one of ours\n\n```\n## Result\n```\n\n## prompt\n\nagain\n\n## Result\n";

    #[test]
    fn only_known_headings_outside_of_fences_divide() {
        assert_eq!(text(BODY, TASK, "Goal").as_deref(), Some("Fast."));
        let prompt = text(BODY, TASK, "Prompt").unwrap();
        assert_eq!(prompt, "Do it.\n\n## Not one of ours\n\n```\n## Result\n```");
        assert_eq!(text(BODY, TASK, "Result"), None);
        assert_eq!(text(BODY, TASK, "Context"), None);
        assert_eq!(first(b"text\n## Related Notes\n", CAPTURE), 5);
        assert_eq!(first(b"~~~\n## Related Notes\n", CAPTURE), 21);
    }

    #[test]
    fn a_section_is_replaced_alone_or_added() {
        let new = with(BODY, TASK, "Goal", "Faster.\nMuch.");
        let old = String::from_utf8(BODY.to_vec()).unwrap();
        assert_eq!(String::from_utf8(new).unwrap(), old.replace("\nFast.\n", "\nFaster.\nMuch.\n"));
        let new = String::from_utf8(with(BODY, TASK, "Result", "Well.")).unwrap();
        assert!(new.ends_with("## Result\n\nWell.\n"), "{new}");
        assert_eq!(with(b"a\r\n", TASK, "Goal", "x\ny"), b"a\r\n\r\n## Goal\r\n\r\nx\r\ny\r\n");
        assert_eq!(with(b"a", TASK, "Goal", "x"), b"a\n\n## Goal\n\nx\n");
        assert_eq!(with(b"", TASK, "Goal", "x"), b"## Goal\n\nx\n");
    }
}
