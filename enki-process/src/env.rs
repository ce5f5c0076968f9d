//! What of the host's environment a child may see.

use crate::marker::{PROJECT_MARKER, RUN_MARKER};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;

/// Names that pass from the host to a child. Everything else is dropped: tokens, sockets of agents and buses, `GIT_*`,
/// `LD_*` and whatever nobody thought of.
pub const ALLOWED: &[&str] = &[
    // who and where
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    // language and terminal
    "LANG",
    "LANGUAGE",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    // the way out
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    // toolchains: where they are, never their tokens
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "GOROOT",
    "GOCACHE",
    "GOMODCACHE",
    "JAVA_HOME",
    "NVM_DIR",
    "PYENV_ROOT",
    "VIRTUAL_ENV",
];

/// A snapshot of the host's environment, reduced to [`ALLOWED`] and `LC_*`.
///
/// This library never reads the environment; the binary passes `std::env::vars_os()` here, once.
/// Its `Debug` shows names only, since a proxy's address may hold a password.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct BaseEnv {
    vars: Arc<BTreeMap<OsString, OsString>>,
    // Set if this process itself runs inside an agent: its children then carry both markers.
    outer: Arc<BTreeMap<OsString, OsString>>,
}

impl BaseEnv {
    /// Keeps the allowed part of `vars`.
    pub fn from_vars(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self::with_extra(vars, &[])
    }

    /// Keeps the allowed part of `vars` and the variables named in `extra`, as the person configured them: the one
    /// credential an agent needs, say.
    pub fn with_extra(vars: impl IntoIterator<Item = (OsString, OsString)>, extra: &[&str]) -> Self {
        let (mut kept, mut outer) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in vars {
            if name == RUN_MARKER || name == PROJECT_MARKER {
                outer.insert(name, value);
            } else if is_allowed(&name, extra) {
                kept.insert(name, value);
            }
        }
        Self { vars: Arc::new(kept), outer: Arc::new(outer) }
    }

    /// The value of a variable, if it is one that passes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// What a child gets of the host's environment, in order of the names.
    pub fn vars(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.vars.iter()
    }

    /// The marker's value for a child: behind those of the agents this process runs in.
    pub(crate) fn marker_value(&self, name: &str, value: &str) -> OsString {
        match self.outer.get(OsStr::new(name)) {
            None => value.into(),
            Some(outer) => {
                let mut joined = outer.clone();
                joined.push(":");
                joined.push(value);
                joined
            }
        }
    }
}

impl fmt::Debug for BaseEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

/// Whether only Enki may set that variable for a child.
#[must_use]
pub fn is_reserved(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"ENKI_")
}

fn is_allowed(name: &OsStr, extra: &[&str]) -> bool {
    let Some(name) = name.to_str() else { return false };
    let listed = ALLOWED.contains(&name) || name.starts_with("LC_") || extra.contains(&name);
    listed && !name.starts_with("ENKI_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(vars: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        vars.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect()
    }

    #[test]
    fn only_listed_variables_pass() {
        let vars = [("PATH", "/bin"), ("LC_ALL", "C"), ("AWS_SECRET_ACCESS_KEY", "x"), ("CARGO_REGISTRY_TOKEN", "x")];
        let env = BaseEnv::with_extra(host(&vars), &["ANTHROPIC_API_KEY"]);
        assert_eq!(env.vars().map(|(k, _)| k.to_str().unwrap()).collect::<Vec<_>>(), ["LC_ALL", "PATH"]);
    }

    #[test]
    fn a_configured_name_passes_but_never_one_of_ours() {
        let vars = [("ANTHROPIC_API_KEY", "k"), ("ENKI_TASK_ID", "forged")];
        let env = BaseEnv::with_extra(host(&vars), &["ANTHROPIC_API_KEY", "ENKI_TASK_ID"]);
        assert_eq!(env.get("ANTHROPIC_API_KEY"), Some(OsStr::new("k")));
        assert_eq!(env.get("ENKI_TASK_ID"), None);
    }

    #[test]
    fn a_child_of_a_nested_orchestrator_carries_both_markers() {
        let env = BaseEnv::from_vars(host(&[(RUN_MARKER, "outer")]));
        assert_eq!(env.marker_value(RUN_MARKER, "inner"), "outer:inner");
        assert_eq!(BaseEnv::default().marker_value(RUN_MARKER, "inner"), "inner");
    }

    #[test]
    fn debug_shows_no_values() {
        let env = BaseEnv::from_vars(host(&[("HTTPS_PROXY", "http://me:secret@proxy")]));
        assert_eq!(format!("{env:?}"), "{\"HTTPS_PROXY\"}");
    }
}
