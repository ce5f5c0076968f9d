//! The side that drives.

use super::{MAX_MESSAGE, Request, answer, reachable, socket_path, token};
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::render;
use crate::steer::{self, Action};
use enki_core::driver::{NoticeKind, Orchestrator};
use enki_core::engine::Event;
use enki_core::id::{ExecutionId, StepIx};
use enki_core::store::{LogId, TaskStore};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

/// Listens while this process drives.
#[derive(Debug)]
pub(crate) struct Server {
    tasks: Vec<JoinHandle<()>>,
    path: std::path::PathBuf,
}

type Activity = Arc<Mutex<HashMap<(ExecutionId, StepIx), String>>>;

#[derive(Clone, Debug)]
struct Service {
    orchestrator: Orchestrator,
    store: Arc<dyn TaskStore>,
    token: Arc<str>,
    activity: Activity,
}

impl Server {
    /// Starts to listen. The caller holds the project lock, so a socket that is there is a dead one.
    pub(crate) fn start(
        enki_dir: &Path,
        orchestrator: Orchestrator,
        store: Arc<dyn TaskStore>,
    ) -> Result<Self, CliError> {
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
        let service = Service { orchestrator, store, token: token(enki_dir)?.into(), activity: Activity::default() };
        let follow = tokio::spawn(service.clone().follow());
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(service.clone().serve(stream));
            }
        });
        Ok(Self { tasks: vec![follow, accept], path })
    }

    /// Stops to listen.
    pub(crate) fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        // One that is left is found dead by the next.
        drop(fs::remove_file(&self.path));
    }
}

impl Service {
    /// Remembers what agents do now.
    async fn follow(self) {
        let mut notices = self.orchestrator.watch();
        loop {
            match notices.recv().await {
                Ok(notice) => {
                    if let NoticeKind::Activity { place, text, .. } = notice.kind {
                        let mut all = self.activity.lock().expect("no panic while it is held");
                        all.insert((place.execution, place.step), text);
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn serve(self, stream: UnixStream) {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read.take(MAX_MESSAGE as u64)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(request) = serde_json::from_str::<Request>(&line) else {
                let refused =
                    json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "not a request"}});
                drop(send(&mut write, &refused).await);
                return;
            };
            let id = request.id;
            if request.token != *self.token {
                let refused = CliError::usage("the caller did not show the project's owner token")
                    .hint("call enki as the user who owns the project");
                drop(send(&mut write, &answer(id, Err(refused))).await);
                return;
            }
            let result = match request.method.as_str() {
                "steer" => self.steer(request.params).await,
                "activity" => self.current(request.params).await,
                "watch" => self.watch(&request.params, &mut write).await,
                other => Err(CliError::usage(format!("unknown method {other:?}"))),
            };
            if send(&mut write, &answer(id, result)).await.is_err() {
                return;
            }
        }
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
        let all = self.activity.lock().expect("no panic while it is held").clone();
        let map = self.orchestrator.query(move |engine| {
            let execution = engine.execution(id)?;
            let of = |((e, ix), text): (&(ExecutionId, StepIx), &String)| {
                let live = *e == id && execution.steps().get(ix.index()).is_some_and(|step| step.live().is_some());
                live.then(|| (execution.plan().step(*ix).id.to_string(), text.clone()))
            };
            Some(all.iter().filter_map(of).collect::<std::collections::BTreeMap<_, _>>())
        });
        Ok(json!(map.await?.unwrap_or_default()))
    }

    /// Streams what happens to an execution from the event after `after` on, until it is at rest.
    async fn watch(&self, params: &Value, write: &mut (impl AsyncWriteExt + Unpin)) -> Result<Value, CliError> {
        let id = execution_of(params)?;
        let mut seen = params["after"].as_u64().unwrap_or(0);
        // Subscribed before the store is read, so nothing falls between.
        let mut notices = self.orchestrator.watch();
        self.orchestrator.load(id).await?;
        let mut follower = look::Follower::new(Arc::clone(&self.store), id);
        let mut over = false;
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
                return Ok(json!({"seen": seen}));
            }
            // Read once more after that: what happened meanwhile is told too. A driver that has stopped is at rest.
            over = self.orchestrator.query(move |engine| engine.at_rest(id)).await.unwrap_or(true);
            if over {
                continue;
            }
            loop {
                match notices.recv().await {
                    Ok(notice) => match notice.kind {
                        NoticeKind::Event { log, event: Event::Execution(_) } if log == LogId::execution(id) => break,
                        NoticeKind::Turn => break,
                        _ => {}
                    },
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => over = true,
                }
                if over {
                    break;
                }
            }
        }
    }
}

fn execution_of(params: &Value) -> Result<ExecutionId, CliError> {
    let text = params["execution"].as_str().unwrap_or_default();
    text.parse().map_err(|error: enki_core::id::InvalidId| CliError::usage(error.to_string()))
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), message: &Value) -> std::io::Result<()> {
    write.write_all(format!("{message}\n").as_bytes()).await?;
    write.flush().await
}
