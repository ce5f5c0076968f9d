//! Processes that are killed, and two that want the same store.

use crate::support::{Place, bodies, holder, kill, lease, log, more, open, part, play, refused, run, submit};
use enki_core::store::{StoreErrorKind, TaskStore, Version};
use enki_core::time::Timestamp;
use enki_store_sqlite::SqliteStore;
use std::io::{BufRead, BufReader, Write};

#[test]
fn what_an_append_returned_for_survives_a_kill() {
    let place = Place::new();
    let mut known = 0;
    for round in 1..=8 {
        let mut child = play("crash::part_of_the_one_who_is_killed", &place.path()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut said = lines.filter_map(|line| line.strip_prefix("durable ").map(|n| n.parse::<usize>().unwrap()));
        let mut last = said.nth(10 * round).expect("it goes on until it is killed");
        kill(child);
        last = said.last().unwrap_or(last);
        let store = place.open();
        let found = bodies(&store, 1).expect("the chain is whole");
        assert!(found.len() >= last && last > known, "{last} were durable, {} are there", found.len());
        assert_eq!(found, (1..=found.len()).map(|n| n.to_string()).collect::<Vec<_>>(), "a prefix, nothing else");
        run(store.check()).unwrap();
        known = last;
    }
}

#[test]
fn part_of_the_one_who_is_killed() {
    let Some(path) = part() else { return };
    let store = open(&path).unwrap();
    run(async {
        let lease = store.acquire("project", &holder("killed"), Timestamp(0), Timestamp(1000)).await.unwrap();
        let mut version = store.load(log(1), Version(0)).await.unwrap().len() as u64;
        loop {
            let body = (version + 1).to_string();
            let versions = store.append(&lease, vec![more(1, version, &[&body])]).await.unwrap();
            version = versions[0].0;
            println!("durable {version}");
        }
    });
}

#[test]
fn a_kill_while_a_store_is_made_leaves_a_whole_one_or_none() {
    let place = Place::new();
    for round in 0..12 {
        let mut child = play("crash::part_of_the_one_who_makes_stores", place.folder()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        lines.find(|line| line.starts_with("made ")).expect("it goes on until it is killed");
        if round % 2 == 0 {
            lines.next();
        }
        kill(child);
        let names = std::fs::read_dir(place.folder()).unwrap().map(|e| e.unwrap().path());
        let made: Vec<_> = names.filter(|path| path.extension().is_some_and(|e| e == "db")).collect();
        assert!(!made.is_empty());
        for path in made {
            let store = open(&path).expect("a store that has its name is whole");
            run(lease(&store));
            drop(store);
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn part_of_the_one_who_makes_stores() {
    let Some(folder) = part() else { return };
    for n in 0.. {
        drop(open(&folder.join(format!("{}-{n}.db", std::process::id()))).unwrap());
        println!("made {n}");
    }
}

#[test]
fn a_holder_that_was_overtaken_by_another_process_writes_nothing_more() {
    let place = Place::new();
    let store = place.open();
    let mut child = play("crash::part_of_the_one_who_is_overtaken", &place.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line == "appended").expect("it has the lease");
    let second = holder("second");
    let early = run(store.acquire("project", &second, Timestamp(999), Timestamp(9000)));
    assert_eq!(refused(early).0, StoreErrorKind::Held(Box::new(holder("first"))));
    let lease = run(store.acquire("project", &second, Timestamp(1000), Timestamp(9000))).unwrap();
    let at_takeover = bodies(&store, 1).unwrap().len();
    assert!(lines.any(|line| line == "fenced"), "its next append has to be refused");
    assert!(child.wait().unwrap().success());
    let rows = run(store.load(log(1), Version(0))).unwrap();
    assert_eq!(rows.len(), at_takeover, "it wrote after the takeover");
    assert!(rows.iter().all(|row| row.epoch < lease.epoch));
    run(store.append(&lease, vec![more(1, at_takeover as u64, &["mine"])])).unwrap();
}

#[test]
fn part_of_the_one_who_is_overtaken() {
    let Some(path) = part() else { return };
    let store = open(&path).unwrap();
    run(async {
        let lease = store.acquire("project", &holder("first"), Timestamp(0), Timestamp(1000)).await.unwrap();
        // Bounded, so that a missing fence fails the test instead of hanging it.
        for version in 0..20_000 {
            if let Err(error) = store.append(&lease, vec![more(1, version, &["0"])]).await {
                assert_eq!(error.kind, StoreErrorKind::LeaseLost(lease.epoch));
                println!("fenced");
                break;
            }
            println!("appended");
        }
        std::io::stdout().flush().unwrap();
    });
}

#[test]
fn a_reader_follows_a_writer_that_comes_and_goes_and_is_killed() {
    let place = Place::with_three_events();
    let reader = SqliteStore::open_read_only(place.path()).unwrap();
    assert_eq!(bodies(&reader, 1).unwrap().len(), 3);
    for n in 2..5 {
        let writer = place.open();
        assert_eq!(bodies(&reader, n).unwrap().len(), 0);
        let lease = run(lease(&writer));
        run(writer.append(&lease, vec![submit(n)])).unwrap();
        assert_eq!(bodies(&reader, n).unwrap().len(), 1, "an open writer's commit");
        drop(writer);
        assert_eq!(bodies(&reader, n).unwrap().len(), 1, "a closed writer's commit");
    }
    let mut child =
        play("crash::part_of_the_one_who_is_killed", &place.path().with_file_name("other.db")).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line == "durable 20").unwrap();
    kill(child);
    let reader = SqliteStore::open_read_only(place.folder().join("other.db")).unwrap();
    assert!(bodies(&reader, 1).unwrap().len() >= 20, "what only the -wal of a killed writer has");
}
