//! A prompt that is run by itself: it has no note, and unless it may write, nothing that it changes counts.

use super::model::{Wish, choose};
use super::{add, title};
use crate::args::Overrides;
use crate::commands::Context;
use crate::commands::run::configured;
use crate::error::CliError;
use crate::registry::Registry;
use crate::wire;
use crate::words::Words;
use enki_core::advice::approval::Author;
use enki_core::id::ExecutionId;
use enki_core::spec::{PlanSpec, ReviewSpec, ReviewWord, StepSpec};

/// The role that answers, and changes nothing.
const ANSWERER: &str = "answerer";

/// Where such an execution says that it comes from.
pub(crate) const ORIGIN: &str = "prompt";

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) prompt: String,
    pub(crate) model: Option<String>,
    /// Whether what it changes lands.
    pub(crate) write: bool,
    /// The same key and prompt again is the same run.
    pub(crate) key: Option<String>,
}

/// Puts a prompt in for the project of `cx`. With its id comes what whoever asked should know.
pub(crate) async fn put_in(
    cx: &mut Context,
    errand: Errand,
    author: Author,
) -> Result<(ExecutionId, Vec<String>), CliError> {
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    if errand.prompt.trim().is_empty() {
        return Err(CliError::usage("the prompt is empty").hint("say what you want; nothing was started"));
    }
    if !errand.write {
        let config = configured(cx, &git, &Overrides::default())?;
        let words = Words::load(&cx.host, Some(git.root()))?.configured(&config)?;
        if words.roles.get(ANSWERER).is_none_or(enki_core::role::Role::edits) {
            return Err(CliError::usage(format!(
                "your own role {ANSWERER:?} edits files, and a prompt is to change none"
            ))
            .hint("give it `can_edit = false`, or let the prompt write; nothing was started"));
        }
    }
    let registry = Registry::load(&cx.host).ok();
    let asked = Wish { model: errand.model.as_deref(), tier: None };
    let project = registry.as_ref().and_then(|all| all.model_of(git.root()));
    let chosen = choose(asked, Wish::default(), project, None, &errand.prompt);
    let first = errand.prompt.trim().lines().next().unwrap_or_default();
    let step = StepSpec {
        id: "prompt".to_owned(),
        title: title(first, "A prompt"),
        description: errand.prompt.clone(),
        model: chosen.model,
        tier: chosen.tier,
        role: (!errand.write).then(|| ANSWERER.to_owned()),
        // There is nothing to review.
        review: (!errand.write).then_some(ReviewSpec::Word(ReviewWord::None)),
        ..StepSpec::default()
    };
    let plan = PlanSpec { steps: vec![step], request_id: errand.key, ..PlanSpec::default() };
    let (id, _) = add::submit(cx, &git, plan, ORIGIN, author).await?;
    Ok((id, chosen.raised.into_iter().collect()))
}
