//! With what git is started: its input, descriptors and variables are its own, whatever we have.
#![cfg(target_os = "linux")]

use crate::support::*;
use enki_core::id::EffectId;
use enki_core::refinery::{Check, Gate, Import, Publish, Refinery};
use enki_core::workspace::{Capture, Expect, Start, WorkspaceProvider};
use enki_vcs_git::GitProject;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

/// What a hardened call may have: where things are, and what keeps git to itself.
const HARDENED: &[&str] = &[
    "PATH",
    "HOME",
    "LC_ALL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_GLOBAL",
    "GIT_GRAFT_FILE",
    "GIT_ATTR_NOSYSTEM",
    "GIT_TERMINAL_PROMPT",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_PAGER",
    "GIT_OPTIONAL_LOCKS",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_NO_LAZY_FETCH",
    "GIT_ALLOW_PROTOCOL",
    "GIT_PROTOCOL_FROM_USER",
    "GIT_LITERAL_PATHSPECS",
    "GIT_INDEX_FILE",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_DATE",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_DATE",
];

/// What a call as the person has beside the person's own variables.
const AS_PERSON: &[&str] =
    &["LC_ALL", "GIT_TERMINAL_PROMPT", "GIT_OPTIONAL_LOCKS", "GIT_EDITOR", "GIT_PAGER", "PATH", "HOME", "SECRET"];

/// What a shell sets for itself.
const SHELL: &[&str] = &["PWD", "OLDPWD", "SHLVL", "_"];

/// A shell that lists its descriptors and variables, one call a file, before it becomes git.
const LIST: &str = r#"exec 9>"LOG.$$"
echo "call $*" >&9
for fd in /proc/$$/fd/*; do test -L $fd && printf 'fd %s ' "${fd##*/}" >&9 && readlink $fd >&9; done
env | sed -n 's/^\([A-Za-z_][A-Za-z_0-9]*\)=.*/var \1/p' >&9
exec 9>&-
exec GIT "$@""#;

/// A whole step, by a project whose git tells how it was started.
async fn step(project: &GitProject, repo: &Repo) {
    let (workspaces, refinery) = (project.workspaces(), project.refinery());
    let base = refinery.open(&main(), &integration()).await.unwrap();
    workspaces.prepare(base, 1).await;
    let spec = spec("a", 1, Start::Fresh { base });
    let made = workspaces.create(&spec).await.unwrap();
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
    write(&made.path, "b.txt", "b\n");
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    let change = step_change("a", 1, commit);
    assert_eq!(refinery.import(&change).await.unwrap(), Import::Imported);
    let candidate = repo.candidate(base, &[change]).await;
    let gate = Gate::new("cat b.txt", Duration::from_secs(60));
    assert_eq!(refinery.check(&candidate, &gate, EffectId::of("c", &[])).await.unwrap(), Check::Passed);
    for target in [integration(), main()] {
        assert_eq!(refinery.publish(&target, base, &candidate).await.unwrap(), Publish::Published);
    }
    workspaces.remove(task("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_git_has_an_input_descriptors_and_variables_of_its_own() {
    let repo = Repo::new();
    let logs = repo.dir.path().join("started");
    fs::create_dir(&logs).unwrap();
    let list = LIST.replace("LOG", &logs.join("git").display().to_string());
    let mut options = with_git(&repo, &list.replace("GIT", &which_git().display().to_string()));
    for (name, value) in [("SECRET", "s"), ("GIT_DIR", "/nowhere"), ("GIT_CONFIG_COUNT", "1")] {
        options.env.push((name.into(), value.into()));
    }
    // What this program was itself started with is not ours.
    let from_outside: BTreeSet<String> = repo
        .sh("for fd in /proc/$$/fd/*; do test -L $fd && readlink $fd; done; true")
        .lines()
        .map(str::to_owned)
        .collect();
    let held = (
        fs::File::create(repo.dir.path().join("store")).unwrap(),
        UnixListener::bind(repo.dir.path().join("socket")).unwrap(),
        UnixStream::pair().unwrap(),
    );
    step(&GitProject::open(&repo.root, options).unwrap(), &repo).await;
    drop(held);

    let script = repo.dir.path().join("bin/git").canonicalize().unwrap().display().to_string();
    let logs = logs.canonicalize().unwrap();
    let own_input = fs::read_link("/proc/self/fd/0").unwrap_or_default();
    let (mut hardened, mut as_person) = (0, 0);
    for entry in fs::read_dir(&logs).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let person = !text.contains("--git-dir=");
        *(if person { &mut as_person } else { &mut hardened }) += 1;
        for line in text.lines() {
            if let Some((fd, target)) = line.strip_prefix("fd ").and_then(|rest| rest.split_once(' ')) {
                // Nothing, what it is fed with, a lock that it shares, or a pack in a file without a name.
                let input = target == "/dev/null"
                    || target.starts_with("pipe:")
                    || target.ends_with(".lock")
                    || target.ends_with(" (deleted)");
                let input = input && (target == "/dev/null" || Path::new(target) != own_input);
                match fd {
                    "0" => assert!(input, "{line} in {text}"),
                    "1" | "2" => {}
                    // The shell's own script, and its list.
                    _ if target == script || target.starts_with(logs.to_str().unwrap()) => {}
                    _ => assert!(from_outside.contains(target), "{line} in {text}"),
                }
            }
            if let Some(name) = line.strip_prefix("var ") {
                let allowed = if person { AS_PERSON } else { HARDENED };
                assert!(allowed.contains(&name) || SHELL.contains(&name), "{name} in {text}");
            }
        }
    }
    assert!(hardened > 10 && as_person > 1, "{hardened} {as_person}");
}
