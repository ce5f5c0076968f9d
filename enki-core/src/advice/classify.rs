//! What kind of work a plan is (wrfc section 6), from its words alone.

use super::words;
use crate::spec::PlanSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of work. In the order in which ties are decided.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Something that should work does not.
    BugFix,
    /// The same behaviour in another form.
    Refactoring,
    /// Two things are made to work together.
    Integration,
    /// Something that works gets better.
    Enhancement,
    /// Something new.
    Feature,
}

/// How much of the work can go on side by side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parallelism {
    /// Little: one thing follows from another.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

impl Class {
    /// All of them, in the order in which ties are decided.
    pub const ALL: [Self; 5] = [Self::BugFix, Self::Refactoring, Self::Integration, Self::Enhancement, Self::Feature];

    /// Its name: `bug-fix`, `feature`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BugFix => "bug-fix",
            Self::Refactoring => "refactoring",
            Self::Integration => "integration",
            Self::Enhancement => "enhancement",
            Self::Feature => "feature",
        }
    }

    /// How such work is best divided.
    #[must_use]
    pub const fn strategy(self) -> &'static str {
        match self {
            Self::BugFix => "root cause first, then the fix",
            Self::Refactoring => "analysis, then file by file",
            Self::Integration => "study both sides, then an adapter",
            Self::Enhancement => "current state, then increments",
            Self::Feature => "split by domain: types, API, UI, data",
        }
    }

    /// How much of it can go on side by side.
    #[must_use]
    pub const fn parallelism(self) -> Parallelism {
        match self {
            Self::BugFix => Parallelism::Low,
            Self::Refactoring | Self::Integration | Self::Enhancement => Parallelism::Medium,
            Self::Feature => Parallelism::High,
        }
    }

    /// Words that are typical of it; their forms count too.
    const fn typical(self) -> &'static [&'static str] {
        match self {
            Self::BugFix => &["fix", "resolve", "error", "bug", "crash", "broken", "repair", "regression"],
            Self::Refactoring => &["refactor", "restructure", "extract", "reorganize", "reorganise"],
            Self::Integration => &["integrate", "integration", "connect"],
            Self::Enhancement => &["improve", "improvement", "extend", "enhance", "existing"],
            Self::Feature => &["add", "implement", "create", "introduce", "build"],
        }
    }
}

impl Parallelism {
    /// `low`, `medium`, `high`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What kind of work something is, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Classification {
    /// The kind.
    pub class: Class,
    /// The words that decided, as written but in lower case, each once, in order. Empty if no word said anything: then
    /// the class is a guess.
    pub words: Vec<String>,
}

impl Classification {
    /// Whether any word spoke for it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.words.is_empty()
    }
}

/// Classifies a text. The class with the most typical words wins; ties go by the order of [`Class::ALL`]. Without any,
/// it is a feature that [is not known](Classification::is_known) to be one.
#[must_use]
pub fn classify(text: &str) -> Classification {
    let words = words::words(text);
    let mut found: [Vec<&str>; Class::ALL.len()] = std::array::from_fn(|_| Vec::new());
    for (n, word) in words.iter().enumerate() {
        let class =
            Class::ALL.iter().position(|class| class.typical().iter().any(|base| words::is_form_of(word, base)));
        let Some(class) = class else { continue };
        // "Add error types" repairs nothing.
        let next = words.get(n + 1).map_or("", String::as_str);
        if words::is_form_of(word, "error") && speaks_of_errors(next) {
            continue;
        }
        found[class].push(word);
    }
    // Phrases, and words that say something only after another one.
    for pair in words.windows(2) {
        if matches!(pair[0].as_str(), "not" | "doesn't" | "doesn’t" | "don't" | "don’t")
            && words::is_form_of(&pair[1], "work")
        {
            found[0].push(if pair[0] == "not" { "not working" } else { "does not work" });
        }
    }
    let joins = found[2].len();
    if joins > 0 {
        // `with` and `to` are typical of an integration once something is integrated or connected.
        let links = words.iter().filter(|word| matches!(word.as_str(), "with" | "to")).take(joins);
        found[2].extend(links.map(String::as_str));
    }
    let most = found.iter().map(Vec::len).max().unwrap_or(0);
    let at = found.iter().position(|words| words.len() == most).filter(|_| most > 0);
    let mut decided: Vec<String> = Vec::new();
    for word in at.into_iter().flat_map(|at| &found[at]) {
        if !decided.iter().any(|known| known == word) {
            decided.push((*word).to_owned());
        }
    }
    Classification { class: at.map_or(Class::Feature, |at| Class::ALL[at]), words: decided }
}

/// Classifies a plan: as it says itself, else by its own title and description if they say anything, else by the titles of its steps, else by
/// their descriptions.
#[must_use]
pub fn classify_plan(plan: &PlanSpec) -> Classification {
    if let Some(class) = plan.class {
        return Classification { class, words: vec![class.as_str().to_owned()] };
    }
    let own = [plan.title.as_deref(), plan.description.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("\n");
    let titles = || plan.steps.iter().map(|step| step.title.as_str()).collect::<Vec<_>>().join("\n");
    let descriptions = || plan.steps.iter().map(|step| step.description.as_str()).collect::<Vec<_>>().join("\n");
    let mut seen = classify(&own);
    if !seen.is_known() {
        seen = classify(&titles());
    }
    if !seen.is_known() {
        seen = classify(&descriptions());
    }
    seen
}

fn speaks_of_errors(next: &str) -> bool {
    ["handling", "type", "message", "page", "code", "path", "boundary", "report", "case"]
        .iter()
        .any(|base| words::is_form_of(next, base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::StepSpec;

    fn class(text: &str) -> &'static str {
        let seen = classify(text);
        if seen.is_known() { seen.class.as_str() } else { "?" }
    }

    #[test]
    fn typical_words_decide_in_any_form() {
        for (text, expected) in [
            ("Add a profile page", "feature"),
            ("IMPLEMENTING search", "feature"),
            ("Fixes the login", "bug-fix"),
            ("The upload is not working", "bug-fix"),
            ("Upload doesn't work on Tuesdays", "bug-fix"),
            ("Resolved: an error at start", "bug-fix"),
            ("Refactor the parser, extracting a lexer", "refactoring"),
            ("Integrate Stripe with the shop", "integration"),
            ("Connect the form to the backend", "integration"),
            ("Improve the existing search", "enhancement"),
            ("Extended filters", "enhancement"),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }

    #[test]
    fn parts_of_words_and_names_of_things_decide_nothing() {
        for text in [
            "",
            "Use the prefix and the address of the fixture",
            "Rename `fix` in src/fix.rs and add_user",
            "Go to the shop with a list",
            "Whatever",
        ] {
            assert_eq!(class(text), "?", "{text}");
        }
        assert_eq!(classify("Whatever").class, Class::Feature);
        assert_eq!(class("Add error types and error messages"), "feature");
    }

    #[test]
    fn ties_go_by_the_order_of_the_table() {
        for (text, expected) in [
            ("Add a fix", "bug-fix"),
            ("Refactor and fix", "bug-fix"),
            ("Integrate and refactor", "refactoring"),
            ("Improve and integrate", "integration"),
            ("Add and improve", "enhancement"),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }

    #[test]
    fn the_words_that_decided_are_named_once() {
        let seen = classify("Fix the bug; fixed means fixed. Add a test.");
        assert_eq!((seen.class, seen.words), (Class::BugFix, vec!["fix".into(), "bug".into(), "fixed".into()]));
    }

    #[test]
    fn a_plan_is_asked_from_the_outside_in() {
        let step = |title: &str| StepSpec { title: title.into(), ..StepSpec::default() };
        let mut plan = PlanSpec { steps: vec![step("Add a"), step("Add b"), step("Fix c")], ..PlanSpec::default() };
        assert_eq!(classify_plan(&plan).class, Class::Feature);
        plan.title = Some("Extract the core".into());
        assert_eq!(classify_plan(&plan).class, Class::Refactoring);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_one_class(text in "(\\PC|fix|adds|to |with |connect |not working|[ \n]){0,40}") {
            let seen = classify(&text);
            proptest::prop_assert_eq!(&seen, &classify(&text));
            proptest::prop_assert!(seen.is_known() || seen.class == Class::Feature);
        }
    }
}
