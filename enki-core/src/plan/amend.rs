//! What a step is about, said anew before it starts: a person has changed the text that it was made of.

use super::check::Check;
use super::{Brief, Plan, PlanLimits, PlanProblems, Step};
use crate::id::StepIx;
use crate::spec::StepSpec;
use crate::tier::Tier;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What a step that has not started is about from now on. What stands in no text of a person's, such as its needs and its
/// review, stays as it was.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Amendment {
    title: String,
    description: String,
    /// As it was, if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tier: Option<Tier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    acceptance: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done_when: Option<String>,
}

impl Amendment {
    /// What a spec says of a step anew, as far as that may change: its words and, unless they were chosen for it, its
    /// tier and model. A tier that was chosen for it can only become more, where the spec is pinned too.
    ///
    /// # Errors
    ///
    /// What no step could have.
    pub fn check(step: &Step, spec: &StepSpec, limits: &PlanLimits) -> Result<Self, PlanProblems> {
        let mut check = Check { problems: Vec::new(), externals: &HashMap::new(), limits };
        check.words(0, spec);
        if !check.problems.is_empty() {
            return Err(PlanProblems(check.problems));
        }
        // A text that names neither leaves both as they were: they may be its role's.
        let said = !step.pinned && (spec.tier.is_some() || spec.model.is_some());
        let kept = || step.model.as_deref().map(ToOwned::to_owned);
        // Of what was chosen for it, only more is taken, and only from whoever knows what was chosen.
        let more = || spec.tier.filter(|tier| spec.pinned && *tier > step.tier);
        let (tier, model) = if said { (spec.tier, spec.model.clone()) } else { (more(), kept()) };
        Ok(Self {
            title: spec.title.clone(),
            description: spec.description.clone(),
            tier: tier.filter(|tier| *tier != step.tier),
            model,
            acceptance: spec.acceptance.clone(),
            done_when: spec.done_when.clone(),
        })
    }

    /// Whether a step is about something else with it.
    #[must_use]
    pub fn changes(&self, step: &Step) -> bool {
        let mut amended = step.clone();
        self.apply(&mut amended);
        amended != *step
    }

    fn apply(&self, step: &mut Step) {
        (step.title, step.description) = (self.title.as_str().into(), self.description.as_str().into());
        step.tier = self.tier.unwrap_or(step.tier);
        step.model = self.model.as_deref().map(Into::into);
        let mut brief = step.brief.take().map_or_else(Brief::default, |brief| *brief);
        brief.acceptance.clone_from(&self.acceptance);
        brief.done_when.clone_from(&self.done_when);
        step.brief = (brief != Brief::default()).then(|| Box::new(brief));
    }
}

impl Plan {
    /// Says what a step is about anew. One that is not there changes nothing.
    pub fn amend(&mut self, ix: StepIx, amendment: &Amendment) {
        let only = self.steps.len() == 1;
        let Some(step) = self.steps.get_mut(ix.index()) else { return };
        // A plan that says no title of its own has that of its first step.
        if only && *self.title == *step.title {
            self.title.clone_from(&amendment.title);
        }
        amendment.apply(step);
    }
}
