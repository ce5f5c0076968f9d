//! What can be said of steps only when they are looked at together.

use super::super::waves::{Order, index};
use super::super::words::{Token, clean, is_camel, is_file, is_form_of, is_symbol, sentences, words};
use super::step::changes_source;
use super::{Rule, Warning};
use crate::spec::{PlanSpec, StepSpec};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub(super) fn look(plan: &PlanSpec, all: &mut Vec<Warning>) {
    let order = Order::of(&plan.steps);
    let steps = &plan.steps[..plan.steps.len().min(Order::MOST)];
    let texts: Vec<String> = steps.iter().map(|step| format!("{}\n{}", step.title, step.description)).collect();
    let read: Vec<Text<'_>> = texts.iter().map(|text| Text::of(text)).collect();
    references(steps, &read, &order, all);
    same_file(plan, steps, &read, &order, all);
    used_before_made(steps, &read, &order, all);
    discovery(steps, &order, all);
    one_sided(steps, all);
}

/// What a step's text says it makes, changes and uses.
#[derive(Debug, Default)]
struct Text<'t> {
    sentences: Vec<Vec<Token<'t>>>,
    /// Names it says it makes, and whether the sentence speaks of tables or schemas.
    makes: BTreeMap<&'t str, bool>,
    /// Files it says it makes or changes.
    changes: BTreeSet<&'t str>,
    /// Every name in it that another step might make.
    names: BTreeSet<&'t str>,
}

impl<'t> Text<'t> {
    fn of(text: &'t str) -> Self {
        let mut read = Self { sentences: sentences(text), ..Self::default() };
        for sentence in &read.sentences {
            let verb = sentence.first().map_or(String::new(), |token| token.text.to_lowercase());
            let makes = ["create", "add", "define", "introduce", "write", "generate", "declare", "implement"]
                .iter()
                .any(|base| verb == *base || verb == format!("{base}s"));
            let changes = makes
                || ["change", "edit", "update", "extend", "rewrite", "modify", "refactor", "rename", "remove"]
                    .contains(&verb.as_str());
            let data = has(sentence, &["schema", "table", "migration"]);
            let kinds = has(sentence, &["type", "struct", "class", "interface", "enum", "trait", "record", "model"]);
            let mut after = "";
            // A plain capital word is a name where kinds are spoken of, or behind "with" after a new file.
            let mut listed = false;
            for (n, token) in sentence.iter().enumerate() {
                let word = token.text.to_lowercase();
                if is_file(token.text) {
                    let path = clean(token.text);
                    read.names.insert(path);
                    // "Add a test to tests/a.rs", "using src/b.rs": the file is there already.
                    let own = !PLACES.contains(&after) && !USES.contains(&after);
                    if makes && own && verb != "implement" {
                        read.makes.insert(path, data);
                        listed = true;
                    }
                    if changes && !USES.contains(&after) {
                        read.changes.insert(path);
                    }
                } else if n > 0 && is_name(token) {
                    read.names.insert(token.text);
                    let new = makes && (listed || kinds || data) && !PLACES.contains(&after) && !USES.contains(&after);
                    if new {
                        read.makes.insert(token.text, data);
                    }
                } else if let Some(word) = PLACES.iter().chain(USES).chain(["with"].iter()).find(|of| **of == word) {
                    after = word;
                }
                if token.ends_part && !USES.contains(&after) {
                    after = "";
                }
            }
        }
        read
    }
}

/// What follows these is where something happens, not what is made.
const PLACES: &[&str] =
    &["in", "into", "to", "from", "of", "on", "at", "inside", "under", "within", "for", "as", "per"];
/// What follows these is used.
const USES: &[&str] = &["using", "by", "via", "like", "through", "calls", "uses", "reads", "which", "that"];

/// Whether a token is the name of something that a step can make: `code`, `CamelCase`, or a capital word.
fn is_name(token: &Token<'_>) -> bool {
    let plain = token.text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let starts = token.text.starts_with(|c: char| c.is_ascii_alphabetic());
    let capital = token.text.len() > 2
        && token.text.starts_with(|c: char| c.is_ascii_uppercase())
        && token.text.chars().skip(1).all(|c| c.is_ascii_lowercase());
    plain
        && starts
        && (is_camel(token.text) || capital || (token.quoted && token.text.len() > 2) || is_symbol(token.text))
}

fn has(sentence: &[Token<'_>], bases: &[&str]) -> bool {
    sentence.iter().any(|token| bases.iter().any(|base| is_form_of(&token.text.to_lowercase(), base)))
}

/// Another step by its id, in backticks or after the word "step", that is not waited for.
fn references(steps: &[StepSpec], read: &[Text<'_>], order: &Order, all: &mut Vec<Warning>) {
    let index = index(steps);
    for (n, text) in read.iter().enumerate() {
        let mut seen = HashSet::new();
        for sentence in &text.sentences {
            for (at, token) in sentence.iter().enumerate() {
                let called = at > 0 && sentence[at - 1].text.eq_ignore_ascii_case("step");
                let lower = token.text.to_lowercase();
                let other = index.get(token.text).or_else(|| index.get(lower.as_str()).filter(|_| called));
                let Some(&other) = other.filter(|_| called || token.quoted) else { continue };
                // A step that waits for this one may well be spoken of.
                if other != n && !order.waits_for(n, other) && !order.waits_for(other, n) && seen.insert(other) {
                    all.push(Warning {
                        step: n,
                        field: "description",
                        rule: Rule::UnseenBranch,
                        message: format!(
                            "step {:?} refers to step {:?} but does not need it",
                            steps[n].id, steps[other].id
                        ),
                        suggestion: "add it to `needs`, or its work will not be there".into(),
                    });
                }
            }
        }
    }
}

/// Two steps that may be at work at the same time and change one file.
fn same_file(plan: &PlanSpec, steps: &[StepSpec], read: &[Text<'_>], order: &Order, all: &mut Vec<Warning>) {
    let mut by_file: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, step) in steps.iter().enumerate().filter(|(_, step)| changes_source(plan, step)) {
        let declared = step.scope.files.iter().map(|file| clean(file));
        let files: BTreeSet<&str> = declared.chain(read[n].changes.iter().copied()).collect();
        for file in files {
            by_file.entry(file).or_default().push(n);
        }
    }
    let mut said = HashSet::new();
    for (file, users) in by_file {
        for (at, &later) in users.iter().enumerate() {
            let beside = |&&earlier: &&usize| !order.follows(later, earlier) && !order.follows(earlier, later);
            let Some(&earlier) = users[..at].iter().find(beside) else { continue };
            if said.insert((earlier, later)) {
                all.push(Warning {
                    step: later,
                    field: if steps[later].scope.files.is_empty() { "description" } else { "scope" },
                    rule: Rule::SameFile,
                    message: format!(
                        "step {:?} changes {file}, which step {:?} may change at the same time",
                        steps[later].id, steps[earlier].id
                    ),
                    suggestion: "let one need the other, or give each its own file".into(),
                });
            }
        }
    }
}

/// A name that exactly one other step makes, used without waiting for that step.
fn used_before_made(steps: &[StepSpec], read: &[Text<'_>], order: &Order, all: &mut Vec<Warning>) {
    let mut makers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (n, text) in read.iter().enumerate() {
        for name in text.makes.keys() {
            makers.entry(name).or_default().push(n);
        }
    }
    for (n, step) in steps.iter().enumerate() {
        let declared = step.scope.files.iter().map(|file| clean(file));
        let mut said = HashSet::new();
        for name in declared.chain(read[n].names.iter().copied()) {
            let Some(&[maker]) = makers.get(name).map(Vec::as_slice) else { continue };
            // What this step changes too is a matter of the rule on the same file.
            let shared = is_file(name) && read[n].changes.contains(name);
            if maker == n || shared || order.follows(n, maker) || order.waits_for(maker, n) || !said.insert(maker) {
                continue;
            }
            let data = read[maker].makes[name];
            all.push(Warning {
                step: n,
                field: "description",
                rule: if data { Rule::SchemaBeforeQueries } else { Rule::TypesBeforeUse },
                message: format!("step {:?} uses {name}, which step {:?} makes", step.id, steps[maker].id),
                suggestion: format!("add {:?} to `needs`, or it will not be there", steps[maker].id),
            });
        }
    }
}

/// A step that plans beside one that finds out about the same thing.
fn discovery(steps: &[StepSpec], order: &Order, all: &mut Vec<Warning>) {
    const FINDS: &[&str] = &["research", "investigate", "explore", "survey", "study", "analyse", "analyze", "discover"];
    const PLANS: &[&str] = &["plan", "design"];
    let titles: Vec<Vec<String>> = steps.iter().map(|step| words(&step.title)).collect();
    let starts = |n: usize, bases: &[&str]| {
        titles[n].first().is_some_and(|word| bases.iter().any(|base| word == base || is_form_of(word, base)))
    };
    let finds =
        |n: &usize| matches!(steps[*n].role.as_deref(), Some("researcher" | "code_referencer")) || starts(*n, FINDS);
    let finders: Vec<usize> = (0..steps.len()).filter(finds).collect();
    let planners = (0..steps.len()).filter(|n| starts(*n, PLANS) && !finds(n));
    for planner in planners {
        let topic = |n: usize| titles[n].iter().skip(1).filter(|word| word.chars().count() > 3).collect::<HashSet<_>>();
        let own = topic(planner);
        let beside = |finder: &&usize| {
            !order.follows(planner, **finder)
                && !order.waits_for(**finder, planner)
                && !own.is_disjoint(&topic(**finder))
        };
        if let Some(finder) = finders.iter().find(beside) {
            all.push(Warning {
                step: planner,
                field: "title",
                rule: Rule::DiscoveryBeforePlanning,
                message: format!(
                    "step {:?} plans what step {:?} still finds out",
                    steps[planner].id, steps[*finder].id
                ),
                suggestion: format!("add {:?} to `needs`", steps[*finder].id),
            });
        }
    }
}

/// Where `blocking` is used, both ends say the same.
fn one_sided(steps: &[StepSpec], all: &mut Vec<Warning>) {
    let index = index(steps);
    for (n, step) in steps.iter().enumerate() {
        let mut say = |step: usize, field, message, suggestion| {
            all.push(Warning { step, field, rule: Rule::OneSided, message, suggestion });
        };
        for blocked in &step.blocking {
            let Some(&other) = index.get(blocked.as_str()).filter(|other| **other != n) else { continue };
            if !steps[other].needs.iter().any(|need| need.step.as_deref() == Some(&step.id)) {
                let message = format!("step {:?} blocks {blocked:?}, which does not say so", step.id);
                say(
                    n,
                    "blocking",
                    message,
                    format!("add {:?} to `blocked_by` of {blocked:?}, or use that alone", step.id),
                );
            }
        }
        for need in step.needs.iter().filter_map(|need| need.step.as_deref()) {
            let Some(&other) = index.get(need).filter(|other| **other != n) else { continue };
            if !steps[other].blocking.is_empty() && !steps[other].blocking.contains(&step.id) {
                let message = format!("step {:?} waits for {need:?}, whose `blocking` leaves it out", step.id);
                say(n, "needs", message, format!("add {:?} to `blocking` of {need:?}, or remove that list", step.id));
            }
        }
    }
}
