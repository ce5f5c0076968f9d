//! The layers inside the crate: nothing names what is above it. Read from the `use crate::` lines and other mentions of
//! `crate::` in the source, so that a module that is not in the table fails too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. A module may name those of its own layer and of layers before it.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "words",
        &[
            "id",
            "time",
            "branch",
            "tier",
            "role",
            "gv",
            "verdict",
            "retry",
            "limits",
            "budget",
            "crash",
            "crash_point",
            "redact",
        ],
    ),
    ("plans", &["spec", "review", "plan", "advice"]),
    ("what backends are asked and answer", &["agent", "workspace", "refinery", "store"]),
    ("machines", &["chain", "execution", "mail", "merge_queue", "wake"]),
    ("what joins them", &["dispatcher", "prompt"]),
    ("what a log tells", &["recall", "audit"]),
    ("all machines together", &["engine"]),
    ("stored format", &["record"]),
    ("a store in memory", &["memory"]),
    ("driver", &["driver"]),
];

#[test]
fn nothing_names_what_is_above_it() {
    let layer: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(n, (_, modules))| modules.iter().map(move |m| (*m, n))).collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files(&src) {
        let inside = file.strip_prefix(&src).expect("it was found there");
        let module = inside.iter().next().and_then(|part| part.to_str()).unwrap_or_default().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(own) = layer.get(module) else {
            wrong.push(format!("{}: module {module} has no place in the table", inside.display()));
            continue;
        };
        for (n, named) in mentions(&fs::read_to_string(&file).expect("it can be read")) {
            match layer.get(named.as_str()) {
                Some(other) if other <= own => {}
                Some(_) => wrong.push(format!("{}:{n}: {module} names {named}, which is above it", inside.display())),
                None => wrong.push(format!("{}:{n}: {named} has no place in the table", inside.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_trait_of_a_backend_names_no_other_backend() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let backends = ["agent", "workspace", "refinery", "store"];
    for module in backends {
        let text = fs::read_to_string(src.join(format!("{module}.rs"))).expect("it can be read");
        for (n, named) in mentions(&text) {
            assert!(named == module || !backends.contains(&named.as_str()), "{module}.rs:{n} names {named}");
        }
    }
}

/// The modules named in code, with their lines; comments are free to point anywhere. What tests use does not count.
fn mentions(text: &str) -> Vec<(usize, String)> {
    let code = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    let code = code.filter(|(_, line)| !line.trim_start().starts_with("//"));
    let named = |line: &str| -> Vec<String> {
        let of = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
        line.split("crate::").skip(1).map(of).filter(|name| !name.is_empty()).collect()
    };
    code.flat_map(|(n, line)| named(line).into_iter().map(move |name| (n + 1, name))).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the source is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
