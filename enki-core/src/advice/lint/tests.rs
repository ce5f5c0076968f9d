//! What the linter says, and above all what it does not.

use super::*;
use crate::spec::{NeedSpec, ScopeSpec, StepSpec};
use crate::tier::Tier;

const GOOD: &str = "Create src/types/profile.ts with the records Profile and ProfileUpdate.";

fn step(id: &str, title: &str, description: &str) -> StepSpec {
    let done_when = Some("it works".to_owned());
    StepSpec { id: id.into(), title: title.into(), description: description.into(), done_when, ..StepSpec::default() }
}

fn needs(mut step: StepSpec, ids: &[&str]) -> StepSpec {
    step.needs = ids.iter().map(|id| NeedSpec { step: Some((*id).into()), ..NeedSpec::default() }).collect();
    step
}

fn files(mut step: StepSpec, files: &[&str]) -> StepSpec {
    step.scope = ScopeSpec { files: files.iter().map(|f| (*f).into()).collect(), directories: vec![] };
    step
}

fn seen(steps: Vec<StepSpec>) -> Vec<(usize, &'static str)> {
    seen_with(steps, &LintOptions::default())
}

fn seen_with(steps: Vec<StepSpec>, options: &LintOptions) -> Vec<(usize, &'static str)> {
    let plan = PlanSpec { steps, ..PlanSpec::default() };
    lint(&plan, options).iter().map(|warning| (warning.step, warning.rule.as_str())).collect()
}

const NOTHING: [(usize, &str); 0] = [];

#[test]
fn a_concrete_step_with_an_outcome_gets_no_advice() {
    assert_eq!(seen(vec![step("a", "Add profile types", GOOD)]), NOTHING);
}

#[test]
fn each_rule_on_a_single_step_fires_on_its_own() {
    let plain = "Make the whole thing better and nicer to use for all of the people";
    assert_eq!(seen(vec![step("a", "Improve it", plain)]), [(0, "vague")]);
    assert_eq!(seen(vec![step("a", "Add `x`", "Add it.")]), [(0, "vague")]);
    let mut open = step("a", "Add profile types", GOOD);
    open.done_when = None;
    assert_eq!(seen(vec![open]), [(0, "no-done")]);
    let many = "Touch a.rs b.rs c.rs d.rs and e.rs, each in the very same way as before.";
    assert_eq!(seen(vec![step("a", "Change", many)]), [(0, "broad")]);
    for title in ["Add types and routes and pages", "Add types, routes and pages", "Add types, routes, and pages"] {
        assert_eq!(seen(vec![step("a", title, GOOD)]), [(0, "broad")], "{title}");
    }
    let mut light = step("a", "Prepare the migrations", GOOD);
    light.tier = Some(Tier::Light);
    assert_eq!(seen(vec![light]), [(0, "heavy-words")]);
}

#[test]
fn a_fault_wants_its_context_and_errors_to_be_made_do_not() {
    for text in [
        "The 2 forms of login do not work since the last release; it is a bug of ours.",
        "After 3 tries users report that they were thrown out of the whole program.",
        "Find the error that was there 2 weeks ago and repair whatever it came from.",
    ] {
        assert_eq!(seen(vec![step("a", "Fix the login", text)]), [(0, "missing-context")], "{text}");
    }
    for text in [
        "The login fails with \"no such user\" for all 3 kinds of users that we have in there.",
        "The login in src/login.rs crashes since the last release, for all kinds of users.",
        "The login crashes. To reproduce, log in 3 times within one minute, and wait.",
    ] {
        assert_eq!(seen(vec![step("a", "Fix the login", text)]), NOTHING, "{text}");
    }
    let made = "Return an error for each of the 3 kinds of users that may not see the page.";
    assert_eq!(seen(vec![step("a", "Add errors", made)]), NOTHING);
}

#[test]
fn a_step_that_is_spoken_of_must_be_needed() {
    let types = || step("types", "Add the types", GOOD);
    let uses = || step("a", "Use the types", "Use what step types made in `src/routes/profile.ts` for both routes.");
    assert_eq!(seen(vec![uses(), types()]), [(0, "unseen-branch")]);
    assert_eq!(seen(vec![needs(uses(), &["types"]), types()]), NOTHING);
    let between =
        || needs(step("m", "Change the middle", "Change the middle of `src/middle.ts` a little bit."), &["types"]);
    assert_eq!(seen(vec![needs(uses(), &["m"]), types(), between()]), NOTHING, "over another step");
    // The id of a step is often a plain word.
    let plain = step("a", "Use the types", "Use the types of the routes in `src/routes/profile.ts` as they are.");
    assert_eq!(seen(vec![plain, types()]), NOTHING);
}

#[test]
fn two_steps_at_once_may_not_change_one_file() {
    let at = |id, title| {
        files(step(id, title, "Change what is written there, in all 3 places that there are."), &["src/a.rs"])
    };
    let (a, b) = (|| at("a", "Change the one"), || at("b", "Change the other"));
    assert_eq!(seen(vec![a(), b()]), [(1, "same-file")]);
    assert_eq!(seen(vec![a(), needs(b(), &["a"])]), NOTHING);
    let mut started = needs(b(), &["a"]);
    started.needs[0].condition = crate::spec::Condition::Started;
    assert_eq!(seen(vec![a(), started]), [(1, "same-file")], "it does not wait for the end");
    let mut reads = b();
    reads.role = Some("researcher".into());
    assert_eq!(seen(vec![a(), reads]), NOTHING, "it changes nothing");
    let told =
        |id| step(id, "Add a function", "Add a function to `src/lib.rs` that does what is needed, and document it.");
    assert_eq!(seen(vec![told("a"), told("b")]), [(1, "same-file")], "by the text alone");
    let beside =
        |id, file| step(id, "Add a part", &format!("Create {file} with what the program needs for that part."));
    assert_eq!(seen(vec![beside("a", "src/a.rs"), beside("b", "src/b.rs")]), NOTHING);
}

#[test]
fn what_another_step_makes_must_be_waited_for() {
    let types = || step("types", "Add the types", GOOD);
    for text in [
        "Show the page with a form for ProfileUpdate, one field below the other field.",
        "Show the page with a form that takes its fields from src/types/profile.ts alone.",
        "Show the page with all 3 fields of the Profile, one field below the other field.",
    ] {
        let page = || step("page", "Build the page", text);
        assert_eq!(seen(vec![types(), page()]), [(1, "types-before-use")], "{text}");
        assert_eq!(seen(vec![types(), needs(page(), &["types"])]), NOTHING, "{text}");
    }
    let table = step("table", "Add the table", "Create the table `profiles` in a migration, with 3 columns for names.");
    let query = step("query", "List them", "Read all rows of `profiles` for the list, 20 of them on each page.");
    assert_eq!(seen(vec![query, table]), [(0, "schema-before-queries")]);
    // Two steps that make the same name mean different things by it, or one of them is wrong: not known here.
    let login = || step("b", "Add a login", "Add a login through GitHub to src/login.rs, with both of its buttons.");
    let docs = || step("c", "Describe it", "Describe how GitHub and OpenAPI are used, in `docs/login.md`, on 1 page.");
    assert_eq!(seen(vec![login(), docs()]), NOTHING);
}

#[test]
fn planning_waits_for_discovery_of_the_same_thing() {
    let mut find = step(
        "find",
        "Find the avatar code",
        "Report where avatars are stored, with paths and the line numbers (1 page).",
    );
    find.role = Some("researcher".into());
    let plan =
        || step("plan", "Plan the avatar service", "Write `docs/avatars.md`: which parts it gets, and in which order.");
    assert_eq!(seen(vec![find.clone(), plan()]), [(1, "discovery-before-planning")]);
    assert_eq!(seen(vec![find.clone(), needs(plan(), &["find"])]), NOTHING);
    let other = step("plan", "Plan the release", "Write `docs/release.md`: which parts it gets, and in which order.");
    assert_eq!(seen(vec![find, other]), NOTHING, "about something else");
}

#[test]
fn both_ends_of_blocking_say_the_same() {
    let text = |n| format!("Write part {n} of the text into `docs/{n}.md`, and read it once more afterwards.");
    let mut a = step("a", "Write the first part", &text(1));
    a.blocking = vec!["b".into()];
    let b = || step("b", "Write the second part", &text(2));
    assert_eq!(seen(vec![a.clone(), b()]), [(0, "one-sided")]);
    assert_eq!(seen(vec![a.clone(), needs(b(), &["a"])]), NOTHING);
    let c = needs(step("c", "Write the third part", &text(3)), &["a"]);
    assert_eq!(seen(vec![a, needs(b(), &["a"]), c]), [(2, "one-sided")]);
}

#[test]
fn skills_of_the_protocol_are_asked_for_only_where_skills_are_in_use() {
    let of = |id: &str, skills: &[&str]| {
        let mut step =
            step(id, "Add profile types", &format!("Create src/{id}.ts with what this part of the program needs."));
        step.skills = skills.iter().map(|s| (*s).into()).collect();
        step
    };
    assert_eq!(seen(vec![of("a", &[]), of("b", &[])]), NOTHING);
    assert_eq!(seen(vec![of("a", &["react"]), of("b", &[])]), [(0, "protocol-skills")]);
    assert_eq!(seen(vec![of("a", &["gather-plan-apply"]), of("b", &[])]), [(1, "protocol-skills")]);
    let table = LintOptions { protocol_skills: Some(vec!["house-rules".into()]) };
    assert_eq!(seen_with(vec![of("a", &["house-rules"]), of("b", &[])], &table), [(1, "protocol-skills")]);
    let none = LintOptions { protocol_skills: Some(vec![]) };
    assert_eq!(seen_with(vec![of("a", &["react"])], &none), NOTHING);
}

#[test]
fn steps_beyond_what_is_compared_do_no_harm() {
    let steps: Vec<StepSpec> = (0..5000).map(|n| files(step(&format!("s{n}"), "Add `x`", GOOD), &["a.rs"])).collect();
    assert!(seen(steps).len() > 4000);
}

proptest::proptest! {
    #[test]
    fn any_text_is_looked_at(
        texts in proptest::collection::vec("(\\PC|[`.,;\n'\" ]|Create |Add |with |in |src/a.rs|Profile|step |s0|s1| and ){0,30}", 1..5),
        edges in proptest::collection::vec((0usize..5, 0usize..6), 0..6),
        blocking in proptest::collection::vec((0usize..5, 0usize..6), 0..3),
    ) {
        let mut steps: Vec<StepSpec> = texts.iter().enumerate().map(|(n, text)| StepSpec {
            id: format!("s{n}"), title: text.chars().take(40).collect(), description: text.clone(),
            skills: vec![text.clone()], scope: ScopeSpec { files: vec![text.clone()], directories: vec![] },
            ..StepSpec::default()
        }).collect();
        let n = steps.len();
        for (of, on) in edges { steps[of % n].needs.push(NeedSpec { step: Some(format!("s{on}")), ..NeedSpec::default() }); }
        for (of, on) in blocking { steps[of % n].blocking.push(format!("s{on}")); }
        let plan = PlanSpec { steps, ..PlanSpec::default() };
        let warnings = lint(&plan, &LintOptions::default());
        proptest::prop_assert_eq!(&warnings, &lint(&plan, &LintOptions::default()));
        for warning in warnings {
            proptest::prop_assert!(warning.step < n && !warning.message.is_empty() && !warning.suggestion.is_empty());
        }
    }
}
