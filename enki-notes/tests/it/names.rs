//! Names: one for each note, sorted by time for each writer, whoever else writes.

use crate::{NOW, Place};
use enki_core::time::Timestamp;
use enki_notes::{Kind, Log, NewCapture, Owner};
use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};

const WRITERS: usize = 8;
const EACH: usize = 125;

/// Told to be a writer: where, and which one.
const ROLE: &str = "ENKI_NOTES_TEST_WRITER";

/// Not a test of its own: what the processes of the next one do, which are this program again.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test that is a process of another test is told so")]
fn writer() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (n, root) = role.split_once(' ').unwrap();
    let log = Log::new(root);
    let mut own = Vec::new();
    for note in 0..EACH {
        let mut new = NewCapture::new(format!("Writer {n} has note {note}"));
        new.kind = Some(Kind::Idea);
        own.push(log.capture(&new, NOW).unwrap().path.to_string());
    }
    assert!(own.is_sorted(), "the names of one writer sort in its order");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the processes of a test")]
fn a_thousand_notes_of_eight_processes_in_one_instant_have_a_thousand_names() {
    let place = Place::new();
    let root = place.log.root().to_str().unwrap();
    let start = |n: usize| {
        let program = std::env::current_exe().unwrap();
        let args = ["--exact", "names::writer", "--nocapture"];
        let role = format!("{n} {root}");
        Command::new(program).args(args).env(ROLE, role).stdout(Stdio::null()).spawn().unwrap()
    };
    let writers: Vec<_> = (0..WRITERS).map(start).collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let listing = place.log.list(&Kind::ALL).unwrap();
    assert_eq!((listing.heads.len(), listing.broken.len()), (WRITERS * EACH, 0));
    let ids: HashSet<&str> = listing.heads.iter().map(|head| head.capture_id.as_deref().unwrap()).collect();
    assert_eq!(ids.len(), WRITERS * EACH, "as many ids");
    for n in 0..WRITERS {
        let of = format!("Writer {n} ");
        let own: Vec<&str> =
            listing.heads.iter().filter(|head| head.title.starts_with(&of)).map(|head| head.title.as_str()).collect();
        let expected: Vec<String> = (0..EACH).rev().map(|note| format!("{of}has note {note}")).collect();
        assert_eq!(own, expected, "newest first");
    }
    let folder = place.log.root().join("docs/log/idea");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), WRITERS * EACH, "nothing else is left");
}

#[test]
fn a_name_has_kind_owner_and_time_and_never_goes_back() {
    let place = Place::new();
    let log = Log::new(place.log.root()).by(Owner::of("Ada L."));
    let name = |at: i64| {
        let mut new = NewCapture::new("x");
        new.kind = Some(Kind::Observation);
        log.capture(&new, Timestamp(at)).unwrap().path.to_string()
    };
    let folder = "docs/log/observation/observation-ada-l-20231114-2213";
    assert_eq!(name(NOW.0), format!("{folder}20-000000.md"));
    assert_eq!(name(NOW.0), format!("{folder}20-000001.md"));
    assert_eq!(name(NOW.0 - 5000), format!("{folder}20-000002.md"), "the clock went back");
    assert_eq!(name(NOW.0 + 1001), format!("{folder}21-001000.md"));
    let other = Log::new(place.log.root()).by(Owner::of("ada l"));
    let mut new = NewCapture::new("y");
    new.kind = Some(Kind::Observation);
    let filed = other.capture(&new, NOW).unwrap();
    assert!(filed.path.as_str().ends_with("20-000003.md"), "raised until it is free");
}

#[test]
fn nothing_is_written_through_a_link() {
    let place = Place::new();
    let outside = tempfile::tempdir().unwrap();
    let docs = place.log.root().join("docs");
    std::os::unix::fs::symlink(outside.path(), &docs).unwrap();
    let error = place.log.capture(&NewCapture::new("x"), NOW).unwrap_err();
    assert!(enki_notes_chain(&error).contains("docs is a symbolic link"), "{error:?}");
    assert!(place.log.list(&Kind::ALL).is_err());
    assert!(is_empty(outside.path()));
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

fn enki_notes_chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", enki_notes_chain(source)))
}
