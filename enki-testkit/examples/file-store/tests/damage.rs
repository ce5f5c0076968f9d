//! What no suite can know: the form of this store on disk, and what a crash or a disk does to it.

use enki_core::id::ExecutionId;
use enki_core::store::{Append, Format, Holder, Lease, LogId, StoreErrorKind, TaskStore, Version};
use enki_core::time::Timestamp;
use file_store::FileStore;
use std::fs;
use std::path::{Path, PathBuf};

const LOG: LogId = LogId::execution(ExecutionId::new(7));

async fn lease(store: &FileStore) -> Lease {
    let holder = Holder { id: "holder".into(), pid: 1, host: "here".into(), since: Timestamp(0) };
    store.acquire("project", &holder, Timestamp(0), Timestamp(1000)).await.expect("the lease is free, or ours")
}

fn event(expected: u64) -> Append {
    let (format, events) = (Format { major: 1, minor: 0 }, vec![format!("{expected}")]);
    Append { log: LOG, expected: Version(expected), at: Timestamp(5), format, events, summary: None, tasks: vec![] }
}

/// A journal of two events, and what it was when there was one.
async fn two_events(folder: &Path) -> (PathBuf, Vec<u8>, Vec<u8>) {
    let path = folder.join("journal");
    let store = FileStore::open(&path).expect("a new store");
    let lease = lease(&store).await;
    store.append(&lease, vec![event(0)]).await.expect("a first append");
    let one = fs::read(&path).expect("a journal");
    store.append(&lease, vec![event(1)]).await.expect("a second append");
    let two = fs::read(&path).expect("a journal");
    (path, one, two)
}

async fn events(store: &FileStore) -> usize {
    store.load(LOG, Version(0)).await.expect("the log can be read").len()
}

#[tokio::test]
async fn a_line_that_was_cut_anywhere_never_was_and_the_store_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, one, two) = two_events(folder.path()).await;
    for end in one.len()..two.len() {
        fs::write(&path, &two[..end]).expect("a crash");
        let store = FileStore::open(&path).expect("a torn line is no damage");
        assert_eq!(events(&store).await, 1, "cut at {end}");
        assert_eq!(fs::read(&path).expect("a journal"), one, "cut at {end}");
        let lease = lease(&store).await;
        store.append(&lease, vec![event(1)]).await.expect("the log goes on");
        assert_eq!(events(&FileStore::open(&path).expect("a journal")).await, 2, "cut at {end}");
    }
}

#[tokio::test]
async fn a_line_that_another_process_left_half_done_is_cut_while_open() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, one, two) = two_events(folder.path()).await;
    fs::write(&path, &one).expect("as it was");
    let store = FileStore::open(&path).expect("a journal");
    fs::write(&path, &two[..two.len() - 1]).expect("another process dies in its last byte");
    let lease = lease(&store).await;
    store.append(&lease, vec![event(1)]).await.expect("the log goes on");
    assert_eq!(events(&FileStore::open(&path).expect("a journal")).await, 2);
}

#[tokio::test]
async fn a_changed_byte_is_found_and_nothing_is_touched() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, _, two) = two_events(folder.path()).await;
    // The last line end is what tells a whole line from a torn one; every other byte is under a checksum.
    for at in 0..two.len() - 1 {
        let mut damaged = two.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).expect("a bad disk");
        let error = FileStore::open(&path).expect_err("it is damaged");
        assert!(matches!(error.kind, StoreErrorKind::Corrupt(_)), "byte {at}: {error}");
        assert!(error.to_string().contains(path.to_str().expect("a path")), "{error}");
        assert_eq!(fs::read(&path).expect("a journal"), damaged, "byte {at}");
    }
}

#[tokio::test]
async fn what_is_no_journal_or_a_newer_one_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    // The checksum of `file-store 2`, as a newer version would write it.
    let newer = "3fd6c27456394999 file-store 2\n";
    for (text, expected) in [
        ("no newline", StoreErrorKind::Corrupt("it does not begin as a journal".into())),
        ("a diary\n", StoreErrorKind::Corrupt("the line at byte 0 does not have its checksum".into())),
        (newer, StoreErrorKind::Newer { found: 2, known: 1 }),
    ] {
        fs::write(&path, text).expect("a file");
        assert_eq!(FileStore::open(&path).expect_err("it is no store of ours").kind, expected);
        assert_eq!(fs::read_to_string(&path).expect("a file"), text);
    }
}

#[tokio::test]
async fn a_store_that_was_deleted_or_replaced_is_not_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, _, two) = two_events(folder.path()).await;
    let store = FileStore::open(&path).expect("a journal");
    let lease = lease(&store).await;
    fs::remove_file(&path).expect("somebody deletes it");
    let refused = store.append(&lease, vec![event(2)]).await.expect_err("there is no store");
    assert_eq!(refused.kind, StoreErrorKind::Replaced);
    assert!(!path.exists(), "it is not made anew");
    fs::write(&path, &two).expect("somebody puts another one there");
    let refused = store.append(&lease, vec![event(2)]).await.expect_err("it is another store");
    assert_eq!(refused.kind, StoreErrorKind::Replaced);
    assert_eq!(fs::read(&path).expect("a journal"), two);
}
