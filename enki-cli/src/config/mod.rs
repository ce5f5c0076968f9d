//! Configuration in layers, field by field: defaults, the person's file, the project's files, `ENKI_*`, flags.

mod check_command;
mod file;
mod goodvibes;
mod keys;
mod secret;

pub use check_command::{files_run_by, verify_command};
pub use keys::{KEYS, Key, Kind};
pub use secret::looks_secret;

use crate::error::CliError;
use crate::host::Host;
use crate::project::Project;
use crate::source::Problems;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The configuration of one call.
#[derive(Clone, Debug, Default)]
pub struct Config {
    entries: BTreeMap<String, Entry>,
    /// What was noticed and does not stop anything.
    pub warnings: Vec<Problems>,
    /// The files that were looked for, and whether they are there.
    pub files: Vec<(PathBuf, bool)>,
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// Built in.
    Default,
    /// Because that file is there.
    Found(PathBuf),
    /// A line of a file.
    File {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable.
    Env(String),
    /// A flag.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Found(path) => write!(f, "{} is there", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Whose a configuration file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// The person's: may grant trust.
    Person,
    /// The project's: may not.
    Project,
}

impl Config {
    /// Loads all layers but flags.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or parsed, a value that does not fit.
    pub fn load(host: &Host, project: Option<&Project>) -> Result<Self, CliError> {
        let mut config = Self::default();
        for key in KEYS {
            if let Some(value) = key.default() {
                config.set(key.name, value, Origin::Default);
            }
        }
        if let Some(project) = project {
            let script = project.state_dir().join("verify.sh");
            if let Some(path) = script.is_file().then(|| script.to_str()).flatten() {
                let command = format!("sh '{}'", path.replace('\'', r"'\''"));
                config.set("refinery.check", command.into(), Origin::Found(script));
            }
        }
        if let Some(home) = host.dir("HOME") {
            config.goodvibes(&home.join(goodvibes::FILE), None)?;
        }
        for path in person_files(host)? {
            config.file(&path, Owner::Person, None)?;
        }
        if let Some(project) = project {
            config.goodvibes(&project.root.join(goodvibes::FILE), Some(&project.root))?;
            for path in [project.root.join("enki.toml"), project.state_dir().join("enki.toml")] {
                config.file(&path, Owner::Project, Some(&project.root))?;
            }
        }
        for key in KEYS {
            let name = key.variable();
            let Some(text) = host.env.get(std::ffi::OsStr::new(&name)) else { continue };
            let text = text.to_str().ok_or_else(|| CliError::usage(format!("variable {name} is not UTF-8")))?;
            let value = keys::from_text(key, text).map_err(|expected| {
                CliError::usage(format!("variable {name}={text:?}: {expected}")).hint("change or unset the variable")
            })?;
            config.set(key.name, value, Origin::Env(name));
        }
        Ok(config)
    }

    /// Overrides a key by a flag.
    ///
    /// # Errors
    ///
    /// A value that does not fit.
    pub fn flag(&mut self, name: &str, flag: &str, text: &str) -> Result<(), CliError> {
        let key = keys::find(name).expect("flags set keys of the table");
        let value = keys::from_text(key, text)
            .map_err(|expected| CliError::usage(format!("invalid value {text:?} for {flag}: {expected}")))?;
        self.set(key.name, value, Origin::Flag(flag.to_owned()));
        Ok(())
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(keys::find(name).is_some(), "{name} is not in the table of keys");
        self.entries.get(name).map(|entry| &entry.value)
    }

    /// Where the value of a key comes from.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.entries.get(name).map(|entry| &entry.origin)
    }

    /// A text; empty if there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// A whole number.
    #[must_use]
    pub fn int(&self, name: &str) -> u64 {
        self.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    /// A number, if it is set.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(Value::as_f64)
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn on(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Texts in order.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        let items = self.get(name).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Texts by name.
    #[must_use]
    pub fn table(&self, name: &str) -> BTreeMap<String, String> {
        let prefix = format!("{name}.");
        let inside = self.entries.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        inside
            .map(|(key, entry)| (key[prefix.len()..].to_owned(), entry.value.as_str().unwrap_or("").to_owned()))
            .collect()
    }

    /// Every value that is set, by key, in the order of the table. What looks secret is masked.
    #[must_use]
    pub fn shown(&self) -> Vec<(&str, Value, &Origin)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        let place = |name: &str| KEYS.iter().rposition(|k| name == k.name || name.starts_with(&format!("{}.", k.name)));
        all.sort_by_key(|(name, _)| place(name));
        let masked = |name: &str, value: &Value| match value {
            Value::String(text) if looks_secret(name, text) => json!("***"),
            Value::Array(items) => items
                .iter()
                .map(
                    |item| if item.as_str().is_some_and(|t| looks_secret("", t)) { json!("***") } else { item.clone() },
                )
                .collect(),
            value => value.clone(),
        };
        all.into_iter().map(|(name, entry)| (name.as_str(), masked(name, &entry.value), &entry.origin)).collect()
    }

    fn set(&mut self, name: &str, value: Value, origin: Origin) {
        self.entries.insert(name.to_owned(), Entry { value, origin });
    }

    /// What a `goodvibes.json` sets. It is not listed unless it is there: few have one.
    fn goodvibes(&mut self, path: &Path, inside: Option<&Path>) -> Result<(), CliError> {
        let Some(bytes) = file::read(path, inside)? else { return Ok(()) };
        self.files.push((path.to_owned(), true));
        let read = goodvibes::layer(path, bytes)
            .map_err(|problems| CliError::problems(problems, "fix the file, or move it away"))?;
        self.take(path, read);
        Ok(())
    }

    fn take(&mut self, path: &Path, read: file::Layer) {
        for (name, value, line) in read.values {
            self.set(&name, value, Origin::File { path: path.to_owned(), line });
        }
        self.warnings.extend(read.warnings);
    }

    fn file(&mut self, path: &Path, owner: Owner, inside: Option<&Path>) -> Result<(), CliError> {
        let text = file::read(path, inside)?;
        self.files.push((path.to_owned(), text.is_some()));
        let Some(bytes) = text else { return Ok(()) };
        let read = file::layer(path, bytes, owner)
            .map_err(|problems| CliError::problems(problems, "fix the file; `enki config show` lists the keys"))?;
        self.take(path, read);
        Ok(())
    }
}

/// The person's own files, the later one winning.
fn person_files(host: &Host) -> Result<Vec<PathBuf>, CliError> {
    let home = host.dir("HOME");
    let base = match (host.dir("XDG_CONFIG_HOME"), home) {
        (Some(dir), _) => dir.to_owned(),
        (None, Some(home)) => home.join(".config"),
        (None, None) => {
            return Err(CliError::environment("HOME is not set to an absolute path")
                .hint("set HOME, or XDG_CONFIG_HOME to the folder of your configuration"));
        }
    };
    let mut files: Vec<PathBuf> = home.map(|home| home.join(".config/enki.toml")).into_iter().collect();
    files.push(base.join("enki/config.toml"));
    Ok(files)
}
