//! The rows of the bad-input table that concern a store, cited by number.

use crate::support::{
    Place, bodies, holder, lease, log, more, open, options, part, play, play_on_mount, raw, refused, run, submit,
    summary, titles,
};
use enki_core::store::{Append, ListFilter, StoreErrorKind, TaskStore, Version};
use enki_core::time::Timestamp;
use enki_store_sqlite::SqliteStore;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Bad input 48.
#[test]
fn a_store_that_stays_locked_is_busy_and_named() {
    let place = Place::with_three_events();
    let store = SqliteStore::open(place.path(), &options().busy_timeout(Duration::from_millis(50))).unwrap();
    let lease = run(lease(&store));
    let other = raw(&place.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (kind, text) = refused(run(store.append(&lease, vec![more(1, 3, &["4"])])));
    assert_eq!(kind, StoreErrorKind::Busy);
    assert!(text.contains(store.path().to_str().unwrap()), "{text}");
    assert_eq!(bodies(&store, 1).unwrap().len(), 3, "a lock of another writer keeps no reader out");
    other.execute_batch("ROLLBACK").unwrap();
    run(store.append(&lease, vec![more(1, 3, &["4"])])).expect("the other one is done");
}

/// Bad input 49: the disk is full one page later each time, so that each statement meets it.
#[test]
fn a_full_disk_leaves_the_former_state_and_the_store_goes_on_when_there_is_space() {
    let mut fulls = 0;
    for pages in 0..24_u64 {
        let place = Place::with_three_events();
        let used = fs::metadata(place.path()).unwrap().len();
        let store = SqliteStore::open(place.path(), &options().max_bytes(used + pages * 4096)).unwrap();
        let lease = run(lease(&store));
        let large = format!("\"{}\"", "x".repeat(20_000));
        let tasks = submit(2).tasks;
        let batch = vec![
            more(1, 3, &[&large]),
            Append { events: vec![large.clone(); 2], tasks, ..submit(2) },
            Append { summary: Some(summary(1)), ..more(1, 4, &["\"end\""]) },
        ];
        match run(store.append(&lease, batch.clone())) {
            Ok(versions) => assert_eq!(versions, [Version(4), Version(2), Version(5)]),
            Err(error) => {
                fulls += 1;
                assert_eq!(error.kind, StoreErrorKind::Full, "{error}");
                assert_eq!(bodies(&store, 1).unwrap().len(), 3);
                assert_eq!(bodies(&store, 2).unwrap().len(), 0);
                assert_eq!(titles(&store), ["execution 1"]);
                // The same handle goes on with what fits into the pages that are there.
                run(store.renew(&lease, Timestamp(1), Timestamp(2000))).expect("a lease needs no new page");
                drop(store);
                let store = place.open();
                run(store.append(&lease, batch)).expect("there is space again");
                assert_eq!(bodies(&store, 1).unwrap().len(), 5);
                run(store.check()).unwrap();
            }
        }
    }
    assert!((5..24).contains(&fulls), "{fulls} of 24 were full: the limits tried are wrong");
}

/// Bad input 49, with a disk that is full in truth.
#[test]
fn a_full_file_system_is_full_and_space_that_comes_back_is_used() {
    let place = Place::new();
    let part = "bad_inputs::part_of_the_one_on_a_full_file_system";
    let Some(said) = play_on_mount("true", part, place.folder(), "enki.db") else { return };
    assert!(said.contains("full and went on"), "{said}");
}

#[test]
fn part_of_the_one_on_a_full_file_system() {
    let Some(path) = part() else { return };
    let filler = path.with_file_name("filler");
    fs::write(&filler, [7; 300_000]).unwrap();
    let store = open(&path).unwrap();
    let lease = run(lease(&store));
    let mut version = 0;
    let body = format!("\"{}\"", "x".repeat(10_000));
    let error = loop {
        match run(store.append(&lease, vec![more(1, version, &[&body, &body])])) {
            Ok(versions) => version = versions[0].0,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, StoreErrorKind::Full, "{error}");
    assert!(version > 4);
    assert_eq!(bodies(&store, 1).unwrap().len() as u64, version, "the former state");
    fs::remove_file(filler).unwrap();
    let versions = run(store.append(&lease, vec![more(1, version, &[&body, &body])])).unwrap();
    assert_eq!(versions, [Version(version + 2)], "the same handle goes on");
    run(store.check()).unwrap();
    println!("full and went on");
}

/// Bad input 50.
#[test]
fn a_store_opened_to_read_refuses_to_write() {
    let place = Place::with_three_events();
    let lease = run(lease(&place.open()));
    let store = SqliteStore::open_read_only(place.path()).unwrap();
    assert_eq!(refused(run(store.append(&lease, vec![more(1, 3, &["4"])]))).0, StoreErrorKind::ReadOnly);
    let other = holder("b");
    let acquire = store.acquire("project", &other, Timestamp(0), Timestamp(1));
    assert_eq!(refused(run(acquire)).0, StoreErrorKind::ReadOnly);
    assert_eq!(refused(run(store.renew(&lease, Timestamp(0), Timestamp(1)))).0, StoreErrorKind::ReadOnly);
    assert_eq!(refused(run(store.release(lease))).0, StoreErrorKind::ReadOnly);
}

/// Bad input 50: modes mean nothing to root, so as root another user is asked.
#[test]
fn a_read_only_file_or_folder_is_refused_for_writing_and_can_be_read() {
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (file_mode, folder_mode, crashed) in
        [(0o444, 0o555, false), (0o444, 0o777, false), (0o666, 0o555, false), (0o444, 0o555, true)]
    {
        let place = Place::with_three_events();
        if crashed {
            leave_a_wal(&place, "UPDATE executions SET title = 'execution 1', updated = 7");
        }
        for (name, _) in place.files() {
            set(&place.folder().join(name), file_mode);
        }
        set(place.folder(), folder_mode);
        let mut command = play("bad_inputs::part_of_a_person_without_rights", &place.path());
        if rustix::process::geteuid().is_root() {
            std::os::unix::process::CommandExt::uid(&mut command, 65534);
        }
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => {
                eprintln!("not run: cannot start this binary as another user: {error}");
                set(place.folder(), 0o700);
                return;
            }
        };
        set(place.folder(), 0o700);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("refused and read"), "{file_mode:o} {folder_mode:o}: {said}");
    }
}

#[test]
fn part_of_a_person_without_rights() {
    let Some(path) = part() else { return };
    let (kind, text) = refused(open(&path));
    assert_eq!(kind, StoreErrorKind::ReadOnly, "{text}");
    let store = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(titles(&store), ["execution 1"]);
    assert_eq!(bodies(&store, 1).unwrap().len(), 3);
    println!("refused and read");
}

/// Bad input 51.
#[test]
fn what_is_no_store_is_refused_and_left_as_it_is() {
    let whole = fs::read(Place::with_three_events().path()).unwrap();
    let noise: Vec<u8> = (1..=251).rev().cycle().take(whole.len()).collect();
    let mut scratched = whole.clone();
    scratched[4096..].fill(0xaa);
    let cases = [
        ("0 bytes", &[][..], None),
        ("0 bytes with a -wal", &[], Some(&noise)),
        ("text", b"hello\n", None),
        ("noise", &noise, None),
        ("cut in its first page", &whole[..1000], None),
        ("cut after its first page", &whole[..4096], None),
        ("cut before its last page", &whole[..whole.len() - 4096], None),
        ("scratched", &scratched, None),
        ("noise with a -wal", &noise, Some(&noise)),
    ];
    for (name, bytes, wal) in cases {
        let place = Place::new();
        fs::write(place.path(), bytes).unwrap();
        if let Some(wal) = wal {
            fs::write(place.folder().join("enki.db-wal"), wal).unwrap();
        }
        let before = place.files();
        let (kind, text) = refused(open(&place.path()));
        assert!(matches!(kind, StoreErrorKind::Corrupt(_)), "{name}: {text}");
        assert!(text.contains("enki.db") && text.contains("left untouched"), "{name}: {text}");
        assert!(!text.contains("newest backup"), "{name}: {text}");
        let reading = SqliteStore::open_read_only(place.path()).and_then(|store| {
            run(store.list(&ListFilter::default()))?;
            bodies(&store, 1)
        });
        let (kind, text) = refused(reading);
        assert!(matches!(kind, StoreErrorKind::Corrupt(_)), "{name}: {text}");
        let kept: Vec<_> =
            place.files().into_iter().filter(|(file, _)| before.iter().any(|(b, _)| b == file)).collect();
        assert_eq!(kept, before, "{name}: it was changed");

        fs::write(place.folder().join("enki.db.backup-v1"), &whole).unwrap();
        let (_, text) = refused(open(&place.path()));
        assert!(text.contains("enki.db.backup-v1"), "{name}: {text}");
    }
}

/// Bad input 51.
#[test]
fn a_folder_is_no_store() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    assert!(matches!(refused(open(&place.path())).0, StoreErrorKind::Corrupt(_)));
}

/// Bad input 51.
#[test]
fn a_store_that_is_gone_is_not_made_anew_over_its_wal() {
    let place = Place::new();
    fs::write(place.folder().join("enki.db-wal"), b"the last commits").unwrap();
    let before = place.files();
    let (kind, text) = refused(open(&place.path()));
    assert!(matches!(kind, StoreErrorKind::Corrupt(_)), "{text}");
    assert_eq!(place.files(), before);
}

/// Bad input 52.
#[test]
fn a_newer_or_foreign_file_is_refused_and_unchanged() {
    for (pragma, newer) in [("user_version = 99", true), ("application_id = 7", false), ("application_id = 0", false)] {
        for with_wal in [false, true] {
            let place = Place::with_three_events();
            let statement = format!("PRAGMA {pragma}");
            if with_wal {
                leave_a_wal(&place, &statement);
            } else {
                raw(&place.path()).execute_batch(&statement).unwrap();
            }
            let kept = |name: &String| !name.ends_with("-shm");
            let files = || place.files().into_iter().filter(|(name, _)| kept(name)).collect::<Vec<_>>();
            let before = files();
            assert_eq!(before.iter().any(|(name, _)| name.ends_with("-wal")), with_wal);
            for result in [open(&place.path()), SqliteStore::open_read_only(place.path())] {
                let (kind, text) = refused(result);
                if newer {
                    assert_eq!(kind, StoreErrorKind::Newer { found: 99, known: 1 }, "{text}");
                } else {
                    assert!(matches!(kind, StoreErrorKind::Corrupt(_)), "{text}");
                }
            }
            assert_eq!(files(), before, "{pragma}, with a -wal: {with_wal}");
        }
    }
}

/// What a writer leaves that is killed after a commit: the commit is in the `-wal` alone.
fn leave_a_wal(place: &Place, statement: &str) {
    let db = raw(&place.path());
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    db.execute_batch(statement).unwrap();
    drop(db);
    assert!(place.files().iter().any(|(name, bytes)| name == "enki.db-wal" && !bytes.is_empty()));
}

/// Bad input 53.
#[test]
fn a_replaced_or_deleted_file_is_found_at_the_next_beat_and_nothing_is_written_any_more() {
    for name in ["enki.db", "enki.db-wal", "enki.db-shm"] {
        for replaced in [false, true] {
            let place = Place::with_three_events();
            let store = place.open();
            let lease = run(lease(&store));
            let file = place.folder().join(name);
            let aside = place.folder().join("aside");
            fs::rename(&file, &aside).unwrap();
            if replaced {
                fs::copy(&aside, &file).unwrap();
            }
            let (kind, text) = refused(run(store.renew(&lease, Timestamp(1), Timestamp(2000))));
            assert_eq!(kind, StoreErrorKind::Replaced, "{name}: {text}");
            assert_eq!(refused(run(store.append(&lease, vec![more(1, 3, &["4"])]))).0, StoreErrorKind::Replaced);
            // Put back: whether what was written in between is whole, nobody knows.
            fs::rename(&aside, &file).unwrap();
            assert_eq!(refused(run(store.append(&lease, vec![more(1, 3, &["4"])]))).0, StoreErrorKind::Replaced);
            drop(store);
        }
    }
}

/// Bad input 56.
#[test]
fn order_is_by_sequence_whatever_the_clock_says() {
    let place = Place::new();
    let store = place.open();
    let lease = run(lease(&store));
    let times = [4_294_967_296_000, 0, i64::MIN, i64::MAX, -1].map(Timestamp);
    for (n, at) in (1..).zip(times) {
        let mut first = Append { at, ..submit(n) };
        let row = first.summary.as_mut().unwrap();
        (row.created, row.updated) = (at, at);
        run(store.append(&lease, vec![first])).unwrap();
    }
    for (version, at) in (1..).zip(times) {
        run(store.append(&lease, vec![Append { at, ..more(1, version, &["0"]) }])).unwrap();
    }
    let rows = run(store.load(log(1), Version(0))).unwrap();
    assert_eq!(rows.iter().map(|r| r.version.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(rows[1..].iter().map(|r| r.at).collect::<Vec<_>>(), times);
    assert_eq!(titles(&store), ["execution 5", "execution 4", "execution 3", "execution 2", "execution 1"]);
}
