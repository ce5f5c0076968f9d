//! Front matter: what is not touched stays, whatever it is.

use enki_notes::{Document, FRONT_LIMIT, Value};
use proptest::prelude::*;

fn parse(text: &str) -> Document {
    Document::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

fn after(text: &str, key: &str, value: &Value) -> String {
    let mut document = parse(text);
    document.set(key, value).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
    String::from_utf8(document.to_bytes()).unwrap()
}

#[test]
fn a_key_is_changed_and_nothing_else_is() {
    let done = Value::text("done");
    for (before, then) in [
        ("---\nstatus: open\n---\n", "---\nstatus: done\n---\n"),
        ("---\r\nstatus:   open   # mine\r\nb: 1\r\n---\r\nx", "---\r\nstatus:   done   # mine\r\nb: 1\r\n---\r\nx"),
        ("\u{feff}---\nstatus: 'op''en'\n---\n", "\u{feff}---\nstatus: done\n---\n"),
        ("---\nstatus: \"o\\n\" # c\n---\n", "---\nstatus: done # c\n---\n"),
        ("---\nstatus:\n---\n", "---\nstatus: done\n---\n"),
        ("---\nstatus:   # later\nb: 2\n---\n", "---\nstatus: done   # later\nb: 2\n---\n"),
        ("---\nstatus: ~\n---\n", "---\nstatus: done\n---\n"),
        ("---\n\"status\" : open\n---\n", "---\n\"status\" : done\n---\n"),
        ("---\nstatus: >-\n  o\n  p\n\n# c\nb: 1\n---\n", "---\nstatus: done\n\n# c\nb: 1\n---\n"),
        ("---\nstatus: |\n  o\n\n   p\nb: 1\n---\n", "---\nstatus: done\nb: 1\n---\n"),
        ("---\nstatus: [a,\n  b] # c\nb: 1\n---\n", "---\nstatus: done # c\nb: 1\n---\n"),
        ("---\nstatus: # c\n  - a\n  - b # d\nb: 1\n---\n", "---\nstatus: done # c # d\nb: 1\n---\n"),
        ("---\nstatus:\r\n- a\r\n- b\r\nb: 1\n---\n", "---\nstatus: done\r\nb: 1\n---\n"),
        ("---\nstatus:\n  x: 1\n  y: {z: 2}\n# end\n---\n", "---\nstatus: done\n# end\n---\n"),
        ("---\nstatus: one\n  two # c\nb: 1\n---\n", "---\nstatus: done # c\nb: 1\n---\n"),
        ("---\n---\nbody", "---\nstatus: done\n---\nbody"),
        ("---\r\na: 1\r\n---\r\nb", "---\r\na: 1\r\nstatus: done\r\n---\r\nb"),
        ("---\n# only this\n---\n", "---\n# only this\nstatus: done\n---\n"),
        ("---\na: |+\n  x\n\n---\n", "---\na: |+\n  x\n\nstatus: done\n---\n"),
        ("---\n  a: 1\n  b: 2\n---\n", "---\n  a: 1\n  b: 2\n  status: done\n---\n"),
        ("---  \na: é  \n---\t\n---\n", "---  \na: é  \nstatus: done\n---\t\n---\n"),
        ("---\na: &x 1\nb: *x\nstatus: open\n---\n", "---\na: &x 1\nb: *x\nstatus: done\n---\n"),
    ] {
        assert_eq!(after(before, "status", &done), then, "{before}");
    }
}

#[test]
fn what_could_change_another_key_is_refused() {
    for text in [
        "---\na: &x 1\nb: *x\n---\n",
        "---\n? a\n: 1\n---\n",
        "---\na:\n  - &x 1\nb: *x\n---\n",
        // A tag may mean anything.
        "---\na: !mine open\n---\n",
    ] {
        let mut document = parse(text);
        let fault = document.set("a", &Value::text("2")).unwrap_err();
        assert!(fault.why.contains('a') && fault.line >= 2, "{fault}");
        assert_eq!(document.to_bytes(), text.as_bytes());
    }
}

#[test]
fn values_are_read_as_they_are_written() {
    let document = parse("---\na: 007 # x\nb: 'it''s'\nc: [x, 'y', 3]\nd:\n  - p\n  - q\ne:\nf: {g: 1}\n---\n");
    assert_eq!(document.text("a"), Some("007"));
    assert_eq!(document.text("b"), Some("it's"));
    assert_eq!(document.list("c"), ["x", "y", "3"]);
    assert_eq!(document.list("d"), ["p", "q"]);
    assert_eq!((document.text("e"), document.text("f"), document.text("g")), (None, None, None));
    assert_eq!(document.list("a"), ["007"]);
    assert_eq!(document.keys().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn what_is_no_note_is_told_with_its_line() {
    let deep = format!("---\na: {}\n---\n", "[".repeat(40_000));
    let long = format!("---\n{}---\n", "# long\n".repeat(FRONT_LIMIT / 6));
    let endless = format!("---\n{}", "a\n".repeat(5 << 20));
    for (text, line, part) in [
        ("", 1, "no front matter"),
        ("# A title\n", 1, "no front matter"),
        (" ---\na: 1\n---\n", 1, "no front matter"),
        ("---", 1, "no front matter"),
        ("---\na: 1\n", 1, "no end"),
        ("---\na: 1\n --- \n", 1, "no end"),
        (&endless, 1, "no end within"),
        (&long, 1, "no end within"),
        ("---\na: 1\nb: 2\na: 3\n---\n", 4, "there twice, first in line 2"),
        ("---\n{a: 1}\n---\n", 2, "one key a line"),
        ("---\n- a\n---\n", 2, "one key a line"),
        ("---\nwords\n---\n", 2, "one key a line"),
        ("---\na: 1\n[b]: 2\n---\n", 3, "one word"),
        ("---\na: 1\n\tb: 2\n---\n", 3, ""),
        ("---\na: 'x\n---\n", 2, ""),
        ("---\na: *x\n---\n", 2, ""),
        ("---\na: 1\n...\nb: 2\n---\n", 4, ""),
        (&deep, 2, ""),
    ] {
        let fault = Document::parse(text.as_bytes()).expect_err(&text[..text.len().min(40)]);
        assert!(fault.why.contains(part) && !fault.why.is_empty(), "{fault}: {part}");
        assert!(fault.line == line || part.is_empty(), "{fault} for {:?}", &text[..text.len().min(40)]);
    }
    let fault = Document::parse(b"---\na: 1\nb: \xff\n---\n").unwrap_err();
    assert_eq!((fault.line, fault.why.as_str()), (3, "the front matter is not UTF-8"));
    let bytes = b"---\na: 1\n---\n\xff\x00---\n";
    assert_eq!(Document::parse(bytes).unwrap().to_bytes(), bytes, "a body may be anything");
}

/// One key with a value of many forms, some of several lines.
fn entry() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[a-z0-9 ]{0,12}",
        "'[^'\\x00-\\x1f\\x7f-\\x9f\u{2028}\u{2029}\u{feff}]{0,12}'",
        Just("\"a \\\" b\\n\"".to_owned()),
        Just("|\n  some\n\n   text # no comment".to_owned()),
        Just(">+\n  some\n  text\n\n".to_owned()),
        Just("\n  - a # why\n  - b: 1".to_owned()),
        Just("\n- a\n- b".to_owned()),
        Just("{a: 1, b: [2, 3]}".to_owned()),
        Just("[x,\n   y]".to_owned()),
        Just("one\n  two".to_owned()),
        Just("&anchor x".to_owned()),
        Just("!tag x".to_owned()),
        Just("---x".to_owned()),
    ];
    (value, prop_oneof![Just(""), Just(" "), Just("  # comment: yes")], any::<bool>()).prop_map(|(value, tail, gap)| {
        let tail = if value.contains('\n') || value.contains('|') { "" } else { tail };
        format!("{value}{tail}{}", if gap { "\n\n# between" } else { "" })
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_note_that_stays_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..400), framed: bool) {
        let bytes = if framed { [b"---\n", &bytes[..], b"\n---\nbody"].concat() } else { bytes };
        if let Ok(document) = Document::parse(&bytes) {
            prop_assert_eq!(document.to_bytes(), bytes);
        }
    }

    #[test]
    fn any_text_of_yaml_marks_stays_or_is_a_fault(text in "[-a:#'\"|>&*!?{}\\[\\], \t\r\n\u{feff}é]{0,60}", to in "\\PC{0,20}") {
        let text = format!("---\n{text}\n---\n");
        if let Ok(mut document) = Document::parse(text.as_bytes()) {
            let before = document.to_bytes();
            prop_assert_eq!(&before, text.as_bytes());
            if document.set("a", &Value::text(to.clone())).is_ok() {
                let again = Document::parse(&document.to_bytes()).unwrap();
                prop_assert_eq!(again.text("a").unwrap_or_default(), to);
            } else {
                prop_assert_eq!(document.to_bytes(), before);
            }
        }
    }

    #[test]
    fn one_key_of_many_is_changed_alone(
        values in proptest::collection::vec(entry(), 1..8), which: proptest::sample::Index, crlf: bool, bom: bool,
        to in "\\PC{0,30}", body in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let lines: Vec<String> = values.iter().enumerate().map(|(n, value)| format!("k{n}: {value}\n")).collect();
        let yaml = lines.concat();
        let end = if crlf { "\r\n" } else { "\n" };
        let text = format!("{}---\n{yaml}---\n", if bom { "\u{feff}" } else { "" }).replace('\n', end);
        let bytes = [text.as_bytes(), &body].concat();
        let mut document = Document::parse(&bytes).unwrap();
        prop_assert_eq!(&document.to_bytes(), &bytes);
        let n = which.index(values.len());
        let key = format!("k{n}");
        if document.set(&key, &Value::text(to.clone())).is_err() {
            prop_assert!(values[n].starts_with(['&', '!']), "{}", values[n]);
            prop_assert_eq!(document.to_bytes(), bytes);
            return Ok(());
        }
        let new = document.to_bytes();
        let again = Document::parse(&new).unwrap();
        prop_assert_eq!(again.text(&key).unwrap_or_default(), to);
        // All before the value and all after it is there as it was.
        let frame = |bytes: &[u8]| -> (usize, usize) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let at = text.find(&format!("{key}:")).unwrap() + key.len() + 1;
            let next = format!("k{}:", n + 1);
            (at, text.find(&next).map_or(0, |at| text.len() - at))
        };
        let before = frame(&bytes);
        prop_assert_eq!(&new[..before.0], &bytes[..before.0]);
        if n + 1 < values.len() {
            let tail = text.len() - text.find(&format!("k{}:", n + 1)).unwrap() + body.len();
            prop_assert_eq!(&new[new.len() - tail..], &bytes[bytes.len() - tail..]);
        }
        prop_assert!(new.ends_with(&body));
        let comments = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("# between").count();
        prop_assert_eq!(comments(&new), comments(&bytes));
    }
}
