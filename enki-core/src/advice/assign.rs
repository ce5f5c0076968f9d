//! Who is best given a step, and with which skills (wrfc section 8): a table that a project may change.

use super::words::{is_form_of, words};
use crate::spec::{DefaultsSpec, StepSpec};
use std::collections::BTreeMap;

/// A kind of step.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Work {
    Authentication,
    Database,
    Api,
    Ui,
    Types,
    Tests,
    Review,
    Architecture,
    Planning,
    Deployment,
    Ai,
    Services,
    State,
}

impl Work {
    /// All of them, in the order in which ties are decided.
    pub const ALL: [Self; 13] = [
        Self::Authentication,
        Self::Database,
        Self::Api,
        Self::Ui,
        Self::Types,
        Self::Tests,
        Self::Review,
        Self::Architecture,
        Self::Planning,
        Self::Deployment,
        Self::Ai,
        Self::Services,
        Self::State,
    ];

    /// Its name: `api`, `database`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Database => "database",
            Self::Api => "api",
            Self::Ui => "ui",
            Self::Types => "types",
            Self::Tests => "tests",
            Self::Review => "review",
            Self::Architecture => "architecture",
            Self::Planning => "planning",
            Self::Deployment => "deployment",
            Self::Ai => "ai",
            Self::Services => "services",
            Self::State => "state",
        }
    }

    const fn typical(self) -> &'static [&'static str] {
        match self {
            Self::Authentication => &["authentication", "auth", "login", "logout", "oauth", "password", "session"],
            Self::Database => &["database", "schema", "migration", "table", "sql", "index"],
            Self::Api => &["api", "endpoint", "route", "rest", "graphql", "handler"],
            Self::Ui => &["ui", "component", "page", "form", "button", "screen", "frontend"],
            Self::Types => &["type", "interface", "typings"],
            Self::Tests => &["test", "coverage"],
            Self::Review => &["review"],
            Self::Architecture => &["architecture"],
            Self::Planning => &["plan"],
            Self::Deployment => &["deploy", "deployment", "release", "docker", "kubernetes"],
            Self::Ai => &["ai", "llm", "embedding", "chatbot"],
            Self::Services => &["webhook", "email", "payment", "stripe", "sms"],
            Self::State => &["state", "store", "redux", "zustand"],
        }
    }

    fn default_assignment(self) -> Assignment {
        let (agents, skills): (&[&str], &[&str]) = match self {
            Self::Api => (ENGINEER, &["rest-api-design", "trpc", "prisma"]),
            Self::Ui => (ENGINEER, &["react", "nextjs", "tailwindcss", "shadcn-ui"]),
            Self::Database => (ENGINEER, &["prisma", "postgresql", "drizzle"]),
            Self::Authentication => (ENGINEER, &["clerk", "nextauth", "lucia"]),
            Self::Types => (ENGINEER, &[]),
            Self::Tests => (&["tester"], &[]),
            Self::Review => (&["reviewer"], &["review-scoring", "naming", "type-safety", "error-handling", "async"]),
            Self::Architecture => (&["architect"], &[]),
            Self::Planning => (&["planner"], &[]),
            Self::Deployment => (&["deployer"], &[]),
            Self::Ai => (&["integrator-ai"], &[]),
            Self::Services => (&["integrator-services"], &[]),
            Self::State => (&["integrator-state"], &[]),
        };
        let owned = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        Assignment { agents: owned(agents), skills: owned(skills) }
    }
}

/// An engineer, or what stands for one among the built-in roles.
const ENGINEER: &[&str] = &["engineer", "feature_developer"];

/// Skills that every step gets besides its own.
pub const PROTOCOL_SKILLS: [&str; 4] = ["gather-plan-apply", "precision-mastery", "error-recovery", "goodvibes-memory"];

/// Who does a kind of work, with which skills.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Assignment {
    /// Roles, the best one first; the first that is known counts.
    pub agents: Vec<String>,
    /// Names of skills.
    pub skills: Vec<String>,
}

/// The table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assignments {
    table: BTreeMap<Work, Assignment>,
    /// Skills that every step gets besides.
    pub protocol: Vec<String>,
}

impl Default for Assignments {
    fn default() -> Self {
        Self {
            table: Work::ALL.into_iter().map(|work| (work, work.default_assignment())).collect(),
            protocol: PROTOCOL_SKILLS.map(str::to_owned).to_vec(),
        }
    }
}

/// What a step could say and does not.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Suggestion {
    /// The kind of work it seems to be.
    pub work: Work,
    /// A role, if the step has none and one of the table's is known.
    pub role: Option<String>,
    /// Skills, if the step names none.
    pub skills: Vec<String>,
}

impl Assignments {
    /// Who does that kind of work.
    #[must_use]
    pub fn of(&self, work: Work) -> &Assignment {
        &self.table[&work]
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, work: Work) -> &mut Assignment {
        self.table.entry(work).or_default()
    }

    /// A role and skills for a step that leaves them open and whose kind can be told. `knows` tells which roles there
    /// are.
    #[must_use]
    pub fn suggest(
        &self,
        step: &StepSpec,
        defaults: &DefaultsSpec,
        knows: &dyn Fn(&str) -> bool,
    ) -> Option<Suggestion> {
        let work = work_of(step)?;
        let Assignment { agents, skills } = self.of(work);
        let open = step.role.is_none() && defaults.role.is_none();
        let role = agents.iter().find(|agent| open && knows(agent)).cloned();
        let mut wanted = Vec::new();
        if step.skills.is_empty() {
            for skill in skills.iter().chain(&self.protocol) {
                if !wanted.contains(skill) {
                    wanted.push(skill.clone());
                }
            }
        }
        (role.is_some() || !wanted.is_empty()).then_some(Suggestion { work, role, skills: wanted })
    }
}

/// The kind of a step: by the words of its title, or else of its description. What is written about, and not made, tells
/// no kind.
#[must_use]
pub fn work_of(step: &StepSpec) -> Option<Work> {
    const TELLS: &[&str] = &["describe", "document", "explain", "report", "survey", "research"];
    if words(&step.title).first().is_some_and(|verb| TELLS.iter().any(|base| is_form_of(verb, base))) {
        return None;
    }
    of_text(&step.title).or_else(|| of_text(&step.description))
}

fn of_text(text: &str) -> Option<Work> {
    let words = words(text);
    let count =
        |work: Work| words.iter().filter(|word| work.typical().iter().any(|base| is_form_of(word, base))).count();
    let counts = Work::ALL.map(count);
    let most = counts.into_iter().max().filter(|most| *most > 0)?;
    counts.iter().position(|count| *count == most).map(|at| Work::ALL[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Roles;

    fn step(title: &str, description: &str) -> StepSpec {
        StepSpec { title: title.into(), description: description.into(), ..StepSpec::default() }
    }

    #[test]
    fn the_kind_of_a_step_is_told_by_its_title_first() {
        for (title, expected) in [
            ("Add profile types", Some(Work::Types)),
            ("Add the profile routes", Some(Work::Api)),
            ("Migrations for the login table", Some(Work::Database)),
            ("Write tests", Some(Work::Tests)),
            ("Plan it", Some(Work::Planning)),
            ("Look at the planet", None),
            ("Describe the routes", None),
        ] {
            assert_eq!(work_of(&step(title, "")), expected, "{title}");
        }
        assert_eq!(work_of(&step("Do it", "Build the page.")), Some(Work::Ui));
    }

    #[test]
    fn only_what_a_step_leaves_open_is_suggested_and_only_known_roles() {
        let table = Assignments::default();
        let none = DefaultsSpec::default();
        let roles = Roles::built_in();
        let known = |name: &str| roles.get(name).is_some() && name != "engineer";
        let seen = table.suggest(&step("Add routes", ""), &none, &known).unwrap();
        assert_eq!(seen.role.as_deref(), Some("feature_developer"));
        assert_eq!(seen.skills[..3], ["rest-api-design", "trpc", "prisma"]);
        let seen = table.suggest(&step("Add routes", ""), &none, &|_| true).unwrap();
        assert_eq!(seen.role.as_deref(), Some("engineer"));
        let seen = table.suggest(&step("Deploy it", ""), &none, &known).unwrap();
        assert_eq!((seen.role, seen.skills), (None, PROTOCOL_SKILLS.map(str::to_owned).to_vec()));
        let full = StepSpec { role: Some("ralph".into()), skills: vec!["x".into()], ..step("Add routes", "") };
        assert_eq!(table.suggest(&full, &none, &known), None);
    }

    #[test]
    fn a_project_changes_what_it_wants_to() {
        let mut table = Assignments::default();
        table.of_mut(Work::Api).skills = vec!["axum".into()];
        table.of_mut(Work::Api).agents = vec!["ralph".into()];
        table.protocol.clear();
        let seen = table.suggest(&step("Add routes", ""), &DefaultsSpec::default(), &|_| true).unwrap();
        assert_eq!((seen.role.as_deref(), seen.skills), (Some("ralph"), vec!["axum".to_owned()]));
    }
}
