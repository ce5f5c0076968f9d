//! The person's repository: found, looked at, and written with care.

pub(crate) mod discover;
mod files;
pub(crate) mod folder;
pub(crate) mod folder_land;
pub(crate) mod heads;
mod person;
pub(crate) mod refs;
pub(crate) mod remote;
pub(crate) mod root;
mod rules;
pub(crate) mod side;
mod tables;

pub use rules::{Confined, DriftRule, Policy, Reach};

use crate::GitRefinery;
use crate::GitWorkspaces;
use crate::error::GitError;
use crate::git::lock::Lock;
use crate::git::memo::Memo;
use crate::git::{Durable, Git, GitCmd, find_git, person_call, without_git};
use crate::isolation::watch::Watch;
use crate::project::discover::{Places, head_of, promisor_of, security_warning, settings_of, version_of};
use crate::workspaces::overlay::Marks;
use enki_core::branch::Branch;
use enki_core::id::{CommitId, TreeId};
use enki_core::redact::Redactor;
use enki_core::time::Timestamp;
use rules::Outside;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

/// How a project is opened. Everything comes from the caller: this crate reads no environment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GitOptions {
    /// The person's environment. `PATH` says where git is; what begins with `GIT_` is dropped.
    pub env: Vec<(OsString, OsString)>,
    /// Largest file that a change may bring, in bytes.
    pub max_file_bytes: u64,
    /// Most files that a change may touch.
    pub max_files: usize,
    /// Takes secrets out of the logs of commands: of checks, of set-ups.
    pub redactor: Redactor,
    /// Names of further variables that the check command gets from `env`.
    pub check_env: Vec<String>,
    /// How long hooks may go on in the person's checkout when a landing has moved it; then they are ended.
    pub hook_timeout: Duration,
    /// The time, for the commits of a folder without git.
    pub clock: fn() -> Timestamp,
    /// Most prepared workspaces; 0 for none. None is made before somebody says by
    /// [`WorkspaceProvider::prepare`](enki_core::workspace::WorkspaceProvider::prepare) that it will be wanted.
    pub pool: u32,
    /// Ignored folders of the person's work tree that fresh workspaces get a copy of, relative to its top.
    pub share_ignored: Vec<String>,
    /// Largest such folder that is copied byte by byte, where the file system cannot share blocks: bytes, and files.
    pub share_limit: (u64, u64),
    /// Shell command that is run in a fresh workspace before anybody works in it.
    pub setup: Option<String>,
    /// Shell command that is run in a workspace before it is removed or used again.
    pub teardown: Option<String>,
    /// The program that supervises these commands, if any. See [`enki_process::Spawn::supervisor`].
    pub supervisor: Option<PathBuf>,
    /// Free space below which no workspace is begun, in bytes. `None`: 1 GiB, or 2 % of a disk smaller than 50 GiB.
    pub min_free_bytes: Option<u64>,
    /// How the files of a workspace are made.
    pub method: WorkspaceMethod,
    /// The folder of notes, from the top of the work tree: changes in it are in no landing's way.
    pub notes: String,
}

/// How the files of a workspace are made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkspaceMethod {
    /// Each has files of its own, wherever that is.
    #[default]
    Files,
    /// They share one prepared tree below an overlay of Linux each, which needs the right to mount. Where it cannot be
    /// had, which is found out by trying, they are plain files, and a warning says why.
    Overlay,
}

impl GitOptions {
    /// The defaults, 100 MB a file and 100,000 files a change, with that environment: `std::env::vars_os()`.
    pub fn new(env: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self {
            env: env.into_iter().collect(),
            max_file_bytes: 100 << 20,
            max_files: 100_000,
            redactor: Redactor::default(),
            check_env: Vec::new(),
            hook_timeout: Duration::from_secs(60),
            clock: system_clock,
            pool: 4,
            share_ignored: Vec::new(),
            share_limit: (2 << 30, 200_000),
            setup: None,
            teardown: None,
            supervisor: None,
            min_free_bytes: None,
            method: WorkspaceMethod::Files,
            notes: "docs/log".to_owned(),
        }
    }

    pub(crate) fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
    }
}

/// What HEAD of the person's work tree names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Head {
    /// A branch, at that commit.
    Branch(Branch, CommitId),
    /// A commit and no branch.
    Detached(CommitId),
}

/// What was found out about git and the repository when the project was opened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Facts {
    /// The program that is used.
    pub git: PathBuf,
    /// Its version, three numbers.
    pub version: (u32, u32, u32),
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// `files` or `reftable`.
    pub ref_format: String,
    /// History is cut off somewhere.
    pub shallow: bool,
    /// Objects are missing on purpose and would be fetched when needed, which Enki never does.
    pub partial: bool,
    /// Submodules are declared at HEAD.
    pub submodules: bool,
    /// Things to tell the person, in full sentences without the full stop.
    pub warnings: Vec<String>,
}

/// A git repository with a work tree, as a project of Enki. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GitProject {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    git: Git,
    options: GitOptions,
    /// Top of the person's work tree.
    root: PathBuf,
    /// Git directory with refs and objects.
    common_dir: PathBuf,
    /// Git directory with HEAD and index: another one in a linked work tree.
    git_dir: PathBuf,
    watch: Arc<Watch>,
    policy: Arc<RwLock<Policy>>,
    confined: Arc<RwLock<Option<Confined>>>,
    outside: Arc<RwLock<Outside>>,
    head: Head,
    facts: Facts,
    /// The remote that has what a partial clone lacks.
    promisor: Option<String>,
    /// `core.*` settings that say what the file system can do, for the private git directories.
    file_system: Vec<(String, String)>,
    memo: Arc<Memo>,
    overlays: Arc<OnceLock<Result<Marks, String>>>,
}

impl GitProject {
    /// Finds the repository, or the folder of [`GitProject::open_or_make`], that `path` is in: the nearest one, and at
    /// the same place the repository. Makes nothing. Blocks for some ten milliseconds.
    ///
    /// The person's own git, with their own configuration, decides whether the owner of the folder is trusted (F19).
    ///
    /// # Errors
    ///
    /// A [`GitError`] that says what to do: no or too old git, no repository, a bare one, one without a commit, one
    /// that git does not trust.
    pub fn open(path: &Path, options: GitOptions) -> Result<Self, GitError> {
        let search = options.var("PATH").unwrap_or_default();
        let program =
            find_git(search).ok_or_else(|| GitError::Missing { searched: search.to_string_lossy().into_owned() })?;
        let env = without_git(&options.env);
        let folder = std::path::absolute(path).map_err(|e| GitError::io("find", path, e))?;
        if !folder.is_dir() {
            return Err(GitError::NotARepository { path: folder });
        }
        let version = version_of(&person_call(&program, &env, &folder).arg("version").ok()?.line(), &program)?;
        let places = folder::find(&program, &env, &folder)?;
        let git = Git::new(program.clone(), places.root.clone(), env);
        let (head, submodules) = head_of(&git, &places)?;
        let settings = settings_of(&git, &places.common_dir)?;
        let get = |key: &str| settings.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        let mut warnings = Vec::new();
        warnings.extend(security_warning(version, &program));
        let promisor = promisor_of(&settings);
        if promisor.is_some() {
            warnings.push("the repository is a partial clone, and Enki never fetches missing objects".to_owned());
        }
        if submodules {
            warnings.push(
                "the folders of submodules are empty for agents and checks, and no step may change them".to_owned(),
            );
        }
        if folder::around(&places.root).is_some_and(|other| other == places.root) && !folder::is_of(&places) {
            let now = "the folder has become a git repository, which is used from now on";
            warnings.push(format!("{now}; what Enki kept of it before stays in .enki/project.git"));
        }
        let facts = Facts {
            git: program,
            version,
            object_format: places.object_format,
            ref_format: get("extensions.refstorage").unwrap_or_else(|| "files".to_owned()),
            shallow: places.shallow,
            partial: promisor.is_some(),
            submodules,
            warnings,
        };
        let file_system = settings.into_iter().filter(|(key, _)| key.starts_with("core.")).collect();
        let Places { root, git_dir, common_dir, .. } = places;
        let (watch, policy, memo, overlays) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        let inner = Inner {
            git,
            options,
            root,
            common_dir,
            git_dir,
            watch,
            policy,
            confined: Arc::default(),
            outside: Arc::default(),
            head,
            facts,
            promisor,
            file_system,
            memo,
            overlays,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The same project with other options, the environment excepted. To be used before its backends are made.
    #[must_use]
    pub fn with_options(&self, change: impl FnOnce(&mut GitOptions)) -> Self {
        let mut inner = (*self.inner).clone();
        change(&mut inner.options);
        Self { inner: Arc::new(inner) }
    }

    /// Top of the person's work tree.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Enki's folder in the project.
    #[must_use]
    pub fn enki_dir(&self) -> PathBuf {
        self.inner.root.join(".enki")
    }

    /// What HEAD named when the project was opened.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.inner.head
    }

    /// What was found out about git and the repository.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.inner.facts
    }

    /// Whether tracked files of the person's work tree differ from HEAD. Asks the person's own git. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if git could not tell.
    pub fn is_dirty(&self) -> Result<bool, GitError> {
        if self.is_folder() {
            return Ok(false);
        }
        self.is_dirty_at(&self.inner.root)
    }

    /// The same of a work tree, by the person's own git. Notes are left out: Enki writes them itself while it works, and a
    /// fast-forward that would touch a changed one is refused by git.
    pub(crate) fn is_dirty_at(&self, work_tree: &Path) -> Result<bool, GitError> {
        let notes = format!(":(top,exclude,literal){}", self.inner.options.notes);
        let what = ["status", "--porcelain", "-z", "--untracked-files=no", "--", ":/", &notes];
        let status = self.inner.git.as_person(work_tree).args(what).long().ok()?;
        Ok(!status.stdout.is_empty())
    }

    /// The branch of that name and its head: a local one, or with a name as in `origin:main` that of a remote, fetched
    /// now by the person's own git. Blocks; a fetch ten minutes at most.
    ///
    /// # Errors
    ///
    /// [`GitError::NoSuchBranch`] with what may have been meant: the name may be that of a tag or of a branch that
    /// only a remote has; [`GitError::NoSuchRemoteBranch`] in the same way (bad input 6). [`GitError::Remote`] if the
    /// remote cannot be reached.
    pub fn resolve_branch(&self, name: &str) -> Result<(Branch, CommitId), GitError> {
        if let Ok(branch) = name.parse::<Branch>() {
            if branch.remote().is_some() {
                return remote::resolve(self, branch);
            }
            if let Some(id) = self.commit_at(&branch.full_ref())? {
                self.require_files(&branch, id)?;
                return Ok((branch, id));
            }
        }
        Err(GitError::NoSuchBranch { name: name.chars().take(80).collect(), candidates: self.candidates(name)? })
    }

    /// Refuses a partial clone that lacks files of the commit: nothing could be made of it.
    pub(crate) fn require_files(&self, branch: &Branch, commit: CommitId) -> Result<(), GitError> {
        let Some(promisor) = &self.inner.promisor else { return Ok(()) };
        let list = ["rev-list", "--objects", "--no-walk", "--missing=print", "--no-object-names"];
        let output = self.at_person().args(list).arg(commit.to_string()).long().ok()?;
        let missing = output.stdout.split(|b| *b == b'\n').filter(|line| line.starts_with(b"?")).count();
        if missing == 0 {
            return Ok(());
        }
        let reason = format!(
            "it is a partial clone and lacks objects of {branch}, {missing} at least: `git fetch --refetch --no-filter \
             {promisor}` brings them"
        );
        Err(GitError::Unsupported { path: self.inner.root.clone(), reason })
    }

    /// The workspaces of this project.
    #[must_use]
    pub fn workspaces(&self) -> GitWorkspaces {
        GitWorkspaces::new(self.clone(), root::usual(self))
    }

    /// The workspaces of this project in another folder than `.enki/copies`, a path in the project or an absolute one.
    /// Workspaces that are in another folder already stay there, and are not found.
    ///
    /// # Errors
    ///
    /// [`GitError::UnfitRoot`] if the folder is among the person's files, holds the repository, has another use, or is
    /// on another file system.
    pub fn workspaces_in(&self, root: &Path) -> Result<GitWorkspaces, GitError> {
        Ok(GitWorkspaces::new(self.clone(), root::find(self, root)?))
    }

    /// The refinery of this project.
    #[must_use]
    pub fn refinery(&self) -> GitRefinery {
        GitRefinery::new(self.clone())
    }

    /// The files at or below those paths that the person's git tracks, relative to the root. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if git cannot tell.
    pub fn tracked(&self, below: &[&str]) -> Result<Vec<String>, GitError> {
        let paths = below.iter().map(|path| format!(":(top,literal){path}"));
        let output = self.git().at(self.git_dir()).args(["ls-files", "-z", "--"]).args(paths).long().ok()?;
        let names = output.stdout.split(|b| *b == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// Makes `.enki/`, hidden from git and readable by its owner alone, unless it is there. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if it cannot be made, or if something else is at its place.
    pub fn ensure_enki_dir(&self) -> Result<PathBuf, GitError> {
        let enki = self.enki_dir();
        match fs::symlink_metadata(&enki) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                let reason = format!("{} is not a folder: Enki keeps its files there", enki.display());
                return Err(GitError::Unsupported { path: self.inner.root.clone(), reason });
            }
            Err(_) => private_dir(&enki)?,
        }
        let ignore = enki.join(".gitignore");
        // Empty is what a loss of power may leave of it.
        if !fs::metadata(&ignore).is_ok_and(|meta| meta.len() > 0) {
            put_durably(&ignore, b"*\n")?;
            self.exclude_enki()?;
        }
        for name in ["tmp", "capture", "aside", "checks", "logs", "pool", "lower"] {
            let dir = enki.join(name);
            if !dir.is_dir() {
                private_dir(&dir)?;
            }
        }
        Ok(enki)
    }

    /// Names `.enki/` in `info/exclude` too: its own `.gitignore` goes with `git clean -fdx`.
    fn exclude_enki(&self) -> Result<(), GitError> {
        let info = self.inner.common_dir.join("info");
        fs::create_dir_all(&info).map_err(|e| GitError::io("make", &info, e))?;
        let file = info.join("exclude");
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(GitError::io("read", &file, e)),
        };
        if text.split(|b| *b == b'\n').any(|line| line == b"/.enki/") {
            return Ok(());
        }
        let line: &[u8] = if text.is_empty() || text.ends_with(b"\n") { b"/.enki/\n" } else { b"\n/.enki/\n" };
        // Added to what a person wrote, which a loss of power must not take with it.
        let added = fs::OpenOptions::new().append(true).create(true).open(&file).and_then(|mut file| {
            std::io::Write::write_all(&mut file, line)?;
            file.sync_all()
        });
        added.map_err(|e| GitError::io("write", &file, e))
    }

    fn candidates(&self, name: &str) -> Result<Vec<String>, GitError> {
        let output =
            self.at_person().args(["for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes", "refs/tags"]);
        let refs = String::from_utf8_lossy(&output.ok()?.stdout).into_owned();
        let ours = |short: &&str| !short.starts_with("enki/");
        let mut found: Vec<String> = refs
            .lines()
            .filter_map(|full| full.strip_prefix("refs/heads/"))
            .filter(ours)
            .take(20)
            .map(str::to_owned)
            .collect();
        for full in refs.lines() {
            if let Some(remote) = full.strip_prefix("refs/remotes/")
                && remote.split_once('/').is_some_and(|(_, branch)| branch == name)
            {
                let there = remote.replacen('/', ":", 1);
                found.push(format!("{there} (at a remote; `git branch {name} {remote}` makes it a local branch)"));
            }
            if full.strip_prefix("refs/tags/") == Some(name) {
                found.push(format!("{name} (a tag, which cannot move)"));
            }
        }
        Ok(found)
    }

    // What the other modules use.

    pub(crate) fn git(&self) -> &Git {
        &self.inner.git
    }

    /// What this process knows of commits.
    pub(crate) fn memo(&self) -> &Memo {
        &self.inner.memo
    }

    /// Whether overlays can be mounted here, once somebody tried.
    pub(crate) fn overlays(&self) -> &OnceLock<Result<Marks, String>> {
        &self.inner.overlays
    }

    pub(crate) fn options(&self) -> &GitOptions {
        &self.inner.options
    }

    pub(crate) fn common_dir(&self) -> &Path {
        &self.inner.common_dir
    }

    pub(crate) fn git_dir(&self) -> &Path {
        &self.inner.git_dir
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.inner.watch
    }

    /// A hardened call on the person's repository: its refs and objects, never its files.
    pub(crate) fn at_person(&self) -> GitCmd {
        self.inner.git.at(&self.inner.common_dir)
    }

    /// The same, making durable what it writes.
    pub(crate) fn at_person_durably(&self) -> GitCmd {
        self.at_person().durable(Durable::Committed)
    }

    /// A call as the person, in one of their work trees.
    pub(crate) fn as_person(&self, folder: &Path) -> GitCmd {
        self.inner.git.as_person(folder)
    }

    /// The lock for git commands that write the person's repository.
    pub(crate) fn write_lock(&self) -> Result<Lock, GitError> {
        let lock = Lock::acquire(&self.ensure_enki_dir()?.join("git.lock"))?;
        self.clear_killed_move()?;
        Ok(lock)
    }

    /// The commit that a full ref names.
    pub(crate) fn commit_at(&self, full_ref: &str) -> Result<Option<CommitId>, GitError> {
        let found = self.git().look_up(self.common_dir(), &[format!("{full_ref}^{{commit}}")])?;
        Ok(found.first().and_then(crate::git::Object::commit))
    }

    /// The tree of a commit that the git directory has, or an error that names it.
    pub(crate) fn tree_of(&self, git_dir: &Path, commit: CommitId) -> Result<TreeId, GitError> {
        Ok(self.trees_of(git_dir, &[commit])?[0])
    }

    /// The trees of commits that the git directory has, or an error that names the first that it has not.
    pub(crate) fn trees_of(&self, git_dir: &Path, commits: &[CommitId]) -> Result<Vec<TreeId>, GitError> {
        let names: Vec<String> = commits.iter().flat_map(|id| [id.to_string(), format!("{id}^{{tree}}")]).collect();
        let found = self.git().look_up(git_dir, &names)?;
        let trees = commits.iter().zip(found.chunks_exact(2)).map(|(commit, facts)| {
            // Both, because a tag has a tree too.
            let missing = || GitError::Gone(format!("commit {commit} is not in the repository {}", git_dir.display()));
            facts[0].commit().and(facts[1].id()).ok_or_else(missing)
        });
        trees.collect()
    }

    /// The id of nothing, in the repository's format.
    pub(crate) fn zero(&self) -> String {
        "0".repeat(if self.inner.facts.object_format == "sha256" { 64 } else { 40 })
    }

    /// Makes a git directory of ours that borrows objects, unless it is there; brings up to date what it borrows.
    pub(crate) fn private_git_dir(&self, dir: &Path, borrow: &[&Path]) -> Result<(), GitError> {
        // Each by itself: after a loss of power any of them may be missing, or be there without its content.
        for sub in ["objects/info", "objects/pack", "refs/heads", "info"] {
            let sub = dir.join(sub);
            if !sub.is_dir() {
                let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&sub);
                made.map_err(|e| GitError::io("make", &sub, e))?;
            }
        }
        put_if_other(&dir.join("info/exclude"), b"/.enki/\n")?;
        put_if_other(&dir.join("HEAD"), b"ref: refs/heads/enki-none\n")?;
        // An agent without a sandbox can write here too; git would run what this file or these say.
        put_if_other(&dir.join("config"), self.private_config(true).as_bytes())?;
        for name in ["commondir", "config.worktree", "info/attributes"] {
            crate::workspaces::agent_git::remove(&dir.join(name))?;
        }
        self.borrow(dir, borrow)
    }

    /// The refinery's git directory, made if it is not there.
    pub(crate) fn refinery_dir(&self) -> Result<PathBuf, GitError> {
        let dir = self.ensure_enki_dir()?.join("refinery.git");
        self.private_git_dir(&dir, &[&self.inner.common_dir])?;
        Ok(dir)
    }

    /// Names the object folders that a git directory of ours borrows from, and where history is cut off.
    pub(crate) fn borrow(&self, dir: &Path, from: &[&Path]) -> Result<(), GitError> {
        let mut lines = Vec::new();
        for git_dir in from {
            lines.extend_from_slice(git_dir.join("objects").as_os_str().as_bytes());
            lines.push(b'\n');
        }
        put_if_other(&dir.join("objects/info/alternates"), &lines)?;
        if self.inner.facts.shallow
            && let Ok(shallow) = fs::read(self.inner.common_dir.join("shallow"))
        {
            put_if_other(&dir.join("shallow"), &shallow)?;
        }
        Ok(())
    }

    /// The configuration of a git directory that we make by hand.
    pub(crate) fn private_config(&self, bare: bool) -> String {
        let sha256 = self.inner.facts.object_format == "sha256";
        let mut text = format!("[core]\n\trepositoryformatversion = {}\n\tbare = {bare}\n", u8::from(sha256));
        for (key, value) in &self.inner.file_system {
            if let Some(name) = key.strip_prefix("core.") {
                text.push_str(&format!("\t{name} = {value}\n"));
            }
        }
        if sha256 {
            text.push_str("[extensions]\n\tobjectFormat = sha256\n");
        }
        text
    }
}

#[expect(clippy::disallowed_methods, reason = "the default; whoever owns the clock gives theirs")]
fn system_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Writes a file of ours whole: a reader sees the old or the new one.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<(), GitError> {
    put_synced(path, bytes, false)
}

/// The same for what must not be found empty after a power loss.
pub(crate) fn put_durably(path: &Path, bytes: &[u8]) -> Result<(), GitError> {
    put_synced(path, bytes, true)
}

fn put_synced(path: &Path, bytes: &[u8], sync: bool) -> Result<(), GitError> {
    let io = |e| GitError::io("write", path, e);
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io)?;
    std::io::Write::write_all(&mut file, bytes).map_err(io)?;
    if sync {
        file.as_file().sync_data().map_err(io)?;
    }
    file.persist(path).map_err(|e| io(e.error))?;
    Ok(())
}

fn put_if_other(path: &Path, bytes: &[u8]) -> Result<(), GitError> {
    if fs::read(path).is_ok_and(|old| old == bytes) { Ok(()) } else { put(path, bytes) }
}

/// Makes a folder that only its owner can look into.
pub(crate) fn private_dir(path: &Path) -> Result<(), GitError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| GitError::io("make", path, e))
}
