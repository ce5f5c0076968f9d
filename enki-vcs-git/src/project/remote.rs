//! A branch of a remote as a target: fetched into a ref of ours, moved by a push that the server compares and swaps.
//!
//! These calls run with the person's own configuration and credentials, and never ask for anything.

use crate::error::GitError;
use crate::git::objects::{Old, sync_folder};
use crate::git::{GitCmd, Output};
use crate::project::GitProject;
use crate::refinery::publish::{anchor, standing};
use enki_core::branch::Branch;
use enki_core::crash_point;
use enki_core::id::CommitId;
use enki_core::refinery::Publish;
use std::time::Duration;

/// Longer than any sound fetch or push of what a plan makes.
const LIMIT: Duration = Duration::from_secs(600);
/// Candidates that an error names.
const NAMED: usize = 20;

/// The branch and its head at the remote, just fetched.
pub(crate) fn resolve(project: &GitProject, branch: Branch) -> Result<(Branch, CommitId), GitError> {
    let (remote, name) = parts(&branch)?;
    let remotes = remotes(project)?;
    let missing = |candidates| GitError::NoSuchRemoteBranch { name: branch.to_string(), candidates };
    if !remotes.iter().any(|known| known == remote) {
        return Err(missing(remotes.iter().take(NAMED).map(|known| format!("{known}:{name}")).collect()));
    }
    if let Some(head) = fetch(project, &branch)? {
        project.require_files(&branch, head)?;
        return Ok((branch, head));
    }
    let output = call(project)?.args(["ls-remote", "--heads", remote]).timeout(LIMIT).run()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split_once("\trefs/heads/").map(|(_, name)| name));
    Err(missing(
        names.filter(|name| !name.starts_with("enki/")).take(NAMED).map(|name| format!("{remote}:{name}")).collect(),
    ))
}

/// Looks at the branch where it really is, and brings its commits in. `None` if the remote does not have it.
pub(crate) fn fetch(project: &GitProject, branch: &Branch) -> Result<Option<CommitId>, GitError> {
    let (remote, name) = known(project, branch)?;
    let full_ref = branch.full_ref();
    let output = call(project)?
        .config("core.logAllRefUpdates=always")
        .config("core.fsync=committed")
        .args(["fetch", "--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules"])
        // Not the person's own remote-tracking branch: they fetch when they want to.
        .args(["--refmap=", "--no-filter", remote, &format!("+refs/heads/{name}:{full_ref}")])
        .timeout(LIMIT)
        .run()?;
    if output.code == Some(0) {
        sync_folder(&project.common_dir().join("objects/pack"))?;
        project.sync_ref(&full_ref)?;
        return project.commit_at(&full_ref);
    }
    if output.stderr.contains("couldn't find remote ref") {
        return Ok(None);
    }
    Err(unreachable(remote, "fetch from", &output))
}

/// Moves the branch of the remote from `expected` to the commit, by the server's own compare-and-swap.
pub(crate) fn publish(
    project: &GitProject,
    target: &Branch,
    expected: CommitId,
    commit: CommitId,
) -> Result<Publish, GitError> {
    let (remote, name) = known(project, target)?;
    let full_ref = target.full_ref();
    let refinery = project.refinery_dir()?;
    anchor(project, &refinery, expected, commit)?;
    // A lease alone would let a push throw commits away that the candidate is not built on.
    if !project.is_ancestor(expected, commit)? {
        return Err(GitError::Gone(format!("the candidate {commit} is not built on {expected}, so it is not pushed")));
    }
    if let Some(reason) = project.untrusted()? {
        let command = format!("git push {remote} {commit}:refs/heads/{name}");
        return Ok(Publish::Blocked { reason, command });
    }
    project.watch().moves(&format!("refs/remotes/{remote}/{name}"), commit);
    crash_point!("merge.8.before");
    // Nothing of ours waits for a server: the lock is free meanwhile.
    let output = call(project)?
        .args(["push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no"])
        .args([&format!("--force-with-lease=refs/heads/{name}:{expected}"), remote])
        .arg(format!("{commit}:refs/heads/{name}"))
        .timeout(LIMIT)
        .run()?;
    let answer = Answer::of(&output, &format!("refs/heads/{name}"));
    tracing::debug!(target: "enki_vcs_git", %target, %commit, ?answer, "pushed");
    let command = format!("git push {remote} {commit}:refs/heads/{name}");
    match answer {
        Answer::Done => {
            let lock = project.write_lock()?;
            // If it is elsewhere, somebody fetched in between, and knows better.
            project.swap(&lock, &full_ref, commit, Old::At(expected))?;
            project.sync_ref(&full_ref)?;
            crash_point!("merge.8.after");
            Ok(Publish::Published)
        }
        Answer::Moved | Answer::Refused(_) => {
            let now = fetch(project, target)?;
            match (now, answer) {
                (Some(_), answer) => match (standing(project, &full_ref, expected, commit)?, answer) {
                    (Some(known), _) => Ok(known),
                    (None, Answer::Refused(why)) => {
                        Ok(Publish::Blocked { reason: format!("{remote} does not take the push: {why}"), command })
                    }
                    (None, _) => Err(GitError::Raced(format!("{target} is moved to and fro by somebody else"))),
                },
                (None, _) => Ok(Publish::Moved { now: None }),
            }
        }
        Answer::Forbidden(why) => {
            Ok(Publish::Blocked { reason: format!("this user may not push to {remote}: {why}"), command })
        }
        Answer::Unknown => Err(unreachable(remote, "push to", &output)),
    }
}

/// What a push came to.
#[derive(Debug, Eq, PartialEq)]
enum Answer {
    Done,
    /// The branch is not where it was expected.
    Moved,
    /// The server, or a hook before the push, said no to this one.
    Refused(String),
    /// The server does not let this person in.
    Forbidden(String),
    /// It is not known whether anything happened.
    Unknown,
}

impl Answer {
    /// Reads the porcelain line of the ref: a flag, `<from>:<to>`, a summary, with tabs between.
    fn of(output: &Output, full_ref: &str) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| {
            let mut fields = line.splitn(3, '\t');
            let (flag, pair, summary) = (fields.next()?, fields.next()?, fields.next()?);
            (pair.rsplit(':').next() == Some(full_ref)).then(|| (flag.to_owned(), summary.to_owned()))
        });
        let said = || said(&output.stderr);
        match line {
            Some((flag, summary)) if flag == "!" => {
                if summary.starts_with("[rejected]") {
                    Self::Moved
                } else if summary.starts_with("[remote rejected]") {
                    let why = summary.trim_start_matches("[remote rejected]").trim().trim_matches(['(', ')']);
                    let words = remote_words(&output.stderr);
                    Self::Refused(if words.is_empty() { why.to_owned() } else { format!("{why}: {words}") })
                } else {
                    Self::Unknown
                }
            }
            // A push that was done and reported is done, whatever a hook after it says.
            Some(_) => Self::Done,
            None if is_about_rights(&output.stderr) => Self::Forbidden(said()),
            // The person's own hook before the push: git names no ref then, and got as far as talking to the server.
            None if output.code == Some(1) => Self::Refused(said()),
            None => Self::Unknown,
        }
    }
}

fn is_about_rights(stderr: &str) -> bool {
    [
        "Permission denied",
        "Permission to ",
        "denied to ",
        "returned error: 401",
        "returned error: 403",
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "terminal prompts disabled",
        "not allowed to push",
        "Host key verification failed",
    ]
    .iter()
    .any(|words| stderr.contains(words))
}

/// What the server's side wrote, in one line.
fn remote_words(stderr: &str) -> String {
    let lines = stderr.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim);
    shorten(&lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "))
}

/// What git said, in one line and without passwords.
fn said(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    shorten(&lines.collect::<Vec<_>>().join(" "))
}

fn shorten(text: &str) -> String {
    let words = text.split(' ').map(|word| match (word.split_once("://"), word.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{}://{}", scheme, &word[at + 1..]),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(500).collect()
}

fn unreachable(remote: &str, attempted: &str, output: &Output) -> GitError {
    GitError::Remote { attempted: format!("{attempted} {remote}"), said: said(&output.stderr) }
}

fn parts(branch: &Branch) -> Result<(&str, &str), GitError> {
    branch.remote().ok_or_else(|| GitError::Gone(format!("{branch} is not a branch of a remote")))
}

/// The remote and the branch there. A remote that is not configured is none: git would take its name for a path.
fn known<'a>(project: &GitProject, branch: &'a Branch) -> Result<(&'a str, &'a str), GitError> {
    let (remote, name) = parts(branch)?;
    if remotes(project)?.iter().any(|known| known == remote) {
        Ok((remote, name))
    } else {
        Err(GitError::Gone(format!("there is no remote {remote} any more: `git remote add {remote} URL` makes it")))
    }
}

fn remotes(project: &GitProject) -> Result<Vec<String>, GitError> {
    if project.is_folder() {
        return Ok(Vec::new());
    }
    let output = project.as_person(project.root()).arg("remote").ok()?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// A call as the person that reaches a server and has nobody to ask.
fn call(project: &GitProject) -> Result<GitCmd, GitError> {
    let options = project.options();
    let mut ssh = options.var("GIT_SSH_COMMAND").map(|command| command.to_string_lossy().into_owned());
    if ssh.is_none() && options.var("GIT_SSH").is_none() {
        let configured = project.as_person(project.root()).args(["config", "core.sshCommand"]).run()?;
        ssh = Some(if configured.code == Some(0) { configured.line() } else { "ssh".to_owned() });
    }
    let cmd = project.as_person(project.root()).unattended(ssh.as_deref(), options.var("GIT_SSH"));
    Ok(cmd.config("gc.auto=0").config("maintenance.auto=false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i32, stdout: &str, stderr: &str) -> Answer {
        Answer::of(&Output::of(code, stdout, stderr), "refs/heads/main")
    }

    #[test]
    fn what_git_prints_about_a_push_is_understood() {
        let line = |flag: &str, summary: &str| format!("To x\n{flag}\tabc:refs/heads/main\t{summary}\nDone\n");
        for (flag, summary) in [(" ", "1..2"), ("=", "[up to date]"), ("*", "[new branch]"), ("+", "1...2 (forced)")] {
            assert_eq!(answer(0, &line(flag, summary), ""), Answer::Done, "{flag}");
        }
        for why in ["stale info", "fetch first", "non-fast-forward"] {
            assert_eq!(answer(1, &line("!", &format!("[rejected] ({why})")), ""), Answer::Moved);
        }
        assert_eq!(
            answer(1, &line("!", "[remote rejected] (pre-receive hook declined)"), "remote: not on Fridays\nerror: x"),
            Answer::Refused("pre-receive hook declined: not on Fridays".to_owned())
        );
        assert_eq!(answer(1, &line("!", "[remote failure] (remote failed to report status)"), ""), Answer::Unknown);
        assert_eq!(answer(1, "", "my hook says no"), Answer::Refused("my hook says no".to_owned()));
        assert_eq!(answer(128, "", "fatal: Could not read from remote repository."), Answer::Unknown);
        let denied = "remote: Permission to a/b.git denied to c.\nfatal: unable to access 'https://u:s3@h/': The \
                      requested URL returned error: 403";
        let Answer::Forbidden(why) = answer(128, "", denied) else { panic!() };
        assert!(!why.contains("s3") && why.contains("denied to c."), "{why}");
    }
}
