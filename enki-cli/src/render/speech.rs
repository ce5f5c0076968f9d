//! What agents say while they say it, for who follows a log.

use super::Paint;
use crate::source::visible;

/// Writes texts that come in pieces. Who is interrupted by another line goes on in a line of their own.
#[derive(Debug, Default)]
pub(crate) struct Speech {
    /// Whose line is not ended.
    open: Option<String>,
}

impl Speech {
    /// What to write for a piece of what the agent of `step` says; with `whole` its text is complete.
    pub(crate) fn says(&mut self, step: &str, (at, text): (&str, &str), whole: bool, paint: Paint) -> String {
        let mut out = if self.open.as_deref() == Some(step) { String::new() } else { self.interrupt().to_owned() };
        for piece in text.split_inclusive('\n') {
            let words = visible(piece.strip_suffix('\n').unwrap_or(piece));
            // A line with nothing on it need not begin.
            if self.open.is_none() && !words.is_empty() {
                out.push_str(&format!("{} {}: ", paint.dim(at), paint.busy(step)));
                self.open = Some(step.to_owned());
            }
            out.push_str(&words);
            if piece.ends_with('\n') {
                out.push_str(self.interrupt());
            }
        }
        if whole {
            out.push_str(self.interrupt());
        }
        out
    }

    /// What to write before a line of something else.
    pub(crate) fn interrupt(&mut self) -> &'static str {
        if self.open.take().is_some() { "\n" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_on_in_their_line_until_another_speaks() {
        let mut speech = Speech::default();
        let mut say = |step: &str, text: &str, whole| speech.says(step, ("12:00:00", text), whole, Paint(false));
        let all = [
            say("a", "I rea", false),
            say("a", "d it.\n\nThen", false),
            say("b", "Done.", true),
            say("a", " I go\u{1b}[31m", false),
            say("a", "", true),
            say("a", "Next", true),
        ];
        let wanted = "12:00:00 a: I read it.\n12:00:00 a: Then\n12:00:00 b: Done.\n12:00:00 a:  I go\\u{1b}[31m\n12:00:00 a: Next\n";
        assert_eq!(all.concat(), wanted);
        assert_eq!(speech.interrupt(), "");
    }
}
