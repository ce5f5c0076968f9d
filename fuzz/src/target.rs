//! The readers, each with the rules that its answers have to keep.

#[path = "../../enki-agent-claude/tests/support/bout.rs"]
mod bout;

use enki_cli::config::Config;
use enki_cli::plan_file::PlanFile;
use enki_cli::{Host, Terminals};
use enki_core::branch::Branch;
use enki_core::driver::{self, Backends, Orchestrator, Settings};
use enki_core::id::{CommitId, ExecutionId, RequestId, StepId, TaskId};
use enki_core::memory::MemoryStore;
use enki_core::plan::PlanLimits;
use enki_core::store::{Holder, IdPrefix, LogKind};
use enki_core::time::Timestamp;
use enki_core::verdict::Reading;
use enki_core::{gv, prompt, record};
use enki_mcp::{Activity, EnkiServer, Office, OneTarget, Passes, Seat, Token};
use enki_notes::{Document, Owner, Value};
use enki_testkit::fakes::{FakeAgents, FakeRefinery, FakeRepository, FakeWorkspaces, Script};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Something that reads bytes from outside.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Folders of inputs, from the folder of the workspace; what is found goes into the first.
    pub corpora: &'static [&'static str],
    /// Reads, and says which rule was broken.
    pub read: fn(&[u8]) -> Result<(), String>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "plan-toml", corpora: &["fuzz/corpus/plan-toml"], read: |bytes| plan("plan.toml", bytes) },
    Target { name: "plan-yaml", corpora: &["fuzz/corpus/plan-yaml"], read: |bytes| plan("plan.yaml", bytes) },
    Target { name: "plan-json", corpora: &["fuzz/corpus/plan-json"], read: |bytes| plan("plan.json", bytes) },
    Target { name: "config", corpora: &["fuzz/corpus/config"], read: config },
    Target { name: "mcp", corpora: &["fuzz/corpus/mcp"], read: mcp },
    Target {
        name: "agent-stream",
        corpora: &["enki-agent-claude/tests/corpus", "enki-agent-claude/tests/fixtures"],
        read: bout::bout,
    },
    Target { name: "tags", corpora: &["fuzz/corpus/tags"], read: tags },
    Target { name: "log", corpora: &["fuzz/corpus/log", "enki-core/tests/golden/v1"], read: log },
    Target { name: "names", corpora: &["fuzz/corpus/names"], read: names },
    Target { name: "notes", corpora: &["fuzz/corpus/notes"], read: notes },
];

/// Fails with these words unless it is so.
fn must(so: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(why()) }
}

/// What a person sees holds nothing that moves a cursor.
fn clean(shown: &str) -> Result<(), String> {
    let bad =
        |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match shown.chars().find(bad) {
        Some(c) => Err(format!("{c:?} reaches the screen: {shown:?}")),
        None => Ok(()),
    }
}

fn plan(name: &str, bytes: &[u8]) -> Result<(), String> {
    let file = match PlanFile::parse(name, bytes.to_vec()) {
        Ok(file) => file,
        Err(problems) => {
            must(problems.count().0 > 0, || "it was refused without a problem".into())?;
            drop(problems.to_json());
            return clean(&problems.render(false));
        }
    };
    drop(file.advice(&Default::default()));
    match file.check(&PlanLimits::default(), &HashMap::new()) {
        Ok(plan) => {
            must(!plan.steps().is_empty(), || "a plan without steps passed".into())?;
            // What passed can be told again, and means the same.
            let told = serde_json::to_vec(&file.spec).map_err(|e| format!("it cannot be written: {e}"))?;
            let again = PlanFile::parse("again.json", told)
                .map_err(|p| format!("it is not read again: {}", p.render(false)))?;
            must(again.spec == file.spec, || "it is another plan when it is read again".into())
        }
        Err(problems) => {
            must(problems.count().0 > 0, || "it was refused without a problem".into())?;
            clean(&problems.render(false))
        }
    }
}

/// The configuration of a person whose file holds these bytes.
fn config(bytes: &[u8]) -> Result<(), String> {
    thread_local!(static HOME: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder"));
    HOME.with(|home| {
        let folder = home.path().join(".config/enki");
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("config.toml"), bytes))
            .expect("a file");
        let host = Host {
            args: Vec::new(),
            env: [("HOME".into(), home.path().into())].into(),
            cwd: Some(home.path().to_owned()),
            clock: || Timestamp(0),
            pid: 1,
            boot: None,
            supervisor: None,
            stdin: Box::new(Cursor::new(Vec::new())),
            stdout: Box::new(Vec::new()),
            stderr: Box::new(Vec::new()),
            terminal: Terminals::default(),
            columns: None,
        };
        match Config::load(&host, None) {
            Ok(config) => {
                drop(config.shown());
                config.warnings.iter().try_for_each(|warning| clean(&warning.render(false)))
            }
            Err(error) => clean(&error.to_string()),
        }
    })
}

/// A session with a coordinator that says these bytes and leaves.
fn mcp(bytes: &[u8]) -> Result<(), String> {
    struct World {
        runtime: tokio::runtime::Runtime,
        enki: Orchestrator,
    }
    fn world() -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let enki = runtime.block_on(async {
            let repository = FakeRepository::with_files(&"main".parse().expect("a branch"), &[("README.md", "hi\n")]);
            let workspaces = FakeWorkspaces::new(repository.clone());
            let agents = FakeAgents::new(workspaces.clone());
            agents.otherwise(|_| Script::forever());
            let store = Arc::new(MemoryStore::new());
            let backends =
                Backends::new(store, Arc::new(workspaces), Arc::new(FakeRefinery::new(repository)), Arc::new(agents));
            let holder = Holder { id: "fuzz".into(), pid: 1, host: "localhost".into(), since: Timestamp(0) };
            driver::start(backends, Settings::new(holder, "logs".into())).await.expect("a driver").0
        });
        World { runtime, enki }
    }
    // A fresh one for each input: what one input made would be told to the next.
    let World { runtime, enki } = world();
    runtime.block_on(async {
        let passes = Passes::default();
        let token = Token::of(&[1; 32]);
        passes.admit_coordinator(token.clone());
        let target = Arc::new(OneTarget("main".parse().expect("a branch")));
        let office = Office::new(Arc::new(enki), target, Activity::default(), passes);
        let (mut ours, theirs) = tokio::io::duplex(64 << 10);
        let (read, write) = tokio::io::split(theirs);
        let server = tokio::spawn(EnkiServer::new(Arc::new(Seat::new(office, token))).serve(read, write));
        let (from, mut to) = tokio::io::split(&mut ours);
        let say = async {
            // It may leave first, if this is no way to begin.
            let _ = to.write_all(bytes).await;
            let _ = to.shutdown().await;
            Ok::<(), String>(())
        };
        let hear = async {
            let (mut from, mut line) = (BufReader::new(from), Vec::new());
            while from.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                let said: Json = serde_json::from_slice(&line).map_err(|e| format!("it answered no JSON: {e}"))?;
                must(said["jsonrpc"] == "2.0", || format!("it answered no message: {said}"))?;
                line.clear();
            }
            Ok(())
        };
        let talk = async { tokio::try_join!(say, hear).map(drop) };
        tokio::time::timeout(Duration::from_secs(60), talk)
            .await
            .map_err(|_| "the session never ended".to_owned())??;
        server.await.map_err(|e| format!("the session ended badly: {e}"))?.or_else(|e| clean(&e.to_string()))?;
        Ok(())
    })
}

/// What an agent said last.
fn tags(bytes: &[u8]) -> Result<(), String> {
    const NONCE: &str = "0123456789abcdef";
    let text = String::from_utf8_lossy(bytes);
    let found = gv::find(&text);
    for object in &found {
        let again = gv::find(&gv::tag(object));
        let same = again.len() == 1 && without_fractions(&again[0]) == without_fractions(object);
        must(same, || format!("{object:?} is told again as {again:?}"))?;
        if let Some(directive) = gv::Directive::decode(object) {
            let told = gv::find(&directive.encode());
            must(told.first().and_then(gv::Directive::decode) == Some(directive), || {
                format!("a directive changed: {told:?}")
            })?;
        }
    }
    for nonce in [None, Some(NONCE)] {
        let reading = Reading::of(&text, nonce);
        must(reading.verdict.score.is_none_or(|score| (0.0..=10.0).contains(&score)), || format!("{reading:?}"))?;
    }
    if !text.contains(NONCE) {
        let said = [prompt::question(&text, NONCE).is_some(), !prompt::claims(&text, NONCE).is_empty()];
        must(!said.contains(&true) && prompt::proposals(&text, NONCE).is_empty(), || "a nonce was guessed".into())?;
    }
    must(prompt::output(&text).is_none_or(|output| output.len() <= prompt::OUTPUT_CAP), || {
        "an output is too long".into()
    })
}

/// The last digit of a fraction may change on its way through a text; nothing else may.
fn without_fractions(object: &Map<String, Json>) -> Map<String, Json> {
    fn without(value: &Json) -> Json {
        match value {
            Json::Number(number) if number.is_f64() => Json::Null,
            Json::Array(list) => list.iter().map(without).collect(),
            Json::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), without(value))).collect(),
            other => other.clone(),
        }
    }
    object.iter().map(|(name, value)| (name.clone(), without(value))).collect()
}

/// Bodies of stored events, one a line.
fn log(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    for body in text.lines() {
        for kind in [LogKind::Execution, LogKind::Queue] {
            if let Ok(event) = record::decode(kind, record::FORMAT, body) {
                let again = record::decode(kind, record::FORMAT, &record::encode(&event));
                must(again.as_ref().is_ok_and(|again| *again == event), || {
                    format!("{event:?} is read again as {again:?}")
                })?;
            }
        }
        if let Ok(event) = record::decode_chains(record::FORMAT, body) {
            let again = record::decode_chains(record::FORMAT, &record::encode_chains(&event));
            must(again.as_ref().is_ok_and(|again| *again == event), || {
                format!("{event:?} is read again as {again:?}")
            })?;
        }
        if let Ok(event) = record::decode_mail(record::FORMAT, body) {
            let again = record::decode_mail(record::FORMAT, &record::encode_mail(&event));
            must(again.as_ref().is_ok_and(|again| *again == event), || {
                format!("{event:?} is read again as {again:?}")
            })?;
        }
    }
    Ok(())
}

/// Names, one a line: none of them becomes a path, an option or another ref (S1).
fn names(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    for name in text.split('\n').chain([&*text]) {
        if let Ok(id) = name.parse::<StepId>() {
            let id = id.as_str();
            let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
            let slug = id == name && id.len() <= 64 && id.bytes().all(inner) && !id.starts_with(['_', '-']);
            must(slug && !id.is_empty(), || format!("{id:?} is a step id"))?;
        }
        if let Ok(branch) = name.parse::<Branch>() {
            let full = branch.full_ref();
            let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
            let parts =
                full.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"));
            let safe = full.starts_with("refs/")
                && !full.contains(odd)
                && !full.contains("..")
                && !full.contains("@{")
                && parts;
            must(safe && !name.starts_with('-') && full.len() < 300, || format!("{full:?} is a ref"))?;
            must(branch.as_str().parse::<Branch>().as_ref() == Ok(&branch), || {
                format!("{branch:?} is another when read again")
            })?;
        }
        let told = [
            name.parse::<ExecutionId>().map(|id| id.hex().parse() == Ok(id)).ok(),
            name.parse::<TaskId>().map(|id| id.to_string().parse() == Ok(id)).ok(),
            name.parse::<RequestId>().map(|id| id.hex().parse() == Ok(id)).ok(),
            name.parse::<CommitId>().map(|id| id.to_string().parse() == Ok(id)).ok(),
        ];
        must(!told.contains(&Some(false)), || format!("{name:?} is another id when read again: {told:?}"))?;
        let _ = IdPrefix::parse(name);
        let owner = Owner::of(name);
        let plain = owner.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        must(plain && !owner.as_str().starts_with('-') && owner.as_str().len() <= 64, || {
            format!("{owner:?} is an owner")
        })?;
    }
    Ok(())
}

/// A note: what is read is put back byte for byte, and a change of one key is of that key alone.
fn notes(bytes: &[u8]) -> Result<(), String> {
    let Ok(note) = Document::parse(bytes) else { return Ok(()) };
    must(note.to_bytes() == bytes, || "a note changed by being read".into())?;
    let keys: Vec<String> = note.keys().map(str::to_owned).collect();
    for key in keys.iter().map(String::as_str).chain(["status"]).take(20) {
        let mut changed = Document::parse(bytes).map_err(|e| format!("it is read once: {e}"))?;
        if changed.set(key, &Value::text("new: \"value\" # \u{fc}\n- x")).is_err() {
            must(changed.to_bytes() == bytes, || format!("a refused change of {key:?} changed the note"))?;
            continue;
        }
        let again = Document::parse(&changed.to_bytes()).map_err(|e| format!("{key:?} was changed, and then: {e}"))?;
        must(again.body() == note.body(), || format!("the body changed with {key:?}"))?;
        for other in keys.iter().filter(|other| *other != key) {
            must(again.text(other) == note.text(other) && again.list(other) == note.list(other), || {
                format!("{other:?} changed with {key:?}")
            })?;
        }
    }
    Ok(())
}
