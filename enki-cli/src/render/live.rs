//! What a run shows while it goes on. On a terminal: live lines below, what is over scrolls away above. Otherwise one
//! plain line for each event, and with `--json` one object.

use super::{Paint, clock, line, money, to_json};
use crate::output::Out;
use crate::source::visible;
use enki_core::execution::{Event, Execution, Run, Running, StepState};
use enki_core::id::StepIx;
use enki_core::time::Timestamp;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Duration;

/// Shows a run.
pub(crate) struct Live {
    mode: Mode,
    paint: Paint,
    /// What each live step's agent does now.
    activity: BTreeMap<StepIx, String>,
    /// Until when a service may not be asked.
    until: Option<Timestamp>,
}

enum Mode {
    Json,
    Quiet,
    Plain,
    Terminal(Terminal),
}

struct Terminal {
    all: MultiProgress,
    total: ProgressBar,
    steps: BTreeMap<StepIx, ProgressBar>,
}

impl Live {
    pub(crate) fn new(out: &Out) -> Self {
        let mode = if out.json {
            Mode::Json
        } else if out.quiet {
            Mode::Quiet
        } else if out.terminal.stderr {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let total = all.add(ProgressBar::new_spinner());
            total.set_style(style("{spinner} {msg} {elapsed:.dim}"));
            total.enable_steady_tick(Duration::from_millis(200));
            Mode::Terminal(Terminal { all, total, steps: BTreeMap::new() })
        } else {
            Mode::Plain
        };
        Self { mode, paint: Paint(out.color), activity: BTreeMap::new(), until: None }
    }

    /// An event of the execution; `execution` is the state after it.
    pub(crate) fn event(&mut self, out: &mut Out, execution: &Execution, event: &Event, at: Timestamp) {
        match event {
            Event::ServiceWaits { wait, .. } => self.until = Some(wait.until),
            Event::ServiceFreed | Event::AttemptStarted { .. } => self.until = None,
            _ => {}
        }
        match &self.mode {
            // A reader that went away does not stop a run (bad input 9).
            Mode::Json => drop(out.object(&to_json(execution, event, at))),
            Mode::Quiet => {}
            Mode::Plain | Mode::Terminal(_) => {
                if let Some(text) = line(execution, event, at, self.paint) {
                    self.say(out, &format!("{} {text}", self.paint.dim(&clock(at))));
                }
            }
        }
    }

    /// What an agent does now.
    pub(crate) fn activity(&mut self, step: StepIx, text: &str) {
        self.activity.insert(step, visible(text));
    }

    /// The state after a turn.
    pub(crate) fn turn(&mut self, execution: &Execution) {
        self.activity.retain(|ix, _| execution.steps().get(ix.index()).is_some_and(|step| step.live().is_some()));
        let Mode::Terminal(terminal) = &mut self.mode else { return };
        let counts = execution.counts();
        let usage = execution.usage();
        let cost =
            if usage.cost_micro_usd > 0 { format!(", ${:.2}", money(usage.cost_micro_usd)) } else { String::new() };
        let running = counts.running + counts.merging;
        let waiting = counts.total.saturating_sub(counts.done + counts.failed + counts.cancelled + running);
        let failed = if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
        let service =
            self.until.map_or_else(String::new, |until| format!(", the service waits until {} UTC", clock(until)));
        terminal.total.set_message(format!(
            "{} {}/{} done, {running} running, {waiting} waiting{failed}{cost}{service}",
            execution.id(),
            counts.done,
            counts.total,
        ));
        let live = |ix: &StepIx| matches!(execution.step(*ix).state, StepState::Running(_) | StepState::Merging { .. });
        terminal.steps.retain(|ix, bar| {
            let keep = live(ix);
            if !keep {
                bar.finish_and_clear();
            }
            keep
        });
        for ix in (0..execution.steps().len()).map(StepIx::at).filter(live) {
            let plan = execution.plan().step(ix);
            let what = match &execution.step(ix).state {
                StepState::Merging { .. } => "merging".to_owned(),
                StepState::Running(Running { run: Run::Wanted { .. }, purpose }) => format!("waits to {purpose}"),
                StepState::Running(Running { purpose, .. }) => {
                    self.activity.get(&ix).cloned().unwrap_or_else(|| format!("{purpose}"))
                }
                _ => String::new(),
            };
            let role = plan.role.as_deref().map_or_else(String::new, |role| format!(" {role}"));
            let bar = terminal.steps.entry(ix).or_insert_with(|| {
                let bar = terminal.all.insert_before(&terminal.total, ProgressBar::new_spinner());
                bar.set_style(style("  {spinner} {prefix} {wide_msg} {elapsed:.dim}"));
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            });
            bar.set_prefix(format!("{}{} {}", plan.id, self.paint.dim(&role), self.paint.dim(plan.tier.as_str())));
            bar.set_message(what);
        }
    }

    /// A line that is not an event.
    pub(crate) fn say(&self, out: &mut Out, text: &str) {
        match &self.mode {
            Mode::Terminal(terminal) => drop(terminal.all.println(text)),
            Mode::Plain => out.note(text),
            Mode::Json | Mode::Quiet => {}
        }
    }

    /// Takes the live lines away.
    pub(crate) fn finish(&mut self) {
        if let Mode::Terminal(terminal) = &mut self.mode {
            terminal.steps.values().for_each(ProgressBar::finish_and_clear);
            terminal.total.finish_and_clear();
            drop(terminal.all.clear());
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
