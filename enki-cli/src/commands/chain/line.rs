//! What a coordinator says, one line each: a verb, the chain, what else is needed, and at the end perhaps one JSON object.

use enki_core::chain::Wid;
use enki_core::chain::outside::{End, Word};
use enki_core::gv::Spawned;
use enki_core::id::AttemptNo;
use enki_core::spec::{ReviewSpec, ReviewTable, ReviewWord};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Longest title, in characters.
const TITLE: usize = 200;

/// A line, understood.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// A chain begins.
    Start { wid: Wid, title: String, review: ReviewSpec },
    /// An attempt has ended.
    Ended { wid: Wid, attempt: AttemptNo, by: Option<Spawned>, end: Box<End> },
    /// The end of a chain was noticed.
    Taken { wid: Wid },
    /// A chain is given up.
    Cancel { wid: Wid },
}

/// Reads a line; nothing if it is empty or a comment. `enki chain` before the verb is allowed.
pub(super) fn parse(line: &str) -> Result<Option<Line>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (head, tail) = line.split_at(line.find('{').unwrap_or(line.len()));
    let tail: Map<String, Value> = match tail {
        "" => Map::new(),
        json => {
            serde_json::from_str(json).map_err(|error| format!("what follows the words is no JSON object: {error}"))?
        }
    };
    let mut words = head.split_whitespace().peekable();
    if words.next_if_eq(&"enki").is_some() {
        words.next_if_eq(&"chain");
    }
    let verb = words.next().unwrap_or_default();
    if !["start", "ended", "taken", "cancel"].contains(&verb) {
        return Err(format!("{verb:?} is none of start, ended, taken and cancel"));
    }
    let wid = words.next().ok_or_else(|| format!("{verb} names no chain"))?;
    let wid: Wid = wid.parse().map_err(|error: enki_core::chain::InvalidWid| error.to_string())?;
    let (attempt, by) = flags(verb, words)?;
    if verb != "ended" && (attempt.is_some() || by.is_some()) {
        return Err(format!("{verb} takes no flags"));
    }
    if !tail.is_empty() && matches!(verb, "taken" | "cancel") {
        return Err(format!("{verb} takes no object"));
    }
    Ok(Some(match verb {
        "start" => start(wid, tail)?,
        "ended" => {
            let attempt = attempt.ok_or("ended names no attempt: add --attempt N")?;
            Line::Ended { wid, attempt, by, end: Box::new(end(tail)?) }
        }
        "taken" => Line::Taken { wid },
        _ => Line::Cancel { wid },
    }))
}

fn flags<'a>(
    verb: &str,
    mut words: impl Iterator<Item = &'a str>,
) -> Result<(Option<AttemptNo>, Option<Spawned>), String> {
    let (mut attempt, mut by) = (None, None);
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word, words.next()),
        };
        let value = value.ok_or_else(|| format!("{flag} has no value"))?;
        match flag {
            "--attempt" => {
                let number: u32 = value.parse().ok().filter(|n| *n > 0).ok_or("--attempt takes a number from 1 on")?;
                attempt = Some(AttemptNo(number));
            }
            "--type" => {
                let kind = serde_json::from_value(value.into());
                by = Some(kind.map_err(|_| "--type takes reviewer, tester or engineer".to_owned())?);
            }
            _ => return Err(format!("{verb} knows no {flag:?}")),
        }
    }
    Ok((attempt, by))
}

fn start(wid: Wid, mut tail: Map<String, Value>) -> Result<Line, String> {
    let title = match tail.remove("title") {
        None => wid.to_string(),
        Some(Value::String(title)) => title.trim().to_owned(),
        Some(_) => return Err("title takes a text".to_owned()),
    };
    if title.is_empty() || title.chars().count() > TITLE || title.chars().any(char::is_control) {
        return Err(format!("title takes one line of 1 to {TITLE} characters"));
    }
    let review = if tail.is_empty() {
        ReviewSpec::Word(ReviewWord::Code)
    } else {
        let table: ReviewTable = serde_json::from_value(Value::Object(tail)).map_err(|error| error.to_string())?;
        ReviewSpec::Table(table)
    };
    Ok(Line::Start { wid, title, review })
}

fn end(tail: Map<String, Value>) -> Result<End, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Tail {
        #[serde(default)]
        text: String,
        #[serde(default)]
        outcome: Outcome,
        #[serde(default)]
        changed: Option<bool>,
        #[serde(default)]
        tree: Option<enki_core::id::TreeId>,
        #[serde(default)]
        files: Vec<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Outcome {
        #[default]
        Done,
        Failed,
        NotStarted,
        Interrupted,
        Void,
        Asks,
        Dead,
    }
    let tail: Tail = serde_json::from_value(Value::Object(tail)).map_err(|error| error.to_string())?;
    let outcome = match tail.outcome {
        Outcome::Done => Word::Done,
        Outcome::Failed => Word::Failed,
        Outcome::NotStarted => Word::NotStarted,
        Outcome::Interrupted => Word::Interrupted,
        Outcome::Void => Word::Void,
        Outcome::Asks => Word::Asks,
        Outcome::Dead => Word::Dead,
    };
    // Without a word it is taken that something changed: only then is a review of it worth more than the last one.
    let changed = tail.changed.unwrap_or(true);
    Ok(End { outcome, text: tail.text, changed, tree: tail.tree, files: tail.files })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wid() -> Wid {
        "wrfc_a".parse().unwrap()
    }

    #[test]
    fn lines_are_read_with_and_without_the_name_of_the_program() {
        let taken = Ok(Some(Line::Taken { wid: wid() }));
        assert_eq!(parse("taken wrfc_a"), taken);
        assert_eq!(parse("  enki chain taken wrfc_a \r"), taken);
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("# a comment"), Ok(None));
        let line = parse(r#"ended wrfc_a --attempt=3 --type tester {"text":"{}","outcome":"failed","files":["a"]}"#);
        let Ok(Some(Line::Ended { attempt, by, end, .. })) = line else { panic!("{line:?}") };
        assert_eq!((attempt, by), (AttemptNo(3), Some(Spawned::Tester)));
        assert_eq!((end.outcome, end.text.as_str(), end.changed), (Word::Failed, "{}", true));
        let line = parse(r#"start wrfc_a {"title":" Routes ","min_score":9}"#);
        let Ok(Some(Line::Start { title, review: ReviewSpec::Table(table), .. })) = line else { panic!("{line:?}") };
        assert_eq!((title.as_str(), table.min_score), ("Routes", Some(9.0)));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, why) in [
            ("begin wrfc_a", "\"begin\" is none of"),
            ("start", "names no chain"),
            ("start a", "is no name of a chain"),
            ("ended wrfc_a", "add --attempt N"),
            ("ended wrfc_a --attempt", "has no value"),
            ("ended wrfc_a --attempt 0", "a number from 1 on"),
            ("ended wrfc_a --attempt 1 --type judge", "reviewer, tester or engineer"),
            ("ended wrfc_a --attempt 1 {\"txt\":\"\"}", "unknown field `txt`"),
            ("ended wrfc_a --attempt 1 {\"outcome\":\"fine\"}", "unknown variant `fine`"),
            ("ended wrfc_a --attempt 1 {\"text\":\"\"", "no JSON object"),
            ("taken wrfc_a --attempt 1", "takes no flags"),
            ("cancel wrfc_a {\"text\":\"\"}", "takes no object"),
            ("start wrfc_a {\"title\":\"a\\nb\"}", "one line"),
            ("start wrfc_a {\"score\":9}", "unknown field `score`"),
        ] {
            let said = parse(line).unwrap_err();
            assert!(said.contains(why), "{line}: {said}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "(start|ended|taken|enki chain|wrfc_a|--attempt|[0-9]| |=|\\{|\\}|\"|\\PC){0,30}") {
            drop(parse(&line));
        }
    }
}
