//! What a hostile agent tries, at each level of the sandbox that this machine gives: whole runs with the binary, a real
//! shell as agent, check, set-up and tear-down, and every outcome asserted cell by cell. `--nocapture` prints the table, which
//! docs/isolation.md has too.
//!
//! An attack has come through if its own last command says so, or if the host sees its mark. At level 0 those that touch
//! the repository have a run each, so that it is seen whether that one is found.

mod attacks;

use crate::common::{enki, git, repository};
use attacks::{ATTACKS, Attack, By, Cell, Needs};
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

/// A person's project and home, and what is worth attacking in them.
struct Bed {
    dir: tempfile::TempDir,
    root: PathBuf,
    victim: Child,
    shared: PathBuf,
    _listening: (UnixListener, UnixListener, TcpListener),
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.victim.kill());
        drop(self.victim.wait());
        drop(fs::remove_file(&self.shared));
    }
}

/// What an attacker greps for.
const SECRET: &str = "SECRET-of-the-person";

impl Bed {
    fn new(attacks: &[&Attack]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = repository(&dir.path().join("project"));
        let home = dir.path().join("home");
        for secret in [
            ".ssh/id_ed25519",
            ".aws/credentials",
            ".config/gh/hosts.yml",
            ".git-credentials",
            ".netrc",
            ".cargo/credentials.toml",
            ".cargo/bin/tool",
            ".bashrc",
            ".config/other",
        ] {
            put(&home.join(secret), SECRET);
        }
        put(&root.join(".env"), SECRET);
        put(&root.join(".enki/copies/other/secret"), SECRET);
        let unique = dir.path().file_name().unwrap().to_string_lossy().into_owned();
        let local = UnixListener::bind(home.join("agent.sock")).unwrap();
        let name = SocketAddr::from_abstract_name(format!("enki-{unique}")).unwrap();
        let abstracted = UnixListener::bind_addr(&name).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let victim = Command::new("sleep").arg("86399").env("HELD", SECRET).spawn().unwrap();
        let shared = Path::new("/tmp").join(format!("enki-hostile-{unique}"));
        let words = [
            ("@MAIN", root.display().to_string()),
            ("@HOME", home.display().to_string()),
            ("@VICTIM", victim.id().to_string()),
            ("@SHARED", shared.display().to_string()),
            ("@ABSTRACT", format!("enki-{unique}")),
            ("@PORT", tcp.local_addr().unwrap().port().to_string()),
            ("@SECRET", SECRET.to_owned()),
        ];
        // Results are in the output of the agent and of the check.
        let script = |by: By| {
            let mut script = String::from("cat >/dev/null\nMA=MA\n");
            for attack in attacks.iter().filter(|attack| attack.by == by) {
                // Not in one piece, so that the script itself has no mark.
                let mut text = attack.script.replace("@MARK", &format!("'\"$MA\"'{}", &mark(attack)[2..]));
                for (word, value) in &words {
                    text = text.replace(word, value);
                }
                script.push_str(&format!("if ( {text}\n) >/dev/null 2>&1; then echo '{}'; fi\n", came_through(attack)));
            }
            script
        };
        for (file, by) in [("check.sh", By::Check), ("setup.sh", By::SetUp), ("teardown.sh", By::TearDown)] {
            put(&root.join(file), &script(by));
        }
        put(&root.join(".gitignore"), ".env\n");
        git(&root, &["add", "check.sh", "setup.sh", "teardown.sh", ".gitignore"]);
        git(&root, &["commit", "-q", "-m", "a check"]);
        git(&root, &["checkout", "-q", "-b", "only"]);
        put(&root.join("only.txt"), "only");
        git(&root, &["add", "only.txt"]);
        git(&root, &["commit", "-q", "-m", "only here"]);
        git(&root, &["checkout", "-q", "main"]);
        let agent = dir.path().join("agent.sh");
        put(&agent, &format!("{}echo made >made.txt\n", script(By::Agent)));
        put(
            &root.join(".enki/enki.toml"),
            &format!(
                "[agent]\ncommand = \"sh\"\nargs = [{agent:?}]\n[refinery]\ncheck = \"sh ./check.sh\"\n[workers]\nretries = 0\n\
                 [workspace]\nsetup = \"sh ./setup.sh\"\nteardown = \"sh ./teardown.sh\"\n"
            ),
        );
        Self { dir, root, victim, shared, _listening: (local, abstracted, tcp) }
    }

    fn run(&self, level: u8) -> Output {
        let mut run = enki(&self.root);
        run.env("HOME", self.dir.path().join("home")).env("ENKI_SANDBOX_LEVEL", level.to_string());
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.dir.path().join("home/.cargo/bin").display());
        run.env("PATH", path).args(["run", "--task", "Do it"]).output().unwrap()
    }

    /// What the agent and the check said.
    fn said(&self) -> String {
        let mut said = String::new();
        each_file(&self.root.join(".enki/logs"), &mut |path| {
            said.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap_or_default()));
        });
        said
    }

    /// Where the host finds the mark of an attack, which no workspace counts as.
    fn is_marked(&mut self, attack: &Attack) -> bool {
        let mark = mark(attack);
        let mut found = fs::read_to_string(&self.shared).is_ok_and(|text| text.contains(&mark));
        let own = [".enki/copies", ".enki/logs", ".enki/private", ".enki/checks/1/tmp"].map(|own| self.root.join(own));
        each_file(self.dir.path(), &mut |path| {
            let other = path.starts_with(self.root.join(".enki/copies/other"));
            let skip = !other && own.iter().any(|own| path.starts_with(own));
            let text = if skip { Vec::new() } else { fs::read(path).unwrap_or_default() };
            found |= text.windows(mark.len()).any(|part| part == mark.as_bytes());
        });
        found || (attack.kills && self.victim.try_wait().unwrap().is_some())
    }
}

/// What the host looks for.
fn mark(attack: &Attack) -> String {
    format!("MARK-{}-", number(attack))
}

fn came_through(attack: &Attack) -> String {
    format!("CAME-{}-THROUGH", number(attack))
}

fn number(attack: &Attack) -> usize {
    ATTACKS.iter().position(|one| std::ptr::eq(one, attack)).unwrap()
}

fn put(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, format!("{text}\n")).unwrap();
}

fn each_file(folder: &Path, act: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => each_file(&entry.path(), act),
            Ok(kind) if kind.is_file() => act(&entry.path()),
            _ => {}
        }
    }
}

/// What became of each of these attacks in one run. `None`: the level is not to be had here, which was said.
fn outcomes(level: u8, attacks: &[&Attack]) -> Option<Vec<Cell>> {
    let mut bed = Bed::new(attacks);
    let run = bed.run(level);
    let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.code() == Some(3) && told.contains("the sandbox of level") {
        assert!(level == 2 || !has_landlock(), "the kernel has what level 1 needs: {told}");
        let why = told.lines().find(|line| line.contains("the sandbox of level")).unwrap_or_default();
        drop(writeln!(std::io::stderr(), "skipped: level {level}: {why}"));
        return None;
    }
    assert!(told.contains(&format!("sandbox level {level}:")), "{told}");
    let said = bed.said();
    let found = told.contains("your repository was changed while the agent worked") || told.contains("notice");
    let outcome = |attack: &&Attack| {
        // In a tree of its own it may write into what is not the person's; then only the host knows.
        let leaves_mark = attack.script.contains("@MARK");
        if bed.is_marked(attack) || (!leaves_mark && said.contains(&came_through(attack))) {
            if found && attacks.len() == 1 { Cell::Detected } else { Cell::Open }
        } else {
            Cell::Blocked
        }
    };
    Some(attacks.iter().map(outcome).collect())
}

/// Whether the kernel itself says so: then a level 1 that cannot be had is a fault of ours.
fn has_landlock() -> bool {
    let version = "exit(syscall(444, 0, 0, 1) > 0 ? 0 : 1)";
    Command::new("/usr/bin/perl").args(["-e", version]).status().is_ok_and(|status| status.success())
}

#[test]
fn every_attack_has_the_outcome_that_is_promised_at_each_level() {
    let root = rustix::process::geteuid().is_root();
    let perl = Command::new("/usr/bin/perl").arg("-e1").status().is_ok_and(|status| status.success());
    let x86 = cfg!(target_arch = "x86_64");
    let can = |attack: &&Attack| match attack.needs {
        Needs::Nothing | Needs::Machine => true,
        Needs::Root => root,
        Needs::Perl => perl && x86,
        Needs::PerlAsRoot => root && perl && x86,
    };
    let (tried, left): (Vec<&Attack>, Vec<&Attack>) = ATTACKS.iter().partition(can);
    for attack in left {
        drop(writeln!(std::io::stderr(), "skipped: {}: needs {:?}", attack.name, attack.needs));
    }
    let mut columns: Vec<Option<Vec<Cell>>> = Vec::new();
    // What is looked for in the repository is looked for alone; the rest is tried in one go.
    let (alone, together): (Vec<&Attack>, Vec<&Attack>) = tried.iter().copied().partition(|attack| attack.alone);
    let mut open = outcomes(0, &together).unwrap().into_iter();
    let mut single: Vec<Cell> = Vec::new();
    for pair in alone.chunks(2) {
        // Two at a time.
        std::thread::scope(|scope| {
            let runs: Vec<_> = pair.iter().map(|attack| scope.spawn(|| outcomes(0, &[attack]).unwrap()[0])).collect();
            single.extend(runs.into_iter().map(|run| run.join().unwrap()));
        });
    }
    let mut single = single.into_iter();
    let first = tried.iter().map(|attack| if attack.alone { single.next() } else { open.next() }.unwrap()).collect();
    columns.push(Some(first));
    columns.extend([1, 2].map(|level| outcomes(level, &tried)));
    let mut wrong = Vec::new();
    println!("| what is tried | level 0 | level 1 | level 2 |\n|---|---|---|---|");
    for (row, attack) in tried.iter().enumerate() {
        let cells: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(level, column)| {
                let Some(cell) = column.as_ref().map(|column| column[row]) else { return "skipped".to_owned() };
                // Another kernel, or another setting of it.
                let by_machine = level == 0 && cell == Cell::Blocked && attack.needs != Needs::Nothing;
                if cell != attack.cells[level] && !by_machine {
                    wrong.push(format!(
                        "{} at level {level}: {cell:?} instead of {:?}",
                        attack.name, attack.cells[level]
                    ));
                }
                cell.to_string()
            })
            .collect();
        println!("| {} | {} |", attack.name, cells.join(" | "));
    }
    let sum = |(level, column): (usize, &Option<Vec<Cell>>)| {
        let Some(column) = column else { return format!("level {level} skipped") };
        let number = |cell: Cell| column.iter().filter(|c| **c == cell).count();
        format!(
            "level {level} {} blocked, {} detected, {} not covered",
            number(Cell::Blocked),
            number(Cell::Detected),
            number(Cell::Open)
        )
    };
    println!("{} attacks: {}", tried.len(), columns.iter().enumerate().map(sum).collect::<Vec<_>>().join("; "));
    assert!(ATTACKS.len() >= 40, "{}", ATTACKS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// S13. Nothing is spent, and nothing is made.
#[test]
fn a_level_that_is_required_and_cannot_be_had_ends_the_run_before_anything_is_spent() {
    let bed = Bed::new(&[]);
    let run = |vars: &[(&str, &str)]| {
        let mut run = enki(&bed.root);
        run.env("HOME", bed.dir.path().join("home")).args(["run", "--task", "Do it"]);
        run.envs(vars.iter().copied()).output().unwrap()
    };
    let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = run(&[("ENKI_SANDBOX_LEVEL", "0"), ("ENKI_SANDBOX_REQUIRE", "1")]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    let said = told(&refused);
    assert!(said.contains("the sandbox of level 1 that is required cannot be had here, only level 0"), "{said}");
    assert!(said.contains("sandbox.level is 0") && said.contains("ask for less"), "{said}");
    assert!(!bed.root.join(".enki/enki.db").exists(), "nothing was begun");
    // A project grants itself nothing.
    fs::write(bed.root.join("enki.toml"), "[sandbox]\nlevel = 0\n").unwrap();
    let run = run(&[]);
    assert!(told(&run).contains("sandbox.level counts only from your own configuration"), "{}", told(&run));
}

/// The level is what the run says, what is stored of each attempt, and what is shown.
#[test]
fn the_level_of_an_attempt_is_told_stored_and_shown() {
    let bed = Bed::new(&[]);
    let run = bed.run(1);
    if run.status.code() == Some(3) {
        drop(writeln!(std::io::stderr(), "skipped: level 1 is not to be had here"));
        return;
    }
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(said.lines().next(), Some("sandbox level 1: rules of the kernel"), "{said}");
    let ask = |args: &[&str]| {
        let output = enki(&bed.root).env("HOME", bed.dir.path().join("home")).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let status: serde_json::Value = serde_json::from_str(&ask(&["status", "--json"])).unwrap();
    let id = status["executions"][0]["id"].as_str().unwrap();
    let show: serde_json::Value = serde_json::from_str(&ask(&["show", id, "--json"])).unwrap();
    assert_eq!(show["steps"][0]["sandbox"], 1, "{show}");
    let task = show["steps"][0]["task"].as_str().unwrap();
    assert!(ask(&["show", task]).contains("  sandbox   level 1\n"), "{}", ask(&["show", task]));
}

#[test]
fn the_documents_have_the_table_that_is_asserted() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/isolation.md")).unwrap();
    for attack in ATTACKS {
        let [zero, one, two] = attack.cells;
        let row = format!("| {} | {zero} | {one} | {two} |", attack.name);
        assert!(docs.contains(&row), "docs/isolation.md lacks this row:\n{row}");
    }
}
