//! What an agent may not do, in whole runs with the binary: it is refused or found, nothing of it lands, and a person
//! is told.

use crate::common::{enki, git, repository};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A project with a check of its own, `./ci.sh`, and an agent that does as it is told by a script.
struct Place {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl Place {
    fn new(agent: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = repository(&dir.path().join("project"));
        fs::write(root.join("ci.sh"), "#!/bin/sh\ntest -e made.txt\n").unwrap();
        fs::set_permissions(root.join("ci.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        git(&root, &["add", "-A"]);
        git(&root, &["commit", "-q", "-m", "a check"]);
        let script = dir.path().join("agent.sh");
        let main = root.display();
        fs::write(&script, format!("cat >/dev/null\nMAIN='{main}'\necho made >made.txt\n{agent}\n")).unwrap();
        fs::create_dir_all(dir.path().join("home/.config")).unwrap();
        fs::create_dir(root.join(".enki")).unwrap();
        let text = format!(
            "[agent]\ncommand = \"sh\"\nargs = [{script:?}]\n[refinery]\ncheck = \"./ci.sh\"\n[workers]\nretries = 0\n"
        );
        fs::write(root.join(".enki/enki.toml"), text).unwrap();
        Self { dir, root }
    }

    /// What only the person configures.
    fn person(&self, text: &str) {
        fs::write(self.dir.path().join("home/.config/enki.toml"), text).unwrap();
    }

    fn enki(&self, args: &[&str]) -> Output {
        enki(&self.root).env("HOME", self.dir.path().join("home")).args(args).output().unwrap()
    }

    /// Runs one step; gives the exit code, what the run said and what `show` says of the step.
    fn run(&self) -> (i32, String, String) {
        let run = self.enki(&["run", "--task", "Do it"]);
        let status = self.enki(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let id = status["executions"][0]["id"].as_str().unwrap_or_else(|| panic!("{}", text(&run))).to_owned();
        let show = self.enki(&["show", &id]);
        (run.status.code().unwrap_or(-1), text(&run), text(&show))
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn log(root: &Path) -> usize {
    git(root, &["log", "--format=%s", "main"]).lines().count()
}

/// Bad input 34.
#[test]
fn a_change_of_what_the_check_runs_is_refused_unless_the_person_allows_it() {
    let place = Place::new("echo 'exit 0' >ci.sh");
    let (code, said, shown) = place.run();
    assert_eq!(code, 7, "{said}");
    for told in [&said, &shown] {
        assert!(told.contains("ci.sh is run by the check; only a person changes it"), "{told}");
    }
    assert_eq!(log(&place.root), 2);

    // The project cannot grant it to itself.
    let project = place.root.join("enki.toml");
    fs::write(&project, "[isolation]\nallow = [\"ci.sh\"]\n").unwrap();
    let (code, said, _) = place.run();
    assert!(code == 7 && said.contains("isolation.allow counts only from your own configuration"), "{said}");
    fs::remove_file(project).unwrap();

    place.person("[isolation]\nallow = [\"ci.sh\"]\n");
    let (code, said, _) = place.run();
    assert_eq!(code, 0, "{said}");
    assert_eq!(fs::read_to_string(place.root.join("ci.sh")).unwrap(), "exit 0\n");
}

/// Bad input 89.
#[test]
fn an_attempt_that_plants_a_hook_in_the_persons_repository_fails_loudly_and_nothing_of_it_lands() {
    let place = Place::new(
        "printf '#!/bin/sh\\ntouch \"%s\"\\n' \"$MAIN/../canary\" >\"$MAIN/.git/hooks/post-merge\"\nchmod 755 \"$MAIN/.git/hooks/post-merge\"",
    );
    let (code, said, shown) = place.run();
    assert_eq!(code, 7, "{said}");
    for told in [&said, &shown] {
        assert!(told.contains("your repository was changed while the agent worked"), "{told}");
        assert!(told.contains("hooks/post-merge was added"), "{told}");
    }
    assert_eq!(log(&place.root), 2);
    assert!(!place.dir.path().join("canary").exists());
    // The work is there for who wants it.
    let kept = git(&place.root, &["for-each-ref", "--format=%(objectname)", "refs/enki/kept"]);
    assert_eq!(git(&place.root, &["show", &format!("{}:made.txt", kept.trim())]), "made\n");
}

#[test]
fn what_moved_meanwhile_is_told_and_stops_nothing_unless_the_person_is_strict() {
    let tag = "git -C \"$MAIN\" tag planted";
    let place = Place::new(tag);
    let (code, said, shown) = place.run();
    assert_eq!(code, 0, "{said}");
    for told in [&said, &shown] {
        assert!(told.contains("notice") && told.contains("refs/tags/planted was added at "), "{told}");
    }
    let strict = Place::new(tag);
    strict.person("[isolation]\ndrift = \"fail\"\n");
    let (code, said, _) = strict.run();
    assert!(code == 7 && said.contains("refs/tags/planted was added at "), "{said}");
    assert_eq!(log(&strict.root), 2);
}
