//! `enki_edit_file`, in folders that are real.

use crate::world::{Client, World, office, token};
use enki_core::advice::approval::Preset;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// A live worker whose workspace is that folder.
async fn worker(workspace: &Path) -> Client {
    let world = World::new();
    let (enki, _) = world.half_done().await;
    let (office, passes) = office(&enki, Preset::Interactive);
    let mut spec = world.agents.started().into_iter().find(|spec| spec.step.as_str() == "b").unwrap();
    spec.workspace = workspace.to_owned();
    passes.admit_attempt(token(2), &spec);
    Client::at(&office, token(2)).initialized().await
}

fn edit(path: &str, content: &str) -> Value {
    json!({"path": path, "content": content})
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_file_is_replaced_and_its_mode_stays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.sh");
    fs::write(&file, "#!/bin/sh\r\necho one\r\necho two").unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    let mut worker = worker(dir.path()).await;
    let (text, error) = worker.refused("enki_edit_file", edit("run.sh", "2:zz|\n2:00|echo one\nnew")).await;
    assert_eq!(error["code"], "VALIDATION_ERROR");
    assert!(text.starts_with("anchor 2 is stale"), "{text}");
    let anchor = text.lines().find(|line| line.starts_with("2:")).unwrap().to_owned();
    let (_, edited) = worker.call("enki_edit_file", edit("run.sh", &format!("{anchor}\necho more"))).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "#!/bin/sh\r\necho one\r\necho more\r\necho two");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!((&edited["lines"], &edited["now"][0]), (&json!(4), &json!(anchor)));
    let second = edited["now"][1].as_str().unwrap().to_owned();
    worker.call("enki_edit_file", edit("run.sh", &format!("{second}\nlast"))).await;
    worker.call("enki_edit_file", edit("src/deep/new.rs", "fn main() {}\n")).await;
    assert_eq!(fs::read_to_string(dir.path().join("src/deep/new.rs")).unwrap(), "fn main() {}\n");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left beside: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn bad_input_46_a_path_that_is_not_beneath_the_workspace_is_refused() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = outside.path().join("secret.txt");
    fs::write(&secret, "").unwrap();
    symlink(outside.path(), dir.path().join("out")).unwrap();
    symlink(&secret, dir.path().join("link.txt")).unwrap();
    symlink("/proc/self/root", dir.path().join("root")).unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::create_dir(dir.path().join(".git")).unwrap();
    let mut worker = worker(dir.path()).await;
    let absolute = secret.to_str().unwrap().to_owned();
    for path in [
        "../secret.txt",
        "a/../../secret.txt",
        &absolute,
        "out/secret.txt",
        "link.txt",
        "root/etc/x",
        "file:///etc/x",
        "a\0b",
        "",
        ".",
        "folder",
        "a//b",
        "a\\b",
        ".git/config",
        ".GIT/hooks/x",
        "/proc/self/root/tmp/x",
    ] {
        let (text, error) = worker.refused("enki_edit_file", edit(path, "x\n")).await;
        assert_eq!(error["code"], "SAFETY_BLOCKED", "{path:?}: {text}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "");
    assert!(fs::symlink_metadata(dir.path().join("link.txt")).unwrap().is_symlink(), "a link is not replaced either");
}

#[tokio::test]
async fn edits_at_the_same_time_come_one_after_another_and_any_name_that_fits_can_be_edited() {
    let dir = tempfile::tempdir().unwrap();
    let name = "n".repeat(255);
    fs::write(dir.path().join(&name), "first\n").unwrap();
    let mut worker = worker(dir.path()).await;
    let (text, _) = worker.refused("enki_edit_file", edit(&name, "1:zz|\n1:00|first\nnew")).await;
    let anchor = text.lines().find(|line| line.starts_with("1:")).unwrap().to_owned();
    for n in 0..50 {
        let params = json!({"name": "enki_edit_file", "arguments": edit(&name, &format!("{anchor}\nline {n}"))});
        worker
            .line(&json!({"jsonrpc": "2.0", "id": 100 + n, "method": "tools/call", "params": params}).to_string())
            .await;
    }
    for _ in 0..50 {
        assert_eq!(worker.answer().await["result"]["isError"], false);
    }
    let text = fs::read_to_string(dir.path().join(&name)).unwrap();
    assert!((0..50).all(|n| text.lines().any(|line| line == format!("line {n}"))), "none is lost: {text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
