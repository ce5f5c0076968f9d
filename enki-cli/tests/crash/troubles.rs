//! What a machine does to the binary besides killing it: others at the same project, a full disk, a store that goes away
//! while it is open, a clock that is set.

mod clocks;

use crate::oracle;
use crate::place::{Kill, Kind, Place};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Promise R6: of several that start at the same moment one drives; the others say who does, or what became of it.
#[test]
fn of_those_that_race_for_a_project_one_drives() {
    let races = std::env::var("ENKI_RACES").map_or(6, |text| text.parse().unwrap());
    let (mut drove, mut locked) = (0, 0);
    for race in 0..races {
        let place = Place::new(Kind::AWAY);
        let plan = place.dir.join("plan.json");
        let args = ["run", plan.to_str().unwrap(), "--json"];
        let racers = 2 + race % 7;
        let children: Vec<_> = (0..racers)
            .map(|n| {
                let mut command = place.command(&args);
                command
                    .stdin(Stdio::null())
                    .stdout(file(&place, n, "out"))
                    .stderr(file(&place, n, "err"))
                    .spawn()
                    .unwrap()
            })
            .collect();
        let codes: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().code()).collect();
        // 0 and 8: it drove, or was told the end by the one that did; 5: somebody else drives.
        assert!(codes.iter().all(|code| matches!(code, Some(0 | 5 | 8))), "race {race} of {racers}: {codes:?}");
        drove += codes.iter().filter(|code| **code != Some(5)).count();
        locked += codes.iter().filter(|code| **code == Some(5)).count();
        place.to_the_end(|_, _| None).unwrap();
        oracle::look(&place).unwrap();
        let submitted =
            place.events("done").unwrap().iter().filter(|event| event["event"].get("submitted").is_some()).count();
        assert_eq!(submitted, 1, "one plan was submitted more than once");
    }
    println!("{races} races of 2 to 8 processes: {drove} came to an end, {locked} found it driven: nothing doubled");
}

fn file(place: &Place, n: usize, what: &str) -> Stdio {
    fs::File::create(place.dir.join(format!("racer{n}.{what}"))).unwrap().into()
}

/// Bad input 53: whoever has the store open finds out that it was replaced, and writes nothing more.
#[test]
fn a_store_that_is_taken_away_stops_the_run_and_keeps_the_work() {
    for replaced in [false, true] {
        let place = Place::new(Kind { more_steps: 2, ..Kind::AWAY });
        // Agents wait for a file, so that all of it happens while they work.
        let agent = place.dir.join("agent.sh");
        let waits = format!("while [ ! -e '{}/go' ]; do sleep 0.05; done\n", place.dir.display());
        fs::write(&agent, waits + &fs::read_to_string(&agent).unwrap()).unwrap();
        let plan = place.dir.join("plan.json");
        let mut command = place.command(&["run", plan.to_str().unwrap(), "--json"]);
        command.stdin(Stdio::null()).stdout(file(&place, 0, "out")).stderr(file(&place, 0, "err"));
        let mut child = command.spawn().unwrap();
        let told = place.dir.join("racer0.out");
        wait_until(&mut child, || fs::read_to_string(&told).is_ok_and(|text| text.contains("attempt_live")));
        let store = place.root.join(".enki/enki.db");
        let away = place.dir.join("away.db");
        fs::rename(&store, &away).unwrap();
        if replaced {
            fs::write(&store, b"not what it was").unwrap();
        }
        fs::write(place.dir.join("go"), "").unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(6), "replaced {replaced}: {}", fs::read_to_string(place.dir.join("racer0.err")).unwrap());
        if replaced {
            assert_eq!(fs::read(&store).unwrap(), b"not what it was", "it was left untouched");
        }
        // Put back it is gone on with, and the work of the agents is there.
        fs::rename(&away, &store).unwrap();
        place.to_the_end(|_, _| None).unwrap();
        oracle::look(&place).unwrap();
    }
}

/// Bad inputs 49 and 87: a full disk, or one without room for another file, stops a run with its own exit code, and it goes
/// on once there is space.
#[test]
fn a_full_disk_stops_a_run_that_goes_on_once_there_is_space() {
    let Some(small) = Small::mount("size=24m") else {
        println!("not run: a small file system cannot be mounted here, which only root may");
        return;
    };
    let few = Small::mount("size=64m,nr_inodes=1500").expect("another one");
    let cases = [(&small, Room::Kib(40)), (&small, Room::Kib(1200)), (&few, Room::Files(3)), (&few, Room::Files(60))];
    let mut stopped = 0;
    for (on, left) in cases {
        let place = Place::below(Kind::AWAY, &on.0);
        let fill = on.0.join("fill");
        left.leave(&fill, &on.0);
        let plan = place.dir.join("plan.json");
        // One that could not begin an attempt waits for space by itself: it is ended here, and not waited for.
        let patience = Kill { after: Duration::from_secs(8), gits: false };
        let run = place.run(&["run", plan.to_str().unwrap(), "--json"], None, Some(&patience));
        // Whatever could not be done: never a crash, never damage.
        let code = run.code();
        assert!(run.was_killed() || matches!(code, Some(0 | 3 | 7 | 8)), "{left:?} left: {}", run.told());
        stopped += usize::from(run.was_killed() || matches!(code, Some(3 | 7)));
        fs::remove_dir_all(&fill).unwrap();
        if code == Some(7) {
            retry_all(&place);
        }
        place.to_the_end(|_, _| None).unwrap_or_else(|why| panic!("{left:?} was left: {why}"));
        oracle::look(&place).unwrap_or_else(|why| panic!("{left:?} was left: {why}"));
    }
    assert!(stopped >= 2, "the disk was never full");
    println!("full disks: {stopped} of {} runs stopped, all were gone on with", cases.len());
}

/// What is left of a file system.
#[derive(Clone, Copy, Debug)]
enum Room {
    Kib(u64),
    /// Names for so many files.
    Files(u64),
}

impl Room {
    /// Fills a folder until no more than that is left.
    fn leave(self, folder: &Path, on: &Path) {
        fs::create_dir(folder).unwrap();
        let free = rustix::fs::statvfs(on).unwrap();
        match self {
            Self::Kib(left) => {
                let size = (free.f_bavail * free.f_frsize / 1024).saturating_sub(left) * 1024;
                fs::write(folder.join("full"), vec![1_u8; usize::try_from(size).unwrap()]).unwrap();
            }
            Self::Files(left) => {
                for n in 0..free.f_ffree.saturating_sub(left) {
                    fs::write(folder.join(n.to_string()), "").unwrap();
                }
            }
        }
    }
}

fn retry_all(place: &Place) {
    let status = place.run(&["status", "--json"], None, None);
    let status: Value = serde_json::from_str(status.stdout()).unwrap();
    let id = status["executions"][0]["id"].as_str().unwrap().to_owned();
    place.run(&["retry", &id], None, None);
}

/// A file system in memory.
struct Small(std::path::PathBuf, tempfile::TempDir);

impl Small {
    fn mount(how: &str) -> Option<Self> {
        let temp = tempfile::Builder::new().prefix("enki-small-").tempdir().unwrap();
        let path = temp.path().canonicalize().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("{how},mode=700"), "enki-small"]).arg(&path);
        let mounted = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(Self(path, temp))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = &self.1;
    }
}

pub(crate) fn wait_until(child: &mut std::process::Child, so: impl Fn() -> bool) {
    while !so() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        std::thread::yield_now();
    }
}
