//! What `enki gc` and `enki recover` show.

use super::{Paint, time};
use crate::commands::Context;
use crate::commands::keep::{Fate, Names};
use crate::error::CliError;
use crate::source::visible;
use enki_core::id::TaskId;
use enki_core::time::Timestamp;
use enki_vcs_git::{Pin, Standing, Verdict};
use serde_json::{Value, json};

/// What was kept and what became of it.
pub(crate) fn gc(cx: &mut Context, fates: &[Fate], names: &Names, dry: bool) -> Result<(), CliError> {
    let sum = |gone: bool| fates.iter().filter(|fate| fate.gone == gone).map(|fate| fate.item.bytes).sum::<u64>();
    let count = |gone: bool| fates.iter().filter(|fate| fate.gone == gone).count();
    if cx.out.json {
        let items: Vec<Value> = fates.iter().map(|fate| item(fate, names)).collect();
        let value = json!({"schema": "enki.gc.v1", "dry_run": dry, "items": items,
            "freed": {"items": count(true), "bytes": sum(true)}, "kept": {"items": count(false), "bytes": sum(false)}});
        return cx.out.object(&value);
    }
    let paint = Paint(cx.out.color_out);
    let width = fates.iter().map(|fate| name(fate, names).len()).max().unwrap_or(0).min(60);
    for fate in fates {
        let done = match (fate.gone, dry) {
            (true, true) => "would go",
            (true, false) => "freed",
            (false, _) => "kept",
        };
        let word = word(&fate.item.verdict);
        let word = format!("{word:8}");
        let word = match fate.item.verdict {
            Verdict::Unmerged { .. } => paint.wait(&word),
            _ => paint.dim(&word),
        };
        let name = visible(&name(fate, names));
        let bytes = if fate.item.bytes == 0 { String::new() } else { size(fate.item.bytes) };
        cx.out.line(&format!(
            "{done:8}  {word}  {name:width$}  {bytes:>8}  {}: {}",
            fate.item.what,
            visible(&fate.why)
        ))?;
        if let Verdict::Unmerged { commits } = &fate.item.verdict
            && !fate.gone
        {
            for commit in commits {
                cx.out.line(&format!("                    commit {commit}"))?;
            }
        }
    }
    let verb = if dry { "would free" } else { "freed" };
    let (gone, kept) = (count(true), count(false));
    cx.out.line(&format!(
        "{verb} {gone} {} of {}; kept {kept} of {}",
        if gone == 1 { "item" } else { "items" },
        size(sum(true)),
        size(sum(false))
    ))
}

fn item(fate: &Fate, names: &Names) -> Value {
    let item = &fate.item;
    let (commits, superseded) = match &item.verdict {
        Verdict::Unmerged { commits } => (commits.clone(), Vec::new()),
        Verdict::Landed { superseded } => (Vec::new(), superseded.clone()),
        _ => (Vec::new(), Vec::new()),
    };
    let hex = |commits: Vec<enki_core::id::CommitId>| commits.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({"id": item.id, "what": item.what, "verdict": word(&item.verdict), "gone": fate.gone, "why": fate.why,
        "bytes": item.bytes, "execution_id": item.execution.map(|id| id.to_string()),
        "task_id": item.task.map(|task| task.to_string()), "step": step(item.task, names),
        "paths": item.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "refs": item.refs.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "commits": hex(commits), "archives": hex(superseded)})
}

const fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Derived => "derived",
        Verdict::Landed { .. } => "landed",
        Verdict::Unmerged { .. } => "unmerged",
        Verdict::Archived => "archived",
        Verdict::Foreign => "foreign",
        // Whatever a newer backend knows is not ours to free.
        Verdict::Live | _ => "live",
    }
}

fn name(fate: &Fate, names: &Names) -> String {
    match step(fate.item.task, names) {
        Some(step) => format!("{} {step}", fate.item.id),
        None => fate.item.id.clone(),
    }
}

fn step(task: Option<TaskId>, names: &Names) -> Option<String> {
    names.get(&task?).map(|(_, step)| step.to_string())
}

/// Pinned attempts, the newest first.
pub(crate) fn pins(cx: &mut Context, pins: &[Pin], names: &Names) -> Result<(), CliError> {
    if cx.out.json {
        let all: Vec<Value> = pins.iter().map(|one| pin(one, names)).collect();
        return cx.out.object(&json!({"schema": "enki.recover.v1", "pins": all}));
    }
    let paint = Paint(cx.out.color_out);
    let open: Vec<&Pin> = pins.iter().filter(|pin| pin.standing != Standing::Landed).collect();
    let whose: Vec<String> = open.iter().map(|pin| whose(pin, names)).collect();
    let width = whose.iter().map(String::len).max().unwrap_or(0);
    for (one, whose) in open.iter().zip(whose) {
        let standing = standing(one.standing);
        let when = taken(one).map_or_else(|| "left uncaptured     ".to_owned(), time);
        let files = if one.files == 1 { "file " } else { "files" };
        let commit = paint.bold(&one.commit.short());
        let title = visible(&one.title);
        cx.out.line(&format!("{commit}  {when}  {whose:width$}  {:>4} {files}  {standing:8}  {title}", one.files))?;
    }
    let landed = pins.len() - open.len();
    if landed > 0 {
        cx.out.line(&format!("{landed} more are merged; `enki gc` lets go of their pins"))?;
    }
    if open.is_empty() {
        cx.out.line("no unmerged work is pinned")?;
    } else {
        cx.out.note("make one a branch with: enki recover COMMIT");
    }
    Ok(())
}

/// One pinned attempt, for programs.
pub(crate) fn pin(pin: &Pin, names: &Names) -> Value {
    let known = pin.task.and_then(|task| names.get(&task));
    json!({"commit": pin.commit.to_string(), "refs": pin.refs, "standing": standing(pin.standing), "title": pin.title,
        "execution_id": known.map(|(id, _)| id.to_string()), "step": known.map(|(_, step)| step.to_string()),
        "task_id": pin.task.map(|task| task.to_string()), "attempt": pin.attempt.map(|attempt| attempt.0),
        "at": taken(pin).map(time), "files": pin.files})
}

/// When it was captured, if anybody captured it.
fn taken(pin: &Pin) -> Option<Timestamp> {
    (pin.at != Timestamp(0)).then_some(pin.at)
}

fn whose(pin: &Pin, names: &Names) -> String {
    let Some(task) = pin.task else { return "a candidate of nobody's step".to_owned() };
    let attempt = pin.attempt.map_or_else(String::new, |attempt| format!(", attempt {attempt}"));
    match names.get(&task) {
        Some((execution, step)) => format!("{execution}/{step}{attempt}"),
        None => format!("{task}{attempt}"),
    }
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Unmerged => "unmerged",
        Standing::Archived => "archived",
        Standing::Landed => "landed",
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut whole, mut tenth, mut unit) = (bytes, 0, 0);
    while whole >= 1000 && unit + 1 < UNITS.len() {
        (whole, tenth, unit) = (whole / 1000, whole % 1000 / 100, unit + 1);
    }
    if unit == 0 || whole >= 100 {
        format!("{whole} {}", UNITS[unit])
    } else {
        format!("{whole}.{tenth} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits_that_matter() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123_456, "123 kB"), (7_890_000_000, "7.8 GB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
