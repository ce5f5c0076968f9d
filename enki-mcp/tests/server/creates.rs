//! What makes work: plans, tasks, steps that are added.

use crate::world::{Client, World, office, token};
use enki_core::advice::approval::Preset;
use enki_core::id::{ExecutionId, TaskId};
use enki_core::store::{ListFilter, TaskStore};
use enki_core::tier::Purpose;
use enki_testkit::fakes::Script;
use serde_json::{Value, json};

fn plan() -> Value {
    json!({
        "schema": "enki.plan.v1", "title": "Profiles", "target": "main", "request_id": "profiles-1", "land": "end",
        "priority": "low", "recipe": "plain", "defaults": {"tier": "light"}, "budget": {"tokens": 5_000_000},
        "steps": [
            {"id": "types", "title": "Add profile types", "description": "Create src/profile.rs with Profile.",
             "done_when": "cargo check passes"},
            {"id": "api", "title": "Fix the bug", "description": "Fix it", "needs": ["types"], "tier": "heavy"},
        ],
    })
}

async fn stored(world: &World) -> usize {
    world.store.list(&ListFilter::default()).await.unwrap().len()
}

fn id(value: &Value) -> ExecutionId {
    value["execution_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_a_coordinator_waits_for_the_person_and_says_so() {
    let world = World::new();
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let (text, created) = client.call("enki_execution_create", plan()).await;
    let id = id(&created);
    assert_eq!((&created["status"], &created["known"]), (&json!("held"), &json!(false)));
    let task = |step: &str| TaskId::of(id, &step.parse().unwrap()).to_string();
    assert_eq!(
        created["steps"],
        json!([{"step": "types", "task_id": task("types"), "status": "ready"},
               {"step": "api", "task_id": task("api"), "status": "pending"}])
    );
    assert_eq!(created["holds"][0]["reason"], "approval of the decomposition");
    let rules: Vec<&str> =
        created["warnings"].as_array().unwrap().iter().map(|w| w["rule"].as_str().unwrap()).collect();
    assert!(rules.contains(&"vague") && rules.contains(&"missing-context"), "{rules:?}");
    assert!(text.contains(&format!("hold 1 of {}", id.hex())) && text.contains("warning (vague): api"), "{text}");
    assert!(world.agents.started().is_empty(), "nothing starts before the person said so");

    let (text, error) = client.refused("enki_resume", json!({"execution_id": id.hex()})).await;
    assert_eq!(error["code"], "APPROVAL_REQUIRED", "an approval is the person's");
    assert!(text.contains("show the plan to the person"), "{text}");
    let (_, resumed) = client.call("enki_resume", json!({"execution_id": id.hex(), "answer": "approve"})).await;
    assert_eq!(resumed, json!({"execution_id": id.hex(), "status": "running", "holds_left": []}));
    enki.rest(id).await.unwrap();
    let (_, status) = client.call("enki_status", json!({"execution_id": id.hex()})).await;
    assert_eq!((&status["executions"][0]["status"], &status["steps"]["done"]), (&json!("done"), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn the_same_request_is_the_same_execution_and_another_plan_is_refused() {
    let world = World::new();
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let (_, first) = client.call("enki_execution_create", plan()).await;
    let (text, again) = client.call("enki_execution_create", plan()).await;
    assert_eq!((&again["execution_id"], &again["known"]), (&first["execution_id"], &json!(true)));
    assert!(text.contains("was there already"), "{text}");
    let mut other = plan();
    other["steps"][0]["title"] = json!("Other");
    let (_, error) = client.refused("enki_execution_create", other).await;
    assert_eq!(error["code"], "REQUEST_ID_CONFLICT");
    assert_eq!(stored(&world).await, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_of_a_plan_that_is_refused() {
    let world = World::new();
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let step = |id: &str, needs: Value| json!({"id": id, "title": "T", "description": "d", "needs": needs});
    let many: Vec<Value> = (0..1001).map(|n| step(&format!("s{n}"), json!([]))).collect();
    for (plan, said) in [
        (json!({"steps": []}), "steps"),
        (json!({"steps": many}), "1000"),
        (json!({"steps": [step("a", json!([])), step("a", json!([]))]}), "\"a\""),
        (json!({"steps": [step("a", json!(["b"]))]}), "\"b\""),
        (json!({"steps": [step("a", json!(["a"]))]}), "itself"),
        (json!({"steps": [step("a", json!(["b"])), step("b", json!(["a"]))]}), "a -> b"),
        (json!({"steps": [step("../x", json!([]))]}), "a-z"),
        (json!({"steps": [step("a", json!([{"task": "task-ffffffffffff"}]))]}), "task-ffffffffffff"),
        (json!({"steps": [step("a", json!([]))], "at": "tomorrow"}), "2026-01-31T18:00:00Z"),
        (json!({"steps": [step("a", json!([]))], "after": "ffffffffffff"}), "ffffffffffff"),
        (json!({"steps": [{"id": "a", "title": "T", "description": "d", "role": "wizard"}]}), "wizard"),
        (json!({"steps": [step("a", json!([]))], "recipe": "souffle"}), "souffle"),
    ] {
        let (text, error) = client.refused("enki_execution_create", plan.clone()).await;
        assert_eq!(error["code"], "PLAN_INVALID", "{said}: {text}");
        assert!(text.contains(said) && text.contains("nothing was stored"), "{said}: {text}");
    }
    let (_, error) =
        client.refused("enki_execution_create", json!({"steps": [step("a", json!([]))], "target": "-x"})).await;
    assert_eq!(error["code"], "VALIDATION_ERROR");
    for (plan, said) in [
        (json!({"steps": [{"id": "a", "title": "T", "description": "d", "neeeds": []}]}), "did you mean `needs`?"),
        (json!({"steps": [{"id": "a", "title": "T", "description": "d", "tier": "huge"}]}), "huge"),
        (json!({"steps": [step("a", json!([{"step": "b", "task": "c"}]))]}), "either `step` or `task`"),
        (json!({"steps": [step("a", json!([])) ], "prioritty": "high"}), "did you mean `priority`?"),
        (json!({"title": "no steps"}), "steps"),
    ] {
        let answer = client.try_call("enki_execution_create", plan).await;
        let message = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{said}: {answer}"));
        assert_eq!(answer["error"]["code"], -32602);
        assert!(message.contains(said), "{said}: {message}");
    }
    assert_eq!(stored(&world).await, 0);
    assert!(world.agents.started().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_recipe_shapes_the_plan_and_is_skipped_by_its_rule() {
    let world = World::new();
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let step = |id: &str, folder: &str| {
        json!({"id": id, "title": format!("Implement {id} module"), "scope": {"directories": [folder]},
               "description": format!("Implement {folder}/{id}.rs from scratch.")})
    };
    let mut plan = json!({"title": "New module", "recipe": "scaffold-first",
        "steps": [step("a", "new"), step("b", "new"), step("c", "new"), step("d", "new")]});
    let (text, created) = client.call("enki_execution_create", plan.clone()).await;
    let steps: Vec<&str> = created["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(steps.len(), 6, "{text}");
    assert!(created["notes"][0].as_str().unwrap().starts_with("recipe scaffold-first: "), "{created}");
    let (_, again) = client.call("enki_execution_create", plan.clone()).await;
    assert_eq!(again["execution_id"], created["execution_id"], "known by the plan as it was written");

    plan["title"] = json!("Old module");
    plan["steps"].as_array_mut().unwrap().iter_mut().for_each(|step| step["scope"]["directories"] = json!(["src"]));
    let (_, created) = client.call("enki_execution_create", plan).await;
    assert_eq!(created["steps"].as_array().unwrap().len(), 4);
    assert!(created["notes"][0].as_str().unwrap().contains("is skipped: all folders"), "{created}");
}

#[tokio::test(start_paused = true)]
async fn the_autonomous_preset_starts_at_once() {
    let (enki, _driver) = World::new().start().await;
    let (office, passes) = office(&enki, Preset::Autonomous);
    passes.admit_coordinator(token(1));
    let mut client = Client::at(&office, token(1)).initialized().await;
    let (_, created) = client.call("enki_execution_create", plan()).await;
    assert_eq!((&created["status"], &created["holds"]), (&json!("running"), &json!([])));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_an_execution_of_one_step_and_starts_by_itself() {
    let world = World::new();
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let first = json!({"title": "Rename", "description": "Rename a to b in src/lib.rs", "tier": "heavy"});
    let (text, created) = client.call("enki_task_create", first).await;
    let id = id(&created);
    assert_eq!(created["task_id"], TaskId::of(id, &"task".parse().unwrap()).to_string());
    assert!(text.contains(created["task_id"].as_str().unwrap()) && text.contains(&id.hex()), "{text}");
    let second = json!({"title": "Then", "description": "After it", "needs": [created["task_id"]],
        "after": {"execution": id.hex(), "when": "any"}, "request_id": "r", "review": "none", "target": "main"});
    let (_, then) = client.call("enki_task_create", second.clone()).await;
    let (_, again) = client.call("enki_task_create", second).await;
    assert_eq!((&then["task_id"], &again["known"]), (&again["task_id"], &json!(true)));
    enki.rest(id).await.unwrap();
    enki.rest(self::id(&then)).await.unwrap();
    let (_, list) = client.call("enki_task_list", json!({"status": "done"})).await;
    assert_eq!(list["total"], 2);
    assert_eq!(world.agents.started()[0].tier.as_str(), "heavy");
}

#[tokio::test(start_paused = true)]
async fn a_quick_task_is_light_and_urgent_and_its_agent_may_little() {
    let world = World::new();
    world.agents.script("task", Purpose::Work, Script::forever());
    let (enki, _driver) = world.start().await;
    let (office, passes) = office(&enki, Preset::Interactive);
    passes.admit_coordinator(token(1));
    let mut client = Client::at(&office, token(1)).initialized().await;
    let (_, created) =
        client.call("enki_quick_task", json!({"prompt": "Fix the typo in README.md\nIt says teh."})).await;
    let id = id(&created);
    let spec = loop {
        if let [spec] = world.agents.started().as_slice() {
            break spec.clone();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(spec.tier.as_str(), "light");
    assert!(spec.prompt.contains("It says teh."));
    passes.admit_attempt(token(2), &spec);
    let tools: Vec<&str> = office.tools(&token(2)).await.unwrap().into_iter().map(|tool| tool.name()).collect();
    assert_eq!(tools, ["enki_status", "enki_task_list"]);
    let priority = enki.query(move |engine| engine.execution(id).map(|e| e.plan().priority)).await.unwrap();
    assert_eq!(priority, Some(enki_core::tier::Priority::High));
    let (_, error) = client.refused("enki_quick_task", json!({"prompt": " \n"})).await;
    assert_eq!(error["code"], "VALIDATION_ERROR");
}

#[tokio::test(start_paused = true)]
async fn steps_are_added_all_or_none() {
    let world = World::new();
    let (enki, id) = world.half_done().await;
    let mut client = Client::new(&enki).await;
    let add = |steps: Value| json!({"execution_id": id.short(), "steps": steps});
    let good = json!([{"id": "e", "title": "E", "description": "e", "needs": ["c"]},
                      {"id": "f", "title": "F", "description": "f", "needs": ["d", "e"]}]);
    let (text, added) = client.call("enki_execution_add_steps", add(good)).await;
    assert_eq!(added["execution_id"], id.hex());
    let names: Vec<&str> = added["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["e", "f"], "{text}");
    assert!(!added["warnings"].as_array().unwrap().is_empty(), "advice is given on added steps too");
    for (steps, code) in [
        (
            json!([{"id": "g", "title": "G", "description": "g"}, {"id": "a", "title": "A", "description": "a"}]),
            "PLAN_INVALID",
        ),
        (json!([{"id": "g", "title": "G", "description": "g", "needs": ["nobody"]}]), "PLAN_INVALID"),
        (json!([]), "PLAN_INVALID"),
    ] {
        let (_, error) = client.refused("enki_execution_add_steps", add(steps)).await;
        assert_eq!(error["code"], code);
    }
    let (_, list) = client.call("enki_task_list", json!({"execution_id": id.hex()})).await;
    assert_eq!(list["total"], 6);
    client.call("enki_cancel", json!({"execution_id": id.hex()})).await;
    let late = add(json!([{"id": "g", "title": "G", "description": "g"}]));
    let (_, error) = client.refused("enki_execution_add_steps", late).await;
    assert_eq!(error["code"], "INVALID_STATE");
}

#[tokio::test(start_paused = true)]
async fn steps_added_at_the_same_time_need_what_they_say() {
    let world = World::new();
    let (enki, id) = world.half_done().await;
    let (office, passes) = office(&enki, Preset::Interactive);
    passes.admit_coordinator(token(1));
    let call = async |n: usize| {
        let steps = json!([{"id": format!("x{n}"), "title": "X", "description": "x"},
                           {"id": format!("y{n}"), "title": "Y", "description": "y", "needs": [format!("x{n}")]}]);
        let arguments = json!({"execution_id": id.hex(), "steps": steps}).as_object().unwrap().clone();
        office.call(&token(1), "enki_execution_add_steps", arguments).await
    };
    let (one, two) = tokio::join!(call(1), call(2));
    assert!(matches!((&one, &two), (enki_mcp::Answer::Done { .. }, enki_mcp::Answer::Done { .. })), "{one:?} {two:?}");
    let (_, dag) = Client::new(&enki).await.call("enki_dag", json!({"execution_id": id.hex()})).await;
    for n in [1, 2] {
        let y = dag["steps"].as_array().unwrap().iter().find(|step| step["step"] == format!("y{n}")).unwrap();
        assert_eq!(y["needs"][0]["on"], format!("x{n}"));
    }
}
