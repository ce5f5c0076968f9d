//! The suite of stores, on the store that lives in memory.

use enki_core::memory::MemoryStore;
use enki_testkit::suite::store::StoreFixture;

struct InMemory;

impl StoreFixture for InMemory {
    type Store = MemoryStore;
    async fn open(&self) -> MemoryStore {
        MemoryStore::new()
    }
}

enki_testkit::task_store_conformance!(InMemory);
