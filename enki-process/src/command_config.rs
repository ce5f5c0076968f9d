//! How a command is made an agent.

use crate::env::{BaseEnv, is_reserved};
use crate::limits::ChildLimits;
use crate::log::LogLimits;
use crate::marker::Marker;
use crate::sandbox::Confinement;
use crate::spawn::{SpawnError, SpawnFailure};
use enki_core::redact::Redactor;
use enki_core::tier::Tier;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How a command is made an agent: what runs, with which arguments and variables, within which limits.
///
/// ```
/// # use enki_process::{BaseEnv, CommandAgent, CommandAgentConfig};
/// # use enki_core::tier::Tier;
/// # fn vars() -> Vec<(std::ffi::OsString, std::ffi::OsString)> { vec![] }
/// let config = CommandAgentConfig::new("my-agent")
///     .args(["--headless"])
///     .base_env(BaseEnv::with_extra(vars(), &["MY_AGENT_API_KEY"]))
///     .env("MY_AGENT_COLOR", "never")?
///     .model(Tier::Heavy, "large-1");
/// let agent = CommandAgent::new(config);
/// # Ok::<(), enki_process::SpawnError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommandAgentConfig {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) base_env: BaseEnv,
    pub(crate) models: BTreeMap<Tier, String>,
    pub(crate) project: Option<Marker>,
    pub(crate) grace: Duration,
    pub(crate) redactor: Option<Redactor>,
    pub(crate) log_limits: LogLimits,
    pub(crate) output_limit: u64,
    pub(crate) supervisor: Option<(PathBuf, ChildLimits)>,
    pub(crate) confinement: Option<Confinement>,
}

impl CommandAgentConfig {
    /// An agent that is `program`: an absolute path, or a name to be found in the `PATH` of [`Self::base_env`].
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            base_env: BaseEnv::default(),
            models: BTreeMap::new(),
            project: None,
            grace: Duration::from_secs(10),
            redactor: None,
            log_limits: LogLimits::default(),
            output_limit: 16 << 30,
            supervisor: None,
            confinement: None,
        }
    }

    /// Its arguments, the same for each attempt. There is no shell and nothing is filled in: all that differs comes by
    /// variables and by stdin.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a variable for it, whatever the host has.
    ///
    /// # Errors
    ///
    /// [`SpawnFailure::ReservedVariable`] if the name begins with `ENKI_`.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Result<Self, SpawnError> {
        let name = name.into();
        if is_reserved(&name) {
            let program = self.program.to_string_lossy().into_owned();
            let reason = SpawnFailure::ReservedVariable { name: name.to_string_lossy().into_owned() };
            return Err(SpawnError { program, reason });
        }
        self.env.insert(name, value.into());
        Ok(self)
    }

    /// What it sees of the host's environment. Nothing unless set.
    #[must_use]
    pub fn base_env(mut self, base: BaseEnv) -> Self {
        self.base_env = base;
        self
    }

    /// The model that `ENKI_MODEL` names for steps of that tier, unless the plan names one.
    #[must_use]
    pub fn model(mut self, tier: Tier, model: impl Into<String>) -> Self {
        self.models.insert(tier, model.into());
        self
    }

    /// The mark of the project, by which what a killed orchestrator left is found. See [`Marker::project`].
    #[must_use]
    pub fn project(mut self, project: Marker) -> Self {
        self.project = Some(project);
        self
    }

    /// How long it may take to stop politely when a time or output limit stops it. 10 s unless set.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Takes secrets out of its log. See [`Spawn::redactor`](crate::Spawn::redactor).
    #[must_use]
    pub fn redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = Some(redactor);
        self
    }

    /// How much of its output the log keeps. 1 MiB of the beginning and 4 MiB of the end unless set.
    #[must_use]
    pub fn log_limits(mut self, limits: LogLimits) -> Self {
        self.log_limits = limits;
        self
    }

    /// How many bytes it may put out before it is stopped. 16 GiB unless set.
    #[must_use]
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.output_limit = bytes;
        self
    }

    /// The program that supervises it, and what it may use at most. See [`Spawn::supervisor`](crate::Spawn::supervisor).
    #[must_use]
    pub fn supervisor(mut self, program: impl Into<PathBuf>, limits: ChildLimits) -> Self {
        self.supervisor = Some((program.into(), limits));
        self
    }

    /// What it may reach, beside the workspace. See [`Spawn::sandbox`](crate::Spawn::sandbox); it needs a supervisor.
    #[must_use]
    pub fn confinement(mut self, confinement: Confinement) -> Self {
        self.confinement = Some(confinement);
        self
    }
}
