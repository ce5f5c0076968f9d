//! What a project remembers, on real files and with the real search.

use crate::support::{kill, part, play};
use enki_core::recall::{
    Decision, Entry, Failure, FailureStatus, Found, Hit, Kind, Note, Passed, Preference, Proposal, Query, Recall,
    Recorded, Writer,
};
use enki_core::redact::Redactor;
use enki_core::time::Timestamp;
use enki_store_sqlite::{FileRecall, memory_folder};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// 2026-11-27T22:14:08Z.
const NOW: Timestamp = Timestamp(1_795_817_648_000);
const DAY: i64 = 86_400_000;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("memory")
    }

    fn memory(&self) -> FileRecall {
        FileRecall::new(self.path())
    }

    fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(self.path()).unwrap();
        fs::write(self.path().join(file), text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap()
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_str(&self.read(file)).unwrap()
    }

    /// Whether a file is being written, or was when its writer was killed.
    fn is_writing(&self) -> bool {
        let names = fs::read_dir(self.path()).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.as_encoded_bytes().starts_with(b".enki-new-"))
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(self.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn failure(error: &str, context: &str) -> Note {
    let date = enki_core::recall::date(NOW);
    let failure =
        Failure { error: error.into(), context: context.into(), date, by: Writer::Enki, ..Failure::default() };
    Note::Entry { entry: Entry::Failure(failure), at: NOW }
}

fn decision(what: &str, why: &str) -> Note {
    let decision =
        Decision { what: what.into(), why: why.into(), date: enki_core::recall::date(NOW), ..Decision::default() };
    Note::Entry { entry: Entry::Decision(decision), at: NOW }
}

fn record(memory: &FileRecall, notes: &[Note]) -> Recorded {
    memory.record(notes).unwrap()
}

fn found(memory: &FileRecall, text: &str) -> Found {
    memory.search(&Query::new(text, NOW)).unwrap()
}

fn titles(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.entry.title()).collect()
}

#[test]
fn what_is_recorded_is_found_by_its_words_and_how_they_begin() {
    let place = Place::new();
    let memory = place.memory();
    let notes = [
        decision("Use SQLite for the store", "one file, no server"),
        failure("database is locked", "step migrate: Add a migration"),
        Note::Entry {
            entry: Entry::Preference(Preference {
                key: "tests".into(),
                value: "no sleeps, café only".to_owned().into(),
                ..Preference::default()
            }),
            at: NOW,
        },
    ];
    let ids = record(&memory, &notes).ids;
    assert_eq!(
        ids,
        [Some("dec_20261127_221408".to_owned()), Some("fail_20261127_221408".to_owned()), Some("tests".to_owned())]
    );
    assert_eq!(titles(&found(&memory, "sqlite").hits), ["Use SQLite for the store"]);
    assert_eq!(titles(&found(&memory, "locks migrating").hits), ["database is locked"]);
    assert_eq!(titles(&found(&memory, "CAFE").hits), ["tests"], "the value of a preference, accents aside");
    assert!(found(&memory, "kubernetes").hits.is_empty());
    let only = asked("sqlite database", |query| query.kinds = vec![Kind::Decision]);
    assert_eq!(titles(&memory.search(&only).unwrap().hits), ["Use SQLite for the store"]);
    assert_eq!(
        place.names(),
        [
            "activity.md",
            "decisions.json",
            "decisions.md",
            "errors.md",
            "failures.json",
            "index.db",
            "index.json",
            "lock",
            "preferences.json"
        ][1..]
            .to_vec()
    );
}

fn query(text: &str) -> Query {
    Query::new(text, NOW)
}

fn asked(text: &str, change: impl FnOnce(&mut Query)) -> Query {
    let mut query = query(text);
    change(&mut query);
    query
}

#[test]
fn the_same_failure_is_one_entry_that_is_counted() {
    let place = Place::new();
    let memory = place.memory();
    let first = record(&memory, &[failure("exit 3 after 120 ms", "step a: A")]).ids;
    let again = record(&memory, &[failure("exit 3 after 99 ms", "step a: A"), failure("other", "step a: A")]).ids;
    assert_eq!((&first[0], &again[1]), (&again[0], &Some("fail_20261127_221408_2".to_owned())));
    let file = place.json("failures.json");
    assert_eq!((file.as_array().unwrap().len(), &file[0]["count"]), (2, &2.into()), "{file}");
    assert_eq!(found(&memory, "exit").hits.len(), 1, "the index has it once too");
    assert!(place.read("errors.md").contains("(seen 2 times)"));
}

#[test]
fn work_that_passes_resolves_what_failed_before_it() {
    let place = Place::new();
    let memory = place.memory();
    record(&memory, &[failure("the check failed: 1 test", "step a: A"), failure("no", "step b: B")]);
    let passed = Passed {
        at: NOW,
        context: "step a: A".into(),
        of: "A (task-1)".into(),
        how: "merged as 0123".into(),
        summary: "gave the parser a limit".into(),
        attempts: 2,
    };
    record(&memory, &[Note::Passed(passed.clone())]);
    let (entries, _) = memory.entries(&[Kind::Failure]).unwrap();
    let of = |n: usize| if let Entry::Failure(it) = &entries[n] { it.clone() } else { panic!() };
    assert_eq!(of(0).status, FailureStatus::Resolved);
    assert_eq!(of(0).resolution, "passed with attempt 2: gave the parser a limit");
    assert_eq!(of(1).status, FailureStatus::Unresolved);
    record(&memory, &[Note::Passed(Passed { of: "B (task-2)".into(), context: String::new(), ..passed })]);
    let log = place.read("activity.md");
    assert!(log.starts_with("# Activity\n\n## 2026-11-27T22:14:08Z B (task-2)\n"), "{log}");
    assert!(log.contains("A (task-1)\n\n- merged as 0123\n- attempts: 2\n"), "{log}");
    assert!(!log.contains("the check failed"));
}

#[test]
fn a_broken_file_is_told_with_its_place_and_left_alone_while_the_others_go_on() {
    let place = Place::new();
    let broken = "[\n  {\"id\": \"fail_1\", \"error\": 3}\n]\n";
    place.write("failures.json", broken);
    let memory = place.memory();
    let recorded = record(&memory, &[failure("locked", "c"), decision("locks are files", "simple")]);
    assert_eq!(recorded.ids, [None, Some("dec_20261127_221408".to_owned())]);
    let fault = recorded.faults[0].to_string();
    assert!(fault.contains("failures.json:2:") && fault.contains("expected a string"), "{fault}");
    for _ in 0..2 {
        // From the index too, where it is kept that something was broken.
        let found = found(&memory, "locks");
        assert_eq!(titles(&found.hits), ["locks are files"]);
        assert_eq!(found.faults.len(), 1);
    }
    assert_eq!(place.read("failures.json"), broken);
    let only = asked("locks", |query| query.kinds = vec![Kind::Decision]);
    assert!(memory.search(&only).unwrap().faults.is_empty(), "it is not asked for");
    place.write("failures.json", "[]");
    assert!(found(&memory, "locks").faults.is_empty(), "and well again");
}

#[test]
fn unknown_fields_and_entries_of_others_survive_a_rewrite() {
    let place = Place::new();
    place.write(
        "decisions.json",
        r#"{"version": 3, "decisions": [{"id": "dec_1", "what": "tabs", "why": "", "owner": {"team": [1, "x"]}}], "tail": null}"#,
    );
    record(&place.memory(), &[decision("spaces", "no")]);
    let file = place.json("decisions.json");
    assert_eq!((&file["version"], &file["tail"]), (&3.into(), &Value::Null));
    assert_eq!(file["decisions"][0]["owner"], serde_json::json!({"team": [1, "x"]}));
    assert_eq!(file["decisions"][1]["what"], "spaces");
}

#[test]
fn words_of_people_are_never_syntax() {
    let place = Place::new();
    let memory = place.memory();
    record(&memory, &[decision("quote \"tiger\" AND that", "col:umn * ^ NEAR()")]);
    for hostile in [
        "\"",
        "\"\"\"",
        "tiger\"",
        "title : x",
        "title:tiger",
        "tiger AND",
        "OR OR OR",
        "NEAR(tiger, 3)",
        "tig*",
        "^tiger",
        "{title} : tiger",
        "'; DROP TABLE entry; --",
        "tiger\0that",
        "-tiger",
        "+tiger",
        "(((",
        "ﷺ tiger",
        "*",
        &"tiger ".repeat(5000),
        &"(".repeat(5000),
    ] {
        let found = memory.search(&query(hostile)).unwrap_or_else(|e| panic!("{hostile:?}: {e}"));
        assert!(found.hits.len() <= 1);
        assert_eq!(found.hits.is_empty(), !hostile.to_lowercase().contains("tig"), "{hostile:?}");
    }
}

#[test]
fn secrets_are_not_kept_anywhere() {
    let place = Place::new();
    let memory = place.memory().with_redactor(Redactor::new(["correct horse".to_owned()]));
    let secrets = ["correct horse", "sk-ant-api03-0123456789abcdef", "hunter2hunter2"];
    let text = format!("said {}, {} and password={}", secrets[0], secrets[1], secrets[2]);
    let passed = Passed { at: NOW, of: text.clone(), summary: text.clone(), ..Passed::default() };
    record(&memory, &[failure(&text, &text), decision(&text, &text), Note::Passed(passed)]);
    assert_eq!(found(&memory, "said password").hits.len(), 2);
    drop(memory);
    for name in place.names() {
        let bytes = fs::read(place.path().join(&name)).unwrap();
        for secret in secrets {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} is in {name}");
        }
    }
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let memory = place.memory();
    record(&memory, &[failure("e", "c"), Note::Passed(Passed::default())]);
    found(&memory, "e");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path()), 0o700);
    for name in place.names() {
        assert_eq!(mode(&place.path().join(&name)), 0o600, "{name}");
    }
}

#[test]
fn a_damaged_or_deleted_index_is_made_anew() {
    let place = Place::new();
    let memory = place.memory();
    record(&memory, &[decision("keep it simple", "")]);
    let index = place.path().join("index.db");
    let good = fs::read(&index).unwrap();
    let mut torn = good.clone();
    torn[4096..].fill(0xa5);
    for damage in [None, Some(b"not a database".to_vec()), Some(Vec::new()), Some(good[..5000].to_vec()), Some(torn)] {
        match damage {
            Some(bytes) => fs::write(&index, bytes).unwrap(),
            None => fs::remove_file(&index).unwrap(),
        }
        assert_eq!(found(&memory, "simple").hits.len(), 1);
        record(&memory, &[decision("keep it simple", "")]);
        assert_eq!(found(&memory, "simple").hits.len(), 1);
    }
}

#[test]
fn what_others_write_into_the_files_is_found() {
    let place = Place::new();
    let memory = place.memory();
    record(&memory, &[decision("old words", "")]);
    place.write("decisions.json", r#"[{"id":"dec_9","what":"new words"}]"#);
    assert_eq!(titles(&found(&memory, "words").hits), ["new words"]);
    assert_eq!(titles(&found(&memory, "old").hits), [""; 0]);
}

#[test]
fn who_only_looks_makes_no_file() {
    let place = Place::new();
    let look = FileRecall::read_only(place.path());
    assert!(found(&look, "anything").hits.is_empty());
    assert!(!place.path().exists());
    place.write("decisions.json", r#"[{"id":"dec_9","what":"new words"}]"#);
    assert_eq!(titles(&found(&look, "words").hits), ["new words"]);
    assert_eq!(place.names(), ["decisions.json"]);
    look.record(&[decision("a", "b")]).unwrap_err();
    record(&place.memory(), &[decision("more words", "")]);
    let before = place.names();
    assert_eq!(found(&look, "words").hits.len(), 2);
    assert_eq!(place.names(), before);
}

#[test]
fn of_what_fits_as_well_the_recent_is_first() {
    let place = Place::new();
    let memory = place.memory();
    let dated = |what: &str, days: i64| {
        let date = enki_core::recall::date(Timestamp(NOW.0 - days * DAY));
        let decision = Decision { what: what.into(), date, ..Decision::default() };
        Note::Entry { entry: Entry::Decision(decision), at: NOW }
    };
    record(&memory, &[dated("cache one", 700), dated("cache two", 2), dated("cache three", 200)]);
    assert_eq!(titles(&found(&memory, "cache").hits), ["cache two", "cache three", "cache one"]);
}

#[test]
fn an_agent_is_told_what_is_about_its_work_and_holds() {
    let place = Place::new();
    let memory = place.memory();
    let automatic = Decision { what: "parser stack: run again".into(), by: Writer::Enki, ..Decision::default() };
    let reverted = Decision {
        what: "parser uses a stack".into(),
        status: enki_core::recall::DecisionStatus::Reverted,
        ..Decision::default()
    };
    let entry = |decision| Note::Entry { entry: Entry::Decision(decision), at: NOW };
    record(
        &memory,
        &[
            decision("parser keeps its own stack", ""),
            decision("parser is generated", ""),
            entry(automatic),
            entry(reverted),
        ],
    );
    let wanted = asked("bound the stack of the parser", |query| query.for_agent = true);
    assert_eq!(titles(&memory.search(&wanted).unwrap().hits), ["parser keeps its own stack"]);
    assert_eq!(found(&memory, "bound the stack of the parser").hits.len(), 4, "a person sees all");
}

#[test]
fn logs_and_automatic_entries_do_not_grow_for_ever() {
    let place = Place::new();
    let memory = place.memory();
    place.write("errors.md", &format!("# Errors\n\n## old\n\n{}", "x".repeat(256 * 1024)));
    record(&memory, &[failure("new", "c")]);
    assert!(place.read("errors.md").len() < 1000 && place.read("errors.1.md").contains("## old"));
    let many: Vec<Note> = (0..5_010)
        .map(|n: u32| {
            let word: String = n.to_string().bytes().map(|b| char::from(b + 49)).collect();
            failure(&word, "many")
        })
        .collect();
    record(&memory, &[decision("a person's", "stays")]);
    record(&memory, &many);
    assert_eq!(place.json("failures.json").as_array().unwrap().len(), 5_000);
    assert_eq!(place.json("decisions.json").as_array().unwrap().len(), 1);
}

#[test]
fn processes_that_write_at_once_lose_nothing_of_each_other() {
    let place = Place::new();
    let start = |_| play("recall::part_of_one_who_records", &place.path()).spawn().unwrap();
    let children: Vec<_> = (0..4).map(start).collect();
    let memory = place.memory();
    for n in 0..10 {
        record(&memory, &[decision(&format!("mine {}", letters(n)), "")]);
        found(&memory, "mine");
    }
    let mut all = 10;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        all += String::from_utf8(output.stdout).unwrap().lines().filter(|line| line.starts_with("durable ")).count();
    }
    assert_eq!(all, 50);
    assert_eq!(place.json("decisions.json").as_array().unwrap().len(), all);
    let everything = asked("mine theirs", |query| query.limit = 100);
    assert_eq!(memory.search(&everything).unwrap().hits.len(), all);
}

#[test]
fn a_kill_loses_nothing_that_was_recorded_and_leaves_nothing_behind() {
    let place = Place::new();
    let (mut known, mut halfway, mut rounds) = (Vec::new(), 0, 0);
    while halfway < 3 && rounds < 10 {
        rounds += 1;
        let mut child = play("recall::part_of_one_who_is_killed", &place.path()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.filter_map(|line| line.strip_prefix("durable ").map(ToOwned::to_owned));
        let said = std::thread::spawn(move || said.collect::<Vec<_>>());
        // Between the first byte of a new file and its name; a writer that has no such moment ends by itself.
        while !place.is_writing() && child.try_wait().unwrap().is_none() {}
        kill(child);
        known.extend(said.join().unwrap());
        halfway += usize::from(place.is_writing());
        // It may have been the very first that was on its way.
        let file = if known.is_empty() { String::new() } else { place.json("decisions.json").to_string() };
        assert!(known.iter().all(|what| file.contains(&format!("\"{what}\""))), "{known:?} {file}");
    }
    assert_eq!(halfway, 3, "of {rounds} kills so many came while a file was on its way");
    // What a kill between writing and naming leaves, for certain.
    place.write(".enki-new-abc", "[{\"id\": \"dec_half");
    let memory = place.memory();
    record(&memory, &[decision("after", "")]);
    assert!(!place.names().iter().any(|name| name.starts_with(".enki-new-")), "{:?}", place.names());
    let everything = asked("theirs", |query| query.limit = 1000);
    let hits = memory.search(&everything).unwrap().hits.len();
    assert!(hits >= known.len(), "{hits} of {}", known.len());
}

fn letters(n: usize) -> String {
    n.to_string().bytes().map(|b| char::from(b + 49)).collect()
}

#[test]
fn part_of_one_who_records() {
    let Some(path) = part() else { return };
    let memory = FileRecall::new(path);
    for n in 0..10 {
        let what = format!("theirs {} {}", letters(std::process::id() as usize), letters(n));
        record(&memory, &[decision(&what, "")]);
        println!("\ndurable {what}");
    }
}

#[test]
fn part_of_one_who_is_killed() {
    let Some(path) = part() else { return };
    let memory = FileRecall::new(path);
    for n in 0..50 {
        let what = format!("theirs {} {}", letters(std::process::id() as usize), letters(n));
        record(&memory, &[decision(&what, "")]);
        println!("\ndurable {what}");
    }
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_of_the_project() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let (project, outside) = (place.0.path().join("p"), place.0.path().join("outside"));
    fs::create_dir_all(project.join(".goodvibes")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    assert_eq!(memory_folder(&project).unwrap(), project.join(".enki/memory"));
    fs::create_dir(project.join(".goodvibes/memory")).unwrap();
    assert_eq!(memory_folder(&project).unwrap(), project.join(".goodvibes/memory"));
    fs::remove_dir(project.join(".goodvibes/memory")).unwrap();
    symlink(&outside, project.join(".goodvibes/memory")).unwrap();
    let refused = memory_folder(&project).unwrap_err().to_string();
    assert!(refused.contains("is a symbolic link"), "{refused}");
    fs::write(outside.join("theirs"), "[]").unwrap();
    fs::create_dir(place.path()).unwrap();
    symlink(outside.join("theirs"), place.path().join("decisions.json")).unwrap();
    let recorded = record(&place.memory(), &[decision("a", "b")]);
    assert!(recorded.faults[0].reason.contains("symbolic link"), "{recorded:?}");
    assert_eq!(fs::read_to_string(outside.join("theirs")).unwrap(), "[]");
}

fn proposal(what: &str) -> Note {
    let entry = Entry::Decision(Decision { what: what.into(), ..Decision::default() });
    let proposal = Proposal { id: String::new(), from: "attempt 1".into(), date: "2026-11-27".into(), entry };
    Note::Proposed { proposal, at: NOW }
}

#[test]
fn a_proposal_waits_apart_until_a_person_takes_or_drops_it() {
    let place = Place::new();
    let memory = place.memory().with_redactor(Redactor::new(["hunter2hunter2".to_owned()]));
    let ids = record(
        &memory,
        &[proposal("one lock a folder hunter2hunter2"), proposal("tabs not spaces"), proposal("Tabs  not spaces")],
    )
    .ids;
    let ids: Vec<String> = ids.into_iter().flatten().collect();
    assert_eq!(ids, ["prop_20261127_221408", "prop_20261127_221408_2", "prop_20261127_221408_2"], "the same is one");
    assert!(!place.read("proposals.json").contains("hunter2"), "{}", place.read("proposals.json"));
    let search = |words: &str| memory.search(&Query::new(words, NOW)).unwrap().hits;
    assert_eq!(search("lock folder tabs spaces"), [], "nobody is told of it");
    assert_eq!(memory.entries(&Kind::ALL).unwrap().0, []);

    let taken = memory.take(&ids[0], Timestamp(NOW.0 + DAY)).unwrap().unwrap();
    assert!(taken.starts_with("dec_20261128"), "{taken}");
    let hits = search("lock folder");
    assert_eq!((hits.len(), hits[0].entry.id()), (1, taken.as_str()));
    assert!(!hits[0].entry.is_automatic() && hits[0].entry.when() == "2026-11-27", "{hits:?}");
    assert!(memory.drop_proposal(&ids[1]).unwrap());
    assert!(!memory.drop_proposal(&ids[1]).unwrap());
    assert_eq!(memory.take(&ids[1], NOW).unwrap(), None);
    assert_eq!(memory.proposals().unwrap(), []);
    assert_eq!(record(&memory, &[proposal("One lock a folder [redacted]")]).ids, [None], "it is remembered already");
    assert!(FileRecall::read_only(place.path()).drop_proposal("x").is_err());
}

#[test]
fn proposals_are_bounded_and_a_broken_file_of_them_is_left_alone() {
    let place = Place::new();
    let memory = place.memory();
    let word = |n: usize| {
        format!(
            "{}{}",
            char::from(b'a' + u8::try_from(n / 26).unwrap()),
            char::from(b'a' + u8::try_from(n % 26).unwrap())
        )
    };
    let many: Vec<Note> = (0..230).map(|n| proposal(&format!("choice {}", word(n)))).collect();
    record(&memory, &many);
    let kept = memory.proposals().unwrap();
    assert_eq!((kept.len(), kept[199].entry.title()), (200, format!("choice {}", word(229)).as_str()));

    place.write("proposals.json", "[\n  {]");
    let recorded = memory.record(&[proposal("x"), decision("what", "why")]).unwrap();
    assert!(recorded.ids[0].is_none() && recorded.ids[1].is_some(), "the entries go on");
    assert_eq!((recorded.faults[0].line, recorded.faults[0].path.ends_with("proposals.json")), (2, true));
    assert_eq!(place.read("proposals.json"), "[\n  {]");
    let error = memory.take("prop_1", NOW).unwrap_err().to_string();
    assert!(error.contains("proposals.json:2:4") && error.contains("repair the file"), "{error}");
}
