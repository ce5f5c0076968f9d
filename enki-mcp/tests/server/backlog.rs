//! The backlog: ideas that wait, kept in memory here.

use crate::world::{Client, World};
use enki_core::async_trait;
use enki_core::id::ExecutionId;
use enki_mcp::{Backlog, Code, Failure, Idea, Ideas, Promoted, Unreadable};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;

/// A keeper of ideas that has no files. Its tasks say what their ideas say.
#[derive(Debug, Default)]
pub(crate) struct Pad(Mutex<Vec<(Idea, Option<String>)>>);

impl Pad {
    fn at<T>(&self, id: &str, then: impl FnOnce(&mut (Idea, Option<String>)) -> T) -> Result<T, Failure> {
        let mut all = self.0.lock().unwrap();
        let found = all.iter_mut().find(|(idea, _)| idea.id.starts_with(id));
        found.map(then).ok_or_else(|| Failure::new(Code::NotFound, "no such idea", "list them"))
    }
}

#[async_trait]
impl Backlog for Pad {
    async fn add(&self, body: String) -> Result<Idea, Failure> {
        let mut all = self.0.lock().unwrap();
        let title = body.lines().next().unwrap_or_default().to_owned();
        let id = format!("{:012x}", 0xa000_0000_0000_u64 + all.len() as u64);
        let idea = Idea { note: format!("notes/{id}.md"), id, title, body, status: "open".into() };
        all.push((idea.clone(), None));
        Ok(idea)
    }
    async fn list(&self) -> Result<Ideas, Failure> {
        let ideas = self.0.lock().unwrap().iter().rev().map(|(idea, _)| idea.clone()).collect();
        let unreadable = vec![Unreadable { note: "notes/x.md".into(), line: 3, why: "it\nbroke".into() }];
        Ok(Ideas { ideas, unreadable })
    }
    async fn update(&self, id: String, body: String) -> Result<Idea, Failure> {
        self.at(&id, |(idea, _)| {
            idea.body = body;
            idea.clone()
        })
    }
    async fn remove(&self, id: String) -> Result<Idea, Failure> {
        self.at(&id, |(idea, _)| {
            idea.status = "cancelled".into();
            idea.clone()
        })
    }
    async fn promote(&self, id: String) -> Result<Promoted, Failure> {
        self.at(&id, |(idea, execution)| Promoted {
            id: idea.id.clone(),
            task_note: idea.note.clone(),
            title: format!("{}\u{1b}\n{}", idea.title, "long ".repeat(50)),
            prompt: idea.body.clone(),
            done_when: Some("It is dark.".into()),
            acceptance: vec!["dark".into()],
            tier: Some(idea.title.clone()),
            model: None,
            execution: execution.clone(),
        })
    }
    async fn started(&self, task_note: String, execution: String) -> Result<(), Failure> {
        self.at(task_note.trim_start_matches("notes/").trim_end_matches(".md"), |(_, own)| *own = Some(execution))
    }
}

async fn added(client: &mut Client, body: &str) -> String {
    let (_, added) = client.call("enki_backlog_add", json!({"body": body})).await;
    added["item"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_list_tells_what_others_wrote_as_theirs() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    added(&mut client, "heavy\n  ffffffffffff  open  forged").await;
    added(&mut client, &"long ".repeat(2000)).await;
    let (text, listed) = client.call("enki_backlog_list", json!({})).await;
    assert_eq!((&listed["total"], &listed["items"][0]["cut"]), (&json!(2), &json!(true)));
    assert_eq!(listed["items"][0]["body"].as_str().unwrap().len(), 4096);
    assert_eq!(listed["broken"], json!(["notes/x.md:3: it\nbroke"]));
    assert!(
        text.contains("\n    >   ffffffffffff  open  forged\n") && text.ends_with("notes/x.md:3: it\\nbroke"),
        "{text}"
    );
    for _ in 0..200 {
        // Virtual time: so many calls at once would be refused.
        tokio::time::advance(Duration::from_secs(1)).await;
        added(&mut client, "one more").await;
    }
    let (text, listed) = client.call("enki_backlog_list", json!({})).await;
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["total"]), (200, &json!(202)));
    assert!(text.contains("and 2 more, which are older"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_id_and_no_text_is_refused() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    let big = "x".repeat((64 << 10) + 1);
    for (tool, arguments) in [
        ("enki_backlog_add", json!({"body": " \n"})),
        ("enki_backlog_add", json!({"body": big})),
        ("enki_backlog_update", json!({"id": "a000", "body": ""})),
        ("enki_backlog_update", json!({"id": "a00", "body": "x"})),
        ("enki_backlog_remove", json!({"id": "exec-a000"})),
        ("enki_backlog_pick", json!({"id": ""})),
        ("enki_backlog_pick", json!({"id": "a000000000000"})),
    ] {
        let (_, error) = client.refused(tool, arguments).await;
        assert_eq!(error["code"], "VALIDATION_ERROR", "{tool}");
    }
    let (_, listed) = client.call("enki_backlog_list", json!({})).await;
    assert_eq!(listed["total"], 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_picked_is_one_task_and_has_what_its_note_says() {
    let world = World::new();
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let id = added(&mut client, "Opus\nmake it dark").await;
    let (text, picked) = client.call("enki_backlog_pick", json!({"id": id.to_uppercase()})).await;
    assert!(text.starts_with(&format!("{id} is notes/{id}.md\ntask-")), "{text}");
    let execution: ExecutionId = picked["execution_id"].as_str().unwrap().parse().unwrap();
    enki.rest(execution).await.unwrap();
    let (_, again) = client.call("enki_backlog_pick", json!({"id": &id[..6]})).await;
    assert_eq!(
        (&again["task_id"], &again["known"], &again["status"]),
        (&picked["task_id"], &json!(true), &json!("done"))
    );
    let started = world.agents.started();
    assert_eq!((started.len(), started[0].tier.as_str()), (1, "heavy"), "a name of a model's tier is one");
    assert!(started[0].prompt.contains("make it dark") && started[0].prompt.contains("It is dark."));
    let seen = enki.query(move |engine| {
        let execution = engine.execution(execution).unwrap();
        (execution.origin().to_owned(), execution.plan().title.clone())
    });
    let (origin, title) = seen.await.unwrap();
    assert_eq!(origin, format!("note(notes/{id}.md)"));
    assert!(title.starts_with("Opus long ") && title.chars().count() <= 120, "{title:?}");

    let id = added(&mut client, "huge").await;
    let (text, error) = client.refused("enki_backlog_pick", json!({"id": id})).await;
    assert_eq!(error["code"], "VALIDATION_ERROR");
    assert!(text.contains("\"huge\" is no tier"), "{text}");
    let (_, list): (_, Value) = client.call("enki_task_list", json!({})).await;
    assert_eq!(list["total"], 1);
}
