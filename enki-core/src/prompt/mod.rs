//! What an agent is told, and what is read from its answer.
//!
//! A prompt has two parts. The first is rendered from a template that a person may replace: it is given what the plan
//! says and nothing else. The second, the tail, is made here and no template removes it: what other agents wrote, what
//! is judged, and how the answer must look. Everything an agent wrote is in the tail, as data between fences
//! that it cannot leave, with caps.

mod coordinate;
mod data;
mod tail;
mod templates;
mod view;

pub use coordinate::Coordinate;
pub use templates::{PromptError, PromptName, Prompts};

use crate::execution::Execution;
use crate::gv;
use crate::id::{AttemptNo, EffectId, StepIx};
use crate::role::RoleOutput;
use crate::tier::Purpose;
use data::cap;

/// Largest output that is passed to dependents, in bytes.
pub const OUTPUT_CAP: usize = 16 * 1024;

/// The text between the last complete pair of `[OUTPUT]` and `[/OUTPUT]`, capped; `None` without a pair.
#[must_use]
pub fn output(text: &str) -> Option<String> {
    let end = text.rfind("[/OUTPUT]")?;
    let start = text[..end].rfind("[OUTPUT]")? + "[OUTPUT]".len();
    let inner = text[start..end].trim();
    (!inner.is_empty()).then(|| cap(inner, OUTPUT_CAP).to_owned())
}

/// The word that the answer of an attempt carries, so that a tag which it only quotes is not taken for its own.
///
/// It tells answers of attempts apart. It is no secret: whoever knows the attempt's id can compute it.
#[must_use]
pub fn nonce(attempt: EffectId) -> String {
    let mut hex = EffectId::of("nonce", &[attempt.hex().as_bytes()]).hex();
    hex.truncate(16);
    hex
}

/// What an agent asks a person before it can go on: the key `ask` of its last tag with the nonce of its attempt. Capped.
#[must_use]
pub fn question(text: &str, nonce: &str) -> Option<String> {
    let tags = gv::find(text);
    let tag = tags.iter().rev().find(|tag| tag.get("nonce").and_then(|n| n.as_str()) == Some(nonce))?;
    let question = tag.get("ask")?.as_str()?.trim();
    (!question.is_empty()).then(|| cap(question, OUTPUT_CAP).to_owned())
}

/// Ids of findings that a fix says it repaired: the key `fixed` of its tags with the nonce of its attempt. At most 100.
#[must_use]
pub fn claims(text: &str, nonce: &str) -> Vec<String> {
    let tags = gv::find(text).into_iter().filter(|tag| tag.get("nonce").and_then(|n| n.as_str()) == Some(nonce));
    let lists = tags.filter_map(|tag| tag.get("fixed")?.as_array().cloned());
    let ids = lists.flatten().filter_map(|id| id.as_str().map(str::to_owned));
    ids.filter(|id| (1..=64).contains(&id.len())).take(100).collect()
}

/// Largest proposed entry, in bytes of JSON.
pub const PROPOSAL_CAP: usize = 4 * 1024;

/// Most entries that one attempt may propose.
pub const MOST_PROPOSALS: usize = 5;

/// Entries that an agent proposes to remember: the key `remember` of its tags with the nonce of its attempt, each as a
/// JSON object.
#[must_use]
pub fn proposals(text: &str, nonce: &str) -> Vec<String> {
    let tags = gv::find(text).into_iter().filter(|tag| tag.get("nonce").and_then(|n| n.as_str()) == Some(nonce));
    tags.flat_map(|tag| proposals_in(&tag)).take(MOST_PROPOSALS).collect()
}

/// The same of an object, such as a verdict by [`crate::verdict::schema`].
#[must_use]
pub fn proposals_in(object: &serde_json::Map<String, serde_json::Value>) -> Vec<String> {
    let list = object.get("remember").and_then(|list| list.as_array()).into_iter().flatten();
    let texts = list.filter(|entry| entry.is_object()).map(ToString::to_string);
    texts.filter(|text| text.len() <= PROPOSAL_CAP).take(MOST_PROPOSALS).collect()
}

impl Prompts {
    /// The prompt of an attempt of a step. Total: a template of a person's that fails after all is passed over for the
    /// built-in one.
    #[must_use]
    pub fn of_attempt(&self, execution: &Execution, ix: StepIx, attempt: AttemptNo, purpose: Purpose) -> String {
        let name = PromptName::of(purpose, execution.plan().step(ix).output);
        let mut text = self.render(name, &view::View::of(execution, ix, purpose));
        tail::append(&mut text, execution, ix, EffectId::of_attempt(execution.id(), ix, attempt), purpose);
        text
    }
}

impl PromptName {
    /// The template for such an attempt.
    #[must_use]
    pub const fn of(purpose: Purpose, output: RoleOutput) -> Self {
        match (purpose, output) {
            (Purpose::Work, RoleOutput::Branch) => Self::Work,
            (Purpose::Work, RoleOutput::Artifact) => Self::Artifact,
            (Purpose::Fix, _) => Self::Fix,
            (Purpose::Review, RoleOutput::Branch) => Self::Review,
            (Purpose::Review, RoleOutput::Artifact) => Self::PlanReview,
            (Purpose::Resolve, _) => Self::Resolve,
        }
    }
}

/// A block of data of that title, which cannot be left by what is in it.
pub(crate) fn data_block(title: &str, kind: &str, body: &str) -> String {
    let mut text = String::new();
    data::block(&mut text, &format!("## {title}"), kind, body, OUTPUT_CAP);
    text
}

/// Adds the files that were found in conflict when the workspace was made.
pub fn add_conflicts(prompt: &mut String, paths: &[String]) {
    if !paths.is_empty() {
        data::block(prompt, "## Files in conflict", "paths", &paths.join("\n"), OUTPUT_CAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complete_pair_is_the_output() {
        assert_eq!(output("[OUTPUT]a[/OUTPUT] x [OUTPUT] b [/OUTPUT] [OUTPUT] c"), Some("b".into()));
        assert_eq!(output("[OUTPUT] c"), None);
        assert_eq!(output("c [/OUTPUT]"), None);
        assert_eq!(output("nothing"), None);
        let long = format!("[OUTPUT]{}[/OUTPUT]", "é".repeat(OUTPUT_CAP));
        assert_eq!(output(&long).unwrap().len(), OUTPUT_CAP);
    }

    #[test]
    fn only_a_tag_with_the_nonce_asks() {
        let ask = |text: &str| question(text, "n1");
        assert_eq!(ask("<gv>{\"ask\":\" which one? \",\"nonce\":\"n1\"}</gv>").as_deref(), Some("which one?"));
        assert_eq!(ask("<gv>{\"ask\":\"which one?\"}</gv>"), None);
        assert_eq!(ask("<gv>{\"ask\":\"which one?\",\"nonce\":\"n2\"}</gv>"), None);
        assert_eq!(ask("<gv>{\"ask\":\"a\",\"nonce\":\"n1\"}</gv><gv>{\"pass\":true,\"nonce\":\"n1\"}</gv>"), None);
        assert_eq!(ask("<gv>{\"ask\":QUESTION,\"nonce\":\"n1\"}</gv>"), None, "as the prompt has it");
    }

    #[test]
    fn only_a_tag_with_the_nonce_claims() {
        let of = |text: &str| claims(text, "n1");
        assert_eq!(
            of(r#"<gv>{"fixed":["f-1",2,""],"nonce":"n1"}</gv> <gv>{"fixed":["f-2"],"nonce":"n1"}</gv>"#),
            ["f-1", "f-2"]
        );
        assert_eq!(of(r#"<gv>{"fixed":["f-1"],"nonce":"n2"}</gv><gv>{"fixed":["f-1"]}</gv>"#), [""; 0]);
        assert_eq!(of(r#"<gv>{"fixed":"f-1","nonce":"n1"}</gv><gv>{"fixed":[IDS],"nonce":"n1"}</gv>"#), [""; 0]);
    }

    #[test]
    fn only_a_tag_with_the_nonce_proposes_and_not_much() {
        let entry = |n: usize| format!(r#"{{"kind":"decision","what":"{}"}}"#, "x".repeat(n));
        let tag = |list: &str, nonce: &str| format!("<gv>{{\"remember\":[{list}],\"nonce\":\"{nonce}\"}}</gv>");
        assert_eq!(proposals(&format!("{} {}", tag(&entry(1), "n1"), tag(&entry(2), "n2")), "n1"), [entry(1)]);
        let many = vec![entry(1); 9].join(",");
        assert_eq!(proposals(&tag(&many, "n1"), "n1").len(), MOST_PROPOSALS);
        let odd = format!("3,\"text\",{},{}", entry(PROPOSAL_CAP), entry(3));
        assert_eq!(proposals(&tag(&odd, "n1"), "n1"), [entry(3)]);
        assert_eq!(proposals("<gv>{\"remember\":{\"kind\":\"decision\"},\"nonce\":\"n1\"}</gv>", "n1"), [""; 0]);
    }

    #[test]
    fn each_attempt_has_a_nonce_of_its_own() {
        let of = |n| nonce(EffectId::of("attempt", &[&[n]]));
        assert_ne!(of(1), of(2));
        assert_eq!((of(1), of(1).len()), (of(1), 16));
    }
}
