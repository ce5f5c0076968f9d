//! A verdict from what a reviewer said last: a tag, an object, or lines of text. Total: anything gives an answer.

use super::{Finding, Gate, Severity, Verdict, rubric};
use crate::gv;
use serde_json::{Map, Value};

/// Longest text that is kept of a review, in bytes.
const TEXT_LIMIT: usize = 16 * 1024;
/// Longest path of a finding.
const PATH_LIMIT: usize = 1024;
const CATEGORY_LIMIT: usize = 64;
const FINDINGS: usize = 100;
const FILES: usize = 200;

/// What a reviewer's final message gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The verdict. One without gate and score could not be understood.
    pub verdict: Verdict,
    /// What should be known of how it was read, one line each.
    pub notices: Vec<String>,
}

impl Reading {
    /// Reads a final message. With a nonce, only tags that carry it count (reliability S7): text of a repository or of a
    /// tool that a reviewer quotes has none. Two such tags that differ make the review unparsable. Without a usable tag,
    /// lines count: the last `VERDICT: <word>`, `SCORE: N/10` and `CRITICAL: N`, each at the start of its line.
    #[must_use]
    pub fn of(text: &str, nonce: Option<&str>) -> Self {
        let mut notices = Vec::new();
        let is_ours = |tag: &Map<String, Value>| nonce.is_none() || tag.get("nonce").and_then(Value::as_str) == nonce;
        let (ours, foreign): (Vec<_>, Vec<_>) = gv::find(text).into_iter().partition(is_ours);
        if !foreign.is_empty() {
            notices.push(format!("{} tags without the nonce of this attempt were ignored", foreign.len()));
        }
        let mut verdicts: Vec<Verdict> = ours.iter().map(Verdict::of_object).filter(Verdict::says_something).collect();
        if nonce.is_some() && verdicts.windows(2).any(|pair| pair[0] != pair[1]) {
            notices.push("the review gave two verdicts that differ".to_owned());
            return Self { verdict: Verdict::default().saying(cap(text.trim())), notices };
        }
        let mut verdict = verdicts.pop().unwrap_or_else(|| Verdict::of_lines(text));
        verdict.text = in_full(&verdict.text, text);
        if let (Some(rubric), Some(score)) = (verdict.rubric, verdict.score)
            && (rubric - score).abs() > 0.005
        {
            notices
                .push(format!("the findings make {rubric}/10 by the rubric; the lower of that and the score counts"));
        }
        Self { verdict, notices }
    }
}

impl Verdict {
    /// Reads a verdict from a reviewer's final text, whoever wrote its tags: see [`Reading::of`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Reading::of(text, None).verdict
    }

    /// Reads a verdict that came as an object: a tag, or structured output by [`super::schema`]. What has another type
    /// than it should is as if it were not there.
    #[must_use]
    pub fn of_object(object: &Map<String, Value>) -> Self {
        let number = |key: &str| object.get(key).and_then(Value::as_f64);
        let mut verdict = Self {
            gate: object.get("gate").and_then(Value::as_str).and_then(gate_word),
            #[expect(clippy::cast_possible_truncation, reason = "a score has a few digits, and is clamped")]
            score: number("score").filter(|n| n.is_finite()).map(|n| n.clamp(0.0, 10.0) as f32),
            text: cap(object.get("summary").and_then(Value::as_str).unwrap_or_default().trim()),
            ..Self::default()
        };
        if let Some(pass) = object.get("pass").and_then(Value::as_bool) {
            verdict.gate = verdict.gate.max(Some(if pass { Gate::Pass } else { Gate::Revise }));
        }
        match object.get("issues").or_else(|| object.get("findings")) {
            Some(Value::Array(issues)) => verdict.findings = issues.iter().filter_map(finding).take(FINDINGS).collect(),
            Some(Value::Object(counts)) => verdict.critical = count(counts.get("critical")).unwrap_or(0),
            _ => {}
        }
        let listed = verdict.findings.iter().filter(|finding| finding.severity == Severity::Critical).count();
        verdict.critical = verdict.critical.max(u32::try_from(listed).unwrap_or(u32::MAX));
        verdict.acceptance = object.get("acceptance").and_then(acceptance);
        let files = object.get("files").and_then(Value::as_array).into_iter().flatten();
        verdict.files = files.filter_map(|file| Some(cap(file.as_str()?))).take(FILES).collect();
        if verdict.findings.iter().any(|finding| finding.points.is_some()) {
            let by_rubric = rubric::score(&verdict.findings);
            verdict.rubric = Some(by_rubric);
            verdict.score = Some(verdict.score.map_or(by_rubric, |score| score.min(by_rubric)));
        }
        verdict
    }

    fn of_lines(text: &str) -> Self {
        let mut verdict = Self::default();
        for line in text.lines() {
            if let Some(word) = labelled(line, "VERDICT:") {
                verdict.gate = gate_word(word).or(verdict.gate);
            } else if let Some(rest) = labelled(line, "SCORE:") {
                let number = rest.split('/').next().unwrap_or(rest).trim();
                verdict.score = number.parse::<f32>().ok().filter(|n| (0.0..=10.0).contains(n)).or(verdict.score);
            } else if let Some(rest) = labelled(line, "CRITICAL:") {
                verdict.critical = rest.trim().parse().unwrap_or(verdict.critical);
            }
        }
        verdict
    }

    const fn says_something(&self) -> bool {
        self.gate.is_some() || self.score.is_some()
    }
}

/// The gate of a reviewer's word, of any vocabulary of model section 4.
#[must_use]
pub fn gate_word(word: &str) -> Option<Gate> {
    let word = word.trim().trim_matches(|c: char| matches!(c, '*' | '`' | '.')).to_ascii_uppercase();
    match word.replace([' ', '-'], "_").as_str() {
        "READY" | "PASS" | "GO" | "UPDATE" => Some(Gate::Pass),
        "NEEDS_WORK" | "REVISE" => Some(Gate::Revise),
        "NOT_READY" | "FAIL" | "BLOCK" => Some(Gate::Fail),
        _ => None,
    }
}

/// One issue: a text, or an object.
fn finding(issue: &Value) -> Option<Finding> {
    let object = match issue {
        Value::String(title) => return (!title.trim().is_empty()).then(|| Finding::new(Severity::Major, title)),
        Value::Object(object) => object,
        _ => return None,
    };
    let text = |keys: &[&str]| keys.iter().find_map(|key| object.get(*key)?.as_str()).filter(|t| !t.trim().is_empty());
    let severity = text(&["severity", "level"]).and_then(Severity::of_word).unwrap_or_default();
    let mut finding = Finding::new(severity, text(&["title", "message", "description", "issue"])?);
    if let Some(file) = text(&["file", "path"]) {
        let line = object.get("line").and_then(Value::as_u64).and_then(|line| u32::try_from(line).ok());
        finding = finding.in_file(cap_at(file, PATH_LIMIT), line);
    }
    let category = text(&["category"]).map(|text| cap_at(text, CATEGORY_LIMIT)).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "points have two digits, and are clamped")]
    match object.get("points").and_then(Value::as_f64) {
        Some(points) => finding = finding.with_points(category, points as f32),
        None => finding.category = Some(category).filter(|category| !category.is_empty()),
    }
    Some(match text(&["id"]) {
        Some(id) => finding.known_as(id),
        None => finding,
    })
}

/// Criteria met, of how many: `{met, total}`, or a list of booleans or of `{met}`.
fn acceptance(value: &Value) -> Option<(u32, u32)> {
    match value {
        Value::Object(counts) => Some((count(counts.get("met"))?, count(counts.get("total"))?)),
        Value::Array(all) if !all.is_empty() => {
            let met = |one: &&Value| one.as_bool().or_else(|| one.get("met")?.as_bool()).unwrap_or(false);
            Some((u32::try_from(all.iter().filter(met).count()).ok()?, u32::try_from(all.len()).ok()?))
        }
        _ => None,
    }
}

fn count(value: Option<&Value>) -> Option<u32> {
    u32::try_from(value?.as_u64()?).ok()
}

fn labelled<'a>(line: &'a str, label: &str) -> Option<&'a str> {
    let line = line.trim();
    let head = line.get(..label.len())?;
    head.eq_ignore_ascii_case(label).then(|| &line[label.len()..])
}

/// The summary of a tag, if there is one, and what stands before it: there the findings are told at length. Without the
/// lines that are the verdict itself; their nonce would make every review another text.
fn in_full(summary: &str, text: &str) -> String {
    let is_form = |line: &&str| {
        line.contains("<gv>") || ["VERDICT:", "SCORE:"].iter().any(|label| labelled(line, label).is_some())
    };
    let said: Vec<&str> = text.lines().filter(|line| !is_form(line)).collect();
    let said = said.join("\n");
    match (summary, said.trim()) {
        ("", "") => cap(text.trim()),
        ("", said) => cap(said),
        (summary, "") => summary.to_owned(),
        (summary, said) => cap(&format!("{summary}\n\n{said}")),
    }
}

fn cap(text: &str) -> String {
    cap_at(text, TEXT_LIMIT)
}

fn cap_at(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Decision;
    use proptest::prelude::*;

    #[test]
    fn the_last_verdict_and_score_of_a_text_count() {
        let verdict = Verdict::parse("VERDICT: FAIL\nlooked again\n verdict: needs_work \nSCORE: 7.5/10\n");
        assert_eq!((verdict.gate, verdict.score), (Some(Gate::Revise), Some(7.5)));
        assert_eq!(Verdict::parse("fine, I guess; SCORE: 11/10").decide(9.0), Decision::Unparsable);
    }

    #[test]
    fn every_word_of_every_vocabulary_is_known() {
        for (words, gate) in [
            (&["READY", "pass", "Go", "UPDATE"][..], Gate::Pass),
            (&["NEEDS_WORK", "needs work", "Revise"], Gate::Revise),
            (&["NOT_READY", "not ready", "FAIL", "**block**"], Gate::Fail),
        ] {
            for word in words {
                assert_eq!(gate_word(word), Some(gate), "{word}");
            }
        }
        assert_eq!(gate_word("maybe"), None);
        let pass = |pass: bool| Verdict::parse(&format!("<gv>{{\"pass\":{pass}}}</gv>"));
        assert_eq!((pass(true).gate, pass(true).score), (Some(Gate::Pass), None));
        assert_eq!(pass(false).gate, Some(Gate::Revise));
    }

    #[test]
    fn a_tag_goes_before_lines_and_a_score_is_a_number() {
        let text = "SCORE: 9.9/10\n<gv>{\"score\":\"10\",\"gate\":\"REVISE\",\"issues\":[{\"severity\":\"critical\",\
                    \"title\":\"Injection\",\"file\":\"a.rs\",\"line\":3,\"category\":\"security\",\"points\":2}]}</gv>";
        let verdict = Verdict::parse(text);
        assert_eq!((verdict.gate, verdict.score, verdict.critical), (Some(Gate::Revise), Some(9.52), 1));
        assert_eq!(Verdict::parse("<gv>{\"score\":12}</gv>").score, Some(10.0));
        assert_eq!(Verdict::parse("<gv>{\"files\":[\"a\"]}</gv>\nSCORE: 8/10").score, Some(8.0));
        assert_eq!(Verdict::parse("<gv>{\"score\":1e999}</gv>").score, None);
    }

    #[test]
    fn only_tags_with_the_nonce_count_and_two_that_differ_are_none() {
        let text = "<gv>{\"gate\":\"PASS\"}</gv> <gv>{\"gate\":\"REVISE\",\"nonce\":\"n1\"}</gv>";
        let read = Reading::of(text, Some("n1"));
        assert_eq!((read.verdict.gate, read.notices.len()), (Some(Gate::Revise), 1));
        let both = "<gv>{\"gate\":\"PASS\",\"nonce\":\"n1\"}</gv><gv>{\"gate\":\"FAIL\",\"nonce\":\"n1\"}</gv>";
        assert_eq!(Reading::of(both, Some("n1")).verdict.decide(9.0), Decision::Unparsable);
        assert_eq!(Reading::of(both, None).verdict.gate, Some(Gate::Fail));
        let twice = "<gv>{\"gate\":\"PASS\",\"nonce\":\"n1\"}</gv><gv>{\"gate\":\"PASS\",\"nonce\":\"n1\"}</gv>";
        assert_eq!(Reading::of(twice, Some("n1")).verdict.gate, Some(Gate::Pass));
    }

    #[test]
    fn what_is_said_before_the_tag_is_part_of_the_review() {
        let text = |n: &str| {
            format!(
                "a.rs:3 may panic\nb.rs leaks\n\nVERDICT: REVISE\nSCORE: 5/10\n\
                 <gv>{{\"gate\":\"REVISE\",\"summary\":\"two things\",\"nonce\":\"{n}\"}}</gv>"
            )
        };
        let verdict = Reading::of(&text("n1"), Some("n1")).verdict;
        assert_eq!(verdict.text, "two things\n\na.rs:3 may panic\nb.rs leaks");
        assert_eq!(verdict, Reading::of(&text("n2"), Some("n2")).verdict, "the nonce makes no other review of it");
        let bare = Reading::of("<gv>{\"gate\":\"REVISE\",\"nonce\":\"n1\"}</gv>", Some("n1")).verdict;
        assert!(bare.text.contains("REVISE"), "something is there for the fix: {}", bare.text);
    }

    #[test]
    fn criteria_are_counted_in_either_form() {
        let of = |json: &str| Verdict::parse(&format!("<gv>{{\"pass\":true,\"acceptance\":{json}}}</gv>")).acceptance;
        assert_eq!(of("{\"met\":1,\"total\":2}"), Some((1, 2)));
        assert_eq!(of("[true,{\"met\":false,\"criterion\":\"x\"}]"), Some((1, 2)));
        assert_eq!(of("\"all\""), None);
    }

    proptest! {
        #[test]
        fn any_text_gives_a_score_in_range_or_none(
            text in "\\PC*(SCORE: ?-?[0-9./e]{0,8}\n\\PC*)?(<gv>\\{\"score\":-?[0-9.e]{1,6}\\}</gv>)?"
        ) {
            let verdict = Verdict::parse(&text);
            prop_assert!(verdict.score.is_none_or(|s| (0.0..=10.0).contains(&s)));
        }
    }
}
