//! How agents and checks are held back: what this machine gives, what the configuration wants, and what they may reach.

use crate::config::Config;
use crate::error::CliError;
use crate::host::Host;
use enki_process::{ChildLimits, Confinement, Network, Places, Probe, Sandbox, SandboxLevel, reach_of};
use enki_vcs_git::{Confined, GitProject};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The sandbox of a session.
#[derive(Clone, Debug)]
pub(crate) struct Sandboxed {
    pub(crate) level: SandboxLevel,
    /// Why it is not a better one, if a better one was wanted.
    pub(crate) missing: Option<String>,
    supervisor: Option<PathBuf>,
    base: Sandbox,
    private: PathBuf,
    root: PathBuf,
    git: Vec<PathBuf>,
    check_network: bool,
}

/// Finds out which level holds here and refuses one that is less than what is wanted, before anything is spent (S13).
pub(crate) fn find(config: &Config, host: &Host, git: &GitProject) -> Result<Sandboxed, CliError> {
    let number = |key: &str| config.text(key).parse().ok().and_then(SandboxLevel::of);
    let (wanted, required) = (number("sandbox.level"), number("sandbox.require").unwrap_or_default());
    let scratch = host.dir("TMPDIR").unwrap_or_else(|| Path::new("/tmp"));
    let probe =
        Probe::of(host.supervisor.as_deref(), wanted.unwrap_or(SandboxLevel::Tree), scratch).map_err(|error| {
            CliError::environment(format!("cannot try the sandbox in {}: {error}", scratch.display()))
                .hint("set TMPDIR to a folder you can write to")
        })?;
    let missing = probe.missing.first().map(|(level, why)| format!("level {level}: {why}"));
    // Who names a level wants that one.
    let least = required.max(wanted.unwrap_or_default());
    if probe.level < least {
        let all: Vec<String> = probe.missing.iter().map(|(level, why)| format!("level {level}: {why}")).collect();
        let why = if all.is_empty() { format!("sandbox.level is {}", probe.level) } else { all.join("; ") };
        let message = format!(
            "the sandbox of level {least} that is required cannot be had here, only level {}: {why}",
            probe.level
        );
        return Err(CliError::environment(message).hint(
            "level 2 needs bubblewrap and user namespaces, level 1 a Linux of 5.13 or newer with Landlock; or ask for less \
             with sandbox.require and sandbox.level in your own configuration",
        ));
    }
    let (base, git_dirs) = base(config, host, git, &probe);
    Ok(Sandboxed {
        level: probe.level,
        missing: missing.filter(|_| wanted.is_none()),
        supervisor: host.supervisor.clone(),
        base,
        private: git.enki_dir().join("private"),
        root: git.root().to_owned(),
        git: git_dirs,
        check_network: config.on("sandbox.check_network"),
    })
}

/// What all agents and checks may reach, and the folders that make the person's repository.
fn base(config: &Config, host: &Host, git: &GitProject, probe: &Probe) -> (Sandbox, Vec<PathBuf>) {
    let (places, reach) = (Places::of(&host.env), git.reach());
    let home = host.dir("HOME");
    let named = |key: &str| -> Vec<PathBuf> {
        let at_home = |text: String| match (text.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => git.root().join(text),
        };
        config.list(key).into_iter().map(at_home).collect()
    };
    let (mut readable, writable) = (named("sandbox.readable"), named("sandbox.writable"));
    readable.extend(cloud_login(host));
    // Who names a hidden thing opens it.
    let opened = |hidden: &PathBuf| readable.iter().chain(&writable).any(|path| path == hidden);
    let hidden: Vec<PathBuf> =
        places.hidden.into_iter().chain(reach.kept.clone()).filter(|path| !opened(path)).collect();
    let sandbox = Sandbox::new(probe.level, probe.bubblewrap.clone())
        .readable(places.readable)
        .readable(reach.lent)
        .readable(readable)
        .writable(writable)
        .hidden(hidden);
    (sandbox, reach.kept)
}

/// The one credential of an agent that reaches its model through a cloud: where the person's own variables say so.
fn cloud_login(host: &Host) -> Vec<PathBuf> {
    let mut files = Vec::new();
    if let Some(home) = host.dir("HOME") {
        if host.var("CLAUDE_CODE_USE_BEDROCK").is_some() {
            files.push(home.join(".aws"));
        }
        if host.var("CLAUDE_CODE_USE_VERTEX").is_some() {
            files.push(home.join(".config/gcloud"));
        }
    }
    files.extend(host.dir("GOOGLE_APPLICATION_CREDENTIALS").map(Path::to_owned));
    files
}

impl Sandboxed {
    /// For people, on the first line of a run.
    pub(crate) fn line(&self) -> String {
        let what = match self.level {
            SandboxLevel::Open => "agents run as you, what they change beside their work is found afterwards",
            SandboxLevel::Rules => "rules of the kernel",
            SandboxLevel::Tree => "a tree of their own, within rules of the kernel",
        };
        let missing = self.missing.as_ref().map_or_else(String::new, |why| format!("; not {why}"));
        format!("sandbox level {}: {what}{missing}", self.level)
    }

    /// That of agents which this command line starts: the program, and what its arguments name.
    pub(crate) fn of_agent(&self, program: &OsStr, args: &[OsString]) -> Option<Confinement> {
        let supervisor = self.supervisor.as_ref().filter(|_| self.level != SandboxLevel::Open)?;
        let files = std::iter::once(program).chain(args.iter().map(OsString::as_os_str)).map(Path::new);
        let named = files.filter(|path| path.is_absolute()).flat_map(reach_of);
        // Its tools are this program, which asks who drives by the project's socket.
        let enki = self.root.join(".enki");
        let sandbox = self.base.clone().readable(named).readable([supervisor.clone(), enki.join("enki.sock")]);
        Some(Confinement::new(sandbox.hollow([enki.join("project.git")]), &self.private))
    }

    /// The same for a coordinator, which reads the person's repository.
    pub(crate) fn of_coordinator(&self, confinement: Option<Confinement>) -> Option<Confinement> {
        let git = self.git.clone();
        let enki = self.root.join(".enki");
        confinement.map(|all| all.reads_only().with(|sandbox| sandbox.shown(&git).readable(git).hidden([enki])))
    }

    /// What an agent and a check may use at most.
    pub(crate) fn limits(&self) -> ChildLimits {
        match self.level {
            SandboxLevel::Open => ChildLimits::default(),
            SandboxLevel::Rules | SandboxLevel::Tree => {
                ChildLimits { open_files: Some(65_536), file_size: Some(64 << 30), cpu_seconds: Some(86_400) }
            }
        }
    }

    /// That of checks, set-ups and tear-downs. They have no credential; checks have no network where that can be had.
    pub(crate) fn of_commands(&self) -> Option<Confined> {
        let supervisor = self.supervisor.clone().filter(|_| self.level != SandboxLevel::Open)?;
        let network = if self.check_network { Network::Shared } else { Network::Loopback };
        Some(Confined { supervisor, limits: self.limits(), sandbox: self.base.clone().network(network) })
    }

    /// What earlier processes left of agents' own folders. The caller holds the project's lock.
    pub(crate) fn tidy(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.private)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.private.display(), %error, "what agents left cannot be removed");
        }
    }
}
