//! Rows 17 to 28 of the table of bad inputs: each ends with exit 2 and says where, what and what to do. The whole
//! output is kept as a snapshot, one for each row.

use crate::common::{call, call_with};
use enki_cli::Exit;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Checks plans given as (file name, text) and keeps all that is printed.
fn refused(row: u32, plans: &[(&str, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = String::new();
    for (name, text) in plans {
        std::fs::write(dir.path().join(name), text).unwrap();
        let answer = call(dir.path(), &["plan", "check", name]);
        let shown = if text.len() < 600 {
            text.escape_debug().to_string().replace("\\n", "\n").replace("\\\"", "\"")
        } else {
            "...".into()
        };
        let _ = writeln!(seen, "== {name}\n{shown}\n--\n{}", answer.whole(dir.path()));
        assert_eq!(answer.exit, Exit::Usage, "bad input {row}: {name}\n{seen}");
        assert!(answer.stderr.contains("hint: ") && answer.stdout.is_empty(), "bad input {row}: {seen}");
        let clean =
            |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{200e}'..='\u{200f}'));
        assert!(answer.stderr.chars().all(clean), "bad input {row}: {seen}");
    }
    insta::assert_snapshot!(format!("bad_input_{row}"), seen);
}

fn step(id: &str) -> String {
    format!("{{\"id\": {}, \"title\": \"T\", \"description\": \"D\"}}", serde_json::Value::from(id))
}

fn plan(steps: &[String]) -> String {
    format!("{{\"steps\": [\n{}\n]}}", steps.join(",\n"))
}

fn plan_with(fields: &str) -> String {
    format!("[[steps]]\nid = \"a\"\ntitle = \"T\"\ndescription = \"D\"\n{fields}\n")
}

#[test]
fn bad_input_17_nothing_to_do() {
    refused(
        17,
        &[
            ("empty.json", ""),
            ("blank.toml", "\n\n  \n"),
            ("empty.yaml", ""),
            ("comment.yaml", "# nothing\n"),
            ("list.json", "[]"),
            ("null.json", "null"),
            ("none.json", "{\"steps\": []}"),
            ("none.yaml", "title: x\n"),
            ("word.yaml", "hello"),
        ],
    );
}

#[test]
fn bad_input_18_syntax() {
    refused(
        18,
        &[
            ("comma.json", "{\n  \"steps\": [],\n}"),
            ("quote.json", "{\"title\": 'x'}"),
            ("open.json", "{\"steps\": [{\"id\": \"a\""),
            ("text.json", "{\"title\": \"line\n\"}"),
            ("word.json", "{\"checkpoint\": True}"),
            ("more.json", "{\"steps\": []} x"),
            ("number.json", "{\"timeout\": 007}"),
            ("value.toml", "title = \nland = \"end\"\n"),
            ("quote.toml", "title = \"x\n"),
            ("header.toml", "[[steps]\nid = \"a\"\n"),
            ("tab.yaml", "steps:\n\t- id: a\n"),
            ("colon.yaml", "steps:\n  - id: a\n    title: b: c\n"),
            ("flow.yaml", "steps: [a, b\n"),
            ("two.yaml", "title: a\n---\ntitle: b\n"),
            ("latin1.json", "\u{fffd}"),
        ],
    );
}

#[test]
fn bad_input_18_bytes_that_are_no_text() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, words) in [
        ("latin1.toml", &b"title = \"caf\xe9\"\n"[..], "latin1.toml:1:13"),
        ("utf16.json", &b"\xff\xfe{\0}\0"[..], "UTF-16"),
        ("nul.json", &b"{\"title\": \"a\0b\"}"[..], "nul.json:1:13"),
    ] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        let answer = call(dir.path(), &["plan", "check", name]);
        assert!(answer.exit == Exit::Usage && answer.stderr.contains(words), "{}", answer.stderr);
    }
}

#[test]
fn bad_input_19_byte_order_marks_line_ends_and_tabs_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.json", "\u{feff}{\t\"steps\": [\r\n\t{\"id\":\t\"a\", \"title\": \"T\", \"description\": \"D\"}\r\n]}\r\n"),
        ("a.toml", "\u{feff}[[steps]]\r\nid\t= \"a\"\r\ntitle = \"T\"\r\ndescription = \"D\"\r\n"),
        ("a.yaml", "\u{feff}steps:\r\n  - id: a\r\n    title: T\r\n    description: D\r\n"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
        let answer = call(dir.path(), &["plan", "check", name]);
        assert_eq!(answer.exit, Exit::Ok, "{name}: {}", answer.stderr);
    }
}

#[test]
fn bad_input_20_given_twice() {
    refused(
        20,
        &[
            ("key.json", "{\"title\": \"a\",\n \"land\": \"end\",\n \"title\": \"b\", \"steps\": []}"),
            ("key.toml", "title = \"a\"\n[[steps]]\nid = \"a\"\ntitle = \"b\"\nid = \"c\"\n"),
            ("table.toml", "[defaults]\ntier = \"light\"\n[defaults]\nrole = \"ralph\"\n"),
            ("key.yaml", "title: a\nsteps: []\ntitle: b\n"),
            ("names.yaml", "steps:\n  - id: a\n    needs: [b]\n    depends_on: [c]\n"),
            ("id.json", &plan(&[step("a"), step("b"), step("a")])),
            ("id.yaml", "steps:\n- {id: a, title: T, description: D}\n- {task_id: a, title: T, description: D}\n"),
        ],
    );
}

#[test]
fn bad_input_21_ids_that_are_no_ids() {
    let long = "a".repeat(65);
    let ids = ["../../etc", "a/b", ".", "", &long, "-rf", "CON", "a\0b", "a\nb", "🙂", "a\u{202e}b", "a b", "é"];
    let plan = plan(&ids.map(step));
    refused(21, &[("ids.json", &plan)]);
}

#[test]
fn bad_input_22_ids_that_differ_by_form_only() {
    refused(
        22,
        &[
            ("case.json", &plan(&[step("build"), step("Build")])),
            ("form.json", &plan(&[step("e\u{301}"), step("\u{e9}")])),
        ],
    );
}

#[test]
fn bad_input_23_needs_that_cannot_be_met() {
    refused(
        23,
        &[
            (
                "unknown.yaml",
                "steps:\n- {id: build, title: T, description: D}\n- {id: b, title: T, description: D, needs: [biuld, {step: zzzzzz}]}\n",
            ),
            ("self.toml", &plan_with("needs = [\"a\"]")),
            ("blocking.toml", &plan_with("blocking = [\"a\", \"x\"]")),
            (
                "cycle.yaml",
                "steps:\n- {id: a, title: T, description: D}\n- {id: b, title: T, description: D, needs: [a, d]}\n\
                 - {id: c, title: T, description: D, blocked_by: [b]}\n- {id: d, title: T, description: D, depends_on: [c]}\n",
            ),
            ("both.toml", &plan_with("needs = [{ step = \"a\", task = \"b\" }]")),
            ("neither.toml", &plan_with("needs = [{ condition = \"merged\" }]")),
            ("shape.toml", &plan_with("needs = [7]")),
            ("word.toml", &plan_with("needs = \"b\"")),
        ],
    );
}

#[test]
fn bad_input_24_too_many_steps() {
    let chain = |n: usize| {
        let needs = |i: usize| if i == 0 { String::new() } else { format!(",\"needs\":[\"s{}\"]", i - 1) };
        let steps: Vec<String> =
            (0..n).map(|i| format!("{{\"id\":\"s{i}\",\"title\":\"T\",\"description\":\"D\"{}}}", needs(i))).collect();
        plan(&steps)
    };
    refused(24, &[("chain.json", &chain(10_000)), ("many.json", &chain(100_000))]);
}

#[test]
fn bad_input_25_too_large_or_too_deep() {
    let dir = tempfile::tempdir().unwrap();
    let huge = std::fs::File::create(dir.path().join("huge.yaml")).unwrap();
    huge.set_len(100 * 1024 * 1024).unwrap();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let alias = format!("*a{}, ", n - 1).repeat(9);
        let _ = writeln!(bomb, "a{n}: &a{n} [{}]", alias.trim_end_matches(", "));
    }
    for (name, text) in [
        ("deep.json", "[".repeat(100_000)),
        ("deep.toml", format!("steps = {}", "[".repeat(100_000))),
        ("deep.yaml", "- ".repeat(100_000)),
        ("flow.yaml", "{a: ".repeat(100_000)),
        ("bomb.yaml", bomb),
        ("many.json", format!("[{}0]", "0,".repeat(524_000))),
        ("many.toml", format!("steps = [{}0]", "0,".repeat(520_000))),
        ("many.yaml", format!("[{}0]", "0,".repeat(524_000))),
        ("lines.yaml", "- 0\n".repeat(260_000)),
        ("tables.toml", "[[a]]\n".repeat(170_000)),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let mut seen = String::new();
    for name in [
        "huge.yaml",
        "deep.json",
        "deep.toml",
        "deep.yaml",
        "flow.yaml",
        "bomb.yaml",
        "many.json",
        "many.toml",
        "many.yaml",
        "lines.yaml",
        "tables.toml",
    ] {
        let shown = limited(dir.path(), name);
        let title = shown.lines().next().unwrap_or("").to_owned();
        let _ = writeln!(seen, "{name}: {title}");
    }
    insta::assert_snapshot!("bad_input_25", seen);
}

/// Runs the binary with at most 64 MiB of data.
fn limited(dir: &Path, name: &str) -> String {
    let enki = assert_cmd::cargo::cargo_bin!("enki");
    let output = Command::new("sh")
        .args(["-c", "ulimit -d 65536 && exec \"$0\" plan check \"$1\""])
        .arg(enki)
        .arg(name)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{name}: {text}");
    text
}

#[test]
fn bad_input_26_unknown_fields() {
    refused(
        26,
        &[
            ("typo.toml", &plan_with("neeeds = [\"b\"]")),
            ("top.json", "{\"titel\": \"x\", \"steps\": []}"),
            ("scope.yaml", "steps:\n- id: a\n  title: T\n  description: D\n  scope: {file: [x]}\n"),
            ("far.json", "{\"frobnicate\": 1, \"steps\": []}"),
            ("need.toml", &plan_with("needs = [{ step = \"b\", conditon = \"merged\" }]")),
            ("missing.yaml", "steps:\n- title: T\n  description: D\n"),
        ],
    );
}

#[test]
fn bad_input_27_values_that_do_not_fit() {
    refused(
        27,
        &[
            ("tier.toml", &plan_with("tier = \"hevy\"")),
            ("role.toml", &plan_with("role = \"reseacher\"")),
            ("default.toml", &format!("defaults = {{ role = \"nobody\" }}\n{}", plan_with(""))),
            ("negative.toml", &plan_with("timeout = -5")),
            ("zero.toml", &plan_with("timeout = 0")),
            ("float.toml", &plan_with("timeout = 1e308")),
            (
                "huge.json",
                "{\"steps\": [{\"id\": \"a\", \"title\": \"T\", \"description\": \"D\", \"timeout\": 1e308}]}",
            ),
            ("text.toml", &plan_with("timeout = \"60\"")),
            ("number.yaml", "steps:\n- id: 7\n  title: T\n  description: D\n"),
            ("bool.yaml", "steps:\n- id: a\n  title: T\n  description: D\n  checkpoint: yes please\n"),
            ("score.toml", &plan_with("review = { min_score = 11 }")),
            ("nan.toml", &plan_with("review = { min_score = nan }")),
            ("review.toml", &plan_with("review = \"cod\"")),
            ("budget.toml", &format!("budget = {{ cost_usd = inf }}\n{}", plan_with(""))),
            ("target.toml", &format!("target = \"--upload-pack=sh\"\n{}", plan_with(""))),
            ("land.toml", &format!("land = \"never\"\n{}", plan_with(""))),
            ("schema.toml", &format!("schema = \"enki.plan.v9\"\n{}", plan_with(""))),
            ("condition.toml", &plan_with("needs = [{ step = \"b\", condition = \"done\" }]")),
            ("steps.json", "{\"steps\": {\"a\": 1}}"),
        ],
    );
}

#[test]
fn bad_input_28_titles_cannot_draw_on_the_screen() {
    refused(
        28,
        &[
            (
                "escape.json",
                "{\"steps\": [{\"id\": \"a\", \"title\": \"\\u001b[31mred\\nCo-authored-by: x\", \"description\": \"D\"}]}",
            ),
            ("raw.yaml", "steps:\n- id: a\n  title: \"\\e]0;owned\\a\\nCo-authored-by: x\"\n  description: D\n"),
            ("turned.toml", &plan_with("role = \"\u{202e}x\"")),
        ],
    );
    // One line that is a title, but not clean: accepted, and escaped wherever it is shown.
    let dir = tempfile::tempdir().unwrap();
    let text = "{\"title\": \"a\\u001b[31m\\u202eb\", \"steps\": [{\"id\": \"a\", \"title\": \"x\\u001b]0;y\\u0007\", \"description\": \"D\"}]}";
    std::fs::write(dir.path().join("p.json"), text).unwrap();
    for picture in [&[][..], &["--dot"], &["--svg"]] {
        let answer = call(dir.path(), &[&["plan", "graph", "p.json"], picture].concat());
        assert_eq!(answer.exit, Exit::Ok, "{}", answer.stderr);
        assert!(!answer.stdout.contains('\u{1b}') && !answer.stdout.contains('\u{7}'), "{}", answer.stdout);
    }
}

#[test]
fn the_aliases_of_fields_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let text = "steps:\n- {task_id: a, title: T, description: D, agent: ralph, blocking: [b], expected_outcome: it passes}\n\
                - {id: b, title: T, description: D}\n- {id: c, title: T, description: D, blocked_by: [b]}\n";
    std::fs::write(dir.path().join("p.yml"), text).unwrap();
    let answer = call(dir.path(), &["plan", "graph", "p.yml"]);
    insta::assert_snapshot!(answer.whole(dir.path()));
}

#[test]
fn a_plan_is_read_from_standard_input_in_any_format() {
    let dir = tempfile::tempdir().unwrap();
    for text in [
        "{\"steps\": [{\"id\": \"a\", \"title\": \"T\", \"description\": \"D\"}]}",
        "# a plan\n[[steps]]\nid = \"a\"\ntitle = \"T\"\ndescription = \"D\"\n",
        "steps:\n- id: a\n  title: T\n  description: D\n",
    ] {
        let answer = call_with(dir.path(), &["plan", "check", "-"], &[], text);
        assert_eq!(answer.exit, Exit::Ok, "{}", answer.stderr);
    }
}
