//! Whether the check command can start at all: said before any agent is paid for, not at merge time.

use crate::error::CliError;
use std::ffi::OsStr;
use std::path::Path;

/// Looks at the first word of a shell command. What only a shell can tell is left to the shell.
///
/// # Errors
///
/// A command that is empty, or whose program is not there or not executable.
pub fn verify_command(command: &str, root: &Path, path: Option<&OsStr>) -> Result<(), CliError> {
    const BUILT_IN: &[&str] = &[
        "!", ".", ":", "[", "cd", "command", "case", "echo", "eval", "exec", "exit", "export", "false", "for", "if",
        "printf", "set", "test", "trap", "true", "type", "ulimit", "umask", "unset", "until", "while", "{",
    ];
    let hint = "set `refinery.check`, or pass --check; leave it out to merge without a check";
    if command.trim().is_empty() {
        return Err(CliError::usage("the check command is empty").hint(hint));
    }
    let first =
        command.lines().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).unwrap_or("");
    let Some(word) = first.split_whitespace().find(|word| !is_assignment(word)) else { return Ok(()) };
    let word = word.trim_end_matches([';', '&', '|']);
    if word.contains(['$', '`', '"', '\'', '\\', '(', ')', '<', '>', '|', '&', ';', '*', '?', '~', '#'])
        || BUILT_IN.contains(&word)
    {
        return Ok(());
    }
    let refused =
        |why: &str| Err(CliError::usage(format!("the check command {command:?} cannot start: {why}")).hint(hint));
    if word.contains('/') {
        let program = root.join(word);
        return match std::fs::metadata(&program) {
            Ok(found) if found.is_file() && executable(&found) => Ok(()),
            Ok(found) if found.is_file() => refused(&format!("{word} is not executable (chmod +x makes it so)")),
            Ok(_) => refused(&format!("{word} is not a file")),
            Err(_) => refused(&format!("there is no {word} in {}", root.display())),
        };
    }
    let found = |dir: &Path| std::fs::metadata(dir.join(word)).is_ok_and(|found| found.is_file() && executable(&found));
    if path.is_some_and(|path| std::env::split_paths(path).any(|dir| found(&dir))) {
        return Ok(());
    }
    refused(&format!("no program {word:?} in PATH"))
}

/// The files of the project that a check command runs by name: a path where a command stands, and what a shell or an
/// interpreter is told to run. Who may change them could make the check pass (S8). What these run in turn is not seen.
#[must_use]
pub fn files_run_by(command: &str, root: &Path) -> Vec<String> {
    const SHELLS: &[&str] = &["sh", "bash", "dash", "ksh", "zsh", ".", "source"];
    const OTHERS: &[&str] = &["python", "python3", "node", "ruby", "perl", "php"];
    const BEFORE: &[&str] = &[
        "!", "{", "(", "if", "then", "else", "elif", "while", "until", "do", "exec", "env", "nice", "time", "command",
        "nohup", "eval",
    ];
    let mut found = std::collections::BTreeSet::new();
    for part in command.split([';', '&', '|', '\n', '(', ')']) {
        let words = part.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
        let mut words = words
            .filter(|word| !is_assignment(word))
            .skip_while(|word| BEFORE.contains(word))
            // `timeout 60 ./check.sh`
            .filter(|word| *word != "timeout" && word.trim_end_matches(['s', 'm', 'h']).parse::<f64>().is_err());
        let Some(first) = words.next() else { continue };
        let name = first.rsplit('/').next().unwrap_or(first);
        let script = if SHELLS.contains(&name) || OTHERS.contains(&name) {
            // What follows one of these options is a program itself, not the name of one.
            let program = |option: &str| match SHELLS.contains(&name) {
                true => option.ends_with('c'),
                false => matches!(option, "-c" | "-e" | "-m"),
            };
            words.find(|word| !word.starts_with('-') || program(word)).filter(|word| !word.starts_with('-'))
        } else {
            None
        };
        found.extend([Some(first).filter(|word| word.contains('/')), script].into_iter().flatten().filter_map(
            |word| {
                let word = Path::new(word);
                let inside = if word.is_absolute() { word.strip_prefix(root).ok()? } else { word };
                let plain: Vec<&str> = inside
                    .components()
                    .filter(|part| *part != std::path::Component::CurDir)
                    .map(|part| if let std::path::Component::Normal(name) = part { name.to_str() } else { None })
                    .collect::<Option<_>>()?;
                root.join(inside).is_file().then(|| plain.join("/"))
            },
        ));
    }
    found.into_iter().collect()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

fn executable(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    found.permissions().mode() & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_a_check_runs_are_found_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("scripts")).unwrap();
        for name in ["ci.sh", "scripts/check.py", "data.txt", "test"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let whole = dir.path().join("ci.sh").display().to_string();
        for (command, files) in [
            ("./ci.sh --fast", &["ci.sh"][..]),
            ("sh ci.sh", &["ci.sh"]),
            ("sh -eu 'ci.sh' data.txt", &["ci.sh"]),
            ("X=1 timeout 60 ./ci.sh && python3 scripts/check.py data.txt", &["ci.sh", "scripts/check.py"]),
            ("if ./ci.sh; then :; fi", &["ci.sh"]),
            (". ./ci.sh\n! scripts/check.py", &["ci.sh", "scripts/check.py"]),
            (whole.as_str(), &["ci.sh"]),
            ("grep -q x data.txt", &[]),
            ("cargo test", &[]),
            ("sh -c 'test -f data.txt'", &[]),
            ("sh missing.sh; ./ci.sh/../../x; sh ../ci.sh", &[]),
        ] {
            assert_eq!(files_run_by(command, dir.path()), files, "{command}");
        }
    }

    #[test]
    fn bad_input_33_a_check_that_cannot_start_is_refused_at_start() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("check.sh"), "#!/bin/sh\n").unwrap();
        let path = OsStr::new("/usr/bin:/bin");
        let check = |command: &str| verify_command(command, dir.path(), Some(path));
        for (bad, word) in [
            ("", "empty"),
            ("  \n", "empty"),
            ("./check.sh", "not executable"),
            ("./no.sh -x", "no ./no.sh"),
            ("cargoo test", "no program"),
            ("X=1 cargoo", "no program"),
            ("./", "not a file"),
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.exit == crate::exit::Exit::Usage && error.message.contains(word), "{bad}: {error}");
        }
        for good in [
            "sh check.sh",
            "true",
            "! grep -r TODO .",
            "if true; then true; fi",
            "X=1 sh -c true",
            "$SHELL -c true",
            "(cd a && b)",
            "\"my tool\" x",
        ] {
            check(good).unwrap();
        }
    }
}
