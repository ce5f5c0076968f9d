//! The tools as the protocol sees them.

use crate::dag::{self, Dag, DagInput};
use crate::failure::Failure;
use crate::find::take_up;
use crate::status::{Status, StatusInput};
use crate::task_list::{self, TaskList, TaskListInput};
use enki_core::driver::Orchestrator;
use enki_core::engine::Engine;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::{ErrorData, ServerHandler};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const STATUS: &str = "enki_status";
const TASK_LIST: &str = "enki_task_list";
const DAG: &str = "enki_dag";

/// Answers the calls of one client.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    orchestrator: Orchestrator,
    tools: Vec<Tool>,
}

impl Handler {
    pub(crate) fn new(orchestrator: Orchestrator) -> Self {
        Self { orchestrator, tools: tools() }
    }

    async fn answer(&self, name: &str, arguments: JsonObject) -> Result<CallToolResult, ErrorData> {
        match name {
            STATUS => {
                let input: StatusInput = parse(name, arguments)?;
                let id = input.execution_id.clone();
                let status = self.look(id, move |engine| Status::look(engine, &input)).await;
                Ok(result(status, Status::text))
            }
            TASK_LIST => {
                let input: TaskListInput = parse(name, arguments)?;
                let id = input.execution_id.clone();
                let found = self.look(id, move |engine| task_list::Found::look(engine, &input)).await;
                Ok(result(found.map(TaskList::from), TaskList::text))
            }
            DAG => {
                let input: DagInput = parse(name, arguments)?;
                let id = Some(input.execution_id.clone());
                let found = self.look(id, move |engine| dag::Found::look(engine, &input)).await;
                Ok(result(found.map(Dag::from), Dag::text))
            }
            _ => {
                let known: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_ref()).collect();
                let shown: String = name.chars().take(60).collect();
                Err(ErrorData::invalid_params(format!("no tool {shown:?}; there are {}", known.join(", ")), None))
            }
        }
    }

    async fn look<T: Send + 'static>(
        &self,
        id: Option<String>,
        look: impl FnOnce(&Engine) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        if let Some(id) = id {
            take_up(&self.orchestrator, &id).await?;
        }
        self.orchestrator.query(look).await?
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("enki", env!("CARGO_PKG_VERSION")))
            .with_instructions(
                "Enki runs plans of steps by coding agents. These tools only read: enki_status for how far everything \
                 is, enki_task_list for the steps, enki_dag for which step waits for which.",
            )
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(self.answer(&request.name, request.arguments.unwrap_or_default()).await?.into())
    }
}

fn tools() -> Vec<Tool> {
    vec![
        tool::<StatusInput, Status>(
            STATUS,
            "How far the open executions are, or one of any age: steps per status, permits in use, holds that wait for \
             a person, length of the merge queue.",
        ),
        tool::<TaskListInput, TaskList>(
            TASK_LIST,
            "Lists tasks, which are the steps of executions: id, status, tier and title, newest execution first.",
        ),
        tool::<DagInput, Dag>(
            DAG,
            "The graph of an execution as ASCII text in layers: one line a step with its status and what it needs.",
        ),
    ]
}

fn tool<I: JsonSchema + 'static, O: JsonSchema + 'static>(name: &'static str, description: &'static str) -> Tool {
    let reads = ToolAnnotations::new().read_only(true).destructive(false).idempotent(true).open_world(false);
    Tool::new(name, description, JsonObject::new())
        .with_input_schema::<I>()
        .with_output_schema::<O>()
        .with_annotations(reads)
}

/// Arguments that do not fit the schema are the client's mistake, and an error of the protocol.
fn parse<I: DeserializeOwned>(name: &str, arguments: JsonObject) -> Result<I, ErrorData> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| ErrorData::invalid_params(format!("arguments of {name}: {error}; see its inputSchema"), None))
}

/// The same as text and as a structured object.
fn result<T: Serialize>(answer: Result<T, Failure>, text: impl FnOnce(&T) -> String) -> CallToolResult {
    let (value, text, failed) = match &answer {
        Ok(value) => (serde_json::to_value(value), text(value), false),
        Err(failure) => (Ok(json!({ "error": failure })), failure.text(), true),
    };
    let value = value.expect("answers have text keys and no failing serializers");
    let mut result = if failed { CallToolResult::structured_error(value) } else { CallToolResult::structured(value) };
    result.content = vec![ContentBlock::text(text)];
    result
}
