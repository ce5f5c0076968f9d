//! Review chains as text: a table of those that are open, and what they made together.

use super::{Paint, span};
use crate::chains::{EndedChain, Joined, OpenChain};
use crate::source::visible;
use enki_core::time::Timestamp;
use std::fmt::Write as _;

/// Files of a chain that are named; of more, the number.
const FILES: usize = 6;

/// The open chains, one a line.
pub(crate) fn open_chains(chains: &[OpenChain], now: Timestamp, paint: Paint) -> String {
    if chains.is_empty() {
        return "no review chain is open\n".to_owned();
    }
    let width = |of: fn(&OpenChain) -> usize| chains.iter().map(of).max().unwrap_or(0);
    let (steps, states) = (width(|chain| visible(&chain.step).chars().count()), width(|chain| chain.state.len()));
    let (mut out, mut before) = (String::new(), String::new());
    for chain in chains {
        let of = |name: &String| format!("coordinator {name}");
        let owner = chain.execution_id.clone().or_else(|| chain.coordinator.as_ref().map(of)).unwrap_or_default();
        if owner != before {
            let _ = writeln!(out, "{}", paint.bold(&owner));
            before = owner;
        }
        let score = chain.last_score.map_or_else(|| "no score yet".to_owned(), |score| format!("last {score}/10"));
        let waits = if chain.attempt.is_none() { ", waits for its turn" } else { "" };
        let _ = writeln!(
            out,
            "  {}  {:steps$}  {}{:pad$}  fixes {}/{}  {score}  since {} ({}){waits}",
            chain.wid,
            visible(&chain.step),
            paint.busy(&chain.state),
            "",
            chain.fixes,
            chain.max_fixes,
            chain.since,
            span(now.since(chain.since_at)),
            pad = states.saturating_sub(chain.state.len()),
        );
    }
    out
}

/// What the chains made together: a line of counts, then each chain with its scores, files and output, in plan order.
pub(crate) fn joined(joined: &Joined, paint: Paint) -> Vec<String> {
    let counts = [
        (joined.complete, "passed"),
        (joined.escalated, "escalated"),
        (joined.failed, "failed"),
        (joined.cancelled, "cancelled"),
    ];
    let counts: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let mut lines = vec![format!("  {} {}", paint.bold("reviews:"), counts.join(", "))];
    let width = joined.chains.iter().map(|chain| chain.step.len()).max().unwrap_or(0);
    for chain in &joined.chains {
        lines.push(format!("    {:width$}  {}", chain.step, how(chain, paint)));
        let below = |text: String| format!("    {:width$}  {text}", "");
        if !chain.files.is_empty() {
            lines.push(below(paint.dim(&files(&chain.files))));
        }
        let output = chain.output.as_deref().unwrap_or_default();
        if let Some(first) = output.lines().map(str::trim).find(|line| !line.is_empty()) {
            let more = if output.trim().lines().count() > 1 { " ..." } else { "" };
            lines.push(below(format!("{}{more}", visible(first))));
        }
    }
    lines
}

fn how(chain: &EndedChain, paint: Paint) -> String {
    let word = match chain.state.as_str() {
        "complete" => paint.good("passed"),
        "escalated" => paint.wait("escalated"),
        "failed" => paint.bad("failed"),
        word => paint.dim(word),
    };
    let fixes = match chain.fixes {
        0 => String::new(),
        1 => " after 1 fix".to_owned(),
        n => format!(" after {n} fixes"),
    };
    let scores: Vec<String> =
        chain.scores.iter().map(|score| score.map_or_else(|| "-".to_owned(), |score| score.to_string())).collect();
    let scores = if scores.is_empty() { String::new() } else { format!("  [{}]", scores.join(" ")) };
    let reason = chain.reason.as_deref().map_or_else(String::new, |reason| format!("  {}", visible(reason)));
    format!("{word}{fixes}{scores}{reason}")
}

fn files(all: &[String]) -> String {
    let (named, more) = all.split_at(all.len().min(FILES));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let named: Vec<String> = named.iter().map(|file| visible(file)).collect();
    format!("{}{more}", named.join(", "))
}
