//! From configuration to backends: which store, which git, which agent.

use crate::config::{Config, verify_command};
use crate::error::CliError;
use crate::host::Host;
use crate::output::Out;
use crate::registry::Registry;
use crate::sandbox::{self, Sandboxed};
use crate::source::visible;
use crate::words::Words;
use enki_agent_claude::{ClaudeAgent, ClaudeConfig, PASSED_ENV};
use enki_core::advice::approval::{Decomposition, Preset};
use enki_core::advice::assign::{Assignments, Work};
use enki_core::advice::lint::LintOptions;
use enki_core::agent::{AgentError, AgentRunner, AgentSession, AgentSpec};
use enki_core::async_trait;
use enki_core::id::EffectId;
use enki_core::limits::Limits;
use enki_core::recall::Recall;
use enki_core::redact::{Redactor, looks_secret};
use enki_core::refinery::Gate;
use enki_core::review::{Review, ReviewDefaults};
use enki_core::role::Role;
use enki_core::spec::{PlanSpec, ReviewSpec, ReviewWord};
use enki_core::store::{Holder, TaskStore};
use enki_core::tier::Tier;
use enki_mcp::Post;
use enki_process::{BaseEnv, CommandAgent, CommandAgentConfig, Marker};
use enki_store_sqlite::{FileRecall, OpenOptions, memory_folder};
use enki_vcs_git::{GitError, GitOptions, GitProject, GitWorkspaces, WorkspaceMethod};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Agents beside the built-in ones, by the name that `agent.command` or `--agent` gives them. For programs that ship
/// an `enki` of their own.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    agents: BTreeMap<String, Arc<dyn AgentRunner>>,
}

impl Backends {
    /// The built-in agents: `claude` for Claude Code, and any other program as a command.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with an agent of that name.
    #[must_use]
    pub fn agent(mut self, name: impl Into<String>, runner: Arc<dyn AgentRunner>) -> Self {
        self.agents.insert(name.into(), runner);
        self
    }
}

/// The agents of a run.
#[derive(Clone, Debug)]
pub(crate) struct Agents {
    /// What works.
    pub(crate) worker: Arc<dyn AgentRunner>,
    /// What reviews, if another one.
    pub(crate) reviewer: Option<Arc<dyn AgentRunner>>,
    /// Whether anything can review.
    pub(crate) reviews: bool,
    /// What works, for people.
    pub(crate) name: String,
    /// Those of them that are Claude Code.
    pub(crate) clients: Vec<ClaudeAgent>,
    /// Where they work.
    pub(crate) workspaces: GitWorkspaces,
    /// Whether any may start.
    pub(crate) may_start: bool,
    /// What they are told.
    pub(crate) words: Words,
    /// How they and checks are held back.
    pub(crate) sandbox: Sandboxed,
}

/// Nobody, for a session that merges and lands only.
pub(crate) fn no_agents(config: &Config, host: &Host, git: &GitProject) -> Result<Agents, CliError> {
    let workspaces = workspaces(config, host, git)?;
    let worker = Arc::new(NoAgent);
    Ok(Agents {
        worker,
        reviewer: None,
        reviews: false,
        name: "nobody".to_owned(),
        clients: Vec::new(),
        workspaces,
        may_start: false,
        words: Words::default(),
        sandbox: sandbox::find(config, host, git)?,
    })
}

#[derive(Debug)]
struct NoAgent;

#[async_trait]
impl AgentRunner for NoAgent {
    async fn start(&self, _spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        Err(AgentError::new("no agent", "this command only lands", true))
    }
    async fn attach(&self, _spec: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        Ok(None)
    }
}

/// The mark of a project's processes.
pub(crate) fn marker(root: &Path) -> Result<Marker, CliError> {
    let tag = EffectId::of("project", &[root.as_os_str().as_encoded_bytes()]).hex();
    Marker::project(&tag).map_err(|error| CliError::new(crate::Exit::Internal, error.to_string()))
}

/// Makes the agents and sees that their programs are there, before anything is spent (bad input 76).
pub(crate) fn agents(backends: &Backends, config: &Config, host: &Host, git: &GitProject) -> Result<Agents, CliError> {
    let workspaces = workspaces(config, host, git)?;
    let words = Words::load(host, Some(git.root()))?.configured(config)?;
    let sandbox = sandbox::find(config, host, git)?;
    let at = At { root: git.root(), workspaces: workspaces.root(), sandbox: &sandbox, reads: false };
    let worker = agent(backends, config, host, at, "agent")?;
    let other = !config.text("agent.reviewer.command").is_empty();
    let reviewer = if other { Some(agent(backends, config, host, at, "agent.reviewer")?) } else { None };
    let reviews = reviewer.is_some() || worker.takes_roles;
    let clients = worker.client.into_iter().chain(reviewer.as_ref().and_then(|reviewer| reviewer.client.clone()));
    let (clients, reviewer) = (clients.collect(), reviewer.map(|reviewer| reviewer.runner));
    Ok(Agents {
        worker: worker.runner,
        reviewer,
        reviews,
        name: worker.name,
        clients,
        workspaces,
        may_start: true,
        words,
        sandbox,
    })
}

/// What coordinates: an agent that makes plans and steers them.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    pub(crate) runner: Arc<dyn AgentRunner>,
    /// Whether it is told what its role says beside the prompt.
    pub(crate) takes_roles: bool,
    /// It, if it is Claude Code.
    pub(crate) client: Option<ClaudeAgent>,
    pub(crate) role: Role,
}

/// The coordinator, of the same program as the workers unless the configuration names another.
pub(crate) fn coordinator(
    backends: &Backends,
    config: &Config,
    host: &Host,
    git: &GitProject,
    agents: &Agents,
) -> Result<Coordinator, CliError> {
    let own = !config.text("agent.coordinator.command").is_empty();
    let key = if own { "agent.coordinator" } else { "agent" };
    let (root, workspaces) = (git.root(), agents.workspaces.root());
    let agent = agent(backends, config, host, At { root, workspaces, sandbox: &agents.sandbox, reads: true }, key)?;
    let role = crate::words::role_named(&agents.words.roles, COORDINATOR)?.0.clone();
    Ok(Coordinator { runner: agent.runner, takes_roles: agent.takes_roles, client: agent.client, role })
}

/// The role that says how a coordinator works.
const COORDINATOR: &str = "coordinator";

/// The workspaces, where the configuration has them.
pub(crate) fn workspaces(config: &Config, host: &Host, git: &GitProject) -> Result<GitWorkspaces, CliError> {
    let shared = config.list("workspace.share_ignored");
    let below = |path: &String| {
        let mut parts = Path::new(path).components().peekable();
        parts.peek().is_some() && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    if let Some(path) = shared.iter().find(|path| !below(path)) {
        return Err(CliError::usage(format!("workspace.share_ignored: {path:?} is not a path below the project"))
            .hint("name an ignored folder relative to the top of the project, such as \"target\""));
    }
    let overlay = config.text("workspace.method") == "overlay";
    if overlay && !cfg!(target_os = "linux") {
        return Err(CliError::usage("workspace.method = \"overlay\" works on Linux only")
            .hint("take it out, or say \"files\", which works everywhere"));
    }
    let text = |name: &str| Some(config.text(name).to_owned()).filter(|text| !text.trim().is_empty());
    let git = git.with_options(|options| {
        let workers = u32::try_from(config.int("workers.max_workers")).unwrap_or(u32::MAX);
        let pool = config.get("workspace.pool").map(|_| config.int("workspace.pool"));
        options.pool = pool.map_or(options.pool.min(workers), |pool| u32::try_from(pool).unwrap_or(u32::MAX));
        options.method = if overlay { WorkspaceMethod::Overlay } else { WorkspaceMethod::Files };
        options.share_ignored = shared;
        options.setup = text("workspace.setup");
        options.teardown = text("workspace.teardown");
        options.supervisor.clone_from(&host.supervisor);
        let floor = config.get("workspace.min_free_mb").map(|_| config.int("workspace.min_free_mb"));
        options.min_free_bytes = floor.map(|megabytes| megabytes.saturating_mul(1 << 20));
    });
    git.workspaces_in(Path::new(config.text("workspace.root"))).map_err(|error| match error {
        GitError::UnfitRoot { root, reason } => {
            let from = config.origin("workspace.root").map_or_else(String::new, |origin| format!(" ({origin})"));
            let (why, remedy) = reason.split_once(": ").unwrap_or((&reason, "name another folder"));
            CliError::usage(format!("workspace.root = {:?}{from} cannot be used: {why}", root.display().to_string()))
                .hint(remedy)
        }
        error => error.into(),
    })
}

/// Where an agent works.
#[derive(Clone, Copy)]
struct At<'a> {
    root: &'a Path,
    workspaces: &'a Path,
    sandbox: &'a Sandboxed,
    /// Whether it reads the person's repository and changes nothing: a coordinator.
    reads: bool,
}

/// An agent of the configuration.
struct Agent {
    runner: Arc<dyn AgentRunner>,
    /// Whether it is told what a role says beside the prompt, and so can review.
    takes_roles: bool,
    /// As the configuration calls it.
    name: String,
    client: Option<ClaudeAgent>,
}

/// The Claude Code client that the configuration has under that key, if that is what it is; with these variables more.
pub(crate) fn client(
    config: &Config,
    host: &Host,
    root: &Path,
    (key, vars): (&str, &BTreeMap<OsString, OsString>),
) -> Result<Option<ClaudeAgent>, CliError> {
    let command = config.text(&format!("{key}.command"));
    if Path::new(command).file_stem().is_none_or(|stem| stem != "claude") {
        return Ok(None);
    }
    let host_vars = host.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut claude = ClaudeConfig::new(BaseEnv::with_extra(host_vars, PASSED_ENV));
    claude.project = Some(marker(root)?);
    claude.redactor = Some(redactor(config, host));
    claude.program = program(command, root);
    claude.extra_args = config.list(&format!("{key}.args")).into_iter().map(OsString::from).collect();
    claude.env.clone_from(vars);
    let standard = model(config, Tier::Standard);
    (claude.models.light, claude.models.heavy) = (model(config, Tier::Light), model(config, Tier::Heavy));
    claude.models.standard = standard;
    Ok(Some(ClaudeAgent::new(claude)))
}

/// The variables that the configuration gives the agent of that key.
pub(crate) fn variables(config: &Config, key: &str) -> BTreeMap<OsString, OsString> {
    let named = |(name, value): (String, String)| (OsString::from(name), OsString::from(value));
    let mut vars: BTreeMap<_, _> = config.table("agent.env").into_iter().map(named).collect();
    if key != "agent" {
        vars.extend(config.table(&format!("{key}.env")).into_iter().map(named));
    }
    vars
}

/// A path is one of the project, whatever folder an attempt runs in.
fn program(command: &str, root: &Path) -> OsString {
    if command.contains('/') { root.join(command).into_os_string() } else { OsString::from(command) }
}

fn agent(backends: &Backends, config: &Config, host: &Host, at: At<'_>, key: &str) -> Result<Agent, CliError> {
    let At { root, workspaces, sandbox, reads } = at;
    let command = config.text(&format!("{key}.command")).to_owned();
    if let Some(runner) = backends.agents.get(&command) {
        return Ok(Agent { runner: Arc::clone(runner), takes_roles: true, name: command, client: None });
    }
    let args = config.list(&format!("{key}.args"));
    // An agent that removes its own `.git` must not find the person's repository above it.
    let mut vars: BTreeMap<OsString, OsString> = [("GIT_CEILING_DIRECTORIES".into(), workspaces.into())].into();
    vars.extend(variables(config, key));
    let confined = |path: &Path| {
        let all = sandbox.of_agent(path.as_os_str(), &args.iter().map(OsString::from).collect::<Vec<_>>());
        if reads { sandbox.of_coordinator(all) } else { all }
    };
    if let Some(claude) = client(config, host, root, (key, &vars))? {
        let confinement = confined(&claude.program_path()?);
        let supervisor = host.supervisor.clone().filter(|_| confinement.is_some());
        let mut own = claude.config().clone();
        (own.confinement, own.supervisor) = (confinement, supervisor.map(|program| (program, sandbox.limits())));
        let claude = ClaudeAgent::new(own);
        return Ok(Agent { runner: Arc::new(claude.clone()), takes_roles: true, name: command, client: Some(claude) });
    }
    let host_vars = || host.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    let extra: Vec<&str> = PASSED_ENV.to_vec();
    let mut made =
        CommandAgentConfig::new(program(&command, root)).args(&args).base_env(BaseEnv::with_extra(host_vars(), &extra));
    made = made.project(marker(root)?).redactor(redactor(config, host));
    for (name, value) in vars {
        made = made.env(name, value)?;
    }
    for tier in Tier::ALL {
        made = made.model(tier, model(config, tier));
    }
    #[cfg(target_os = "linux")]
    if let Some(supervisor) = &host.supervisor {
        made = made.supervisor(supervisor, sandbox.limits());
    }
    if let Some(confinement) = confined(&CommandAgent::new(made.clone()).program_path()?) {
        made = made.confinement(confinement);
    }
    let agent = CommandAgent::new(made);
    agent.program_path()?;
    Ok(Agent { runner: Arc::new(agent), takes_roles: false, name: command, client: None })
}

/// The models that agents are asked to use where a step names none, by tier.
pub(crate) fn models(config: &Config) -> BTreeMap<Tier, String> {
    Tier::ALL.into_iter().map(|tier| (tier, model(config, tier))).collect()
}

fn model(config: &Config, tier: Tier) -> String {
    let tier = if config.on("workers.sonnet_only") { Tier::Standard } else { tier };
    config.text(&format!("models.{tier}")).to_owned()
}

/// Permits and budgets.
pub(crate) fn limits(config: &Config) -> Limits {
    let int = |key: &str| u32::try_from(config.int(key)).unwrap_or(u32::MAX);
    let mut limits = Limits::default();
    limits.runs = int("workers.max_workers");
    limits.runs_by_tier = [int("workers.max_light"), int("workers.max_standard"), int("workers.max_heavy")];
    limits.chains = int("review.max_chains");
    limits.infra_retries = int("workers.retries");
    limits.max_batch = int("refinery.max_batch");
    limits.window = int("refinery.window");
    limits
}

/// What reviews are like that a plan asks for without saying more.
pub(crate) fn reviews(config: &Config) -> Result<ReviewDefaults, CliError> {
    let int = |key: &str| u32::try_from(config.int(key)).unwrap_or(u32::MAX);
    let mut reviews = ReviewDefaults::default();
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 10")]
    let min_score = config.number("review.min_score").map_or(reviews.min_score, |score| score as f32);
    (reviews.min_score, reviews.reask) = (min_score, int("review.reask"));
    reviews.max_fixes = config.get("review.max_fixes").map_or(reviews.max_fixes, |_| int("review.max_fixes"));
    for kind in Review::KINDS {
        let key = format!("review.max_transitions.{kind}");
        if config.get(&key).is_some() {
            reviews.max_moves.insert(kind.to_owned(), int(&key));
        }
        let fixes = if kind == "review_only" { 0 } else { reviews.max_fixes };
        if let Err(set) = reviews.moves(kind, fixes) {
            let from = config.origin(&key).map_or_else(String::new, |origin| format!(" ({origin})"));
            let bound = Review::bound(fixes);
            return Err(CliError::usage(format!("{key} = {set}{from} is too few: {fixes} fixes take up to {bound}"))
                .hint(format!("set it to {bound} or more, or review.max_fixes to less")));
        }
    }
    Ok(reviews)
}

/// What a merged tree must pass; seen to be startable now (bad input 33).
pub(crate) fn gate(config: &Config, host: &Host, root: &Path) -> Result<Option<Gate>, CliError> {
    if config.get("refinery.check").is_none() {
        return Ok(None);
    }
    let command = config.text("refinery.check").to_owned();
    let path = host.env.get(std::ffi::OsStr::new("PATH")).map(OsString::as_os_str);
    verify_command(&command, root, path)?;
    let environment = environment(host, root, &command);
    let timeout = Duration::from_secs(config.int("refinery.check_timeout"));
    Ok(Some(Gate::new(command, timeout).in_environment(environment)))
}

/// Digest of what an answer of the check depends on beside the tree and the command: the programs that it finds, the
/// variables that it is given, and files that it names, which may lie outside of the tree.
fn environment(host: &Host, root: &Path, command: &str) -> String {
    const LIMIT: u64 = 1 << 20;
    let mut parts: Vec<Vec<u8>> = vec![env!("CARGO_PKG_VERSION").into()];
    for (name, value) in BaseEnv::from_vars(host.env.clone()).vars() {
        parts.push([name.as_encoded_bytes(), value.as_encoded_bytes()].join(&b'='));
    }
    for word in command.split_whitespace() {
        let file = root.join(word);
        if file.metadata().is_ok_and(|found| found.is_file() && found.len() <= LIMIT) {
            // What cannot be read is the check's to complain about.
            parts.push(std::fs::read(&file).unwrap_or_default());
        }
    }
    EffectId::of("environment", &parts.iter().map(Vec::as_slice).collect::<Vec<_>>()).hex()
}

/// What is remembered of earlier work, unless that is turned off. A memory that cannot be used stops nothing.
pub(crate) fn recall(config: &Config, host: &Host, root: &Path) -> Option<Arc<dyn Recall>> {
    if !config.on("memory.enabled") {
        return None;
    }
    match memory_folder(root) {
        Ok(folder) => Some(Arc::new(FileRecall::new(folder).with_redactor(redactor(config, host)))),
        Err(error) => {
            tracing::warn!(%error, "nothing is remembered of this run");
            None
        }
    }
}

/// The mail of the project's agents, to be written, if there is any. The caller holds the project's lock.
pub(crate) async fn mail(
    config: &Config,
    host: &Host,
    store: &Arc<dyn TaskStore>,
    holder: &Holder,
) -> Result<Option<Post>, CliError> {
    if !config.on("mail.enabled") {
        return Ok(None);
    }
    let post = Post::open(Arc::clone(store), holder, host.clock, redactor(config, host)).await?;
    Ok(Some(post))
}

/// Takes out what is secret here: the values of variables that are named so, of this process and of agents.
pub(crate) fn redactor(config: &Config, host: &Host) -> Redactor {
    let agents =
        ["agent.env", "agent.reviewer.env", "agent.coordinator.env"].map(|key| config.table(key)).into_iter().flatten();
    knowing(host, agents)
}

/// Knows the secrets among the variables of this process and those.
fn knowing(host: &Host, more: impl Iterator<Item = (String, String)>) -> Redactor {
    let own = host.env.iter().filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())));
    Redactor::new(own.chain(more).filter(|(name, value)| looks_secret(name, value)).map(|(_, value)| value))
}

/// How the store is opened.
pub(crate) fn store_options(config: &Config) -> OpenOptions {
    let options = OpenOptions::new();
    if config.on("store.any_file_system") { options.accept_any_file_system() } else { options }
}

/// The repository, or the folder that `enki init` made a project, around a folder.
pub(crate) fn git(start: &Path, host: &Host) -> Result<GitProject, CliError> {
    let git = GitProject::open(start, git_options(host))?;
    // Where it cannot be told, what works with notes says why; a landing then has more in its way, and not less.
    let Ok(keeping) = Registry::keeping(host, git.root()) else { return Ok(git) };
    Ok(git.with_options(|options| options.notes = keeping.dir.to_string()))
}

pub(crate) fn git_options(host: &Host) -> GitOptions {
    let mut options = GitOptions::new(host.env.clone());
    options.clock = host.clock;
    options.redactor = knowing(host, std::iter::empty());
    options
}

/// Commits what is in a folder without git, so that work begins with it; says what of it is left alone.
pub(crate) fn record_folder(git: &GitProject, out: &mut Out) -> Result<(), CliError> {
    let Some(recorded) = git.record_folder()? else { return Ok(()) };
    let (shown, more) = recorded.left_alone.split_at(recorded.left_alone.len().min(10));
    for file in shown {
        out.note(&format!("left alone: {}", visible(file)));
    }
    if !more.is_empty() {
        out.note(&format!("left alone: {} more", more.len()));
    }
    Ok(())
}

/// Fills in the review of steps that do not say: by tier, and none where nothing can review. Tells whether that was
/// the reason.
///
/// # Errors
///
/// A step has a role that must be reviewed, and nothing can.
pub(crate) fn default_reviews(spec: &mut PlanSpec, config: &Config, agents: &Agents) -> Result<bool, CliError> {
    let mut left_out = false;
    let named = |key: &str, role: Option<&str>| {
        let list = config.list(key);
        role.is_some_and(|role| list.iter().any(|name| name.eq_ignore_ascii_case(role)))
    };
    let (tier, role, review) = (spec.defaults.tier, spec.defaults.role.clone(), spec.defaults.review.clone());
    let none = ReviewSpec::Word(ReviewWord::None);
    for step in &mut spec.steps {
        let name = step.role.as_deref().or(role.as_deref());
        let role = name.and_then(|name| agents.words.roles.get(name));
        let said = step.review.as_ref().or(review.as_ref());
        if named("review.require_review", name) && said.is_none_or(|said| *said == none) {
            if !agents.reviews {
                let message = format!("step {:?} has to be reviewed (review.require_review), and nothing can", step.id);
                return Err(CliError::usage(message).hint("configure agent.reviewer"));
            }
            step.review = Some(ReviewSpec::Word(ReviewWord::Code));
            continue;
        }
        if said.is_some() || named("review.auto_complete", name) {
            continue;
        }
        let tier = step.tier.or(tier).or_else(|| role?.tier).unwrap_or_default();
        // What changes no source has no code to review.
        let code = role.is_none_or(Role::edits);
        if config.text(&format!("review.{tier}")) == "code" && code {
            left_out |= !agents.reviews;
            step.review = agents.reviews.then_some(ReviewSpec::Word(ReviewWord::Code));
        }
    }
    Ok(left_out)
}

/// Whether a plan that no person divided into steps waits for one.
pub(crate) fn decomposition(config: &Config) -> Decomposition {
    let preset = if config.text("approval.preset") == "autonomous" { Preset::Autonomous } else { Preset::Interactive };
    match config.text("approval.decomposition") {
        "ask" => Decomposition::Ask,
        "auto" => Decomposition::Auto,
        _ => preset.decomposition(),
    }
}

/// What the project expects of its plans.
pub(crate) fn lint_options(config: &Config) -> LintOptions {
    let mut options = LintOptions::default();
    options.protocol_skills = config.get("skills.protocol").map(|_| config.list("skills.protocol"));
    options
}

/// Who is best given which kind of step.
pub(crate) fn assignments(config: &Config) -> Assignments {
    let mut table = Assignments::default();
    if config.get("skills.protocol").is_some() {
        table.protocol = config.list("skills.protocol");
    }
    for work in Work::ALL {
        let (agent, skills) = (format!("agents.{}", work.as_str()), format!("skills.{}", work.as_str()));
        if config.get(&agent).is_some() {
            table.of_mut(work).agents = vec![config.text(&agent).to_owned()];
        }
        if config.get(&skills).is_some() {
            table.of_mut(work).skills = config.list(&skills);
        }
    }
    table
}
