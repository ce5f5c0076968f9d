//! Many executions, one after the other, driven by one process (promises R11, R18): what a driver that lives long takes,
//! and what each execution leaves on the disk, stay flat.
//!
//! `enki up` drives. In turn it is given a plan by a client of `enki mcp`, another process that lives as long, and two task
//! notes by `enki queue add`; git, the store and the agents are real.

use crate::place::{Kind, Place};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What is the same after each execution is not in the way of what grows: a step replaces the line of the one before it.
const AGENT: &str = r#"#!/bin/sh
cat >/dev/null
case $ENKI_PURPOSE in
review) printf 'VERDICT: PASS\nSCORE: 10/10\n'; exit 0 ;;
esac
echo "$ENKI_EXECUTION_ID $ENKI_STEP_ID" >work.txt
echo "[OUTPUT]made work.txt[/OUTPUT]"
"#;

/// What was measured after one execution.
#[derive(Clone, Copy, Debug)]
struct Sample {
    driver: Process,
    client: Process,
    /// What Enki has in the project besides the log of its database, that log, and what the person's repository holds.
    enki_kib: u64,
    log_kib: u64,
    git_kib: u64,
    /// Processes of the project besides these two.
    others: u64,
    /// Workspaces, private folders and captures that are still there.
    folders: u64,
}

/// What a process has.
#[derive(Clone, Copy, Debug)]
struct Process {
    memory_kib: u64,
    descriptors: u64,
    threads: u64,
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it runs for as long as it is told")]
fn what_executions_take_and_leave_stays_flat() {
    let seconds = std::env::var("ENKI_SOAK_SECONDS").map_or(5, |text| text.parse().unwrap());
    let place = Place::new(Kind::AWAY);
    fs::write(place.dir.join("agent.sh"), AGENT).unwrap();
    let settings = place.root.join(".enki/enki.toml");
    let text = fs::read_to_string(&settings).unwrap();
    // Nobody is there to approve of what a client divided into steps.
    fs::write(&settings, text + "[approval]\ndecomposition = \"auto\"\n").unwrap();
    let driver = Driver::start(&place);
    let mut client = Client::start(&place);
    let (began, mut samples) = (std::time::Instant::now(), Vec::new());
    while samples.len() < 9 || began.elapsed() < Duration::from_secs(seconds) {
        let id =
            if samples.len().is_multiple_of(2) { client.plan(samples.len()) } else { notes(&place, samples.len()) };
        driver.ended(&id);
        samples.push(sample(&place, &driver, &client));
        if samples.len().is_multiple_of(50) {
            println!("{} executions so far: {:?}", samples.len(), samples.last());
        }
    }
    drop(client);
    driver.end();
    assert_eq!(crate::oracle::processes(&place), Vec::<String>::new(), "processes are left");
    assert_eq!(place.git(&["fsck", "--strict", "--no-dangling", "--no-progress"]), "");
    assert_eq!(place.git(&["log", "--no-merges", "--format=%s", "main"]).lines().count(), 1 + 2 * samples.len());
    judge(&samples);
}

/// Of a third at the begin and the last third the one in the middle, so that what happens to be under way does not matter.
fn judge(samples: &[Sample]) {
    let all = samples.len();
    // The first ones make what all others use: caches and logs that have a size from which on they grow no more, at the
    // latest after a thousand (3,000 commits that are remembered, 256 KiB of each log of what was done).
    let samples = &samples[(samples.len() / 4).clamp(3, 1000)..];
    let third = samples.len() / 3;
    let (early, late) = (&samples[..third], &samples[samples.len() - third..]);
    let middle = |of: fn(&Sample) -> u64, part: &[Sample]| {
        let mut all: Vec<u64> = part.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let mut grew = Vec::new();
    let mut flat = |what: &str, of: fn(&Sample) -> u64, more: u64| {
        let (before, after) = (middle(of, early), middle(of, late));
        if after > before + before / 10 + more {
            grew.push(format!("{what} grew from {before} to {after}"));
        }
        format!("{what} {before} then {after}")
    };
    let told = [
        flat("memory of the driver (KiB)", |s| s.driver.memory_kib, 2048),
        flat("its descriptors", |s| s.driver.descriptors, 4),
        flat("its threads", |s| s.driver.threads, 4),
        flat("memory of the client (KiB)", |s| s.client.memory_kib, 2048),
        flat("its descriptors", |s| s.client.descriptors, 4),
        flat("its threads", |s| s.client.threads, 4),
        flat("other processes", |s| s.others, 0),
        flat("folders of steps", |s| s.folders, 0),
    ];
    println!("{} executions of 2 steps: {}", all, told.join(", "));
    // Rows, commits and notes are kept; nothing else is. A step is a few KiB of each, early and late.
    let slope = |of: fn(&Sample) -> u64, part: &[Sample]| {
        of(&part[part.len() - 1]).saturating_sub(of(&part[0])) / (part.len() as u64 - 1)
    };
    for (what, of) in [(".enki/", (|s| s.enki_kib) as fn(&Sample) -> u64), ("the repository", |s| s.git_kib)] {
        let (before, after) = (slope(of, early), slope(of, late));
        println!("each execution leaves {before} then {after} KiB in {what}");
        // A database grows in steps, by what its log had.
        let steps = 8 * 1024 / samples.len() as u64;
        if slope(of, samples) > 100 + steps || after > before + before / 4 + 4 + steps {
            grew.push(format!("what an execution leaves in {what} grew from {before} to {after} KiB"));
        }
    }
    // It is written back into the database, and begun anew, from 4 MiB on.
    if let Some(most) = samples.iter().map(|sample| sample.log_kib).max().filter(|most| *most > 16 * 1024) {
        grew.push(format!("the log of the database grew to {most} KiB"));
    }
    assert!(grew.is_empty(), "{}\nfirst {:?}\nlast {:?}", grew.join("\n"), early[0], late[third - 1]);
}

/// Whoever drives, and the events that it tells of.
struct Driver {
    child: Ended,
    lines: mpsc::Receiver<String>,
}

/// No execution of these takes that long.
const LIMIT: Duration = Duration::from_secs(60);

/// A process that does not outlive the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Driver {
    fn start(place: &Place) -> Self {
        assert_eq!(place.run(&["projects", "add", "--name", "soak"], None, None).code(), Some(0));
        let mut command = place.command(&["up", "--json"]);
        let told = fs::File::create(place.dir.join("up.err")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(told).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || told.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        crate::troubles::wait_until(&mut child, || {
            std::os::unix::net::UnixStream::connect(place.root.join(".enki/enki.sock")).is_ok()
        });
        Self { child: Ended(child), lines }
    }

    /// Reads on until that execution has ended, which it has to do well.
    fn ended(&self, id: &str) {
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap_or_else(|why| panic!("no end of {id} was told: {why}"));
            let event: Value = serde_json::from_str(&line).unwrap();
            let of = event["execution_id"].as_str().unwrap().trim_start_matches("exec-");
            if id.ends_with(of) && event["event"].get("ended").is_some() {
                assert_eq!(event["event"]["ended"]["status"], "done", "{line}");
                return;
            }
        }
    }

    fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert_eq!(self.child.0.wait().unwrap().code(), Some(130));
    }
}

/// A client of `enki mcp`, which asks whoever drives.
struct Client {
    child: Ended,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(place: &Place) -> Self {
        let mut command = place.command(&["mcp"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        let mut client = Self { child: Ended(child), input, lines };
        let info = json!({"name": "soak", "version": "1"});
        client.ask("initialize", &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}));
        writeln!(client.input, r#"{{"jsonrpc": "2.0", "method": "notifications/initialized"}}"#).unwrap();
        client
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        writeln!(self.input, "{}", json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).unwrap();
        let line = self.lines.next().unwrap().unwrap();
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer.get("error").is_none() && answer["result"]["isError"] != true, "{line}");
        answer["result"].take()
    }

    /// Submits a plan of two steps, and looks how all goes.
    fn plan(&mut self, number: usize) -> String {
        let step = |id: &str, needs: &[&str]| json!({"id": id, "title": id, "description": "Do it.", "needs": needs});
        let plan =
            json!({"title": format!("Plan {number}"), "target": "main", "steps": [step("a", &[]), step("b", &["a"])]});
        let created = self.ask("tools/call", &json!({"name": "enki_execution_create", "arguments": plan}));
        self.ask("tools/call", &json!({"name": "enki_status", "arguments": {}}));
        created["structuredContent"]["execution_id"].as_str().unwrap().to_owned()
    }
}

/// Puts two notes into the queue, as one entry.
fn notes(place: &Place, number: usize) -> String {
    let told = |args: &[&str]| {
        let run = place.run(args, None, None);
        assert_eq!(run.code(), Some(0), "{}", run.told());
        run.stdout().trim_end().to_owned()
    };
    let [one, two] = ["One", "Two"].map(|word| told(&["note", "--kind", "task", &format!("{word} of {number}")]));
    told(&["queue", "add", "--target", "main", &one, &two])
}

/// Measures, once the workspaces of the last execution are gone: that goes on beside its end. What stays is counted.
fn sample(place: &Place, driver: &Driver, client: &Client) -> Sample {
    let entries = |folder: &str| fs::read_dir(place.root.join(".enki").join(folder)).map_or(0, Iterator::count);
    let left = || ["copies", "capture", "aside", "attempts", "private"].map(entries).iter().sum::<usize>();
    let soon = (0..100).find(|_| {
        left() == 0 || {
            thread::sleep(Duration::from_millis(50));
            false
        }
    });
    let folders = soon.map_or_else(left, |_| 0);
    let log_kib = fs::metadata(place.root.join(".enki/enki.db-wal")).map_or(0, |meta| meta.len().div_ceil(1024));
    Sample {
        driver: process(&driver.child.0),
        client: process(&client.child.0),
        enki_kib: kib(&place.root.join(".enki")).saturating_sub(log_kib),
        log_kib,
        git_kib: kib(&place.root.join(".git")),
        others: crate::oracle::processes(place).len().saturating_sub(2) as u64,
        folders: folders as u64,
    }
}

fn process(child: &Child) -> Process {
    let path = Path::new("/proc").join(child.id().to_string());
    let status = fs::read_to_string(path.join("status")).unwrap();
    let number = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    Process {
        // Its own: the store is mapped too, and grows with what is kept, but those pages are the system's to take back.
        memory_kib: number("RssAnon:"),
        descriptors: fs::read_dir(path.join("fd")).unwrap().count() as u64,
        threads: number("Threads:"),
    }
}

/// What is below a folder.
fn kib(folder: &Path) -> u64 {
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => kib(&entry.path()),
        Ok(meta) => meta.len().div_ceil(1024),
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(of).sum()
}
