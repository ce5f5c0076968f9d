//! The suite of stores, on the store that lives in memory.

use enki_core::memory::MemoryStore;
use enki_testkit::suite::Skips;
use enki_testkit::suite::store::StoreFixture;

struct InMemory;

impl StoreFixture for InMemory {
    type Store = MemoryStore;

    async fn open(&self) -> MemoryStore {
        MemoryStore::new()
    }

    fn skips(&self) -> Skips {
        &[("everything_survives_a_restart", "it ends with its process")]
    }
}

enki_testkit::task_store_conformance!(InMemory);

/// A gap in what was shown is seen by whoever runs the tests as everybody does: without `--nocapture`.
#[test]
#[expect(clippy::disallowed_methods, reason = "the harness is seen from outside")]
fn what_a_store_cannot_do_is_said_though_the_test_passes() {
    let this = std::env::current_exe().expect("a test has a path");
    for (rule, line) in [
        ("everything_survives_a_restart", "skipped: everything_survives_a_restart: it ends with its process\n"),
        (
            "two_openers_share_leases_and_logs",
            "skipped: two_openers_share_leases_and_logs: the store cannot be opened twice\n",
        ),
        ("an_unknown_log_is_empty", ""),
    ] {
        let ran = std::process::Command::new(&this).args([rule, "--exact"]).output().expect("a test can be run");
        assert!(ran.status.success(), "{rule}: {ran:?}");
        assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "{rule}: {ran:?}");
        assert_eq!(String::from_utf8_lossy(&ran.stderr), line);
    }
}
