//! Which note a text means, and nothing outside.

use crate::{NOW, Place};
use enki_core::time::Timestamp;
use enki_notes::{Kind, NewCapture, NoteError};

#[test]
fn a_note_is_found_by_path_name_id_or_the_beginning_of_one() {
    let place = Place::new();
    let filed = place.log.capture(&NewCapture::new("Dark mode"), NOW).unwrap();
    place.log.capture(&NewCapture::new("Light mode"), NOW).unwrap();
    let path = filed.path.as_str();
    let absolute = place.log.root().join(path);
    let (file, id) = (filed.path.file(), filed.capture_id.as_str());
    let upper = id.to_uppercase();
    for text in [
        path,
        &format!("./{path}"),
        absolute.to_str().unwrap(),
        file,
        file.trim_end_matches(".md"),
        id,
        &id[..6],
        &upper,
    ] {
        assert_eq!(place.log.find(text).unwrap(), filed.path, "{text}");
    }
    let error = place.log.find("idea-enki-2023").unwrap_err();
    assert!(matches!(&error, NoteError::Ambiguous { candidates, .. } if candidates.len() == 2), "{error}");
    assert!(error.hint().contains(path), "{}", error.hint());
    for text in
        ["", "ide", "nothing", "docs/log/idea/none.md", "../shop", "docs/log/../log/idea", "/etc/passwd", "a\0b"]
    {
        assert!(matches!(place.log.find(text), Err(NoteError::NotFound { .. })), "{text}");
    }
}

#[test]
fn a_list_is_newest_first_by_name_with_names_of_persons_last() {
    let place = Place::new();
    for (file, title) in [
        ("idea/idea-zoe-20230101-000000-000000.md", "old"),
        ("issue/issue-ada-20240101-000000-dark-mode.md", "new"),
        ("idea/plans.md", "mine"),
        ("idea/.hidden.md", "hidden"),
        ("idea/plans.txt", "no note"),
        ("other/x.md", "no kind"),
    ] {
        place.put(file, format!("---\ntitle: {title}\n---\n"));
    }
    let titles = |kinds: &[Kind]| -> Vec<String> {
        place.log.list(kinds).unwrap().heads.into_iter().map(|head| head.title).collect()
    };
    assert_eq!(titles(&Kind::ALL), ["new", "old", "mine"]);
    assert_eq!(titles(&[Kind::Idea]), ["old", "mine"]);
    let heads = place.log.list(&Kind::ALL).unwrap().heads;
    assert_eq!(heads[0].date().as_deref(), Some("2024-01-01"));
    assert!(heads.iter().all(|head| head.is_open() && head.capture_status().is_none()), "nobody said how far they are");
}

#[test]
fn a_stamp_tells_whether_a_note_may_have_changed() {
    let place = Place::new();
    let filed = place.log.capture(&NewCapture::new("Dark mode"), NOW).unwrap();
    let path = place.log.root().join(filed.path.as_str());
    let at = |seconds: u64| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let touch =
        |seconds: u64| std::fs::File::options().write(true).open(&path).unwrap().set_modified(at(seconds)).unwrap();
    let stamp = |now: i64| {
        let all = place.log.stamps(&Kind::ALL, Timestamp(now)).unwrap();
        assert_eq!(all[0].0, filed.path);
        all[0].1.clone()
    };
    touch(1_000);
    assert_eq!(stamp(2_000_000), stamp(3_000_000), "nothing happened");
    let before = stamp(2_000_000);
    touch(1_001);
    let later = stamp(2_000_000);
    assert_ne!(before, later, "its time");
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&text[..], b"more\n"].concat()).unwrap();
    touch(1_001);
    assert_ne!(stamp(2_000_000), later, "its size");
    // Put in its place by an editor.
    let other = path.with_extension("new");
    std::fs::write(&other, &text).unwrap();
    std::fs::rename(&other, &path).unwrap();
    touch(1_001);
    assert_ne!(stamp(2_000_000), later, "its file");
    // Another change in the same instant could not be told.
    assert_ne!(stamp(1_002_000), stamp(1_002_001));
    // What is no note has none.
    std::fs::create_dir(path.with_file_name("folder.md")).unwrap();
    assert_eq!(place.log.stamps(&Kind::ALL, Timestamp(0)).unwrap().len(), 1);
}
