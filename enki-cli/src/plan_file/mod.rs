//! Plans as files: JSON, TOML or YAML becomes a [`PlanSpec`] that remembers where each value was written.

mod fault;

pub use fault::Fault;

use crate::source::{self, Format, Node, Problem, Problems, Source, Value};
use enki_core::advice::lint::{LintOptions, Warning, lint};
use enki_core::plan::{External, Plan, PlanLimits, PlanProblems};
use enki_core::spec::{PlanSpec, RECIPES, StepSpec};
use fault::Part;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

/// A plan as it was read, with the text it came from.
#[derive(Clone, Debug)]
pub struct PlanFile {
    /// The plan as written.
    pub spec: PlanSpec,
    source: Source,
    tree: Node,
}

impl PlanFile {
    /// Reads a plan. The format follows the name's ending, or else the text.
    ///
    /// # Errors
    ///
    /// What is wrong with syntax, field names or types, at its place.
    pub fn parse(name: &str, bytes: Vec<u8>) -> Result<Self, Problems> {
        if bytes.len() > source::MAX_BYTES {
            return Err(Problems { source: Source::new(name, ""), list: vec![source::too_large()] });
        }
        let source = Source::from_bytes(name, bytes).map_err(|problems| problems.named(name))?;
        let format = Format::of_name(name).unwrap_or_else(|| Format::sniff(source.text()));
        let read = source::parse(&source, format).and_then(|tree| {
            one_name_each(&tree)?;
            if !matches!(tree.value, Value::Table(_)) {
                let problem = Problem::new(tree.span.clone(), "a plan is a table with a list `steps`");
                return Err(problem.help("see `enki plan schema`"));
            }
            let spec = source::from_node::<PlanSpec>(&tree)?;
            Ok((spec, tree))
        });
        match read {
            Ok((spec, tree)) => Ok(Self { spec, source, tree }),
            Err(problem) => Err(Problems { source, list: vec![problem] }),
        }
    }

    /// Checks the plan as written. Its recipe, if it is a known one, is left to whoever applies it.
    ///
    /// # Errors
    ///
    /// All problems, each at its place.
    pub fn check(&self, limits: &PlanLimits, externals: &HashMap<String, External>) -> Result<Plan, Problems> {
        let recipe = self.spec.recipe.clone().filter(|recipe| !RECIPES.contains(&recipe.as_str()));
        let written = PlanSpec { recipe, ..self.spec.clone() };
        Plan::build(&written, limits, externals).map_err(|problems| self.locate(&problems))
    }

    /// The steps, for adding them to an execution.
    #[must_use]
    pub fn steps(&self) -> &[StepSpec] {
        &self.spec.steps
    }

    /// Advice on how the plan is written.
    #[must_use]
    pub fn advice(&self, options: &LintOptions) -> Vec<Warning> {
        lint(&self.spec, options)
    }

    /// Finds the places of advice.
    #[must_use]
    pub fn locate_advice(&self, advice: &[Warning]) -> Problems {
        let one = |advice: &Warning| {
            let span = self.span_of(&[
                Part::Field("steps".into()),
                Part::Index(advice.step),
                Part::Field(advice.field.into()),
            ]);
            let message = format!("{} [{}]", advice.message, advice.rule.as_str());
            let mut problem = Problem::new(span, message).help(advice.suggestion.as_str()).warning();
            problem.path = format!("steps[{}]", advice.step).into();
            problem
        };
        Problems { source: self.source.clone(), list: advice.iter().map(one).collect() }
    }

    /// Finds the places that problems are about.
    #[must_use]
    pub fn locate(&self, problems: &PlanProblems) -> Problems {
        self.locate_faults(&Fault::of(problems))
    }

    /// Finds the places of problems that another process found in these steps.
    #[must_use]
    pub fn locate_faults(&self, faults: &[Fault]) -> Problems {
        let list = faults.iter().map(|fault| self.locate_one(fault)).collect();
        Problems { source: self.source.clone(), list }
    }

    fn locate_one(&self, problem: &Fault) -> Problem {
        let mut found = Problem::new(self.span_of(&problem.path), &problem.message).help(problem.help.as_str());
        found.path = path_text(&problem.path).into();
        if let Some(also) = &problem.also {
            found = found.also(self.span_of(also), "the other one is here");
        }
        found
    }

    /// The span of the value at that path, of the default it came from, or of the innermost table on the way to it.
    fn span_of(&self, path: &[Part]) -> Range<usize> {
        let (mut node, mut span) = (&self.tree, &self.tree.span);
        for (n, part) in path.iter().enumerate() {
            let next = match part {
                Part::Index(index) => node.at(*index).map(|node| (node, &node.span)),
                Part::Field(name) => lookup(node, name).or_else(|| {
                    let step = n == 2 && path[0] == Part::Field(Cow::Borrowed("steps"));
                    step.then(|| self.tree.get("defaults").and_then(|(_, node)| lookup(node, name)))?
                }),
            };
            let Some(next) = next else { break };
            (node, span) = next;
        }
        span.clone()
    }
}

fn lookup<'n>(node: &'n Node, name: &str) -> Option<(&'n Node, &'n Range<usize>)> {
    let names = std::iter::once(name).chain(ALIASES.iter().filter(|(_, of)| *of == name).map(|(alias, _)| *alias));
    names.filter_map(|name| node.get(name)).next().map(|(key, node)| match node.value {
        // A whole list or table says little when underlined; its key says where it is.
        Value::List(_) | Value::Table(_) => (node, &key.span),
        _ => (node, &node.span),
    })
}

fn path_text(path: &[Part]) -> String {
    let mut out = String::new();
    for part in path {
        match part {
            Part::Field(name) if out.is_empty() => out.push_str(name),
            Part::Field(name) => {
                let _ = write!(out, ".{name}");
            }
            Part::Index(index) => {
                let _ = write!(out, "[{index}]");
            }
        }
    }
    out
}

/// Other names of fields.
const ALIASES: &[(&str, &str)] = &[
    ("task_id", "id"),
    ("agent", "role"),
    ("blocked_by", "needs"),
    ("depends_on", "needs"),
    ("expected_outcome", "done_when"),
];

/// Refuses a field that is given under two of its names.
fn one_name_each(node: &Node) -> Result<(), Problem> {
    match &node.value {
        Value::Table(entries) => {
            for (n, (key, inside)) in entries.iter().enumerate() {
                let real = |name: &str| ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, real)| *real);
                let mine = real(&key.name).unwrap_or(&key.name);
                let same = |other: &&(source::Key, Node)| real(&other.0.name).unwrap_or(&other.0.name) == mine;
                if let Some((first, _)) = entries[..n].iter().find(same) {
                    let message = format!("{:?} and {:?} are names of the same field", first.name, key.name);
                    return Err(Problem::new(key.span.clone(), message)
                        .also(first.span.clone(), "first given here")
                        .help("keep one of them"));
                }
                one_name_each(inside)?;
            }
        }
        Value::List(items) => items.iter().try_for_each(one_name_each)?,
        _ => {}
    }
    Ok(())
}
