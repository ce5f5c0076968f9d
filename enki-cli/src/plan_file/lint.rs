//! Advice on how steps are described. It never refuses a plan by itself.

use enki_core::spec::{PlanSpec, StepSpec};
use enki_core::tier::Tier;

/// One piece of advice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Advice {
    /// Position of the step.
    pub step: usize,
    /// The field it is best shown at.
    pub field: &'static str,
    /// Name of the rule: `vague`, `broad`, `no-done`, `missing-context`, `unseen-branch`, `heavy-words`.
    pub rule: &'static str,
    /// What was noticed, in one sentence.
    pub message: String,
    /// What to write instead.
    pub suggestion: String,
}

/// Looks at every step of a plan.
#[must_use]
pub fn lint(plan: &PlanSpec) -> Vec<Advice> {
    let mut all = Vec::new();
    for (n, step) in plan.steps.iter().enumerate() {
        let mut say = |rule, field, message: String, suggestion: &str| {
            all.push(Advice { step: n, field, rule, message, suggestion: suggestion.into() });
        };
        let text = format!("{} {}", step.title, step.description);
        if text.trim().chars().count() < 60 || !is_concrete(&text) {
            say(
                "vague",
                "description",
                format!("step {:?} names nothing concrete", step.id),
                "name a path, a symbol, a command, a number or a quoted text",
            );
        }
        let paths = paths_in(&text);
        let files = paths
            .iter()
            .chain(step.scope.files.iter().map(String::as_str).collect::<Vec<_>>().iter())
            .collect::<std::collections::BTreeSet<_>>()
            .len();
        if files >= 5 {
            say(
                "broad",
                "description",
                format!("step {:?} is about {files} files", step.id),
                "split it by file or by area",
            );
        } else if step.title.matches(" and ").count() >= 2 || areas(&step.title) >= 3 {
            say(
                "broad",
                "title",
                format!("step {:?} joins several areas", step.id),
                "split it, one step for each area",
            );
        }
        if !promises(step, &text) {
            say(
                "no-done",
                "title",
                format!("step {:?} does not say when it is done", step.id),
                "add `done_when` or a list `acceptance`",
            );
        }
        let lower = text.to_lowercase();
        let trouble = ["bug", "error", "crash", "broken", "fails", "users report"].iter().any(|w| has_word(&lower, w));
        if trouble && !text.contains(['"', '`', '\'']) && paths.is_empty() && !text.contains(':') {
            say(
                "missing-context",
                "description",
                format!("step {:?} mentions a fault without its message or file", step.id),
                "quote the message, name the file, or say how to reproduce it",
            );
        }
        for (m, other) in plan.steps.iter().enumerate() {
            let needed = step.needs.iter().any(|need| need.step.as_deref() == Some(&other.id))
                || other.blocking.contains(&step.id);
            let named = text.contains(&format!("`{}`", other.id)) || lower.contains(&format!("step {}", other.id));
            if m != n && named && !needed && !reaches(plan, step, &other.id) {
                say(
                    "unseen-branch",
                    "description",
                    format!("step {:?} refers to step {:?} but does not need it", step.id, other.id),
                    "add it to `needs`, or its work will not be there",
                );
                break;
            }
        }
        let tier = step.tier.or(plan.defaults.tier).unwrap_or_default();
        let heavy =
            ["architecture", "security", "migration", "concurrency", "redesign"].iter().find(|w| has_word(&lower, w));
        if let (Tier::Light, Some(word)) = (tier, heavy) {
            say(
                "heavy-words",
                if step.tier.is_some() { "tier" } else { "title" },
                format!("step {:?} is light but speaks of {word}", step.id),
                "use tier standard or heavy",
            );
        }
    }
    all
}

/// Whether a step needs another one over others. Stops after the number of steps, so a cycle ends it.
fn reaches(plan: &PlanSpec, step: &StepSpec, target: &str) -> bool {
    let mut open: Vec<&str> = step.needs.iter().filter_map(|need| need.step.as_deref()).collect();
    let mut seen = std::collections::HashSet::new();
    while let Some(id) = open.pop() {
        if id == target {
            return true;
        }
        if seen.insert(id) {
            let of = plan.steps.iter().find(|s| s.id == id);
            open.extend(of.into_iter().flat_map(|s| &s.needs).filter_map(|need| need.step.as_deref()));
        }
    }
    false
}

fn is_concrete(text: &str) -> bool {
    let quoted = text.contains(['`', '"']);
    let number = text.bytes().any(|b| b.is_ascii_digit());
    let symbol = text.split_whitespace().any(|word| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '(' && c != ')');
        word.contains("::")
            || word.contains("()")
            || word.contains('_')
            || word.chars().skip(1).any(char::is_uppercase) && word.chars().any(char::is_lowercase)
    });
    quoted || number || symbol || !paths_in(text).is_empty()
}

fn paths_in(text: &str) -> Vec<&str> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| matches!(c, ',' | ';' | ':' | '(' | ')' | '`' | '"' | '\'' | '.')))
        .filter(|word| {
            let file = word.rsplit_once('.').is_some_and(|(stem, end)| {
                !stem.is_empty()
                    && (1..=4).contains(&end.len())
                    && end.bytes().all(|b| b.is_ascii_alphanumeric())
                    && !end.bytes().all(|b| b.is_ascii_digit())
            });
            file || (word.contains('/') && word.len() > 2 && !word.contains("//"))
        })
        .collect()
}

fn areas(title: &str) -> usize {
    if title.contains(" and ") { title.matches(',').count() + 2 } else { 1 }
}

fn promises(step: &StepSpec, text: &str) -> bool {
    let lower = text.to_lowercase();
    let words = ["so that", "must ", "passes", "pass.", "returns", "is done when", "done when", "should "];
    step.done_when.is_some() || !step.acceptance.is_empty() || words.iter().any(|w| lower.contains(w))
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let after = text[at + word.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric());
        before && after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(title: &str, description: &str, change: impl FnOnce(&mut StepSpec)) -> Vec<&'static str> {
        let mut step =
            StepSpec { id: "a".into(), title: title.into(), description: description.into(), ..StepSpec::default() };
        change(&mut step);
        let other = StepSpec {
            id: "types".into(),
            title: "Add `Profile`".into(),
            description: "Create src/types.ts with Profile and ProfileUpdate, two plain records.".into(),
            done_when: Some("tsc passes".into()),
            ..StepSpec::default()
        };
        let plan = PlanSpec { steps: vec![step, other], ..PlanSpec::default() };
        lint(&plan).iter().map(|advice| advice.rule).collect()
    }

    const GOOD: &str = "Create src/types/profile.ts with the records Profile and ProfileUpdate.";

    #[test]
    fn a_concrete_step_with_an_outcome_gets_no_advice() {
        assert_eq!(rules("Add profile types", GOOD, |s| s.done_when = Some("tsc passes".into())), [""; 0]);
    }

    #[test]
    fn each_rule_fires_on_its_own() {
        let done = |s: &mut StepSpec| s.done_when = Some("it works".into());
        assert_eq!(
            rules("Improve it", "Make the whole thing better and nicer to use for all of the people", done),
            ["vague"]
        );
        assert_eq!(rules("Add profile types", GOOD, |_| {}), ["no-done"]);
        assert_eq!(
            rules("Change", "Touch a.rs b.rs c.rs d.rs and e.rs, each in the very same way as before.", done),
            ["broad"]
        );
        assert_eq!(rules("Add types and routes and pages", GOOD, done), ["broad"]);
        assert_eq!(
            rules("Fix the login bug", "The 2 forms of login do not work since the last release any more", done),
            ["missing-context"]
        );
        assert_eq!(
            rules("Use the types", "Use what step types made in `src/routes/profile.ts` for both routes.", done),
            ["unseen-branch"]
        );
        assert_eq!(
            rules("Plan the migration", GOOD, |s| {
                done(s);
                s.tier = Some(Tier::Light);
            }),
            ["heavy-words"]
        );
    }
}
