//! Which note a text means, and nothing outside.

use crate::{NOW, Place};
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
