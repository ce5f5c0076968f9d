//! Bad input 55: an event that was lost or edited is found by `load`, and named.

use crate::support::{Place, bodies, open, raw, refused, run};
use enki_core::store::{LogId, LogKind, StoreErrorKind, TaskStore, Version};
use enki_store_sqlite::SqliteStore;

/// Does that to a closed store of three events and says what its log's load says then.
fn after(sql: &str) -> String {
    let place = Place::with_three_events();
    let db = raw(&place.path());
    db.pragma_update(None, "ignore_check_constraints", true).unwrap();
    db.execute_batch(sql).unwrap();
    drop(db);
    let writer = open(&place.path()).and_then(|store| bodies(&store, 1));
    let (kind, text) = refused(writer);
    assert!(matches!(kind, StoreErrorKind::Corrupt(_)), "{sql}: {text}");
    let reader = SqliteStore::open_read_only(place.path()).and_then(|store| bodies(&store, 1));
    let (kind, read) = refused(reader);
    assert!(matches!(kind, StoreErrorKind::Corrupt(_)), "{sql}: {read}");
    text
}

#[test]
fn an_edited_event_is_named() {
    for column in
        ["at = at + 1", "epoch = epoch + 1", "major = 2", "minor = 1", "body = '\"other\"'", "hash = zeroblob(32)"]
    {
        let text = after(&format!("UPDATE events SET {column} WHERE version = 2"));
        assert!(text.contains("event 2 of log execution/") && text.contains("checksum"), "{column}: {text}");
    }
}

#[test]
fn a_lost_event_is_named() {
    for lost in 1..=3 {
        let text = after(&format!("DELETE FROM events WHERE version = {lost}"));
        assert!(text.contains(&format!("event {lost} of log execution/")) && text.contains("missing"), "{text}");
    }
}

#[test]
fn events_in_another_order_are_found() {
    let text = after(
        "UPDATE events SET version = 9 WHERE version = 2; UPDATE events SET version = 2 WHERE version = 3;
         UPDATE events SET version = 3 WHERE version = 9;",
    );
    assert!(text.contains("event 2 of log execution/"), "{text}");
}

#[test]
fn a_log_that_was_cut_and_its_version_with_it_is_found() {
    let text = after("DELETE FROM events WHERE version = 3; UPDATE logs SET version = 2;");
    assert!(text.contains("event 2 of log execution/"), "{text}");
}

#[test]
fn an_event_that_was_added_is_found() {
    let text =
        after("INSERT INTO events SELECT log, 4, at, epoch, major, minor, body, hash FROM events WHERE version = 3;");
    assert!(text.contains("event 4 of log execution/"), "{text}");
}

#[test]
fn a_body_that_is_no_text_is_found() {
    let text = after("UPDATE events SET body = CAST(x'ff' AS TEXT) WHERE version = 3;");
    assert!(text.contains("event 3 of log execution/"), "{text}");
}

#[test]
fn a_log_under_the_name_of_another_is_found() {
    let place = Place::with_three_events();
    raw(&place.path()).execute_batch("UPDATE logs SET kind = 'queue'").unwrap();
    let store = open(&place.path()).unwrap();
    let (kind, text) = refused(run(store.load(LogId { kind: LogKind::Queue, id: 1 }, Version(0))));
    assert!(matches!(kind, StoreErrorKind::Corrupt(_)) && text.contains("event 1 of log queue/"), "{text}");
}

#[test]
fn missing_tables_are_damage_and_no_new_ones_are_made() {
    let place = Place::with_three_events();
    raw(&place.path()).execute_batch("PRAGMA foreign_keys = OFF; DROP TABLE events").unwrap();
    let store = open(&place.path()).unwrap();
    assert!(matches!(refused(bodies(&store, 1)).0, StoreErrorKind::Corrupt(_)));
}
