//! Notes and their queue for the tools of the server: what the commands do, without a terminal, in any of the person's projects.

use super::project::failure;
use crate::args::Global;
use crate::commands::Context;
use crate::commands::{queue as entries, see};
use crate::error::CliError;
use crate::exit::Exit;
use crate::host::{Host, Terminals};
use crate::look;
use crate::moved::Moved;
use crate::notes::{self, Notes};
use crate::output::{Color, Out};
use crate::project::Project;
use crate::queue::list::{self, Filter, Status};
use crate::queue::wait::{self, Came, Idle, Leaving};
use crate::queue::{add, prompt, trace};
use crate::registry::{Registry, same};
use crate::session::open_to_read;
use crate::wire::Backends;
use enki_core::advice::approval::Author;
use enki_core::async_trait;
use enki_core::id::ExecutionId;
use enki_core::spec::AfterWhen;
use enki_core::tier::Tier;
use enki_mcp::{
    Asker, Chain, Code, Does, Entries, Entry, Errand, Failure, FoundNote, GivenUp, KnownProject, KnownProjects,
    NewNote, NoteKind, NoteSource, Noted, PromotedNote, Queued, Ran, Schedule, Tail, Told, Tool, Wanted,
};
use enki_notes::{Kind, NoteError, Promotion, Source};
use serde_json::{Map, Value};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

/// Notes and their queue, as seen from one project. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Worklog {
    root: PathBuf,
    backends: Backends,
    /// Without streams.
    host: Arc<Mutex<Host>>,
    /// For calls that wait: each has a thread of its own.
    waits: Arc<Semaphore>,
}

impl fmt::Debug for Worklog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worklog").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A project that a call is about.
#[derive(Clone, Debug)]
struct At {
    id: String,
    root: PathBuf,
}

impl At {
    /// Where notes went.
    fn of(moved: Moved) -> Self {
        Self { id: moved.project, root: moved.root }
    }
}

impl Worklog {
    pub(crate) fn new(root: PathBuf, cx: &Context) -> Self {
        let (backends, host) = (cx.backends.clone(), Arc::new(Mutex::new(cx.host.without_streams())));
        Self { root, backends, host, waits: Arc::new(Semaphore::new(WAITS)) }
    }

    /// What a call of one of these tools needs of the server's own project: for another one nobody has to drive this.
    pub(super) async fn does(&self, tool: Tool, arguments: &Map<String, Value>) -> Does {
        let text = |key: &str| arguments.get(key).and_then(Value::as_str).map(str::to_owned);
        let own = match tool {
            Tool::Note if arguments.get("auto_dispatch") != Some(&Value::Bool(true)) => return tool.does(),
            Tool::Note => self.is_own(text("project_id")).await,
            Tool::Schedule | Tool::RunPrompt => self.is_own(text("project")).await,
            Tool::Enqueue | Tool::Execute => match text("task_path") {
                Some(path) => self
                    .at_desk(async move |this, cx| this.of_note(cx, &path))
                    .await
                    .is_ok_and(|at| at.root == self.root),
                None => true,
            },
            tool => return tool.does(),
        };
        // What cannot be found is told by the call itself, for which nobody has to drive.
        if own { Does::Starts } else { Does::Writes }
    }

    async fn is_own(&self, named: Option<String>) -> bool {
        let Some(named) = named else { return false };
        self.at_desk(async move |this, cx| this.of_name(cx, &named)).await.is_ok_and(|at| at.root == self.root)
    }

    /// Does something where it may block, and where what commands work with may be held.
    async fn at_desk<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(Self, &mut Context) -> Result<T, CliError> + Send + 'static,
    ) -> Result<T, Failure> {
        let (this, handle) = (self.clone(), Handle::current());
        let done = tokio::task::spawn_blocking(move || {
            let mut cx = this.context();
            handle.block_on(work(this, &mut cx))
        });
        match done.await {
            Ok(done) => done.map_err(|error| failure(&error)),
            Err(error) => Err(Failure::new(Code::Unavailable, error.to_string(), "please report this")),
        }
    }

    /// The same for what waits. What it is given tells when nobody wants the answer any more: then it still goes on to its end.
    async fn waiting<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(Self, &mut Context, &mut mpsc::Receiver<()>) -> Result<T, CliError> + Send + 'static,
    ) -> Result<T, Failure> {
        let Ok(turn) = Arc::clone(&self.waits).try_acquire_owned() else {
            let hint = "let one of them end, or use enki_schedule, which waits for nothing; nothing was started";
            return Err(Failure::new(Code::Unavailable, format!("{WAITS} calls wait already"), hint));
        };
        let (wanted, mut left) = mpsc::channel::<()>(1);
        let done = self.at_desk(async move |this, cx| {
            let done = work(this, cx, &mut left).await;
            drop(turn);
            done
        });
        let done = done.await;
        drop(wanted);
        done
    }

    /// What commands work with, in the server's own project.
    fn context(&self) -> Context {
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner).without_streams();
        let out = Out::new(Box::new(std::io::sink()), Box::new(std::io::sink()), Terminals::default());
        let global = Global {
            dir: Some(self.root.clone()),
            named: None,
            json: false,
            quiet: true,
            verbose: 0,
            color: Color::Never,
        };
        Context { host, out, global, backends: self.backends.clone() }
    }

    fn own(&self, cx: &Context) -> At {
        let registry = Registry::load(&cx.host).ok();
        let id = registry.map_or_else(|| ".".to_owned(), |all| all.name_of(&self.root));
        At { id, root: self.root.clone() }
    }

    /// The project of that name.
    fn of_name(&self, cx: &Context, name: &str) -> Result<At, CliError> {
        let own = self.own(cx);
        if name == "." || name == own.id {
            return Ok(own);
        }
        let registry = Registry::load(&cx.host)?;
        let root = registry.root(name)?.to_owned();
        Ok(At { id: name.to_owned(), root: if same(&root, &self.root) { self.root.clone() } else { root } })
    }

    /// All projects whose folder is there, the own one first.
    fn all(&self, cx: &Context) -> Vec<At> {
        let registry = Registry::load(&cx.host).map(|registry| registry.projects).unwrap_or_default();
        let others = registry.into_iter().map(|(id, one)| At { id, root: one.root });
        let others = others.filter(|at| at.root.is_dir() && !same(&at.root, &self.root));
        std::iter::once(self.own(cx)).chain(others).collect()
    }

    /// The project of a note: the own one if it is there, else the only other that has it.
    fn of_note(&self, cx: &Context, text: &str) -> Result<At, CliError> {
        let mut found = Vec::new();
        for at in self.all(cx) {
            match Notes::read(&cx.host, &at.root).and_then(|log| Ok(log.find(text)?)) {
                Ok(_) if at.root == self.root => return Ok(at),
                Ok(_) => found.push(at),
                Err(error) if at.root == self.root && error.exit != Exit::NotFound => return Err(error),
                // What another project has of it is not what is meant here.
                Err(_) => {}
            }
        }
        only(found, || NoteError::NotFound { text: text.to_owned() }.into(), text)
    }

    /// The project of an entry, or of the note of one.
    async fn of_entry(&self, cx: &Context, text: &str) -> Result<At, CliError> {
        if let Ok(at) = self.of_note(cx, text) {
            return Ok(at);
        }
        let mut found = Vec::new();
        for at in self.all(cx) {
            let Some(store) = open_to_read(&at.root.join(".enki"))? else { continue };
            match look::find(store.as_ref(), Some(text)).await {
                Ok(_) if at.root == self.root => return Ok(at),
                Ok(_) => found.push(at),
                Err(error) if at.root == self.root && error.exit != Exit::NotFound => return Err(error),
                Err(_) => {}
            }
        }
        only(found, || look::not_found(text), text)
    }

    /// Lets a command act in that project.
    fn go(cx: &mut Context, at: &At) {
        cx.global.dir = Some(at.root.clone());
    }

    /// Waits for an entry of a project, and tells what came of it.
    async fn ran(
        self,
        cx: &mut Context,
        at: At,
        (id, known, notes): (ExecutionId, bool, Vec<String>),
        left: &mut mpsc::Receiver<()>,
        told: Told,
    ) -> Result<Ran, CliError> {
        // In its own project somebody drives, or the call is asked again of who does.
        let idle = if at.root == self.root { Idle::Leave } else { Idle::Drive };
        let how = wait::How { idle, leaving: Leaving::Cancels };
        let state = wait::wait(cx, id, how, left, &mut |_, line| told.say(line)).await?;
        let Came { status, tasks, output, reasons, results } = wait::came(cx, &state).await?;
        let entry = Queued {
            project: at.id,
            queue_id: id.short(),
            execution_id: id.hex(),
            status: status.to_owned(),
            known,
            task_paths: tasks,
            notes,
        };
        Ok(Ran { entry, output, reasons, result_paths: results })
    }
}

/// The only one of several projects.
fn only(mut found: Vec<At>, none: impl FnOnce() -> CliError, text: &str) -> Result<At, CliError> {
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(none()),
        _ => {
            let names: Vec<String> = found.into_iter().map(|at| at.id).collect();
            Err(CliError::usage(format!("{text:?} is in several projects: {}", names.join(", ")))
                .hint("give the whole path of the one that you mean"))
        }
    }
}

/// What is told of an entry that was put in.
fn queued(at: &At, added: add::Added) -> Queued {
    let project = added.moved.map_or_else(|| at.id.clone(), |moved| moved.project);
    let mut notes = added.notes;
    if !added.driven {
        notes.push(format!("nobody drives {project} now; a person does with `enki up` or `enki queue run`"));
    }
    Queued {
        project,
        queue_id: added.id.short(),
        execution_id: added.id.hex(),
        status: added.status,
        known: added.known,
        task_paths: added.tasks,
        notes,
    }
}

fn word(tier: Option<Tier>) -> Option<String> {
    tier.map(|tier| tier.as_str().to_owned())
}

/// An agent sees its own project alone.
fn own_alone(this: &Worklog, asker: Asker, at: &At) -> Result<(), CliError> {
    if asker == Asker::Coordinator || at.root == this.root {
        return Ok(());
    }
    let refused = CliError::usage(format!("{} is not the project that you work in", at.id));
    Err(CliError { code: Some(Code::NotAllowed), ..refused.hint("leave the project out") })
}

#[async_trait]
impl enki_mcp::Worklog for Worklog {
    async fn note(&self, asker: Asker, note: NewNote) -> Result<Noted, Failure> {
        let known = self.clone();
        let name = note.project.clone();
        let written = self.at_desk(async move |this, cx| {
            let at = this.of_name(cx, &note.project)?;
            Self::go(cx, &at);
            let promotion = promotion(None, note.model.clone(), note.tier);
            let new = notes::NewNote {
                text: note.text,
                kind: note.kind.map(|kind| match kind {
                    NoteKind::Idea => Kind::Idea,
                    NoteKind::Issue => Kind::Issue,
                    NoteKind::Observation => Kind::Observation,
                    NoteKind::Task => Kind::Task,
                }),
                source: match note.source {
                    NoteSource::AgentObservation => Source::AgentObservation,
                    NoteSource::Conversation => Source::Conversation,
                    NoteSource::AgentExecution => Source::AgentExecution,
                    NoteSource::Voice => Source::Voice,
                },
                stream: note.stream,
                task_id: match asker {
                    Asker::Agent(task) => Some(task.to_string()),
                    Asker::Coordinator => None,
                },
                model: note.model,
                tier: word(note.tier),
            };
            let (path, capture_id) = notes::write(cx, new)?;
            let entry = if note.run {
                Some(queued(&at, add::dispatch(cx, &path, &promotion, Author::Coordinator).await?))
            } else {
                None
            };
            let kind = path.kind().as_str().to_owned();
            Ok(Noted { project: at.id, path: path.to_string(), kind, capture_id, entry })
        });
        written.await.map_err(|failure| known.with_known(failure, &name))
    }

    async fn promote(
        &self,
        source: String,
        goal: Option<String>,
        model: Option<String>,
        tier: Option<Tier>,
    ) -> Result<PromotedNote, Failure> {
        self.at_desk(async move |this, cx| {
            let at = this.of_note(cx, &source)?;
            Self::go(cx, &at);
            let made = notes::promote(cx, &source, &promotion(goal, model, tier)).await?;
            Ok(PromotedNote {
                project: made.moved.map_or(at.id, |moved| moved.project),
                task_path: made.promoted.task.to_string(),
                source_path: made.source.to_string(),
                known: made.promoted.known,
            })
        })
        .await
    }

    async fn schedule(&self, ask: Schedule) -> Result<Queued, Failure> {
        let name = ask.project.clone().unwrap_or_default();
        let scheduled = self.at_desk(async move |this, cx| {
            let at = match (&ask.project, ask.tasks.first()) {
                (Some(name), _) => this.of_name(cx, name)?,
                (None, Some(task)) => this.of_note(cx, task)?,
                (None, None) => return Err(CliError::usage("no task is named")),
            };
            Self::go(cx, &at);
            let when = if ask.after_any.is_some() { AfterWhen::Any } else { AfterWhen::Success };
            let how = crate::queue::How {
                at: ask.at.filter(|at| at != "now"),
                after: ask.after.or(ask.after_any).map(|id| (id, when)),
                timeout: ask.timeout,
                model: ask.model,
                tier: ask.tier,
                last: None,
                target: None,
            };
            let added = add::add(cx, &ask.tasks, &how, Author::Coordinator).await?;
            Ok(queued(&at, added))
        });
        scheduled.await.map_err(|failure| self.with_known(failure, &name))
    }

    async fn execute(&self, task: String, told: Told) -> Result<Ran, Failure> {
        self.waiting(async move |this, cx, left| {
            let at = this.of_note(cx, &task)?;
            Self::go(cx, &at);
            let added = add::add(cx, &[task], &crate::queue::How::default(), Author::Coordinator).await?;
            let at = added.moved.map_or(at, At::of);
            this.ran(cx, at, (added.id, added.known, added.notes), left, told).await
        })
        .await
    }

    async fn prompt(&self, errand: Errand, told: Told) -> Result<Ran, Failure> {
        let name = errand.project.clone();
        let ran = self.waiting(async move |this, cx, left| {
            let at = this.of_name(cx, &errand.project)?;
            Self::go(cx, &at);
            let Errand { prompt, model, write, request_id, .. } = errand;
            let wanted = prompt::Errand { prompt, model, write, key: request_id };
            let (id, notes) = prompt::put_in(cx, wanted, Author::Coordinator).await?;
            this.ran(cx, at, (id, false, notes), left, told).await
        });
        ran.await.map_err(|failure| self.with_known(failure, &name))
    }

    async fn entries(&self, asker: Asker, wanted: Wanted) -> Result<Entries, Failure> {
        let name = wanted.project.clone().unwrap_or_default();
        let listed = self.at_desk(async move |this, cx| {
            let at = match &wanted.project {
                Some(name) => this.of_name(cx, name)?,
                None => this.own(cx),
            };
            own_alone(&this, asker, &at)?;
            let filter = Filter {
                status: wanted.status.as_deref().map_or_else(Status::default, Status::named),
                since: wanted.since.map(|since| list::since(&since, cx.host.now())).transpose()?,
                query: wanted.query,
            };
            let project = Project { root: at.root.clone() };
            let mut found = list::entries(&cx.host, &project, &filter).await?;
            // Nothing here was made by a schedule.
            found.retain(|_| wanted.schedule_id.is_none());
            let total = found.len();
            Ok(Entries { project: at.id, entries: found.into_iter().take(SHOWN).map(entry).collect(), total })
        });
        listed.await.map_err(|failure| self.with_known(failure, &name))
    }

    async fn tail(&self, of: String, follow: bool, told: Told) -> Result<Tail, Failure> {
        self.waiting(async move |this, cx, left| {
            let at = this.of_entry(cx, &of).await?;
            Self::go(cx, &at);
            let id = entries::entry(cx, of)?;
            let project = Project::require(&at.root)?;
            let store = open_to_read(&project.state_dir())?.ok_or_else(|| look::not_found(&id))?;
            let named = look::find(store.as_ref(), Some(&id)).await?;
            if follow {
                let how = wait::How { idle: Idle::Leave, leaving: Leaving::Leaves };
                match wait::wait(cx, named.execution, how, left, &mut |_, line| told.say(line)).await {
                    // With nobody driving nothing follows.
                    Ok(_) => {}
                    Err(error) if wait::is_idle(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            let state = look::load(store.as_ref(), named.execution).await?;
            let (lines, cut) = see::last_lines(&project, &store, named.execution, LINES).await?;
            let status = list::shown(&state).to_owned();
            Ok(Tail { project: at.id, queue_id: named.execution.short(), status, lines, cut })
        })
        .await
    }

    async fn give_up(&self, queue_id: String) -> Result<GivenUp, Failure> {
        self.at_desk(async move |this, cx| {
            let at = this.of_entry(cx, &queue_id).await?;
            Self::go(cx, &at);
            let (done, _) = entries::give_up(cx, queue_id).await?;
            let execution = done.executions.first().and_then(|id| id.parse::<ExecutionId>().ok());
            let short = execution.map(|id| id.short()).or_else(|| done.executions.first().cloned());
            let short = short.unwrap_or_default().trim_start_matches("exec-").to_owned();
            Ok(GivenUp { project: at.id, queue_id: short, status: done.status })
        })
        .await
    }

    async fn projects(&self) -> Result<KnownProjects, Failure> {
        self.at_desk(async move |this, cx| {
            let registry = Registry::load(&cx.host)?;
            let own = this.own(cx);
            let one = |(id, one): (&String, &crate::registry::Registered)| KnownProject {
                id: id.clone(),
                root: one.root.display().to_string(),
                stream: one.stream.clone(),
                model: one.model.clone(),
                current: same(&one.root, &this.root),
                there: one.root.is_dir(),
            };
            let mut projects: Vec<KnownProject> = registry.projects.iter().map(one).collect();
            if projects.iter().all(|one| !one.current) {
                let (root, current) = (this.root.display().to_string(), true);
                let here = KnownProject { id: own.id, root, stream: None, model: None, current, there: true };
                projects.insert(0, here);
            }
            Ok(KnownProjects { projects })
        })
        .await
    }

    async fn resolve(&self, asker: Asker, id: String) -> Result<FoundNote, Failure> {
        self.at_desk(async move |this, cx| {
            let at = match asker {
                Asker::Coordinator => this.of_note(cx, &id)?,
                Asker::Agent(_) => this.own(cx),
            };
            let log = Notes::read(&cx.host, &at.root)?;
            let path = log.find(&id)?;
            let head = log.read(&path)?.head();
            let kind = path.kind().as_str().to_owned();
            Ok(FoundNote { path: path.to_string(), project: at.id, kind, status: head.status, title: head.title })
        })
        .await
    }

    async fn trace(&self, asker: Asker, what: String) -> Result<Chain, Failure> {
        self.at_desk(async move |this, cx| {
            let places = match asker {
                Asker::Coordinator => match this.of_entry(cx, &what).await {
                    Ok(at) => vec![at],
                    // It may be a commit.
                    Err(error) if error.exit == Exit::NotFound => this.all(cx),
                    Err(error) => return Err(error),
                },
                Asker::Agent(_) => vec![this.own(cx)],
            };
            let (mut found, mut none) = (Vec::new(), None);
            for at in places {
                let own = at.root == this.root;
                match chain(cx, &at, &what).await {
                    Ok(chain) if own => return Ok(chain),
                    Ok(_) => found.push(at),
                    Err(error) if own && error.exit != Exit::NotFound => return Err(error),
                    Err(error) => drop(none.get_or_insert(error)),
                }
            }
            let at = only(found, || none.unwrap_or_else(|| look::not_found(&what)), &what)?;
            chain(cx, &at, &what).await
        })
        .await
    }
}

impl Worklog {
    /// A project that is not known, with those that are.
    fn with_known(&self, failure: Failure, name: &str) -> Failure {
        if failure.code() != Code::NotFound || !failure.to_string().contains(&format!("no project {name:?}")) {
            return failure;
        }
        let cx = self.context();
        let mut ids: Vec<String> =
            Registry::load(&cx.host).map(|all| all.projects.into_keys().collect()).unwrap_or_default();
        let own = self.own(&cx).id;
        if !ids.contains(&own) {
            ids.insert(0, own);
        }
        failure.with_candidates(ids)
    }
}

/// What belongs together in that project.
async fn chain(cx: &Context, at: &At, what: &str) -> Result<Chain, CliError> {
    let store = open_to_read(&at.root.join(".enki"))?;
    let log = Notes::read(&cx.host, &at.root)?;
    let found = trace::trace(&log, store.as_deref(), what).await?;
    Ok(Chain { project: at.id.clone(), lines: found.lines(), chain: found.object() })
}

fn promotion(goal: Option<String>, model: Option<String>, tier: Option<Tier>) -> Promotion {
    let mut how = Promotion::default();
    (how.goal, how.model, how.tier) = (goal, model, word(tier));
    how
}

fn entry(one: list::Entry) -> Entry {
    Entry {
        queue_id: one.id.short(),
        execution_id: one.id.hex(),
        title: one.title,
        status: one.status.to_owned(),
        task_paths: one.notes.iter().map(ToString::to_string).collect(),
        created_at: one.created,
        started_at: one.started,
        finished_at: one.finished,
        scheduled_at: one.at,
        after: one.after.map(|id| id.hex()),
        steps: one.tiers.len(),
        timeout_s: one.timeouts.into_iter().map(|limit| limit.seconds).collect(),
        tiers: one.tiers.into_iter().map(str::to_owned).collect(),
        models: one.models,
        session_ids: one.sessions,
        log_path: one.logs.display().to_string(),
        result_notes: one.results,
    }
}

/// Most calls that wait at once.
const WAITS: usize = 32;

/// Most entries, and most lines of one, in an answer.
const SHOWN: usize = 200;
const LINES: usize = 200;
