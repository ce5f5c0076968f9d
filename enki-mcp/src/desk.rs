//! Who answers the calls of one client.

use crate::answer::Answer;
use crate::failure::Failure;
use crate::office::Office;
use crate::passes::Token;
use crate::told::Told;
use crate::tool::Tool;
use enki_core::async_trait;
use serde_json::{Map, Value};
use std::fmt;

/// Answers the calls of one client: in this process as a [`Seat`], or by asking another one.
#[async_trait]
pub trait Desk: fmt::Debug + Send + Sync {
    /// The tools that the client may call now.
    ///
    /// # Errors
    ///
    /// If nobody can be asked.
    async fn tools(&self) -> Result<Vec<Tool>, Failure>;

    /// Does a call, and tells what there is to tell before the answer. One that [waits](Tool::waits) is given up if the future
    /// is dropped.
    async fn call(&self, tool: &str, arguments: Map<String, Value>, told: &Told) -> Answer;
}

/// A client's place in an office of this process: its token.
#[derive(Clone, Debug)]
pub struct Seat {
    office: Office,
    token: Token,
}

impl Seat {
    /// The place of whoever holds that token.
    #[must_use]
    pub const fn new(office: Office, token: Token) -> Self {
        Self { office, token }
    }
}

#[async_trait]
impl Desk for Seat {
    async fn tools(&self) -> Result<Vec<Tool>, Failure> {
        self.office.tools(&self.token).await
    }

    async fn call(&self, tool: &str, arguments: Map<String, Value>, told: &Told) -> Answer {
        self.office.call_telling(&self.token, tool, arguments, told).await
    }
}
