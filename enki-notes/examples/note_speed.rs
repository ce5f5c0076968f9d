//! How long it takes to write and list notes: `cargo run --release -p enki-notes --example note_speed -- 10000`.

use enki_core::time::Timestamp;
use enki_notes::{Kind, Log, NewCapture};

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number: i64 = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let log = Log::new(dir.path());
    let start = std::time::Instant::now();
    let mut last = None;
    for n in 0..number {
        let mut new =
            NewCapture::new(format!("Note {n} says that something could be better\n\n{}", "More of it. ".repeat(40)));
        new.kind = Some(Kind::Idea);
        last = Some(log.capture(&new, Timestamp(1_700_000_000_000 + n))?);
    }
    println!("write {number}: {:?}", start.elapsed());
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let listed = log.list(&Kind::ALL)?.heads.len();
        println!("list {listed}: {:?}", start.elapsed());
    }
    if let Some(filed) = last {
        let start = std::time::Instant::now();
        log.find(&filed.capture_id[..6])?;
        println!("find by id: {:?}", start.elapsed());
        let start = std::time::Instant::now();
        log.promote(&filed.path, &Default::default(), Timestamp(0))?;
        println!("promote: {:?}", start.elapsed());
    }
    Ok(())
}
