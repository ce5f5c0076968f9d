//! `MemoryStore`: a [`TaskStore`] that lives as long as the process.

use crate::id::{ExecutionId, StepId, StepIx, TaskId};
use crate::store::{
    Append, Epoch, Found, Holder, IdPrefix, Lease, ListFilter, LogId, Recorded, StoreError, StoreErrorKind, Summary,
    TaskRow, TaskStore, Version,
};
use crate::time::Timestamp;
use async_trait::async_trait;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps everything in memory: for tests, for simulation, and for embedders who need no crash safety.
///
/// It keeps the whole contract of [`TaskStore`] but durability. No call ever waits, so a future of it is ready at its
/// first poll.
#[derive(Debug, Default)]
pub struct MemoryStore {
    // Held for the length of one call, never across an await.
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between the first and the last write of a call, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TaskStore for MemoryStore {
    async fn append(&self, lease: &Lease, batch: Vec<Append>) -> Result<Vec<Version>, StoreError> {
        let mut state = self.state();
        state.check(lease, &batch).map_err(|kind| StoreError::new(attempted(&batch), kind))?;
        Ok(batch.into_iter().map(|append| state.write(lease.epoch, append)).collect())
    }

    async fn load(&self, log: LogId, after: Version) -> Result<Vec<Recorded>, StoreError> {
        let state = self.state();
        let rows = state.logs.get(&log).map_or(&[][..], Vec::as_slice);
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX).min(rows.len());
        Ok(rows[skip..].to_vec())
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Summary>, StoreError> {
        let state = self.state();
        let wanted = |s: &&Summary| {
            (!filter.open || s.open)
                && filter.request_id.as_ref().is_none_or(|id| s.request_id.as_ref() == Some(id))
                && filter.fingerprint.as_ref().is_none_or(|f| s.fingerprint == *f)
        };
        let newest_first = state.submitted.iter().rev().filter_map(|id| state.summaries.get(id));
        Ok(newest_first.filter(wanted).take(filter.limit as usize).cloned().collect())
    }

    async fn find(&self, prefix: &str) -> Result<Vec<Found>, StoreError> {
        let Some(prefix) = IdPrefix::parse(prefix) else { return Ok(Vec::new()) };
        let state = self.state();
        if let IdPrefix::Internal(id) = prefix {
            let known = state.logs.contains_key(&LogId::execution(id));
            return Ok(known.then_some(Found::Execution(id)).into_iter().collect());
        }
        let executions = prefix.executions().into_iter().flat_map(|hex| starting(&state.executions, hex));
        let tasks = prefix.tasks().into_iter().flat_map(|hex| starting(&state.tasks, hex));
        Ok(executions.map(|id| Found::Execution(*id)).chain(tasks.map(Task::found)).collect())
    }

    async fn acquire(
        &self,
        scope: &str,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Lease, StoreError> {
        let mut state = self.state();
        let row = state.leases.entry(scope.to_owned()).or_default();
        if let Some((other, held_until)) = &row.held
            && other.id != holder.id
            && *held_until > now
        {
            let kind = StoreErrorKind::Held(Box::new(other.clone()));
            return Err(StoreError::new(format!("acquire the lease of {scope}"), kind));
        }
        row.epoch = Epoch(row.epoch.0 + 1);
        row.held = Some((holder.clone(), until));
        Ok(Lease { scope: scope.to_owned(), epoch: row.epoch, holder: holder.clone(), until })
    }

    async fn renew(&self, lease: &Lease, _now: Timestamp, until: Timestamp) -> Result<Lease, StoreError> {
        let mut state = self.state();
        let Some((_, held_until)) = state.held(lease) else {
            let attempted = format!("renew the lease of {}", lease.scope);
            return Err(StoreError::new(attempted, StoreErrorKind::LeaseLost(lease.epoch)));
        };
        *held_until = until;
        Ok(Lease { until, ..lease.clone() })
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.held(&lease).is_some() {
            // The row stays: its epoch must never be given out again.
            state.leases.entry(lease.scope).or_default().held = None;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct State {
    logs: HashMap<LogId, Vec<Recorded>>,
    /// Executions in the order of their logs: time stamps may run backwards.
    submitted: Vec<ExecutionId>,
    summaries: HashMap<ExecutionId, Summary>,
    /// By short id.
    executions: BTreeMap<String, ExecutionId>,
    /// By the hex digits of the task id.
    tasks: BTreeMap<String, Task>,
    leases: HashMap<String, LeaseRow>,
}

#[derive(Debug)]
struct Task {
    execution: ExecutionId,
    ix: StepIx,
    step: StepId,
    task: TaskId,
}

impl Task {
    fn found(&self) -> Found {
        Found::Task { execution: self.execution, ix: self.ix, task: self.task }
    }
}

#[derive(Debug, Default)]
struct LeaseRow {
    epoch: Epoch,
    held: Option<(Holder, Timestamp)>,
}

impl State {
    /// All that can be refused, before anything is written.
    fn check(&mut self, lease: &Lease, batch: &[Append]) -> Result<(), StoreErrorKind> {
        if self.held(lease).is_none() {
            return Err(StoreErrorKind::LeaseLost(lease.epoch));
        }
        let mut versions: HashMap<LogId, Version> = HashMap::new();
        let mut new_shorts = HashSet::new();
        let mut new_tasks: HashMap<TaskId, (ExecutionId, &TaskRow)> = HashMap::new();
        for append in batch {
            append.validate()?;
            let version = versions.entry(append.log).or_insert_with(|| self.version(append.log));
            if *version != append.expected {
                let (log, expected, actual) = (append.log, append.expected, *version);
                return Err(StoreErrorKind::Conflict { log, expected, actual });
            }
            *version = Version(version.0 + append.events.len() as u64);
            let Some(execution) = append.execution() else { continue };
            let new = append.expected == Version(0);
            if new && (self.executions.contains_key(&execution.short()) || !new_shorts.insert(execution.short())) {
                return Err(StoreErrorKind::Duplicate(execution.to_string()));
            }
            for row in &append.tasks {
                let stored = self.tasks.get(&row.task.hex()).map(|t| (t.execution, t.ix, &t.step));
                let staged = new_tasks.insert(row.task, (execution, row)).map(|(e, r)| (e, r.ix, &r.step));
                if [stored, staged].into_iter().flatten().any(|known| known != (execution, row.ix, &row.step)) {
                    return Err(StoreErrorKind::Duplicate(row.task.to_string()));
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, epoch: Epoch, append: Append) -> Version {
        let execution = append.execution();
        let Append { log, at, format, events, summary, tasks, .. } = append;
        let rows = self.logs.entry(log).or_default();
        for body in events {
            rows.push(Recorded { version: Version(rows.len() as u64 + 1), at, epoch, format, body });
        }
        let version = Version(rows.len() as u64);
        if let Some(execution) = execution {
            if self.executions.insert(execution.short(), execution).is_none() {
                self.submitted.push(execution);
            }
            for TaskRow { task, ix, step } in tasks {
                self.tasks.insert(task.hex(), Task { execution, ix, step, task });
            }
            if let Some(summary) = summary {
                self.summaries.insert(execution, summary);
            }
        }
        version
    }

    fn version(&self, log: LogId) -> Version {
        Version(self.logs.get(&log).map_or(0, |rows| rows.len() as u64))
    }

    fn held(&mut self, lease: &Lease) -> Option<&mut (Holder, Timestamp)> {
        self.leases.get_mut(&lease.scope).filter(|row| row.epoch == lease.epoch)?.held.as_mut()
    }
}

fn attempted(batch: &[Append]) -> String {
    match batch {
        [] => "append nothing".to_owned(),
        [one] => format!("append to log {}", one.log),
        [first, rest @ ..] => format!("append to log {} and {} more", first.log, rest.len()),
    }
}

fn starting<'a, T>(map: &'a BTreeMap<String, T>, hex: &'a str) -> impl Iterator<Item = &'a T> {
    map.range(hex.to_owned()..).take_while(move |(key, _)| key.starts_with(hex)).map(|(_, value)| value).take(20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Counts, Format};
    use futures::FutureExt;

    fn now<T>(call: impl Future<Output = T>) -> T {
        call.now_or_never().expect("a memory store never waits")
    }

    fn holder(id: &str) -> Holder {
        Holder { id: id.to_owned(), pid: 1, host: "here".to_owned(), since: Timestamp(0) }
    }

    fn lease(store: &MemoryStore, id: &str) -> Lease {
        now(store.acquire("project", &holder(id), Timestamp(0), Timestamp(10))).unwrap()
    }

    fn submit(id: u128, steps: &[&str]) -> Append {
        let execution = ExecutionId::new(id);
        let tasks = steps.iter().map(|s| s.parse().unwrap()).enumerate();
        Append {
            log: LogId::execution(execution),
            expected: Version(0),
            at: Timestamp(5),
            format: Format { major: 1, minor: 0 },
            events: vec!["{}".to_owned()],
            summary: Some(Summary {
                execution,
                title: "t".to_owned(),
                status: "running".to_owned(),
                open: true,
                created: Timestamp(5),
                updated: Timestamp(5),
                counts: Counts::default(),
                request_id: None,
                fingerprint: format!("{id:x}"),
            }),
            tasks: tasks
                .map(|(ix, step)| TaskRow { task: TaskId::of(execution, &step), ix: StepIx::at(ix), step })
                .collect(),
        }
    }

    #[test]
    fn a_refused_batch_leaves_nothing_behind() {
        let store = MemoryStore::new();
        let lease = lease(&store, "a");
        let stale = Append { expected: Version(1), ..submit(2, &["b"]) };
        let refused = now(store.append(&lease, vec![submit(1, &["a"]), stale])).unwrap_err();
        assert!(matches!(refused.kind, StoreErrorKind::Conflict { actual: Version(0), .. }), "{refused}");
        assert!(now(store.load(LogId::execution(ExecutionId::new(1)), Version(0))).unwrap().is_empty());
        assert!(now(store.list(&ListFilter::default())).unwrap().is_empty());
        assert!(now(store.find("0000")).unwrap().is_empty());
    }

    #[test]
    fn one_batch_may_append_to_a_log_twice() {
        let store = MemoryStore::new();
        let lease = lease(&store, "a");
        let second = Append { expected: Version(1), tasks: Vec::new(), ..submit(1, &[]) };
        let versions = now(store.append(&lease, vec![submit(1, &["a"]), second])).unwrap();
        assert_eq!(versions, [Version(1), Version(2)]);
        let rows = now(store.load(LogId::execution(ExecutionId::new(1)), Version(1))).unwrap();
        assert_eq!(rows.iter().map(|r| r.version).collect::<Vec<_>>(), [Version(2)]);
    }

    #[test]
    fn a_fenced_holder_writes_nothing() {
        let store = MemoryStore::new();
        let old = lease(&store, "a");
        let held = now(store.acquire("project", &holder("b"), Timestamp(9), Timestamp(20))).unwrap_err();
        assert_eq!(held.kind, StoreErrorKind::Held(Box::new(holder("a"))));
        let new = now(store.acquire("project", &holder("b"), Timestamp(10), Timestamp(20))).unwrap();
        assert_eq!(new.epoch, Epoch(old.epoch.0 + 1));
        let refused = now(store.append(&old, vec![submit(1, &[])])).unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::LeaseLost(old.epoch));
        let refused = now(store.renew(&old, Timestamp(11), Timestamp(30))).unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::LeaseLost(old.epoch));
        now(store.release(old)).expect("a lost lease is given back without an error");
        now(store.append(&new, vec![submit(1, &[])])).expect("the new holder still has it");
    }

    #[test]
    fn an_epoch_is_never_given_out_twice() {
        let store = MemoryStore::new();
        let first = lease(&store, "a");
        let own_again = lease(&store, "a");
        now(store.release(own_again.clone())).unwrap();
        let refused = now(store.append(&own_again, vec![submit(1, &[])])).unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::LeaseLost(own_again.epoch));
        let after_release = lease(&store, "b");
        assert_eq!([first.epoch, own_again.epoch, after_release.epoch], [Epoch(1), Epoch(2), Epoch(3)]);
    }

    #[test]
    fn an_id_of_another_execution_is_refused() {
        let store = MemoryStore::new();
        let lease = lease(&store, "a");
        now(store.append(&lease, vec![submit(1, &["a"])])).unwrap();
        let same_tail = 1 | (7 << 64);
        let refused = now(store.append(&lease, vec![submit(same_tail, &[])])).unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Duplicate("exec-000000000001".to_owned()));
        let stolen = Append { tasks: submit(1, &["a"]).tasks, ..submit(2, &[]) };
        let refused = now(store.append(&lease, vec![stolen])).unwrap_err();
        let task = TaskId::of(ExecutionId::new(1), &"a".parse().unwrap());
        assert_eq!(refused.kind, StoreErrorKind::Duplicate(task.to_string()));
    }

    #[test]
    fn prefixes_find_executions_and_tasks() {
        let store = MemoryStore::new();
        let lease = lease(&store, "a");
        let id = ExecutionId::new(0xabcd_0000_0001);
        now(store.append(&lease, vec![submit(id.get(), &["a"])])).unwrap();
        let task = TaskId::of(id, &"a".parse().unwrap());
        let as_task = Found::Task { execution: id, ix: StepIx(0), task };
        assert_eq!(now(store.find("abcd")).unwrap(), [Found::Execution(id)]);
        assert_eq!(now(store.find("exec-abcd")).unwrap(), [Found::Execution(id)]);
        assert_eq!(now(store.find("task-abcd")).unwrap(), []);
        assert_eq!(now(store.find("abc")).unwrap(), []);
        assert_eq!(now(store.find(&id.hex())).unwrap(), [Found::Execution(id)]);
        assert_eq!(now(store.find(&task.to_string()[..9])).unwrap(), [as_task]);
    }

    #[test]
    fn the_newest_submission_is_listed_first_whatever_the_clock_says() {
        let store = MemoryStore::new();
        let lease = lease(&store, "a");
        let mut late = submit(2, &[]);
        late.summary.as_mut().unwrap().created = Timestamp(-1);
        now(store.append(&lease, vec![submit(1, &[]), late])).unwrap();
        let ids = |filter| now(store.list(&filter)).unwrap().iter().map(|s| s.execution.get()).collect::<Vec<_>>();
        assert_eq!(ids(ListFilter::default()), [2, 1]);
        assert_eq!(ids(ListFilter { limit: 1, ..ListFilter::default() }), [2]);
        assert_eq!(ids(ListFilter { fingerprint: Some("1".to_owned()), ..ListFilter::default() }), [1]);
    }
}
