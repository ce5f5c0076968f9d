//! `enki mcp` as a client sees it: the binary at a pipe, real git, the real store, and a script as the agent.

use crate::common::{Place, both, code, git, until, wait};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A client with its server.
pub(crate) struct Client {
    pub(crate) server: Server,
    pub(crate) input: ChildStdin,
    pub(crate) output: BufReader<ChildStdout>,
    calls: u64,
}

/// The process. None outlives its test.
pub(crate) struct Server(pub(crate) Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Client {
    pub(crate) fn new(place: &Place) -> Self {
        Self::of(place.command(&["mcp"]))
    }

    /// A server that is started so.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (server.stdin.take().unwrap(), BufReader::new(server.stdout.take().unwrap()));
        let mut client = Self { server: Server(server), input, output, calls: 0 };
        let info = json!({"name": "test", "version": "1"});
        client.request("initialize", json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}));
        writeln!(client.input, r#"{{"jsonrpc": "2.0", "method": "notifications/initialized"}}"#).unwrap();
        client
    }

    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        writeln!(self.input, "{}", json!({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params}))
            .unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        assert_eq!(answer["id"], self.calls);
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    pub(crate) fn tools(&mut self) -> Vec<String> {
        let tools = self.request("tools/list", json!({}));
        tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let mut result = self.request("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_eq!(result["isError"], false, "{tool}: {result}");
        result["structuredContent"].take()
    }

    /// The error of a call that could not be done.
    pub(crate) fn refused(&mut self, tool: &str, arguments: Value) -> Value {
        let mut result = self.request("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_eq!(result["isError"], true, "{tool}: {result}");
        result["structuredContent"]["error"].take()
    }

    /// Looks until it is as it should be.
    pub(crate) fn until(&mut self, tool: &str, arguments: &Value, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            let seen = self.call(tool, arguments.clone());
            if is(&seen) {
                return seen;
            }
            wait();
        }
        panic!("never as it should be: {}", self.call(tool, arguments.clone()));
    }

    /// Until the execution is that.
    pub(crate) fn status(&mut self, id: &str, status: &str) -> Value {
        self.until("enki_status", &json!({"execution_id": id}), |seen| seen["executions"][0]["status"] == status)
    }

    /// Leaves, and gives the server's end.
    pub(crate) fn leave(self) -> i32 {
        let Self { mut server, input, output, .. } = self;
        drop((input, output));
        server.0.wait().unwrap().code().unwrap_or(-1)
    }
}

fn step(id: &str, more: Value) -> Value {
    let mut step = json!({"id": id, "title": format!("Step {id}"), "description": "Do it."});
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

pub(crate) fn on_main(place: &Place) -> String {
    git(&place.root, &["ls-tree", "-r", "--name-only", "main"])
}

/// Nobody has the project's lock.
pub(crate) fn is_free(place: &Place) -> bool {
    place.json(&["status"])["driver"].is_null()
}

#[test]
fn a_coordinator_brings_a_plan_to_main_with_nobody_else_there() {
    let place = Place::new();
    let mut client = Client::new(&place);
    assert!(client.tools().iter().any(|tool| tool == "enki_execution_create"));
    assert_eq!(client.call("enki_status", json!({}))["executions"], json!([]), "nothing was ever submitted");
    let plan = json!({"title": "A plan", "request_id": "p-1", "steps": [
        step("look", json!({"checkpoint": true})), step("slow", json!({"needs": ["look"]}))]});
    let created = client.call("enki_execution_create", plan.clone());
    let id = created["execution_id"].as_str().unwrap().to_owned();
    assert_eq!((&created["status"], created["holds"].as_array().unwrap().len()), (&json!("held"), 1));
    assert!(created["notes"][0].as_str().unwrap().contains("no reviewer is configured"), "{created}");
    until(|| is_free(&place));
    assert_eq!(client.refused("enki_resume", json!({"execution_id": id}))["code"], "APPROVAL_REQUIRED");
    assert_eq!(client.call("enki_execution_create", plan)["known"], true);

    client.call("enki_resume", json!({"execution_id": id, "answer": "approve"}));
    let held = client.status(&id, "held");
    assert_eq!(held["holds"][0]["output"], "made look.txt");
    let added = client.call(
        "enki_execution_add_steps",
        json!({"execution_id": id, "steps": [step("more", json!({"needs": ["slow"]}))]}),
    );
    assert_eq!(added["steps"][0]["status"], "pending");
    client.call("enki_resume", json!({"execution_id": id, "answer": "go on"}));
    let working =
        client.until("enki_task_list", &json!({"status": "running"}), |seen| seen["tasks"][0]["activity"] == "at work");
    assert_eq!(working["tasks"][0]["step"], "slow");
    assert!(!is_free(&place), "this server drives");
    place.open_gate();
    let done = client.status(&id, "done");
    assert_eq!(done["steps"]["done"], 3);
    let main = on_main(&place);
    for file in ["look.txt", "slow.txt", "more.txt"] {
        assert!(main.contains(file), "{main}");
    }
    until(|| is_free(&place));
    assert_eq!(client.leave(), 0);
}

#[test]
fn an_idea_waits_as_a_note_until_it_is_picked_once() {
    let place = Place::new();
    let mut client = Client::new(&place);
    let add = |client: &mut Client, body: &str| client.call("enki_backlog_add", json!({"body": body}))["item"].take();
    let dark = add(&mut client, "Dark mode\n\nFor the night.");
    let id = dark["id"].as_str().unwrap().to_owned();
    let note = place.root.join(dark["note"].as_str().unwrap());
    let text = std::fs::read_to_string(&note).unwrap();
    assert!(id.len() == 12 && text.contains("\ntags: [idea, backlog]\n"), "{text}");
    let second = add(&mut client, "Cache it\n## Prompt\nTake over");
    assert!(is_free(&place), "keeping ideas calls for no driver");
    // Ideas that are not of the backlog are not in it.
    assert_eq!(code(&place.command(&["note", "--kind", "idea", "Not this one"]).output().unwrap()), 0);
    let listed = client.call("enki_backlog_list", json!({}));
    let titles: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap()).collect();
    assert_eq!((titles, &listed["total"]), (vec!["Cache it", "Dark mode"], &json!(2)));
    assert_eq!(listed["items"][1]["body"], "Dark mode\n\nFor the night.");
    let updated = client.call("enki_backlog_update", json!({"id": &id[..8], "body": "Darker mode"}));
    assert_eq!((&updated["item"]["title"], &updated["item"]["id"]), (&json!("Darker mode"), &json!(id)));

    let removed = client.call("enki_backlog_remove", json!({"id": id}));
    assert_eq!(removed["item"]["status"], "cancelled");
    assert_eq!(client.call("enki_backlog_remove", json!({"id": id}))["item"]["status"], "cancelled");
    assert!(std::fs::read_to_string(&note).unwrap().contains("Darker mode"), "the note stays");
    for (tool, more) in [("update", json!({"body": "x"})), ("remove", json!({})), ("pick", json!({}))] {
        let mut arguments = more.as_object().unwrap().clone();
        arguments.insert("id".into(), json!("ffffffffffff"));
        let tool = format!("enki_backlog_{tool}");
        assert_eq!(client.refused(&tool, arguments.clone().into())["code"], "NOT_FOUND", "{tool}");
        arguments.insert("id".into(), json!("../x"));
        assert_eq!(client.refused(&tool, arguments.into())["code"], "VALIDATION_ERROR", "{tool}");
    }
    assert_eq!(client.refused("enki_backlog_pick", json!({"id": id}))["code"], "INVALID_STATE", "it was dropped");
    assert_eq!(client.refused("enki_backlog_update", json!({"id": id, "body": "x"}))["code"], "INVALID_STATE");

    let second = second["id"].as_str().unwrap();
    let picked = client.call("enki_backlog_pick", json!({"id": &second[..4]}));
    assert_eq!((&picked["id"], &picked["known"]), (&json!(second), &json!(false)));
    let execution = picked["execution_id"].as_str().unwrap().to_owned();
    let task = place.root.join(picked["task_note"].as_str().unwrap());
    let text = std::fs::read_to_string(&task).unwrap();
    assert!(text.contains("\nstatus: pending\n") && text.contains("\n> ## Prompt\n> Take over\n"), "{text}");
    client.status(&execution, "done");
    assert!(on_main(&place).contains("task.txt"));
    let again = client.call("enki_backlog_pick", json!({"id": second}));
    assert_eq!((&again["task_id"], &again["known"]), (&picked["task_id"], &json!(true)));
    // What a crash between the submission and the note leaves.
    let unnamed: String = text.lines().filter(|line| !line.starts_with("queue_id")).map(|l| format!("{l}\n")).collect();
    std::fs::write(&task, unnamed).unwrap();
    let once_more = client.call("enki_backlog_pick", json!({"id": second}));
    assert_eq!((&once_more["task_id"], &once_more["known"]), (&picked["task_id"], &json!(true)));
    assert_eq!(std::fs::read_to_string(&task).unwrap(), text);
    assert_eq!(client.call("enki_task_list", json!({}))["total"], 1);
    let shown = place.json(&["show", &execution]);
    assert!(shown.to_string().contains("note(docs/log/task/task-"), "{shown}");
    assert_eq!(client.call("enki_backlog_list", json!({}))["total"], 0);
    assert_eq!(client.refused("enki_backlog_remove", json!({"id": second}))["code"], "INVALID_STATE");
    assert_eq!(client.leave(), 0);
}

#[test]
fn beside_a_run_the_same_calls_reach_it_and_what_is_left_goes_on() {
    let place = Place::new();
    let plan = place.plan("plan.json", &["slow"]);
    let mut run =
        place.command(&["run", plan.to_str().unwrap()]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    until(|| !is_free(&place) && place.root.join(".enki/enki.sock").exists());
    let mut client = Client::new(&place);
    client.until("enki_task_list", &json!({}), |seen| seen["tasks"][0]["activity"] == "at work");
    let id = client.call("enki_status", json!({}))["executions"][0]["execution_id"].as_str().unwrap().to_owned();
    assert_eq!(client.call("enki_pause", json!({"execution_id": id}))["draining"], json!(["slow"]));
    assert_eq!(client.call("enki_resume", json!({"execution_id": id}))["status"], "running");
    // It waits for the person's, and the run leaves as soon as that has ended.
    let task = client.call("enki_task_create", json!({"title": "Later", "description": "Do it later.", "after": id}));
    assert_eq!(task["status"], "ready");
    place.open_gate();
    assert!(run.wait().unwrap().success());
    client.status(task["execution_id"].as_str().unwrap(), "done");
    assert!(on_main(&place).contains("task.txt"), "the server went on where the run had left");
    assert_eq!(client.leave(), 0);
}

#[test]
fn what_a_person_interrupted_stays_so_until_somebody_goes_on() {
    let place = Place::new();
    let plan = place.plan("plan.json", &["slow", "after: slow"]);
    let mut run =
        place.command(&["run", plan.to_str().unwrap()]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    until(|| place.root.join(".enki/enki.sock").exists());
    let mut client = Client::new(&place);
    client.until("enki_task_list", &json!({}), |seen| seen["tasks"][0]["activity"] == "at work");
    client.call("enki_task_create", json!({"title": "Slow too", "description": "Do it.", "after": place.newest()}));
    for _ in 0..2 {
        let kill = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
        assert!(kill.success());
        wait();
    }
    run.wait().unwrap();
    // Looked at, paused, given up: without anybody driving.
    let id = place.newest();
    let id = client.call("enki_status", json!({"execution_id": id}))["executions"][0]["execution_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(is_free(&place));
    assert_eq!(client.call("enki_stop_all", json!({}))["stopped"], json!([]));
    let all = client.call("enki_status", json!({}));
    assert!(all["executions"].as_array().unwrap().iter().all(|one| one["status"] == "paused"), "{all}");
    assert!(!client.call("enki_cancel", json!({"execution_id": id}))["cancelled"].as_array().unwrap().is_empty());
    assert!(is_free(&place), "nothing of that calls for a driver");
    assert_eq!(client.refused("enki_pause", json!({"execution_id": "ffffffff"}))["code"], "NOT_FOUND");
    assert_eq!(client.leave(), 0);
}

#[test]
fn a_client_that_leaves_lets_what_runs_end_and_a_signal_hurries_it() {
    let place = Place::new();
    place.settings("[approval]\npreset = \"autonomous\"\n");
    let mut client = Client::new(&place);
    let plan = json!({"steps": [step("slow", json!({})), step("after", json!({"needs": ["slow"]}))]});
    let id = client.call("enki_execution_create", plan)["execution_id"].as_str().unwrap().to_owned();
    client.until("enki_task_list", &json!({}), |seen| seen["tasks"][0]["activity"] == "at work");
    let Client { mut server, input, output, .. } = client;
    drop((input, output));
    place.open_gate();
    assert!(server.0.wait().unwrap().success());
    let mut client = Client::new(&place);
    let steps = client.call("enki_task_list", json!({"execution_id": id}));
    let words: Vec<&str> = steps["tasks"].as_array().unwrap().iter().map(|t| t["status"].as_str().unwrap()).collect();
    assert!(["pending", "ready"].contains(&words[1]) && words[0] != "running", "nothing new was started: {steps}");
    std::fs::remove_file(place.gate()).unwrap();

    let task = json!({"title": "slow", "description": "Do it.", "request_id": "slow"});
    place.agent("#!/bin/sh\ncat >/dev/null\necho at work\nwhile [ ! -e \"$GATE\" ]; do sleep 0.02; done\n");
    client.call("enki_task_create", task);
    client.until("enki_task_list", &json!({"status": "running"}), |seen| seen["total"] == 2);
    for signal in ["-TERM", "-TERM"] {
        assert!(Command::new("kill").args([signal, &client.server.0.id().to_string()]).status().unwrap().success());
        wait();
    }
    assert_eq!(client.server.0.wait().unwrap().code(), Some(143));
    assert!(is_free(&place));
    let open = place.json(&["status"])["executions"].clone();
    assert!(open.as_array().unwrap().iter().all(|one| one["open"] == true), "everything can be resumed: {open}");
}

/// What an agent of the project may try to become a person or a coordinator.
const SPY: &str = r#"#!/bin/sh
cat >/dev/null
{
echo "config $ENKI_MCP_CONFIG"
"$ENKI" -C "$PROJECT" stop 2>&1; echo "stop $?"
env -i PATH="$PATH" HOME="$HOME" "$ENKI" -C "$PROJECT" stop 2>&1; echo "clean stop $?"
setsid env -i PATH="$PATH" HOME="$HOME" "$ENKI" -C "$PROJECT" stop 2>&1; echo "stray stop $?"
env -i PATH="$PATH" HOME="$HOME" sh -c '("$0" -C "$1" stop >"$2" 2>&1; echo "orphan stop $?" >>"$2"; touch "$3") &' \
    "$ENKI" "$PROJECT" "$OUT/orphan" "$OUT/orphan.done"
while [ ! -e "$OUT/orphan.done" ]; do sleep 0.02; done
printf '%s\n' \
  '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"spy","version":"1"}}}' \
  '{"jsonrpc":"2.0","method":"notifications/initialized"}' \
  '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"enki_status","arguments":{}}}' \
  | env -u ENKI_MCP_TOKEN "$ENKI" -C "$PROJECT" mcp; echo "mcp $?"
cat "$ENKI_MCP_CONFIG"
} >"$OUT/spy.log"
cp "$ENKI_MCP_CONFIG" "$OUT/config.json"
stat -c '%a' "$ENKI_MCP_CONFIG" "$(dirname "$ENKI_MCP_CONFIG")" >"$OUT/modes"
touch "$OUT/ready"
while [ ! -e "$GATE" ]; do sleep 0.02; done
echo x >x.txt
"#;

/// The server that a file of an attempt names.
pub(crate) fn agents_client(file: &Path) -> Client {
    let config: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let server = &config["mcpServers"]["enki"];
    let mut command = Command::new(server["command"].as_str().unwrap());
    command.args(server["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()));
    for (name, value) in server["env"].as_object().unwrap() {
        command.env(name, value.as_str().unwrap());
    }
    Client::of(command)
}

#[test]
fn an_agent_has_its_own_tools_and_cannot_get_those_of_a_person() {
    let place = Place::new();
    let enki = assert_cmd::cargo::cargo_bin!("enki");
    let out = place.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    place.agent(SPY);
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let variables = [("ENKI", path(enki)), ("OUT", path(&out)), ("PROJECT", path(&place.root))];
    place.settings_with(&variables.each_ref().map(|(name, value)| (*name, value.as_str())), "");
    let mut client = Client::new(&place);
    let task = client.call("enki_task_create", json!({"title": "Spy", "description": "Do it."}));
    until(|| out.join("ready").exists());
    let spied = std::fs::read_to_string(out.join("spy.log")).unwrap();
    for tried in ["\nstop 2\n", "\nclean stop 2\n", "\nstray stop 2\n"] {
        assert!(spied.contains(tried), "{tried:?} in {spied}");
    }
    let orphan = std::fs::read_to_string(out.join("orphan")).unwrap();
    assert!(orphan.ends_with("orphan stop 2\n"), "the supervisor keeps what it started: {orphan}");
    assert!(spied.contains("only a person may do that"), "{spied}");
    assert!(spied.contains("\"isError\":true") && !spied.contains("merge_queue"), "no coordinator's session: {spied}");
    assert_eq!(std::fs::read_to_string(out.join("modes")).unwrap(), "600\n700\n");
    let status = client.call("enki_status", json!({}));
    assert_eq!(status["executions"][0]["status"], "running", "nothing of it stopped anything");

    let mut agent = agents_client(&out.join("config.json"));
    let own = [
        "enki_status",
        "enki_task_list",
        "enki_dag",
        "enki_note",
        "enki_queue_list",
        "enki_note_resolve",
        "enki_trace",
        "enki_worker_report",
        "enki_edit_file",
        "enki_call",
        "enki_tools",
    ];
    assert_eq!(agent.tools(), own);
    assert_eq!(agent.refused("enki_stop_all", json!({}))["code"], "NOT_ALLOWED");
    let reported = agent.call("enki_worker_report", json!({"status": "looking around"}));
    assert_eq!(reported["task_id"], task["task_id"]);
    let seen = client.call("enki_task_list", json!({}));
    assert_eq!(seen["tasks"][0]["activity"], "looking around", "at once, not after a while");
    let shown = place.enki(&["status", task["execution_id"].as_str().unwrap()]);
    assert!(both(&shown).contains("looking around"), "{}", both(&shown));

    place.open_gate();
    client.status(task["execution_id"].as_str().unwrap(), "done");
    assert!(agent.tools().is_empty(), "what is listed is what is allowed");
    let late = agent.refused("enki_worker_report", json!({"status": "still here"}));
    assert!(["NOT_ALLOWED", "UNAVAILABLE", "LOCKED"].contains(&late["code"].as_str().unwrap()), "{late}");
    assert_eq!(agent.leave(), 0);
    let left = std::fs::read_dir(place.root.join(".enki/attempts")).unwrap().count();
    assert_eq!(left, 0, "its file is gone with it");
    assert!(on_main(&place).contains("x.txt"));
}

#[test]
fn what_to_paste_names_this_program_and_this_project() {
    let place = Place::below("my project");
    let enki = assert_cmd::cargo::cargo_bin!("enki").canonicalize().unwrap();
    let mut all = String::new();
    for client in ["claude-code", "claude-desktop", "cursor", "vscode", "windsurf", "zed", "codex", "gemini", "json"] {
        let output = place.enki(&["mcp", "config", "--client", client]);
        assert_eq!(code(&output), 0);
        all.push_str(&format!("== {client}\n{}", both(&output)));
        let value = place.json(&["mcp", "config", "--client", client]);
        assert_eq!((&value["client"], &value["command"]), (&json!(client), &json!(enki)));
    }
    let all = all.replace(enki.to_str().unwrap(), "[ENKI]").replace(place.root.to_str().unwrap(), "[DIR]/my project");
    insta::assert_snapshot!(all);
    let unknown = place.enki(&["mcp", "config", "--client", "emacs"]);
    assert_eq!(code(&unknown), 2);
    let nowhere = crate::common::enki(place.dir.path()).args(["mcp"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((code(&nowhere), nowhere.stdout.len()), (3, 0), "{}", both(&nowhere));
}
