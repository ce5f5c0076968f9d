//! What workspaces get before an agent works in them, by the project's settings.

use crate::common::{call, enki, repository};
use enki_cli::Exit;
use std::fs;
use std::path::{Path, PathBuf};

struct Place {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl Place {
    /// A repository that ignores `cache/`, with settings and a plan of three steps in a row.
    fn new(workspace: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = repository(&dir.path().join("p"));
        fs::write(root.join(".gitignore"), "cache/\n").unwrap();
        crate::common::git(&root, &["add", "-A"]);
        crate::common::git(&root, &["commit", "-q", "-m", "ignore"]);
        fs::create_dir_all(root.join("cache")).unwrap();
        fs::write(root.join("cache/mine"), "warm\n").unwrap();
        fs::create_dir_all(root.join(".enki")).unwrap();
        let agent = r#"cat >/dev/null; cat cache/mine cache/made >"$ENKI_STEP_ID.txt" || exit 1"#;
        let settings = format!("[agent]\ncommand = \"sh\"\nargs = [\"-c\", {agent:?}]\n[workspace]\n{workspace}\n");
        fs::write(root.join(".enki/enki.toml"), settings).unwrap();
        let plan = "title = \"Three\"\n".to_owned()
            + &["a", "b", "c"]
                .map(|id| format!("[[steps]]\nid = \"{id}\"\ntitle = \"Step {id}\"\ndescription = \"Do it.\"\n"))
                .concat();
        fs::write(dir.path().join("plan.toml"), plan.replace("id = \"b\"", "id = \"b\"\nneeds = [\"a\"]")).unwrap();
        Self { dir, root }
    }

    fn plan(&self) -> String {
        self.dir.path().join("plan.toml").to_str().unwrap().to_owned()
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_run_has_shared_caches_and_a_set_up_in_every_workspace_with_the_pool_on_and_off() {
    for pool in ["", "pool = 0"] {
        let place = Place::new(&format!("share_ignored = [\"cache\"]\nsetup = \"echo made >cache/made\"\n{pool}"));
        let output = enki(&place.root).args(["run", &place.plan()]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        for step in ["a", "b", "c"] {
            assert_eq!(read(&place.root.join(format!("{step}.txt"))), "warm\nmade\n", "{step}");
        }
        assert_eq!(place.root.join(".enki/pool/1.lock").exists(), pool.is_empty());
    }
}

#[test]
fn a_set_up_that_fails_fails_the_step_with_its_last_words() {
    let place = Place::new("setup = \"echo no such package >&2; exit 3\"");
    let settings = place.root.join(".enki/enki.toml");
    fs::write(&settings, read(&settings) + "[workers]\nretries = 0\n").unwrap();
    let output = enki(&place.root).args(["run", &place.plan()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("no such package") && said.contains("setup-task-"), "{said}");
}

#[test]
fn a_shared_folder_outside_of_the_project_is_refused() {
    for path in ["../other", "/etc", "a/../..", ""] {
        let place = Place::new(&format!("share_ignored = [{path:?}]"));
        let answer = call(&place.root, &["run", &place.plan()]);
        assert_eq!(answer.exit, Exit::Usage, "{path}");
        assert!(answer.stderr.contains("workspace.share_ignored"), "{}", answer.stderr);
    }
}

#[test]
fn a_full_disk_is_waited_for_and_said() {
    let place = Place::new("min_free_mb = 1000000000000");
    let mut child = enki(&place.root)
        .args(["run", &place.plan()])
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap())).map_while(Result::ok);
    let line = lines.find(|line| line.contains("has to wait")).expect("it says so");
    assert!(line.contains("workspace.min_free_mb") && line.contains("tried again at"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}
