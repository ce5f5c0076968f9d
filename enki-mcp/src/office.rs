//! Where calls are done: who calls, whether they may, and the tool itself.

use crate::activity::Activity;
use crate::answer::Answer;
use crate::backlog;
use crate::call::{self, Calls, Listed, Own, Who};
use crate::create;
use crate::dag::{self, Dag};
use crate::edit::{EditInput, Edited, edit};
use crate::failure::{Code, Failure};
use crate::find;
use crate::machines::{Machines, seen};
use crate::mail::{self, Post};
use crate::passes::{Alive, Attempt, Pass, Passes, Token};
use crate::project::Project;
use crate::report;
use crate::role::Role;
use crate::status::{Status, StatusInput};
use crate::steer;
use crate::stop;
use crate::task_list::{self, TaskList, TaskListInput};
use crate::told::Told;
use crate::tool::Tool;
use crate::worklog::{self, Asker};
use enki_core::advice::approval::Author;
use enki_core::mail::Address;
use enki_core::spec::PlanSpec;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Does the calls of all clients of one project. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Office {
    pub(crate) machines: Arc<dyn Machines>,
    pub(crate) project: Arc<dyn Project>,
    activity: Activity,
    passes: Passes,
    /// Where the project has mail.
    mail: Option<Post>,
    /// Where there are typed commands, and traces of calls.
    calls: Option<Calls>,
    /// Held from the reading of a file until its edit is in its place: an agent may call twice at once.
    editing: Arc<Mutex<()>>,
    /// Held from the check of steps that are added until they are.
    pub(crate) adding: Arc<Mutex<()>>,
}

/// Who calls, as far as that is known.
#[derive(Debug)]
enum Caller {
    /// With the origin of what it makes, if it is a conversation of Enki's own.
    Coordinator(Option<Arc<str>>),
    Attempt(Box<Attempt>, Alive),
}

impl Caller {
    /// The conversation of Enki's own that calls, if one does.
    fn conversation(&self) -> Option<&str> {
        if let Self::Coordinator(origin) = self { origin.as_deref() } else { None }
    }

    const fn role(&self) -> Role {
        match self {
            Self::Coordinator(_) => Role::Coordinator,
            Self::Attempt(_, alive) => alive.role,
        }
    }

    fn who(&self) -> Who {
        let attempt = match self {
            Self::Coordinator(_) => None,
            Self::Attempt(attempt, _) => Some(attempt.as_ref().into()),
        };
        Who { role: Some(self.role()), attempt }
    }

    /// Who it is to whoever keeps notes.
    const fn asker(&self) -> Asker {
        match self {
            Self::Coordinator(_) => Asker::Coordinator,
            Self::Attempt(attempt, _) => Asker::Agent(attempt.task),
        }
    }

    /// Where mail reaches it; `None` if it gets none, whatever its role.
    fn address(&self) -> Option<Address> {
        match self {
            Self::Coordinator(_) => Some(Address::Coordinator),
            Self::Attempt(attempt, alive) => (!alive.reviewed).then_some(Address::Worker(attempt.task)),
        }
    }
}

impl Office {
    /// An office over those machines, for plans of that project. Tokens are admitted to `passes`.
    #[must_use]
    pub fn new(machines: Arc<dyn Machines>, project: Arc<dyn Project>, activity: Activity, passes: Passes) -> Self {
        Self {
            machines,
            project,
            activity,
            passes,
            mail: None,
            calls: None,
            editing: Arc::default(),
            adding: Arc::default(),
        }
    }

    /// The same for a project whose agents write to each other.
    #[must_use]
    pub fn with_mail(self, post: Post) -> Self {
        Self { mail: Some(post), ..self }
    }

    /// The same with `enki_call`, and with traces of what is called and of what is refused.
    #[must_use]
    pub fn with_calls(self, calls: Calls) -> Self {
        Self { calls: Some(calls), ..self }
    }

    /// Submits a plan of that author, as `enki_execution_create` does a coordinator's: checked, completed by what the project is
    /// configured to, with a text for them. `origin` says where it comes from. Durable when it is answered.
    pub async fn submit(&self, spec: PlanSpec, origin: &str, author: Author) -> Answer {
        Answer::of(create::execution(self, spec, origin, author).await, create::Created::text)
    }

    /// Who may call.
    #[must_use]
    pub const fn passes(&self) -> &Passes {
        &self.passes
    }

    /// The tools that whoever holds that token may call now.
    ///
    /// # Errors
    ///
    /// If the machines cannot be asked. A token that is worth nothing has no tools, which is no error.
    pub async fn tools(&self, token: &Token) -> Result<Vec<Tool>, Failure> {
        match self.caller(token).await {
            Ok(caller) => Ok(self.tools_of(&caller).collect()),
            Err(failure) if matches!(failure.code(), Code::NotAllowed | Code::Stale) => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    }

    fn tools_of(&self, caller: &Caller) -> impl Iterator<Item = Tool> {
        let (role, mail) = (caller.role(), self.mail.is_some() && caller.address().is_some());
        let calls = self.calls.is_some();
        let there =
            move |tool: &Tool| (mail || !tool.is_mail()) && (calls || !matches!(tool, Tool::Call | Tool::Tools));
        Tool::ALL.into_iter().filter(move |tool| tool.allowed(role) && there(tool))
    }

    /// Does a call, if whoever holds that token may. The answer is true when it is given: what it says is done is
    /// durable.
    pub async fn call(&self, token: &Token, name: &str, arguments: Map<String, Value>) -> Answer {
        self.call_telling(token, name, arguments, &Told::default()).await
    }

    /// The same, with what is told before the answer. A call that [waits](Tool::waits) is given up if the future is dropped.
    pub async fn call_telling(&self, token: &Token, name: &str, arguments: Map<String, Value>, told: &Told) -> Answer {
        if let Err(wait) = self.passes.take(token) {
            return Answer::too_many(wait);
        }
        let caller = match self.caller(token).await {
            Ok(caller) => caller,
            Err(failure) => {
                tracing::warn!(tool = name, code = ?failure.code(), "a call was refused: its token gives no rights");
                let attempt = match self.passes.of(token) {
                    Some(Pass::Attempt(attempt)) => Some(Own::from(attempt.as_ref())),
                    _ => None,
                };
                self.refused(&Who { role: None, attempt }, name, &failure, arguments).await;
                return failure.into();
            }
        };
        let role = caller.role();
        let Some(tool) = Tool::named(name) else {
            let known: Vec<&str> = self.tools_of(&caller).map(Tool::name).collect();
            let shown: String = name.chars().take(60).collect();
            return Answer::Invalid { text: format!("no tool {shown:?}; there are {}", known.join(", ")) };
        };
        if !self.tools_of(&caller).any(|may| may == tool) {
            tracing::warn!(tool = name, role = role.as_str(), ?caller, "a call was refused: the role has no such tool");
            let message = if tool.allowed(role) && self.mail.is_none() {
                format!("{} is not there: mail is off in this project (mail.enabled)", tool.name())
            } else if tool.allowed(role) {
                format!("{} is not for the agents of a step that is reviewed", tool.name())
            } else {
                format!("{} is not for a {}", tool.name(), role.as_str())
            };
            let failure = Failure::new(Code::NotAllowed, message, "use the tools that are listed");
            self.refused(&caller.who(), name, &failure, arguments).await;
            return failure.into();
        }
        self.perform(caller, tool, arguments, told).await.unwrap_or_else(|text| Answer::Invalid { text })
    }

    /// Keeps that a call was refused, where people find it.
    async fn refused(&self, who: &Who, tool: &str, failure: &Failure, arguments: Map<String, Value>) {
        if let Some(calls) = &self.calls {
            calls.refused(who, tool, failure, Value::Object(arguments)).await;
        }
    }

    /// Who holds a token. Attempts are looked at in the machines: what they may ends with them.
    async fn caller(&self, token: &Token) -> Result<Caller, Failure> {
        match self.passes.of(token) {
            Some(Pass::Coordinator(origin)) => Ok(Caller::Coordinator(origin)),
            Some(Pass::Attempt(attempt)) => {
                let asked = attempt.clone();
                match seen(self.machines.as_ref(), move |engine| asked.alive(engine)).await? {
                    Some(alive) => Ok(Caller::Attempt(attempt, alive)),
                    None => Err(Failure::new(
                        Code::Stale,
                        format!("attempt {} of {} is over", attempt.number, attempt.task),
                        "nothing is to be done any more; what was captured of it is kept",
                    )),
                }
            }
            None => Err(Failure::new(
                Code::NotAllowed,
                "this session has no rights: what it was opened for has ended, or its token is wrong",
                "an agent needs nothing more; a person starts the server anew",
            )),
        }
    }

    async fn perform(
        &self,
        caller: Caller,
        tool: Tool,
        arguments: Map<String, Value>,
        told: &Told,
    ) -> Result<Answer, String> {
        if tool.is_worklog() {
            return self.worklog(caller.asker(), tool, arguments, told).await;
        }
        let machines = self.machines.as_ref();
        let origin = caller.conversation().unwrap_or(Role::Coordinator.as_str());
        Ok(match tool {
            Tool::Status => {
                let input: StatusInput = parse(tool, arguments)?;
                let unread = self.unread(&caller).await;
                Answer::of(self.status(input).await.map(|status| status.with_mail(unread)), Status::text)
            }
            Tool::TaskList => {
                let input: TaskListInput = parse(tool, arguments)?;
                Answer::of(self.task_list(input).await, TaskList::text)
            }
            Tool::Dag => {
                let input = parse(tool, arguments)?;
                Answer::of(dag::draw(machines, &input).await, Dag::text)
            }
            Tool::TaskCreate => {
                let input = parse(tool, arguments)?;
                Answer::of(create::task(self, input, origin).await, create::CreatedTask::text)
            }
            Tool::ExecutionCreate => {
                let input = parse(tool, arguments)?;
                Answer::of(create::execution(self, input, origin, Author::Coordinator).await, create::Created::text)
            }
            Tool::AddSteps => {
                let input = parse(tool, arguments)?;
                Answer::of(create::add_steps(self, input).await, create::Added::text)
            }
            Tool::QuickTask => {
                let input = parse(tool, arguments)?;
                Answer::of(create::quick(self, input).await, create::CreatedTask::text)
            }
            Tool::Resume => {
                let input = parse(tool, arguments)?;
                Answer::of(steer::resume(machines, &input, caller.conversation().is_none()).await, steer::Resumed::text)
            }
            Tool::Pause => {
                let input = parse(tool, arguments)?;
                Answer::of(steer::pause(machines, &input).await, steer::Paused::text)
            }
            Tool::Cancel => {
                let input = parse(tool, arguments)?;
                Answer::of(steer::cancel(machines, &input).await, steer::Cancelled::text)
            }
            Tool::StopAll => {
                let input = parse(tool, arguments)?;
                Answer::of(stop::stop_all(machines, input).await, stop::Stopped::text)
            }
            Tool::Retry => {
                let input = parse(tool, arguments)?;
                Answer::of(steer::retry(machines, &input).await, steer::Retried::text)
            }
            Tool::BacklogAdd => Answer::of(backlog::add(self, parse(tool, arguments)?).await, backlog::Kept::text),
            Tool::BacklogList => Answer::of(backlog::list(self, parse(tool, arguments)?).await, backlog::Listed::text),
            Tool::BacklogUpdate => {
                Answer::of(backlog::update(self, parse(tool, arguments)?).await, backlog::Kept::text)
            }
            Tool::BacklogRemove => {
                Answer::of(backlog::remove(self, parse(tool, arguments)?).await, backlog::Kept::text)
            }
            Tool::BacklogPick => {
                let input = parse(tool, arguments)?;
                Answer::of(backlog::pick(self, input, caller.conversation()).await, backlog::Picked::text)
            }
            Tool::Report => {
                let input = parse(tool, arguments)?;
                let unread = self.unread(&caller).await;
                let Caller::Attempt(attempt, alive) = caller else { return Ok(only_attempts(tool)) };
                let reported = report::report(machines, &self.activity, &attempt, alive.step, &input);
                Answer::of(reported.map(|reported| reported.with_mail(unread)), report::Reported::text)
            }
            Tool::Edit => {
                let input: EditInput = parse(tool, arguments)?;
                let (who, path) = (caller.who(), input.path.clone());
                let Caller::Attempt(attempt, _) = caller else { return Ok(only_attempts(tool)) };
                let turn = Arc::clone(&self.editing).lock_owned().await;
                let edited = tokio::task::spawn_blocking(move || {
                    let edited = edit(&attempt.workspace, &input);
                    // Also if nobody waits for the answer any more.
                    drop(turn);
                    edited
                });
                let edited = edited.await;
                let lost = |error| Failure::new(Code::Unavailable, format!("the edit broke: {error}"), "read the file");
                let edited = edited.unwrap_or_else(|error| Err(lost(error)));
                if let Err(failure) = &edited
                    && failure.code() == Code::SafetyBlocked
                {
                    let asked = Map::from_iter([("path".to_owned(), Value::String(path))]);
                    self.refused(&who, tool.name(), failure, asked).await;
                }
                Answer::of(edited, Edited::text)
            }
            Tool::MailSend
            | Tool::MailCheck
            | Tool::MailInbox
            | Tool::MailRead
            | Tool::MailReply
            | Tool::MailThread => {
                let (Some(post), Some(of)) = (&self.mail, caller.address()) else { return Ok(not_listed(tool)) };
                self.post(post, of, tool, arguments).await?
            }
            Tool::Call => {
                let Some(calls) = &self.calls else { return Ok(not_listed(tool)) };
                call::call(self, calls, caller.who(), caller.role(), arguments).await
            }
            Tool::Tools => {
                let input = parse(tool, arguments)?;
                Answer::of(Ok(call::list(caller.role(), &input)), Listed::text)
            }
            Tool::Note
            | Tool::Promote
            | Tool::Schedule
            | Tool::Enqueue
            | Tool::Execute
            | Tool::RunPrompt
            | Tool::QueueList
            | Tool::Tail
            | Tool::QueueCancel
            | Tool::Projects
            | Tool::NoteResolve
            | Tool::Trace => not_listed(tool),
        })
    }

    /// Notes and their queue.
    async fn worklog(
        &self,
        asker: Asker,
        tool: Tool,
        arguments: Map<String, Value>,
        told: &Told,
    ) -> Result<Answer, String> {
        Ok(match tool {
            Tool::Note => {
                let input = parse(tool, arguments)?;
                Answer::of(worklog::note(self, asker, input).await, worklog::Noted::text)
            }
            Tool::Promote => {
                Answer::of(worklog::promote(self, parse(tool, arguments)?).await, worklog::PromotedNote::text)
            }
            Tool::Schedule => Answer::of(worklog::schedule(self, parse(tool, arguments)?).await, worklog::Queued::text),
            Tool::Enqueue => Answer::of(worklog::enqueue(self, parse(tool, arguments)?).await, worklog::Queued::text),
            Tool::Execute => {
                let input = parse(tool, arguments)?;
                Answer::of(worklog::execute(self, input, told).await, worklog::Ran::text)
            }
            Tool::RunPrompt => {
                let input = parse(tool, arguments)?;
                Answer::of(worklog::prompt(self, input, told).await, worklog::Ran::text)
            }
            Tool::QueueList => {
                let input = parse(tool, arguments)?;
                Answer::of(worklog::list(self, asker, input).await, worklog::Entries::text)
            }
            Tool::Tail => {
                let input = parse(tool, arguments)?;
                Answer::of(worklog::tail(self, input, told).await, worklog::Tail::text)
            }
            Tool::QueueCancel => {
                Answer::of(worklog::cancel(self, parse(tool, arguments)?).await, worklog::GivenUp::text)
            }
            Tool::Projects => {
                let input = parse(tool, arguments)?;
                Answer::of(worklog::projects(self, input).await, worklog::KnownProjects::text)
            }
            Tool::NoteResolve => {
                let input = parse(tool, arguments)?;
                Answer::of(worklog::resolve(self, asker, input).await, worklog::FoundNote::text)
            }
            Tool::Trace => {
                let input = parse(tool, arguments)?;
                Answer::of(worklog::trace(self, asker, input).await, worklog::Chain::text)
            }
            _ => not_listed(tool),
        })
    }

    async fn post(
        &self,
        post: &Post,
        of: Address,
        tool: Tool,
        arguments: Map<String, Value>,
    ) -> Result<Answer, String> {
        Ok(match tool {
            Tool::MailSend => {
                let input = parse(tool, arguments)?;
                Answer::of(mail::send(self.machines.as_ref(), post, of, input).await, mail::Sent::text)
            }
            Tool::MailCheck => {
                let mail::NoInput {} = parse(tool, arguments)?;
                Answer::of(mail::check(post, of).await, mail::Checked::text)
            }
            Tool::MailInbox => {
                let mail::NoInput {} = parse(tool, arguments)?;
                Answer::of(mail::inbox(post, of).await, mail::Inbox::text)
            }
            Tool::MailRead => Answer::of(mail::read(post, of, &parse(tool, arguments)?).await, mail::Letter::text),
            Tool::MailReply => Answer::of(mail::reply(post, of, parse(tool, arguments)?).await, mail::Sent::text),
            Tool::MailThread => Answer::of(mail::thread(post, of, &parse(tool, arguments)?).await, mail::Thread::text),
            _ => not_listed(tool),
        })
    }

    /// How many messages wait for the caller, told beside what it asked; nothing fails by it.
    async fn unread(&self, caller: &Caller) -> Option<usize> {
        let (post, address) = (self.mail.as_ref()?, caller.address()?);
        matches!(caller.role(), Role::Coordinator | Role::Worker | Role::Reader).then_some(())?;
        mail::waiting(post, address).await.ok()
    }

    async fn status(&self, input: StatusInput) -> Result<Status, Failure> {
        let id = match &input.execution_id {
            Some(text) => Some(find::execution(self.machines.as_ref(), text).await?),
            None => None,
        };
        let activity = self.activity.clone();
        seen(self.machines.as_ref(), move |engine| Status::look(engine, id, &activity)).await
    }

    async fn task_list(&self, input: TaskListInput) -> Result<TaskList, Failure> {
        let id = match &input.execution_id {
            Some(text) => Some(find::execution(self.machines.as_ref(), text).await?),
            None => None,
        };
        let activity = self.activity.clone();
        let found = seen(self.machines.as_ref(), move |engine| task_list::Found::look(engine, id, &input, &activity));
        Ok(found.await?.into())
    }
}

/// What is not listed was refused before, so these are never seen; they are answers and no panics all the same.
fn only_attempts(tool: Tool) -> Answer {
    Failure::new(Code::NotAllowed, format!("{} is for agents", tool.name()), "use the tools that are listed").into()
}

fn not_listed(tool: Tool) -> Answer {
    Failure::new(Code::NotAllowed, format!("{} is not there", tool.name()), "use the tools that are listed").into()
}

/// Arguments that do not fit the schema are the client's mistake, and an error of the protocol.
fn parse<I: DeserializeOwned>(tool: Tool, arguments: Map<String, Value>) -> Result<I, String> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| {
        let error = error.to_string();
        let meant = meant(&error).map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        format!("arguments of {}: {error}{meant}; see its inputSchema", tool.name())
    })
}

/// The known name that is nearest to an unknown one, if the error is about one: it lists them between backticks.
fn meant(error: &str) -> Option<&str> {
    let rest = error.strip_prefix("unknown field `").or_else(|| error.strip_prefix("unknown variant `"))?;
    let mut names = rest.split('`').step_by(2);
    let given = names.next()?;
    enki_core::plan::nearest(given, names)
}
