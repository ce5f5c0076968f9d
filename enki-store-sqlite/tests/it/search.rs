//! The search index: found is what the words say, read is what has changed, and a damaged file is made anew.

use enki_store_sqlite::{Document, Item, MARKS, SearchIndex};
use std::collections::BTreeMap;
use std::fs;

/// Texts by their key; the stamp is the text.
type Texts = BTreeMap<&'static str, &'static str>;

/// Brings an index up to date with them. Gives the keys that were read.
fn sync(index: &mut SearchIndex, texts: &Texts) -> Vec<String> {
    let items: Vec<Item> =
        texts.iter().map(|(key, text)| Item { key: (*key).to_owned(), stamp: (*text).to_owned() }).collect();
    let mut read = Vec::new();
    let number = index.sync("notes", &items, |key| {
        read.push(key.to_owned());
        let (title, body) = texts[key].split_once('|').unwrap_or((texts[key], ""));
        let kind = if key.starts_with('i') { "idea" } else { "issue" };
        let at = format!("2026-01-{key}");
        Some(vec![Document { kind: kind.into(), name: key.into(), title: title.into(), body: body.into(), at }])
    });
    assert_eq!(number.unwrap(), read.len());
    read
}

fn found(index: &SearchIndex, words: &[&str], kinds: &[&str]) -> Vec<String> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    index.search(&words, kinds, 10).unwrap().into_iter().map(|hit| hit.name).collect()
}

#[test]
fn the_best_is_first_and_of_equals_the_newest_and_all_words_come_before_any() {
    let mut index = SearchIndex::in_memory().unwrap();
    let texts = Texts::from([
        ("i1", "Faster start|the lock is slow"),
        ("i2", "A lock"),
        ("x3", "Other|nothing of it, but at the end a lock among very many other words that say little"),
        ("x4", "Other|nothing of it, but at the end a lock among very many other words that say little"),
        ("x5", "Crashing on an empty password"),
    ]);
    sync(&mut index, &texts);
    assert_eq!(found(&index, &["lock"], &[]), ["i2", "i1", "x4", "x3"]);
    assert_eq!(found(&index, &["lock"], &["idea"]), ["i2", "i1"]);
    assert_eq!(found(&index, &["lock", "slow"], &[]), ["i1"], "both");
    assert_eq!(found(&index, &["slow", "password"], &[]).len(), 2, "no text has both");
    assert_eq!(found(&index, &["crashed"], &[]), ["x5"], "by its stem");
    assert_eq!(found(&index, &["passw"], &[]), ["x5"], "by how it begins");
    assert!(found(&index, &["\" OR lock"], &[]).is_empty() && found(&index, &[], &[]).is_empty(), "no syntax");
    let hits = index.search(&["slow".to_owned()], &[], 10).unwrap();
    assert_eq!(hits[0].snippet, format!("the lock is {}slow{}", MARKS.0, MARKS.1));
}

#[test]
fn only_what_changed_is_read_and_what_is_gone_is_not_found() {
    let mut index = SearchIndex::in_memory().unwrap();
    let mut texts = Texts::from([("a", "one"), ("b", "two"), ("c", "three")]);
    assert_eq!(sync(&mut index, &texts), ["a", "b", "c"]);
    assert!(sync(&mut index, &texts).is_empty());
    texts.insert("b", "four");
    texts.remove("c");
    texts.insert("d", "five");
    assert_eq!(sync(&mut index, &texts), ["b", "d"]);
    for (word, names) in [("one", vec!["a"]), ("two", vec![]), ("three", vec![]), ("four", vec!["b"])] {
        assert_eq!(found(&index, &[word], &[]), names, "{word}");
    }
    // Another source of the same keys is another.
    let item = Item { key: "a".into(), stamp: "x".into() };
    index
        .sync("else", &[item], |_| Some(vec![Document { name: "e".into(), title: "one".into(), ..Default::default() }]))
        .unwrap();
    assert_eq!(found(&index, &["one"], &[]).len(), 2);
    // One that cannot be told of now is asked for again, and what it said before is not shown.
    let item = |stamp: &str| [Item { key: "f".into(), stamp: stamp.into() }];
    let six = || Some(vec![Document { name: "f".into(), title: "six".into(), ..Default::default() }]);
    assert_eq!(index.sync("later", &item("1"), |_| six()).unwrap(), 1);
    assert_eq!(index.sync("later", &item("2"), |_| None).unwrap(), 0);
    assert!(found(&index, &["six"], &[]).is_empty());
    assert_eq!(index.sync("later", &item("2"), |_| six()).unwrap(), 1);
    assert_eq!(found(&index, &["six"], &[]), ["f"]);
}

#[test]
fn a_file_is_used_again_and_one_that_is_damaged_or_of_another_form_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("search.db");
    let texts = Texts::from([("a", "one"), ("b", "two")]);
    let read = || sync(&mut SearchIndex::open(&path).unwrap(), &texts).len();
    assert_eq!([read(), read()], [2, 0]);
    let well = fs::read(&path).unwrap();
    fs::write(&path, "no database, but as long as one has to be at least, and then some").unwrap();
    assert_eq!([read(), read()], [2, 0]);
    let mut other = well.clone();
    other[60..64].copy_from_slice(&7_u32.to_be_bytes());
    fs::write(&path, other).unwrap();
    assert_eq!([read(), read()], [2, 0]);
    fs::remove_file(&path).unwrap();
    assert_eq!([read(), read()], [2, 0]);
    // Where no file can be made it is one in memory.
    let nowhere = dir.path().join("none/search.db");
    assert_eq!(sync(&mut SearchIndex::open(&nowhere).unwrap(), &texts).len(), 2);
    // Nothing that it leads to is written to.
    let outside = dir.path().join("mine");
    fs::write(&outside, "mine").unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    assert_eq!([read(), read()], [2, 0]);
    assert_eq!(fs::read(&outside).unwrap(), b"mine");
}

#[test]
fn two_that_fill_it_at_once_have_each_document_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("search.db");
    let texts = Texts::from([("a", "one"), ("b", "one"), ("c", "one")]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| sync(&mut SearchIndex::open(&path).unwrap(), &texts));
        }
    });
    assert_eq!(found(&SearchIndex::open(&path).unwrap(), &["one"], &[]).len(), 3);
}
