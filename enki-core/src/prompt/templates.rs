//! The templates: built in, and a person's own instead.

use super::view::{NAMES, View};
use crate::plan::nearest;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// A template.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum PromptName {
    /// Do a step that changes source.
    Work,
    /// Do a step that puts out an artifact.
    Artifact,
    /// Repair what a review, the check or the policy found.
    Fix,
    /// Judge a change.
    Review,
    /// Judge an artifact, such as a plan.
    PlanReview,
    /// Bring a change together with one that landed first.
    Resolve,
    /// What all of these include: the sections about the step.
    Sections,
}

impl PromptName {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Work, Self::Artifact, Self::Fix, Self::Review, Self::PlanReview, Self::Resolve, Self::Sections];

    /// Its name; the file of an own template is `NAME.md.j2`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Artifact => "artifact",
            Self::Fix => "fix",
            Self::Review => "review",
            Self::PlanReview => "plan_review",
            Self::Resolve => "resolve",
            Self::Sections => "sections",
        }
    }

    /// The built-in template.
    #[must_use]
    pub const fn built_in(self) -> &'static str {
        match self {
            Self::Work => include_str!("templates/work.md.j2"),
            Self::Artifact => include_str!("templates/artifact.md.j2"),
            Self::Fix => include_str!("templates/fix.md.j2"),
            Self::Review => include_str!("templates/review.md.j2"),
            Self::PlanReview => include_str!("templates/plan_review.md.j2"),
            Self::Resolve => include_str!("templates/resolve.md.j2"),
            Self::Sections => include_str!("templates/sections.md.j2"),
        }
    }

    /// The name by which a template includes it.
    const fn file(self) -> &'static str {
        match self {
            Self::Work => "work.md.j2",
            Self::Artifact => "artifact.md.j2",
            Self::Fix => "fix.md.j2",
            Self::Review => "review.md.j2",
            Self::PlanReview => "plan_review.md.j2",
            Self::Resolve => "resolve.md.j2",
            Self::Sections => "sections.md.j2",
        }
    }
}

impl fmt::Display for PromptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for PromptName {
    type Err = PromptError;

    fn from_str(name: &str) -> Result<Self, PromptError> {
        let names = || Self::ALL.iter().map(|known| known.as_str());
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| PromptError {
            line: None,
            message: format!("no prompt is named {name:?}"),
            help: nearest(name, names()).map_or_else(
                || format!("prompts are {}", names().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean {near:?}?"),
            ),
        })
    }
}

/// A template cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}; {help}")]
#[non_exhaustive]
pub struct PromptError {
    /// The line of the template, from 1, if it is about one.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it, or what is allowed.
    pub help: String,
}

/// The templates in use: the built-in ones, and others instead by name. Cheap to clone.
///
/// Templates are in the language of Jinja. They may use what the plan says ([`Prompts::names`]) and include each other;
/// they read no file, and have limits on length, nesting and steps. What follows a template in a prompt they do not see.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    own: Arc<BTreeMap<PromptName, Arc<str>>>,
}

impl Prompts {
    /// The built-in templates.
    #[must_use]
    pub fn built_in() -> Self {
        Self::default()
    }

    /// The same with that template. It is tried out first.
    ///
    /// # Errors
    ///
    /// What is wrong with the template, and where.
    pub fn with(mut self, name: PromptName, template: &str) -> Result<Self, PromptError> {
        if template.len() > LONGEST_TEMPLATE {
            let message = format!("the template has {} bytes", template.len());
            return Err(PromptError { line: None, message, help: "write at most 64 KiB".to_owned() });
        }
        if template.trim().is_empty() {
            let help = "remove the file to have the built-in template".to_owned();
            return Err(PromptError { line: None, message: "the template is empty".to_owned(), help });
        }
        Arc::make_mut(&mut self.own).insert(name, template.into());
        let environment = self.environment().map_err(explain)?;
        let template = environment.get_template(name.file()).map_err(explain)?;
        let mut unknown: Vec<String> = template.undeclared_variables(true).into_iter().filter(|n| !known(n)).collect();
        unknown.sort();
        if let Some(unknown) = unknown.first() {
            return Err(PromptError {
                line: line_of(self.own[&name].as_ref(), unknown),
                message: format!("{unknown:?} is not known to prompts"),
                help: nearest(unknown, NAMES.iter().copied())
                    .map_or_else(allowed, |near| format!("did you mean {near:?}?")),
            });
        }
        // Whatever includes it is tried as well.
        for name in PromptName::ALL {
            for view in View::samples() {
                render(&environment, name, &view).map_err(explain)?;
            }
        }
        drop(environment);
        Ok(self)
    }

    /// The template of that name, if it is not the built-in one.
    #[must_use]
    pub fn own(&self, name: PromptName) -> Option<&str> {
        self.own.get(&name).map(AsRef::as_ref)
    }

    /// What a template may use. `blocking` and `blocked_by` are lists of `id`, `title` and `until`.
    #[must_use]
    pub const fn names() -> &'static [&'static str] {
        NAMES
    }

    pub(super) fn render(&self, name: PromptName, view: &View<'_>) -> String {
        let own = || {
            let environment = self.environment()?;
            render(&environment, name, view)
        };
        if !self.own.is_empty() {
            match own() {
                Ok(text) => return text,
                Err(error) => {
                    tracing::warn!(prompt = %name, %error, "a prompt's own template failed, the built-in one is used");
                }
            }
        }
        render(&BUILT_IN, name, view).expect("built-in templates use what there is")
    }

    fn environment(&self) -> Result<Environment<'_>, Error> {
        let mut environment = empty();
        environment.set_fuel(Some(FUEL));
        for name in PromptName::ALL {
            environment.add_template(name.file(), self.own(name).unwrap_or(name.built_in()))?;
        }
        Ok(environment)
    }
}

/// Compiled once: nearly every prompt is made of these.
static BUILT_IN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = empty();
    for name in PromptName::ALL {
        environment.add_template(name.file(), name.built_in()).expect("built-in templates are well formed");
    }
    environment
});

fn empty<'a>() -> Environment<'a> {
    let mut environment = Environment::new();
    // Prompts are no HTML, and a name that is not there is a mistake rather than nothing.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_recursion_limit(32);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters differ"));
    environment
}

fn render(environment: &Environment<'_>, name: PromptName, view: &View<'_>) -> Result<String, Error> {
    let text = environment.get_template(name.file())?.render(minijinja::value::Serde(view))?;
    if environment.fuel().is_some() && text.len() > LONGEST_PROMPT {
        return Err(Error::new(ErrorKind::InvalidOperation, "the prompt is longer than 2 MiB"));
    }
    Ok(format!("{}\n", text.trim_end()))
}

fn known(name: &str) -> bool {
    let group = |known: &&str| known.split_once('.').is_some_and(|(group, _)| group == name);
    NAMES.contains(&name) || NAMES.iter().any(group) || GLOBALS.contains(&name)
}

fn allowed() -> String {
    format!("a prompt may use {}", NAMES.join(", "))
}

/// The first line with that name, or with the last part of it.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let last = name.rsplit('.').next().unwrap_or(name);
    [name, last].iter().find_map(|word| text.lines().position(|line| line.contains(word))).map(|at| at + 1)
}

fn explain(error: Error) -> PromptError {
    // What happened in an included template is the innermost cause.
    let mut inner: &Error = &error;
    while let Some(next) = std::error::Error::source(inner).and_then(|source| source.downcast_ref::<Error>()) {
        inner = next;
    }
    let kind = inner.kind();
    let message = inner.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}"));
    let help = match kind {
        ErrorKind::OutOfFuel => "make its loops shorter".to_owned(),
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
            let files: Vec<&str> = PromptName::ALL.iter().map(|name| name.file()).collect();
            format!("a prompt may include {}", files.join(", "))
        }
        ErrorKind::UndefinedError => allowed(),
        _ => "see docs/agents.md for what a template may use".to_owned(),
    };
    PromptError { line: inner.line(), message, help }
}

/// Functions of the language, which are no names of ours.
const GLOBALS: &[&str] = &["range", "dict", "namespace", "loop", "self", "super"];

const LONGEST_TEMPLATE: usize = 64 << 10;

/// A plan file has at most 1 MiB.
const LONGEST_PROMPT: usize = 2 << 20;

/// Steps of the language's machine. The largest built-in prompt of a plan of 1 MiB takes some hundred thousand.
const FUEL: u64 = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: PromptName, template: &str) -> PromptError {
        Prompts::built_in().with(name, template).unwrap_err()
    }

    #[test]
    fn built_in_templates_pass_what_own_ones_must() {
        for name in PromptName::ALL {
            Prompts::built_in().with(name, name.built_in()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(name.as_str().parse(), Ok(name));
            assert_eq!(name.file(), format!("{name}.md.j2"));
        }
    }

    #[test]
    fn an_own_template_is_used_also_where_it_is_included() {
        let prompts = Prompts::built_in().with(PromptName::Sections, "ONLY {{ step.title }}").unwrap();
        let text = prompts.render(PromptName::Work, &View::samples()[0]);
        assert!(text.starts_with("# A step\n") && text.ends_with("\nONLY A step\n"), "{text}");
    }

    #[test]
    fn a_broken_template_is_refused_with_its_line_and_what_is_allowed() {
        let error = refused(PromptName::Work, "# x\n\n{{ step.titel }}");
        assert_eq!((error.line, error.message.as_str()), (Some(3), "\"step.titel\" is not known to prompts"));
        assert_eq!(error.help, "did you mean \"step.title\"?");
        let error = refused(PromptName::Work, "{{ execution }}");
        assert!(error.help.starts_with("a prompt may use purpose, role, plan.title"), "{error}");
        let error = refused(PromptName::Work, "one\n{% for a in b %}\n");
        assert!(error.line.is_some() && error.message.starts_with("syntax error"), "{error:?}");
        let error = refused(PromptName::Work, "{% for n in blocked_by %}{{ n.nmae }}{% endfor %}");
        assert_eq!((error.line, error.message.starts_with("undefined value")), (Some(1), true), "{error:?}");
        let error = refused(PromptName::Work, "{{ step.title | shout }}");
        assert!(error.message.contains("shout"), "{error}");
        let error = refused(PromptName::Work, "{% include \"/etc/passwd\" %}");
        assert!(error.help.starts_with("a prompt may include work.md.j2"), "{error:?}");
        assert_eq!(refused(PromptName::Fix, " \n").message, "the template is empty");
        assert_eq!(refused(PromptName::Fix, &"x".repeat(LONGEST_TEMPLATE + 1)).help, "write at most 64 KiB");
        assert_eq!("works".parse::<PromptName>().unwrap_err().help, "did you mean \"work\"?");
    }

    #[test]
    fn a_template_that_would_not_end_is_refused() {
        let nested = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let error = refused(PromptName::Work, nested);
        assert!(error.message.contains("fuel"), "{error}");
        let long = "{% for a in range(9999) %}".to_owned() + &"y".repeat(1000) + "{% endfor %}";
        for template in ["{% include \"work.md.j2\" %}", &long, "{{ 'x' * 100000000000 }}"] {
            let error = refused(PromptName::Sections, template);
            let limits = ["recursion", "fuel", "longer than 2 MiB", "too large"];
            assert!(limits.iter().any(|limit| error.message.contains(limit)), "{error:?}");
        }
    }

    #[test]
    fn a_template_that_fails_after_all_gives_way_to_the_built_in_one() {
        let fails_late = "{% if step.id == 'late' %}{{ step.title.nothing.more }}{% endif %}fine";
        // Its mistake is in a branch that the samples do not take, so it is accepted.
        let own = Prompts { own: Arc::new([(PromptName::Work, Arc::from(fails_late))].into()) };
        let mut view = View::samples().into_iter().next().unwrap();
        assert_eq!(own.render(PromptName::Work, &view), "fine\n");
        view.rename("late");
        assert_eq!(own.render(PromptName::Work, &view), Prompts::built_in().render(PromptName::Work, &view));
    }
}
