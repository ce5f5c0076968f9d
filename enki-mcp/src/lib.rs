//! MCP server of Enki: lets clients, usually coding agents, make work for an orchestrator, steer it and look at it.
//!
//! An [`Office`] does the calls on [`Machines`], which are those of a running driver or of a project nobody drives, and
//! stores nothing of its own. An [`EnkiServer`] speaks the protocol with one client, in the revisions that begin with
//! `initialize` and in the one of July 2026 that does not, and hands its calls to a [`Desk`]: a [`Seat`] in an office of
//! this process, or something that asks another process.
//!
//! # Who may what
//!
//! Every call shows a [`Token`]. A coordinator's lasts as long as its session, an attempt's as long as the attempt: the
//! machines are asked at every call. What is listed is what is allowed; without a good token nothing is. See
//! [`Tool::allowed`] for the table.
//!
//! # Answers
//!
//! Each answer is text and a structured object that has full ids. An id in a call may be short: at least 4 hex digits,
//! with or without `exec-` or `task-`, that start the short id of only one. An answer is true when it is given: what it
//! says is done is durable. What could not be done is a result with `isError` that says what to do; arguments that do not
//! fit a tool's schema are an error of the protocol.
//!
//! # Calls that wait
//!
//! Some [wait for agents](Tool::waits). Other calls go on beside them, what happens is told as progress to a client that gave
//! a token for that, and `notifications/cancelled` gives them up: with them what they waited for.
//!
//! # Not here yet
//!
//! The commands of `enki_call` that need streams.

mod activity;
mod answer;
mod backlog;
mod call;
mod create;
mod dag;
mod desk;
mod edit;
mod failure;
mod find;
mod handler;
mod lines;
mod machines;
mod mail;
mod office;
mod passes;
mod project;
mod report;
mod role;
mod status;
mod steer;
mod stop;
mod task_list;
mod text;
mod told;
mod tool;
mod words;
mod worklog;

pub use activity::Activity;
pub use answer::Answer;
pub use backlog::{Backlog, Idea, Ideas, Promoted, Unreadable};
pub use call::{Bench, CallCode, Calls, Diff, DiffAsk, Trace, Traces};
pub use desk::{Desk, Seat};
pub use failure::{Code, Failure};
pub use lines::{Bucket, Line, Lines};
pub use machines::{Look, Machines};
pub use mail::Post;
pub use office::Office;
pub use passes::{Passes, Token, origin_of};
pub use project::{OneTarget, Project, Site};
pub use role::Role;
pub use told::Told;
pub use tool::{Does, Tool};
pub use worklog::{
    Asker, Chain, Entries, Entry, Errand, FoundNote, GivenUp, KnownProject, KnownProjects, NewNote, NoteKind,
    NoteSource, Noted, PromotedNote, Queued, Ran, Schedule, Tail, Wanted, Worklog,
};

use handler::Handler;
use lines::Gate;
use rmcp::service::{QuitReason, ServerInitializeError};
use std::error::Error;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::Mutex;

/// Speaks the protocol with one client.
#[derive(Clone, Debug)]
pub struct EnkiServer {
    handler: Handler,
}

impl EnkiServer {
    /// A server for the client of that desk.
    #[must_use]
    pub fn new(desk: Arc<dyn Desk>) -> Self {
        Self { handler: Handler::new(desk) }
    }

    /// Serves one client until it closes its end: one JSON-RPC message a line, of at most 4 MiB, and after a burst of 400
    /// at most 100 a second. What is no message, or comes too often, is answered with an error and the session goes on; a
    /// request that comes again with its id is given the answer that it had, and nothing is done again.
    ///
    /// # Contract
    ///
    /// Ends with the client, not with the orchestrator: when that has stopped, calls are answered and say so. Dropping
    /// the future ends the session. A read of this process's standard input cannot be cancelled: a tokio runtime that is
    /// dropped while it is served waits for it.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the session could not begin or broke. A client that leaves is none.
    pub async fn serve<R, W>(self, read: R, write: W) -> Result<(), ServeError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (ours, theirs) = tokio::io::duplex(WAITING);
        let (from, to) = tokio::io::split(ours);
        let (gate, client) = (Gate::default(), Mutex::new(write));
        let incoming = async {
            // A client that cannot be read or written to any more has left.
            let _ = lines::incoming(&gate, read, to, &client).await;
            std::future::pending::<()>().await;
        };
        let outgoing = async {
            let _ = lines::outgoing(&gate, from, &client).await;
        };
        let session = async {
            // The last answers are written when the protocol has let go of its end.
            let (session, ()) = tokio::join!(converse(self.handler, theirs), outgoing);
            session
        };
        tokio::select! {
            session = session => session,
            () = incoming => Ok(()),
        }
    }
}

/// How much may wait on its way between client and protocol.
const WAITING: usize = 64 << 10;

async fn converse(handler: Handler, client: DuplexStream) -> Result<(), ServeError> {
    let session = match rmcp::serve_server(handler, tokio::io::split(client)).await {
        Ok(session) => session,
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(ServeError::Begin(Box::new(error))),
    };
    match session.waiting().await {
        Ok(QuitReason::JoinError(error)) | Err(error) => Err(ServeError::Broken(Box::new(error))),
        Ok(_) => Ok(()),
    }
}

/// Why a client could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The client did not begin as the protocol says, or could not be written to.
    #[error("cannot begin an MCP session with the client; start it anew")]
    Begin(#[source] Box<dyn Error + Send + Sync>),
    /// The session ended by a fault of the server. The orchestrator goes on.
    #[error("the MCP session broke; the orchestrator goes on, connect again")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}
