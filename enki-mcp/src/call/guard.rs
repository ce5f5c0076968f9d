//! What holds for a call before anything of it runs, in the order of the specification: the first fault answers.

use super::code::CallCode::{NotAllowed, SafetyBlocked, TaskSessionNotFound, TaskSessionRequired, ValidationError};
use super::envelope::Refused;
use super::registry::{COMMANDS, Command, Does};
use crate::failure::quoted;
use crate::role::Role;
use enki_core::id::TaskId;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// How deep calls may be inside of others.
const DEEPEST: usize = 4;

/// How many calls may be inside of one.
const MOST: usize = 20;

/// A call as it was made, its own words and those of all that is inside of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) command: &'static Command,
    pub(crate) input: Map<String, Value>,
    pub(crate) parallel: bool,
    pub(crate) children: Vec<Result<Self, Refused>>,
    session: Option<String>,
}

/// What stands around the tool's name.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) asked: Asked,
    pub(crate) request_id: Option<String>,
    /// The session that it names itself.
    pub(crate) session: Option<String>,
    sessions_differ: bool,
}

/// A session that is open.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) task: TaskId,
    pub(crate) worktree: PathBuf,
}

impl Session {
    pub(crate) fn branch(&self) -> String {
        format!("task/{}", self.task)
    }
}

/// The session of a call, as far as it could be found.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    None,
    Unknown(String),
    Open(Session),
}

/// Step 1: a tool is named, and the rest is what a call has.
pub(crate) fn read(arguments: &Map<String, Value>) -> Result<Call, Refused> {
    let asked = Asked::read(arguments, 0)?;
    let text = |name: &str| match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refused::new(ValidationError, format!("{name} is no text"))),
    };
    if !matches!(arguments.get("dryRun"), None | Some(Value::Null | Value::Bool(_))) {
        return Err(Refused::new(ValidationError, "dryRun is neither true nor false"));
    }
    let fields = ["tool", "input", "taskSession", "requestId", "dryRun"];
    if let Some(other) = arguments.keys().find(|key| !fields.contains(&key.as_str())) {
        let message = format!("a call has no {}, only {}", quoted(other), fields.join(", "));
        return Err(Refused::new(ValidationError, message));
    }
    let session = text("taskSession")?.or_else(|| asked.session.clone());
    let sessions_differ = !asked.agrees(session.as_deref());
    Ok(Call { sessions_differ, request_id: text("requestId")?, session, asked })
}

impl Asked {
    fn read(call: &Map<String, Value>, depth: usize) -> Result<Self, Refused> {
        let Some(Value::String(name)) = call.get("tool") else {
            return Err(Refused::new(ValidationError, "tool is missing or no text; enki_tools lists them"));
        };
        let Some(command) = Command::named(name) else {
            let known = COMMANDS.iter().filter(|command| command.does.is_some()).map(|command| command.name);
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(Refused::new(ValidationError, format!("there is no tool {}, only {known}", quoted(name))));
        };
        let input = match call.get("input") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(input)) => input.clone(),
            Some(_) => return Err(Refused::new(ValidationError, "input is no object")),
        };
        let session = match input.get("taskSession") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(Refused::new(ValidationError, "input.taskSession is no text")),
        };
        let mut children = Vec::new();
        if command.does == Some(Does::Batch) && depth <= DEEPEST {
            let steps = input.get("steps").and_then(Value::as_array).into_iter().flatten();
            for step in steps.take(MOST + 1) {
                children.push(match step {
                    Value::Object(step) => Self::read(step, depth + 1),
                    _ => Err(Refused::new(ValidationError, "a step of a batch is no object")),
                });
            }
        }
        let parallel = call.get("parallel") == Some(&Value::Bool(true));
        Ok(Self { command, input, parallel, children, session })
    }

    /// It and all that is inside of it.
    fn all(&self) -> Vec<(&Self, usize)> {
        let mut all = vec![(self, 0)];
        let mut at = 0;
        while let Some((one, depth)) = all.get(at).copied() {
            all.extend(one.children.iter().flatten().map(|child| (child, depth + 1)));
            at += 1;
        }
        all
    }

    fn agrees(&self, session: Option<&str>) -> bool {
        self.all().into_iter().all(|(one, _)| one.session.is_none() || one.session.as_deref() == session)
    }
}

impl Call {
    /// Steps 2 and 3, which need nothing but the call.
    pub(crate) fn is_safe(&self) -> Result<(), Refused> {
        if self.sessions_differ {
            let message = "taskSession and input.taskSession differ, here or in a step inside";
            return Err(Refused::new(ValidationError, message));
        }
        for (one, depth) in self.asked.all() {
            if depth > 0 && one.command.durable {
                let message = format!("{} is called directly, and never inside of another call", one.command.name);
                return Err(Refused::new(SafetyBlocked, message));
            }
            if depth >= DEEPEST && one.command.does == Some(Does::Batch) {
                let message = format!("calls are at most {DEEPEST} deep inside of each other");
                return Err(Refused::new(SafetyBlocked, message));
            }
            let files = one.input.get("files").and_then(Value::as_array).into_iter().flatten();
            if let Some(path) = files.filter_map(Value::as_str).find(|path| !is_beneath(path)) {
                let message = format!("{} is not beneath the workspace", quoted(path));
                return Err(Refused::new(SafetyBlocked, message));
            }
        }
        Ok(())
    }

    /// Steps 4 to 7, with the session and the caller known. `own` is the task of an attempt that calls.
    pub(crate) fn may(&self, found: &Found, role: Role, own: Option<TaskId>) -> Result<Option<Session>, Refused> {
        let all = self.asked.all();
        if let Found::Open(session) = found {
            let other = |one: &Asked| match one.input.get("branch") {
                None | Some(Value::Null) => None,
                Some(branch) if branch.as_str() == Some(&session.branch()) => None,
                Some(branch) => Some(branch.to_string()),
            };
            if let Some(branch) = all.iter().find_map(|(one, _)| other(one)) {
                let message = format!("{} is not {}, the session's branch", quoted(&branch), session.branch());
                return Err(Refused::new(ValidationError, message));
            }
        }
        let session = match found {
            Found::None => match all.iter().find(|(one, _)| one.command.session) {
                Some((one, _)) => {
                    let message = format!("{} needs a session: give the id of a task as taskSession", one.command.name);
                    return Err(Refused::new(TaskSessionRequired, message));
                }
                None => None,
            },
            Found::Unknown(text) => {
                let message = format!("{} is no task that has a workspace", quoted(text));
                return Err(Refused::new(TaskSessionNotFound, message));
            }
            Found::Open(session) => Some(session.clone()),
        };
        if let Some((one, _)) = all.iter().find(|(one, _)| !one.command.allowed(role)) {
            return Err(Refused::new(NotAllowed, format!("{} is not for a {}", one.command.name, role.as_str())));
        }
        match (own, &session) {
            (Some(own), Some(session)) if own != session.task => {
                Err(Refused::new(NotAllowed, format!("{} is not your task", session.task)))
            }
            _ => Ok(session),
        }
    }

    /// Before anything runs: that there are not too many, and all inside are calls.
    pub(crate) fn is_whole(&self) -> Result<(), Refused> {
        let all = self.asked.all();
        if let Some(fault) = all.iter().find_map(|(one, _)| one.children.iter().find_map(|child| child.as_ref().err()))
        {
            return Err(fault.clone());
        }
        if all.len() > MOST + 1 {
            return Err(Refused::new(ValidationError, format!("at most {MOST} calls are inside of one")));
        }
        Ok(())
    }
}

/// Whether it is a plain path below a folder, as far as its text tells.
fn is_beneath(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git");
    !path.contains(['\0', '\\']) && !path.starts_with("file:") && path.split('/').all(plain)
}
