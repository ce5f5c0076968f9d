//! Many executions, one after the other, in one project (promises R11, R18): what a run takes and what it leaves stay flat.

use crate::place::{Kind, Place};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// What was measured after one execution.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The most memory that its run had at once.
    peak_kib: u64,
    /// The most descriptors that were seen open.
    descriptors: usize,
    /// What Enki has in the project, and what the person's repository holds.
    enki_kib: u64,
    git_kib: u64,
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it runs for as long as it is told")]
fn what_executions_take_and_leave_stays_flat() {
    let seconds = std::env::var("ENKI_SOAK_SECONDS").map_or(5, |text| text.parse().unwrap());
    let (place, began) = (Place::new(Kind::AWAY), std::time::Instant::now());
    let mut samples = Vec::new();
    // The first ones make what all others use.
    while samples.len() < 9 || began.elapsed() < Duration::from_secs(seconds) {
        samples.push(execution(&place, samples.len()));
    }
    assert_eq!(crate::oracle::processes(&place), Vec::<String>::new(), "processes are left");
    assert_eq!(place.git(&["fsck", "--strict", "--no-dangling", "--no-progress"]), "");
    assert_eq!(place.git(&["log", "--no-merges", "--format=%s", "main"]).lines().count(), 1 + 2 * samples.len());
    let (first, last) = (samples[2], samples[samples.len() - 1]);
    println!("{} executions of 2 steps; the third: {first:?}; the last: {last:?}", samples.len());
    let third = samples.len() / 3;
    let most = |of: fn(&Sample) -> u64, part: &[Sample]| part.iter().map(of).max().unwrap();
    let (early, late) = (&samples[..third], &samples[samples.len() - third..]);
    let flat = |what: &str, of: fn(&Sample) -> u64, more: u64| {
        let (before, after) = (most(of, early), most(of, late));
        assert!(after <= before + before / 10 + more, "{what} grew from {before} to {after}");
    };
    flat("memory of a run (KiB)", |sample| sample.peak_kib, 2048);
    flat("descriptors of a run", |sample| sample.descriptors as u64, 8);
    // Rows and commits are kept; nothing else is. A step is a few KiB of each.
    let each = |of: fn(&Sample) -> u64| (of(&last).saturating_sub(of(&first))) / (samples.len() as u64 - 3);
    let (enki, git) = (each(|sample| sample.enki_kib), each(|sample| sample.git_kib));
    println!("each execution leaves {enki} KiB in .enki/ and {git} KiB in the repository");
    assert!(enki <= 400 && git <= 400, "an execution leaves {enki} KiB in .enki/ and {git} KiB in the repository");
}

fn execution(place: &Place, number: usize) -> Sample {
    let step = |name: &str, needs: &[String]| {
        let id = format!("{name}{number}");
        serde_json::json!({"id": id, "title": id, "description": "Do it.", "tier": "light", "needs": needs})
    };
    let steps = [step("a", &[]), step("b", &[format!("a{number}")])];
    let plan = place.dir.join("soak.json");
    fs::write(
        &plan,
        serde_json::json!({"title": format!("Plan {number}"), "target": "main", "steps": steps}).to_string(),
    )
    .unwrap();
    let create = |what: &str| Stdio::from(fs::File::create(place.dir.join(what)).unwrap());
    let mut command = place.command(&["run", plan.to_str().unwrap(), "--json"]);
    let mut child = command.stdin(Stdio::null()).stdout(create("soak.out")).stderr(create("soak.err")).spawn().unwrap();
    let process = Path::new("/proc").join(child.id().to_string());
    let (mut peak_kib, mut descriptors) = (0, 0);
    let (tell, tick) = std::sync::mpsc::channel::<()>();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let text = fs::read_to_string(process.join("status")).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_kib = peak.unwrap_or(0).max(peak_kib);
        descriptors = fs::read_dir(process.join("fd")).map_or(0, Iterator::count).max(descriptors);
        // A look each twentieth of a second; nothing is ever told.
        let _ = tick.recv_timeout(Duration::from_millis(50));
    };
    drop(tell);
    assert!(status.success(), "{status}: {}", fs::read_to_string(place.dir.join("soak.err")).unwrap());
    Sample { peak_kib, descriptors, enki_kib: kib(&place.root.join(".enki")), git_kib: kib(&place.root.join(".git")) }
}

fn kib(folder: &Path) -> u64 {
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => kib(&entry.path()),
        Ok(meta) => meta.len().div_ceil(1024),
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(of).sum()
}
