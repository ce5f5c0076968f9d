//! The tools as the protocol sees them.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::lines::{TOO_MANY, too_many};
use crate::text::visible;
use crate::told::Told;
use crate::tool::Tool;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode, Implementation, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities, ServerConfig, Tool as Definition,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::{ErrorData, ServerHandler};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Answers the calls of one client.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    desk: Arc<dyn Desk>,
}

impl Handler {
    pub(crate) const fn new(desk: Arc<dyn Desk>) -> Self {
        Self { desk }
    }

    /// The answer of a call. One that waits tells its progress, and is given up when the client does not want it any more;
    /// any other is done as a whole once it is begun.
    async fn answer(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        context: &RequestContext<RoleServer>,
    ) -> Result<Answer, ErrorData> {
        if !Tool::named(tool).is_some_and(Tool::waits) {
            return Ok(self.desk.call(tool, arguments, &Told::default()).await);
        }
        let token = context.meta.get_progress_token();
        let (told, mut heard) = Told::channel();
        let mut call = self.desk.call(tool, arguments, &told);
        let mut progress = 0.0;
        loop {
            let line = tokio::select! {
                answer = &mut call => return Ok(answer),
                () = context.ct.cancelled() => {
                    return Err(ErrorData::internal_error("given up, as the client asked", None));
                }
                Some(line) = heard.recv() => line,
            };
            let Some(token) = token.clone() else { continue };
            progress += 1.0;
            let param = ProgressNotificationParam::new(token, progress).with_message(visible(&line));
            // A client that has gone hears nothing.
            drop(context.peer.notify_progress(param).await);
        }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("enki", env!("CARGO_PKG_VERSION")))
            .with_instructions(
                "Enki turns plans of steps into merged commits: each step is worked on by a coding agent in a clone of \
                 its own. A coordinator makes a task for one independent change, an execution for two or more related \
                 ones, and never edits by itself. Ready steps start by themselves. enki_status tells how far \
                 everything is and what waits for an answer.",
            )
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.desk.tools().await.map_err(|failure| ErrorData::internal_error(failure.text(), None))?;
        Ok(ListToolsResult::with_all_items(tools.into_iter().map(Tool::definition).collect()))
    }

    fn get_tool(&self, name: &str) -> Option<Definition> {
        Tool::named(name).map(Tool::definition)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answer = self.answer(&request.name, request.arguments.unwrap_or_default(), &context).await?;
        let (mut result, text) = match answer {
            Answer::Done { text, value } => (CallToolResult::structured(value), text),
            Answer::Failed { text, value } => (CallToolResult::structured_error(value), text),
            Answer::Invalid { text } => return Err(ErrorData::invalid_params(text, None)),
            Answer::TooMany { wait_ms } => {
                let (message, data) = too_many(wait_ms);
                return Err(ErrorData::new(ErrorCode(TOO_MANY), message, Some(data)));
            }
        };
        result.content = vec![ContentBlock::text(text)];
        Ok(result.into())
    }
}
