//! A folder on a disk that may lose what was not synced.

use super::trace::Op;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// What a loss of power leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    /// All of it was written: as after a kill.
    Nothing,
    /// Only what was synced: content of files, and entries of folders, each by its own sync.
    Unsynced,
    /// Entries of folders are there, as a journal keeps them, but content only if it was synced.
    Contents,
    /// Of what was not synced some folders, some files and some blocks, by that random number.
    Some(u64),
}

type Id = usize;

#[derive(Clone, Debug)]
enum Node {
    Folder { now: BTreeMap<String, Id>, durable: BTreeMap<String, Id> },
    File { now: Vec<u8>, durable: Vec<u8>, under_way: bool, cursor: Option<u64> },
    Link(PathBuf),
}

#[derive(Clone)]
pub(crate) struct Disk {
    root: PathBuf,
    top: Id,
    nodes: Vec<Node>,
}

/// Two blocks of one file may be written in any order.
const BLOCK: usize = 4096;

impl Disk {
    /// The folder as it is, all of it durable.
    pub(crate) fn of(root: &Path) -> Self {
        let mut disk = Self { root: root.to_owned(), top: 0, nodes: Vec::new() };
        disk.top = disk.take_in(root);
        disk
    }

    fn take_in(&mut self, path: &Path) -> Id {
        let kind = fs::symlink_metadata(path).unwrap().file_type();
        let node = if kind.is_dir() {
            let mut entries = BTreeMap::new();
            for entry in fs::read_dir(path).unwrap().flatten() {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() || kind.is_file() || kind.is_symlink() {
                    let name = entry.file_name().into_string().unwrap();
                    entries.insert(name, self.take_in(&entry.path()));
                }
            }
            Node::Folder { now: entries.clone(), durable: entries }
        } else if kind.is_symlink() {
            Node::Link(fs::read_link(path).unwrap())
        } else {
            let content = fs::read(path).unwrap();
            Node::File { now: content.clone(), durable: content, under_way: false, cursor: None }
        };
        self.add(node)
    }

    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Result<(), String> {
        let told = || format!("{op:?}").chars().take(300).collect::<String>();
        self.try_apply(op).ok_or_else(|| format!("the recording does not fit: {}", told()))
    }

    fn try_apply(&mut self, op: &Op) -> Option<()> {
        match op {
            Op::Open { path, creates, empties } => match self.find(path) {
                Some(id) => {
                    if let Node::File { now, cursor, .. } = &mut self.nodes[id]
                        && *empties
                    {
                        (*now, *cursor) = (Vec::new(), None);
                    }
                }
                None if *creates => {
                    let file = Node::File { now: Vec::new(), durable: Vec::new(), under_way: false, cursor: None };
                    self.make(path, file)?;
                }
                None => return None,
            },
            Op::Mkdir(path) => {
                self.make(path, Node::Folder { now: BTreeMap::new(), durable: BTreeMap::new() })?;
            }
            Op::Symlink { path, to } => self.make(path, Node::Link(to.clone()))?,
            Op::Seek { path, at } => {
                if let Some(id) = self.find(path)
                    && let Node::File { cursor, .. } = &mut self.nodes[id]
                {
                    *cursor = Some(*at);
                }
            }
            Op::Write { path, at, data } => {
                let Node::File { now, cursor, .. } = self.node(path)? else { return None };
                let from = at.or(*cursor).map_or(now.len(), |at| usize::try_from(at).unwrap_or(now.len()));
                let end = from + data.len();
                if now.len() < end {
                    now.resize(end, 0);
                }
                now[from..end].copy_from_slice(data);
                if at.is_none() && cursor.is_some() {
                    *cursor = Some(end as u64);
                }
            }
            Op::Copy { from, to, bytes } => {
                let bytes = usize::try_from(*bytes).ok()?;
                let content = match self.find(from) {
                    Some(id) => match &self.nodes[id] {
                        Node::File { now, .. } => now.clone(),
                        _ => return None,
                    },
                    None => fs::read(from).ok()?,
                };
                let Node::File { now, .. } = self.node(to)? else { return None };
                let more = content.get(now.len()..now.len() + bytes)?;
                now.extend_from_slice(more);
            }
            Op::Resize { path, to } => {
                let Node::File { now, .. } = self.node(path)? else { return None };
                now.resize(usize::try_from(*to).ok()?, 0);
            }
            Op::Rename { from, to } => {
                let id = self.find(from)?;
                self.entries(from)?.remove(&name(from));
                self.entries(to)?.insert(name(to), id);
            }
            Op::Link { from, to } => {
                let id = self.find(from)?;
                self.entries(to)?.insert(name(to), id);
            }
            Op::Remove(path) => {
                // Sockets are made by other calls, and are of no use to anybody after a loss of power.
                let socket = path.extension().is_some_and(|end| end == "sock");
                let known = self.entries(path)?.remove(&name(path)).is_some();
                (known || socket).then_some(())?;
            }
            Op::Sync(path) => {
                // Of one that has no name any more nothing is left to be seen.
                if let Some(id) = self.find(path) {
                    self.sync(id);
                }
                let under_way = |node: &Node| matches!(node, Node::File { under_way: true, .. });
                for id in (0..self.nodes.len()).filter(|id| under_way(&self.nodes[*id])).collect::<Vec<_>>() {
                    self.sync(id);
                }
            }
            Op::SyncAll => (0..self.nodes.len()).for_each(|id| self.sync(id)),
            Op::WriteBack(path) => {
                let Node::File { under_way, .. } = self.node(path)? else { return None };
                *under_way = true;
            }
        }
        Some(())
    }

    fn sync(&mut self, id: Id) {
        match &mut self.nodes[id] {
            Node::Folder { now, durable } => durable.clone_from(now),
            Node::File { now, durable, under_way, .. } => {
                durable.clone_from(now);
                *under_way = false;
            }
            Node::Link(_) => {}
        }
    }

    fn find(&self, path: &Path) -> Option<Id> {
        let below = path.strip_prefix(&self.root).ok()?;
        below.iter().try_fold(self.top, |id, part| match &self.nodes[id] {
            Node::Folder { now, .. } => now.get(part.to_str()?).copied(),
            _ => None,
        })
    }

    fn node(&mut self, path: &Path) -> Option<&mut Node> {
        let id = self.find(path)?;
        Some(&mut self.nodes[id])
    }

    fn entries(&mut self, path: &Path) -> Option<&mut BTreeMap<String, Id>> {
        match self.node(path.parent()?)? {
            Node::Folder { now, .. } => Some(now),
            _ => None,
        }
    }

    fn make(&mut self, path: &Path, node: Node) -> Option<()> {
        let id = self.add(node);
        self.entries(path)?.insert(name(path), id);
        Some(())
    }

    /// Makes the folder what a loss of power would leave of it. What is the same is not touched: others look at its rights
    /// and at its time.
    pub(crate) fn restore(&self, loss: Loss) {
        let mut chance = Chance(if let Loss::Some(number) = loss { number } else { 0 });
        self.write(self.top, &self.root, loss, &mut chance);
    }

    fn write(&self, id: Id, path: &Path, loss: Loss, chance: &mut Chance) {
        let kind = fs::symlink_metadata(path).ok().map(|meta| meta.file_type());
        match &self.nodes[id] {
            Node::Folder { now, durable } => {
                if !kind.is_some_and(|kind| kind.is_dir()) {
                    remove(path);
                    fs::create_dir(path).unwrap();
                    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
                }
                let entries = match loss {
                    Loss::Nothing | Loss::Contents => now,
                    Loss::Unsynced => durable,
                    Loss::Some(_) if chance.half() => now,
                    Loss::Some(_) => durable,
                };
                for entry in fs::read_dir(path).unwrap().flatten() {
                    if !entry.file_name().to_str().is_some_and(|name| entries.contains_key(name)) {
                        remove(&entry.path());
                    }
                }
                for (name, id) in entries {
                    self.write(*id, &path.join(name), loss, chance);
                }
            }
            Node::File { now, durable, .. } => {
                let content = match loss {
                    Loss::Nothing => now.clone(),
                    Loss::Unsynced | Loss::Contents => durable.clone(),
                    Loss::Some(_) => mixed(now, durable, chance),
                };
                if kind.is_some_and(|kind| kind.is_file()) && fs::read(path).is_ok_and(|there| there == content) {
                    return;
                }
                remove(path);
                fs::write(path, content).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            }
            Node::Link(to) => {
                if !fs::read_link(path).is_ok_and(|there| there == *to) {
                    remove(path);
                    symlink(to, path).unwrap();
                }
            }
        }
    }

    /// What the recording and the real folder differ in; nothing, if it is whole.
    pub(crate) fn differs(&self, but: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        let real = Self::of(&self.root);
        self.compare(self.top, &real, real.top, Path::new(""), &mut found);
        found.retain(|path| !but.iter().any(|end| path.ends_with(end)));
        found
    }

    fn compare(&self, id: Id, real: &Self, other: Id, path: &Path, found: &mut Vec<String>) {
        match (&self.nodes[id], &real.nodes[other]) {
            (Node::Folder { now: ours, .. }, Node::Folder { now: theirs, .. }) => {
                let one_sided = ours.keys().filter(|name| !theirs.contains_key(*name));
                let one_sided = one_sided.chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
                found.extend(one_sided.map(|name| path.join(name).display().to_string()));
                for (name, id) in ours {
                    if let Some(other) = theirs.get(name) {
                        self.compare(*id, real, *other, &path.join(name), found);
                    }
                }
            }
            (Node::File { now: ours, .. }, Node::File { now: theirs, .. }) if ours == theirs => {}
            (Node::Link(ours), Node::Link(theirs)) if ours == theirs => {}
            _ => found.push(path.display().to_string()),
        }
    }
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Each block as it was synced or as it was written after that; of the length of either.
fn mixed(now: &[u8], durable: &[u8], chance: &mut Chance) -> Vec<u8> {
    if now == durable || chance.half() {
        return if chance.half() { now.to_vec() } else { durable.to_vec() };
    }
    let length = if chance.half() { now.len() } else { durable.len() };
    let mut content = vec![0; length];
    for start in (0..length).step_by(BLOCK) {
        let from = if chance.half() { now } else { durable };
        let end = (start + BLOCK).min(length).min(from.len());
        if start < end {
            content[start..end].copy_from_slice(&from[start..end]);
        }
    }
    content
}

/// A linear congruential generator: losses need no better one.
struct Chance(u64);

impl Chance {
    const fn half(&mut self) -> bool {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33).is_multiple_of(2)
    }
}
