//! Every input of every corpus, on a stable compiler; and what each can be grown to.

use enki_fuzz::mutate::{Random, mutated};
use enki_fuzz::{TARGETS, Target, corpus, trial};

/// One test for each target, so that a failure names it.
macro_rules! each {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            survives($name);
        })*

        #[test]
        fn every_target_is_tried() {
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), [$($name),*]);
        }
    };
}

each! {
    plans_in_toml "plan-toml"
    plans_in_yaml "plan-yaml"
    plans_in_json "plan-json"
    configurations "config"
    sessions_of_mcp "mcp"
    streams_of_agents "agent-stream"
    tags_of_agents "tags"
    stored_logs "log"
    names_of_all_kinds "names"
    notes_of_people "notes"
}

fn survives(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    let inputs = corpus(target);
    assert!(!inputs.is_empty(), "{name} begins with nothing");
    for (path, input) in &inputs {
        assert_eq!(trial(target, input), Ok(()), "{}", path.display());
    }
    let inputs: Vec<Vec<u8>> = inputs.into_iter().map(|(_, input)| input).collect();
    megabytes(target, &inputs);
    // A taste of what the program does for minutes, always the same.
    let mut random = Random::new(1);
    for n in 0..30 {
        let input = mutated(&mut random, &inputs);
        assert_eq!(trial(target, &input), Ok(()), "mutation {n} of seed 1");
    }
}

/// The largest of the corpus over and over, and brackets to the limit of S12.
fn megabytes(target: &Target, inputs: &[Vec<u8>]) {
    let largest = inputs.iter().max_by_key(|input| input.len()).expect("an input");
    // Without optimisation a megabyte takes its minutes; `cargo test --release` puts the limit itself to it.
    let most = if cfg!(debug_assertions) { 1 << 18 } else { 1 << 20 };
    let mut grown: Vec<Vec<u8>> = vec![largest.iter().copied().cycle().take(most).collect()];
    for piece in ["{\"a\":[", "<gv>{", "a: &a [*a]\n", "x\n"] {
        grown.push(piece.bytes().cycle().take(most).collect());
    }
    for input in grown {
        let head = String::from_utf8_lossy(&input[..20]).into_owned();
        assert_eq!(trial(target, &input), Ok(()), "{} much of {head:?}", target.name);
    }
}
