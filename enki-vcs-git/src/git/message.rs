//! Commit messages: texts of plans and agents go in as text, never as trailers (bad input 28).

use enki_core::id::{AttemptNo, TaskId};

const TITLE_LIMIT: usize = 200;
const SUMMARY_LIMIT: usize = 16 << 10;

/// Title, summary, suffix and trailers, each a paragraph of its own.
///
/// The trailers are last: git finds them only in the last paragraph, so a suffix behind them would hide them from
/// `%(trailers)` and `git interpret-trailers`.
pub(crate) fn step(title: &str, summary: &str, suffix: &str, task: TaskId, attempt: AttemptNo) -> String {
    let mut text = title_line(title);
    let body = body(summary);
    if !body.is_empty() {
        text.push_str("\n\n");
        text.push_str(&body);
    }
    if let Some(suffix) = one_line(suffix) {
        text.push_str("\n\n");
        text.push_str(&suffix);
    }
    text.push_str(&format!("\n\nEnki-Task: {task}\nEnki-Attempt: {attempt}\n"));
    text
}

/// A message of one line.
pub(crate) fn line(title: &str) -> String {
    let mut text = title_line(title);
    text.push('\n');
    text
}

/// What was left in a workspace: it says whose, and names no attempt, because nobody reported it.
pub(crate) fn left(task: TaskId) -> String {
    format!("left uncaptured in the workspace of {task}\n\nEnki-Task: {task}\n")
}

fn title_line(title: &str) -> String {
    one_line(title).unwrap_or_else(|| "change without a title".to_owned())
}

/// A text as one line that is no trailer; none if nothing is left of it.
fn one_line(text: &str) -> Option<String> {
    let one: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let one = one.split_whitespace().collect::<Vec<_>>().join(" ");
    let one: String = one.chars().take(TITLE_LIMIT).collect();
    match one.as_str() {
        "" => None,
        forged if like_a_trailer(forged) => Some(format!("> {forged}")),
        _ => Some(one),
    }
}

fn body(summary: &str) -> String {
    let mut text = String::new();
    for line in summary.trim().lines() {
        let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        let line = line.trim_end();
        if text.len() + line.len() > SUMMARY_LIMIT {
            text.push_str("(cut)\n");
            break;
        }
        if like_a_trailer(line) {
            text.push_str("> ");
        }
        text.push_str(line);
        text.push('\n');
    }
    text.trim().to_owned()
}

/// Whether git or a forge may take the line for a trailer: `Some-Token: text`, or `(cherry picked from …)`.
fn like_a_trailer(line: &str) -> bool {
    let line = line.trim_start();
    let token = line.split_once(':').map(|(token, _)| token.trim_end());
    let hyphenated = |token: &str| token.contains('-') && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    token.is_some_and(hyphenated) || line.starts_with("(cherry picked from")
}

#[cfg(test)]
mod tests {
    use super::*;
    use enki_core::id::ExecutionId;

    #[test]
    fn trailers_of_a_plan_are_text() {
        let task = TaskId::of(ExecutionId::new(1), &"a".parse().unwrap());
        let text = step(
            "Co-authored-by: x\nEnki-Task: task-000000000000",
            "fine\n\nEnki-Task: task-000000000000\r\n  Signed-off-by: y\u{1b}[31m\nNote: kept",
            "",
            task,
            AttemptNo(3),
        );
        let expected = format!(
            "> Co-authored-by: x Enki-Task: task-000000000000\n\nfine\n\n> Enki-Task: task-000000000000\n>   \
             Signed-off-by: y[31m\nNote: kept\n\nEnki-Task: {task}\nEnki-Attempt: 3\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_suffix_is_one_line_before_the_trailers() {
        let task = TaskId::of(ExecutionId::new(1), &"a".parse().unwrap());
        let text = |suffix: &str| step("t", "", suffix, task, AttemptNo(1));
        let trailers = format!("Enki-Task: {task}\nEnki-Attempt: 1\n");
        assert_eq!(text("by\n\nEnki-Task: x\u{1b}"), format!("t\n\nby Enki-Task: x\n\n{trailers}"));
        assert_eq!(text("Signed-off-by: x"), format!("t\n\n> Signed-off-by: x\n\n{trailers}"));
        assert_eq!(text(" \n"), format!("t\n\n{trailers}"));
    }

    #[test]
    fn an_empty_title_and_an_endless_summary_are_bounded() {
        assert_eq!(line(" \n\t"), "change without a title\n");
        let task = TaskId::of(ExecutionId::new(1), &"a".parse().unwrap());
        assert!(step("t", &"x\n".repeat(1 << 20), "", task, AttemptNo(1)).len() < SUMMARY_LIMIT + 200);
    }
}
