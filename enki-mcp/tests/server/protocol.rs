//! The protocol around the tools.

use crate::world::{Client, World, initialize, office, token};
use enki_core::advice::approval::Preset;
use enki_core::driver::Shutdown;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncBufReadExt;

#[tokio::test(start_paused = true)]
async fn initialize_is_answered_in_the_clients_revision() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::silent(&enki);
    let answer = client.request("initialize", initialize()).await;
    let result = &answer["result"];
    assert_eq!(result["protocolVersion"], "2025-06-18");
    assert_eq!(result["serverInfo"]["name"], "enki");
    assert_eq!(result["capabilities"], json!({"tools": {}}));
    assert!(result["instructions"].as_str().unwrap().contains("enki_status"));
}

#[tokio::test(start_paused = true)]
async fn a_client_of_the_revision_without_initialize_is_served() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::silent(&enki);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let answer = client.request("server/discover", json!({"_meta": meta})).await;
    assert!(answer["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")), "{answer}");
    let answer = client.request("tools/call", json!({"_meta": meta, "name": "enki_status", "arguments": {}})).await;
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["merge_queue_length"], 0);
    // Bad input 41: each says it, and no other session begins in this one.
    client.line(r#"{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 77}}"#).await;
    for (method, params) in [("tools/list", json!({})), ("initialize", initialize())] {
        let answer = client.request(method, params).await;
        assert_eq!(answer["error"]["code"], -32600, "{method}: {answer}");
    }
    assert!(client.request("tools/list", json!({"_meta": meta})).await.get("result").is_some());
}

#[tokio::test(start_paused = true)]
async fn bad_input_41_a_session_begins_once_and_nothing_is_called_before() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::silent(&enki);
    let refused = |answer: &Value, what: &str| {
        assert_eq!(answer["error"]["code"], -32600, "{what}: {answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    };
    // What nothing is said to yet does not end the session, and is not answered.
    client.line(r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#).await;
    client.line(r#"{"jsonrpc": "2.0", "id": 1, "result": {}}"#).await;
    assert!(refused(&client.request("tools/list", json!({})).await, "early").contains("send initialize first"));
    assert!(client.request("ping", json!({})).await.get("result").is_some(), "this may be asked at any time");
    // One that says nothing is none.
    let answer = client.request("initialize", json!({})).await;
    assert!(answer.get("error").is_some(), "{answer}");
    assert!(client.request("initialize", initialize()).await.get("result").is_some());
    assert!(refused(&client.request("initialize", initialize()).await, "late").contains("has begun already"));
    assert!(client.request("tools/list", json!({})).await.get("result").is_some(), "the session goes on");
}

#[tokio::test(start_paused = true)]
async fn bad_input_41_an_initialize_that_is_not_answered_yet_is_not_sent_twice() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::silent(&enki);
    let hello = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": initialize()});
    // All at once, and a call that does not wait either: it comes behind the first one.
    let list = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {}});
    client.line(&format!("{}\n{}\n{}\n{list}", hello(1), hello(2), hello(1))).await;
    let mut answers = vec![client.answer().await, client.answer().await, client.answer().await];
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert!(answers[0]["id"] == 1 && answers[0].get("result").is_some(), "{answers:?}");
    assert!(answers[1]["id"] == 2 && answers[1]["error"]["code"] == -32600, "{answers:?}");
    assert!(answers[2]["id"] == 3 && answers[2].get("result").is_some(), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn bad_input_38_what_is_no_message_is_answered_and_the_server_lives() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::silent(&enki);
    client.line("not json").await;
    assert_eq!(client.answer().await["error"]["code"], -32700);
    assert!(client.request("initialize", initialize()).await.get("result").is_some());
    client.line(r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#).await;
    client.line("").await;
    for (bad, code) in [
        ("{", -32700),
        ("\u{0}\u{1}", -32700),
        (r#"{"jsonrpc": "2.0", "id": 9, "meth"#, -32700),
        ("\"", -32700),
        ("]", -32700),
        ("7", -32600),
        ("[]", -32600),
        (r#"[{"jsonrpc": "2.0", "id": 9, "method": "ping"}]"#, -32600),
        (r#"{"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "enki_stop_all"}}"#, -32600),
        (r#"{"jsonrpc": "2.0", "id": null, "method": "ping"}"#, -32600),
        (r#"{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}"#, -32600),
        (r#"{"jsonrpc": "2.0", "id": {}, "method": "ping"}"#, -32600),
        (r#"{"jsonrpc": "2.0", "id": 77}"#, -32600),
    ] {
        client.line(bad).await;
        let answer = client.answer().await;
        assert_eq!(answer["error"]["code"], code, "{bad}: {answer}");
        client.call("enki_status", json!({})).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_45_the_same_call_again_has_the_same_answer() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    let task = |id: u64, title: &str| {
        let arguments = json!({"title": title, "description": "Do it."});
        let params = json!({"name": "enki_task_create", "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
    };
    client.line(&task(1000, "One")).await;
    let first = client.answer().await;
    client.line(&task(1000, "One")).await;
    assert_eq!(client.answer().await, first);
    client.line(&task(1001, "One")).await;
    assert_ne!(client.answer().await["result"], first["result"], "a new id is a new call");
    client.line(&task(1000, "Another")).await;
    assert_eq!(client.answer().await["id"], 1000);
    assert_eq!(enki.query(|engine| engine.executions().count()).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn bad_input_45_too_many_calls_are_refused_until_a_time_that_is_told() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    let mut refused = None;
    for n in 0..10_000 {
        client.line(&json!({"jsonrpc": "2.0", "id": n, "method": "ping"}).to_string()).await;
        let answer = client.answer().await;
        assert_eq!(answer["id"], n);
        if answer.get("error").is_some() {
            refused.get_or_insert((n, answer));
        }
    }
    let (n, answer) = refused.expect("a limit");
    assert!((300..=400).contains(&n), "what a client does at once is let through: {n}");
    assert_eq!((&answer["error"]["code"], &answer["error"]["data"]["retryAfterMs"]), (&json!(-32029), &json!(10)));
    assert!(answer["error"]["message"].as_str().unwrap().contains("try again in 10 ms"), "{answer}");
    tokio::time::advance(Duration::from_millis(30)).await;
    for (n, expected) in [true, true, true, false].into_iter().enumerate() {
        client.line(&json!({"jsonrpc": "2.0", "id": format!("later {n}"), "method": "ping"}).to_string()).await;
        let answer = client.answer().await;
        assert_eq!(answer.get("result").is_some(), expected, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_45_more_connections_give_a_token_no_more_calls() {
    let (enki, _driver) = World::new().start().await;
    let (office, passes) = office(&enki, Preset::default());
    passes.admit_coordinator(token(1));
    passes.admit_coordinator(token(2));
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::at(&office, token(1)).initialized().await);
    }
    let mut answers = Vec::new();
    for n in 0..500 {
        answers.push(clients[n % 5].try_call("enki_status", json!({})).await);
    }
    let taken = answers.iter().take_while(|answer| answer.get("error").is_none()).count();
    assert!((300..=400).contains(&taken), "what is called at once is let through: {taken}");
    let refused = &answers[taken]["error"];
    assert_eq!((&refused["code"], &refused["data"]["retryAfterMs"]), (&json!(-32029), &json!(10)), "{refused}");
    let mut other = Client::at(&office, token(2)).initialized().await;
    assert!(other.try_call("enki_status", json!({})).await.get("error").is_none(), "others are none the worse");
    tokio::time::advance(Duration::from_millis(10)).await;
    assert!(clients[0].try_call("enki_status", json!({})).await.get("error").is_none());
}

#[tokio::test(start_paused = true)]
async fn unknown_tools_methods_and_arguments_are_errors_of_the_protocol() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    let answer = client.try_call("enki_unheard_of", json!({})).await;
    assert_eq!(answer["error"]["code"], -32602);
    assert!(answer["error"]["message"].as_str().unwrap().contains("enki_task_list"), "{answer}");
    for (tool, arguments) in [
        ("enki_dag", json!({})),
        ("enki_dag", json!({"execution_id": 7})),
        ("enki_status", json!({"execution": "abcd"})),
        ("enki_task_list", json!({"status": "open"})),
        ("enki_task_list", json!({"limit": 0})),
        ("enki_task_list", json!({"limit": -1})),
        ("enki_task_list", json!({"limit": 1e9})),
    ] {
        let answer = client.try_call(tool, arguments.clone()).await;
        assert_eq!(answer["error"]["code"], -32602, "{tool} {arguments}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(tool), "{answer}");
    }
    assert_eq!(client.request("enki/unheard_of", json!({})).await["error"]["code"], -32601);
    client.call("enki_status", json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn calls_after_the_orchestrator_has_stopped_say_so() {
    let (enki, driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    enki.shut_down(Shutdown::Kill);
    driver.await.unwrap().unwrap();
    let (text, error) = client.refused("enki_status", json!({})).await;
    assert_eq!(error["code"], "UNAVAILABLE");
    assert!(text.contains("has stopped") && text.contains("nothing is lost"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_its_session_without_an_error() {
    let (enki, _driver) = World::new().start().await;
    for client in [Client::silent(&enki), Client::new(&enki).await] {
        drop(client.stream);
        tokio::time::timeout(Duration::from_secs(600), client.server).await.expect("an end").unwrap().unwrap();
    }
    Client::new(&enki).await.call("enki_status", json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_ends_the_session() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    client.server.abort();
    let mut line = String::new();
    let read = client.stream.read_line(&mut line);
    let read = tokio::time::timeout(Duration::from_secs(600), read).await.expect("the stream closes");
    assert_eq!(read.unwrap(), 0);
}
