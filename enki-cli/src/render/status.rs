//! State as text: a list of executions, one execution, one step.

use super::{Paint, short};
use crate::source::visible;
use crate::view::{ExecutionView, ServiceView, StepView};
use enki_core::id::ExecutionId;
use enki_core::store::{Holder, Summary};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The executions of a project and who drives them.
pub(crate) fn list(
    all: &[Summary],
    open: &BTreeMap<ExecutionId, ExecutionView>,
    driver: Option<&Holder>,
    paint: Paint,
) -> String {
    let mut out = String::new();
    match driver {
        Some(holder) => {
            let _ = writeln!(
                out,
                "driven by process {} on {} since {}",
                holder.pid,
                holder.host,
                super::time(holder.since)
            );
        }
        None => out.push_str("nobody drives this project now\n"),
    }
    if driver.is_some() {
        let count = |word: &str| open.values().flat_map(|view| &view.steps).filter(|step| step.status == word).count();
        let _ = writeln!(out, "{} steps at work, {} in merge queues", count("running"), count("merging"));
    }
    if all.is_empty() {
        out.push_str("no executions yet; start one with `enki run PLAN`\n");
    }
    for summary in all {
        let counts = summary.counts;
        let failed = if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
        let running = counts.running + counts.merging;
        let running = if running > 0 { format!(", {running} running") } else { String::new() };
        let _ = writeln!(
            out,
            "{}  {}{:pad$}  {}/{} done{running}{failed}  {}  {}",
            summary.execution,
            paint.status(&summary.status),
            "",
            counts.done,
            counts.total,
            super::time(summary.created),
            visible(&summary.title),
            pad = 9usize.saturating_sub(summary.status.len()),
        );
        for hold in open.get(&summary.execution).iter().flat_map(|view| &view.holds) {
            let (reason, answer) = (visible(&hold.reason), visible(&hold.answer));
            let _ = writeln!(out, "    {} {reason}; answer with: {answer}", paint.wait("waits:"));
        }
        for wait in open.get(&summary.execution).iter().flat_map(|view| &view.services) {
            let _ = writeln!(out, "    {} {}", paint.wait("waits:"), service(wait));
        }
    }
    out
}

/// One execution with its steps.
pub(crate) fn execution(view: &ExecutionView, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}  {}  {}", paint.bold(&view.id), paint.status(view.status), visible(&view.title));
    let landed = match (&view.landed, &view.head) {
        (Some(landed), _) => format!("landed up to {}", short(landed)),
        (None, Some(_)) => "nothing has landed yet".to_owned(),
        (None, None) => "not opened yet".to_owned(),
    };
    let _ = writeln!(out, "  target    {} (lands {}), {landed}", view.target, view.land);
    let _ = writeln!(
        out,
        "  branch    {}{}",
        view.branch,
        view.head.as_deref().map_or_else(String::new, |h| format!(" at {}", short(h)))
    );
    let _ = writeln!(out, "  check     {}", view.check.as_deref().map_or_else(|| "none".to_owned(), visible));
    let _ = writeln!(out, "  created   {} from {}", view.created, view.origin);
    if view.cost.usd > 0.0 || view.cost.tokens > 0 {
        let _ = writeln!(out, "  cost      ${:.2}, {} tokens", view.cost.usd, view.cost.tokens);
    }
    for budget in &view.budgets {
        let text = budget.text();
        let _ = writeln!(out, "  budget    {}", if budget.matters() { paint.wait(&text) } else { text });
    }
    for hold in &view.holds {
        let _ = writeln!(out, "  {}      {} [{}]: {}", paint.wait("hold"), hold.hold, hold.kind, visible(&hold.reason));
        let _ = writeln!(out, "            answer: {}", visible(&hold.answer));
    }
    for reason in view.waiting_for.iter().filter(|reason| view.holds.iter().all(|hold| hold.reason != **reason)) {
        let _ = writeln!(out, "  {}  {}", paint.wait("waits for"), visible(reason));
    }
    for wait in &view.services {
        let _ = writeln!(out, "  {}   {}", paint.wait("service"), service(wait));
    }
    let width = view.steps.iter().map(|step| step.id.len()).max().unwrap_or(0);
    out.push('\n');
    for step in &view.steps {
        let word = step.sub.filter(|_| step.status == "running").unwrap_or(step.status);
        let _ = writeln!(
            out,
            "  {:width$}  {}{:pad$}  {}  {}",
            step.id,
            if step.status == "running" { paint.busy(word) } else { paint.status(word) },
            "",
            step.task,
            more(step),
            pad = 9usize.saturating_sub(word.len()),
        );
    }
    out.lines().map(str::trim_end).fold(String::new(), |all, line| all + line + "\n")
}

fn service(wait: &ServiceView) -> String {
    let (of, until, reason, answer) = (wait.of, &wait.until, visible(&wait.reason), &wait.answer);
    format!("for the service of its {of}s, until {until}: {reason}; to ask it earlier: {answer}")
}

fn more(step: &StepView) -> String {
    let mut parts: Vec<String> = vec![visible(&step.title)];
    parts.extend(
        step.commit
            .as_deref()
            .map(|commit| format!("{}{}", short(commit), if step.landed { "" } else { ", not landed yet" })),
    );
    if step.status == "done" && step.commit.is_none() && step.artifact.is_none() {
        parts.push("no changes".to_owned());
    }
    parts.extend(step.artifact.clone());
    parts.extend(step.reason.as_deref().map(visible));
    parts.extend(step.activity.as_deref().map(visible));
    let share = step.budgets.iter().filter(|_| matches!(step.status, "running" | "merging")).map(|b| b.percent).max();
    parts.extend(share.filter(|share| *share >= 50).map(|share| format!("{share} % of its budget")));
    if step.attempts > 1 {
        parts.push(format!("{} attempts", step.attempts));
    }
    parts.join("  |  ")
}

/// One step with everything about it. `logs` are the output files of its attempts.
pub(crate) fn step(view: &ExecutionView, step: &StepView, logs: &[String], paint: Paint) -> String {
    let mut out = String::new();
    let sub = step.sub.map_or_else(String::new, |sub| format!(" ({sub})"));
    let _ = writeln!(out, "{}  {}{sub}  {}", paint.bold(&step.task), paint.status(step.status), visible(&step.title));
    let _ = writeln!(out, "  step      {} of {} {}", step.id, view.id, visible(&view.title));
    let _ = writeln!(
        out,
        "  tier      {}{}",
        step.tier,
        step.role.as_deref().map_or_else(String::new, |r| format!(", role {r}"))
    );
    if !step.needs.is_empty() {
        let _ = writeln!(out, "  needs     {}", step.needs.join(", "));
    }
    if step.checkpoint {
        out.push_str("  checkpoint after it\n");
    }
    if let Some(reason) = &step.reason {
        let _ = writeln!(out, "  {}    {}", paint.bad("failed"), visible(reason));
        let retry = step.retry.clone().unwrap_or_else(|| format!("enki retry {}", step.task));
        let _ = writeln!(out, "            answer: {retry}");
        if let Some(accept) = &step.accept {
            let _ = writeln!(out, "            or as it is: {accept}");
        }
    }
    for budget in &step.budgets {
        let text = budget.text();
        let _ = writeln!(out, "  budget    {}", if budget.matters() { paint.wait(&text) } else { text });
    }
    if let Some(commit) = &step.commit {
        let _ = writeln!(out, "  commit    {commit}{}", if step.landed { ", landed" } else { ", not landed yet" });
    }
    if let Some(artifact) = &step.artifact {
        let _ = writeln!(out, "  result    {artifact}");
    }
    if let Some(activity) = &step.activity {
        let _ = writeln!(out, "  now       {}", visible(activity));
    }
    let _ = writeln!(out, "  attempts  {}", step.attempts);
    if let Some(level) = step.sandbox {
        let _ = writeln!(out, "  sandbox   level {level}");
    }
    for notice in &step.notices {
        let _ = writeln!(out, "  {}    {}", paint.wait("notice"), visible(notice));
    }
    for log in logs {
        let _ = writeln!(out, "  log       {log}");
    }
    if let Some(output) = &step.output {
        let _ = writeln!(out, "  output");
        for line in output.lines() {
            let _ = writeln!(out, "    {}", visible(line));
        }
    }
    out
}
