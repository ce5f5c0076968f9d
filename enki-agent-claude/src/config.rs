//! What a person can set about Claude Code.

use enki_core::redact::Redactor;
use enki_core::tier::Tier;
use enki_process::{BaseEnv, ChildLimits, Confinement, LogLimits, Marker};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How Claude Code is run. [`ClaudeConfig::new`] is the default; every field may be changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaudeConfig {
    /// The program: a name to be found in `PATH`, or an absolute path. `claude`.
    pub program: OsString,
    /// The host's environment, reduced to what an agent may see. See [`PASSED_ENV`].
    pub base_env: BaseEnv,
    /// Variables added to it. They win over it; names that begin with `ENKI_` are refused.
    pub env: BTreeMap<OsString, OsString>,
    /// The mark of the project, by which what a killed orchestrator left is found.
    pub project: Option<Marker>,
    /// The model of each tier where the plan names none.
    pub models: Models,
    /// The client's permission mode for attempts that change the workspace. `acceptEdits`.
    pub permission_mode: String,
    /// The same for reviews, which change nothing. `default`: what is not allowed below is denied.
    pub review_permission_mode: String,
    /// Rules for tools that run without asking, as the client's `--allowedTools` takes them. [`ALLOWED_TOOLS`].
    pub allowed_tools: Vec<String>,
    /// Most rounds with the model in one attempt. No limit but the attempt's time by default.
    pub max_turns: Option<u32>,
    /// Most money one attempt may cost, in US dollars. Checked by the client after each answer, so an attempt may cost
    /// more by one answer. No limit by default.
    pub max_budget_usd: Option<f64>,
    /// Arguments added at the end; of an option given twice the client takes the last.
    pub extra_args: Vec<OsString>,
    /// How often the client sends a failed request again. 2: beyond that Enki starts another attempt, which is seen and
    /// counted. The client's own 10 take minutes.
    pub max_retries: u32,
    /// How long a rate limit is taken to last if the service does not say. One minute.
    pub rate_limit_pause: Duration,
    /// How long the client may live on in silence after its final result, until it is ended. Then it is judged by the
    /// result. 15 s: it waits 5 s itself for background commands.
    pub linger: Duration,
    /// How long the client may take to stop politely when a limit stops it. 5 s.
    pub grace: Duration,
    /// Takes secrets out of the log of an attempt.
    pub redactor: Option<Redactor>,
    /// How much of the output the log of an attempt keeps.
    pub log_limits: LogLimits,
    /// An attempt that puts out more bytes is stopped. 1 GiB.
    pub output_limit: u64,
    /// The program that supervises the client, and what the client may use at most. See
    /// [`Spawn::supervisor`](enki_process::Spawn::supervisor).
    pub supervisor: Option<(PathBuf, ChildLimits)>,
    /// What the client may reach beside the workspace; it needs a supervisor. The client itself, and the folder in which it
    /// keeps its login, its settings and its sessions, are added.
    pub confinement: Option<Confinement>,
}

/// A model for each tier, by any name the client knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Models {
    /// Small, mechanical work.
    pub light: String,
    /// The default.
    pub standard: String,
    /// Hard or wide work.
    pub heavy: String,
}

impl Default for Models {
    fn default() -> Self {
        Self { light: "haiku".into(), standard: "sonnet".into(), heavy: "opus".into() }
    }
}

impl Models {
    /// The model of a tier.
    #[must_use]
    pub fn of(&self, tier: Tier) -> &str {
        match tier {
            Tier::Light => &self.light,
            Tier::Standard => &self.standard,
            Tier::Heavy => &self.heavy,
        }
    }
}

/// Variables of the host that the client needs beyond the allow-list: make the [`BaseEnv`] with these as extra names.
///
/// Credentials, where the service is, and where the client keeps its state.
pub const PASSED_ENV: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_CUSTOM_HEADERS",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
    "CLAUDE_CODE_TMPDIR",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "AWS_REGION",
    "AWS_PROFILE",
    "AWS_BEARER_TOKEN_BEDROCK",
    "CLOUD_ML_REGION",
    "ANTHROPIC_VERTEX_PROJECT_ID",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_TELEMETRY",
    "DISABLE_ERROR_REPORTING",
    // The person's own word that this machine is one; Enki never sets it.
    "IS_SANDBOX",
];

/// Tools allowed beyond what the permission mode allows: looking at and committing to the workspace's own repository, and
/// the usual ways to build and test. A command of several parts needs every part allowed. Put `Bash` here to allow all.
pub const ALLOWED_TOOLS: &[&str] = &[
    "Bash(git status *)",
    "Bash(git diff *)",
    "Bash(git log *)",
    "Bash(git show *)",
    "Bash(git add *)",
    "Bash(git commit *)",
    "Bash(cargo *)",
    "Bash(make *)",
    "Bash(npm *)",
    "Bash(npx *)",
    "Bash(pnpm *)",
    "Bash(yarn *)",
    "Bash(node *)",
    "Bash(python *)",
    "Bash(python3 *)",
    "Bash(pytest *)",
    "Bash(go *)",
    "Bash(mvn *)",
    "Bash(gradle *)",
    "Bash(./gradlew *)",
    "Bash(ctest *)",
];

impl ClaudeConfig {
    /// The default, with that part of the host's environment.
    #[must_use]
    pub fn new(base_env: BaseEnv) -> Self {
        Self {
            program: "claude".into(),
            base_env,
            env: BTreeMap::new(),
            project: None,
            models: Models::default(),
            permission_mode: "acceptEdits".into(),
            review_permission_mode: "default".into(),
            allowed_tools: ALLOWED_TOOLS.iter().map(|&rule| rule.to_owned()).collect(),
            max_turns: None,
            max_budget_usd: None,
            extra_args: Vec::new(),
            max_retries: 2,
            rate_limit_pause: Duration::from_secs(60),
            linger: Duration::from_secs(15),
            grace: Duration::from_secs(5),
            redactor: None,
            log_limits: LogLimits::default(),
            output_limit: 1 << 30,
            supervisor: None,
            confinement: None,
        }
    }
}
