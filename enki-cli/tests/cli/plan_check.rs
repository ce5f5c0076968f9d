//! What `enki plan check` says of good plans, and what recipes and approval make of a run.

use crate::common::{Answer, call, call_with, enki, git, repository};
use enki_cli::Exit;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

fn check(text: &str, args: &[&str]) -> Answer {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plan.toml"), text).unwrap();
    call(dir.path(), &[&["plan", "check", "plan.toml"], args].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(&check(text, &["--json"]).stdout).unwrap()
}

/// The plan in the README, between its fences.
fn readme_plan() -> &'static str {
    let readme = include_str!("../../../README.md");
    let start = readme.find("# plan.toml\n").expect("it has a plan");
    let end = readme[start..].find("```").expect("it ends");
    &readme[start..start + end]
}

const DEMO: &str = include_str!("../../src/commands/demo/plan.toml");

/// Everything that is advised against, once.
const POOR: &str = r#"
title = "Profiles"
[[steps]]
id = "types"
title = "Add profile types"
description = "Create src/profile.rs with Profile and ProfileUpdate, two plain records."
done_when = "cargo check passes"
blocking = ["page"]
[[steps]]
id = "page"
title = "Build the page"
description = "Make it nice."
[[steps]]
id = "routes"
title = "Add routes and pages and tests"
description = "Add GET and PUT /profile in src/routes.rs, both of them with a ProfileUpdate."
done_when = "cargo test passes"
skills = ["axum"]
scope = { files = ["src/routes.rs"] }
[[steps]]
id = "more"
title = "Add the migration of routes"
tier = "light"
description = "Add DELETE /profile in src/routes.rs, as in step routes, which fails now."
done_when = "cargo test passes"
"#;

#[test]
fn the_plans_that_people_see_first_get_no_advice() {
    for plan in [readme_plan(), DEMO] {
        let answer = check(plan, &["--strict"]);
        assert!(answer.exit == Exit::Ok && answer.stderr.is_empty(), "{}{}", answer.stdout, answer.stderr);
    }
    insta::assert_snapshot!(check(DEMO, &[]).stdout);
}

#[test]
fn advice_is_shown_at_its_place_and_only_strict_fails_on_it() {
    let answer = check(POOR, &[]);
    assert_eq!(answer.exit, Exit::Ok);
    insta::assert_snapshot!(format!("{}--\n{}", answer.stderr, answer.stdout));
    assert_eq!(check(POOR, &["--strict"]).exit, Exit::Usage);
    let value: Value = serde_json::from_str(&check(POOR, &["--strict", "--json"]).stdout).unwrap();
    assert_eq!(value["ok"], false);
}

#[test]
fn json_has_all_of_it() {
    let text = serde_json::to_string_pretty(&json(POOR)).unwrap();
    insta::assert_snapshot!(text);
    for warning in json(POOR)["advice"].as_array().unwrap() {
        for key in ["step", "rule", "message", "help", "line", "column"] {
            assert!(!warning[key].is_null(), "{key}: {warning}");
        }
    }
}

#[test]
fn a_role_and_skills_are_suggested_where_asked_for_and_as_configured() {
    assert!(!check(readme_plan(), &[]).stdout.contains("looks like"));
    insta::assert_snapshot!(check(readme_plan(), &["-v"]).stdout);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".git")).unwrap();
    fs::write(dir.path().join("plan.toml"), readme_plan()).unwrap();
    let settings = "[agents]\napi = \"ralph\"\n[skills]\napi = [\"axum\"]\nprotocol = [\"house-rules\"]\n";
    fs::write(dir.path().join("enki.toml"), settings).unwrap();
    let answer = call(dir.path(), &["plan", "check", "plan.toml", "-v"]);
    assert!(
        answer.stdout.contains("routes looks like api: role \"ralph\", skills axum, house-rules"),
        "{}",
        answer.stdout
    );
    assert_eq!(answer.stderr.matches("[protocol-skills]").count(), 3, "the table says so: {}", answer.stderr);
    fs::write(dir.path().join("enki.toml"), "[agents]\napii = \"ralph\"\n").unwrap();
    let answer = call(dir.path(), &["plan", "check", "plan.toml"]);
    assert!(answer.stderr.contains("did you mean \"agents.api\"?"), "{}", answer.stderr);
}

#[test]
fn a_plan_is_looked_at_without_a_home_too() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plan.toml"), DEMO).unwrap();
    let answer = call_with(dir.path(), &["plan", "check", "plan.toml"], &[("HOME", "")], "");
    assert_eq!(answer.exit, Exit::Ok, "{}", answer.stderr);
}

const RECIPE: &str = r#"
title = "A new module"
recipe = "scaffold-first"
[[steps]]
id = "a"
title = "Add part a"
description = "Do it."
scope = { directories = ["parts/a"] }
[[steps]]
id = "b"
title = "Add part b"
description = "Do it."
scope = { directories = ["parts/b"] }
"#;

#[test]
fn a_recipe_is_shown_and_skipped_by_its_rule_and_an_unknown_one_is_refused() {
    let answer = check(RECIPE, &[]);
    insta::assert_snapshot!(answer.stdout);
    assert_eq!(json(RECIPE)["recipe"]["applied"], true);
    assert_eq!(json(&RECIPE.replace("A new module", "Fix the module"))["recipe"]["why"], "it is a bug fix");

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plan.toml"), RECIPE).unwrap();
    for folder in [".git", "parts/a", "parts/b"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    // From a folder below, too: scopes are relative to the project.
    let answer = call(&dir.path().join("parts"), &["plan", "check", "../plan.toml"]);
    assert!(answer.stdout.contains("is skipped: all folders it names exist already"), "{}", answer.stdout);
    let graph = call(dir.path(), &["plan", "graph", "plan.toml"]);
    assert!(!graph.stdout.contains("scaffold") && graph.stderr.contains("skipped"), "{}", graph.stdout);

    let answer = check(&RECIPE.replace("scaffold-first", "scafold-first"), &[]);
    assert_eq!(answer.exit, Exit::Usage);
    assert!(answer.stderr.contains("plan.toml:3:") && answer.stderr.contains("did you mean \"scaffold-first\"?"));
}

#[test]
fn problems_of_a_plan_with_a_recipe_are_at_the_lines_as_written() {
    let answer = check(&RECIPE.replace("id = \"b\"", "id = \"b\"\nneeds = [\"c\"]"), &[]);
    assert!(answer.exit == Exit::Usage && answer.stderr.contains("steps[1].needs[0]"), "{}", answer.stderr);
}

/// A project with an agent that writes a file for each step.
struct Place {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl Place {
    fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = repository(&dir.path().join("p"));
        fs::create_dir_all(root.join(".enki")).unwrap();
        let agent = r#"cat >/dev/null; mkdir -p parts/a parts/b; echo x >"parts/a/$ENKI_STEP_ID"; echo x >parts/b/x"#;
        let text = format!("[agent]\ncommand = \"sh\"\nargs = [\"-c\", {agent:?}]\n{settings}");
        fs::write(root.join(".enki/enki.toml"), text).unwrap();
        fs::write(dir.path().join("plan.toml"), RECIPE).unwrap();
        Self { dir, root }
    }

    fn enki(&self, args: &[&str]) -> Output {
        enki(&self.root).args(args).output().unwrap()
    }

    fn run(&self) -> Output {
        self.enki(&["run", self.dir.path().join("plan.toml").to_str().unwrap()])
    }

    fn executions(&self) -> Value {
        serde_json::from_slice(&self.enki(&["status", "--json"]).stdout).unwrap()
    }
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn files(root: &Path) -> Vec<String> {
    git(root, &["ls-tree", "--name-only", "main", "parts/a/"]).lines().map(str::to_owned).collect()
}

const ALL: [&str; 4] = ["parts/a/a", "parts/a/b", "parts/a/scaffold", "parts/a/tests"];

#[test]
fn what_a_recipe_divided_is_held_until_a_person_says_go() {
    for release in [&["resume"][..], &["decide", "ID", "approve"]] {
        let place = Place::new("");
        let output = place.run();
        let text = said(&output);
        assert_eq!(code(&output), Some(8), "{text}");
        for part in ["\"scaffold\" comes first", "wave 2  a, b", "approval of the decomposition", "enki resume"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(files(&place.root), [""; 0], "nothing has started");
        let all = place.executions();
        assert_eq!(all["executions"][0]["status"], "held", "{all}");
        let id = all["executions"][0]["id"].as_str().unwrap().to_owned();
        // The same plan again is the same execution, and is still held.
        assert_eq!(code(&place.run()), Some(8));
        let args: Vec<&str> = release.iter().map(|arg| if *arg == "ID" { &id } else { *arg }).collect();
        let output = place.enki(&args);
        assert_eq!(code(&output), Some(0), "{}", said(&output));
        if release[0] == "decide" {
            // Once the folders are there the recipe would be skipped; the plan as written is the same all the same.
            for folder in ["parts/a", "parts/b"] {
                fs::create_dir_all(place.root.join(folder)).unwrap();
            }
            let output = place.run();
            assert_eq!(code(&output), Some(0), "{}", said(&output));
            assert!(said(&output).contains("is this plan already"), "{}", said(&output));
        }
        assert_eq!(files(&place.root), ALL);
        assert_eq!(place.executions()["executions"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn autonomous_goes_at_once_and_so_does_what_a_person_wrote() {
    for settings in ["[approval]\npreset = \"justvibes\"\n", "[approval]\ndecomposition = \"auto\"\n"] {
        let place = Place::new(settings);
        let output = place.run();
        assert_eq!(code(&output), Some(0), "{}", said(&output));
        assert_eq!(files(&place.root), ALL);
    }
    let place = Place::new("[approval]\npreset = \"autonomous\"\ndecomposition = \"ask\"\n");
    assert_eq!(code(&place.run()), Some(8), "the point alone wins over the preset");
    let place = Place::new("");
    fs::write(place.dir.path().join("plan.toml"), RECIPE.replace("scaffold-first", "plain")).unwrap();
    let output = place.run();
    assert_eq!(code(&output), Some(0), "{}", said(&output));
}

#[test]
fn points_that_are_always_a_persons_are_refused_by_name() {
    for point in ["checkpoint", "stream_choice", "ship_to_main"] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".git")).unwrap();
        fs::write(dir.path().join("enki.toml"), format!("[approval]\n{point} = \"auto\"\n")).unwrap();
        let answer = call(dir.path(), &["config", "show"]);
        assert_eq!(answer.exit, Exit::Usage);
        let named = format!("approval.{point}");
        assert!(answer.stderr.contains(&named) && answer.stderr.contains("may not be \"auto\""), "{}", answer.stderr);
        let variable = format!("ENKI_APPROVAL_{}", point.to_uppercase());
        let answer = call_with(&dir.path().join(".git"), &["config", "show"], &[(&variable, "auto")], "");
        assert_eq!(answer.exit, Exit::Usage);
        fs::write(dir.path().join("enki.toml"), format!("[approval]\n{point} = \"ask\"\n")).unwrap();
        assert_eq!(call(dir.path(), &["config", "show"]).exit, Exit::Ok);
    }
}
