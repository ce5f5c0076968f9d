//! Cases for [`TaskStore`].

use super::{Skips, skipped};
use enki_core::id::{ExecutionId, StepId, StepIx, TaskId};
use enki_core::store::{
    Append, Counts, Epoch, Format, Found, Holder, Lease, ListFilter, LogId, LogKind, StoreError, StoreErrorKind,
    Summary, TaskRow, TaskStore, Version,
};
use enki_core::time::Timestamp;
use futures::future::join_all;
use std::collections::BTreeSet;
use std::future::Future;

/// How to make the stores that the cases work on.
pub trait StoreFixture {
    /// The store under test.
    type Store: TaskStore;

    /// A new, empty store, apart from all others.
    fn open(&self) -> impl Future<Output = Self::Store>;

    /// Closes the store and opens what it kept, as a restart does. `None` if it keeps nothing beyond its life.
    fn reopen(&self, store: Self::Store) -> impl Future<Output = Option<Self::Store>> {
        drop(store);
        async { None }
    }

    /// Opens the same store a second time, as another process would. `None` if there is no such thing.
    fn second(&self, store: &Self::Store) -> impl Future<Output = Option<Self::Store>> {
        let _ = store;
        async { None }
    }

    /// The rules that the backend cannot be put to, with the reason. Each is said when the suite runs.
    fn skips(&self) -> Skips {
        &[]
    }

    /// Runs a case to its end.
    fn run<F: Future>(&self, case: F) -> F::Output {
        super::run(case)
    }
}

/// What was appended is loaded: bodies byte for byte, times, epochs, formats, numbered from 1.
pub async fn append_then_load_gives_the_events_back(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    let bodies = [r#"{"a":1}"#, r#"{ "b" : "ü 🙂 \u0000" }"#, "[]"];
    let versions = store.append(&lease, vec![append(log(1), 0, &bodies)]).await.expect("a first append");
    assert_eq!(versions, [Version(3)]);
    let rows = store.load(log(1), Version(0)).await.expect("the log can be read");
    assert_eq!(rows.iter().map(|r| r.body.as_str()).collect::<Vec<_>>(), bodies);
    assert_eq!(rows.iter().map(|r| r.version.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(rows.iter().all(|r| r.epoch == lease.epoch && r.at == AT && r.format == FORMAT), "{rows:?}");
}

/// Appends follow each other: the order of events is the order of appends, and inside one of its list.
pub async fn events_keep_their_order_over_appends(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    for n in 0..20 {
        let (a, b) = (format!("{}", 2 * n), format!("{}", 2 * n + 1));
        let versions = store.append(&lease, vec![append(log(1), 2 * n, &[&a, &b])]).await.expect("the next append");
        assert_eq!(versions, [Version(2 * n + 2)]);
    }
    let expected: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(bodies(&store, log(1)).await, expected);
}

/// Loading after a version gives what came later, and nothing if nothing did.
pub async fn load_after_a_version_gives_only_what_is_newer(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    store.append(&lease, vec![append(log(1), 0, &["1", "2", "3"])]).await.expect("a first append");
    let rows = store.load(log(1), Version(2)).await.expect("the log can be read");
    assert_eq!(rows.iter().map(|r| (r.version.0, r.body.as_str())).collect::<Vec<_>>(), [(3, "3")]);
    assert_eq!(store.load(log(1), Version(3)).await.expect("the log can be read"), []);
    assert_eq!(store.load(log(1), Version(u64::MAX)).await.expect("the log can be read"), []);
}

/// A log nobody wrote to is an empty one.
pub async fn an_unknown_log_is_empty(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    assert_eq!(store.load(log(1), Version(0)).await.expect("an unknown log can be read"), []);
    let lease = lease(&store).await;
    store.append(&lease, vec![append(log(1), 0, &["1"])]).await.expect("a first append");
    assert_eq!(store.load(log(2), Version(0)).await.expect("an unknown log can be read"), []);
}

/// Two logs of one id but of different kinds are two logs.
pub async fn logs_of_different_kinds_are_apart(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    let queue = LogId { kind: LogKind::Queue, id: log(1).id };
    let batch = vec![append(log(1), 0, &["1"]), append(queue, 0, &["2", "3"])];
    assert_eq!(store.append(&lease, batch).await.expect("one append"), [Version(1), Version(2)]);
    assert_eq!(bodies(&store, log(1)).await, ["1"]);
    assert_eq!(bodies(&store, queue).await, ["2", "3"]);
}

/// Versions come back in the order of the batch, not of the logs.
pub async fn versions_come_in_the_order_of_the_batch(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    let batch = vec![append(log(9), 0, &["1", "2", "3"]), append(log(1), 0, &["4"]), append(log(5), 0, &["5", "6"])];
    let versions = store.append(&lease, batch).await.expect("one append");
    assert_eq!(versions, [Version(3), Version(1), Version(2)]);
}

/// An append at a version that the log has left is refused, and so is one at a version it has not reached.
pub async fn an_append_at_a_stale_version_is_refused(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    store.append(&lease, vec![append(log(1), 0, &["1", "2"])]).await.expect("a first append");
    for wrong in [0, 1, 3, 1 << 40] {
        let error = refused(store.append(&lease, vec![append(log(1), wrong, &["x"])]).await);
        let expected = StoreErrorKind::Conflict { log: log(1), expected: Version(wrong), actual: Version(2) };
        assert_eq!(error, expected);
    }
    assert_eq!(bodies(&store, log(1)).await, ["1", "2"]);
}

/// A batch with one log at a wrong version writes nothing to the others: not their events, rows or task ids.
pub async fn a_refused_batch_writes_nothing(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    store.append(&lease, vec![submit(1, "one")]).await.expect("a first append");
    let mut again = submit(1, "changed");
    again.expected = Version(1);
    for wrong_at in 0..3 {
        let mut batch = vec![submit(2, "two"), again.clone()];
        batch.insert(wrong_at, append(log(7), 5, &["x"]));
        let error = refused(store.append(&lease, batch).await);
        assert!(matches!(error, StoreErrorKind::Conflict { log: of, .. } if of == log(7)), "{error}");
    }
    assert_eq!(bodies(&store, log(1)).await.len(), 1);
    assert_eq!(bodies(&store, log(2)).await.len(), 0);
    assert_eq!(titles(&store, &ListFilter::default()).await, ["one"]);
    assert_eq!(store.find(&execution(2).short()).await.expect("an index can be read"), []);
    store.append(&lease, vec![submit(2, "two")]).await.expect("nothing of the refused batch is in the way");
}

/// Each lease has a greater epoch than the one before, also for the same holder.
pub async fn epochs_grow_with_each_lease(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let mut last = Epoch(0);
    for (n, give_back) in [(1, false), (1, true), (2, true), (1, true)] {
        let lease = acquire(&store, n, 0, 10).await.expect("the lease is free or ours");
        assert!(lease.epoch > last, "{:?} after {last:?}", lease.epoch);
        assert_eq!((lease.scope.as_str(), &lease.holder, lease.until), (SCOPE, &holder(n), Timestamp(10)));
        last = lease.epoch;
        if give_back {
            store.release(lease).await.expect("a lease can be given back");
        }
    }
}

/// While somebody else holds the lease it is refused, with the holder for the message.
pub async fn a_held_lease_is_refused_with_its_holder(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    acquire(&store, 1, 0, 1000).await.expect("the lease is free");
    let error = refused(acquire(&store, 2, 999, 5000).await);
    assert_eq!(error, StoreErrorKind::Held(Box::new(holder(1))));
}

/// A lease that ran out is taken over with the next epoch, and the old one writes nothing any more.
pub async fn an_expired_lease_is_taken_over_and_the_old_one_is_fenced(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let old = acquire(&store, 1, 0, 1000).await.expect("the lease is free");
    store.append(&old, vec![append(log(1), 0, &["1"])]).await.expect("the holder writes");
    let new = acquire(&store, 2, 1000, 2000).await.expect("the lease ran out");
    assert_eq!(new.epoch, Epoch(old.epoch.0 + 1));
    let error = refused(store.append(&old, vec![append(log(1), 1, &["late"])]).await);
    assert!(matches!(error, StoreErrorKind::LeaseLost(_)), "{error}");
    let error = refused(store.renew(&old, Timestamp(1001), Timestamp(9000)).await);
    assert!(matches!(error, StoreErrorKind::LeaseLost(_)), "{error}");
    store.append(&new, vec![append(log(1), 1, &["2"])]).await.expect("the new holder writes");
    let rows = store.load(log(1), Version(0)).await.expect("the log can be read");
    assert_eq!(
        rows.iter().map(|r| (r.body.as_str(), r.epoch)).collect::<Vec<_>>(),
        [("1", old.epoch), ("2", new.epoch)]
    );
}

/// Two openers see one lease: the second is refused while the first holds it and fences it after a takeover.
pub async fn two_openers_share_leases_and_logs(fixture: &impl StoreFixture) {
    let one = fixture.open().await;
    let Some(two) = fixture.second(&one).await else {
        return skipped("the store cannot be opened twice");
    };
    let old = acquire(&one, 1, 0, 1000).await.expect("the lease is free");
    assert_eq!(refused(acquire(&two, 2, 1, 2000).await), StoreErrorKind::Held(Box::new(holder(1))));
    one.append(&old, vec![submit(1, "one")]).await.expect("the holder writes");
    assert_eq!(titles(&two, &ListFilter::default()).await, ["one"]);
    let new = acquire(&two, 2, 1000, 2000).await.expect("the lease ran out");
    assert!(new.epoch > old.epoch);
    let error = refused(one.append(&old, vec![append(log(1), 1, &["late"])]).await);
    assert!(matches!(error, StoreErrorKind::LeaseLost(_)), "{error}");
    two.append(&new, vec![append(log(1), 1, &["2"])]).await.expect("the new holder writes");
    assert_eq!(bodies(&one, log(1)).await.len(), 2);
}

/// A renewed lease keeps its epoch and holds others off until its new end.
pub async fn a_renewed_lease_lasts_longer(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = acquire(&store, 1, 0, 1000).await.expect("the lease is free");
    let renewed = store.renew(&lease, Timestamp(900), Timestamp(2000)).await.expect("the lease is ours");
    assert_eq!((renewed.epoch, renewed.until), (lease.epoch, Timestamp(2000)));
    assert_eq!(refused(acquire(&store, 2, 1500, 3000).await), StoreErrorKind::Held(Box::new(holder(1))));
    store.append(&renewed, vec![append(log(1), 0, &["1"])]).await.expect("the holder writes");
    store.append(&lease, vec![append(log(1), 1, &["2"])]).await.expect("the epoch counts, not the end it knows");
}

/// A released lease is free at once; releasing again, or releasing a lost one, is no error and takes it from nobody.
pub async fn release_is_idempotent_and_takes_nothing_from_others(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let old = acquire(&store, 1, 0, 1000).await.expect("the lease is free");
    store.release(old.clone()).await.expect("a lease can be given back");
    store.release(old.clone()).await.expect("a lost lease is no error");
    let new = acquire(&store, 2, 1, 1000).await.expect("the lease is free");
    assert!(new.epoch > old.epoch, "an epoch is never given out twice");
    store.release(old).await.expect("a lost lease is no error");
    assert_eq!(refused(acquire(&store, 3, 2, 1000).await), StoreErrorKind::Held(Box::new(holder(2))));
    store.append(&new, vec![append(log(1), 0, &["1"])]).await.expect("the holder writes");
}

/// What was given back writes and extends nothing any more.
pub async fn a_released_lease_is_refused(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let old = acquire(&store, 1, 0, 1000).await.expect("the lease is free");
    store.release(old.clone()).await.expect("a lease can be given back");
    let error = refused(store.append(&old, vec![append(log(1), 0, &["late"])]).await);
    assert!(matches!(error, StoreErrorKind::LeaseLost(_)), "{error}");
    let error = refused(store.renew(&old, Timestamp(1), Timestamp(2000)).await);
    assert!(matches!(error, StoreErrorKind::LeaseLost(_)), "{error}");
    assert_eq!(bodies(&store, log(1)).await.len(), 0);
}

/// Leases of two scopes know nothing of each other.
pub async fn scopes_are_apart(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let one = acquire(&store, 1, 0, 1000).await.expect("the lease is free");
    let other = store.acquire("other", &holder(2), Timestamp(0), Timestamp(1000)).await.expect("another scope");
    store.append(&one, vec![append(log(1), 0, &["1"])]).await.expect("the holder of one scope writes");
    store.append(&other, vec![append(log(2), 0, &["2"])]).await.expect("the holder of the other scope writes");
}

/// A list gives each execution once, newest first, with the row of its last append.
pub async fn list_gives_the_newest_first(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    for n in 1..=5 {
        store.append(&lease, vec![submit(n, &format!("t{n}"))]).await.expect("a submit");
    }
    assert_eq!(titles(&store, &ListFilter::default()).await, ["t5", "t4", "t3", "t2", "t1"]);
}

/// A list gives at most as many as were asked for, and the newest of them.
pub async fn list_keeps_its_limit(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    for n in 1..=5 {
        store.append(&lease, vec![submit(n, &format!("t{n}"))]).await.expect("a submit");
    }
    for (limit, expected) in [(0, &[][..]), (1, &["t5"]), (2, &["t5", "t4"]), (9, &["t5", "t4", "t3", "t2", "t1"])] {
        let mut filter = ListFilter::default();
        filter.limit = limit;
        assert_eq!(titles(&store, &filter).await, expected);
    }
}

/// Filters for open ones, for a request id and for a fingerprint give exactly those, also together.
pub async fn list_filters_by_open_request_and_fingerprint(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    for n in 1..=4 {
        let mut append = submit(n, &format!("t{n}"));
        let summary = append.summary.as_mut().expect("a submit has a row");
        summary.open = n % 2 == 0;
        summary.request_id = (n < 3).then(|| format!("r{n}"));
        summary.fingerprint = if n == 4 { "same".into() } else { format!("f{}", n / 3) };
        store.append(&lease, vec![append]).await.expect("a submit");
    }
    let filter = |open, request: Option<&str>, fingerprint: Option<&str>| {
        let mut filter = ListFilter::default();
        filter.open = open;
        filter.request_id = request.map(Into::into);
        filter.fingerprint = fingerprint.map(Into::into);
        filter
    };
    assert_eq!(titles(&store, &filter(true, None, None)).await, ["t4", "t2"]);
    assert_eq!(titles(&store, &filter(false, Some("r1"), None)).await, ["t1"]);
    assert_eq!(titles(&store, &filter(true, Some("r1"), None)).await, [""; 0]);
    assert_eq!(titles(&store, &filter(false, None, Some("f0"))).await, ["t2", "t1"]);
    assert_eq!(titles(&store, &filter(true, None, Some("f0"))).await, ["t2"]);
    assert_eq!(titles(&store, &filter(false, Some("r9"), None)).await, [""; 0]);
}

/// A row comes back as a whole, and a later append replaces it as a whole.
pub async fn a_summary_is_replaced_in_the_same_append(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    let first = submit(1, "first");
    store.append(&lease, vec![first.clone()]).await.expect("a submit");
    assert_eq!(store.list(&ListFilter::default()).await.expect("a list"), [first.summary.expect("a row")]);

    let mut second = submit(1, "second");
    second.expected = Version(1);
    second.tasks.clear();
    let row = second.summary.as_mut().expect("a row");
    (row.open, row.status, row.updated) = (false, "done".into(), Timestamp(99));
    row.counts = Counts { total: 9, pending: 1, running: 1, merging: 1, done: 2, failed: 1, cancelled: 3, blocked: 1 };
    row.request_id = None;
    store.append(&lease, vec![second.clone()]).await.expect("an append with a row");
    assert_eq!(store.list(&ListFilter::default()).await.expect("a list"), [second.summary.clone().expect("a row")]);

    let rowless = append(log(1), 2, &["3"]);
    store.append(&lease, vec![rowless]).await.expect("an append without a row");
    assert_eq!(store.list(&ListFilter::default()).await.expect("a list"), [second.summary.expect("a row")]);
}

/// A prefix of 4 to 12 digits finds executions and tasks; `exec-` and `task-` restrict the kind.
pub async fn find_takes_a_prefix_of_either_kind(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    let submit = submit(1, "one");
    let task = submit.tasks[0].task;
    store.append(&lease, vec![submit]).await.expect("a submit");
    let execution = execution(1);
    let found_execution = [Found::Execution(execution)];
    let found_task = [Found::Task { execution, ix: StepIx(0), task }];
    let (exec_hex, task_hex) = (execution.short(), task.hex());
    for len in [4, 7, 12] {
        assert_eq!(find(&store, &exec_hex[..len]).await, found_execution);
        assert_eq!(find(&store, &format!("exec-{}", &exec_hex[..len])).await, found_execution);
        assert_eq!(find(&store, &format!("task-{}", &exec_hex[..len])).await, []);
        assert_eq!(find(&store, &task_hex[..len]).await, found_task);
        assert_eq!(find(&store, &format!("task-{}", &task_hex[..len])).await, found_task);
        assert_eq!(find(&store, &format!("exec-{}", &task_hex[..len])).await, []);
    }
    assert_eq!(find(&store, &execution.to_string()).await, found_execution);
    assert_eq!(find(&store, &task.to_string()).await, found_task);
}

/// All 32 digits of an internal id find the execution, and 32 digits of another one do not.
pub async fn find_takes_a_full_internal_id(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    store.append(&lease, vec![submit(1, "one")]).await.expect("a submit");
    assert_eq!(find(&store, &execution(1).hex()).await, [Found::Execution(execution(1))]);
    assert_eq!(find(&store, &execution(2).hex()).await, []);
    // Same visible digits, another id.
    assert_eq!(find(&store, &ExecutionId::new(execution(1).get() ^ (1 << 100)).hex()).await, []);
}

/// What is too short, too long, or no hex finds nothing, and is no error.
pub async fn find_refuses_what_is_no_prefix(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    store.append(&lease, vec![submit(1, "one")]).await.expect("a submit");
    let hex = execution(1).short();
    let (short, long) = (hex[..3].to_owned(), format!("{hex}0"));
    let prefixed = format!("exec-{short}");
    for text in ["", "%", "____", "%%%%", "*", "exec-", "task-", "zzzz", "'; --", "été!", &short, &long, &prefixed] {
        assert_eq!(find(&store, text).await, [], "{text:?}");
    }
}

/// An ambiguous prefix lists all it may mean, of each kind at most 20.
pub async fn find_lists_everything_an_ambiguous_prefix_may_mean(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    let same = |n: u128| ExecutionId::new((n << 64) | (0xabcd_u128 << 32) | n);
    for n in 1..=3 {
        store.append(&lease, vec![submit_as(same(n), "t")]).await.expect("a submit");
    }
    let expected: BTreeSet<ExecutionId> = (1..=3).map(same).collect();
    let found = |list: Vec<Found>| -> BTreeSet<ExecutionId> {
        list.into_iter().filter_map(|f| if let Found::Execution(id) = f { Some(id) } else { None }).collect()
    };
    assert_eq!(found(find(&store, "abcd").await), expected);
    assert_eq!(found(find(&store, "exec-abcd0000").await), expected);
    for n in 4..=30 {
        store.append(&lease, vec![submit_as(same(n), "t")]).await.expect("a submit");
    }
    assert_eq!(find(&store, "exec-abcd").await.len(), 20);
}

/// A short id that exists is refused for another execution, and nothing is written: the caller draws again.
pub async fn a_duplicate_short_id_is_refused(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    store.append(&lease, vec![submit(1, "one")]).await.expect("a submit");
    let twin = ExecutionId::new(execution(1).get() ^ (1 << 100));
    let error = refused(store.append(&lease, vec![submit_as(twin, "twin")]).await);
    assert!(matches!(error, StoreErrorKind::Duplicate(_)), "{error}");
    assert_eq!(bodies(&store, LogId::execution(twin)).await.len(), 0);
    assert_eq!(titles(&store, &ListFilter::default()).await, ["one"]);
}

/// A task id that exists is refused for another step, in the store as well as in the batch itself.
pub async fn a_duplicate_task_id_is_refused(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    let (one, mut two) = (submit(1, "one"), submit(2, "two"));
    two.tasks[0].task = one.tasks[0].task;
    let error = refused(store.append(&lease, vec![one.clone(), two.clone()]).await);
    assert!(matches!(error, StoreErrorKind::Duplicate(_)), "{error}");
    assert_eq!(titles(&store, &ListFilter::default()).await, [""; 0]);
    store.append(&lease, vec![one]).await.expect("a submit");
    let error = refused(store.append(&lease, vec![two]).await);
    assert!(matches!(error, StoreErrorKind::Duplicate(_)), "{error}");
    assert_eq!(titles(&store, &ListFilter::default()).await, ["one"]);
}

/// Events, rows, task ids and epochs are there after a restart, and the next append goes on where the last ended.
pub async fn everything_survives_a_restart(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let old = acquire(&store, 1, 0, 1000).await.expect("the lease is free");
    let submit = submit(1, "one");
    let summary = submit.summary.clone().expect("a row");
    let task = submit.tasks[0].task;
    store.append(&old, vec![submit]).await.expect("a submit");
    store.append(&old, vec![append(log(1), 1, &["2", "3"])]).await.expect("an append");
    let before = store.load(log(1), Version(0)).await.expect("the log can be read");
    let Some(store) = fixture.reopen(store).await else {
        return skipped("the store keeps nothing beyond its life");
    };
    assert_eq!(store.load(log(1), Version(0)).await.expect("the log can be read"), before);
    assert_eq!(store.list(&ListFilter::default()).await.expect("a list"), [summary]);
    assert_eq!(find(&store, &task.to_string()).await.len(), 1);
    assert_eq!(refused(acquire(&store, 2, 1, 2000).await), StoreErrorKind::Held(Box::new(holder(1))));
    let new = acquire(&store, 2, 1000, 2000).await.expect("the lease ran out");
    assert!(new.epoch > old.epoch, "an epoch is never given out twice");
    let error = refused(store.append(&old, vec![append(log(1), 3, &["late"])]).await);
    assert!(matches!(error, StoreErrorKind::LeaseLost(_)), "{error}");
    store.append(&new, vec![append(log(1), 3, &["4"])]).await.expect("the log goes on");
}

/// Appends to different logs at once all land.
pub async fn concurrent_appends_to_different_logs_all_land(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    let (store, lease) = (&store, &lease);
    let writers = (1..=8).map(|n| async move {
        for version in 0..10 {
            let versions = store.append(lease, vec![append(log(n), version, &["1"])]).await.expect("no log is shared");
            assert_eq!(versions, [Version(version + 1)]);
        }
    });
    join_all(writers).await;
    for n in 1..=8 {
        assert_eq!(bodies(store, log(n)).await.len(), 10);
    }
}

/// Of several appends to one log at one version exactly one lands; the others are told the new version.
pub async fn of_concurrent_appends_at_one_version_exactly_one_lands(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    for round in 0..10 {
        let (store, lease) = (&store, &lease);
        let writers = (0..8).map(|n| async move {
            let body = format!("{n}");
            store.append(lease, vec![append(log(1), round, &[&body])]).await
        });
        let results = join_all(writers).await;
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
        for error in results.into_iter().filter_map(Result::err) {
            assert!(
                matches!(error.kind, StoreErrorKind::Conflict { actual, .. } if actual == Version(round + 1)),
                "{error}"
            );
        }
    }
    assert_eq!(bodies(&store, log(1)).await.len(), 10);
}

/// Of several that reach for a free lease at once exactly one gets it.
pub async fn of_concurrent_holders_exactly_one_gets_the_lease(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let second = fixture.second(&store).await;
    let handles = [&store, second.as_ref().unwrap_or(&store)];
    let results = join_all((1..=8u32).map(|n| acquire(handles[n as usize % 2], n, 0, 1000))).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error.kind, StoreErrorKind::Held(_)), "{error}");
    }
}

/// Large bodies and long batches come back whole.
pub async fn large_events_come_back_whole(fixture: &impl StoreFixture) {
    let store = fixture.open().await;
    let lease = lease(&store).await;
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    let many: Vec<&str> = std::iter::once(large.as_str()).chain(std::iter::repeat_n("0", 999)).collect();
    store.append(&lease, vec![append(log(1), 0, &many)]).await.expect("a large append");
    let rows = store.load(log(1), Version(0)).await.expect("the log can be read");
    assert_eq!((rows.len(), rows[0].body == large, rows[999].version), (1000, true, Version(1000)));
}

const SCOPE: &str = "project";
const AT: Timestamp = Timestamp(1_700_000_000_123);
const FORMAT: Format = Format { major: 1, minor: 0 };

fn execution(n: u128) -> ExecutionId {
    ExecutionId::new((n << 80) | ((0x1000 + n) << 32) | n)
}

fn log(n: u128) -> LogId {
    LogId::execution(execution(n))
}

fn holder(n: u32) -> Holder {
    Holder { id: format!("holder-{n}"), pid: n, host: "here".into(), since: Timestamp(i64::from(n)) }
}

fn append(log: LogId, expected: u64, events: &[&str]) -> Append {
    let events = events.iter().map(|e| (*e).to_owned()).collect();
    Append { log, expected: Version(expected), at: AT, format: FORMAT, events, summary: None, tasks: Vec::new() }
}

/// The first append of an execution with one task.
fn submit(n: u128, title: &str) -> Append {
    submit_as(execution(n), title)
}

fn submit_as(execution: ExecutionId, title: &str) -> Append {
    let step: StepId = "only".parse().expect("a step id");
    let summary = Summary {
        execution,
        title: title.into(),
        status: "running".into(),
        open: true,
        created: AT,
        updated: AT,
        counts: Counts { total: 1, pending: 1, ..Counts::default() },
        request_id: Some(format!("request {}", execution.hex())),
        fingerprint: execution.hex(),
    };
    let task = TaskRow { task: TaskId::of(execution, &step), ix: StepIx(0), step };
    Append { summary: Some(summary), tasks: vec![task], ..append(LogId::execution(execution), 0, &["\"started\""]) }
}

async fn acquire(store: &impl TaskStore, n: u32, now: i64, until: i64) -> Result<Lease, StoreError> {
    store.acquire(SCOPE, &holder(n), Timestamp(now), Timestamp(until)).await
}

async fn lease(store: &impl TaskStore) -> Lease {
    acquire(store, 1, 0, 1 << 40).await.expect("the lease of a new store is free")
}

async fn bodies(store: &impl TaskStore, log: LogId) -> Vec<String> {
    store.load(log, Version(0)).await.expect("the log can be read").into_iter().map(|r| r.body).collect()
}

async fn titles(store: &impl TaskStore, filter: &ListFilter) -> Vec<String> {
    store.list(filter).await.expect("a list").into_iter().map(|s| s.title).collect()
}

async fn find(store: &impl TaskStore, prefix: &str) -> Vec<Found> {
    store.find(prefix).await.expect("an index can be read")
}

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    result.expect_err("this has to be refused").kind
}
