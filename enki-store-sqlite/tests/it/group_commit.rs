//! Requests that arrive together share a transaction, and none spoils another.

use crate::support::{Place, bodies, lease, more, options, raw, refused, run, submit};
use enki_core::store::{StoreErrorKind, TaskStore, Version};
use enki_core::time::Timestamp;
use enki_store_sqlite::SqliteStore;
use futures::FutureExt;
use futures::future::join_all;
use std::sync::Arc;

#[test]
fn requests_that_wait_for_a_lock_go_into_few_transactions() {
    let place = Place::new();
    let store = place.open();
    let lease = run(lease(&store));
    let before = store.stats();
    let other = raw(&place.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // One poll hands a request to the writing thread, which waits for the lock with the first of them.
    let mut waiting: Vec<_> = (1..=64).map(|n| store.append(&lease, vec![submit(n)])).map(FutureExt::boxed).collect();
    for append in &mut waiting {
        assert!(append.now_or_never().is_none());
    }
    other.execute_batch("ROLLBACK").unwrap();
    for result in run(join_all(waiting)) {
        assert_eq!(result.unwrap(), [Version(1)]);
    }
    let after = store.stats();
    assert_eq!(after.requests - before.requests, 64);
    let commits = after.commits - before.commits;
    assert!((1..=8).contains(&commits), "{commits} commits for 64 requests");
}

#[test]
fn many_tasks_on_many_threads_share_syncs_and_lose_nothing() {
    let place = Place::new();
    let store = Arc::new(place.open());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let lease = lease(&store).await;
        let tasks: Vec<_> = (1..=32_u128)
            .map(|n| {
                let (store, lease) = (Arc::clone(&store), lease.clone());
                tokio::spawn(async move {
                    store.append(&lease, vec![submit(n)]).await.unwrap();
                    for version in 1..=20 {
                        store.append(&lease, vec![more(n, version, &["0"])]).await.unwrap();
                        let rows = store.load(crate::support::log(n), Version(version)).await.unwrap();
                        assert_eq!(rows.len(), 1, "a read sees what was committed before it");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let stats = store.stats();
    assert_eq!(stats.requests, 1 + 32 * 21);
    assert!(stats.commits < stats.requests / 2, "{stats:?}");
    for n in 1..=32 {
        assert_eq!(bodies(&store, n).unwrap().len(), 21);
    }
}

#[test]
fn what_a_refused_request_wrote_is_undone_and_its_neighbours_are_kept() {
    let place = Place::with_three_events();
    let store = place.open();
    let lease = run(lease(&store));
    let before = store.stats().commits;
    let other = raw(&place.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = [
        store.append(&lease, vec![submit(2)]),
        store.append(&lease, vec![submit(3), more(1, 0, &["stale"])]),
        store.append(&lease, vec![submit(4)]),
        store.append(&lease, vec![submit(5), more(1, 0, &["stale"])]),
    ]
    .map(FutureExt::boxed);
    for append in &mut waiting {
        assert!(append.now_or_never().is_none());
    }
    other.execute_batch("ROLLBACK").unwrap();
    let results = run(join_all(waiting));
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false]);
    assert!(store.stats().commits - before <= 2, "some shared a transaction");
    for (n, events) in [(1, 3), (2, 1), (3, 0), (4, 1), (5, 0)] {
        assert_eq!(bodies(&store, n).unwrap().len(), events, "log {n}");
    }
    run(store.append(&lease, vec![submit(3), submit(5)])).expect("nothing of them is in the way");
}

#[test]
fn a_refused_or_failed_request_spoils_no_other_of_its_transaction() {
    let place = Place::with_three_events();
    let used = std::fs::metadata(place.path()).unwrap().len();
    let store = SqliteStore::open(place.path(), &options().max_bytes(used + (1 << 20))).unwrap();
    let lease = run(lease(&store));
    let other = raw(&place.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let too_large = format!("\"{}\"", "x".repeat(2 << 20));
    let mut waiting = [
        store.append(&lease, vec![submit(2)]),
        store.append(&lease, vec![submit(3), more(1, 0, &["stale"])]),
        store.append(&lease, vec![submit(4), more(1, 3, &[&too_large])]),
        store.append(&lease, vec![submit(5), more(1, 3, &["\"four\""])]),
    ]
    .map(FutureExt::boxed);
    for append in &mut waiting {
        assert!(append.now_or_never().is_none());
    }
    other.execute_batch("ROLLBACK").unwrap();
    let mut results = run(join_all(waiting)).into_iter();
    assert_eq!(results.next().unwrap().unwrap(), [Version(1)]);
    assert!(matches!(refused(results.next().unwrap()).0, StoreErrorKind::Conflict { .. }));
    assert_eq!(refused(results.next().unwrap()).0, StoreErrorKind::Full);
    assert_eq!(results.next().unwrap().unwrap(), [Version(1), Version(4)]);
    for (n, events) in [(1, 4), (2, 1), (3, 0), (4, 0), (5, 1)] {
        assert_eq!(bodies(&store, n).unwrap().len(), events, "log {n}");
    }
}

#[test]
fn a_dropped_call_is_done_as_a_whole_and_drop_waits_for_it() {
    let place = Place::new();
    let store = place.open();
    let lease = run(lease(&store));
    assert!(bodies(&store, 1).unwrap().is_empty(), "a reader has the file open too");
    let _ = store.append(&lease, vec![submit(1), submit(2)]).now_or_never();
    let _ = store.renew(&lease, Timestamp(1), Timestamp(5000)).now_or_never();
    drop(store);
    assert!(!place.folder().join("enki.db-wal").exists(), "a closed store is one file");
    let store = place.open();
    assert_eq!((bodies(&store, 1).unwrap().len(), bodies(&store, 2).unwrap().len()), (1, 1));
    let other = crate::support::holder("other");
    let held = run(store.acquire("project", &other, Timestamp(4999), Timestamp(9000)));
    assert!(matches!(refused(held).0, StoreErrorKind::Held(_)));
}
