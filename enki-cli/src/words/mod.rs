//! What people give agents beside plans: roles, prompts and review chains, from their own files over the built-in ones.
//!
//! Later wins, a role or template as a whole: built in, `$XDG_CONFIG_HOME/enki/roles/`, `~/.enki/`, then the project's
//! `.enki/`. That folder is the person's: git ignores it. A file there which git tracks came with the repository, and is
//! refused. And since an agent of the same user might reach that folder, nothing in it grants more than the person's own
//! files do: no tools, no right to edit for a role that only reads.

mod files;

use crate::config::Config;
use crate::error::CliError;
use crate::host::Host;
use crate::project::Project;
use crate::source::{self, Format, Node, Problem, Problems, Source};
use crate::wire;
use enki_core::id::StepId;
use enki_core::plan::{PlanLimits, nearest};
use enki_core::prompt::{PromptName, Prompts};
use enki_core::review::{Chains, CustomSpec, Does, Review, ReviewDefaults, Reviewer};
use enki_core::role::{Role, RoleOrigin, RoleProblem, Roles};
use files::{Folder, Found};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Roles and prompts of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    pub(crate) roles: Roles,
    pub(crate) prompts: Prompts,
    pub(crate) chains: Chains,
    /// What reviews are like that say no more; from the configuration.
    pub(crate) reviews: ReviewDefaults,
}

/// Whose a folder is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Owner {
    Person,
    Project,
}

impl Words {
    /// Reads all files there are.
    ///
    /// # Errors
    ///
    /// The first file that cannot be used, with the place in it.
    pub(crate) fn load(host: &Host, project: Option<&Path>) -> Result<Self, CliError> {
        let home = host.dir("HOME");
        let config = host.dir("XDG_CONFIG_HOME").map(Path::to_owned).or_else(|| home.map(|home| home.join(".config")));
        let own = home.map(|home| home.join(".enki"));
        let ours = project.map(|root| Project { root: root.to_owned() }.state_dir());
        let mut folders: Vec<(PathBuf, Owner)> = Vec::new();
        folders.extend(config.map(|config| (config.join("enki"), Owner::Person)));
        folders.extend(own.clone().map(|own| (own, Owner::Person)));
        folders.extend(ours.filter(|ours| Some(ours) != own.as_ref()).map(|ours| (ours, Owner::Project)));

        let mut words = Self::default();
        for (folder, owner) in folders {
            let roles = Folder::new(folder.join("roles"), ".toml", owner).read()?;
            // The configuration folder of a system has no prompts: they are the person's, for one machine's agents.
            let is_config = folder.file_name().is_some_and(|name| name == "enki");
            let prompts =
                if is_config { Vec::new() } else { Folder::new(folder.join("prompts"), ".j2", owner).read()? };
            let chains = Folder::new(folder.join("chains"), ".toml", owner).read()?;
            let any = !(roles.is_empty() && prompts.is_empty() && chains.is_empty());
            if let (Owner::Project, Some(root), true) = (owner, project, any) {
                refuse_tracked(host, root)?;
            }
            words.add_roles(roles, owner)?;
            words.add_prompts(prompts)?;
            words.add_chains(chains, owner)?;
        }
        Ok(words)
    }

    /// The same with what the configuration says of reviews.
    pub(crate) fn configured(mut self, config: &Config) -> Result<Self, CliError> {
        self.reviews = wire::reviews(config)?;
        Ok(self)
    }

    /// What plans are held against.
    pub(crate) fn plan_limits(&self) -> PlanLimits {
        PlanLimits {
            roles: self.roles.clone(),
            chains: self.chains.clone(),
            reviews: self.reviews.clone(),
            ..PlanLimits::default()
        }
    }

    fn add_roles(&mut self, files: Vec<Found>, owner: Owner) -> Result<(), CliError> {
        let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
        for file in files {
            let text = Source::from_bytes(file.name(), file.bytes.clone())
                .map_err(|problems| refused(problems.named(&file.name())))?;
            let fail = |problem: Problem| refused(Problems { source: text.clone(), list: vec![problem] });
            let tree = source::parse(&text, Format::Toml).map_err(fail)?;
            let role: Role = source::from_node(&tree).map_err(fail)?;
            role.check().map_err(|problem| fail(placed(&tree, &problem)))?;
            if let Some(other) = seen.insert(role.name.clone(), file.path.clone()) {
                let problem = Problem::new(span(&tree, "name"), format!("the role {:?} is given twice", role.name));
                return Err(fail(problem.help(format!("the other one is in {}", other.display()))));
            }
            if owner == Owner::Project {
                self.no_more_than_the_persons(&role).map_err(|problem| fail(placed(&tree, &problem)))?;
            }
            let origin = RoleOrigin::File(file.path.clone());
            self.roles = self.roles.clone().with(role, origin).map_err(|problem| fail(placed(&tree, &problem)))?;
        }
        Ok(())
    }

    /// A role of the project's folder grants nothing.
    fn no_more_than_the_persons(&self, role: &Role) -> Result<(), RoleProblem> {
        let known = self.roles.get(&role.name);
        let same = known.is_some_and(|known| known.tools == role.tools);
        if !role.tools.is_empty() && !same {
            let message = "tools count only from your own roles".to_owned();
            let help = "put the role into ~/.enki/roles, or leave `tools` out".to_owned();
            return Err(RoleProblem::new("tools", message, help));
        }
        if role.edits() && known.is_some_and(|known| !known.edits()) {
            let message = format!("the role {:?} only reads, and would edit here", role.name);
            let help = "write `can_edit = false`, rename it, or put it into ~/.enki/roles".to_owned();
            return Err(RoleProblem::new("name", message, help));
        }
        Ok(())
    }

    fn add_prompts(&mut self, files: Vec<Found>) -> Result<(), CliError> {
        for file in files {
            let stem = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let name: PromptName = match stem.strip_suffix(".md.j2") {
                Some(name) => name.parse().map_err(|error: enki_core::prompt::PromptError| {
                    CliError::usage(format!("{}: {}", file.name(), error.message)).hint(error.help)
                })?,
                None => {
                    let message = format!("{}: not the name of a prompt", file.name());
                    return Err(CliError::usage(message).hint("name it after a prompt, such as work.md.j2"));
                }
            };
            let text = Source::from_bytes(file.name(), file.bytes.clone())
                .map_err(|problems| refused(problems.named(&file.name())))?;
            self.prompts = self.prompts.clone().with(name, text.text()).map_err(|error| {
                let at = error.line.map_or(0..0, |line| line_span(text.text(), line));
                let problem = Problem::new(at, error.message).help(error.help);
                refused(Problems { source: text.clone(), list: vec![problem] })
            })?;
        }
        Ok(())
    }
}

impl Words {
    /// A chain is named after its file.
    fn add_chains(&mut self, files: Vec<Found>, owner: Owner) -> Result<(), CliError> {
        for file in files {
            let text = Source::from_bytes(file.name(), file.bytes.clone())
                .map_err(|problems| refused(problems.named(&file.name())))?;
            let fail = |list: Vec<Problem>| refused(Problems { source: text.clone(), list });
            let tree = source::parse(&text, Format::Toml).map_err(|problem| fail(vec![problem]))?;
            let spec: CustomSpec = source::from_node(&tree).map_err(|problem| fail(vec![problem]))?;
            let name = file.path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let taken = Review::KINDS.contains(&name) || name == "code";
            if taken || name.parse::<StepId>().is_err() {
                let why = if taken { "is a built-in kind" } else { "is no name: use a-z, 0-9, - and _" };
                return Err(CliError::usage(format!("{}: {name:?} {why}", file.name())).hint("rename the file"));
            }
            let review = spec.check(name).map_err(|problems| {
                let placed = problems.iter().map(|problem| {
                    let mut placed = Problem::new(place_of(&tree, &problem.field), problem.to_string());
                    placed.path = problem.field.as_str().into();
                    placed
                });
                fail(placed.collect())
            })?;
            let runs = review.states().iter().any(|s| matches!(s.does, Does::Review(Reviewer::Command { .. })));
            if owner == Owner::Project && runs {
                return Err(CliError::usage(format!("{}: commands count only from your own chains", file.name()))
                    .hint("put the file into ~/.enki/chains"));
            }
            let unknown = review.states().iter().find_map(|state| match &state.does {
                Does::Review(Reviewer::Agent { role: Some(role) }) if self.roles.get(role).is_none() => Some(role),
                _ => None,
            });
            if let Some(role) = unknown {
                return Err(CliError::usage(format!("{}: there is no role {role:?}", file.name()))
                    .hint("`enki roles` lists them"));
            }
            self.chains = self.chains.clone().with(review);
        }
        Ok(())
    }
}

/// Where a field such as `states.testing.to[1].when` is in a file, as near as there is something.
fn place_of(tree: &Node, field: &str) -> Range<usize> {
    let (mut node, mut found) = (tree, 0..0);
    for part in field.split('.') {
        let name = part.split('[').next().unwrap_or(part);
        let Some((key, value)) = node.get(name) else { break };
        (node, found) = (value, key.span.clone());
    }
    found
}

/// The role of that name, or an error that names the nearest one.
pub(crate) fn role_named<'r>(roles: &'r Roles, name: &str) -> Result<(&'r Role, &'r RoleOrigin), CliError> {
    roles.iter().find(|(role, _)| role.name == name).ok_or_else(|| {
        let hint = match nearest(name, roles.names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "`enki roles` lists them".to_owned(),
        };
        CliError::usage(format!("no role {name:?}")).hint(hint)
    })
}

/// What came with the repository is not the person's word.
fn refuse_tracked(host: &Host, root: &Path) -> Result<(), CliError> {
    if root.join(".git").symlink_metadata().is_err() {
        return Ok(());
    }
    let tracked = wire::git(root, host)?.tracked(&[".enki/roles", ".enki/prompts", ".enki/chains"])?;
    match tracked.first() {
        None => Ok(()),
        Some(path) => Err(CliError::usage(format!("{path} is tracked by git, so it may be the word of somebody else"))
            .hint(format!(
                "read it; if you agree with it, move it into ~/.enki, or take it out of git with `git rm --cached {path}`"
            ))),
    }
}

fn refused(problems: Problems) -> CliError {
    CliError::problems(problems, "fix the file, or move it away to have what is built in")
}

fn placed(tree: &Node, problem: &RoleProblem) -> Problem {
    let mut placed = Problem::new(span(tree, problem.field), &problem.message).help(problem.help.as_str());
    placed.path = problem.field.into();
    placed
}

fn span(tree: &Node, field: &str) -> Range<usize> {
    tree.get(field).map_or(0..0, |(key, _)| key.span.clone())
}

fn line_span(text: &str, line: usize) -> Range<usize> {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = text[start..].find('\n').map_or(text.len(), |n| start + n);
    let blank = text[start..end].len() - text[start..end].trim_start().len();
    start + blank..end
}
