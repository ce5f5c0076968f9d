//! The real Claude Code client at both ends of `enki mcp`: as a coordinator that gives work away, and as the agent that
//! does it and says so. A scripted service says what a model would. Skipped, and said so, where the client is missing.

use crate::claude::{Scene, call, output, scenario, shell, tools};
use crate::common::{Place, both, git, repository};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// What `enki mcp config` prints, in a file.
fn config(place: &Place) -> String {
    let printed = place.enki(&["mcp", "config", "--client", "json"]);
    let path = place.dir.path().join("mcp.json");
    fs::write(&path, printed.stdout).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The answers of tools in a conversation, as the model reads them.
fn results(body: &Value) -> String {
    let text = |content: &Value| match content {
        Value::String(text) => text.clone(),
        blocks => blocks.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str()).collect(),
    };
    let blocks = body["messages"].as_array().into_iter().flatten().filter_map(|message| message["content"].as_array());
    let results = blocks.flatten().filter(|block| block["type"] == "tool_result");
    results.map(|block| text(&block["content"]) + "\n").collect()
}

#[test]
fn the_client_coordinates_and_its_worker_says_what_it_does() {
    let create = json!({"title": "Make it", "description": "Make made.txt with a word in it.", "review": "none"});
    let report = json!({"status": "writing made.txt"});
    let observed = json!({"text": "The test of the till fails at midnight", "project_id": "shop"});
    let write = json!({"file_path": "{{cwd}}/made.txt", "content": "made\n"});
    let wait = "until git cat-file -e main:made.txt 2>/dev/null; do sleep 0.1; done; echo there";
    let scenarios = json!([
        scenario(
            "COORDINATE",
            &[
                call("mcp__enki__enki_task_create", &create),
                shell(wait),
                call("mcp__enki__enki_task_list", &json!({"status": "done"})),
                json!({"text": "It is made."}),
            ]
        ),
        scenario(
            "Edit the files in the current directory",
            &[
                call("mcp__enki__enki_worker_report", &report),
                call("mcp__enki__enki_task_list", &json!({})),
                call("mcp__enki__enki_note", &observed),
                call("mcp__enki__enki_queue_list", &json!({"project": "shop"})),
                call("mcp__enki__enki_stop_all", &json!({})),
                call("Write", &write),
                output("made.txt is there"),
            ]
        ),
    ]);
    let Some(scene) = Scene::new(&scenarios) else { return };
    let place = &scene.place;
    // Another project of the person, which no agent of this one can reach by itself.
    let shop = repository(&place.dir.path().join("shop"));
    let list = place.dir.path().join("home/.config/enki");
    fs::create_dir_all(&list).unwrap();
    fs::write(list.join("projects.toml"), format!("[projects.shop]\nroot = {shop:?}\n")).unwrap();
    let config = config(place);
    let settings = fs::read_to_string(place.root.join(".enki/enki.toml")).unwrap();
    let url = settings.split('"').find(|word| word.starts_with("http://")).unwrap();
    let mut client = Command::new(place.dir.path().join("claude"));
    client.args(["-p", "--output-format", "json", "--setting-sources", "", "--strict-mcp-config"]);
    client.arg(format!("--mcp-config={config}")).args(["--allowedTools", "mcp__enki", "Bash"]);
    client.current_dir(&place.root).env_clear();
    for (name, value) in [
        ("HOME", place.dir.path().join("home").to_str().unwrap()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("ANTHROPIC_API_KEY", "sk-ant-dummy"),
        ("ANTHROPIC_BASE_URL", url),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("CLAUDE_CODE_TMPDIR", place.dir.path().join("tmp").to_str().unwrap()),
        ("DISABLE_AUTOUPDATER", "1"),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
    ] {
        client.env(name, value);
    }
    let mut client = scene.inside(&client);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(b"COORDINATE").unwrap();
    let ended = client.wait_with_output().unwrap();
    assert!(ended.status.success() && both(&ended).contains("It is made."), "{}", both(&ended));
    assert_eq!(git(&place.root, &["show", "main:made.txt"]), "made\n");

    let bodies = scene.requests("COORDINATE");
    let last = bodies.iter().max_by_key(|body| body["messages"].as_array().unwrap().len()).unwrap();
    let offered = tools(last);
    assert!(offered.contains(&"mcp__enki__enki_execution_create"), "{offered:?}");
    assert!(!offered.contains(&"mcp__enki__enki_worker_report"), "{offered:?}");
    let heard = results(last);
    assert!(heard.contains(r#""known":false"#), "{heard}");
    assert!(heard.contains(r#""status":"done","step":"task""#), "what it gave away is still told of: {heard}");

    let bodies = scene.requests("Edit the files in the current directory");
    let last = bodies.iter().max_by_key(|body| body["messages"].as_array().unwrap().len()).unwrap();
    let mut offered: Vec<&str> = tools(last).into_iter().filter(|tool| tool.starts_with("mcp__")).collect();
    offered.sort_unstable();
    let own = [
        "enki_call",
        "enki_dag",
        "enki_edit_file",
        "enki_note",
        "enki_note_resolve",
        "enki_queue_list",
        "enki_status",
        "enki_task_list",
        "enki_tools",
        "enki_trace",
        "enki_worker_report",
    ]
    .map(|tool| format!("mcp__enki__{tool}"));
    assert_eq!(offered, own, "nothing of a coordinator's");
    let heard = results(last);
    // What it observed is in the log of the project that it is about, and nowhere else.
    let log = fs::read_dir(shop.join("docs/log/issue")).unwrap_or_else(|error| panic!("{error}: {heard}"));
    let [note] = &log.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect::<Vec<_>>()[..] else {
        panic!("{heard}")
    };
    assert!(note.contains("\nsource: agent-execution\n") && note.contains("\ntask_id: "), "{note}");
    assert!(
        note.contains("\nThe test of the till fails at midnight\n") && heard.contains(r#""kind":"issue""#),
        "{heard}"
    );
    assert!(!place.root.join("docs").exists(), "nothing of it is here");
    assert!(heard.contains("shop is not the project that you work in"), "it sees its own project alone: {heard}");
    assert!(heard.contains(r#""status":"writing made.txt""#), "{heard}");
    assert!(heard.contains(r#""activity":"writing made.txt""#), "it is shown at once: {heard}");
    assert!(heard.contains("No such tool") || heard.contains("not for a worker"), "{heard}");
}
