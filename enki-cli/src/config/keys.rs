//! The keys of the configuration, their types and defaults. `enki config show` prints this table.

use crate::source::{Node, Value as Parsed};
use serde_json::{Value, json};

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its full name, `workers.max_light`.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its default as JSON text; empty for none.
    default: &'static str,
    /// Whether it grants trust, so that only the person's own file, the environment and flags count.
    pub grants_trust: bool,
    /// Whether few will set it, so that `enki init` does not write it down.
    pub rare: bool,
    /// One line for people.
    pub about: &'static str,
}

/// What a key holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// One line of text.
    Line,
    /// True or false.
    Switch,
    /// A whole number in that range.
    Int(i64, i64),
    /// A number in that range, with decimals if need be.
    Number(i64, i64),
    /// One of these words; the second of each pair is what it means.
    Word(&'static [(&'static str, &'static str)]),
    /// Texts in order.
    List,
    /// Texts by name; layers merge.
    Table,
}

impl Key {
    /// The default, if there is one.
    #[must_use]
    pub fn default(&self) -> Option<Value> {
        (!self.default.is_empty()).then(|| serde_json::from_str(self.default).expect("defaults are JSON"))
    }

    /// The variable that overrides it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("ENKI_{}", self.name.replace('.', "_").to_uppercase())
    }
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, grants_trust: false, rare: false, about }
}

const fn trust(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, grants_trust: true, rare: false, about }
}

const fn rare(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, default: "", grants_trust: false, rare: true, about }
}

const GATED: Kind = Kind::Word(&[("none", "none"), ("code", "code")]);
const LIMIT: Kind = Kind::Int(1, 1000);
const MOVES: Kind = Kind::Int(1, 1000);
const TOKENS: Kind = Kind::Int(1, 1 << 53);
const DOLLARS: Kind = Kind::Number(0, 1_000_000);
const PRESET: Kind = Kind::Word(&[
    ("interactive", "interactive"),
    ("autonomous", "autonomous"),
    ("vibecoding", "interactive"),
    ("justvibes", "autonomous"),
]);
/// Points at which a person is always asked.
const ALWAYS: Kind = Kind::Word(&[("ask", "ask"), ("hold", "ask")]);

/// All keys, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key("workers.max_workers", LIMIT, "10", "agents that live at once"),
    key("workers.max_light", LIMIT, "10", "of them light"),
    key("workers.max_standard", LIMIT, "5", "of them standard"),
    key("workers.max_heavy", LIMIT, "5", "of them heavy"),
    key("workers.timeout", Kind::Int(1, 604_800), "1800", "seconds one attempt may take"),
    key("workers.stall", Kind::Int(1, 604_800), "300", "seconds without a sign of life"),
    key("workers.retries", Kind::Int(0, 100), "2", "new starts after a failure of the infrastructure"),
    key("workers.sonnet_only", Kind::Switch, "false", "use the standard model for all tiers"),
    key("models.light", Kind::Line, "\"haiku\"", "model of tier light"),
    key("models.standard", Kind::Line, "\"sonnet\"", "model of tier standard"),
    key("models.heavy", Kind::Line, "\"opus\"", "model of tier heavy"),
    key("review.light", GATED, "\"none\"", "review of light steps that do not say"),
    key("review.standard", GATED, "\"code\"", "review of standard steps that do not say"),
    key("review.heavy", GATED, "\"code\"", "review of heavy steps that do not say"),
    key("review.min_score", Kind::Number(0, 10), "9.5", "scores below this are at best a revise"),
    key("review.max_fixes", Kind::Int(0, 100), "3", "fixes before you are asked; 0 means review only"),
    key("review.reask", Kind::Int(0, 10), "0", "times a review is asked again whose answer cannot be read"),
    key(
        "review.auto_complete",
        Kind::List,
        r#"["Explore", "Plan", "Bash", "general-purpose", "reviewer"]"#,
        "roles whose steps are not reviewed unless they ask for it; so are roles that change no source",
    ),
    key("review.require_review", Kind::List, "[]", "roles whose steps are reviewed whatever the plan says"),
    rare("review.max_transitions.wrfc_loop", MOVES, "moves of such a chain before you are asked; by default 20"),
    rare("review.max_transitions.review_only", MOVES, "moves of such a chain before you are asked; by default 10"),
    rare("review.max_transitions.test_then_fix", MOVES, "moves of such a chain before you are asked; by default 15"),
    rare("review.max_transitions.fix_loop", MOVES, "moves of such a chain before you are asked; by default 30"),
    key("review.max_chains", LIMIT, "6", "reviewed steps at work at once"),
    trust("review.nonce", Kind::Switch, "true", "reviewers of outside coordinators must quote their directive's nonce"),
    rare("budget.tokens", TOKENS, "tokens an execution may use, read and written; then it is held"),
    rare("budget.cost_usd", DOLLARS, "US dollars an execution may cost; then it is held"),
    rare("budget.step.tokens", TOKENS, "tokens one step may use, over all its attempts, reviews and fixes"),
    rare("budget.step.cost_usd", DOLLARS, "US dollars one step may cost, over all its attempts, reviews and fixes"),
    rare("budget.run.tokens", TOKENS, "tokens one attempt may use"),
    rare("budget.run.cost_usd", DOLLARS, "US dollars one attempt may cost"),
    rare("budget.coordinator.tokens", TOKENS, "tokens the coordinator itself may use in one conversation"),
    rare("budget.coordinator.cost_usd", DOLLARS, "US dollars the coordinator itself may cost in one conversation"),
    key("coordinator.turns", LIMIT, "10", "turns the coordinator may take without a word of yours"),
    key("refinery.check", Kind::Line, "", "command that must pass on the exact merged tree"),
    key("refinery.check_timeout", Kind::Int(1, 604_800), "1800", "seconds the check may take"),
    key("refinery.max_batch", Kind::Int(1, 20), "1", "most changes checked and published together"),
    key("refinery.window", Kind::Int(1, 8), "1", "candidates checked at once, each built on the one before"),
    key("git.commit_suffix", Kind::Line, "\"created by enki\"", "line in the message of each step's commit"),
    key(
        "workspace.root",
        Kind::Line,
        "\".enki/copies\"",
        "folder of the agents' clones: below .enki or outside the project",
    ),
    key(
        "workspace.method",
        Kind::Word(&[("files", "files"), ("overlay", "overlay")]),
        "\"files\"",
        "files of its own for each workspace, or a Linux overlay over one tree, where mounting is allowed",
    ),
    key("workspace.setup", Kind::Line, "", "shell command run in a fresh workspace; it may change ignored files only"),
    key("workspace.teardown", Kind::Line, "", "shell command run in a workspace before it goes"),
    key("workspace.share_ignored", Kind::List, "[]", "ignored folders of yours that workspaces get a copy of: target"),
    key(
        "workspace.pool",
        Kind::Int(0, 64),
        "",
        "workspaces prepared ahead; by default 4, or workers.max_workers if fewer",
    ),
    key(
        "workspace.min_free_mb",
        Kind::Int(0, 1 << 40),
        "",
        "free space below which no step starts; by default 1 GiB, or 2 % of a small disk",
    ),
    trust("notes.enrich", Kind::Line, "", "shell command that makes a task's prompt of a spoken note, given on stdin"),
    key("notes.enrich_timeout", Kind::Int(1, 3_600), "60", "seconds it may take"),
    key(
        "log.branch",
        Kind::Line,
        "",
        "local branch that results of tasks are committed to, instead of files in your checkout",
    ),
    key("agent.command", Kind::Line, "\"claude\"", "program that works on a step"),
    key("agent.args", Kind::List, "[]", "its arguments"),
    key("agent.env", Kind::Table, "", "variables it gets besides the usual ones"),
    key("agent.reviewer.command", Kind::Line, "", "program that reviews, if another one"),
    key("agent.reviewer.args", Kind::List, "", "its arguments"),
    key("agent.reviewer.env", Kind::Table, "", "variables it gets besides those of agent.env"),
    key("agent.coordinator.command", Kind::Line, "", "program that makes plans for you, if another one"),
    key("agent.coordinator.args", Kind::List, "", "its arguments"),
    key("agent.coordinator.env", Kind::Table, "", "variables it gets besides those of agent.env"),
    trust(
        "isolation.drift",
        Kind::Word(&[("note", "note"), ("fail", "fail")]),
        "\"note\"",
        "HEAD, refs or index of your repository change beside an attempt: tell, or fail the attempt",
    ),
    trust("isolation.allow", Kind::List, "[]", "protected files that steps may change all the same"),
    trust(
        "sandbox.level",
        Kind::Word(&[("auto", "auto"), ("0", "0"), ("1", "1"), ("2", "2")]),
        "\"auto\"",
        "how agents and checks are held back: 0 not at all, 1 by rules of the kernel, 2 in a tree of their own; auto is the \
         best that holds here",
    ),
    trust(
        "sandbox.require",
        Kind::Word(&[("0", "0"), ("1", "1"), ("2", "2")]),
        "\"0\"",
        "the least of it: where it cannot be had nothing starts",
    ),
    trust(
        "sandbox.readable",
        Kind::List,
        "[]",
        "more that agents and checks may read: files and folders, ~/ is your home",
    ),
    trust("sandbox.writable", Kind::List, "[]", "more that they may change: caches of downloads, say"),
    trust("sandbox.check_network", Kind::Switch, "false", "checks have the network on level 2 too"),
    trust("store.any_file_system", Kind::Switch, "false", "accept file systems whose locks or syncs may lie"),
    key("memory.enabled", Kind::Switch, "true", "tell agents what is remembered of earlier work, and add to it"),
    key(
        "mail.enabled",
        Kind::Switch,
        "false",
        "agents of steps that are not reviewed and their coordinator may write to each other",
    ),
    key("lint.enabled", Kind::Switch, "true", "advice on how steps are described"),
    key(
        "approval.preset",
        PRESET,
        "\"interactive\"",
        "whether you are asked before a plan that you did not write starts",
    ),
    key(
        "approval.decomposition",
        Kind::Word(&[("ask", "ask"), ("auto", "auto")]),
        "",
        "the same, for plans that a recipe or coordinator divided into steps; by default as approval.preset",
    ),
    rare("approval.checkpoint", ALWAYS, "a checkpoint always waits for you"),
    rare("approval.stream_choice", ALWAYS, "where work lands is always yours to say"),
    rare("approval.ship_to_main", ALWAYS, "shipping is always a command of yours"),
    rare(
        "skills.protocol",
        Kind::List,
        "skills of which every step names at least one; by default asked only of plans with skills",
    ),
    rare("agents.authentication", Kind::Line, "role suggested for such steps: authentication"),
    rare("agents.database", Kind::Line, "role suggested for such steps: database"),
    rare("agents.api", Kind::Line, "role suggested for such steps: api"),
    rare("agents.ui", Kind::Line, "role suggested for such steps: ui"),
    rare("agents.types", Kind::Line, "role suggested for such steps: types"),
    rare("agents.tests", Kind::Line, "role suggested for such steps: tests"),
    rare("agents.review", Kind::Line, "role suggested for such steps: review"),
    rare("agents.architecture", Kind::Line, "role suggested for such steps: architecture"),
    rare("agents.planning", Kind::Line, "role suggested for such steps: planning"),
    rare("agents.deployment", Kind::Line, "role suggested for such steps: deployment"),
    rare("agents.ai", Kind::Line, "role suggested for such steps: ai"),
    rare("agents.services", Kind::Line, "role suggested for such steps: services"),
    rare("agents.state", Kind::Line, "role suggested for such steps: state"),
    rare("skills.authentication", Kind::List, "skills suggested for such steps: authentication"),
    rare("skills.database", Kind::List, "skills suggested for such steps: database"),
    rare("skills.api", Kind::List, "skills suggested for such steps: api"),
    rare("skills.ui", Kind::List, "skills suggested for such steps: ui"),
    rare("skills.types", Kind::List, "skills suggested for such steps: types"),
    rare("skills.tests", Kind::List, "skills suggested for such steps: tests"),
    rare("skills.review", Kind::List, "skills suggested for such steps: review"),
    rare("skills.architecture", Kind::List, "skills suggested for such steps: architecture"),
    rare("skills.planning", Kind::List, "skills suggested for such steps: planning"),
    rare("skills.deployment", Kind::List, "skills suggested for such steps: deployment"),
    rare("skills.ai", Kind::List, "skills suggested for such steps: ai"),
    rare("skills.services", Kind::List, "skills suggested for such steps: services"),
    rare("skills.state", Kind::List, "skills suggested for such steps: state"),
];

/// Other names of keys.
pub(super) const ALIASES: &[(&str, &str)] = &[("refinery.verify", "refinery.check"), ("verify", "refinery.check")];

/// Keys that have a meaning, but not in this version.
pub(super) const LATER: &[&str] = &[
    "git.respect_hooks",
    "documents.commit",
    "agent.worker",
    "agent.sidecar",
    "workflows.custom",
    "approval.plan",
    "approval.question",
    "approval.escalation",
    "approval.temp_promotion",
    "approval.finish",
];

/// The key of that name or alias.
#[must_use]
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, real)| real);
    KEYS.iter().find(|key| key.name == name)
}

/// Reads a value of a key from the text of a variable or flag.
///
/// # Errors
///
/// What would be right.
pub(super) fn from_text(key: &Key, text: &str) -> Result<Value, String> {
    match key.kind {
        Kind::Line => line(text).map(Into::into),
        Kind::Switch => match text {
            "true" | "1" | "yes" | "on" => Ok(true.into()),
            "false" | "0" | "no" | "off" => Ok(false.into()),
            _ => Err("expected true or false".into()),
        },
        Kind::Int(..) => text.trim().parse::<i64>().map_err(|_| expected(key.kind)).and_then(|n| int(key.kind, n)),
        Kind::Number(..) => {
            text.trim().parse::<f64>().map_err(|_| expected(key.kind)).and_then(|n| number(key.kind, n))
        }
        Kind::Word(_) => word(key.kind, text),
        Kind::List if text.trim_start().starts_with('[') => {
            let list: Vec<String> =
                serde_json::from_str(text).map_err(|_| "expected a JSON list of texts".to_owned())?;
            Ok(json!(list))
        }
        Kind::List => Ok(text.split_whitespace().collect::<Vec<_>>().into()),
        Kind::Table => Err("it cannot be given here".into()),
    }
}

/// Reads a number or word from a value of a file.
///
/// # Errors
///
/// What would be right.
pub(super) fn from_node(key: &Key, node: &Node) -> Result<Value, String> {
    match (key.kind, &node.value) {
        (Kind::Int(..), Parsed::Int(n)) => {
            i64::try_from(*n).map_err(|_| expected(key.kind)).and_then(|n| int(key.kind, n))
        }
        (Kind::Number(..), Parsed::Int(n)) => number(key.kind, *n as f64),
        (Kind::Number(..), Parsed::Float(n)) => number(key.kind, *n),
        (Kind::Word(_), Parsed::Text(text)) => word(key.kind, text),
        // A level: 1 and "1" are the same.
        (Kind::Word(_), Parsed::Int(n)) => word(key.kind, &n.to_string()),
        _ => Err(expected(key.kind)),
    }
}

/// The fixes that so many reviews leave room for.
///
/// # Errors
///
/// What would be right.
pub(super) fn rounds(rounds: &Parsed) -> Result<Value, String> {
    let number = if let Parsed::Int(n) = rounds { i64::try_from(*n).ok() } else { None };
    let rounds = number.filter(|rounds| (1..=101).contains(rounds));
    rounds.map(|rounds| json!(rounds - 1)).ok_or_else(|| expected(Kind::Int(1, 101)))
}

/// One line of text.
pub(super) fn line(text: &str) -> Result<&str, String> {
    if text.contains(['\n', '\r', '\0']) { Err("expected one line of text".into()) } else { Ok(text) }
}

pub(super) fn int(kind: Kind, value: i64) -> Result<Value, String> {
    match kind {
        Kind::Int(min, max) if (min..=max).contains(&value) => Ok(value.into()),
        _ => Err(expected(kind)),
    }
}

pub(super) fn number(kind: Kind, value: f64) -> Result<Value, String> {
    match kind {
        Kind::Number(min, max) if (min as f64..=max as f64).contains(&value) => Ok(json!(value)),
        _ => Err(expected(kind)),
    }
}

pub(super) fn word(kind: Kind, text: &str) -> Result<Value, String> {
    let Kind::Word(words) = kind else { return Err(expected(kind)) };
    words.iter().find(|(word, _)| *word == text).map(|(_, means)| (*means).into()).ok_or_else(|| {
        if kind == ALWAYS {
            return format!("it may not be {text:?}: this always waits for a person; leave it out, or write \"ask\"");
        }
        match enki_core::plan::nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean {near:?}?"),
            None => expected(kind),
        }
    })
}

pub(super) fn expected(kind: Kind) -> String {
    match kind {
        Kind::Line => "expected one line of text".into(),
        Kind::Switch => "expected true or false".into(),
        Kind::Int(min, max) => format!("expected a whole number from {min} to {max}"),
        Kind::Number(min, max) => format!("expected a number from {min} to {max}"),
        Kind::Word(words) => {
            format!("expected one of {}", words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", "))
        }
        Kind::List => "expected a list of texts".into(),
        Kind::Table => "expected a table of texts".into(),
    }
}
