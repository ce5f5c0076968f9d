//! The side that drives.

use super::{MAX_MESSAGE, Request, answer, reachable, socket_path, token};
use crate::commands::mcp::attempts::random_token;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::render;
use crate::steer::{self, Action};
use enki_core::advice::approval::Author;
use enki_core::driver::{NoticeKind, Orchestrator};
use enki_core::engine::Event;
use enki_core::id::{ExecutionId, StepIx};
use enki_core::store::{LogId, TaskStore};
use enki_mcp::{Activity, Bucket, Line, Lines, Office, Token, Told, Tool};
use enki_process::{Descent, Marker, descent};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Listens while this process drives.
#[derive(Debug)]
pub(crate) struct Server {
    tasks: Vec<JoinHandle<()>>,
    path: std::path::PathBuf,
    closing: watch::Sender<bool>,
}

/// What answers.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) store: Arc<dyn TaskStore>,
    pub(crate) activity: Activity,
    pub(crate) office: Office,
    /// The mark of the project's agents.
    pub(crate) marker: Marker,
}

impl Server {
    /// Starts to listen. The caller holds the project lock, so a socket that is there is a dead one.
    pub(crate) fn start(enki_dir: &Path, service: Service) -> Result<Self, CliError> {
        let path = socket_path(enki_dir);
        let cannot = |error: std::io::Error| {
            CliError::environment(format!("cannot listen on {}: {error}", path.display()))
                .hint("check the folder's permissions and its file system")
        };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
            _ => {}
        }
        let (short, _folder) = reachable(enki_dir).map_err(cannot)?;
        let listener = UnixListener::bind(short).map_err(cannot)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, mode).map_err(cannot)?;
        let owner: Arc<str> = token(enki_dir)?.into();
        let (closing, closes) = watch::channel(false);
        let follow = tokio::spawn(service.activity.clone().follow(service.orchestrator.clone()));
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(service.clone().serve(stream, Arc::clone(&owner), closes.clone()));
            }
        });
        Ok(Self { tasks: vec![follow, accept], path, closing })
    }

    /// Stops to listen. What was asked is still answered.
    pub(crate) fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        // Nobody may be connected.
        let _ = self.closing.send(true);
        // One that is left is found dead by the next.
        drop(fs::remove_file(&self.path));
    }
}

impl Service {
    async fn serve(self, stream: UnixStream, owner: Arc<str>, mut closes: watch::Receiver<bool>) {
        let peer = stream.peer_cred().ok();
        let (read, mut write) = stream.into_split();
        let (mut lines, mut bucket) = (Lines::new(read, MAX_MESSAGE), Bucket::default());
        let mut begun: Vec<Token> = Vec::new();
        // What came while a call was waited for.
        let mut early = None;
        loop {
            let line = match early.take() {
                Some(line) => Ok(Some(line)),
                None => tokio::select! {
                    line = lines.next() => line,
                    _ = closes.wait_for(|closing| *closing) => break,
                },
            };
            let request = match line {
                Ok(Some(Line::Whole(line))) => serde_json::from_slice::<Request>(&line).map_err(|_| "not a request"),
                Ok(Some(Line::TooLong)) => Err("a request is longer than 5 MiB"),
                // Half a request asks for nothing.
                Ok(Some(Line::Rest(_)) | None) | Err(_) => break,
            };
            let request = match request {
                Ok(request) => request,
                Err(message) => {
                    let refused = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": message}});
                    drop(send(&mut write, &refused).await);
                    break;
                }
            };
            let id = request.id;
            if let Err(wait) = bucket.take() {
                let refused = CliError::new(Exit::Locked, "too many calls on this connection; nothing was done")
                    .hint(format!("try again in {} ms", wait.as_millis()));
                if send(&mut write, &answer(id, Err(refused))).await.is_err() {
                    break;
                }
                continue;
            }
            let result = match request.method.as_str() {
                "tools" => self.tools(request.token).await,
                "call" if waits(&request.params) => {
                    match self.wait(request.token, request.params, &mut lines, &mut write).await {
                        Some((result, next)) => {
                            early = next;
                            result
                        }
                        // Whoever asked has gone.
                        None => break,
                    }
                }
                "call" => self.call(request.token, request.params, &Told::default()).await,
                method => {
                    if let Err(refused) = self.is_person(&request.token, &owner, peer.as_ref(), method) {
                        drop(send(&mut write, &answer(id, Err(refused))).await);
                        break;
                    }
                    match method {
                        "session" => self.session(&mut begun, request.params["conversation"].as_str()),
                        "submit" => self.submit(request.params).await,
                        "steer" => self.steer(request.params).await,
                        "activity" => self.current(request.params).await,
                        "notices" => self.notices(&mut write).await,
                        "watch" => self.watch(&request.params, &mut write).await,
                        other => Err(CliError::usage(format!("unknown method {other:?}"))),
                    }
                }
            };
            if send(&mut write, &answer(id, result)).await.is_err() {
                break;
            }
        }
        begun.iter().for_each(|token| self.office.passes().dismiss(token));
    }

    /// Whether a caller may do what a person may. The token alone is no proof: agents run as the same user, and can read
    /// it unless something hides it from them. So the kernel is asked who calls.
    fn is_person(&self, shown: &str, owner: &str, peer: Option<&UCred>, method: &str) -> Result<(), CliError> {
        if shown != owner {
            return Err(CliError::usage("the caller did not show the project's owner token")
                .hint("call enki as the user who owns the project"));
        }
        if !cfg!(target_os = "linux") {
            return Ok(());
        }
        let root = peer.is_some_and(|peer| peer.uid() == 0) && !rustix::process::getuid().is_root();
        let pid = peer.and_then(|peer| peer.pid()).and_then(|pid| u32::try_from(pid).ok());
        let descent = pid.map_or(Descent::Unknown, |pid| descent(pid, &self.marker));
        if root || descent == Descent::Foreign {
            return Ok(());
        }
        tracing::warn!(method, ?pid, ?descent, "an agent, or a process that hides itself, showed the owner's token");
        Err(CliError::usage("only a person may do that, and the caller was started by an agent of this project")
            .hint("an agent calls the tools that its own server lists"))
    }

    /// A token for a coordinator, as long as the connection lasts.
    fn session(&self, begun: &mut Vec<Token>, conversation: Option<&str>) -> Result<Value, CliError> {
        let token =
            random_token().map_err(|error| CliError::environment(format!("cannot read random bits: {error}")))?;
        match conversation {
            Some(conversation) => self.office.passes().admit_conversation(token.clone(), conversation),
            None => self.office.passes().admit_coordinator(token.clone()),
        }
        begun.push(token.clone());
        Ok(json!({"token": token.secret()}))
    }

    async fn tools(&self, token: String) -> Result<Value, CliError> {
        let tools = self.office.tools(&token.into()).await;
        let tools = tools.map_err(|failure| CliError::new(Exit::Locked, failure.to_string()))?;
        Ok(json!(tools))
    }

    /// A call that waits for agents: what it tells is sent on, and it is given up when the connection ends. `None` if it has;
    /// else with the line that came next.
    async fn wait<R: AsyncRead + Unpin>(
        &self,
        token: String,
        params: Value,
        lines: &mut Lines<R>,
        write: &mut (impl AsyncWriteExt + Unpin),
    ) -> Option<(Result<Value, CliError>, Option<Line>)> {
        let (told, mut heard) = Told::channel();
        let call = self.call(token, params, &told);
        tokio::pin!(call);
        let mut next = None;
        loop {
            tokio::select! {
                result = &mut call => return Some((result, next)),
                Some(line) = heard.recv() => {
                    let message = json!({"jsonrpc": "2.0", "method": "told", "params": {"told": line}});
                    send(write, &message).await.ok()?;
                }
                line = lines.next(), if next.is_none() => match line {
                    Ok(Some(Line::Rest(_)) | None) | Err(_) => return None,
                    Ok(line) => next = line,
                },
            }
        }
    }

    async fn call(&self, token: String, mut params: Value, told: &Told) -> Result<Value, CliError> {
        let name = params["tool"].as_str().unwrap_or_default().to_owned();
        let Value::Object(arguments) = params["arguments"].take() else {
            return Err(CliError::usage("arguments are no object"));
        };
        Ok(json!(self.office.call_telling(&token.into(), &name, arguments, told).await))
    }

    /// Takes the plan of a person, or of a coordinator for them, from where they say.
    async fn submit(&self, mut params: Value) -> Result<Value, CliError> {
        let spec = serde_json::from_value(params["plan"].take())
            .map_err(|error| CliError::usage(format!("this orchestrator does not know that: {error}")))?;
        let author = if params["by"] == "coordinator" { Author::Coordinator } else { Author::Person };
        Ok(json!(self.office.submit(spec, params["origin"].as_str().unwrap_or("cli"), author).await))
    }

    async fn steer(&self, params: Value) -> Result<Value, CliError> {
        let action: Action = serde_json::from_value(params)
            .map_err(|error| CliError::usage(format!("this orchestrator does not know that: {error}")))?;
        let limits = self.orchestrator.query(|engine| engine.plan_limits()).await?;
        let done = steer::perform(&mut self.orchestrator.clone(), self.store.as_ref(), action, limits).await?;
        serde_json::to_value(done).map_err(|error| CliError::new(Exit::Internal, error.to_string()))
    }

    /// What agents of an execution do now, by step.
    async fn current(&self, params: Value) -> Result<Value, CliError> {
        let id = execution_of(&params)?;
        let activity = self.activity.clone();
        let map = self.orchestrator.query(move |engine| {
            let execution = engine.execution(id)?;
            let of = |n: usize| {
                let step = StepIx::at(n);
                Some((execution.plan().step(step).id.to_string(), activity.now(engine, id, step)?))
            };
            Some((0..execution.steps().len()).filter_map(of).collect::<std::collections::BTreeMap<_, _>>())
        });
        Ok(json!(map.await?.unwrap_or_default()))
    }

    /// Streams that there was a turn, and what agents do, until the orchestrator stops.
    async fn notices(&self, write: &mut (impl AsyncWriteExt + Unpin)) -> Result<Value, CliError> {
        let mut notices = self.orchestrator.watch();
        loop {
            let params = match notices.recv().await {
                Ok(notice) => match notice.kind {
                    NoticeKind::Turn => json!({}),
                    NoticeKind::Activity { place, text, .. } => {
                        json!({"execution": place.execution.hex(), "step": place.step.index(), "text": text})
                    }
                    _ => continue,
                },
                Err(RecvError::Lagged(_)) => json!({}),
                Err(RecvError::Closed) => return Ok(Value::Null),
            };
            let message = json!({"jsonrpc": "2.0", "method": "notice", "params": params});
            if send(write, &message).await.is_err() {
                return Err(CliError::pipe_closed());
            }
        }
    }

    /// Streams what happens to an execution from the event after `after` on, until it is at rest; with `said` also what its
    /// agents say.
    async fn watch(&self, params: &Value, write: &mut (impl AsyncWriteExt + Unpin)) -> Result<Value, CliError> {
        let id = execution_of(params)?;
        let mut seen = params["after"].as_u64().unwrap_or(0);
        let listens = params["said"] == true;
        // Subscribed before the store is read, so nothing falls between.
        let mut notices = self.orchestrator.watch();
        self.orchestrator.load(id).await?;
        let mut follower = look::Follower::new(Arc::clone(&self.store), id);
        let (mut over, mut stopped) = (false, false);
        loop {
            let mut new = Vec::new();
            follower
                .advance(|state, one| {
                    if one.version.0 > seen {
                        let text = render::line(state, &one.event, one.at, render::Paint(false));
                        let event = render::to_json(state, &one.event, one.at);
                        new.push(json!({"jsonrpc": "2.0", "method": "event",
                            "params": {"at": render::clock(one.at), "text": text, "event": event}}));
                        seen = one.version.0;
                    }
                })
                .await?;
            for notice in new {
                if send(write, &notice).await.is_err() {
                    return Err(CliError::pipe_closed());
                }
            }
            if over {
                return Ok(json!({"seen": seen, "stopped": stopped}));
            }
            // Read once more after that: what happened meanwhile is told too. A driver that has stopped is at rest.
            let rests = self.orchestrator.query(move |engine| engine.at_rest(id)).await;
            (over, stopped) = (rests.as_ref().map_or(true, |rests| *rests), rests.is_err());
            if over {
                continue;
            }
            loop {
                match notices.recv().await {
                    Ok(notice) => match notice.kind {
                        NoticeKind::Event { log, event: Event::Execution(_) } if log == LogId::execution(id) => break,
                        NoticeKind::Turn => break,
                        NoticeKind::Said { place, text, whole, .. } if listens && place.execution == id => {
                            let step = follower.state().and_then(|state| state.plan().steps().get(place.step.index()));
                            let step = step.map(|step| step.id.as_str());
                            let said = json!({"step": step, "text": text, "whole": whole});
                            let params = json!({"at": render::clock(notice.at), "said": said});
                            let message = json!({"jsonrpc": "2.0", "method": "said", "params": params});
                            if send(write, &message).await.is_err() {
                                return Err(CliError::pipe_closed());
                            }
                        }
                        _ => {}
                    },
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => (over, stopped) = (true, true),
                }
                if over {
                    break;
                }
            }
        }
    }
}

fn waits(params: &Value) -> bool {
    params["tool"].as_str().and_then(Tool::named).is_some_and(Tool::waits)
}

fn execution_of(params: &Value) -> Result<ExecutionId, CliError> {
    let text = params["execution"].as_str().unwrap_or_default();
    text.parse().map_err(|error: enki_core::id::InvalidId| CliError::usage(error.to_string()))
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), message: &Value) -> std::io::Result<()> {
    write.write_all(format!("{message}\n").as_bytes()).await?;
    write.flush().await
}
