//! The first five rules, looked up in the transcript of a coordinator that kept no log here. They are searches in a text,
//! so that every answer is approximate: what is quoted counts like what was done.

use super::{Answer, Kept, RULES, SECTIONS};
use crate::advice::assign::PROTOCOL_SKILLS;
use crate::gv::{self, Directive};
use crate::limits::Limits;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a transcript has where an agent starts: of a tool call, of a directive, of a prompt that is bound to a chain.
const STARTS: [&str; 3] = ["subagent_type", "\"action\":\"spawn\"", "[WRFC:"];
/// What it has where work was divided before.
const PLANS: [&str; 5] = ["decompos", "task_id", "## plan", "# plan", "[[steps]]"];
const SKILLS: &str = "skills available";

/// Holds a transcript against rules 1 to 5. A line that is a JSON object, as in the transcripts of Claude Code, counts as the
/// texts in it.
#[must_use]
pub fn transcript(text: &str, limits: &Limits) -> Vec<Answer> {
    let text = texts(text);
    let found = [
        plan_first(&text),
        protocol_skills(&text),
        evidence(&text),
        open_chains(&text, limits.chains as usize),
        sections(&text),
    ];
    RULES.iter().zip(found).map(|((rule, asks, _), kept)| Answer { rule: *rule, asks, kept }).collect()
}

/// The text, with the strings of lines that are JSON in place of those lines.
fn texts(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for line in text.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(value @ Value::Object(_)) => strings(&value, &mut all),
            _ => {
                all.push_str(line);
                all.push('\n');
            }
        }
    }
    all
}

fn strings(value: &Value, all: &mut String) {
    match value {
        Value::String(text) => {
            all.push_str(text);
            all.push('\n');
        }
        Value::Array(values) => values.iter().for_each(|value| strings(value, all)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if STARTS.contains(&name.as_str()) || PLANS.contains(&name.as_str()) {
                    all.push_str(name);
                    all.push('\n');
                }
                strings(value, all);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn plan_first(text: &str) -> Kept {
    let Some(start) = STARTS.iter().filter_map(|mark| text.find(mark)).min() else {
        return Kept::NotApplicable("no agent was started");
    };
    let before = text[..start].to_lowercase();
    if PLANS.iter().any(|mark| before.contains(mark)) {
        return Kept::Yes;
    }
    let line = text[..start].lines().count().max(1);
    Kept::No(vec![format!("an agent starts at line {line} of its texts, and no plan or decomposition comes before")])
}

fn protocol_skills(text: &str) -> Kept {
    let lower = text.to_lowercase();
    let without: Vec<String> = lower
        .match_indices(SKILLS)
        .enumerate()
        .filter(|(_, (at, _))| {
            let section = &lower[at + SKILLS.len()..];
            let section = &section[..section.find("\n#").unwrap_or(section.len())];
            !PROTOCOL_SKILLS.iter().any(|skill| section.contains(skill))
        })
        .map(|(n, _)| format!("section {} of skills names no protocol skill", n + 1))
        .collect();
    if !lower.contains(SKILLS) { Kept::NotApplicable("no prompt has a section of skills") } else { kept(without) }
}

fn evidence(text: &str) -> Kept {
    let outputs = outputs(text);
    if outputs.is_empty() {
        return Kept::NotApplicable("there is no output");
    }
    let is_evidence = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let hex = (7..=40).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit());
        let digit = word.bytes().any(|b| b.is_ascii_digit());
        let name = word.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && !end.is_empty());
        (hex && digit) || name || word.contains('/')
    };
    let without = |(n, output): (usize, &&str)| {
        let found = output.split_whitespace().any(is_evidence);
        (!found).then(|| format!("output {} names no file and no commit", n + 1))
    };
    kept(outputs.iter().enumerate().filter_map(without).collect())
}

fn open_chains(text: &str, most: usize) -> Kept {
    // Where each chain is named first, and where a directive ends it.
    let mut moves: BTreeMap<usize, (bool, String)> = BTreeMap::new();
    for (at, mark) in text.match_indices("[WRFC:") {
        let name = &text[at + mark.len()..];
        if let Some(end) = name.find(']').filter(|end| *end <= 105) {
            moves.insert(at, (true, name[..end].to_owned()));
        }
    }
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        for object in gv::find(line) {
            if let Some(Directive::Complete { wid } | Directive::Escalate { wid, .. }) = Directive::decode(&object) {
                moves.insert(at, (false, wid));
            }
        }
        at += line.len();
    }
    if moves.is_empty() {
        return Kept::NotApplicable("no chain is named");
    }
    let (mut open, mut ended, mut highest) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (begins, wid) in moves.into_values() {
        if !begins {
            open.remove(&wid);
            ended.insert(wid);
        } else if !ended.contains(&wid) {
            open.insert(wid);
            highest = highest.max(open.len());
        }
    }
    if highest > most { Kept::No(vec![format!("{highest} chains were open, {most} may be")]) } else { Kept::Yes }
}

fn sections(text: &str) -> Kept {
    let outputs = outputs(text);
    if outputs.is_empty() {
        return Kept::NotApplicable("there is no output");
    }
    let short = |(n, output): (usize, &&str)| {
        let text = output.to_lowercase();
        let found = SECTIONS.iter().filter(|section| text.contains(**section)).count();
        (found < 3).then(|| format!("output {} has {found} of the five sections, not 3", n + 1))
    };
    kept(outputs.iter().enumerate().filter_map(short).collect())
}

/// What stands between `[OUTPUT]` and `[/OUTPUT]`.
fn outputs(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once("[OUTPUT]") {
        let Some((output, after)) = after.split_once("[/OUTPUT]") else { break };
        found.push(output);
        rest = after;
    }
    found
}

fn kept(breaches: Vec<String>) -> Kept {
    if breaches.is_empty() { Kept::Yes } else { Kept::No(breaches) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<&'static str> {
        let word = |answer: Answer| match answer.kept {
            Kept::Yes => "kept",
            Kept::NotApplicable(_) => "n/a",
            Kept::No(_) => "broken",
        };
        transcript(text, &Limits::default()).into_iter().map(word).collect()
    }

    const GOOD: &str = "Decomposition: two tasks.\n{\"type\":\"tool_use\",\"input\":{\"subagent_type\":\"engineer\",\"prompt\":\
        \"# Task\\nDo it.\\n\\n## Skills Available\\n- gather-plan-apply - first\\n\\n## Expected Outcome\\nx\"}}\n\
        [OUTPUT]\nSummary: done\nChanges Made: src/a.rs\nNext Steps: none\n[/OUTPUT]\n\
        [WRFC:wrfc_a] Review it\n<gv>{\"action\":\"complete\",\"wid\":\"wrfc_a\"}</gv>\n";

    #[test]
    fn each_rule_is_searched_for() {
        assert_eq!(words(GOOD), ["kept"; 5]);
        assert_eq!(words("nothing of that kind"), ["n/a"; 5]);
        assert_eq!(words(&GOOD.replace("Decomposition", "Well"))[0], "broken");
        assert_eq!(words(&GOOD.replace("gather-plan-apply", "cooking"))[1], "broken");
        assert_eq!(words(&GOOD.replace("src/a.rs", "some"))[2], "broken");
        assert_eq!(words(&GOOD.replace("Next Steps: none", ""))[4], "broken");
        let chains = |n: usize| (0..n).map(|n| format!("[WRFC:wrfc_{n}] Review it\n")).collect::<String>();
        assert_eq!(words(&chains(6))[3], "kept");
        assert_eq!(words(&chains(7))[3], "broken");
        let ended =
            format!("{}<gv>{{\"action\":\"complete\",\"wid\":\"wrfc_0\"}}</gv>\n[WRFC:wrfc_9] Review it", chains(6));
        assert_eq!(words(&ended)[3], "kept", "one ended before the next began");
    }

    proptest! {
        #[test]
        fn any_text_is_searched(text in "(\\[OUTPUT\\]|\\[/OUTPUT\\]|\\[WRFC:|\\]|skills available|\n#|<gv>|</gv>|\\{|\\}|\"|\\PC){0,40}") {
            prop_assert_eq!(transcript(&text, &Limits::default()).len(), 5);
        }
    }
}
