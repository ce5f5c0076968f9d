//! What plans need to know of the project that they are for.

use crate::backlog::Backlog;
use crate::failure::Failure;
use crate::worklog::Worklog;
use enki_core::advice::approval::{Decomposition, Preset};
use enki_core::advice::lint::LintOptions;
use enki_core::async_trait;
use enki_core::branch::Branch;
use enki_core::execution::ProjectKind;
use enki_core::refinery::Gate;
use enki_core::spec::PlanSpec;
use std::fmt;

/// Where work lands, and what it must pass.
#[derive(Clone, Debug)]
pub struct Site {
    /// The branch.
    pub target: Branch,
    /// What a merged tree must pass.
    pub gate: Option<Gate>,
    /// What the target is in.
    pub kind: ProjectKind,
}

/// A project, as far as a new plan depends on it.
#[async_trait]
pub trait Project: fmt::Debug + Send + Sync {
    /// Where a plan lands that names that target, or none.
    ///
    /// # Errors
    ///
    /// If there is no such branch, or none to land on.
    async fn site(&self, target: Option<&str>) -> Result<Site, Failure>;

    /// Whether plans that no person divided into steps wait for one.
    fn decomposition(&self) -> Decomposition {
        Preset::default().decomposition()
    }

    /// What is looked for in plans; `None` if nothing is.
    fn lint(&self) -> Option<LintOptions> {
        Some(LintOptions::default())
    }

    /// Whether that folder, relative to the project, is there.
    fn has_folder(&self, _folder: &str) -> bool {
        false
    }

    /// The ideas that wait, if they are kept somewhere.
    fn backlog(&self) -> Option<&dyn Backlog> {
        None
    }

    /// The notes and their queue, if they are kept somewhere.
    fn worklog(&self) -> Option<&dyn Worklog> {
        None
    }

    /// Fills in what the configuration says where the plan does not. Gives what the caller should know of it.
    ///
    /// # Errors
    ///
    /// If the configuration asks for what cannot be had.
    fn complete(&self, _spec: &mut PlanSpec) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

/// A project whose plans all land on one branch unless they name another, without a check.
#[derive(Clone, Debug)]
pub struct OneTarget(pub Branch);

#[async_trait]
impl Project for OneTarget {
    async fn site(&self, target: Option<&str>) -> Result<Site, Failure> {
        let target = target.map(|name| name.parse::<Branch>().map_err(|error| crate::create::not_a_branch(&error)));
        Ok(Site {
            target: target.transpose()?.unwrap_or_else(|| self.0.clone()),
            gate: None,
            kind: ProjectKind::default(),
        })
    }
}
