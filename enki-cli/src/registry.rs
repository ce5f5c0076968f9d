//! The projects of a person, in `$XDG_CONFIG_HOME/enki/projects.toml`: a file that they may edit.

use crate::error::CliError;
use crate::exit::Exit;
use crate::host::Host;
use enki_notes::{LogDir, Owner};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The registry.
#[derive(Debug)]
pub(crate) struct Registry {
    path: PathBuf,
    /// As it was read.
    text: String,
    /// Held while it is changed: two may do that at once.
    _lock: Option<fs::File>,
    pub(crate) projects: BTreeMap<String, Registered>,
}

/// A project that is known by a name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registered {
    /// Its root.
    pub(crate) root: PathBuf,
    /// The stream of its notes.
    #[serde(default)]
    pub(crate) stream: Option<String>,
    /// The model of its tasks, where neither they nor whoever starts them says one.
    #[serde(default)]
    pub(crate) model: Option<String>,
    /// The folder of its notes, from the root; see [`Registry::keeping`].
    #[serde(default)]
    log_dir: Option<String>,
    /// Who writes them.
    #[serde(default)]
    owner: Option<String>,
}

/// How the list's file stands: another one than before, and it was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stamp(Option<[i128; 4]>);

impl Stamp {
    /// Whether there is a file.
    pub(crate) const fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

/// How the notes of a project are kept, as far as the list of projects says it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Keeping {
    pub(crate) dir: LogDir,
    /// If left out, whoever the project's git signs with.
    pub(crate) owner: Option<Owner>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    projects: BTreeMap<String, Registered>,
}

impl Registry {
    /// Reads it, to be changed: whoever else changes it waits until this is dropped.
    pub(crate) fn to_change(host: &Host) -> Result<Self, CliError> {
        let path = Self::path(host)?;
        let cannot = |error: io::Error| {
            CliError::environment(format!("cannot change {}: {error}", path.display()))
                .hint("check the folder's permissions")
        };
        let dir = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(dir).map_err(cannot)?;
        let lock = fs::OpenOptions::new().create(true).append(true).open(dir.join("projects.lock")).map_err(cannot)?;
        lock.lock().map_err(cannot)?;
        Ok(Self { _lock: Some(lock), ..Self::load(host)? })
    }

    /// How the notes of the project at that root are kept. Where there can be no list of projects nothing says it, and it is
    /// as usual; a list that cannot be read is an error: what it says of this project is not known.
    pub(crate) fn keeping(host: &Host, root: &Path) -> Result<Keeping, CliError> {
        if host.dir("XDG_CONFIG_HOME").is_none() && host.dir("HOME").is_none() {
            return Ok(Keeping::default());
        }
        let registry = Self::load(host)?;
        let mut found: Option<(&String, Keeping)> = None;
        for (id, one) in registry.at(root) {
            let keeping = registry.keeping_of(id, one)?;
            match &found {
                Some((first, other)) if *other != keeping => {
                    let path = registry.path.display();
                    return Err(CliError::usage(format!(
                        "{path}: projects.{first} and projects.{id} are the same folder, with another log_dir or owner"
                    ))
                    .hint("write the same for both, or remove one"));
                }
                Some(_) => {}
                None => found = Some((id, keeping)),
            }
        }
        Ok(found.map(|(_, keeping)| keeping).unwrap_or_default())
    }

    fn keeping_of(&self, id: &str, one: &Registered) -> Result<Keeping, CliError> {
        let wrong = |key: &str, value: &str, why: &str, hint: &str| {
            CliError::usage(format!("{}: projects.{id}.{key} = {value:?}: {why}", self.path.display()))
                .hint(format!("{hint}; nothing was written"))
        };
        let mut keeping = Keeping::default();
        if let Some(text) = &one.log_dir {
            let hint = "name a folder below the project, as docs/log";
            keeping.dir = LogDir::parse(text).map_err(|why| wrong("log_dir", text, why, hint))?;
            if let Some(way) = keeping.dir.blocked(&one.root) {
                let why = format!("{way} is a symbolic link or a file");
                return Err(wrong("log_dir", text, &why, "name a real folder below the project, or one to be made"));
            }
        }
        if let Some(name) = &one.owner {
            let why = "it has no letter of a-z and no digit";
            let owner =
                Owner::named(name).ok_or_else(|| wrong("owner", name, why, "write the name in such letters"))?;
            keeping.owner = Some(owner);
        }
        Ok(keeping)
    }

    /// The projects at that root: those that say so word for word, else those that lead there.
    fn at(&self, root: &Path) -> Vec<(&String, &Registered)> {
        let of = |is: &dyn Fn(&Path) -> bool| self.projects.iter().filter(|(_, one)| is(&one.root)).collect::<Vec<_>>();
        let exact = of(&|own| own == root);
        if exact.is_empty() { of(&|own| same(own, root)) } else { exact }
    }

    fn path(host: &Host) -> Result<PathBuf, CliError> {
        let base = match (host.dir("XDG_CONFIG_HOME"), host.dir("HOME")) {
            (Some(base), _) => base.to_owned(),
            (None, Some(home)) => home.join(".config"),
            (None, None) => {
                return Err(CliError::environment(
                    "neither HOME nor XDG_CONFIG_HOME is set, so there is no list of projects",
                )
                .hint("set HOME, or XDG_CONFIG_HOME to the folder of your configuration"));
            }
        };
        Ok(base.join("enki/projects.toml"))
    }

    /// Reads it. One that is not there is empty.
    pub(crate) fn load(host: &Host) -> Result<Self, CliError> {
        let path = Self::path(host)?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(CliError::environment(format!("cannot read {}: {error}", path.display()))
                    .hint("check the file's permissions"));
            }
        };
        let file: File = toml::from_str(&text).map_err(|error| {
            CliError::usage(format!("{} cannot be read: {error}", path.display())).hint("put the file right")
        })?;
        if let Some((id, _)) = file.projects.iter().find(|(id, one)| slug(id) != **id || !one.root.is_absolute()) {
            return Err(CliError::usage(format!("{}: project {id:?} is none", path.display()))
                .hint("a name has a-z, 0-9, _ and -, and its root is an absolute path"));
        }
        Ok(Self { path, text, _lock: None, projects: file.projects })
    }

    /// How its file stands now. One that cannot be looked at is as one that is not there.
    pub(crate) fn stamp(host: &Host) -> Stamp {
        let found = Self::path(host).ok().and_then(|path| fs::metadata(path).ok());
        Stamp(found.map(|of| [of.ino().into(), of.size().into(), of.mtime().into(), of.mtime_nsec().into()]))
    }

    /// The root of a project.
    pub(crate) fn root(&self, id: &str) -> Result<&Path, CliError> {
        let known = || self.projects.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let one = self.projects.get(id).ok_or_else(|| {
            let hint = match self.projects.is_empty() {
                true => "none is known yet: `enki projects add DIR`".to_owned(),
                false => format!("known are {}", known()),
            };
            CliError::new(Exit::NotFound, format!("no project {id:?}")).hint(hint)
        })?;
        if !one.root.is_dir() {
            let message = format!("the folder of project {id} is not there: {}", one.root.display());
            return Err(
                CliError::environment(message).hint("mount it, or `enki projects remove` it; nothing was written")
            );
        }
        Ok(&one.root)
    }

    /// The name of the project at that root: its own, or the one that it would be added by.
    pub(crate) fn name_of(&self, root: &Path) -> String {
        self.at(root).first().map_or_else(|| folder_name(root), |(id, _)| (*id).clone())
    }

    /// The model of the tasks of the project at that root.
    pub(crate) fn model_of(&self, root: &Path) -> Option<&str> {
        self.at(root).first()?.1.model.as_deref()
    }

    /// The stream of the notes of the project at that root.
    pub(crate) fn stream_of(&self, root: &Path) -> Option<&str> {
        self.at(root).first()?.1.stream.as_deref()
    }

    /// Adds a project, under that name or its folder's. The same root again has the name that it had.
    pub(crate) fn add(&mut self, root: &Path, name: Option<&str>) -> Result<String, CliError> {
        if let Some((id, _)) = self.projects.iter().find(|(_, one)| one.root == root)
            && name.is_none_or(|name| name == id)
        {
            return Ok(id.clone());
        }
        let id = match name {
            Some(name) if slug(name) != name || name.is_empty() => {
                return Err(CliError::usage(format!("{name:?} is no name of a project"))
                    .hint("1 to 64 characters of a-z, 0-9, _ and -, the first a letter or digit"));
            }
            Some(name) if self.projects.contains_key(name) => {
                let root = self.projects[name].root.display();
                return Err(CliError::usage(format!("{name} is another project already, at {root}"))
                    .hint("give another name, or remove that one"));
            }
            Some(name) => name.to_owned(),
            None => {
                let folder = folder_name(root);
                let numbered = (2..).map(|n| format!("{folder}-{n}"));
                let free = |id: &String| !self.projects.contains_key(id);
                std::iter::once(folder.clone()).chain(numbered).find(free).unwrap_or(folder)
            }
        };
        let shown = root.to_str().ok_or_else(|| {
            CliError::usage(format!("{} is not UTF-8, so it cannot stand in the list", root.display()))
                .hint("rename the folder")
        })?;
        let mut text = self.text.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let gap = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{gap}[projects.{id}]\nroot = {}\n", toml::Value::String(shown.to_owned()));
        self.write(text)?;
        self.projects.insert(
            id.clone(),
            Registered { root: root.to_owned(), stream: None, model: None, log_dir: None, owner: None },
        );
        Ok(id)
    }

    /// Forgets a project; its files stay.
    pub(crate) fn remove(&mut self, id: &str) -> Result<(), CliError> {
        if !self.projects.contains_key(id) {
            self.root(id)?;
        }
        let header = format!("[projects.{id}]");
        let mut inside = false;
        let kept: Vec<&str> = self
            .text
            .split_inclusive('\n')
            .filter(|line| {
                let line = line.trim();
                if line.starts_with('[') {
                    inside = line == header;
                }
                !inside
            })
            .collect();
        let text = kept.concat();
        let gone = toml::from_str::<File>(&text)
            .is_ok_and(|file| !file.projects.contains_key(id) && file.projects.len() + 1 == self.projects.len());
        if !gone {
            return Err(CliError::usage(format!("{id} is written in a way of your own in {}", self.path.display()))
                .hint("remove it there by hand"));
        }
        self.write(text)?;
        self.projects.remove(id);
        Ok(())
    }

    fn write(&mut self, text: String) -> Result<(), CliError> {
        let cannot = |error: io::Error| {
            CliError::environment(format!("cannot write {}: {error}", self.path.display()))
                .hint("check the folder's permissions")
        };
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(cannot)?;
        io::Write::write_all(&mut file, text.as_bytes()).map_err(cannot)?;
        file.as_file().sync_all().map_err(cannot)?;
        file.persist(&self.path).map_err(|error| cannot(error.error))?;
        self.text = text;
        Ok(())
    }
}

/// Whether two paths lead to the same folder.
pub(crate) fn same(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The name of a project by its folder's.
pub(crate) fn folder_name(root: &Path) -> String {
    let folder = root.file_name().map(|name| slug(&name.to_string_lossy())).filter(|name| !name.is_empty());
    folder.unwrap_or_else(|| "project".to_owned())
}

/// A name as an id of a project.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' };
    let slug: String = name.to_lowercase().chars().map(plain).take(64).collect();
    slug.trim_start_matches(['-', '_']).trim_end_matches('-').to_owned()
}
