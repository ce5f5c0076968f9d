//! What can be said of a step by itself.

use super::super::assign::PROTOCOL_SKILLS;
use super::super::words::{clean, is_file, is_form_of, is_symbol, sentences, words};
use super::{LintOptions, Rule, Warning};
use crate::role::{RoleOutput, Roles};
use crate::spec::{PlanSpec, StepSpec};
use crate::tier::Tier;
use std::collections::BTreeSet;

pub(super) fn look(plan: &PlanSpec, at: usize, all: &mut Vec<Warning>) {
    let step = &plan.steps[at];
    let text = format!("{}\n{}", step.title, step.description);
    let words = words(&text);
    let mut say = |rule, field, message: String, suggestion: &str| {
        all.push(Warning { step: at, field, rule, message, suggestion: suggestion.into() });
    };
    let length = text.trim().chars().count();
    if length < 60 {
        let message = format!("step {:?} is described in {length} characters", step.id);
        say(Rule::Vague, "description", message, "say what to do, where, and what for");
    } else if !is_concrete(&text) {
        let message = format!("step {:?} names nothing concrete", step.id);
        say(Rule::Vague, "description", message, "name a path, a symbol, a command, a number or a quoted text");
    }
    let files = files(step, &text).len();
    if files >= 5 {
        let message = format!("step {:?} is about {files} files", step.id);
        say(Rule::Broad, "description", message, "split it by file or by area");
    } else if areas(&step.title) >= 3 {
        let message = format!("step {:?} joins several areas", step.id);
        say(Rule::Broad, "title", message, "split it, one step for each area");
    }
    if !promises(step, &text) {
        let message = format!("step {:?} does not say when it is done", step.id);
        say(Rule::NoDone, "title", message, "add `done_when` or a list `acceptance`");
    }
    if speaks_of_trouble(&words) && !has_context(step, &text, &words) {
        let message = format!("step {:?} mentions a fault without its message or file", step.id);
        let suggestion = "quote the message, name the file, or say how to reproduce it";
        say(Rule::MissingContext, "description", message, suggestion);
    }
    let tier = step.tier.or(plan.defaults.tier).unwrap_or_default();
    let heavy = ["architecture", "security", "migration", "concurrency", "redesign"];
    let heavy = heavy.iter().find(|base| words.iter().any(|word| is_form_of(word, base)));
    if let (Tier::Light, Some(word)) = (tier, heavy) {
        let field = if step.tier.is_some() { "tier" } else { "title" };
        let message = format!("step {:?} is light but speaks of {word}", step.id);
        say(Rule::HeavyWords, field, message, "use tier standard or heavy");
    }
}

/// The rule on skills, for all steps together: whether one is asked for them depends on the others.
pub(super) fn skills(plan: &PlanSpec, options: &LintOptions, all: &mut Vec<Warning>) {
    let usual = || PROTOCOL_SKILLS.iter().map(|skill| (*skill).to_owned()).collect();
    let protocol: Vec<String> = options.protocol_skills.clone().unwrap_or_else(usual);
    if protocol.is_empty() {
        return;
    }
    let follows = |step: &StepSpec| step.skills.iter().any(|skill| protocol.contains(skill));
    let everywhere = options.protocol_skills.is_some() || plan.steps.iter().any(follows);
    for (at, step) in plan.steps.iter().enumerate() {
        if (everywhere || !step.skills.is_empty()) && !follows(step) {
            all.push(Warning {
                step: at,
                field: if step.skills.is_empty() { "title" } else { "skills" },
                rule: Rule::ProtocolSkills,
                message: format!("step {:?} names no skill of the protocol", step.id),
                suggestion: format!("add one to `skills`: {}", protocol.join(", ")),
            });
        }
    }
}

/// Whether its work is a change of the source.
pub(super) fn changes_source(plan: &PlanSpec, step: &StepSpec) -> bool {
    let roles = Roles::built_in();
    let role = step.role.as_deref().or(plan.defaults.role.as_deref()).and_then(|name| roles.get(name));
    role.is_none_or(|role| role.output != RoleOutput::Artifact)
}

/// The files named in scope or text, each once.
fn files<'s>(step: &'s StepSpec, text: &'s str) -> BTreeSet<&'s str> {
    let named = sentences(text).into_iter().flatten().map(|token| token.text).filter(|text| is_file(text));
    named.map(clean).chain(step.scope.files.iter().map(|file| clean(file))).collect()
}

fn is_concrete(text: &str) -> bool {
    text.contains(['`', '"'])
        || text.bytes().any(|byte| byte.is_ascii_digit())
        || sentences(text).into_iter().flatten().any(|token| {
            is_symbol(token.text) || is_file(token.text) || (token.text.len() > 2 && token.text.contains('/'))
        })
}

/// How many areas a title joins: `types and routes and pages`, `types, routes and pages`.
fn areas(title: &str) -> usize {
    let ands = title.split_whitespace().filter(|word| word.eq_ignore_ascii_case("and")).count();
    if ands == 0 { 1 } else { ands + 1 + title.matches(", ").count() - title.matches(", and ").count() }
}

fn promises(step: &StepSpec, text: &str) -> bool {
    const WORDS: &[&str] = &["so that", "must ", "passes", "pass.", "returns", "done when", "should ", "succeeds"];
    let lower = text.to_lowercase();
    step.done_when.is_some() || !step.acceptance.is_empty() || WORDS.iter().any(|word| lower.contains(word))
}

/// Whether something is said not to work. Errors that shall be made or handled are no trouble.
fn speaks_of_trouble(words: &[String]) -> bool {
    let fault = ["bug", "crash", "broken", "failure", "fail"];
    if words.iter().any(|word| fault.iter().any(|base| is_form_of(word, base))) {
        return true;
    }
    let users = |pair: &[String]| {
        is_form_of(&pair[0], "user")
            && ["report", "complain", "say", "see", "cannot", "can't"].iter().any(|base| is_form_of(&pair[1], base))
    };
    let any = |bases: &[&str]| words.iter().any(|word| bases.iter().any(|base| is_form_of(word, base)));
    words.windows(2).any(users)
        || (any(&["error"]) && any(&["fix", "resolve", "repair", "solve", "debug", "investigate"]))
}

/// Whether the message, a file, or a way to see it again is given.
fn has_context(step: &StepSpec, text: &str, words: &[String]) -> bool {
    let quoted = text.contains(['"', '`', '“', '«']) || sentences(text).iter().flatten().any(|t| is_symbol(t.text));
    let steps = words.iter().any(|word| is_form_of(word, "reproduce") || word == "reproduction");
    quoted || steps || text.contains(": ") || text.contains('/') || !files(step, text).is_empty()
}
