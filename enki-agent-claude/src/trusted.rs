//! What makes the client run or trust something in every session of the person's: settings, hooks, servers, scripts.
//!
//! The client keeps its login and its sessions in the same folder and replaces those files, so it has to be writable for an
//! agent. What an agent must not write there is looked at before and after each attempt instead.

use crate::config::ClaudeConfig;
use crate::confined::places;
use enki_core::id::EffectId;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Settings that a person or the client itself changes in passing, and that cannot make anything run.
const EVERYDAY: [&str; 15] = [
    "$schema",
    "alwaysThinkingEnabled",
    "autoUpdatesChannel",
    "cleanupPeriodDays",
    "editorMode",
    "effortLevel",
    "feedbackSurveyState",
    "includeCoAuthoredBy",
    "language",
    "model",
    "outputStyle",
    "prefersReducedMotion",
    "spinnerTipsEnabled",
    "theme",
    "verbose",
];
/// The parts of the client's own state file that are no state, at its top and for each project.
const OF_STATE: [&str; 6] = ["allowedTools", "apiKeyHelper", "enabledMcpjsonServers", "env", "hooks", "mcpServers"];
/// Folders of what the client reads or runs and never writes.
const FOLDERS: [&str; 8] = ["agents", "bin", "commands", "hooks", "output-styles", "rules", "scripts", "skills"];
/// A file beside the settings that ends like that may be what they run.
const SCRIPTS: [&str; 9] = ["bash", "cjs", "js", "mjs", "pl", "py", "rb", "sh", "ts"];
/// Most files of those folders, and most bytes of one that are read.
const FILES: usize = 5_000;
const BYTES: u64 = 64 << 20;

/// What cannot be looked at, and why.
type Unseen = (PathBuf, io::Error);

/// Each of it that is there, by a name for people, with a digest. Blocks. An error says that it cannot be looked at now:
/// to leave something out would make it seem to be removed.
pub(crate) fn look(config: &ClaudeConfig) -> Result<BTreeMap<String, String>, Unseen> {
    let mut found = Found::default();
    let Some((folder, state)) = places(config) else { return Ok(found.all) };
    for name in ["settings.json", "settings.local.json"] {
        found.keys(&folder.join(name), |key| !EVERYDAY.contains(&key))?;
    }
    let state = state.unwrap_or_else(|| folder.join(".claude.json"));
    if let Some(top) = found.keys(&state, |key| OF_STATE.contains(&key))? {
        let projects = top.get("projects").and_then(Value::as_object);
        for (project, own) in projects.into_iter().flatten() {
            for key in OF_STATE {
                found.value(&format!("{} of {project}: {key}", state.display()), own.get(key));
            }
        }
    }
    found.file(&folder.join("CLAUDE.md"))?;
    for file in entries(&folder)? {
        if file.extension().is_some_and(|end| SCRIPTS.iter().any(|one| end == *one)) {
            found.file(&file)?;
        }
    }
    let mut open: Vec<PathBuf> = FOLDERS.iter().map(|name| folder.join(name)).collect();
    while let Some(dir) = open.pop() {
        found.link(&dir);
        for path in entries(&dir)? {
            if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                open.push(path);
            } else if found.all.len() < FILES {
                found.file(&path)?;
            }
        }
    }
    Ok(found.all)
}

#[derive(Default)]
struct Found {
    all: BTreeMap<String, String>,
}

impl Found {
    /// Takes in the keys of a file of settings, each by itself. Gives what is in it.
    fn keys(&mut self, path: &Path, counts: impl Fn(&str) -> bool) -> Result<Option<Map<String, Value>>, Unseen> {
        self.link(path);
        let bytes = read(path)?.unwrap_or_default();
        Ok(match serde_json::from_slice(&bytes) {
            Ok(Value::Object(map)) => {
                for (key, value) in map.iter().filter(|(key, _)| counts(key)) {
                    self.value(&format!("{}: {key}", path.display()), Some(value));
                }
                Some(map)
            }
            // It is not there, or empty, or the client may be writing it: what it cannot read does nothing.
            _ => None,
        })
    }

    /// Takes in a value; an empty one says nothing.
    fn value(&mut self, name: &str, value: Option<&Value>) {
        let Some(value) = value else { return };
        let empty = match value {
            Value::Null => true,
            Value::Array(all) => all.is_empty(),
            Value::Object(all) => all.is_empty(),
            _ => false,
        };
        if !empty {
            self.all.insert(name.to_owned(), digest(value.to_string().as_bytes()));
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), Unseen> {
        self.link(path);
        if let Some(bytes) = read(path)? {
            self.all.insert(path.display().to_string(), digest(&bytes));
        }
        Ok(())
    }

    /// Takes in where a link leads; what it leads to is taken in as if it stood here.
    fn link(&mut self, path: &Path) {
        if let Ok(to) = fs::read_link(path) {
            self.all.insert(format!("the link {}", path.display()), to.display().to_string());
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    EffectId::of("trusted", &[bytes]).hex()
}

/// The contents of a regular file, links followed; `None` if there is none that the person may read.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Unseen> {
    let contents = || {
        // Before it is opened: a FIFO of that name would hold us.
        if !fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(BYTES).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    unless_none(path, contents())
}

/// What is in a folder; nothing if there is none that the person may list.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Unseen> {
    let all = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    Ok(unless_none(folder, all().map(Some))?.unwrap_or_default())
}

/// What was looked at, or `None` if it is nothing that the client could read either.
fn unless_none<T>(path: &Path, looked: io::Result<Option<T>>) -> Result<Option<T>, Unseen> {
    let leads_nowhere =
        || fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink()) && fs::metadata(path).is_err();
    match looked {
        Err(e) if matches!(e.kind(), NotFound | NotADirectory | PermissionDenied) || leads_nowhere() => Ok(None),
        looked => looked.map_err(|e| (path.to_owned(), e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enki_process::BaseEnv;
    use std::ffi::OsString;

    fn config(home: &Path) -> ClaudeConfig {
        ClaudeConfig::new(BaseEnv::from_vars([(OsString::from("HOME"), home.as_os_str().to_owned())]))
    }

    fn names(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>, home: &Path) -> Vec<String> {
        let all: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        let changed = all.into_iter().filter(|name| before.get(*name) != now.get(*name));
        changed.map(|name| name.replace(home.to_str().unwrap(), "~")).collect()
    }

    #[test]
    fn what_runs_or_is_trusted_is_told_by_its_key_and_state_is_not() {
        let home = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(".claude/settings.json", r#"{"model": "opus", "permissions": {"deny": ["Read(.env)"]}, "hooks": {}}"#);
        put(".claude.json", r#"{"numStartups": 1, "projects": {"/p": {"mcpServers": {}, "lastCost": 1}}}"#);
        put(".claude/projects/x/1.jsonl", "{}");
        put(".claude/.credentials.json", "{}");
        let before = look(&config(home.path())).unwrap();
        // The client at work, and a person who picks another model.
        put(".claude/settings.json", r#"{"model": "haiku", "theme": "dark", "permissions": {"deny": ["Read(.env)"]}}"#);
        put(".claude.json", r#"{"numStartups": 2, "projects": {"/p": {"lastCost": 2}, "/q": {"allowedTools": []}}}"#);
        put(".claude/projects/x/2.jsonl", "{}");
        put(".claude/.credentials.json", r#"{"new": 1}"#);
        put(".claude/shell-snapshots/a.sh", "");
        assert_eq!(names(&before, &look(&config(home.path())).unwrap(), home.path()), [""; 0]);
        // A file that is being written says nothing yet.
        put(".claude.json", r#"{"numStartups": 2, "#);
        assert_eq!(names(&before, &look(&config(home.path())).unwrap(), home.path()), [""; 0]);
        put(".claude/settings.json", r#"{"permissions": {}, "hooks": {"Stop": [1]}}"#);
        put(".claude/settings.local.json", r#"{"statusLine": {"command": "x"}}"#);
        put(".claude.json", r#"{"mcpServers": {"a": 1}, "projects": {"/p": {"mcpServers": {"b": {"command": "x"}}}}}"#);
        put(".claude/status.sh", "echo");
        put(".claude/skills/deep/er/SKILL.md", "do");
        std::os::unix::fs::symlink("/etc", home.path().join(".claude/agents")).unwrap();
        put(".claude/CLAUDE.md", "Always run x");
        let expected = [
            "~/.claude.json of /p: mcpServers",
            "~/.claude.json: mcpServers",
            "~/.claude/CLAUDE.md",
            "~/.claude/settings.json: hooks",
            "~/.claude/settings.json: permissions",
            "~/.claude/settings.local.json: statusLine",
            "~/.claude/skills/deep/er/SKILL.md",
            "~/.claude/status.sh",
            "the link ~/.claude/agents",
        ];
        let told = names(&before, &look(&config(home.path())).unwrap(), home.path());
        let own: Vec<&String> = told.iter().filter(|name| !name.contains("/agents/")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
        // Elsewhere, if the person keeps it there.
        let mut moved = config(home.path());
        moved.env.insert("CLAUDE_CONFIG_DIR".into(), home.path().join("c").into());
        assert!(look(&moved).unwrap().is_empty());
        put("c/.claude.json", r#"{"hooks": {"Stop": 1}}"#);
        assert_eq!(names(&BTreeMap::new(), &look(&moved).unwrap(), home.path()), ["~/c/.claude.json: hooks"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_looked_at_now_is_said_and_not_left_out() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".claude/hooks")).unwrap();
        let torn = home.path().join(".claude/hooks/torn");
        // The memory of a process at its first page: an error of the disk is the same.
        std::os::unix::fs::symlink("/proc/self/mem", &torn).unwrap();
        assert_eq!(look(&config(home.path())).unwrap_err().0, torn);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it makes a FIFO")]
    fn nothing_holds_up_a_look() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".claude/hooks")).unwrap();
        for fifo in [".claude.json", ".claude/settings.json", ".claude/hooks/f", ".claude/CLAUDE.md"] {
            let made = std::process::Command::new("mkfifo").arg(home.path().join(fifo)).status().unwrap();
            assert!(made.success());
        }
        std::os::unix::fs::symlink("loop", home.path().join(".claude/hooks/loop")).unwrap();
        assert_eq!(look(&config(home.path())).unwrap().len(), 1, "the link");
        assert!(
            look(&ClaudeConfig::new(BaseEnv::from_vars(std::iter::empty::<(OsString, OsString)>())))
                .unwrap()
                .is_empty()
        );
    }
}
