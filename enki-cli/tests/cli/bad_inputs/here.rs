//! The rows that one call after the other shows, at the binary in a project of its own.

use crate::common::{Place, both, code, enki, git};
use enki_store_sqlite::{OpenOptions, SqliteStore};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

/// Where a row is shown, and what was seen.
pub(super) struct Bench {
    row: u32,
    place: Place,
    seen: String,
    /// What did not end as it should.
    wrong: Vec<String>,
}

impl Bench {
    pub(super) fn new(row: u32) -> Self {
        Self { row, place: Place::new(), seen: String::new(), wrong: Vec::new() }
    }

    /// What was seen, with everything out that differs from run to run; and what was wrong.
    pub(super) fn seen(self) -> (String, Vec<String>) {
        let dir = self.place.dir.path().to_str().unwrap();
        let text = self.seen.replace(dir, "[DIR]").replace(&dir.replace('/', "_"), "[DIR]");
        let text = match text.split_once("/enki-demo-") {
            Some((before, after)) => format!("{before}/enki-demo-[RANDOM]{}", &after[6..]),
            None => text,
        };
        let words = text.split_inclusive([' ', '\n', '"', '`', '(', ')', ',', '/', ';']).map(|word| {
            let plain = word.trim_end_matches([' ', '\n', '"', '`', '(', ')', ',', '/', ';', ':', '.']);
            let id = plain.strip_prefix("exec-").or(plain.strip_prefix("task-")).unwrap_or(plain);
            let hex = matches!(id.len(), 12 | 32 | 40) && id.bytes().all(|b| b.is_ascii_hexdigit());
            if hex { word.replace(id, "[ID]") } else { word.to_owned() }
        });
        let text: String = words.collect();
        let lines = text.lines().map(|line| line.chars().take(160).chain(['\n']).collect::<String>());
        (lines.collect(), self.wrong)
    }

    /// Calls in the project, and sees that it ends so and says why.
    fn call(&mut self, exit: i32, args: &[&str]) -> String {
        let output = self.place.enki(args);
        self.saw(exit, &args.join(" "), &output)
    }

    /// The same with another folder, or variables.
    fn run(&mut self, exit: i32, what: &str, command: &mut Command) -> String {
        let output = command.output().unwrap();
        self.saw(exit, what, &output)
    }

    fn saw(&mut self, exit: i32, what: &str, output: &Output) -> String {
        let said = both(output);
        if code(output) != exit || said.contains("panicked") {
            self.wrong.push(format!("bad input {}: {what}: {} and not {exit}: {said}", self.row, code(output)));
        }
        let what: String = what.chars().take(80).collect();
        let _ = writeln!(self.seen, "   {} {}", code(output), what.escape_debug());
        let told = ["error", "hint:", "warning:", "waits:", "--> ", "a  failed: ", "tip: "];
        let lines = said.lines().map(str::trim);
        let lines = lines.filter(|line| told.iter().any(|word| line.starts_with(word)) || line.contains("help: "));
        // How many problems a file has is told again at the end.
        let lines: Vec<_> = lines.filter(|line| !line.ends_with(" 1 error")).take(4).collect();
        if lines.is_empty() && !matches!(exit, 0 | 141) {
            self.wrong.push(format!("bad input {}: {what}: nothing says why: {said}", self.row));
        }
        for line in lines {
            let _ = writeln!(self.seen, "     {line}");
        }
        said
    }

    /// Checks a plan of that text.
    fn plan(&mut self, exit: i32, name: &str, text: &str) -> String {
        fs::write(self.place.root.join(name), text).unwrap();
        self.call(exit, &["plan", "check", name])
    }

    fn configured(&mut self, exit: i32, what: &str, text: &str) -> String {
        fs::write(self.place.root.join("enki.toml"), text).unwrap();
        let output = self.place.enki(&["config", "show"]);
        self.saw(exit, what, &output)
    }

    fn step(id: &str) -> String {
        format!("{{\"id\": {}, \"title\": \"T\", \"description\": \"D\"}}", serde_json::Value::from(id))
    }

    fn steps(ids: &[&str]) -> String {
        format!("{{\"steps\": [{}]}}", ids.iter().map(|id| Self::step(id)).collect::<Vec<_>>().join(", "))
    }
}

pub(super) fn unknown_words(b: &mut Bench) {
    b.call(2, &["plna"]);
    b.call(2, &["status", "--jsn"]);
}

pub(super) fn outside(b: &mut Bench) {
    let folder = b.place.dir.path().join("nowhere");
    fs::create_dir(&folder).unwrap();
    b.run(3, "run --task T", &mut b.place.command_in(&folder, &["run", "--task", "T"]));
    assert!(fs::read_dir(&folder).unwrap().next().is_none());
}

pub(super) fn no_project(b: &mut Bench) {
    for (name, args, call) in
        [("bare", &["init", "-q", "--bare"][..], &["init"][..]), ("unborn", &["init", "-q"], &["run", "--task", "T"])]
    {
        let folder = b.place.dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        git(&folder, args);
        b.run(3, name, &mut b.place.command_in(&folder, call));
    }
}

pub(super) fn detached(b: &mut Bench) {
    git(&b.place.root, &["checkout", "-q", "--detach"]);
    b.call(2, &["run", "--task", "T"]);
}

pub(super) fn targets_like_options(b: &mut Bench) {
    b.call(2, &["run", "--task", "T", "--target", "-x"]);
    b.call(2, &["run", "--task", "T", "--target", "--upload-pack=sh"]);
}

pub(super) fn targets_that_are_none(b: &mut Bench) {
    git(&b.place.root, &["tag", "v1"]);
    let head = git(&b.place.root, &["rev-parse", "HEAD"]);
    git(&b.place.root, &["update-ref", "refs/remotes/origin/there", head.trim()]);
    for target in ["nowhere", "v1", "there"] {
        b.call(2, &["run", "--task", "T", "--target", target]);
    }
}

pub(super) fn dirty(b: &mut Bench) {
    fs::write(b.place.root.join("a.txt"), "mine\n").unwrap();
    git(&b.place.root, &["add", "a.txt"]);
    let plan = b.place.plan("p.json", &["a"]);
    b.call(4, &["run", plan.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(b.place.root.join("a.txt")).unwrap(), "mine\n");
}

pub(super) fn numbers(b: &mut Bench) {
    for jobs in ["0", "-1", "1000000000", "NaN"] {
        b.call(2, &["run", "--task", "T", "--jobs", jobs]);
    }
}

pub(super) fn reader_gone(b: &mut Bench) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = b.place.command(&["plan", "schema"]).stdout(writer).output().unwrap();
    assert!(output.stderr.is_empty());
    b.saw(141, "plan schema | nobody", &output);
}

pub(super) fn odd_places(b: &mut Bench) {
    let program = assert_cmd::cargo::cargo_bin!("enki");
    let mut command = Command::new("sh");
    command.args(["-c", "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" init"]).arg(program);
    b.run(3, "a working directory that was deleted", command.current_dir(&b.place.root));
    let odd = b.place.dir.path().join(OsStr::from_bytes(b"caf\xe9"));
    crate::common::repository(&odd);
    b.run(0, "a path that is no UTF-8", enki(&odd).arg("init"));
    assert!(odd.join(".enki/.gitignore").is_file());
}

pub(super) fn no_home(b: &mut Bench) {
    b.run(3, "HOME unset", b.place.command(&["config", "show"]).env_remove("HOME"));
    let nowhere = b.place.dir.path().join("no-such-folder");
    let said = b.run(3, "TMPDIR not there", b.place.command(&["demo"]).env("TMPDIR", &nowhere));
    assert!(said.contains("TMPDIR"), "{said}");
    // Nothing else of Enki's is put there.
    let plan = b.place.plan("p.json", &["a"]);
    b.run(0, "a run, which needs none", b.place.command(&["run", plan.to_str().unwrap()]).env("TMPDIR", &nowhere));
}

pub(super) fn cancels(b: &mut Bench) {
    b.call(9, &["cancel", "0123456789ab"]);
    let plan = b.place.plan("p.json", &["a"]);
    assert_eq!(code(&b.place.enki(&["run", plan.to_str().unwrap()])), 0);
    let id = b.place.newest();
    b.call(0, &["cancel", &id]);
}

pub(super) fn no_steps(b: &mut Bench) {
    for (name, text) in [("a.json", ""), ("b.json", "[]"), ("c.toml", "title = \"T\"\n"), ("d.yaml", "steps: []\n")] {
        b.plan(2, name, text);
    }
}

pub(super) fn syntax(b: &mut Bench) {
    for (name, text) in
        [("a.json", "{\n  \"steps\": [],\n}"), ("a.toml", "title = \nland = 1\n"), ("a.yaml", "steps:\n\t- id: a\n")]
    {
        b.plan(2, name, text);
    }
}

pub(super) fn marks(b: &mut Bench) {
    let fields = "\"title\":\t\"T\", \"description\": \"D\"";
    b.plan(0, "a.json", &format!("\u{feff}{{\"steps\": [\r\n\t{{\"id\": \"a\", {fields}}}\r\n]}}\r\n"));
    b.plan(0, "a.toml", "\u{feff}[[steps]]\r\nid\t= \"a\"\r\ntitle = \"T\"\r\ndescription = \"D\"\r\n");
}

pub(super) fn twice(b: &mut Bench) {
    b.plan(2, "key.json", "{\"title\": \"a\",\n \"title\": \"b\", \"steps\": []}");
    b.plan(2, "id.json", &Bench::steps(&["a", "b", "a"]));
}

pub(super) fn ids(b: &mut Bench) {
    let long = "a".repeat(65);
    for (n, id) in
        ["../../etc", "a/b", ".", "", &long, "-rf", "CON", "a\0b", "a\nb", "🙂", "a\u{202e}b"].iter().enumerate()
    {
        let said = b.plan(2, &format!("{n}.json"), &Bench::steps(&[id]));
        assert!(!said.contains(['\0', '\u{202e}']), "{said:?}");
    }
}

pub(super) fn ids_alike(b: &mut Bench) {
    b.plan(2, "case.json", &Bench::steps(&["build", "Build"]));
    b.plan(2, "form.json", &Bench::steps(&["e\u{301}", "\u{e9}"]));
}

pub(super) fn needs(b: &mut Bench) {
    for (name, steps) in [("unknown", &["a: zz"][..]), ("itself", &["a: a"]), ("cycle", &["a: c", "b: a", "c: b"])] {
        let plan = b.place.plan(&format!("{name}.json"), steps);
        fs::copy(plan, b.place.root.join(format!("{name}.json"))).unwrap();
        b.call(2, &["plan", "check", &format!("{name}.json")]);
    }
}

pub(super) fn many_steps(b: &mut Bench) {
    let ids: Vec<String> = (0..100_000).map(|n| format!("s{n}")).collect();
    b.plan(2, "many.json", &Bench::steps(&ids.iter().map(String::as_str).collect::<Vec<_>>()));
    let chain: Vec<String> = (0..10_000)
        .map(|n| format!("[[steps]]\nid = \"s{n}\"\ntitle = \"T\"\ndescription = \"D\"\nneeds = [\"s{}\"]\n", n + 1))
        .collect();
    b.plan(2, "chain.toml", &chain.concat());
}

pub(super) fn large(b: &mut Bench) {
    b.plan(2, "large.json", &format!("{{\"title\": \"{}\"}}", "x".repeat(100 << 20)));
    b.plan(2, "deep.json", &"[".repeat(100_000));
    let bomb: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1)).collect();
    b.plan(2, "bomb.yaml", &format!("a0: &a0 x\n{bomb}"));
}

pub(super) fn fields(b: &mut Bench) {
    let with = |field: &str| format!("[[steps]]\nid = \"a\"\ntitle = \"T\"\ndescription = \"D\"\n{field} = []\n");
    b.plan(2, "typo.toml", &with("neeeds"));
    b.plan(2, "unknown.toml", &with("colour"));
}

pub(super) fn values(b: &mut Bench) {
    for (n, field) in
        ["tier = \"huge\"", "role = \"wizard\"", "needs = 3", "timeout = -5", "timeout = 1e308"].iter().enumerate()
    {
        b.plan(
            2,
            &format!("{n}.toml"),
            &format!("[[steps]]\nid = \"a\"\ntitle = \"T\"\ndescription = \"D\"\n{field}\n"),
        );
    }
}

pub(super) fn no_configuration(b: &mut Bench) {
    fs::remove_file(b.place.root.join(".enki/enki.toml")).unwrap();
    let said = b.call(0, &["config", "show"]);
    assert!(said.contains("the defaults hold"), "{said}");
}

pub(super) fn no_files(b: &mut Bench) {
    let path = b.place.root.join("enki.toml");
    fs::create_dir(&path).unwrap();
    b.call(2, &["config", "show"]);
    fs::remove_dir(&path).unwrap();
    fs::write(b.place.dir.path().join("outside.toml"), "").unwrap();
    symlink("../outside.toml", &path).unwrap();
    b.call(2, &["config", "show"]);
    fs::remove_file(&path).unwrap();
    // A file that nobody can read, whoever it is: the memory of a process at its first page.
    let own = b.place.dir.path().join("home/.config/enki");
    fs::create_dir_all(&own).unwrap();
    symlink("/proc/self/mem", own.join("config.toml")).unwrap();
    b.call(3, &["config", "show"]);
}

pub(super) fn checks(b: &mut Bench) {
    fs::write(b.place.root.join("check.sh"), "#!/bin/sh\n").unwrap();
    for check in ["", " ", "./no-such-check", "no-such-check --fast", "./check.sh"] {
        b.call(2, &["run", "--task", "T", "--check", check]);
    }
    assert_eq!(b.place.json(&["status"])["executions"].as_array().unwrap().len(), 0);
}

pub(super) fn trust(b: &mut Bench) {
    let said = b.configured(0, "store.any_file_system in enki.toml", "[store]\nany_file_system = true\n");
    assert!(said.contains("store.any_file_system = false"), "{said}");
}

pub(super) fn no_rounds(b: &mut Bench) {
    b.configured(2, "review.max_rounds = 0", "[review]\nmax_rounds = 0\n");
}

pub(super) fn no_lease(b: &mut Bench) {
    no_rounds(b);
    // Three beats to a lease is a rule of the driver, and no setting that could be wrong.
    let said = b.configured(0, "workers.lease = 1", "[workers]\nlease = 1\n");
    assert!(said.contains("lease"), "{said}");
}

/// What the server of tools answers to these lines: a code and a message for each that is refused.
fn served(b: &mut Bench, what: &str, lines: &[&str]) -> Vec<serde_json::Value> {
    use std::io::Write as _;
    let mut command = b.place.command(&["mcp"]);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    b.saw(0, what, &output);
    let told = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for answer in &answers {
        let said = match answer.get("error") {
            Some(error) => format!("{} {}", error["code"], error["message"].as_str().unwrap_or_default()),
            None => "answered".to_owned(),
        };
        let _ = writeln!(b.seen, "     {}: {said}", answer["id"]);
    }
    answers
}

pub(super) fn handshakes(b: &mut Bench) {
    let hello = r#"{"jsonrpc":"2.0","id":ID,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    let list = r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{}}"#;
    let early = served(b, "a call before initialize", &[list]);
    assert!(early.len() == 1 && early[0]["error"]["code"] == -32600, "{early:?}");
    let done = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let (first, second) = (hello.replace("ID", "1"), hello.replace("ID", "2"));
    let twice = served(b, "initialize twice, and a call", &[&first, done, &second, list]);
    let of = |id: u64| twice.iter().find(|answer| answer["id"] == id).unwrap_or_else(|| panic!("{twice:?}"));
    assert_eq!(of(2)["error"]["code"], -32600, "{twice:?}");
    assert!(of(1).get("result").is_some() && of(9).get("result").is_some(), "the server lives on: {twice:?}");
}

/// A run whose agent waits until that was done to the store.
fn in_a_run(b: &mut Bench, what: &str, exit: i32, harm: impl FnOnce(&Path)) {
    let plan = b.place.plan("p.json", &["slow"]);
    let (out, err) = (b.place.dir.path().join("run.out"), b.place.dir.path().join("run.err"));
    let mut command = b.place.command(&["run", plan.to_str().unwrap(), "--json"]);
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    crate::common::until(|| {
        let told = fs::read_to_string(&out).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "{told}");
        told.contains("attempt_live")
    });
    harm(&b.place.root.join(".enki/enki.db"));
    b.place.open_gate();
    let status = child.wait().unwrap();
    // With `--json` the error is the last line there, as an object.
    let told = fs::read_to_string(out).unwrap();
    let last = told.lines().last().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    // Whether an append or a beat finds it out first is a matter of moments.
    let why = |message: &str| message.rsplit_once("enki.db: ").map_or(message, |(_, why)| why).to_owned();
    let error = last.and_then(|last| Some(format!("error: {}\n", why(last["message"].as_str()?))));
    let stdout = error.unwrap_or(told).into_bytes();
    let output = Output { status, stdout, stderr: fs::read(err).unwrap() };
    b.saw(exit, what, &output);
    fs::remove_file(b.place.gate()).unwrap();
}

pub(super) fn store_in_use(b: &mut Bench) {
    let away = b.place.dir.path().join("away.db");
    in_a_run(b, "the store is moved away under a run", 6, |store| fs::rename(store, &away).unwrap());
    fs::rename(&away, b.place.root.join(".enki/enki.db")).unwrap();
    in_a_run(b, "another file is put in its place", 6, |store| {
        fs::rename(store, &away).unwrap();
        fs::write(store, b"not what it was").unwrap();
    });
    let store = b.place.root.join(".enki/enki.db");
    assert_eq!(fs::read(&store).unwrap(), b"not what it was", "it was left untouched");
    fs::rename(&away, &store).unwrap();
    in_a_run(b, "-wal and -shm are deleted under a run", 6, |store| {
        for end in ["-wal", "-shm"] {
            fs::remove_file(format!("{}{end}", store.display())).unwrap();
        }
    });
}

pub(super) fn foreign_owner(b: &mut Bench) {
    // The person's own git is asked once; here it takes every folder for somebody else's.
    let bin = b.place.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap();
    let real = String::from_utf8(real.stdout).unwrap();
    let script = format!("#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {} \"$@\"\n", real.trim());
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
    let said = b.run(3, "run --task T", b.place.command(&["run", "--task", "T"]).env("PATH", path));
    assert!(!said.contains("directory = *") && !said.contains("safe.directory '*'"), "{said}");
    assert!(!b.place.dir.path().join("home/.gitconfig").exists(), "nothing was configured");
}

pub(super) fn secret(b: &mut Bench) {
    let said = b.configured(0, "agent.env.MY_TOKEN", "[agent.env]\nMY_TOKEN = \"hunter2hunter2\"\n");
    assert!(said.contains("seems to hold a secret") && !said.contains("hunter2"), "{said}");
}

/// A project with one execution that is done, its store closed.
fn done(b: &Bench) -> std::path::PathBuf {
    let plan = b.place.plan("p.json", &["a"]);
    let output = b.place.enki(&["run", plan.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    // A backup is one file, whatever the run left in the log of the database.
    let store = b.place.root.join(".enki/enki.db");
    let whole = b.place.dir.path().join("whole.db");
    let opened = SqliteStore::open_read_only(&store).unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(opened.backup_to(&whole)).unwrap();
    drop(opened);
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", store.display()));
    }
    fs::rename(whole, &store).unwrap();
    store
}

pub(super) fn locked_store(b: &mut Bench) {
    let store = done(b);
    // As long as it is open here, its locks are in a file beside it. Whoever has all of them lets nobody else in.
    let opened = SqliteStore::open(&store, &OpenOptions::new().accept_any_file_system()).unwrap();
    let beside = fs::File::options().read(true).write(true).open(format!("{}-shm", store.display())).unwrap();
    rustix::fs::fcntl_lock(&beside, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let said = b.call(5, &["run", "--task", "U"]);
    assert!(said.contains(store.to_str().unwrap()), "{said}");
    drop(beside);
    drop(opened);
    b.call(0, &["status"]);
}

/// Looks and runs with a store of these bytes, which stay as they are.
fn store_of(b: &mut Bench, what: &str, store: &Path, bytes: &[u8]) {
    fs::write(store, bytes).unwrap();
    for args in [&["status"][..], &["run", "--task", "U"]] {
        let output = b.place.enki(args);
        b.saw(6, &format!("{what}: {}", args.join(" ")), &output);
        assert!(fs::read(store).unwrap() == bytes, "{what}: {args:?} changed it");
    }
}

pub(super) fn no_store(b: &mut Bench) {
    let store = done(b);
    let whole = fs::read(&store).unwrap();
    store_of(b, "cut", &store, &whole[..whole.len() / 2]);
    let noise: Vec<u8> = (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    store_of(b, "noise", &store, &noise);
    store_of(b, "text", &store, "this is no database\n".repeat(100).as_bytes());
}

pub(super) fn foreign_store(b: &mut Bench) {
    let store = done(b);
    let whole = fs::read(&store).unwrap();
    // Of the header of an SQLite file: the version that its user gave it, and the program that it is of.
    for (what, at) in [("schema 9999", 60), ("another program's", 68)] {
        let mut other = whole.clone();
        other[at..at + 4].copy_from_slice(&9999_u32.to_be_bytes());
        store_of(b, what, &store, &other);
    }
}

pub(super) fn edited_row(b: &mut Bench) {
    let store = done(b);
    let mut bytes = fs::read(&store).unwrap();
    let word = b"\"attempt_started\"";
    let places: Vec<_> = (0..bytes.len() - word.len()).filter(|at| bytes[*at..].starts_with(word)).collect();
    assert!(!places.is_empty(), "an attempt was started");
    for at in places {
        bytes[at + 1] = b'A';
    }
    fs::write(&store, &bytes).unwrap();
    let id = b.place.newest();
    b.call(6, &["show", &id]);
    assert!(fs::read(&store).unwrap() == bytes, "it was changed");
}

pub(super) fn no_git(b: &mut Bench) {
    let bin = b.place.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    b.run(3, "no git", b.place.command(&["run", "--task", "T"]).env("PATH", &bin));
    fs::write(bin.join("git"), "#!/bin/sh\necho git version 2.30.0\n").unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    b.run(3, "git 2.30", b.place.command(&["run", "--task", "T"]).env("PATH", &bin));
}

pub(super) fn long_branch(b: &mut Bench) {
    let long = "x".repeat(201);
    b.call(2, &["run", "--task", "T", "--target", &long]);
}

pub(super) fn variables_of_git(b: &mut Bench) {
    let plan = b.place.plan("p.json", &["a"]);
    let mut command = b.place.command(&["run", plan.to_str().unwrap()]);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_CONFIG_GLOBAL"] {
        command.env(name, "/nowhere");
    }
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "core.bare").env("GIT_CONFIG_VALUE_0", "true");
    b.run(0, "run with seven of them", &mut command);
    assert!(b.place.root.join("a.txt").exists());
}

pub(super) fn no_agent(b: &mut Bench) {
    b.call(3, &["run", "--task", "T", "--agent", "no-such-agent"]);
    assert_eq!(b.place.json(&["status"])["executions"].as_array().unwrap().len(), 0);
}

/// Runs a plan of one step with that agent, and gives what became of the step.
fn with_agent(b: &mut Bench, exit: i32, what: &str, script: &str) -> serde_json::Value {
    b.place.agent(script);
    b.place.settings("[workers]\nretries = 0\n");
    let plan = b.place.plan("p.json", &["a"]);
    let output = b.place.enki(&["run", plan.to_str().unwrap()]);
    b.saw(exit, what, &output);
    let id = b.place.newest();
    b.place.json(&["status", &id])["steps"][0].clone()
}

/// What is kept by a ref of the person's repository, and on no branch of theirs.
fn kept(b: &Bench) -> String {
    git(&b.place.root, &["for-each-ref", "--format=%(objectname)", "refs/enki/kept"])
}

pub(super) fn ends_of_agents(b: &mut Bench) {
    let step = with_agent(
        b,
        7,
        "exit 3 with a commit of its own",
        "#!/bin/sh\ncat >/dev/null\necho x >half.txt\ngit add . && git -c user.name=a -c user.email=a@b commit -qm half\nexit 3\n",
    );
    assert_eq!(step["status"], "failed", "{step}");
    let kept = kept(b);
    let files = kept.lines().map(|commit| git(&b.place.root, &["ls-tree", "--name-only", commit])).collect::<String>();
    assert!(files.contains("half.txt"), "the work of a failed attempt is kept: {files:?}");
}

pub(super) fn killed_agent(b: &mut Bench) {
    let step = with_agent(b, 7, "kill -9 of itself", "#!/bin/sh\ncat >/dev/null\necho x >half.txt\nkill -9 $$\n");
    assert_eq!(step["status"], "failed", "{step}");
    let commit = kept(b);
    let files = git(&b.place.root, &["ls-tree", "--name-only", commit.lines().next().expect("a kept commit")]);
    assert!(files.contains("half.txt"), "what it left is captured: {files:?}");
}

pub(super) fn few_descriptors(b: &mut Bench) {
    let plan = b.place.plan("p.json", &["a"]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 12 && exec \"$0\" run \"$1\""]).arg(assert_cmd::cargo::cargo_bin!("enki")).arg(plan);
    command.current_dir(&b.place.root).env("HOME", b.place.dir.path().join("home"));
    b.run(3, "run with 12 descriptors", &mut command);
    // One more each time, it fails at another place each time. It never panics, and says why.
    let mut codes = std::collections::BTreeSet::new();
    for most in 13..40 {
        let plan = b.place.plan("q.json", &[&format!("s{most}")]);
        let mut command = Command::new("sh");
        let program = assert_cmd::cargo::cargo_bin!("enki");
        command.args(["-c", "ulimit -n $2 && exec \"$0\" run \"$1\""]).arg(program).arg(plan).arg(most.to_string());
        command.current_dir(&b.place.root).env("HOME", b.place.dir.path().join("home"));
        let output = command.output().unwrap();
        let (code, said) = (code(&output), both(&output));
        // A branch that could not be made is asked about.
        let why = said.contains("Too many open files") || said.contains("unable to open");
        if !matches!((code, why), (0, _) | (3 | 7 | 8, true)) || said.contains("panicked") {
            b.wrong.push(format!("bad input 93: {most} descriptors: {code}: {said}"));
        }
        codes.insert(code);
    }
    assert!(codes.contains(&3), "{codes:?}");
    let plan = b.place.plan("p.json", &["a"]);
    b.call(0, &["run", plan.to_str().unwrap()]);
}
