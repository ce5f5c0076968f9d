//! Recipes: a plan as written becomes a plan as it runs, before it is checked.

use super::classify::{Class, classify_plan};
use super::waves::edges_of;
use crate::spec::{NeedSpec, PlanSpec, RECIPES, ScopeSpec, StepSpec};
use crate::tier::Tier;
use std::collections::BTreeSet;
use std::fmt;

/// A plan after its recipe.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Shaped {
    /// The plan as it runs. It names no recipe any more, unless that is an unknown one, which [`crate::plan::Plan::build`]
    /// refuses.
    pub spec: PlanSpec,
    /// What the recipe did, if the plan names one.
    pub done: Option<Done>,
}

impl Shaped {
    /// Whether the recipe changed what the person wrote.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        matches!(self.done, Some(Done::ScaffoldFirst { .. }))
    }
}

/// What a recipe did.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Done {
    /// A step that makes the frame comes first, and one that tests all comes last.
    ScaffoldFirst {
        /// Id of the first step.
        scaffold: String,
        /// Id of the last step.
        tests: String,
    },
    /// It did nothing.
    Skipped(Skip),
}

/// Why a recipe did nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Skip {
    /// There is one task only.
    OneTask,
    /// It repairs something that is there.
    BugFix,
    /// It is a small improvement of something that is there.
    SmallEnhancement,
    /// All folders that the steps name are there.
    FoldersExist,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneTask => "there is one task only",
            Self::BugFix => "it is a bug fix",
            Self::SmallEnhancement => "it is a small enhancement",
            Self::FoldersExist => "all folders it names exist already",
        })
    }
}

/// An enhancement of at most this many steps is a small one.
const SMALL: usize = 3;

/// Shapes a plan by its recipe. `exists` tells which folders, relative to the project, are there; it is asked only about
/// those that the plan's scopes name. What the result looks like depends on it only in whether the recipe is skipped.
///
/// A step that has the place of the first or the last one already is taken for it.
#[must_use]
pub fn apply(plan: &PlanSpec, exists: &dyn Fn(&str) -> bool) -> Shaped {
    let Some(recipe) = plan.recipe.as_deref().filter(|recipe| RECIPES.contains(recipe)) else {
        return Shaped { spec: plan.clone(), done: None };
    };
    let plain = PlanSpec { recipe: None, ..plan.clone() };
    if recipe != "scaffold-first" {
        return Shaped { spec: plain, done: None };
    }
    match skip(plan, exists) {
        Some(skip) => Shaped { spec: plain, done: Some(Done::Skipped(skip)) },
        None => scaffold_first(plain),
    }
}

fn skip(plan: &PlanSpec, exists: &dyn Fn(&str) -> bool) -> Option<Skip> {
    if plan.steps.len() < 2 {
        return Some(Skip::OneTask);
    }
    let class = classify_plan(plan);
    match class.class {
        Class::BugFix => return Some(Skip::BugFix),
        Class::Enhancement if plan.steps.len() <= SMALL => return Some(Skip::SmallEnhancement),
        _ => {}
    }
    let folders = folders(plan);
    (!folders.is_empty() && folders.iter().all(|folder| exists(folder))).then_some(Skip::FoldersExist)
}

/// The folders that scopes name, and those of the files that they name; without an end in `/`.
fn folders(plan: &PlanSpec) -> BTreeSet<&str> {
    let scopes = || plan.steps.iter().map(|step| &step.scope);
    let files = scopes().flat_map(|scope| &scope.files).filter_map(|file| Some(file.trim().rsplit_once('/')?.0));
    let folders = scopes().flat_map(|scope| &scope.directories).map(|folder| folder.trim().trim_end_matches('/'));
    files.chain(folders).filter(|folder| !folder.is_empty()).collect()
}

fn scaffold_first(mut plan: PlanSpec) -> Shaped {
    let edges = edges_of(&plan.steps);
    let n = plan.steps.len();
    let is_root = |at: usize| edges.iter().all(|edge| edge.to != at) && plan.steps[at].needs.is_empty();
    let is_last = |at: usize| edges.iter().all(|edge| edge.from != at);
    let roots: Vec<usize> = (0..n).filter(|at| edges.iter().all(|edge| edge.to != *at)).collect();
    let is_test = |at: usize| plan.steps[at].id == "tests" || plan.steps[at].role.as_deref() == Some("tester");
    let own_scaffold = (0..n).find(|at| plan.steps[*at].id == "scaffold" && is_root(*at));
    let own_tests = (0..n).rev().find(|at| Some(*at) != own_scaffold && is_last(*at) && is_test(*at));
    // All that is merged for certain once these are: what others wait for until it is merged comes with them.
    let merged_below = |at: usize| {
        let id = &plan.steps[at].id;
        edges.iter().any(|edge| {
            let to = &plan.steps[edge.to];
            let need = to.needs.iter().find(|need| need.step.as_deref() == Some(id));
            edge.from == at && need.is_none_or(|need| need.condition == crate::spec::Condition::Merged)
        })
    };
    let ends: Vec<String> = (0..n)
        .filter(|at| Some(*at) != own_tests && Some(*at) != own_scaffold && !merged_below(*at))
        .map(|at| plan.steps[at].id.clone())
        .collect();
    let scaffold = own_scaffold.map_or_else(|| free_id(&plan, "scaffold"), |at| plan.steps[at].id.clone());
    let tests = own_tests.map_or_else(|| free_id(&plan, "tests"), |at| plan.steps[at].id.clone());
    let first = own_scaffold.is_none().then(|| scaffold_step(&plan, &scaffold));
    let last = own_tests.is_none().then(|| test_step(&plan, &tests));

    for root in roots.into_iter().filter(|root| Some(*root) != own_scaffold && Some(*root) != own_tests) {
        plan.steps[root].needs.push(need(&scaffold));
    }
    if first.is_some() {
        // A plan without a title has that of its first step.
        plan.title.get_or_insert_with(|| plan.steps[0].title.clone());
    }
    plan.steps.splice(0..0, first);
    plan.steps.extend(last);
    if let Some(step) = plan.steps.iter_mut().find(|step| step.id == tests) {
        for end in ends {
            if !step.needs.iter().any(|need| need.step.as_deref() == Some(&end)) {
                step.needs.push(need(&end));
            }
        }
    }
    Shaped { spec: plan, done: Some(Done::ScaffoldFirst { scaffold, tests }) }
}

fn scaffold_step(plan: &PlanSpec, id: &str) -> StepSpec {
    let mut description = "Make the frame that the steps after this one fill in: folders, types, stubs and shared \
                           contracts. Nothing else: what they are to do is theirs.\n"
        .to_owned();
    list(&mut description, "Folders", folders(plan).into_iter().map(str::to_owned));
    let files: BTreeSet<&String> = plan.steps.iter().flat_map(|step| &step.scope.files).collect();
    list(&mut description, "Files, each as a stub", files.into_iter().cloned());
    list(&mut description, "The steps", plan.steps.iter().map(|step| format!("{}: {}", step.id, step.title)));
    StepSpec {
        id: id.to_owned(),
        title: titled("Scaffold", plan),
        description,
        tier: Some(Tier::Light),
        role: plan.defaults.role.is_some().then(|| "feature_developer".to_owned()),
        scope: ScopeSpec { files: Vec::new(), directories: folders(plan).into_iter().map(str::to_owned).collect() },
        done_when: Some("Every folder and stub is there, and the project still builds.".to_owned()),
        ..StepSpec::default()
    }
}

fn test_step(plan: &PlanSpec, id: &str) -> StepSpec {
    let mut description = "Test what the steps before this one made, together: their contracts with each other first. \
                           Repair only what a test shows to be wrong.\n"
        .to_owned();
    let step = |step: &StepSpec| {
        let done = step.done_when.iter().chain(&step.acceptance).map(|text| format!("; {text}")).collect::<String>();
        format!("{}: {}{done}", step.id, step.title)
    };
    list(&mut description, "The steps, and when each is done", plan.steps.iter().map(step));
    StepSpec {
        id: id.to_owned(),
        title: titled("Test", plan),
        description,
        role: Some("tester".to_owned()),
        done_when: Some("All tests pass, and each step has at least one that fails without its work.".to_owned()),
        ..StepSpec::default()
    }
}

fn need(id: &str) -> NeedSpec {
    NeedSpec { step: Some(id.to_owned()), ..NeedSpec::default() }
}

/// A title of at most 120 characters.
fn titled(what: &str, plan: &PlanSpec) -> String {
    let of = plan.title.as_deref().or_else(|| plan.steps.first().map(|step| step.title.as_str())).unwrap_or_default();
    format!("{what}: {of}").chars().take(120).collect()
}

/// The id, or one like it that no step has.
fn free_id(plan: &PlanSpec, id: &str) -> String {
    let taken = |id: &str| plan.steps.iter().any(|step| step.id == id);
    let numbered = (2..).map(|n| format!("{id}-{n}"));
    std::iter::once(id.to_owned()).chain(numbered).find(|id| !taken(id)).expect("there are more numbers than steps")
}

/// Adds a list to a text, cut where it would grow past what a description may have.
fn list(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    const MOST: usize = 16 * 1024;
    let start = text.len();
    let mut left_out = 0;
    for line in lines {
        if text.len() - start + line.len() > MOST {
            left_out += 1;
            continue;
        }
        if text.len() == start {
            text.push_str(&format!("\n{title}:\n"));
        }
        text.push_str(&format!("- {}\n", line.replace(['\n', '\r'], " ")));
    }
    if left_out > 0 {
        text.push_str(&format!("- and {left_out} more\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{NeedOn, Plan, PlanLimits};
    use crate::spec::Condition;
    use std::collections::HashMap;

    fn plan(edges: &[(&str, &[&str])]) -> PlanSpec {
        let step = |(id, needs): &(&str, &[&str])| StepSpec {
            id: (*id).into(),
            title: format!("Add {id}"),
            description: "d".into(),
            needs: needs.iter().map(|id| need(id)).collect(),
            ..StepSpec::default()
        };
        let recipe = Some("scaffold-first".to_owned());
        PlanSpec { recipe, steps: edges.iter().map(step).collect(), ..PlanSpec::default() }
    }

    fn apply_new(spec: &PlanSpec) -> Shaped {
        apply(spec, &|_| false)
    }

    fn edges(spec: &PlanSpec) -> Vec<(&str, Vec<&str>)> {
        spec.steps
            .iter()
            .map(|s| (s.id.as_str(), s.needs.iter().filter_map(|need| need.step.as_deref()).collect()))
            .collect()
    }

    fn skipped(spec: &PlanSpec, exists: &dyn Fn(&str) -> bool) -> Option<Skip> {
        match apply(spec, exists).done {
            Some(Done::Skipped(skip)) => Some(skip),
            _ => None,
        }
    }

    #[test]
    fn the_frame_comes_first_and_the_test_last() {
        let shaped = apply_new(&plan(&[("a", &[]), ("b", &[]), ("c", &["a"])]));
        assert_eq!(
            edges(&shaped.spec),
            [
                ("scaffold", vec![]),
                ("a", vec!["scaffold"]),
                ("b", vec!["scaffold"]),
                ("c", vec!["a"]),
                ("tests", vec!["b", "c"])
            ]
        );
        assert!(shaped.is_changed() && shaped.spec.recipe.is_none());
        assert_eq!(shaped.spec.steps[0].tier, Some(Tier::Light));
        assert_eq!(shaped.spec.steps[4].role.as_deref(), Some("tester"));
        assert_eq!(shaped.spec.title.as_deref(), Some("Add a"), "the title stays that of the first step written");
    }

    #[test]
    fn steps_that_are_there_already_are_taken_and_names_that_are_taken_are_not() {
        let shaped = apply_new(&plan(&[("scaffold", &[]), ("a", &[]), ("b", &["a"]), ("tests", &["b"])]));
        assert_eq!(
            edges(&shaped.spec),
            [("scaffold", vec![]), ("a", vec!["scaffold"]), ("b", vec!["a"]), ("tests", vec!["b"])]
        );
        let shaped = apply_new(&plan(&[("a", &[]), ("scaffold", &["a"]), ("tests", &[]), ("b", &["tests"])]));
        assert_eq!(shaped.done, Some(Done::ScaffoldFirst { scaffold: "scaffold-2".into(), tests: "tests-2".into() }));
    }

    #[test]
    fn what_is_not_merged_by_others_is_waited_for_by_the_test() {
        let mut spec = plan(&[("a", &[]), ("b", &["a"])]);
        spec.steps[1].needs[0].condition = Condition::Completed;
        let shaped = apply_new(&spec);
        assert_eq!(edges(&shaped.spec)[3], ("tests", vec!["a", "b"]));
    }

    #[test]
    fn it_is_skipped_where_a_frame_helps_nothing() {
        let nothing = |_: &str| false;
        assert_eq!(skipped(&plan(&[("a", &[])]), &nothing), Some(Skip::OneTask));
        let mut fix = plan(&[("a", &[]), ("b", &[])]);
        fix.title = Some("Fix the login".into());
        assert_eq!(skipped(&fix, &nothing), Some(Skip::BugFix));
        let mut small = plan(&[("a", &[]), ("b", &[])]);
        small.title = Some("Improve the login".into());
        assert_eq!(skipped(&small, &nothing), Some(Skip::SmallEnhancement));
        let mut large = plan(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &[])]);
        large.title.clone_from(&small.title);
        assert_eq!(skipped(&large, &nothing), None);
        let mut scoped = plan(&[("a", &[]), ("b", &[])]);
        scoped.steps[0].scope.directories = vec!["src/a/".into()];
        scoped.steps[1].scope.files = vec!["src/b/x.rs".into(), "top.rs".into()];
        assert_eq!(skipped(&scoped, &|folder| ["src/a", "src/b"].contains(&folder)), Some(Skip::FoldersExist));
        assert_eq!(skipped(&scoped, &|folder| folder == "src/a"), None);
        assert_eq!(skipped(&plan(&[("a", &[]), ("b", &[])]), &|_| true), None, "no folder is named");
    }

    #[test]
    fn other_recipes_are_left_to_the_check() {
        for (recipe, left) in [(None, None), (Some("plain"), None), (Some("scafold"), Some("scafold"))] {
            let spec = PlanSpec { recipe: recipe.map(Into::into), ..plan(&[("a", &[]), ("b", &[])]) };
            let shaped = apply_new(&spec);
            assert_eq!((shaped.spec.recipe.as_deref(), shaped.done), (left, None));
        }
    }

    #[test]
    fn a_thousand_steps_with_long_titles_fit() {
        let ids: Vec<String> = (0..998).map(|n| format!("s{n}")).collect();
        let mut spec = plan(&ids.iter().map(|id| (id.as_str(), &[][..])).collect::<Vec<_>>());
        for step in &mut spec.steps {
            step.title = "x".repeat(120);
            step.scope.files = vec![format!("{}/x.rs", "y".repeat(200))];
        }
        let shaped = apply_new(&spec);
        Plan::build(&shaped.spec, &PlanLimits::default(), &HashMap::new()).unwrap();
    }

    proptest::proptest! {
        /// Of any plan that is accepted, the shaped one is too; all work comes after the frame, and the test after all.
        #[test]
        fn a_good_plan_stays_one(
            edges in proptest::collection::vec((0usize..6, 0usize..6), 0..10),
            names in proptest::sample::select(vec![["a", "b", "c", "d", "e", "f"], ["scaffold", "b", "tests", "d", "e", "tests-2"],
                ["a", "scaffold", "c", "tests", "scaffold-2", "f"]]),
            started in proptest::bool::ANY, blocking in proptest::bool::ANY,
        ) {
            let edges: Vec<_> = edges.into_iter().filter(|(on, of)| on < of).collect();
            let mut spec = plan(&names.map(|name| (name, &[][..])));
            for (n, (on, of)) in edges.into_iter().enumerate() {
                if blocking && n % 2 == 0 { spec.steps[on].blocking.push(names[of].into()); continue; }
                let condition = if started && n % 3 == 0 { Condition::Started } else { Condition::Merged };
                spec.steps[of].needs.push(NeedSpec { step: Some(names[on].into()), task: None, condition });
            }
            let shaped = apply_new(&spec);
            let built = Plan::build(&shaped.spec, &PlanLimits::default(), &HashMap::new()).unwrap();
            let Some(Done::ScaffoldFirst { scaffold, tests }) = shaped.done else { panic!("it is a feature") };
            let above = |id: &str| {
                let mut seen = vec![built.find(id).unwrap()];
                let mut at = 0;
                while at < seen.len() {
                    for need in &built.step(seen[at]).needs {
                        if let NeedOn::Step(on) = need.on && !seen.contains(&on) { seen.push(on); }
                    }
                    at += 1;
                }
                seen
            };
            proptest::prop_assert_eq!(above(&tests).len(), built.steps().len());
            let first = built.find(&scaffold).unwrap();
            for step in built.steps() {
                proptest::prop_assert!(step.id.as_str() == tests || above(step.id.as_str()).contains(&first), "{}", step.id);
            }
            proptest::prop_assert_eq!(apply_new(&shaped.spec), Shaped { spec: shaped.spec.clone(), done: None });
        }
    }
}
