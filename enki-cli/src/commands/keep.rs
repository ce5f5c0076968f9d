//! `enki gc` and `enki recover`: what the project keeps, what of it may go, and the way back of pinned work.

use super::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::lock::ProjectLock;
use crate::look;
use crate::project::Project;
use crate::render::keep as shown;
use crate::session::open_to_read;
use crate::{sandbox, wire};
use enki_core::branch::Branch;
use enki_core::execution::EndStatus;
use enki_core::id::{ExecutionId, StepId, TaskId};
use enki_core::store::TaskStore;
use enki_vcs_git::{Freed, GitKeep, GitProject, Head, Item, Known, Life, Pin, Restored, Verdict};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What `enki gc` is asked for.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct GcArgs {
    /// Say what would go and what would stay, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Give up unmerged work of that execution or task, and nothing else: its commits are archived first
    #[arg(long, value_name = "ID")]
    pub(crate) drop: Vec<String>,
    /// Delete that archived commit for good, and nothing else
    #[arg(long, value_name = "COMMIT")]
    pub(crate) forget: Vec<String>,
}

/// What was kept, and what became of it.
pub(crate) struct Fate {
    pub(crate) item: Item,
    /// Whether it is gone, or would be.
    pub(crate) gone: bool,
    /// Why, in one line.
    pub(crate) why: String,
}

/// The project's keep, with the names of its tasks.
struct Kept {
    git: GitProject,
    keep: GitKeep,
    store: Option<Arc<dyn TaskStore>>,
    lives: BTreeMap<ExecutionId, Life>,
    names: Names,
}

/// Execution and step of each task.
pub(crate) type Names = BTreeMap<TaskId, (ExecutionId, StepId)>;

pub(super) async fn gc(cx: &mut Context, args: &GcArgs) -> Result<Exit, CliError> {
    let kept = Kept::open(cx).await?;
    if args.dry_run {
        let as_it_is = |item: Item| Fate { gone: item.verdict.may_go(), why: item.why.clone(), item };
        let fates: Vec<Fate> = kept.keep.survey()?.into_iter().map(as_it_is).collect();
        shown::gc(cx, &fates, &kept.names, true)?;
        return Ok(Exit::Ok);
    }
    let _lock = ProjectLock::require(&kept.git.ensure_enki_dir()?, &cx.host)?;
    // Only now nobody else changes what the store says.
    let kept = Kept::open(cx).await?;
    if args.drop.is_empty() && args.forget.is_empty() {
        let fates = kept.free(|item| item.verdict.may_go())?;
        shown::gc(cx, &fates, &kept.names, false)?;
        let left: Vec<&str> = fates.iter().filter(|fate| unmerged(fate)).map(|fate| &fate.item.id[..]).collect();
        if left.is_empty() {
            return Ok(Exit::Ok);
        }
        cx.out.say(&format!(
            "kept unmerged work of {}; `enki recover` lists it, `enki gc --drop {}` archives it and frees the rest",
            left.join(", "),
            left[0]
        ));
        return Ok(Exit::WouldLoseWork);
    }
    let mut fates = Vec::new();
    for id in &args.drop {
        fates.extend(kept.drop(id).await?);
    }
    for id in &args.forget {
        fates.push(kept.forget(id)?);
    }
    shown::gc(cx, &fates, &kept.names, false)?;
    let stays = fates.iter().any(|fate| !fate.gone);
    Ok(if stays { Exit::WouldLoseWork } else { Exit::Ok })
}

const fn unmerged(fate: &Fate) -> bool {
    !fate.gone && matches!(fate.item.verdict, Verdict::Unmerged { .. })
}

pub(super) async fn recover(cx: &mut Context, id: Option<&str>, branch: Option<&str>) -> Result<Exit, CliError> {
    let branch: Option<Branch> = branch.map(str::parse).transpose().map_err(|error: enki_core::id::InvalidId| {
        CliError::usage(format!("invalid value for --branch: {error}")).hint("name it as in `git branch NAME`")
    })?;
    if branch.as_ref().is_some_and(|branch| branch.remote().is_some()) {
        return Err(CliError::usage("--branch names a branch of a remote").hint("name a local branch"));
    }
    let kept = Kept::open(cx).await?;
    let lock = ProjectLock::take(&kept.git.ensure_enki_dir()?, &cx.host)?;
    if lock.is_ok() {
        for (task, why) in kept.keep.save_left()? {
            cx.out.note(&format!("the workspace of {task} could not be looked at: {why}"));
        }
    } else {
        cx.out.note("a run is at work: files that nobody captured yet are not looked at");
    }
    let pins = kept.keep.pins()?;
    let Some(id) = id else {
        shown::pins(cx, &pins, &kept.names)?;
        return Ok(Exit::Ok);
    };
    let pin = kept.pin(&pins, id).await?;
    let branch = match branch {
        Some(branch) => branch,
        None => default_branch(pin, &kept.names)?,
    };
    match kept.keep.restore(pin.commit, &branch)? {
        Restored::Yes => {}
        Restored::Taken(now) => {
            let message = format!("branch {branch} exists, at {}, and is never moved", now.short());
            return Err(CliError::usage(message).hint("name another one with --branch NAME"));
        }
    }
    if cx.out.json {
        let mut value = shown::pin(pin, &kept.names);
        value["schema"] = json!("enki.recover.v1");
        value["branch"] = json!(branch.as_str());
        cx.out.object(&value)?;
    } else {
        let commit = pin.commit.short();
        cx.out.line(&format!("branch {branch} is at {commit}: {}", crate::source::visible(&pin.title)))?;
        cx.out.note(&format!("nothing was checked out; look at it with: git show {branch}"));
    }
    Ok(Exit::Ok)
}

/// `recovered/<step>-<commit>`.
fn default_branch(pin: &Pin, names: &Names) -> Result<Branch, CliError> {
    let step = pin.task.map(|task| names.get(&task).map_or_else(|| task.hex(), |(_, step)| step.to_string()));
    let name = format!("recovered/{}-{}", step.as_deref().unwrap_or("work"), pin.commit.short());
    name.parse().map_err(|error: enki_core::id::InvalidId| CliError::new(Exit::Internal, error.to_string()))
}

impl Kept {
    async fn open(cx: &mut Context) -> Result<Self, CliError> {
        let git = wire::git(&cx.start_dir()?, &cx.host)?;
        let config = cx.config(Some(&Project { root: git.root().to_owned() }))?;
        let workspaces = wire::workspaces(&config, &cx.host, &git)?;
        if !config.text("workspace.teardown").trim().is_empty() {
            // It runs what agents left.
            git.confine_commands(sandbox::find(&config, &cx.host, &git)?.of_commands());
        }
        let store = open_to_read(&git.enki_dir())?;
        let (mut known, mut names) = (Known::default(), Names::new());
        if let Some(store) = &store {
            for summary in store.list(&look::listed(false, u32::MAX)).await? {
                let execution = look::load(store.as_ref(), summary.execution).await?;
                let life = match execution.ended() {
                    None => Life::Open,
                    Some(EndStatus::Failed) => Life::Failed,
                    Some(EndStatus::Done | EndStatus::Cancelled) => Life::Over,
                };
                known.executions.insert(execution.id(), life);
                known.targets.insert(execution.target().clone());
                for step in execution.plan().steps() {
                    let task = TaskId::of(execution.id(), &step.id);
                    known.tasks.insert(task, execution.id());
                    names.insert(task, (execution.id(), step.id.clone()));
                }
            }
        }
        if known.targets.is_empty()
            && let Head::Branch(branch, _) = git.head()
        {
            known.targets.insert(branch.clone());
        }
        let lives = known.executions.clone();
        Ok(Self { keep: workspaces.keep(known), git, store, lives, names })
    }

    /// Frees what may go, until nothing more may: what borrows goes before what it borrows from.
    fn free(&self, wanted: impl Fn(&Item) -> bool) -> Result<Vec<Fate>, CliError> {
        let mut gone: Vec<Fate> = Vec::new();
        loop {
            let (mut kept, mut more) = (Vec::new(), false);
            for item in self.keep.survey()? {
                let freed = if wanted(&item) {
                    match item.verdict {
                        Verdict::Unmerged { .. } | Verdict::Foreign => self.keep.give_up(&item),
                        _ => self.keep.free(&item),
                    }
                } else {
                    Ok(Freed::Stays(item.why.clone()))
                };
                match freed {
                    Ok(Freed::Gone) => {
                        more = true;
                        gone.push(Fate { gone: true, why: item.why.clone(), item });
                    }
                    Ok(Freed::Stays(why)) => kept.push(Fate { gone: false, why, item }),
                    // The others are not its fault, and nothing of it is lost.
                    Err(error) => kept.push(Fate { gone: false, why: error.to_string(), item }),
                }
            }
            // Each round frees something that is not there in the next.
            if !more || gone.len() > 100_000 {
                gone.append(&mut kept);
                return Ok(gone);
            }
        }
    }

    /// Gives up what a person named: it is archived, and goes.
    async fn drop(&self, id: &str) -> Result<Vec<Fate>, CliError> {
        let (execution, task) = self.named(id).await?;
        if let Some(execution) = execution
            && self.lives.get(&execution) == Some(&Life::Open)
        {
            return Err(CliError::new(
                Exit::WouldLoseWork,
                format!("{execution} is open, and nothing of it is dropped"),
            )
            .hint(format!("`enki cancel {execution}` gives it up first")));
        }
        let of = |item: &Item| match (execution, task) {
            (_, Some(task)) => item.task == Some(task),
            (Some(execution), None) => item.execution == Some(execution),
            (None, None) => item.id == id,
        };
        let fates = self.free(of)?;
        let fates: Vec<Fate> = fates.into_iter().filter(|fate| of(&fate.item)).collect();
        if fates.is_empty() { Err(nothing_of(id)) } else { Ok(fates) }
    }

    /// What an id on the command line stands for; nothing, if it may be one of an item without a row.
    async fn named(&self, id: &str) -> Result<(Option<ExecutionId>, Option<TaskId>), CliError> {
        let Some(store) = &self.store else { return Ok((None, id.parse().ok())) };
        match look::find(store.as_ref(), Some(id)).await {
            Ok(named) => {
                let execution = look::load(store.as_ref(), named.execution).await?;
                Ok((Some(named.execution), named.step.map(|ix| execution.task(ix))))
            }
            Err(error) if error.exit == Exit::NotFound => Ok((None, id.parse().ok())),
            Err(error) => Err(error),
        }
    }

    fn forget(&self, id: &str) -> Result<Fate, CliError> {
        let items = self.keep.survey()?;
        let archived = items.into_iter().filter(|item| item.verdict == Verdict::Archived);
        let mut found: Vec<Item> = archived.filter(|item| id.len() >= 4 && item.id.starts_with(id)).collect();
        let (Some(item), true) = (found.pop(), found.is_empty()) else {
            return Err(if found.is_empty() { nothing_of(id) } else { several(id) });
        };
        let commit = item.refs.first().map(|(_, commit)| *commit).ok_or_else(|| nothing_of(id))?;
        Ok(match self.keep.forget(commit)? {
            Freed::Gone => Fate { gone: true, why: "it was named to be forgotten".to_owned(), item },
            Freed::Stays(why) => Fate { gone: false, why, item },
        })
    }

    /// The pin that a commit's or a task's id means; of a task, its last attempt.
    async fn pin<'a>(&self, pins: &'a [Pin], id: &str) -> Result<&'a Pin, CliError> {
        let by_commit: Vec<&Pin> =
            pins.iter().filter(|pin| id.len() >= 4 && pin.commit.to_string().starts_with(id)).collect();
        match by_commit[..] {
            [pin] => return Ok(pin),
            [] => {}
            _ => return Err(several(id)),
        }
        match self.named(id).await? {
            (_, Some(task)) => {
                let of_task = pins.iter().filter(|pin| pin.task == Some(task));
                of_task.max_by_key(|pin| (pin.attempt, pin.at)).ok_or_else(|| nothing_of(id))
            }
            (Some(execution), None) => Err(CliError::usage(format!("{execution} may have several pinned attempts"))
                .hint("`enki recover` lists them; name a commit or a task")),
            (None, None) => Err(nothing_of(id)),
        }
    }
}

fn nothing_of(id: &str) -> CliError {
    let shown: String = id.chars().take(60).collect();
    CliError::new(Exit::NotFound, format!("nothing is kept under the name {shown:?}"))
        .hint("`enki gc --dry-run` and `enki recover` list what is kept")
}

fn several(id: &str) -> CliError {
    CliError::usage(format!("{id:?} may mean several commits")).hint("give more digits")
}
