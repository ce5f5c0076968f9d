//! The fields Enki reads of one line of the stream, by the names the client gives them.
//!
//! One flat struct for all kinds of line: what a kind lacks stays empty, what nobody named is skipped without being
//! built. Texts borrow from the line.

use crate::lax::{Lax, Text, Want, want_struct};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess};
use serde_json::{Map, Value};
use std::borrow::Cow;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    System,
    Assistant,
    User,
    Result,
    RateLimitEvent,
    /// A piece of a message that comes whole later.
    StreamEvent,
    #[default]
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct Line<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) subtype: Text<'a>,
    #[serde(default)]
    pub(crate) session_id: Text<'a>,
    #[serde(default)]
    pub(crate) model: Text<'a>,
    #[serde(default)]
    pub(crate) claude_code_version: Text<'a>,
    #[serde(default)]
    pub(crate) mcp_servers: Lax<Vec<Server<'a>>>,
    #[serde(default)]
    pub(crate) attempt: Lax<u64>,
    #[serde(default)]
    pub(crate) max_retries: Lax<u64>,
    #[serde(default)]
    pub(crate) retry_delay_ms: Lax<u64>,
    #[serde(default)]
    pub(crate) error_status: Lax<u64>,
    #[serde(default)]
    pub(crate) error: Text<'a>,
    #[serde(default)]
    pub(crate) fallback_model: Text<'a>,
    #[serde(default)]
    pub(crate) rate_limit_info: Lax<Limit<'a>>,
    #[serde(default)]
    pub(crate) parent_tool_use_id: Text<'a>,
    #[serde(default)]
    pub(crate) message: Lax<Message<'a>>,
    #[serde(default)]
    pub(crate) is_error: Lax<bool>,
    #[serde(default)]
    pub(crate) api_error_status: Lax<u64>,
    #[serde(default)]
    pub(crate) num_turns: Lax<u64>,
    #[serde(default)]
    pub(crate) result: Text<'a>,
    #[serde(default)]
    pub(crate) structured_output: Lax<Map<String, Value>>,
    #[serde(default)]
    pub(crate) stop_reason: Text<'a>,
    #[serde(default)]
    pub(crate) terminal_reason: Text<'a>,
    #[serde(default)]
    pub(crate) total_cost_usd: Lax<f64>,
    #[serde(default)]
    pub(crate) usage: Lax<Tokens>,
    #[serde(default, rename = "modelUsage")]
    pub(crate) model_usage: Lax<PerModel>,
    #[serde(default)]
    pub(crate) permission_denials: Lax<Vec<Denial<'a>>>,
    #[serde(default)]
    pub(crate) errors: Lax<Vec<Cow<'a, str>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Server<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) status: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Limit<'a> {
    pub(crate) status: Text<'a>,
    #[serde(rename = "resetsAt")]
    pub(crate) resets_at: Lax<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Message<'a> {
    pub(crate) id: Text<'a>,
    pub(crate) model: Text<'a>,
    pub(crate) content: Lax<Vec<Block<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Block<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) text: Text<'a>,
    pub(crate) name: Text<'a>,
    pub(crate) input: Lax<ToolInput<'a>>,
    pub(crate) is_error: Lax<bool>,
}

/// What tells a person in one line what a tool call is about; the first one present is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct ToolInput<'a> {
    pub(crate) command: Text<'a>,
    pub(crate) file_path: Text<'a>,
    pub(crate) notebook_path: Text<'a>,
    pub(crate) path: Text<'a>,
    pub(crate) pattern: Text<'a>,
    pub(crate) url: Text<'a>,
    pub(crate) query: Text<'a>,
    pub(crate) description: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Denial<'a> {
    pub(crate) tool_name: Text<'a>,
    pub(crate) tool_input: Lax<ToolInput<'a>>,
}

want_struct!(Server, Limit, Message, Block, ToolInput, Denial, PieceEvent, Delta);

/// A piece of a message: of a text, or its end, the only one that tells what the message used.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct Piece<'a> {
    #[serde(default)]
    pub(crate) event: Lax<PieceEvent<'a>>,
    #[serde(default)]
    pub(crate) parent_tool_use_id: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct PieceEvent<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) delta: Lax<Delta<'a>>,
    pub(crate) usage: Lax<Tokens>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Delta<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) text: Text<'a>,
}

/// Tokens of the whole run, read of `usage` or summed over the models of `modelUsage`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl<'de> Want<'de> for Tokens {
    fn of_map<A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut sum = Self::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let field = match key.as_str() {
                "input_tokens" | "cache_creation_input_tokens" | "cache_read_input_tokens" => &mut sum.input,
                "inputTokens" | "cacheCreationInputTokens" | "cacheReadInputTokens" => &mut sum.input,
                "output_tokens" | "outputTokens" => &mut sum.output,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = field.saturating_add(map.next_value::<Lax<u64>>()?.0.unwrap_or(0));
        }
        Ok(Some(sum))
    }
}

/// The sum over all models. Empty if no model was asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PerModel(pub(crate) Option<Tokens>);

impl<'de> Want<'de> for PerModel {
    fn of_map<A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut sum: Option<Tokens> = None;
        while let Some((_, tokens)) = map.next_entry::<IgnoredAny, Lax<Tokens>>()? {
            let before = sum.unwrap_or_default();
            let more = tokens.0.unwrap_or_default();
            sum = Some(Tokens {
                input: before.input.saturating_add(more.input),
                output: before.output.saturating_add(more.output),
            });
        }
        Ok(Some(Self(sum)))
    }
}
