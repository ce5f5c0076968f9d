//! What an agent may not change in the person's repository: looked at before and after each attempt.
//!
//! Without a sandbox an agent runs as the person, and can write there by path. What cannot be kept from happening has
//! to be seen before anything of that attempt is merged. The rules, and why, are in `docs/isolation.md`:
//!
//! * Settings, that is what makes git run or trust something, fail the attempt. A person's everyday keys do not.
//! * So does what makes programs run outside of the repository, as far as the agent's runner knows of it.
//! * HEAD, branches, tags and the index are the person's to move at any time, so a change of them is a notice; but it
//!   fails the attempt if a branch was removed whose commits nothing else has, or if something was moved to what was
//!   made in the attempt's own workspace.
//! * What Enki moved itself is neither.

use crate::error::GitError;
use crate::git::Object;
use crate::isolation::own::OwnGit;
use crate::isolation::seen::{Seen, is_everyday};
use crate::project::{DriftRule, GitProject, put};
use crate::there;
use crate::workspaces::place::Place;
use enki_core::id::{CommitId, EffectId, TaskId, TreeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is remembered of a repository while attempts run. It is in memory, where no agent can write it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    asked: AtomicU64,
    looking: Mutex<Option<(u64, Arc<Seen>)>>,
    mind: Mutex<Mind>,
}

#[derive(Debug, Default)]
struct Mind {
    /// What was found first: what the person trusted when they started Enki.
    trusted: Option<Arc<Seen>>,
    /// What was remembered for the latest attempt of each task that has a workspace.
    begun: BTreeMap<TaskId, Begun>,
    /// Refs that Enki moved itself and where to, each with its number, as far back as the oldest of these attempts began.
    moved: BTreeMap<(String, CommitId), u64>,
    moves: u64,
    /// How often Enki wrote the person's index.
    checkouts: u64,
}

/// More refs than are ever about to be moved at once.
const UNDER_WAY: u64 = 200;

/// What was found when an attempt began. A copy of it is beside Enki's index of the workspace, for after a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    attempt: String,
    pub(crate) own: OwnGit,
    #[serde(with = "shared")]
    seen: Arc<Seen>,
    checkouts: u64,
    /// How many refs Enki had moved.
    #[serde(skip)]
    moves: u64,
}

mod shared {
    use super::{Arc, Deserialize, Seen, Serialize};

    pub(super) fn serialize<S: serde::Serializer>(seen: &Arc<Seen>, to: S) -> Result<S::Ok, S::Error> {
        (**seen).serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Arc<Seen>, D::Error> {
        Seen::deserialize(from).map(Arc::new)
    }
}

/// What an attempt left, to tell its own doing from the person's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    /// The tip of its own commits, if it made any that are in the refinery.
    pub(crate) tip: Option<CommitId>,
    /// What it began from.
    pub(crate) parent: CommitId,
    pub(crate) parent_tree: TreeId,
    /// Its files.
    pub(crate) tree: TreeId,
}

/// What changed beside an attempt.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Drift {
    /// What fails the attempt.
    pub(crate) tampered: Vec<String>,
    /// What a person should know.
    pub(crate) notices: Vec<String>,
}

/// A ref that changed.
struct Moved<'a> {
    name: &'a str,
    old: Option<&'a str>,
    new: Option<&'a str>,
}

impl std::fmt::Display for Moved<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = crate::isolation::scan::show(self.name.as_bytes());
        match (self.old, self.new) {
            (Some(old), Some(new)) => write!(f, "{name} moved from {old} to {new}"),
            (Some(old), None) => write!(f, "{name} was removed; it was at {old}"),
            (None, Some(new)) => write!(f, "{name} was added at {new}"),
            (None, None) => f.write_str(&name),
        }
    }
}

impl Watch {
    fn mind(&self) -> MutexGuard<'_, Mind> {
        self.mind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that Enki itself moves a ref, so that nobody is suspected of it.
    pub(crate) fn moves(&self, full_ref: &str, to: CommitId) {
        let mut mind = self.mind();
        mind.moves += 1;
        let number = mind.moves;
        mind.moved.insert((full_ref.to_owned(), to), number);
    }

    /// Forgets the attempts of a task: it has no workspace any more.
    pub(crate) fn ends(&self, task: TaskId) {
        let mut mind = self.mind();
        mind.begun.remove(&task);
        let oldest = mind.begun.values().map(|begun| begun.moves).min().unwrap_or(mind.moves);
        // Each is noted before it is done: some may have been about to be done when that attempt began.
        mind.moved.retain(|_, number| number.saturating_add(UNDER_WAY) > oldest);
    }

    /// Takes note that Enki itself had the person's git write their files and index.
    pub(crate) fn checks_out(&self) {
        self.mind().checkouts += 1;
    }
}

impl GitProject {
    /// Remembers what the repository and the agent's own git directory are, for an attempt that is about to begin.
    pub(crate) fn begin_watch(&self, place: &Place, attempt: EffectId) -> Result<(), GitError> {
        let seen = self.look()?;
        let mut mind = self.watch().mind();
        mind.trusted.get_or_insert_with(|| Arc::clone(&seen));
        let own = OwnGit::of(&place.work)?;
        let (checkouts, moves) = (mind.checkouts, mind.moves);
        let begun = Begun { attempt: attempt.hex(), own, seen, checkouts, moves };
        mind.begun.insert(place.task, begun.clone());
        drop(mind);
        let file = file_of(place);
        // Not synced: after a power loss no attempt goes on.
        put(&file, &written(&begun).map_err(|e| GitError::io("write", &file, e))?)
    }

    /// What was remembered when the attempt began, and whether the copy on disk is another.
    pub(crate) fn begun(&self, place: &Place, attempt: EffectId) -> Result<(Option<Begun>, bool), GitError> {
        let of_it = |begun: &Begun| begun.attempt == attempt.hex();
        let stored = there::ours(&file_of(place))?.unwrap_or_default();
        if let Some(begun) = self.watch().mind().begun.get(&place.task).cloned().filter(of_it) {
            let forged = written(&begun).is_ok_and(|bytes| bytes != stored);
            return Ok((Some(begun), forged));
        }
        let begun = serde_json::from_slice(&stored).ok().filter(of_it);
        Ok((begun.map(|begun| Begun { checkouts: u64::MAX, ..begun }), false))
    }

    /// What changed in the person's repository since the attempt began.
    pub(crate) fn drift(&self, place: &Place, attempt: EffectId, made: &Made) -> Result<Drift, GitError> {
        let mut drift = Drift::default();
        let (begun, forged) = self.begun(place, attempt)?;
        let Some(begun) = begun else {
            drift.notices.push("it is not known what your repository was before this attempt".to_owned());
            return Ok(drift);
        };
        if forged {
            drift.tampered.push(format!("{}, Enki's own note of the attempt, was changed", file_of(place).display()));
        }
        let now = match self.look() {
            Ok(now) => now,
            // Nobody's doing, and another look may find all as it was.
            Err(error @ GitError::Io { .. }) if error.is_transient() => return Err(error),
            Err(error) => {
                drift.tampered.push(format!("git cannot read your repository any more: {error}"));
                return Ok(drift);
            }
        };
        self.compare_settings(&begun.seen, &now, &mut drift)?;
        drift.tampered.extend(changed(&begun.seen.outside, &now.outside));
        self.compare_positions(&begun, &now, made, &mut drift)?;
        if self.policy().drift == DriftRule::Fail {
            drift.tampered.append(&mut drift.notices);
        }
        drift.tampered.truncate(50);
        drift.notices.truncate(50);
        Ok(drift)
    }

    /// Why the person's git must not be run with their configuration now: settings changed since Enki was started, and
    /// an agent may have done it.
    pub(crate) fn untrusted(&self) -> Result<Option<String>, GitError> {
        let now = self.look()?;
        let trusted = Arc::clone(self.watch().mind().trusted.get_or_insert_with(|| Arc::clone(&now)));
        let mut drift = Drift::default();
        self.compare_settings(&trusted, &now, &mut drift)?;
        Ok((!drift.tampered.is_empty()).then(|| {
            let what = crate::isolation::scan::one_line(&drift.tampered);
            format!("your git would run with settings that changed since Enki was started: {what}; look at them before anything lands")
        }))
    }

    /// Looks now. All who ask while a look goes on share the next one.
    fn look(&self) -> Result<Arc<Seen>, GitError> {
        let watch = self.watch();
        let mine = watch.asked.fetch_add(1, Ordering::SeqCst);
        let mut last = watch.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((upto, seen)) = &*last
            && *upto > mine
        {
            return Ok(Arc::clone(seen));
        }
        let upto = watch.asked.load(Ordering::SeqCst);
        let now = Seen::look(self, last.as_ref().map(|(_, seen)| &**seen))?;
        // Attempts that saw the same have it once.
        let seen = match &*last {
            Some((_, seen)) if **seen == now => Arc::clone(seen),
            _ => Arc::new(now),
        };
        *last = Some((upto, Arc::clone(&seen)));
        Ok(seen)
    }

    fn compare_settings(&self, before: &Seen, now: &Seen, drift: &mut Drift) -> Result<(), GitError> {
        let names: BTreeSet<&String> = before.settings.keys().chain(now.settings.keys()).collect();
        for name in names.into_iter().filter(|name| before.settings.get(*name) != now.settings.get(*name)) {
            let shown = crate::isolation::scan::show(name.as_bytes());
            if let (Some(old), Some(new)) = (before.texts.get(name), now.texts.get(name)) {
                match (self.keys_of(old)?, self.keys_of(new)?) {
                    (Some(old), Some(new)) => {
                        for (key, word) in changed_keys(&old, &new) {
                            let line = format!("{shown}: {} was {word}", crate::isolation::scan::show(key.as_bytes()));
                            if is_everyday(key) { drift.notices.push(line) } else { drift.tampered.push(line) }
                        }
                    }
                    _ => drift.tampered.push(format!("{shown} cannot be read by git any more")),
                }
                continue;
            }
            let word = word(before.settings.get(name), now.settings.get(name));
            drift.tampered.push(format!("{shown} {word}"));
        }
        Ok(())
    }

    /// The keys and values of a configuration text; `None` if git cannot read it.
    fn keys_of(&self, text: &str) -> Result<Option<Vec<(String, String)>>, GitError> {
        let list = ["config", "--file", "-", "--no-includes", "--list", "-z"];
        // In a git directory of ours: the person's may be what cannot be read.
        let output = self.git().at(&self.refinery_dir()?).args(list).stdin(text).run()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let pair = |entry: &str| {
            let (key, value) = entry.split_once('\n').unwrap_or((entry, ""));
            (key.to_owned(), value.to_owned())
        };
        let keys = said.split('\0').filter(|entry| !entry.is_empty()).map(pair).collect();
        Ok((output.code == Some(0)).then_some(keys))
    }

    fn compare_positions(&self, begun: &Begun, now: &Seen, made: &Made, drift: &mut Drift) -> Result<(), GitError> {
        let before = &*begun.seen;
        let restarted = begun.checkouts == u64::MAX;
        let names: BTreeSet<&String> = before.refs.keys().chain(now.refs.keys()).collect();
        let get = |seen: &'_ Seen, name: &str| seen.refs.get(name).cloned();
        let changed: Vec<(&String, Option<String>, Option<String>)> = names
            .into_iter()
            .map(|name| (name, get(before, name), get(now, name)))
            .filter(|(_, old, new)| old != new)
            .collect();
        let ours = self.moved_by_us(&changed, restarted)?;
        let changed: Vec<Moved<'_>> = changed
            .iter()
            .zip(&ours)
            .filter(|(_, ours)| !**ours)
            .map(|((name, old, new), _)| Moved { name, old: old.as_deref(), new: new.as_deref() })
            .collect();
        let own = if changed.is_empty() { BTreeSet::new() } else { self.own_commits(made)? };
        for moved in &changed {
            match self.suspicion(moved, made, &own)? {
                Some(why) => drift.tampered.push(format!("{moved}{why}")),
                None => drift.notices.push(moved.to_string()),
            }
        }
        if before.head != now.head {
            drift.notices.push(format!("HEAD was {} and is {}", before.head, now.head));
        }
        let written = if restarted { ours.contains(&true) } else { begun.checkouts != self.watch().mind().checkouts };
        if before.index.entries != now.index.entries && !written {
            let line = format!("what is staged changed, from {} to {}", before.index.entries, now.index.entries);
            drift.notices.push(line);
        }
        Ok(())
    }

    /// Which of these refs Enki moved. After a restart it does not remember, and goes by the anchors of candidates.
    fn moved_by_us(
        &self,
        changed: &[(&String, Option<String>, Option<String>)],
        restarted: bool,
    ) -> Result<Vec<bool>, GitError> {
        let to = |new: &Option<String>| new.as_deref().and_then(|id| id.parse::<CommitId>().ok());
        if !restarted {
            let mind = self.watch().mind();
            let is_ours = |(name, _, new): &(&String, Option<String>, Option<String>)| {
                to(new).is_some_and(|id| mind.moved.contains_key(&((*name).clone(), id)))
            };
            return Ok(changed.iter().map(is_ours).collect());
        }
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let anchors: Vec<String> = changed
            .iter()
            .map(|(_, _, new)| {
                format!("refs/enki/anchor/{}", to(new).map_or_else(|| "none".to_owned(), |id| id.to_string()))
            })
            .collect();
        let found = self.git().look_up(self.common_dir(), &anchors)?;
        let anchored = |anchor: &Object, new| anchor.commit().is_some() && anchor.commit() == to(new);
        let ours = found.iter().zip(changed).map(|(anchor, (name, old, new))| {
            Ok(anchored(anchor, new) || (self.is_side(name) && self.was_added_to(old.as_deref(), new.as_deref())?))
        });
        ours.collect()
    }

    fn is_side(&self, full_ref: &str) -> bool {
        self.policy().side.is_some_and(|side| side.full_ref() == full_ref)
    }

    /// Whether a branch has all that it had.
    fn was_added_to(&self, old: Option<&str>, new: Option<&str>) -> Result<bool, GitError> {
        match (old, new) {
            (None, Some(_)) => Ok(true),
            (Some(old), Some(new)) => {
                Ok(self.at_person().args(["merge-base", "--is-ancestor", old, new]).run()?.code == Some(0))
            }
            (_, None) => Ok(false),
        }
    }

    /// The commits that an agent made itself.
    fn own_commits(&self, made: &Made) -> Result<BTreeSet<String>, GitError> {
        let Some(tip) = made.tip else { return Ok(BTreeSet::new()) };
        let list = ["rev-list", "--max-count=10000", &tip.to_string(), &format!("^{}", made.parent)];
        let output = self.git().at(&self.refinery_dir()?).args(list).run()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Why a ref was hardly moved by the person, if so.
    fn suspicion(
        &self,
        moved: &Moved<'_>,
        made: &Made,
        own: &BTreeSet<String>,
    ) -> Result<Option<&'static str>, GitError> {
        if moved.name.starts_with("refs/replace/") {
            return Ok(Some(", which makes git show other objects than there are"));
        }
        if let Some(new) = moved.new {
            let found =
                self.git().look_up(self.common_dir(), &[format!("{new}^{{commit}}"), format!("{new}^{{tree}}")])?;
            let commit = found[0].commit().map(|id| id.to_string());
            if commit.is_some_and(|id| own.contains(&id)) {
                return Ok(Some(", a commit that the agent made in its workspace"));
            }
            if made.tree != made.parent_tree && found[1].id::<TreeId>() == Some(made.tree) {
                return Ok(Some(", which has just the files of the agent's workspace"));
            }
            return Ok(None);
        }
        let (Some(old), true) = (moved.old, moved.name.starts_with("refs/heads/")) else { return Ok(None) };
        let list = ["rev-list", "--max-count=1", old, "--not", "--branches", "--tags", "--remotes"];
        let lost = self.at_person().args(list).run()?;
        Ok((lost.code != Some(0) || !lost.stdout.is_empty()).then_some(", and no other branch or tag has its commits"))
    }
}

fn written(begun: &Begun) -> std::io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(begun)?)
}

fn file_of(place: &Place) -> PathBuf {
    place.capture.join("enki-watch.json")
}

/// What became of one that is not what it was.
fn word(before: Option<&String>, now: Option<&String>) -> &'static str {
    match (before, now) {
        (None, _) => "was added",
        (_, None) => "was removed",
        _ => "was changed",
    }
}

/// What is not as it was, and what became of it.
fn changed(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let other = names.into_iter().filter(|name| before.get(*name) != now.get(*name));
    let shown = |name: &String| crate::isolation::scan::show(name.as_bytes());
    other.map(|name| format!("{} {}", shown(name), word(before.get(name), now.get(name)))).collect()
}

/// The keys whose values differ, and how.
fn changed_keys<'a>(old: &'a [(String, String)], new: &'a [(String, String)]) -> Vec<(&'a str, &'static str)> {
    let values = |all: &'a [(String, String)], key: &str| -> Vec<&'a str> {
        all.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect()
    };
    let keys: BTreeSet<&str> = old.iter().chain(new).map(|(key, _)| key.as_str()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (before, now) = (values(old, key), values(new, key));
            match (before.is_empty(), now.is_empty()) {
                _ if before == now => None,
                (true, _) => Some((key, "added")),
                (_, true) => Some((key, "removed")),
                _ => Some((key, "changed")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use enki_core::id::ExecutionId;

    #[test]
    fn what_is_remembered_does_not_grow_with_what_was_done() {
        let watch = Watch::default();
        let task_of = |n: u128| TaskId::of(ExecutionId::new(n), &"a".parse().expect("a step's id"));
        let (waits, commit): (_, CommitId) = (task_of(1), "7".repeat(40).parse().expect("a commit's id"));
        let begin = |task: TaskId| {
            let mut mind = watch.mind();
            let (checkouts, moves) = (0, mind.moves);
            let begun =
                Begun { attempt: String::new(), own: OwnGit::default(), seen: Arc::default(), checkouts, moves };
            mind.begun.insert(task, begun);
        };
        let work = |n: u16| {
            let task = task_of(2);
            begin(task);
            watch.moves(&format!("refs/heads/enki/{n}"), commit);
            watch.ends(task);
        };
        let size = || {
            let mind = watch.mind();
            (mind.begun.len(), mind.moved.len())
        };
        let most = usize::try_from(UNDER_WAY).expect("a small number");
        (0..1000).for_each(work);
        assert_eq!(size(), (0, most));
        // One that waits for a person needs all that was moved since it began.
        begin(waits);
        (1000..2000).for_each(work);
        assert_eq!(size(), (1, 1000 + most));
        watch.ends(waits);
        assert_eq!(size(), (0, most));
    }

    #[test]
    fn a_key_that_came_went_or_got_another_value_is_named_once() {
        let keys = |all: &[(&str, &str)]| -> Vec<(String, String)> {
            all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let old = keys(&[("a.b", "1"), ("a.c", "1"), ("a.d", "1"), ("a.e", "1")]);
        let new = keys(&[("a.b", "1"), ("a.c", "2"), ("a.d", "1"), ("a.d", "2"), ("a.f", "")]);
        assert_eq!(
            changed_keys(&old, &new),
            [("a.c", "changed"), ("a.d", "changed"), ("a.e", "removed"), ("a.f", "added")]
        );
    }
}
