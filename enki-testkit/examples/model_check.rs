//! Exhausts the protocol of leases and merges: `model_check` within the promised bounds, `model_check NAME=N …` within
//! others, such as `model_check changes=2 crashes=1 person_resets=1 lost_answers=1`.

use enki_testkit::model::{Bounds, explore};
use std::process::ExitCode;

#[expect(clippy::disallowed_methods, reason = "it measures itself")]
fn main() -> ExitCode {
    let mut bounds = Bounds::PROMISED;
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.is_empty() {
        bounds = Bounds::CALM;
    }
    for arg in args {
        let set = arg.split_once('=').and_then(|(name, n)| bounds.set(name, n.parse().ok()?));
        if set.is_none() {
            eprintln!("{arg:?} is none of {bounds:?}, each as NAME=N");
            return ExitCode::from(2);
        }
    }
    let started = std::time::Instant::now();
    let result = explore(bounds);
    let seconds = started.elapsed().as_secs_f64();
    match result {
        Ok(explored) => {
            println!("{bounds:?}\n{explored:?}\nexhausted in {seconds:.1} s: no promise is broken");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("{bounds:?}\n{broken}");
            ExitCode::FAILURE
        }
    }
}
