//! A project that nobody drives: no plan can be submitted to it, and its notes can be worked with.

use super::ideas::Notebook;
use super::worklog::Worklog;
use enki_core::async_trait;
use enki_mcp::{Backlog, Failure, OneTarget, Project, Site};

/// A project without a driver.
#[derive(Debug)]
pub(super) struct Shelved(pub(super) Notebook, pub(super) Worklog);

#[async_trait]
impl Project for Shelved {
    async fn site(&self, target: Option<&str>) -> Result<Site, Failure> {
        OneTarget("main".parse().expect("a branch")).site(target).await
    }

    fn backlog(&self) -> Option<&dyn Backlog> {
        Some(&self.0)
    }

    fn worklog(&self) -> Option<&dyn enki_mcp::Worklog> {
        Some(&self.1)
    }
}
