//! Where a store is, who may read it, what is beside it.

use crate::support::{Place, bodies, lease, more, open, play_on_mount, refused, run, submit, titles};
use enki_core::store::{ListFilter, StoreErrorKind, TaskStore};
use enki_store_sqlite::{OpenOptions, SqliteStore, newest_backup};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn files_and_the_folder_it_makes_are_private() {
    let place = Place::new();
    let folder = place.folder().join("a").join(".enki");
    let path = folder.join("enki.db");
    let store = open(&path).unwrap();
    run(async {
        store.append(&lease(&store).await, vec![submit(1)]).await.unwrap();
        store.backup_to(folder.join("enki.db.backup-test")).await.unwrap();
    });
    assert_eq!((mode(&folder), mode(place.folder().join("a"))), (0o700, 0o700));
    let files = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    let mut names: Vec<_> = files
        .map(|path| {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            path.file_name().unwrap().to_owned().into_string().unwrap()
        })
        .collect();
    names.sort();
    assert_eq!(names, ["enki.db", "enki.db-shm", "enki.db-wal", "enki.db.backup-test"]);
}

#[test]
fn reading_makes_nothing_and_changes_nothing() {
    let place = Place::with_three_events();
    let before = place.files();
    let store = SqliteStore::open_read_only(place.path()).unwrap();
    assert_eq!(titles(&store), ["execution 1"]);
    assert_eq!(bodies(&store, 1).unwrap().len(), 3);
    run(store.check()).unwrap();
    assert_eq!(place.files(), before);
    drop(store);
    assert_eq!(place.files(), before);
}

#[test]
fn reading_a_store_that_is_not_there_makes_none() {
    let place = Place::new();
    assert!(matches!(refused(SqliteStore::open_read_only(place.path())).0, StoreErrorKind::Io(_)));
    assert_eq!(place.files(), []);
}

#[test]
fn a_backup_is_whole_and_overwrites_nothing() {
    let place = Place::with_three_events();
    let store = place.open();
    let target = place.folder().join("enki.db.backup-1");
    run(async {
        let lease = lease(&store).await;
        store.append(&lease, vec![more(1, 3, &["\"only in the -wal\""])]).await.unwrap();
        store.backup_to(&target).await.unwrap();
        store.append(&lease, vec![more(1, 4, &["\"later\""])]).await.unwrap();
    });
    assert_eq!(newest_backup(&place.path()), Some(target.clone()));
    let bytes = fs::read(&target).unwrap();
    assert!(matches!(refused(run(store.backup_to(&target))).0, StoreErrorKind::Invalid(_)));
    assert_eq!(fs::read(&target).unwrap(), bytes);
    let restored = open(&target).unwrap();
    assert_eq!(bodies(&restored, 1).unwrap().len(), 4);
    run(restored.check()).unwrap();
    let lease = run(lease(&restored));
    run(restored.append(&lease, vec![submit(2)])).expect("a backup can be driven on");
    drop(restored);
    // A read-only store can be backed up as well.
    drop(store);
    let reader = SqliteStore::open_read_only(place.path()).unwrap();
    run(reader.backup_to(place.folder().join("enki.db.backup-2"))).unwrap();
    assert_eq!(bodies(&open(&place.folder().join("enki.db.backup-2")).unwrap(), 1).unwrap().len(), 5);
}

#[test]
fn odd_names_and_links_lead_to_one_store() {
    let place = Place::new();
    for name in ["file:x?mode=memory#y", "100%41 ü.db", "-wal"] {
        let path = place.folder().join(name);
        let store = open(&path).unwrap();
        run(async { store.append(&lease(&store).await, vec![submit(1)]).await }).unwrap();
        drop(store);
        assert!(path.is_file(), "{name}");
        assert_eq!(bodies(&SqliteStore::open_read_only(&path).unwrap(), 1).unwrap().len(), 1, "{name}");
        let link = place.folder().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(open(&link).unwrap().path(), fs::canonicalize(&path).unwrap());
        assert_eq!(bodies(&open(&link).unwrap(), 1).unwrap().len(), 1, "{name}");
        fs::remove_file(link).unwrap();
    }
}

#[test]
fn the_settings_that_durability_rests_on_are_set() {
    let place = Place::with_three_events();
    let db = crate::support::raw(&place.path());
    let text = |pragma: &str| db.query_row(&format!("PRAGMA {pragma}"), [], |r| r.get::<_, rusqlite::types::Value>(0));
    assert_eq!(text("journal_mode").unwrap(), "wal".to_owned().into());
    assert_eq!(text("application_id").unwrap(), i64::from(0x454e_4b49).into());
    assert_eq!(text("user_version").unwrap(), 1.into());
    let strict: i64 = db
        .query_row(
            "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0
                    AND name NOT LIKE 'sqlite_%'",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(strict, 0);
}

/// Every container has its files on an overlay, as far as this machine lets a test mount one.
#[test]
fn a_store_on_an_overlay_keeps_what_was_appended() {
    let place = Place::new();
    let mount = "mkdir lower upper work merged \
                 && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged";
    let part = "place::part_of_the_one_on_an_overlay";
    let Some(said) = play_on_mount(mount, part, place.folder(), "merged/enki.db") else { return };
    assert!(said.contains("kept"), "{said}");
}

#[test]
fn part_of_the_one_on_an_overlay() {
    let Some(path) = crate::support::part() else { return };
    let store = SqliteStore::open(&path, &OpenOptions::new()).unwrap();
    run(async { store.append(&lease(&store).await, vec![submit(1)]).await }).unwrap();
    drop(store);
    let store = SqliteStore::open(&path, &OpenOptions::new()).unwrap();
    assert_eq!(run(store.list(&ListFilter::default())).unwrap().len(), 1);
    println!("kept");
}
