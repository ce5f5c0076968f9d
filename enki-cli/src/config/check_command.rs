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
    let is_assignment = |word: &&str| {
        word.split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
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

fn executable(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    found.permissions().mode() & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

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
