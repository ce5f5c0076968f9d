//! Chains of one's own, from a file: as written, and the checks that make a [`Review`] of them.

use super::{COMMAND_TIMEOUT, Does, Guard, Review, Reviewer, State, StateIx, To, Way};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A chain as people write it.
///
/// ```
/// let chain: enki_core::review::CustomSpec = serde_json::from_str(r#"{
///     "initial": "working", "max_moves": 12, "max_fixes": 2,
///     "states": {
///         "working":  {"does": "work",   "to": [{"state": "testing"}]},
///         "testing":  {"does": "review", "command": "cargo test", "to": [{"when": "pass", "state": "judging"},
///                                                                         {"when": "revise", "state": "fixing"}]},
///         "judging":  {"does": "review", "role": "reviewer", "to": [{"when": "pass", "state": "complete"},
///                                                                    {"when": "revise", "state": "fixing"}]},
///         "fixing":   {"does": "fix",    "to": [{"state": "testing"}]}
///     }}"#).unwrap();
/// assert_eq!(chain.check("careful").unwrap().states().len(), 4);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomSpec {
    /// Name of the state it starts in.
    pub initial: String,
    /// Most moves from state to state.
    pub max_moves: u32,
    /// Number of fixes before a person is asked. Default 3.
    #[serde(default)]
    pub max_fixes: Option<u32>,
    /// Scores below this are at best a revise. Default 9.5.
    #[serde(default)]
    pub min_score: Option<f32>,
    /// Its states by name. `complete` and `escalate` are where it ends, and need not be listed.
    pub states: BTreeMap<String, StateSpec>,
}

/// A state as people write it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSpec {
    /// `work`, `review` or `fix`.
    pub does: String,
    /// Role of the agent that reviews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Command that reviews, instead of an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Limit of the command, in seconds. Default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// What follows; the first way whose condition holds.
    pub to: Vec<WaySpec>,
}

/// A way as people write it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaySpec {
    /// A condition, see [`Guard`]. Default: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The state it leads to, `complete` or `escalate`.
    pub state: String,
}

/// What is wrong with a chain, at which field.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Problem {
    /// The field, such as `states.testing.to[1].when`.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

const MAX_STATES: usize = 64;
const MAX_MOVES: u32 = 1000;
const MAX_FIXES: u32 = 100;

impl CustomSpec {
    /// The chain, if it is sound: its states exist, each way leads somewhere, conditions can be read, every state leads to
    /// an end, nothing repaired is complete before it was reviewed, and all is bounded.
    ///
    /// # Errors
    ///
    /// All problems found, each with its field.
    pub fn check(&self, name: &str) -> Result<Review, Vec<Problem>> {
        let mut check = Check { problems: Vec::new() };
        let names: Vec<&String> = std::iter::once(&self.initial)
            .filter(|name| self.states.contains_key(*name))
            .chain(self.states.keys().filter(|name| **name != self.initial))
            .collect();
        if !self.states.contains_key(&self.initial) {
            check.problem("initial", format!("there is no state {:?}", self.initial));
        }
        if !(1..=MAX_STATES).contains(&self.states.len()) {
            check.problem("states", format!("a chain has 1 to {MAX_STATES} states, not {}", self.states.len()));
        }
        if !(1..=MAX_MOVES).contains(&self.max_moves) {
            check.problem("max_moves", format!("from 1 to {MAX_MOVES}, not {}", self.max_moves));
        }
        let (max_fixes, min_score) = (self.max_fixes.unwrap_or(3), self.min_score.unwrap_or(9.5));
        if max_fixes > MAX_FIXES {
            check.problem("max_fixes", format!("at most {MAX_FIXES}, not {max_fixes}"));
        }
        if !(0.0..=10.0).contains(&min_score) {
            check.problem("min_score", format!("a score is from 0 to 10, not {min_score}"));
        }
        let states: Vec<State> = names.iter().map(|name| check.state(name, &self.states[*name], &names)).collect();
        if check.problems.is_empty() {
            check.whole(&states);
        }
        if !check.problems.is_empty() {
            return Err(check.problems);
        }
        Ok(Review { kind: name.into(), min_score, max_fixes, max_moves: self.max_moves, reask: 0, states })
    }
}

struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn problem(&mut self, field: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem { field: field.into(), what: what.into() });
    }

    fn state(&mut self, name: &str, spec: &StateSpec, names: &[&String]) -> State {
        let field = |last: &str| format!("states.{name}.{last}");
        if ["complete", "escalate"].contains(&name) {
            self.problem(format!("states.{name}"), "is where every chain ends; leave it out");
        }
        let does = match spec.does.as_str() {
            "work" => Does::Work,
            "fix" => Does::Fix,
            "review" => Does::Review(match &spec.command {
                Some(command) => Reviewer::Command {
                    command: command.as_str().into(),
                    timeout: spec.timeout.map_or(COMMAND_TIMEOUT, Duration::from_secs),
                },
                None => Reviewer::Agent { role: spec.role.as_deref().map(Into::into) },
            }),
            other => {
                self.problem(field("does"), format!("{other:?} is nothing a state does; write work, review or fix"));
                Does::Work
            }
        };
        let judges = matches!(does, Does::Review(_));
        if !judges && spec.command.is_some() {
            self.problem(field("command"), "only a review is done by a command");
        }
        if spec.command.as_deref().is_some_and(|command| command.trim().is_empty()) {
            self.problem(field("command"), "is empty");
        }
        if spec.command.is_some() && spec.role.is_some() {
            self.problem(field("role"), "a command has no role; leave one of them out");
        }
        if spec.timeout.is_some_and(|seconds| seconds == 0 || seconds > 604_800) {
            self.problem(field("timeout"), "from 1 to 604800 seconds");
        }
        if spec.timeout.is_some() && spec.command.is_none() {
            self.problem(field("timeout"), "is the limit of a command, and there is none");
        }
        if spec.to.is_empty() {
            self.problem(field("to"), "leads nowhere; name what follows");
        }
        let ways = spec.to.iter().enumerate().map(|(n, way)| {
            let when = way.when.as_deref().unwrap_or("always").parse::<Guard>().unwrap_or_else(|why| {
                self.problem(format!("states.{name}.to[{n}].when"), why);
                Guard::Always
            });
            if when.needs_verdict() && !judges {
                self.problem(format!("states.{name}.to[{n}].when"), "speaks of a verdict, and only a review gives one");
            }
            let to = match way.state.as_str() {
                "complete" => To::Complete,
                "escalate" => To::Escalate,
                other => match names
                    .iter()
                    .position(|name| name.as_str() == other)
                    .and_then(|at| u16::try_from(at).ok())
                {
                    Some(at) => To::State(StateIx(at)),
                    None => {
                        self.problem(format!("states.{name}.to[{n}].state"), format!("there is no state {other:?}"));
                        To::Escalate
                    }
                },
            };
            Way { when, to }
        });
        let ways = ways.collect();
        State { name: name.into(), does, ways }
    }

    /// What can be said of all states together only.
    fn whole(&mut self, states: &[State]) {
        if !states.iter().any(|state| matches!(state.does, Does::Review(_))) {
            self.problem("states", "no state reviews; a step without a review needs no chain");
        }
        let mut ends: BTreeSet<usize> = BTreeSet::new();
        loop {
            let leads = |to: To| match to {
                To::State(ix) => ends.contains(&usize::from(ix.0)),
                To::Complete | To::Escalate => true,
            };
            let more: Vec<usize> = (0..states.len())
                .filter(|at| !ends.contains(at) && states[*at].ways.iter().any(|way| leads(way.to)))
                .collect();
            if more.is_empty() {
                break;
            }
            ends.extend(more);
        }
        for (at, state) in states.iter().enumerate() {
            if !ends.contains(&at) {
                self.problem(format!("states.{}.to", state.name), "never leads to complete or escalate");
            }
            if matches!(state.does, Does::Review(_)) && !state.ways.iter().any(|way| may_pass(&way.when)) {
                self.problem(format!("states.{}.to", state.name), "says nothing of a review that passed");
            }
            if matches!(state.does, Does::Work | Does::Fix)
                && let Some(to) = unreviewed(states, at)
            {
                let what = format!("work of this state can be complete by way of {to} before anything reviewed it");
                self.problem(format!("states.{}.to", state.name), what);
            }
        }
    }
}

fn may_pass(guard: &Guard) -> bool {
    match guard {
        Guard::Revise | Guard::Fail => false,
        Guard::All(all) => all.iter().all(may_pass),
        _ => true,
    }
}

/// The name of the state through which what is done at `from` gets complete without a review, if that can be.
fn unreviewed(states: &[State], from: usize) -> Option<&str> {
    let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
    while let Some(at) = open.pop() {
        for way in &states[at].ways {
            match way.to {
                To::Complete => return Some(&states[at].name),
                To::Escalate => {}
                To::State(ix) => {
                    let to = usize::from(ix.0);
                    if !matches!(states[to].does, Does::Review(_)) && seen.insert(to) {
                        open.push(to);
                    }
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn careful() -> CustomSpec {
        let way = |when: &str, state: &str| WaySpec { when: Some(when.into()), state: state.into() };
        let state = |does: &str, to: Vec<WaySpec>| StateSpec { does: does.into(), to, ..StateSpec::default() };
        CustomSpec {
            initial: "working".into(),
            max_moves: 12,
            states: [
                ("working", state("work", vec![way("always", "reviewing")])),
                ("reviewing", state("review", vec![way("pass", "complete"), way("revise", "fixing")])),
                ("fixing", state("fix", vec![way("always", "reviewing")])),
            ]
            .map(|(name, state)| (name.to_owned(), state))
            .into(),
            ..CustomSpec::default()
        }
    }

    fn fields(change: impl FnOnce(&mut CustomSpec)) -> Vec<String> {
        let mut spec = careful();
        change(&mut spec);
        spec.check("careful").unwrap_err().into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn a_sound_chain_starts_where_it_says() {
        let review = careful().check("careful").unwrap();
        assert_eq!(&*review.state(StateIx(0)).name, "working");
        assert_eq!((&*review.kind, review.max_fixes, review.min_score), ("careful", 3, 9.5));
    }

    #[test]
    fn each_flaw_is_named_by_its_field() {
        assert_eq!(fields(|s| s.initial = "nowhere".into()), ["initial"]);
        assert_eq!(fields(|s| s.max_moves = 0), ["max_moves"]);
        assert_eq!(fields(|s| s.min_score = Some(11.0)), ["min_score"]);
        assert_eq!(
            fields(|s| s.states.get_mut("fixing").unwrap().to[0].state = "x".into()),
            ["states.fixing.to[0].state"]
        );
        assert_eq!(
            fields(|s| s.states.get_mut("reviewing").unwrap().to[1].when = Some("bad".into())),
            ["states.reviewing.to[1].when"]
        );
        assert_eq!(fields(|s| s.states.get_mut("working").unwrap().does = "play".into()), ["states.working.does"]);
        assert_eq!(fields(|s| s.states.get_mut("working").unwrap().to.clear()), ["states.working.to"]);
        assert_eq!(
            fields(|s| s.states.get_mut("working").unwrap().to[0].when = Some("pass".into())),
            ["states.working.to[0].when"]
        );
        assert_eq!(
            fields(|s| s.states.get_mut("fixing").unwrap().command = Some("true".into())),
            ["states.fixing.command"]
        );
        assert_eq!(fields(|s| s.states.clear()), ["initial", "states"]);
    }

    #[test]
    fn a_chain_without_an_end_or_a_review_of_its_repairs_is_refused() {
        let to = |s: &mut CustomSpec, state: &str, way: usize, to: &str| {
            s.states.get_mut(state).unwrap().to[way].state = to.into();
        };
        assert_eq!(fields(|s| to(s, "fixing", 0, "complete")), ["states.fixing.to"]);
        let endless = ["states.working.to", "states.fixing.to", "states.reviewing.to"];
        assert_eq!(fields(|s| to(s, "reviewing", 0, "working")), endless);
        assert_eq!(
            fields(|s| s.states.get_mut("reviewing").unwrap().to[0].when = Some("fail".into())),
            ["states.reviewing.to"]
        );
    }
}
