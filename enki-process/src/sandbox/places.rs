//! What programs need to be able to read on any machine, and what is nobody's business.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What every child may read, and what it may not though it lies within.
///
/// The home folder is not among what may be read: of it only toolchains are, by the names that they usually have, by
/// variables that say where they are, and by `PATH`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Places {
    /// The system and toolchains.
    pub readable: Vec<PathBuf>,
    /// Credentials.
    pub hidden: Vec<PathBuf>,
}

const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/snap",
    "/proc",
    "/sys",
    "/run/current-system",
    "/run/systemd/resolve",
    "/var/lib/ca-certificates",
];
const SYSTEM_SECRETS: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssl/private",
    "/etc/krb5.keytab",
    "/etc/docker",
    "/etc/kubernetes",
    "/etc/wireguard",
    "/etc/NetworkManager/system-connections",
];

/// Of the home folder.
const TOOLCHAINS: &[&str] = &[
    ".cargo",
    ".rustup",
    "go",
    ".nvm",
    ".pyenv",
    ".asdf",
    ".sdkman",
    ".volta",
    ".bun",
    ".deno",
    ".fnm",
    ".rbenv",
    ".m2",
    ".gradle",
    ".local/bin",
    ".local/lib",
    ".local/share/pnpm",
    ".local/share/mise",
    ".local/share/uv",
    ".local/share/fnm",
];
/// Variables that say where toolchains and certificates are.
const TOOLCHAIN_VARIABLES: &[&str] = &[
    "CARGO_HOME",
    "RUSTUP_HOME",
    "GOPATH",
    "GOROOT",
    "GOMODCACHE",
    "JAVA_HOME",
    "NVM_DIR",
    "PYENV_ROOT",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];
/// Of the home folder: keys, tokens and histories of clouds, forges, registries and shells; and what steers Enki itself.
const SECRETS: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".netrc",
    ".git-credentials",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".gem/credentials",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".m2/settings.xml",
    ".m2/settings-security.xml",
    ".gradle/gradle.properties",
    ".terraform.d",
    ".vault-token",
    ".password-store",
    ".bash_history",
    ".zsh_history",
    ".config/gcloud",
    ".config/gh",
    ".config/glab-cli",
    ".config/hub",
    ".config/git/credentials",
    ".config/op",
    ".config/enki",
    ".config/enki.toml",
    ".local/share/keyrings",
    ".mozilla",
    ".config/google-chrome",
    ".config/chromium",
];

impl Places {
    /// Those of a machine, by the variables of its user.
    #[must_use]
    pub fn of(vars: &BTreeMap<OsString, OsString>) -> Self {
        let var = |name: &str| vars.get(OsStr::new(name)).map(OsString::as_os_str);
        let absolute = |name: &str| var(name).map(Path::new).filter(|path| path.is_absolute());
        let home = absolute("HOME").filter(|home| home.parent().is_some());
        let mut found = Self::default();
        found.readable.extend(SYSTEM.iter().map(PathBuf::from));
        found.hidden.extend(SYSTEM_SECRETS.iter().map(PathBuf::from));
        found.hidden.extend(host_keys());
        if let Some(home) = home {
            found.readable.extend(TOOLCHAINS.iter().map(|name| home.join(name)));
            found.hidden.extend(SECRETS.iter().map(|name| home.join(name)));
        }
        if let Some(cargo) = absolute("CARGO_HOME") {
            found.hidden.extend(["credentials", "credentials.toml"].map(|name| cargo.join(name)));
        }
        if let Some(config) = absolute("XDG_CONFIG_HOME") {
            found.hidden.extend(["gh", "gcloud", "git/credentials", "enki"].map(|name| config.join(name)));
        }
        let too_much = |path: &Path| path.parent().is_none() || home.is_some_and(|home| home.starts_with(path));
        let named = TOOLCHAIN_VARIABLES.iter().filter_map(|name| absolute(name)).map(Path::to_owned);
        let folders: Vec<PathBuf> = var("PATH").into_iter().flat_map(std::env::split_paths).collect();
        let folders = folders.iter().filter(|folder| folder.is_absolute()).flat_map(|folder| {
            // `~/.tool/bin` is a part of `~/.tool`; what is beside a folder elsewhere may be anything.
            let parent = folder.parent().filter(|parent| {
                home.is_some_and(|home| parent.starts_with(home) && *parent != home && *parent != home.join(".local"))
            });
            [Some(folder.as_path()), parent].into_iter().flatten().map(Path::to_owned).collect::<Vec<_>>()
        });
        found.readable.extend(named.chain(folders).filter(|path| !too_much(path)));
        found.readable.dedup();
        found
    }
}

/// What a program that a person names needs of its own: the file, and where that is if a link leads there, with the
/// folder around it.
#[must_use]
pub fn reach_of(program: &Path) -> Vec<PathBuf> {
    let Ok(real) = program.canonicalize() else { return Vec::new() };
    let around = real.parent().filter(|_| real != program && real.is_file()).map(Path::to_owned);
    [Some(program.to_owned()), Some(real), around].into_iter().flatten().collect()
}

/// The private keys of this machine's own secure shell.
fn host_keys() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/etc/ssh").into_iter().flatten().flatten();
    let is_key = |path: &PathBuf| path.to_string_lossy().ends_with("_key");
    entries.map(|entry| entry.path()).filter(is_key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(vars: &[(&str, &str)]) -> Places {
        Places::of(&vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect())
    }

    #[test]
    fn a_toolchain_is_found_by_its_programs_and_the_home_folder_is_never_open() {
        let found = places(&[
            ("HOME", "/home/me"),
            (
                "PATH",
                "/usr/bin:/home/me/.tool/shims:/home/me/bin:/home/me:/home:/:relative:/srv/ci/bin:/home/me/.local/bin",
            ),
            ("GOROOT", "/opt2/go"),
            ("CARGO_HOME", "/cache/cargo"),
        ]);
        let has = |path: &str| found.readable.contains(&PathBuf::from(path));
        for open in
            ["/home/me/.tool", "/home/me/.tool/shims", "/home/me/bin", "/srv/ci/bin", "/opt2/go", "/home/me/.local/bin"]
        {
            assert!(has(open), "{open}");
        }
        for closed in ["/home/me", "/home", "/", "relative", "/srv/ci", "/srv", "/home/me/.local"] {
            assert!(!has(closed), "{closed}");
        }
        for hidden in ["/home/me/.ssh", "/cache/cargo/credentials.toml", "/etc/shadow"] {
            assert!(found.hidden.contains(&PathBuf::from(hidden)), "{hidden}");
        }
    }

    #[test]
    fn a_home_that_is_the_whole_disk_opens_nothing_of_it() {
        for home in ["/", "relative", ""] {
            let found = places(&[("HOME", home), ("PATH", "/bin")]);
            assert!(!found.readable.iter().any(|path| path.parent().is_none() || path.ends_with(".cargo")), "{home}");
        }
    }
}
