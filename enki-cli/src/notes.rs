//! The notes of a project, as this program's user writes them.

use crate::commands::Context;
use crate::config::Config;
use crate::enrich::enrich;
use crate::error::{CliError, chain};
use crate::exit::Exit;
use crate::host::Host;
use crate::moved::{self, Moved};
use crate::project::Project;
use crate::registry::{Keeping, Registry};
use crate::source::visible;
use crate::wire;
use enki_core::redact::Redactor;
use enki_core::tier::Tier;
use enki_core::time::Timestamp;
use enki_notes::{
    Enriched, Kind, Log, NewCapture, NewResult, NewTask, NoteError, NotePath, Owner, Promoted, Promotion, Settled,
    Source,
};
use enki_vcs_git::{GitError, GitProject, SideBranch};
use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// The notes of a project, the branch that their results are committed to, if they are, and what results say of models.
#[derive(Debug)]
pub(crate) struct Ledger {
    log: Log,
    results: Option<SideBranch>,
    models: BTreeMap<Tier, String>,
}

impl Deref for Ledger {
    type Target = Log;

    fn deref(&self) -> &Log {
        &self.log
    }
}

impl Ledger {
    fn new(log: Log, results: Option<SideBranch>, config: &Config) -> Self {
        let log = match &results {
            Some(results) => log.with_results(results.files()),
            None => log,
        };
        Self { log, results, models: wire::models(config) }
    }

    /// The model that does what names none itself: that of its tier. Names such as `opus` stand for one.
    pub(crate) fn model_of(&self, tier: Tier) -> &str {
        self.models.get(&tier).map_or(tier.as_str(), String::as_str)
    }

    /// The same, with results as they are on their branch now.
    fn refreshed(self) -> Result<Self, CliError> {
        self.results.as_ref().map(|results| results.hold().map(drop)).transpose()?;
        Ok(self)
    }

    /// Writes down how a task's run ended, as [`Log::settle`] does, and commits the result. Blocks.
    pub(crate) fn settle(&self, result: &NewResult, ended: Timestamp) -> Result<Settled, NoteError> {
        let Some(results) = &self.results else { return self.log.settle(result, ended) };
        let attempted = || format!("commit the result of {} to {}", result.task, results.branch());
        let failed = |error: GitError| NoteError::Io { attempted: attempted(), source: io::Error::other(error) };
        let held = results.hold().map_err(failed)?;
        let message = format!("result: {}\n\nOf {}, {}.\n", result.title, result.queue_id, result.status.as_str());
        self.log.settle_with(result, ended, |paths| held.commit(paths, &message, ended).map_err(failed))
    }
}

/// The notes, with what new ones are given.
pub(crate) struct Notes {
    pub(crate) log: Ledger,
    redactor: Redactor,
    /// The last commits, for the context of a new note.
    commits: Vec<String>,
    /// The project's own stream.
    stream: Option<String>,
}

impl Notes {
    /// Those of a project, to look at.
    pub(crate) fn read(host: &Host, root: &Path) -> Result<Ledger, CliError> {
        let config = Config::load(host, Some(&Project { root: root.to_owned() }))?;
        Self::of(host, &config, root)
    }

    fn of(host: &Host, config: &Config, root: &Path) -> Result<Ledger, CliError> {
        let keeping = Registry::keeping(host, root)?;
        let results = match branch(config) {
            Some(name) => Some(wire::git(root, host)?.side_branch(name)?),
            None => None,
        };
        Ledger::new(log(root, keeping, Owner::default), results, config).refreshed()
    }

    /// Those of a project, in the name of whoever its git signs with. Asks git.
    pub(crate) fn signed(host: &Host, config: &Config, root: &Path) -> Result<Self, CliError> {
        // A project whose git cannot be asked can have notes all the same.
        let git = wire::git(root, host).ok();
        let keeping = Registry::keeping(host, root)?;
        let results = git.as_ref().map_or(Ok(None), |git| results(config, git))?;
        let log = log(root, keeping, || git.as_ref().map_or_else(Owner::default, signer));
        // Where there can be no list of projects nothing says it.
        let registry = Registry::load(host).ok();
        Ok(Self {
            log: Ledger::new(log, results, config).refreshed()?,
            redactor: wire::redactor(config, host),
            commits: git.map(|git| git.last_commits(COMMITS)).unwrap_or_default(),
            stream: registry.and_then(|all| all.stream_of(root).map(str::to_owned)),
        })
    }

    /// The same without asking git: for what makes no new note.
    pub(crate) fn unsigned(host: &Host, config: &Config, root: &Path) -> Result<Self, CliError> {
        let (log, redactor) = (Self::of(host, config, root)?, wire::redactor(config, host));
        Ok(Self { log, redactor, commits: Vec::new(), stream: None })
    }

    /// What is written of a text: without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.redactor.clean(text)
    }

    /// A capture of that text, with what was done last, in the project's stream.
    pub(crate) fn capture(&self, text: &str, source: Source) -> NewCapture {
        let mut new = NewCapture::new(self.clean(text));
        (new.source, new.stream) = (source, self.stream.clone());
        let lines: Vec<String> = self.commits.iter().map(|line| format!("- {}", self.clean(line))).collect();
        new.context = (!lines.is_empty()).then(|| lines.join("\n"));
        new
    }
}

/// A note that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewNote {
    pub(crate) text: String,
    /// By its words if left out.
    pub(crate) kind: Option<Kind>,
    pub(crate) source: Source,
    /// The project's own if left out.
    pub(crate) stream: Option<String>,
    /// The task at which it was noticed.
    pub(crate) task_id: Option<String>,
    /// Of a task: who shall do it.
    pub(crate) model: Option<String>,
    pub(crate) tier: Option<String>,
}

/// Writes a note in the project of `cx`; a capture has an id.
pub(crate) fn write(cx: &mut Context, note: NewNote) -> Result<(NotePath, Option<String>), CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let config = cx.config(Some(&project))?;
    let notes = Notes::signed(&cx.host, &config, &project.root)?;
    let now = cx.host.now();
    match note.kind {
        Some(Kind::Task) => {
            let mut task = NewTask::new(notes.clean(&note.text));
            (task.model, task.tier) = (note.model, note.tier);
            Ok((notes.log.task(&task, now)?, None))
        }
        Some(Kind::Result) => Err(CliError::usage("a result is written when a task's run has ended")
            .hint("leave --kind out, or give idea, issue, observation or task")),
        kind => {
            let mut new = notes.capture(&note.text, note.source);
            (new.kind, new.task_id) = (kind, note.task_id);
            new.stream = note.stream.or(new.stream);
            let filed = notes.log.capture(&new, now)?;
            Ok((filed.path, Some(filed.capture_id)))
        }
    }
}

/// What became of promoting a note.
#[derive(Debug)]
pub(crate) struct Made {
    /// The note.
    pub(crate) source: NotePath,
    pub(crate) promoted: Promoted,
    /// The project that it is of, if that is not the one where it was.
    pub(crate) moved: Option<Moved>,
}

/// Makes a task of a note of the project of `cx`, or of the one that the note names.
pub(crate) async fn promote(cx: &mut Context, note: &str, how: &Promotion) -> Result<Made, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let config = cx.config(Some(&project))?;
    let notes = Notes::signed(&cx.host, &config, &project.root)?;
    let source = notes.log.find(note)?;
    if source.kind().is_capture()
        && let Some(moved) = moved::follow(cx, &project.root, &notes.log, std::slice::from_ref(&source))?
    {
        let made = Box::pin(promote(cx, moved.notes[0].as_str(), how)).await?;
        return Ok(Made { moved: Some(moved), ..made });
    }
    let mut how = how.clone();
    enrich(&cx.host, &config, &notes, &source, &mut how).await?;
    let promoted = notes.log.promote(&source, &how, cx.host.now())?;
    if let Some(Enriched::Failed(why)) = how.prompt.filter(|_| !promoted.known) {
        cx.out.say(&format!("warning: {}; the template was used", visible(&why)));
    }
    Ok(Made { source, promoted, moved: None })
}

/// The notes of a project that are kept like that, in the name of whoever its git signs with if nothing else is said. Asks git.
pub(crate) fn signed_log(git: &GitProject, config: &Config, keeping: Keeping, results: Option<SideBranch>) -> Ledger {
    Ledger::new(log(git.root(), keeping, || signer(git)), results, config)
}

/// The branch that results are committed to, if they are.
pub(crate) fn results(config: &Config, git: &GitProject) -> Result<Option<SideBranch>, CliError> {
    Ok(branch(config).map(|name| git.side_branch(name)).transpose()?)
}

fn branch(config: &Config) -> Option<&str> {
    Some(config.text(BRANCH)).filter(|name| !name.is_empty())
}

/// The one place where notes get their folder and their owner.
fn log(root: &Path, keeping: Keeping, otherwise: impl FnOnce() -> Owner) -> Log {
    Log::new(root).below(keeping.dir).by(keeping.owner.unwrap_or_else(otherwise))
}

fn signer(git: &GitProject) -> Owner {
    git.person_name().map_or_else(Owner::default, |name| Owner::of(&name))
}

impl From<NoteError> for CliError {
    fn from(error: NoteError) -> Self {
        let exit = match &error {
            NoteError::NotFound { .. } => Exit::NotFound,
            NoteError::Ambiguous { .. } | NoteError::Refused { .. } => Exit::Usage,
            NoteError::Broken(_) | NoteError::Io { .. } => Exit::Environment,
            _ => Exit::Internal,
        };
        Self::new(exit, chain(&error)).hint(error.hint())
    }
}

/// The key that names the branch of results.
const BRANCH: &str = "log.branch";

/// Commits that a note's context tells.
const COMMITS: usize = 5;
