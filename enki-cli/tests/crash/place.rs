//! A project with a plan, and runs of the binary in it that may be killed.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// No run of these plans takes that long.
const LIMIT: Duration = Duration::from_secs(120);

/// How the name of a trace of the person's own git ends.
pub(crate) const PERSON: &str = "person.trace";

/// How often a run is started again until its plan ends.
const ROUNDS: usize = 12;

/// What differs between projects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Whether the target is checked out, so that landing fast-forwards a person's files.
    pub(crate) checked_out: bool,
    /// Whether the store is there, of an older schema.
    pub(crate) old_store: bool,
    /// Steps that only make a file, beside the others.
    pub(crate) more_steps: usize,
    /// The steps: `id` or `id:need,need`, with `!` after the id of one with a checkpoint and `+` of one with a review. What
    /// `x` and `y` do clashes, unless one comes after the other; a review of `r` asks for a fix.
    pub(crate) plan: &'static str,
    pub(crate) repository: Repository,
    /// Whether all of it lands at the end.
    pub(crate) land_end: bool,
    /// Whether nobody has called `enki init` yet, and the settings are the person's.
    pub(crate) unknown: bool,
}

/// What is peculiar about the person's repository.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Repository {
    Plain,
    Sha256,
    /// All refs in one file, all objects in one pack.
    Packed,
    /// Some hundred files in folders.
    Large,
}

impl Kind {
    /// A target that nobody has checked out.
    pub(crate) const AWAY: Self = Self {
        checked_out: false,
        old_store: false,
        more_steps: 0,
        plan: "first+ x!:first y:first last:x,y",
        repository: Repository::Plain,
        land_end: false,
        unknown: false,
    };
}

/// A project with a plan, which unless said otherwise has a review, a conflict, a checkpoint and a check.
#[derive(Debug)]
pub(crate) struct Place {
    _dir: tempfile::TempDir,
    /// Everything of it is below this folder, and every process of it has it in its environment.
    pub(crate) dir: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) steps: Vec<String>,
    kind: Kind,
    runs: std::cell::Cell<u32>,
    /// Where each run's calls to the system are written, if they are.
    pub(crate) recorded: std::cell::RefCell<Vec<PathBuf>>,
    pub(crate) records: std::cell::Cell<bool>,
}

/// A run that ended, or was ended.
#[derive(Debug)]
pub(crate) struct Run {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    /// The crash points that it passed, in order.
    pub(crate) passed: Vec<String>,
}

impl Run {
    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// How it ended, and what it said last.
    pub(crate) fn told(&self) -> String {
        let last = self.stdout.lines().last().unwrap_or_default();
        format!("a run ended with {}: {last}\n{}", self.status, self.stderr)
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn stdout(&self) -> &str {
        &self.stdout
    }

    pub(crate) fn hits(&self, point: &str) -> usize {
        self.passed.iter().filter(|name| *name == point).count()
    }
}

const AGENT: &str = r#"#!/bin/sh
cat >/dev/null
case $ENKI_PURPOSE in
review)
    case $ENKI_STEP_ID in r)
        [ -e fixed.txt ] || { printf 'VERDICT: REVISE\nSCORE: 5/10\n- it is not fixed\n'; exit 0; } ;;
    esac
    printf 'VERDICT: PASS\nSCORE: 10/10\n'; exit 0 ;;
fix) echo yes >fixed.txt ;;
resolve) printf 'x\ny\n' >shared.txt ;;
*) case $ENKI_STEP_ID in x|y)
    # On one base both replace the line that was there before, and clash; after the other one it is added.
    lines=$(grep -v before shared.txt; echo $ENKI_STEP_ID)
    echo "$lines" | sort -u >shared.txt ;;
esac ;;
esac
echo "by $ENKI_STEP_ID" >$ENKI_STEP_ID.txt
echo "[OUTPUT]made $ENKI_STEP_ID.txt[/OUTPUT]"
"#;

impl Place {
    pub(crate) fn new(kind: Kind) -> Self {
        Self::below(kind, &std::env::temp_dir())
    }

    /// The same below another folder.
    pub(crate) fn below(kind: Kind, folder: &Path) -> Self {
        let temp = tempfile::Builder::new().prefix("enki-crash-").tempdir_in(folder).unwrap();
        let dir = temp.path().canonicalize().unwrap();
        let root = dir.join("project");
        fs::create_dir_all(dir.join("home")).unwrap();
        fs::create_dir_all(&root).unwrap();
        let folder = if kind.unknown { dir.join("home/.config/enki") } else { root.join(".enki") };
        fs::create_dir_all(&folder).unwrap();
        let agent = dir.join("agent.sh");
        fs::write(&agent, AGENT).unwrap();
        let settings = format!(
            "[agent]\ncommand = \"sh\"\nargs = [{agent:?}]\n[agent.reviewer]\ncommand = \"sh\"\nargs = [{agent:?}]\n\
             [refinery]\ncheck = \"test ! -e broken\"\n"
        );
        fs::write(folder.join(if kind.unknown { "config.toml" } else { "enki.toml" }), settings).unwrap();
        if kind.old_store {
            fs::write(root.join(".enki/enki.db"), old_store()).unwrap();
            fs::set_permissions(root.join(".enki/enki.db"), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let more: Vec<String> = (1..=kind.more_steps).map(|n| format!("more{n}")).collect();
        let of_plan = kind.plan.split_whitespace().map(|step| plain(step).to_owned());
        let place = Self {
            _dir: temp,
            steps: of_plan.chain(more).collect(),
            kind,
            dir,
            root,
            runs: std::cell::Cell::new(0),
            recorded: std::cell::RefCell::default(),
            records: std::cell::Cell::new(false),
        };
        let how: &[&str] = match kind.repository {
            Repository::Sha256 => &["--object-format=sha256"],
            Repository::Plain | Repository::Packed | Repository::Large => &[],
        };
        place.git(&[&["init", "-q", "-b", "main"], how].concat());
        fs::write(place.root.join("shared.txt"), "before\n").unwrap();
        if matches!(kind.repository, Repository::Large) {
            for n in 0..300 {
                let folder = place.root.join(format!("src/{}", n % 17));
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(format!("{n}.txt")), format!("file {n}\n").repeat(n)).unwrap();
            }
            place.git(&["add", "src"]);
        }
        place.git(&["add", "shared.txt"]);
        place.git(&["commit", "-q", "-m", "begin"]);
        if matches!(kind.repository, Repository::Packed) {
            place.git(&["tag", "v1"]);
            place.git(&["gc", "-q"]);
        }
        if !kind.checked_out {
            place.git(&["checkout", "-q", "-b", "elsewhere"]);
        }
        place.write_plan();
        place
    }

    fn write_plan(&self) {
        let step = |text: &str| {
            let (id, needs) = text.split_once(':').unwrap_or((text, ""));
            let needs: Vec<&str> = needs.split(',').filter(|need| !need.is_empty()).collect();
            let plain = plain(id);
            serde_json::json!({"id": plain, "title": format!("Step {plain}"), "description": "Do it.", "tier": "light",
                "needs": needs, "checkpoint": id.contains('!'), "review": if id.contains('+') { "code" } else { "none" }})
        };
        let of_plan: Vec<&str> = self.kind.plan.split_whitespace().collect();
        let more = self.steps[of_plan.len()..].iter().map(String::as_str);
        let steps: Vec<Value> = of_plan.iter().copied().chain(more).map(step).collect();
        let land = if self.kind.land_end { "end" } else { "each" };
        // The request's id makes a run after the end the same request again.
        let plan = serde_json::json!({"title": "A plan", "target": "main", "request_id": "the-one", "land": land,
            "steps": steps});
        fs::write(self.dir.join("plan.json"), plan.to_string()).unwrap();
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"])
            .args(args)
            .current_dir(&self.root)
            .env_remove("GIT_DIR")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    }

    /// The person's own git, with what it writes recorded as all other calls are.
    pub(crate) fn persons_git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=p", "-c", "user.email=p@example.invalid", "-c", "core.fsync=all"]).args(args);
        command.current_dir(&self.root).env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", self.dir.join("home"));
        if self.records.get() {
            let trace = self.dir.join(format!("{}.{PERSON}", self.runs.replace(self.runs.get() + 1)));
            self.recorded.borrow_mut().push(trace.clone());
            command = crate::images::record(&trace, &command);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// A call of the binary in this project, to be made.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let other = std::env::var_os("ENKI_BINARY");
        let mut command = Command::new(other.unwrap_or_else(|| assert_cmd::cargo::cargo_bin!("enki").into()));
        command.current_dir(&self.root).args(args).env_clear();
        command.env("HOME", self.dir.join("home")).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        // Agents that are held back die with whoever drives; here they have to be left sometimes.
        command.env("ENKI_SANDBOX_LEVEL", "0");
        command
    }

    /// One call of the binary. `crash_at` is the crash point at which it dies; `kill` ends it from outside.
    pub(crate) fn run(&self, args: &[&str], crash_at: Option<&str>, kill: Option<&Kill>) -> Run {
        let number = self.runs.replace(self.runs.get() + 1);
        let file = |what: &str| self.dir.join(format!("{number}.{what}"));
        let (out, err, log) = (file("out"), file("err"), file("points"));
        let mut command = self.command(args);
        if self.records.get() {
            let trace = file("trace");
            self.recorded.borrow_mut().push(trace.clone());
            command = crate::images::record(&trace, &command);
        }
        command.env("ENKI_CRASH_LOG", &log).envs(crash_at.map(|at| ("ENKI_CRASH_AT", at)));
        let create = |path: &Path| Stdio::from(fs::File::create(path).unwrap());
        let mut child = command.stdin(Stdio::null()).stdout(create(&out)).stderr(create(&err)).spawn().unwrap();
        let pid = child.id();
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || tell.send(child.wait().unwrap()).ok());
        let status = match ended.recv_timeout(kill.map_or(LIMIT, |kill| kill.after)) {
            Ok(status) => status,
            Err(_) => {
                let gits = if kill.is_some_and(|kill| kill.gits) { gits_of(pid) } else { Vec::new() };
                std::iter::once(pid).chain(gits).for_each(end);
                let status = ended.recv_timeout(LIMIT).unwrap();
                assert!(kill.is_some(), "{args:?} did not end: {}", fs::read_to_string(&err).unwrap());
                status
            }
        };
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let passed = read(&log).lines().map(str::to_owned).collect();
        Run { status, stdout: read(&out), stderr: read(&err), passed }
    }

    /// Runs the plan, and goes on with it, until it ends. `how` says how each of its runs is killed, if at all, until it
    /// says that no more are.
    pub(crate) fn to_the_end(&self, mut how: impl FnMut(&Self, &[&str]) -> Option<Run>) -> Result<Vec<Run>, String> {
        let plan = self.dir.join("plan.json");
        let (run, resume) = (["run", plan.to_str().unwrap(), "--json"], ["resume", "--json"]);
        let mut next = &run[..];
        let mut runs: Vec<Run> = Vec::new();
        let mut left = ROUNDS;
        loop {
            let one = match how(self, next) {
                Some(one) => one,
                None if left == 0 => {
                    return Err(format!("it does not end: {}", runs.last().map_or_else(String::new, Run::told)));
                }
                None => {
                    left -= 1;
                    self.run(next, None, None)
                }
            };
            next = match one.status.code() {
                Some(0) => {
                    runs.push(one);
                    return Ok(runs);
                }
                Some(8) if waits_at_checkpoint(&one.stdout) || is_paused(&one.stdout) => &resume,
                None if one.was_killed() => &run,
                _ => return Err(one.told()),
            };
            runs.push(one);
        }
    }

    /// What the store says happened.
    pub(crate) fn events(&self, status: &str) -> Result<Vec<Value>, String> {
        let ask = |args: &[&str]| {
            let run = self.run(&[args, &["--json"]].concat(), None, None);
            if run.status.success() { Ok(run.stdout) } else { Err(format!("{args:?}: {}", run.stderr)) }
        };
        let all: Value = serde_json::from_str(&ask(&["status"])?).map_err(|e| e.to_string())?;
        let [execution] = all["executions"].as_array().unwrap().as_slice() else {
            return Err(format!("not one execution: {all}"));
        };
        if execution["status"] != status {
            return Err(format!("it is not {status}: {execution}"));
        }
        let log = ask(&["log", execution["id"].as_str().unwrap()])?;
        Ok(log.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

/// An end from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    pub(crate) after: Duration,
    /// Whether its gits die with it.
    pub(crate) gits: bool,
}

/// Whether nothing but the checkpoint of the plan is waited for: a crash must not call for a person.
fn waits_at_checkpoint(stdout: &str) -> bool {
    let end: Value = stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    end["holds"]
        .as_array()
        .is_some_and(|holds| !holds.is_empty() && holds.iter().all(|hold| hold["kind"] == "checkpoint"))
}

fn is_paused(stdout: &str) -> bool {
    let end: Value = stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    end["status"] == "paused"
}

/// The id of a step of a [`Kind`].
fn plain(step: &str) -> &str {
    step.split(['!', '+', ':']).next().unwrap_or(step)
}

fn end(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    // It may be gone by now.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// The gits that a process has started.
fn gits_of(parent: u32) -> Vec<u32> {
    let child = |entry: fs::DirEntry| -> Option<u32> {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        (name == "git" && rest.split(' ').nth(1)? == parent.to_string()).then_some(pid)
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(child).collect()
}

/// A database of ours without a table: schema 0, as the header of SQLite's file format has it.
fn old_store() -> Vec<u8> {
    let mut page = vec![0; 512];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..24].copy_from_slice(&[2, 0, 1, 1, 0, 64, 32, 32]);
    for (at, number) in [(24, 1_u32), (28, 1), (44, 4), (56, 1), (68, 0x454e_4b49), (92, 1), (96, 3_051_003)] {
        page[at..at + 4].copy_from_slice(&number.to_be_bytes());
    }
    // A leaf without cells, whose content begins at the page's end.
    page[100] = 13;
    page[105] = 2;
    page
}
