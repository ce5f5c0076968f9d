//! The review loop alone: no plan, no repository, no runtime. A real file is written badly, a reviewer that knows three
//! rules finds it, and fixes follow until it passes. `cargo run -p enki-core --example review_loop`
//!
//! What stands in for agents here are two functions; the machine does not care who did the work.

use enki_core::chain::{Chain, Input, Report, State};
use enki_core::limits::Limits;
use enki_core::review::{Review, Reviewer};
use enki_core::tier::Purpose;
use enki_core::verdict::{Finding, Gate, Severity, Verdict};
use std::error::Error;
use std::fs;
use std::path::Path;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("greet.sh");
    let limits = Limits::default();
    let mut chain = Chain::new(Review::work_then_fix(Reviewer::agent(), 9.0, 3));
    let mut findings = Vec::new();

    while let Some(wanted) = chain.wanted() {
        let (attempt, purpose) = (wanted.attempt, wanted.purpose);
        // A fact first, then the work: a driver would append it to its log here.
        let started = chain.decide(&Input::Start, &limits)?;
        chain.apply(&started);
        let report = match purpose {
            Purpose::Review => {
                let verdict = review(&file)?;
                findings.clone_from(&verdict.findings);
                println!("attempt {attempt}: review: {}", verdict.summary());
                Report::Reviewed { verdict, tree: None }
            }
            Purpose::Work | Purpose::Fix | Purpose::Resolve => {
                let changed = write(&file, findings.first())?;
                println!("attempt {attempt}: {purpose}: {}", if changed { "changed the file" } else { "nothing" });
                Report::Worked { changed, tree: None }
            }
        };
        let ended = chain.decide(&Input::Report { attempt, purpose, report: report.clone() }, &limits)?;
        chain.apply(&ended);
        // The same report again, as a network would deliver it, changes nothing.
        let late = chain.decide(&Input::Report { attempt, purpose, report }, &limits);
        assert!(late.is_err(), "a report counts once");
    }
    println!("{:?} after {} attempts, {} of them fixes", chain.state(), chain.attempts(), chain.course().fixes);
    assert_eq!(chain.state(), State::Complete);
    Ok(())
}

/// The worker: writes it badly, then repairs one finding at a time.
fn write(file: &Path, finding: Option<&Finding>) -> Result<bool, Box<dyn Error>> {
    let before = fs::read_to_string(file).unwrap_or_default();
    let after = match finding {
        None => "echo hello $1\n".to_owned(),
        Some(finding) if finding.title.contains("quote") => before.replace("$1", "\"$1\""),
        Some(_) => format!("#!/bin/sh\n{before}"),
    };
    fs::write(file, &after)?;
    Ok(after != before)
}

/// The reviewer: three rules, one finding each.
fn review(file: &Path) -> Result<Verdict, Box<dyn Error>> {
    let text = fs::read_to_string(file)?;
    let mut verdict = Verdict::of(Gate::Pass);
    if !text.starts_with("#!") {
        verdict.findings.push(Finding::new(Severity::Major, "no interpreter is named"));
    }
    if text.contains(" $1") {
        verdict.findings.push(Finding::new(Severity::Critical, "$1 needs quotes"));
    }
    if !verdict.findings.is_empty() {
        verdict.gate = Some(Gate::Revise);
    }
    verdict.score = Some(10.0 - 2.0 * verdict.findings.len() as f32);
    Ok(verdict)
}
