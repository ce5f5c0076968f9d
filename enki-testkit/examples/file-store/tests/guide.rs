//! `docs/writing-a-backend.md` builds this crate piece by piece, so whoever follows it has exactly these files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn the_guide_makes_this_crate() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(here.join("../../../docs/writing-a-backend.md")).expect("the guide is there");
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some((_, file)) = line.strip_prefix("```").and_then(|info| info.split_once(" file=")) else { continue };
        let piece: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = files.entry(file).or_default();
        if !text.is_empty() {
            text.push('\n'); // Pieces are cut at empty lines.
        }
        text.push_str(&(piece.join("\n") + "\n"));
    }
    let expected = ["Cargo.toml", "src/journal.rs", "src/lib.rs", "src/op.rs", "tests/conformance.rs"];
    assert_eq!(files.keys().copied().collect::<Vec<_>>(), expected);
    for (file, text) in files {
        let text = text.replace("/path/to/enki/enki-core", "../../../enki-core");
        let text = text.replace("/path/to/enki/enki-testkit", "../..");
        assert_eq!(text, fs::read_to_string(here.join(file)).expect("a file of the crate"), "{file}");
    }
}
