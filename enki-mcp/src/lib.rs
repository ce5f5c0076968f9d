//! MCP server of Enki: lets a client, usually a coding agent, look at what a running orchestrator does.
//!
//! It answers from the machines of an [`Orchestrator`], between two turns of its driver, and stores nothing of its own.
//! It speaks the revisions of the protocol that begin with `initialize` and the one of July 2026 that does not.
//!
//! # Tools
//!
//! | tool | answer |
//! |---|---|
//! | `enki_status` | steps per status, permits in use, holds, length of the merge queue |
//! | `enki_task_list` | id, status, tier and title of tasks |
//! | `enki_dag` | the graph of an execution, as ASCII text in layers |
//!
//! Each answers with text and with a structured object that has full ids. An id in a call may be short: at least 4 hex
//! digits, with or without `exec-`, that start the short id of only one execution here. One that has ended before the
//! orchestrator started is found by all 32 digits. An id that is unknown or may mean several executions is a result
//! with `isError` that says what to do; arguments that do not fit a tool's schema are an error of the protocol.
//!
//! # Not here yet
//!
//! These three only read, and every caller may use them; so there are no roles and no capability tokens yet: whoever
//! holds the other end of the stream sees all executions of the orchestrator. To come, bound to the token of an
//! attempt: creating work (`enki_task_create`, `enki_execution_create`, `enki_execution_add_steps`, `enki_quick_task`),
//! steering it (`enki_resume`, `enki_pause`, `enki_cancel`, `enki_stop_all`, `enki_task_retry`), what workers say and do
//! (`enki_worker_report`, `enki_edit_file`), the backlog, mail and capture tools, and `enki_call` with `enki_tools`. So
//! does the current activity of a task in `enki_task_list`.

mod dag;
mod failure;
mod find;
mod handler;
mod status;
mod task_list;
mod text;
mod words;

use enki_core::driver::Orchestrator;
use handler::Handler;
use rmcp::service::{QuitReason, ServerInitializeError};
use std::error::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves the tools over an orchestrator. Cheap to clone: one serves any number of clients, each with a stream of its
/// own.
#[derive(Clone, Debug)]
pub struct EnkiServer {
    handler: Handler,
}

impl EnkiServer {
    /// A server over that orchestrator.
    #[must_use]
    pub fn new(orchestrator: Orchestrator) -> Self {
        Self { handler: Handler::new(orchestrator) }
    }

    /// Serves one client until it closes its end: one JSON-RPC message a line. A line that is not JSON is passed over.
    ///
    /// # Contract
    ///
    /// Ends with the client, not with the orchestrator: when that has stopped, calls are answered and say so. Dropping
    /// the future ends the session.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the session could not begin or broke. A client that leaves is none.
    pub async fn serve<R, W>(self, read: R, write: W) -> Result<(), ServeError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let session = match rmcp::serve_server(self.handler, (read, write)).await {
            Ok(session) => session,
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => return Err(ServeError::Begin(Box::new(error))),
        };
        match session.waiting().await {
            Ok(QuitReason::JoinError(error)) | Err(error) => Err(ServeError::Broken(Box::new(error))),
            Ok(_) => Ok(()),
        }
    }
}

/// Serves the client at this process's standard input and output until it closes them. Nothing else may write to
/// standard output meanwhile.
///
/// A read of standard input cannot be cancelled: a tokio runtime that is dropped while this is served waits for it, so
/// end the process another way if the client may still be there.
///
/// # Errors
///
/// As [`EnkiServer::serve`].
pub async fn serve_stdio(orchestrator: Orchestrator) -> Result<(), ServeError> {
    EnkiServer::new(orchestrator).serve(tokio::io::stdin(), tokio::io::stdout()).await
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
