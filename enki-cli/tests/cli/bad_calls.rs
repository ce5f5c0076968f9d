//! Rows 1 to 16 and 31 to 37 of the table of bad inputs, as far as they need no running agents.

use crate::common::{call, call_with, enki, git, repository};
use enki_cli::Exit;
use std::fs;
use std::process::Command;

#[test]
fn bad_input_1_unknown_commands_and_flags_name_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = String::new();
    for args in [
        &["plna"][..],
        &["plan", "chek", "x"],
        &["--jsn", "roles"],
        &["roles", "reseacher"],
        &["help", "innit"],
        &["plan", "check"],
    ] {
        let answer = call(dir.path(), args);
        assert_eq!(answer.exit, Exit::Usage, "{args:?}");
        seen.push_str(&format!("$ enki {}\n{}\n", args.join(" "), answer.whole(dir.path())));
    }
    let answer = call(dir.path(), &["plna", "--json"]);
    seen.push_str(&format!("$ enki plna --json\n{}", answer.whole(dir.path())));
    insta::assert_snapshot!(seen);
}

#[test]
fn bad_input_2_and_3_outside_a_repository_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["run", "--task", "Do it"][..], &["status"], &["resume"], &["pause", "exec-1"]] {
        let answer = call(dir.path(), args);
        assert_eq!(answer.exit, Exit::Environment, "{args:?}");
        let named = answer.stderr.contains("`enki init`") && answer.stderr.contains(dir.path().to_str().unwrap());
        assert!(named, "{}", answer.stderr);
    }
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());

    git(dir.path(), &["init", "-q", "--bare"]);
    let answer = call(dir.path(), &["init"]);
    assert!(answer.exit == Exit::Environment && answer.stderr.contains("bare"), "{}", answer.stderr);

    let unborn = dir.path().join("unborn");
    fs::create_dir(&unborn).unwrap();
    git(&unborn, &["init", "-q"]);
    let answer = call(&unborn, &["run", "--task", "Do it"]);
    assert!(answer.exit == Exit::Environment && answer.stderr.contains("no commit yet"), "{}", answer.stderr);
}

#[test]
fn init_is_idempotent_and_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = repository(&dir.path().join("repo"));
    fs::create_dir_all(root.join("src")).unwrap();
    assert_eq!(call(&root.join("src"), &["init"]).exit, Exit::Ok);
    assert_eq!(fs::read_to_string(root.join(".enki/.gitignore")).unwrap(), "*\n");
    fs::write(root.join(".enki/enki.toml"), "[workers]\nmax_heavy = 3\n").unwrap();
    let again = call(&root, &["init"]);
    assert!(again.exit == Exit::Ok && again.stdout.contains("nothing changed"), "{}", again.stdout);
    assert_eq!(fs::read_to_string(root.join(".enki/enki.toml")).unwrap(), "[workers]\nmax_heavy = 3\n");
}

#[test]
fn the_settings_that_init_writes_are_all_known() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path());
    assert_eq!(call(dir.path(), &["init"]).exit, Exit::Ok);
    let path = dir.path().join(".enki/enki.toml");
    let text = fs::read_to_string(&path).unwrap();
    let set: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|l| l.starts_with('[') || l.contains(" = ") && !l.contains("=  #"))
        .collect();
    fs::write(&path, set.join("\n")).unwrap();
    let answer = call(dir.path(), &["config", "show", "--origin"]);
    assert!(answer.exit == Exit::Ok && !answer.stderr.contains("warning"), "{}", answer.stderr);
    assert!(answer.stdout.contains("enki.toml:"), "{}", answer.stdout);
}

#[test]
fn bad_input_9_a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = enki(dir.path()).args(["plan", "schema"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(output.stderr.is_empty());
}

#[test]
fn bad_input_12_a_deleted_working_directory_and_odd_paths() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let script = "cd gone && rmdir ../gone && exec \"$0\" init";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(assert_cmd::cargo::cargo_bin!("enki"))
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));

    use std::os::unix::ffi::OsStrExt as _;
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9 \x1b[31m"));
    repository(&odd);
    let output = enki(&odd).arg("init").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(odd.join(".enki/.gitignore").is_file());
    assert!(!output.stdout.contains(&0x1b));
}

#[test]
fn bad_input_13_home_must_be_known() {
    let dir = tempfile::tempdir().unwrap();
    let answer = call_with(dir.path(), &["config", "show"], &[("HOME", "")], "");
    assert!(answer.exit == Exit::Environment && answer.stderr.contains("HOME"), "{}", answer.stderr);
}

/// A project with these files, and what `config show --origin` says there.
fn shown(files: &[(&str, &str)], env: &[(&str, &str)]) -> crate::common::Answer {
    let dir = tempfile::tempdir().unwrap();
    for part in [".git", ".enki", "home/.config/enki"] {
        fs::create_dir_all(dir.path().join(part)).unwrap();
    }
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    // Whatever is installed here is not what this is about.
    let env = [env, &[("PATH", "/nowhere")]].concat();
    let mut answer = call_with(dir.path(), &["config", "show", "--origin"], &env, "");
    let real = dir.path().to_str().unwrap();
    answer.stdout = answer.stdout.replace(real, "[DIR]");
    answer.stderr = answer.stderr.replace(real, "[DIR]");
    answer
}

#[test]
fn layers_win_field_by_field_and_tell_where_a_value_comes_from() {
    let answer = shown(
        &[
            ("home/.config/enki.toml", "[models]\nlight = \"a\"\nstandard = \"a\"\n"),
            (
                "home/.config/enki/config.toml",
                "models.standard = \"b\"\nagent.env = { X = \"1\", Y = \"1\" }\nstore.any_file_system = true\n",
            ),
            ("enki.toml", "verify = \"true\"\n[workers]\nmax_heavy = 2\nmax_light = 2\n[agent.env]\nY = \"2\"\n"),
            (".enki/enki.toml", "[workers]\nmax_light = 3\n[agent]\nargs = [\"-p\", \"x\"]\n"),
        ],
        &[("ENKI_WORKERS_MAX_WORKERS", "4"), ("ENKI_REVIEW_HEAVY", "none"), ("ENKI_TIER", "light")],
    );
    assert_eq!(answer.exit, Exit::Ok, "{}", answer.stderr);
    insta::assert_snapshot!(answer.stdout + &answer.stderr);
}

#[test]
fn bad_input_31_without_files_the_defaults_hold_and_that_is_said() {
    let answer = shown(&[], &[]);
    assert!(answer.exit == Exit::Ok && answer.stderr.contains("the defaults hold"), "{}", answer.stderr);
}

#[test]
fn bad_input_32_files_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("repo");
    fs::create_dir_all(root.join(".git")).unwrap();
    let path = root.join("enki.toml");

    fs::create_dir(&path).unwrap();
    let answer = call(&root, &["config", "show"]);
    assert!(answer.exit == Exit::Usage && answer.stderr.contains("is a folder"), "{}", answer.stderr);
    fs::remove_dir(&path).unwrap();

    fs::write(dir.path().join("outside.toml"), "[workers]\nmax_heavy = 1\n").unwrap();
    std::os::unix::fs::symlink("../outside.toml", &path).unwrap();
    let answer = call(&root, &["config", "show"]);
    assert!(answer.exit == Exit::Usage && answer.stderr.contains("leads out of the project"), "{}", answer.stderr);
    fs::remove_file(&path).unwrap();

    std::os::unix::fs::symlink("nowhere.toml", &path).unwrap();
    let answer = call(&root, &["config", "show"]);
    assert!(answer.exit == Exit::Usage && answer.stderr.contains("leads nowhere"), "{}", answer.stderr);
    fs::remove_file(&path).unwrap();

    // Readable by name, but not by content: reading another program's memory fails for everybody.
    fs::create_dir_all(root.join("home/.config/enki")).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", root.join("home/.config/enki/config.toml")).unwrap();
    let answer = call(&root, &["config", "show"]);
    assert!(answer.exit == Exit::Environment && answer.stderr.contains("cannot read"), "{}", answer.stderr);
}

#[test]
fn bad_input_35_a_project_cannot_grant_trust() {
    let answer = shown(&[("enki.toml", "[store]\nany_file_system = true\n")], &[]);
    assert!(answer.exit == Exit::Ok && answer.stderr.contains("only from your own configuration"), "{}", answer.stderr);
    assert!(answer.stdout.contains("store.any_file_system = false"), "{}", answer.stdout);
}

#[test]
fn bad_input_36_values_that_do_not_fit() {
    for text in [
        "[review]\nmax_rounds = 0\n",
        "[workers]\nmax_heavy = 0\n",
        "[workers]\nmax_heavy = 1001\n",
        "[workers]\nmax_heavy = \"two\"\n",
        "[workers]\nsonnet_only = 1\n",
        "[review]\nheavy = \"cod\"\n",
        "workers = 3\n",
        "[agent]\nargs = [1]\n",
        "[agent.env]\nENKI_TIER = \"light\"\n",
        "[workers\n",
        "[workers]\nmax_heavy = 1\nmax_heavy = 2\n",
    ] {
        let answer = shown(&[("enki.toml", text)], &[]);
        assert_eq!(answer.exit, Exit::Usage, "{text}");
        assert!(answer.stderr.contains("[DIR]/enki.toml:"), "{text}: {}", answer.stderr);
    }
    let answer = shown(&[], &[("ENKI_WORKERS_MAX_HEAVY", "many")]);
    assert!(answer.exit == Exit::Usage && answer.stderr.contains("ENKI_WORKERS_MAX_HEAVY"), "{}", answer.stderr);
}

#[test]
fn unknown_keys_are_reported_with_the_nearest_and_do_not_stop() {
    let answer = shown(
        &[("enki.toml", "[workers]\nmax_hevy = 1\n[refinary]\ncheck = \"true\"\n[git]\nrespect_hooks = true\n")],
        &[],
    );
    assert_eq!(answer.exit, Exit::Ok);
    insta::assert_snapshot!(answer.stderr);
}

#[test]
fn bad_input_37_secrets_are_never_echoed() {
    let secret = "sk-ant-api03-abcdefghijklmnop";
    let text = format!(
        "[agent]\nargs = [\"--key={secret}\"]\n[agent.env]\nANTHROPIC_API_KEY = \"{secret}\"\nMY_TOKEN = \"hunter2hunter2\"\n"
    );
    let answer = shown(&[(".enki/enki.toml", &text)], &[]);
    let all = answer.stdout + &answer.stderr;
    assert_eq!(answer.exit, Exit::Ok);
    assert_eq!(all.matches("seems to hold a secret").count(), 3, "{all}");
    assert!(!all.contains(secret) && !all.contains("hunter2"), "{all}");
}

#[test]
fn colour_follows_flag_then_variables() {
    let dir = tempfile::tempdir().unwrap();
    for (args, env, colour) in [
        (&["plna"][..], &[][..], false),
        (&["plan", "check", "no.toml", "--color", "always"], &[], true),
        (&["plan", "check", "no.toml"], &[("CLICOLOR_FORCE", "1")], true),
        (&["plan", "check", "no.toml"], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&["plan", "check", "no.toml", "--color", "never"], &[("CLICOLOR_FORCE", "1")], false),
    ] {
        let answer = call_with(dir.path(), args, env, "");
        assert_eq!(answer.stderr.contains('\u{1b}'), colour, "{args:?} {env:?}: {:?}", answer.stderr);
    }
}

#[test]
fn schema_completions_and_manual_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let schema: serde_json::Value = serde_json::from_str(&call(dir.path(), &["plan", "schema"]).stdout).unwrap();
    assert_eq!(schema["title"], "enki.plan.v1");
    assert!(call(dir.path(), &["completions", "bash"]).stdout.contains("_enki"));
    assert!(call(dir.path(), &["man", "plan", "check"]).stdout.contains(".TH"));
    insta::assert_snapshot!(call(dir.path(), &["help", "exit-codes"]).stdout);
}
