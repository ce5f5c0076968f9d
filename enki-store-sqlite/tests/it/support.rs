//! What the tests share.

use enki_core::id::{ExecutionId, StepIx, TaskId};
use enki_core::store::{
    Append, Counts, Format, Holder, Lease, ListFilter, LogId, StoreError, StoreErrorKind, Summary, TaskRow, TaskStore,
    Version,
};
use enki_core::time::Timestamp;
use enki_store_sqlite::{OpenOptions, SqliteStore};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A folder of its own for a store.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("enki.db")
    }

    pub(crate) fn open(&self) -> SqliteStore {
        open(&self.path()).unwrap()
    }

    /// The names of all files, with their bytes.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.folder()).unwrap().map(Result::unwrap);
        let mut files: Vec<_> =
            entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect();
        files.sort();
        files
    }

    /// A closed store with one execution of three events.
    pub(crate) fn with_three_events() -> Self {
        let place = Self::new();
        let store = place.open();
        run(async {
            let lease = lease(&store).await;
            store.append(&lease, vec![submit(1)]).await.unwrap();
            store.append(&lease, vec![more(1, 1, &["\"two\"", "\"three\""])]).await.unwrap();
        });
        drop(store);
        place
    }
}

/// The tests' own folder may be on a file system of any kind.
pub(crate) fn options() -> OpenOptions {
    OpenOptions::new().accept_any_file_system()
}

pub(crate) fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, &options())
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A connection that knows nothing of the store's rules.
pub(crate) fn raw(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

pub(crate) fn holder(id: &str) -> Holder {
    Holder { id: id.to_owned(), pid: 1, host: "here".to_owned(), since: Timestamp(0) }
}

pub(crate) async fn lease(store: &SqliteStore) -> Lease {
    store.acquire("project", &holder("test"), Timestamp(0), Timestamp(1000)).await.unwrap()
}

pub(crate) fn log(n: u128) -> LogId {
    LogId::execution(ExecutionId::new(n))
}

/// The first append of an execution with one task.
pub(crate) fn submit(n: u128) -> Append {
    let execution = ExecutionId::new(n);
    let step = "only".parse().unwrap();
    let task = TaskRow { task: TaskId::of(execution, &step), ix: StepIx(0), step };
    Append { summary: Some(summary(n)), tasks: vec![task], ..more(n, 0, &["\"one\""]) }
}

pub(crate) fn summary(n: u128) -> Summary {
    Summary {
        execution: ExecutionId::new(n),
        title: format!("execution {n}"),
        status: "running".to_owned(),
        open: true,
        created: Timestamp(1),
        updated: Timestamp(1),
        counts: Counts::default(),
        request_id: None,
        fingerprint: format!("{n:x}"),
    }
}

pub(crate) fn more(n: u128, expected: u64, events: &[&str]) -> Append {
    Append {
        log: log(n),
        expected: Version(expected),
        at: Timestamp(1),
        format: Format { major: 1, minor: 0 },
        events: events.iter().map(|e| (*e).to_owned()).collect(),
        summary: None,
        tasks: Vec::new(),
    }
}

pub(crate) fn bodies(store: &SqliteStore, n: u128) -> Result<Vec<String>, StoreError> {
    Ok(run(store.load(log(n), Version(0)))?.into_iter().map(|row| row.body).collect())
}

pub(crate) fn titles(store: &SqliteStore) -> Vec<String> {
    run(store.list(&ListFilter::default())).unwrap().into_iter().map(|s| s.title).collect()
}

/// The error in full, as a person would see it.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> (StoreErrorKind, String) {
    let error = result.expect_err("this has to be refused");
    let text = error.to_string();
    (error.kind, text)
}

/// Starts this test binary again to run one of its tests, which plays a part only if it gets a path.
#[expect(clippy::disallowed_methods, reason = "the process under test is this binary itself")]
pub(crate) fn play(part: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([part, "--exact", "--nocapture"]).env("ENKI_TEST_PART", path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The same in a name space of its own, where the folder is a file system of 1 MiB and a script made what it wants
/// there. Gives what was said, or `None` with a word to the reader where a test cannot mount.
#[expect(clippy::disallowed_methods, reason = "mounting needs a program and a name space of its own")]
pub(crate) fn play_on_mount(script: &str, part: &str, folder: &Path, path: &str) -> Option<String> {
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs \"$1\" && cd \"$1\" && {script} \
         && ENKI_TEST_PART=\"$1/{path}\" exec \"$2\" {part} --exact --nocapture"
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    let output = command.arg(folder).arg(std::env::current_exe().unwrap()).output();
    let said = match output {
        Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        Err(error) => error.to_string(),
    };
    if !said.contains("running 1 test") {
        eprintln!("not run: this machine lets no test mount a file system: {said}");
        return None;
    }
    Some(said)
}

/// The path that this process was given to play its part on; `None` in an ordinary test run.
#[expect(clippy::disallowed_methods, reason = "a part is told its path by the environment")]
pub(crate) fn part() -> Option<PathBuf> {
    std::env::var_os("ENKI_TEST_PART").map(PathBuf::from)
}

/// Kills at once, and waits until the process is gone.
pub(crate) fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
