//! `enki_status`, `enki_task_list`, `enki_dag`.

use crate::world::{Client, DIAMOND, World};
use enki_core::branch::Branch;
use enki_core::driver::{Shutdown, Submission};
use enki_core::id::{ExecutionId, TaskId};
use enki_core::refinery::Gate;
use serde_json::json;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn status_counts_steps_permits_and_holds() {
    let world = World::new();
    world.seed(&[7]).await;
    let (enki, id) = world.half_done().await;
    let mut client = Client::new(&enki).await;
    let (text, status) = client.call("enki_status", json!({"execution_id": id.hex()})).await;
    assert_eq!(status["steps"]["done"], 2);
    assert_eq!(status["steps"]["running"], 1);
    assert_eq!(status["steps"]["pending"], 1);
    assert_eq!(status["steps"]["failed"], 0);
    assert_eq!(status["permits"]["heavy"], json!({"used": 1, "limit": 5}));
    assert_eq!(status["permits"]["runs"], json!({"used": 1, "limit": 10}));
    assert_eq!(status["executions"][0]["execution_id"], id.hex());
    assert_eq!(status["holds"], json!([]));
    let expected = format!(
        "{} ({id})  running  4 steps: 2 done, 1 pending, 1 running  Four\\u{{1b}}[0m rails\n\
         permits: 1/10 runs (light 0/10, standard 0/5, heavy 1/5), 0/6 chains; 0 steps wait for one\n\
         merge queue: 0 changes\nholds: none",
        id.hex()
    );
    assert_eq!(text, expected);

    let (text, status) = client.call("enki_status", json!({})).await;
    assert_eq!(status["executions"].as_array().unwrap().len(), 2);
    assert_eq!(status["executions"][0]["status"], "held");
    let held = ExecutionId::new(7).hex();
    assert_eq!(status["holds"], json!([{"execution_id": held, "hold": 1, "reason": "approval of the decomposition"}]));
    assert!(text.contains(&format!("hold 1 of {held}: approval of the decomposition")), "{text}");
}

#[tokio::test(start_paused = true)]
async fn status_tells_the_length_of_merge_queues_and_why_one_is_paused() {
    let (enki, _driver) = World::new().start().await;
    let spec = json!({"steps": [{"id": "a", "title": "A", "description": "a"}]});
    let mut submission = Submission::new(serde_json::from_value(spec).unwrap(), "main".parse().unwrap());
    // Not even the target passes it: nobody is blamed, the queue pauses with the change in it.
    submission.gate = Some(Gate::new("false", Duration::from_secs(1)));
    let id = enki.submit(submission).await.unwrap().execution;
    enki.rest(id).await.unwrap();
    let (text, status) = Client::new(&enki).await.call("enki_status", json!({"execution_id": id.hex()})).await;
    assert_eq!(status["merge_queue_length"], 1, "{text}");
    assert_eq!(status["merge_queues"][0]["target"], Branch::integration(id).to_string());
    assert!(text.contains("merge queue: 1 change\n"), "{text}");
    assert!(text.contains(": 1, paused: the target itself fails its check: false said no"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn tasks_are_listed_by_status_execution_and_limit() {
    let world = World::new();
    world.seed(&[7]).await;
    let (enki, id) = world.half_done().await;
    let mut client = Client::new(&enki).await;
    let (_, all) = client.call("enki_task_list", json!({})).await;
    assert_eq!(all["total"], 5);
    let steps: Vec<&str> = all["tasks"].as_array().unwrap().iter().map(|t| t["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["a", "b", "c", "d", "a"], "the newest execution first");

    let (text, running) = client.call("enki_task_list", json!({"status": "running"})).await;
    let task = TaskId::of(id, &"b".parse().unwrap()).to_string();
    let expected = json!([{"task_id": task, "execution_id": id.hex(), "step": "b", "status": "running",
                           "tier": "heavy", "title": "B"}]);
    assert_eq!(running["tasks"], expected);
    assert_eq!(text, format!("1 task\nexecution {}\n  {task}  running    heavy     b  B", id.hex()));

    let (text, some) = client.call("enki_task_list", json!({"execution_id": id.short(), "limit": 1})).await;
    assert_eq!((some["total"].as_u64(), some["tasks"].as_array().unwrap().len()), (Some(4), 1));
    assert!(text.starts_with("1 of 4 tasks"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_graph_is_ascii_in_layers() {
    let (enki, id) = World::new().half_done().await;
    let mut client = Client::new(&enki).await;
    let (text, dag) = client.call("enki_dag", json!({"execution_id": format!("exec-{}", &id.short()[..6])})).await;
    let expected = format!(
        "execution {} ({id})  running  4 steps in 3 layers\n\
         layer 1\n  a  done       needs nothing\n\
         layer 2\n  b  running    needs a\n  c  done       needs a\n\
         layer 3\n  d  pending    needs b (completed), c",
        id.hex()
    );
    assert_eq!(text, expected);
    assert!(text.is_ascii());
    assert_eq!(dag["steps"][3]["needs"][0], json!({"on": "b", "condition": "completed", "outside": false}));

    let outside = format!(
        r#"{{"steps": [{{"id": "x", "title": "X", "description": "x", "needs": [{{"task": "{}"}}]}}]}}"#,
        TaskId::of(id, &"d".parse().unwrap())
    );
    let submission = Submission::new(serde_json::from_str(&outside).unwrap(), "main".parse().unwrap());
    let other = enki.submit(submission).await.unwrap().execution;
    let (text, _) = client.call("enki_dag", json!({"execution_id": other.hex()})).await;
    let d = TaskId::of(id, &"d".parse().unwrap());
    assert!(text.ends_with(&format!("layer 1\n  x  pending    needs {d}")), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_a_result_that_says_what_to_do() {
    let (enki, id) = World::new().half_done().await;
    let mut client = Client::new(&enki).await;
    let full = ExecutionId::new(9).hex();
    for (given, code) in [("ffffffffffff", "NOT_FOUND"), (&full, "NOT_FOUND"), ("exec-", "VALIDATION_ERROR")] {
        for tool in ["enki_status", "enki_task_list", "enki_dag"] {
            let (text, error) = client.refused(tool, json!({"execution_id": given})).await;
            assert_eq!(error["code"], code, "{tool} {given}");
            assert!(text.contains(given) && text.contains("enki_status"), "{text}");
        }
    }
    let task = TaskId::of(id, &"a".parse().unwrap()).to_string();
    for given in ["", "abc", &task, "../../etc", "x\ny"] {
        let (text, error) = client.refused("enki_dag", json!({"execution_id": given})).await;
        assert_eq!(error["code"], "VALIDATION_ERROR", "{given:?}");
        assert!(!text.contains('\n'), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_id_lists_the_candidates() {
    let world = World::new();
    let ids = [0xabcd_0000_0001, 0xabcd_0000_0002, 0xabce_0000_0003_u128];
    world.seed(&ids).await;
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let both = [ExecutionId::new(ids[0]).hex(), ExecutionId::new(ids[1]).hex()];
    for given in ["abcd", "exec-abcd"] {
        let (text, error) = client.refused("enki_status", json!({"execution_id": given})).await;
        assert_eq!(error["code"], "AMBIGUOUS_TASK_SELECTION");
        assert_eq!(error["candidates"], json!(both));
        assert!(both.iter().all(|id| text.contains(id)), "{text}");
    }
    for given in ["abce", "exec-abcd00000002", "abcd00000002", &both[1]] {
        client.call("enki_status", json!({"execution_id": given})).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_ended_earlier_is_found_by_its_id() {
    let world = World::new();
    let (enki, driver) = world.start().await;
    let submission = Submission::new(serde_json::from_str(DIAMOND).unwrap(), "main".parse().unwrap());
    let id = enki.submit(submission).await.unwrap().execution;
    enki.rest(id).await.unwrap();
    enki.shut_down(Shutdown::Drain);
    driver.await.unwrap().unwrap();
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let (text, status) = client.call("enki_status", json!({})).await;
    assert_eq!(status["executions"], json!([]));
    assert!(text.contains("no execution is open"), "{text}");
    for given in [id.hex(), id.short(), id.to_string()[..10].to_owned()] {
        let (_, status) = client.call("enki_status", json!({"execution_id": given})).await;
        assert_eq!(status["steps"]["done"], 4);
    }
    let (_, status) = client.call("enki_status", json!({})).await;
    assert_eq!(status["executions"], json!([]), "it is here now, but not open");
}
