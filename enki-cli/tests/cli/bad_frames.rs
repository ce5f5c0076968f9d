//! Bad inputs 38 to 47 at the real server, `enki mcp`, and at its socket.

use crate::common::{Place, both, code, until};
use crate::mcp::{Client, is_free};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{ChildStdin, ChildStdout};

/// Bytes that the process had in memory at most.
fn most_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn answer(output: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
}

fn say(input: &mut ChildStdin, bytes: &[u8]) {
    input.write_all(bytes).unwrap();
    input.write_all(b"\n").unwrap();
}

#[test]
fn bad_input_38_what_is_no_request_is_answered_and_the_server_lives() {
    let place = Place::new();
    let mut client = Client::new(&place);
    for (bad, code) in [
        (&b"not json"[..], -32700),
        (b"\xff\xfe\x00", -32700),
        (b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", -32600),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"tools/list\"}", -32600),
        (b"{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"ping\"}", -32600),
        // Rows 40 and 41.
        (b"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"enki/unheard_of\"}", -32601),
        (b"{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"tools/call\",\"params\":{\"name\":\"enki_dag\",\"arguments\":{\"x\":1}}}", -32602),
    ] {
        say(&mut client.input, bad);
        let answer = answer(&mut client.output);
        assert_eq!(answer["error"]["code"], code, "{}: {answer}", String::from_utf8_lossy(bad));
        client.call("enki_status", json!({}));
    }
    assert_eq!(client.leave(), 0);
}

#[test]
fn bad_input_39_a_line_of_50_mb_is_refused_without_being_kept() {
    let place = Place::new();
    let mut client = Client::new(&place);
    client.call("enki_status", json!({}));
    let before = most_memory(client.server.0.id());
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..50 {
        client.input.write_all(&chunk).unwrap();
    }
    say(&mut client.input, b"");
    let refused = answer(&mut client.output);
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("longer than 4194304 bytes"), "{refused}");
    client.call("enki_status", json!({}));
    let grown = most_memory(client.server.0.id()) - before;
    assert!(grown < 16 << 20, "{grown} bytes more");
    // And one that never ends.
    for _ in 0..5 {
        client.input.write_all(&chunk).unwrap();
    }
    let Client { mut server, input, mut output, .. } = client;
    drop(input);
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.contains("-32600"), "{rest}");
}

#[test]
fn bad_input_39_half_a_message_and_the_end_is_a_clean_exit() {
    let place = Place::new();
    for half in [&b"{\"jsonrpc\":\"2.0\",\"id\":9,\"meth"[..], b"\xff\xff", b""] {
        let client = Client::new(&place);
        let Client { mut server, mut input, mut output, .. } = client;
        input.write_all(half).unwrap();
        drop(input);
        assert_eq!(server.0.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "{half:?}");
    }
}

#[test]
fn bad_input_45_a_flood_is_slowed_down_and_the_same_call_is_done_once() {
    let place = Place::new();
    let mut client = Client::new(&place);
    let task = json!({"name": "enki_task_create", "arguments": {"title": "slow", "description": "Do it."}});
    let task = json!({"jsonrpc": "2.0", "id": "t", "method": "tools/call", "params": task}).to_string();
    say(&mut client.input, task.as_bytes());
    let first = answer(&mut client.output);
    assert_eq!(first["result"]["isError"], false, "{first}");
    say(&mut client.input, task.as_bytes());
    assert_eq!(answer(&mut client.output), first);
    assert_eq!(client.call("enki_task_list", json!({}))["total"], 1);
    let Client { server, mut input, mut output, .. } = client;
    let writer = std::thread::spawn(move || {
        for n in 0..10_000 {
            say(&mut input, json!({"jsonrpc": "2.0", "id": n + 100, "method": "ping"}).to_string().as_bytes());
        }
        input
    });
    let (mut done, mut refused) = (0, 0);
    for _ in 0..10_000 {
        let answer = answer(&mut output);
        match answer["error"]["data"]["retryAfterMs"].as_u64() {
            Some(ms) => {
                assert!((1..=1000).contains(&ms), "{answer}");
                refused += 1;
            }
            None => done += 1,
        }
    }
    assert!(done >= 300 && refused > 0, "{done} done, {refused} refused");
    drop(writer.join().unwrap());
    place.open_gate();
    drop(server);
}

#[test]
fn bad_input_47_a_client_that_is_gone_in_mid_call_leaves_all_of_it_or_nothing() {
    let place = Place::new();
    let steps: Vec<Value> =
        (0..50).map(|n| json!({"id": format!("s{n}"), "title": "T", "description": "Do it."})).collect();
    let plan = json!({"name": "enki_execution_create", "arguments": {"steps": steps}});
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": plan}).to_string();
    let client = Client::new(&place);
    let Client { mut server, mut input, output, .. } = client;
    say(&mut input, call.as_bytes());
    drop((input, output));
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
    let all = place.json(&["status"])["executions"].clone();
    let totals: Vec<&Value> = all.as_array().unwrap().iter().map(|one| &one["counts"]["total"]).collect();
    assert!(totals.is_empty() || totals == [&json!(50)], "{all}");
    assert!(is_free(&place));
    let check = place.enki(&["status"]);
    assert_eq!(code(&check), 0, "{}", both(&check));
}

#[test]
fn bad_input_44_at_the_socket_no_token_opens_anything_and_a_long_line_ends_the_connection() {
    let place = Place::new();
    let mut client = Client::new(&place);
    client.call("enki_task_create", json!({"title": "slow", "description": "Do it."}));
    let socket = place.root.join(".enki/enki.sock");
    until(|| socket.exists());
    let mut stream = UnixStream::connect(&socket).unwrap();
    let mut read = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |method: &str, token: &str| {
        let params = json!({"tool": "enki_stop_all", "arguments": {}});
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params, "token": token});
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        read.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    };
    for token in ["", "00", "coordinator"] {
        let answer = ask("call", token);
        assert_eq!(answer["result"]["value"]["error"]["code"], "NOT_ALLOWED", "{answer}");
        assert_eq!(ask("tools", token)["result"], json!([]));
    }
    let answer = ask("steer", "00");
    assert!(answer["error"]["message"].as_str().unwrap().contains("owner token"), "{answer}");
    let mut stream = UnixStream::connect(&socket).unwrap();
    let long = vec![b'x'; 6 << 20];
    // It may hang up before all of it is written.
    let _ = stream.write_all(&long).and_then(|()| stream.write_all(b"\n"));
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest);
    assert!(rest.contains("longer than 5 MiB"), "{rest}");
    client.call("enki_status", json!({}));
    place.open_gate();
}
