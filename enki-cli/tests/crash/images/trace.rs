//! What a run did to the files below a folder, from what strace wrote of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One change of the file system, or a wait for it to be durable. Paths are absolute.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A file was opened so that it may have been made or emptied.
    Open {
        path: PathBuf,
        creates: bool,
        empties: bool,
    },
    Mkdir(PathBuf),
    Symlink {
        path: PathBuf,
        to: PathBuf,
    },
    /// Without an offset at the place where the last write ended, which is the end unless it sought.
    Write {
        path: PathBuf,
        at: Option<u64>,
        data: Vec<u8>,
    },
    Seek {
        path: PathBuf,
        at: u64,
    },
    Copy {
        from: PathBuf,
        to: PathBuf,
        bytes: u64,
    },
    Resize {
        path: PathBuf,
        to: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    /// Of a file its content, of a folder its entries.
    Sync(PathBuf),
    /// All that there is.
    SyncAll,
    /// Under way to the disk; durable with the next sync of anything.
    WriteBack(PathBuf),
}

/// The calls to record: all that change files, and those that tell what relative paths mean.
pub(crate) const CALLS: &str = "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,\
    rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,symlink,symlinkat,fsync,fdatasync,sync,\
    syncfs,sync_file_range,lseek,copy_file_range,sendfile,chdir,fchdir,fork,vfork,clone,clone3";

/// Reads a trace.
pub(crate) fn read(text: &str, root: &Path) -> Result<Vec<Op>, String> {
    let mut reader = Reader { root, folders: HashMap::new(), ops: Vec::new() };
    let mut begun: HashMap<&str, String> = HashMap::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').ok_or_else(|| format!("no call: {line}"))?;
        let rest = rest.trim_start();
        if let Some(first) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, first.to_owned());
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let first = begun.remove(pid).unwrap_or_default();
            let (_, last) = resumed.split_once(" resumed>").ok_or_else(|| format!("no call: {line}"))?;
            reader.call(pid, &(first + last))?;
        } else if !rest.starts_with("+++") && !rest.starts_with("---") {
            reader.call(pid, rest)?;
        }
    }
    Ok(reader.ops)
}

struct Reader<'a> {
    root: &'a Path,
    /// The folder that relative paths of a process begin at.
    folders: HashMap<String, PathBuf>,
    ops: Vec<Op>,
}

/// An argument of a call.
struct Arg {
    plain: String,
    text: Option<Vec<u8>>,
    /// The path of an open file.
    path: Option<PathBuf>,
    deleted: bool,
}

impl Reader<'_> {
    fn call(&mut self, pid: &str, text: &str) -> Result<(), String> {
        let Some((name, rest)) = text.split_once('(') else { return Ok(()) };
        let (args, rest) = arguments(rest);
        let result = rest.trim_start_matches([')', ' ']).strip_prefix("= ").unwrap_or("-1");
        let number = result.split([' ', '<']).next().and_then(|n| n.parse::<i64>().ok()).unwrap_or(-1);
        if let Some(cwd) = args.iter().find(|arg| arg.plain == "AT_FDCWD").and_then(|arg| arg.path.clone()) {
            self.folders.insert(pid.to_owned(), cwd);
        }
        if number < 0 {
            return Ok(());
        }
        let open = |n: usize| args.get(n).filter(|arg| !arg.deleted).and_then(|arg| arg.path.clone());
        let plain = |n: usize| args.get(n).map_or("", |arg| arg.plain.as_str());
        let size = |n: usize| plain(n).parse::<u64>().map_err(|_| format!("no number: {text}"));
        let op = match name {
            "openat" | "open" | "creat" => {
                let at = usize::from(name == "openat");
                let flags = if name == "creat" { "O_CREAT|O_TRUNC" } else { plain(at + 1) };
                let path = if at == 1 { self.at(pid, &args, 0)? } else { self.plain(pid, &args, 0)? };
                let (creates, empties) = (flags.contains("O_CREAT"), flags.contains("O_TRUNC"));
                (creates || empties).then_some(Op::Open { path, creates, empties })
            }
            "write" | "pwrite64" => {
                let data = args.get(1).and_then(|arg| arg.text.clone()).unwrap_or_default();
                let at = if name == "write" { None } else { Some(size(3)?) };
                let data = data[..usize::try_from(number).unwrap_or(0).min(data.len())].to_vec();
                open(0).map(|path| Op::Write { path, at, data })
            }
            "lseek" => open(0)
                .filter(|path| path.starts_with(self.root))
                .map(|path| Op::Seek { path, at: number.unsigned_abs() }),
            "copy_file_range" => {
                open(0).zip(open(2)).map(|(from, to)| Op::Copy { from, to, bytes: number.unsigned_abs() })
            }
            "sendfile" => open(1).zip(open(0)).map(|(from, to)| Op::Copy { from, to, bytes: number.unsigned_abs() }),
            "ftruncate" => {
                let to = size(1)?;
                open(0).map(|path| Op::Resize { path, to })
            }
            "truncate" => Some(Op::Resize { path: self.plain(pid, &args, 0)?, to: size(1)? }),
            "rename" => Some(Op::Rename { from: self.plain(pid, &args, 0)?, to: self.plain(pid, &args, 1)? }),
            "renameat" | "renameat2" => Some(Op::Rename { from: self.at(pid, &args, 0)?, to: self.at(pid, &args, 2)? }),
            "link" => Some(Op::Link { from: self.plain(pid, &args, 0)?, to: self.plain(pid, &args, 1)? }),
            "linkat" => Some(Op::Link { from: self.at(pid, &args, 0)?, to: self.at(pid, &args, 2)? }),
            "unlink" | "rmdir" => Some(Op::Remove(self.plain(pid, &args, 0)?)),
            "unlinkat" => Some(Op::Remove(self.at(pid, &args, 0)?)),
            "mkdir" => Some(Op::Mkdir(self.plain(pid, &args, 0)?)),
            "mkdirat" => Some(Op::Mkdir(self.at(pid, &args, 0)?)),
            "symlink" => Some(Op::Symlink { to: text_of(&args, 0), path: self.plain(pid, &args, 1)? }),
            "symlinkat" => Some(Op::Symlink { to: text_of(&args, 0), path: self.at(pid, &args, 1)? }),
            "fsync" | "fdatasync" => open(0).map(Op::Sync),
            "sync_file_range" => open(0).map(Op::WriteBack),
            "chdir" => {
                let to = self.plain(pid, &args, 0)?;
                self.folders.insert(pid.to_owned(), to);
                None
            }
            "fchdir" => {
                self.folders.extend(open(0).map(|to| (pid.to_owned(), to)));
                None
            }
            "fork" | "vfork" | "clone" | "clone3" => {
                if let Some(folder) = self.folders.get(pid).cloned() {
                    self.folders.insert(number.to_string(), folder);
                }
                None
            }
            // Where one appears its meaning has to be written down here first.
            "writev" | "pwritev" | "pwritev2" | "fallocate" | "sync" | "syncfs" => {
                if open(0).is_none_or(|path| path.starts_with(self.root)) {
                    return Err(format!("not understood: {}", &text[..text.len().min(200)]));
                }
                None
            }
            other => return Err(format!("{other} was not asked for")),
        };
        self.ops.extend(op.filter(|op| op.touches(self.root)));
        Ok(())
    }

    /// A path relative to an open folder.
    fn at(&self, pid: &str, args: &[Arg], n: usize) -> Result<PathBuf, String> {
        let name = text_of(args, n + 1);
        if name.is_absolute() {
            return Ok(tidy(&name));
        }
        let folder = args.get(n).and_then(|arg| arg.path.clone()).or_else(|| self.folders.get(pid).cloned());
        folder.map(|folder| tidy(&folder.join(&name))).ok_or_else(|| format!("where is {}?", name.display()))
    }

    fn plain(&self, pid: &str, args: &[Arg], n: usize) -> Result<PathBuf, String> {
        let name = text_of(args, n);
        match self.folders.get(pid) {
            Some(folder) => Ok(tidy(&folder.join(&name))),
            None if name.is_absolute() => Ok(tidy(&name)),
            None => Err(format!("where is {}, of process {pid}?", name.display())),
        }
    }
}

impl Op {
    fn touches(&self, root: &Path) -> bool {
        match self {
            Self::Open { path, .. } | Self::Symlink { path, .. } | Self::Write { path, .. } => path.starts_with(root),
            Self::Seek { path, .. } | Self::Resize { path, .. } => path.starts_with(root),
            Self::Mkdir(path) | Self::Remove(path) | Self::Sync(path) | Self::WriteBack(path) => path.starts_with(root),
            Self::SyncAll => true,
            Self::Copy { to, .. } | Self::Rename { to, .. } | Self::Link { to, .. } => to.starts_with(root),
        }
    }
}

/// Without `.`, `..` and double slashes.
fn tidy(path: &Path) -> PathBuf {
    let mut all = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(all.pop()),
            std::path::Component::CurDir => {}
            part => all.push(part),
        }
    }
    all
}

fn text_of(args: &[Arg], n: usize) -> PathBuf {
    let bytes = args.get(n).and_then(|arg| arg.text.as_deref()).unwrap_or_default();
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

/// The arguments, and what follows them.
fn arguments(text: &str) -> (Vec<Arg>, &str) {
    let bytes = text.as_bytes();
    let (mut args, mut at, mut depth) = (Vec::new(), 0, 0);
    let mut arg = Arg { plain: String::new(), text: None, path: None, deleted: false };
    let mut any = false;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let (string, after) = quoted(bytes, at + 1);
                arg.text = Some(string);
                at = after;
                continue;
            }
            b'<' if arg.path.is_none() && depth == 0 => {
                let end = text[at..].find('>').map_or(bytes.len(), |end| at + end);
                arg.path = Some(PathBuf::from(&text[at + 1..end]));
                at = end;
            }
            b'(' if text[at..].starts_with("(deleted)") => {
                arg.deleted = true;
                at += "(deleted)".len() - 1;
            }
            b'[' | b'{' | b'(' => depth += 1,
            b')' if depth == 0 => {
                at += 1;
                break;
            }
            b']' | b'}' | b')' => depth -= 1,
            b',' if depth == 0 => {
                args.push(arg);
                arg = Arg { plain: String::new(), text: None, path: None, deleted: false };
                any = true;
            }
            b' ' if arg.plain.is_empty() => {}
            byte => arg.plain.push(char::from(byte)),
        }
        at += 1;
    }
    if any || !arg.plain.is_empty() || arg.text.is_some() {
        args.push(arg);
    }
    (args, &text[at.min(text.len())..])
}

/// A string up to its quote, without its escapes.
fn quoted(bytes: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut string = Vec::new();
    while at < bytes.len() && bytes[at] != b'"' {
        if bytes[at] != b'\\' {
            string.push(bytes[at]);
            at += 1;
            continue;
        }
        at += 1;
        let digits = bytes[at..].iter().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
        if digits > 0 {
            let value = bytes[at..at + digits].iter().fold(0_u32, |all, digit| all * 8 + u32::from(digit - b'0'));
            string.push(u8::try_from(value).unwrap_or_default());
            at += digits;
            continue;
        }
        string.push(match bytes.get(at) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'v') => 0x0b,
            Some(b'f') => 0x0c,
            Some(other) => *other,
            None => 0,
        });
        at += 1;
    }
    (string, at + 1)
}
