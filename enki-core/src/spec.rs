//! A plan as people write it: the schema `enki.plan.v1`, the same in JSON, TOML and YAML.
//!
//! Nothing is checked here but types and field names; [`crate::plan::Plan`] is the checked form.

use crate::advice::Class;
use crate::tier::{Priority, Tier};
use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// A plan: what shall be done, as a graph of steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "enki.plan.v1")]
pub struct PlanSpec {
    /// `enki.plan.v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// One line, up to 120 characters. Default: the first step's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Branch on which the work lands; one of a remote as `origin:main`. Default: the branch checked out in the
    /// project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Stream area on which the work lands, instead of `target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// Whether each merged step lands, or all together at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub land: Option<Land>,
    /// Recipe that shapes the plan: `plain`, or `scaffold-first`: a frame first, tests last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Kind of work. Default: what its words say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Priority of the whole plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Start not before this RFC 3339 time; `now` is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Start not before that execution ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AfterSpec>,
    /// Idempotency key: the same key and plan again is the same execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Values for steps that do not give their own.
    #[serde(default, skip_serializing_if = "DefaultsSpec::is_empty")]
    pub defaults: DefaultsSpec,
    /// Limits on what the execution may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSpec>,
    /// The steps, at least one.
    pub steps: Vec<StepSpec>,
}

impl PlanSpec {
    /// Hash of the plan, by which the same plan is recognised.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).expect("a plan spec has only string keys");
        let digest = Sha256::digest(json);
        digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Names of other executions and tasks that needs and `after` refer to, to be looked up before validation.
    pub fn external_names(&self) -> impl Iterator<Item = &str> {
        let tasks = self.steps.iter().flat_map(|s| &s.needs).filter_map(|n| n.task.as_deref());
        tasks.chain(self.after.as_ref().map(|a| a.execution.as_str()))
    }
}

/// The recipes a plan can name.
pub const RECIPES: &[&str] = &["plain", "scaffold-first"];

/// When merged work reaches the target.
// Part of stored format 1: see `crate::record` before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Land {
    /// After each step.
    #[default]
    Each,
    /// When all steps are done: all or nothing.
    End,
}

/// Values for steps that do not give their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefaultsSpec {
    /// See the field of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// See the field of a step.
    #[serde(default, alias = "agent", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// See the field of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewSpec>,
    /// See the field of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// See the field of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<StepBudgetSpec>,
}

impl DefaultsSpec {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits on what an execution may cost. When one is reached, what runs is stopped with its work kept, and the execution
/// is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetSpec {
    /// Tokens, read and written together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

impl BudgetSpec {
    /// Its limits, with what it is silent about from the other one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { tokens: self.tokens.or(other.tokens), cost_usd: self.cost_usd.or(other.cost_usd) }
    }
}

/// Limits on what a step may cost: all its attempts, reviews and fixes together. When one is reached, what runs is
/// stopped with its work kept, and the step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepBudgetSpec {
    /// Tokens, read and written together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The same for each single attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<BudgetSpec>,
}

impl StepBudgetSpec {
    /// What all attempts together may cost.
    #[must_use]
    pub const fn of_step(self) -> BudgetSpec {
        BudgetSpec { tokens: self.tokens, cost_usd: self.cost_usd }
    }

    /// What each may cost.
    #[must_use]
    pub fn of_run(self) -> BudgetSpec {
        self.run.unwrap_or_default()
    }
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// Unique in the plan: 1 to 64 characters of a-z, 0-9, _ and -, the first a letter or digit.
    #[serde(alias = "task_id")]
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_-]{0,63}$"))]
    pub id: String,
    /// One line, up to 120 characters.
    #[schemars(length(min = 1, max = 120))]
    pub title: String,
    /// What to do, up to 64 KiB.
    pub description: String,
    /// Model and concurrency class; not a priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Kind of worker. Default: a plain worker that changes source.
    #[serde(default, alias = "agent", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A model by name, instead of the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether tier and model were chosen for this run: what is said of them later where its text comes from, such as in
    /// a note, does not count. No field of a plan file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(skip)]
    pub pinned: bool,
    /// Steps this one waits for.
    #[serde(default, alias = "blocked_by", alias = "depends_on", skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<NeedSpec>,
    /// Steps of this plan that wait for this one: the reverse of `needs`, merged with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocking: Vec<String>,
    /// Whether everything holds for a person once this step is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checkpoint: bool,
    /// How the work is reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewSpec>,
    /// Limit on one attempt, in seconds. Default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub timeout: Option<u64>,
    /// What it may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<StepBudgetSpec>,
    /// Which files it is about.
    #[serde(default, skip_serializing_if = "ScopeSpec::is_empty")]
    pub scope: ScopeSpec,
    /// What must not happen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Skills the agent should use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// Criteria that a review checks one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acceptance: Vec<String>,
    /// When it is done, in one or two testable lines.
    #[serde(default, alias = "expected_outcome", skip_serializing_if = "Option::is_none")]
    pub done_when: Option<String>,
    /// Which ready step starts first. Default: the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

/// Which files a step is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeSpec {
    /// Paths of files, relative to the project.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Paths of directories, relative to the project.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<String>,
}

impl ScopeSpec {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty()
    }
}

/// Until what a step waits for another.
// Part of stored format 1: see `crate::record` before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Its first agent lives or has lived.
    Started,
    /// Its work is captured and passed its review; the merge may be outstanding.
    Completed,
    /// Its work is merged. Alias `landed`.
    #[default]
    #[serde(alias = "landed")]
    Merged,
}

/// One need: `"step"`, `{step, condition}`, or `{task, condition}` for a task or execution outside the plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NeedSpec {
    /// A step of this plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// A task or execution outside it, by id or unique prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Until what.
    pub condition: Condition,
}

impl<'de> Deserialize<'de> for NeedSpec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            #[serde(default)]
            step: Option<String>,
            #[serde(default)]
            task: Option<String>,
            #[serde(default)]
            condition: Condition,
        }
        struct StringOrTable;
        impl<'de> Visitor<'de> for StringOrTable {
            type Value = NeedSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a step id, {step, condition} or {task, condition}")
            }
            fn visit_str<E: serde::de::Error>(self, step: &str) -> Result<NeedSpec, E> {
                Ok(NeedSpec { step: Some(step.to_owned()), ..NeedSpec::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NeedSpec, A::Error> {
                let long = Long::deserialize(MapAccessDeserializer::new(map))?;
                if long.step.is_some() == long.task.is_some() {
                    return Err(serde::de::Error::custom("a need names either `step` or `task`"));
                }
                Ok(NeedSpec { step: long.step, task: long.task, condition: long.condition })
            }
        }
        d.deserialize_any(StringOrTable)
    }
}

impl JsonSchema for NeedSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NeedSpec".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let condition = generator.subschema_for::<Condition>();
        schemars::json_schema!({
            "description": "A step id, or {step, condition}, or {task, condition} for a task or execution outside the plan.",
            "oneOf": [
                {"type": "string"},
                {"type": "object", "properties": {"step": {"type": "string"}, "condition": condition},
                 "required": ["step"], "additionalProperties": false},
                {"type": "object", "properties": {"task": {"type": "string"}, "condition": condition},
                 "required": ["task"], "additionalProperties": false}
            ]
        })
    }
}

/// When to start relative to another execution: its id, or `{execution, when}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AfterSpec {
    /// The execution, by id or unique prefix.
    pub execution: String,
    /// After success only, or after any end.
    pub when: AfterWhen,
}

/// After what end of another execution to start.
// Part of stored format 1: see `crate::record` before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AfterWhen {
    /// When it is done.
    #[default]
    Success,
    /// When it has ended in any way.
    Any,
}

impl<'de> Deserialize<'de> for AfterSpec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            execution: String,
            #[serde(default)]
            when: AfterWhen,
        }
        struct StringOrTable;
        impl<'de> Visitor<'de> for StringOrTable {
            type Value = AfterSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an execution id or {execution, when}")
            }
            fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<AfterSpec, E> {
                Ok(AfterSpec { execution: id.to_owned(), when: AfterWhen::Success })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AfterSpec, A::Error> {
                let long = Long::deserialize(MapAccessDeserializer::new(map))?;
                Ok(AfterSpec { execution: long.execution, when: long.when })
            }
        }
        d.deserialize_any(StringOrTable)
    }
}

impl JsonSchema for AfterSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AfterSpec".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let when = generator.subschema_for::<AfterWhen>();
        schemars::json_schema!({
            "description": "An execution id, or {execution, when}.",
            "oneOf": [
                {"type": "string"},
                {"type": "object", "properties": {"execution": {"type": "string"}, "when": when},
                 "required": ["execution"], "additionalProperties": false}
            ]
        })
    }
}

/// How work is reviewed: `none`, `code`, or a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ReviewSpec {
    /// `none` or `code`.
    Word(ReviewWord),
    /// A review with its own limits.
    Table(ReviewTable),
}

/// Whether work is reviewed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReviewWord {
    /// Not reviewed.
    None,
    /// Reviewed as code, with the configured limits.
    Code,
}

/// A review with its own limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewTable {
    /// Scores below this are at best a revise. From 0 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f32>,
    /// Number of fixes before a person is asked. 0 means review only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fixes: Option<u32>,
    /// Kind of chain: `wrfc_loop` (default, also `code`), `review_only`, `test_then_fix`, `fix_loop`, or one of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Role of the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer: Option<String>,
    /// A shell command that reviews instead of an agent: exit 0 is a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Limit of that command, in seconds. Default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub timeout: Option<u64>,
}

impl<'de> Deserialize<'de> for ReviewSpec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct WordOrTable;
        impl<'de> Visitor<'de> for WordOrTable {
            type Value = ReviewSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`none`, `code` or {min_score, max_fixes, kind, reviewer, command}")
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<ReviewSpec, E> {
                match word {
                    "none" => Ok(ReviewSpec::Word(ReviewWord::None)),
                    "code" => Ok(ReviewSpec::Word(ReviewWord::Code)),
                    other => Err(E::unknown_variant(other, &["none", "code"])),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ReviewSpec, A::Error> {
                ReviewTable::deserialize(MapAccessDeserializer::new(map)).map(ReviewSpec::Table)
            }
        }
        d.deserialize_any(WordOrTable)
    }
}

impl JsonSchema for ReviewSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ReviewSpec".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let word = generator.subschema_for::<ReviewWord>();
        let table = generator.subschema_for::<ReviewTable>();
        schemars::json_schema!({"description": "`none`, `code`, or a table.", "oneOf": [word, table]})
    }
}
