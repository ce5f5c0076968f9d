//! How fast agents that are `/bin/true` come and go, beside bare processes. Run it with `--release`.
//!
//! The agents have a log file each and nothing of their trees survives, by marks or by a supervisor; the bare processes
//! have neither. Linux only. After many files were deleted ext4 is slow to make new ones, for some seconds: to leave that
//! out, set `TMPDIR` to a folder in memory.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a measurement reads the clock, and may panic")]

use enki_core::agent::{AgentEvent, AgentRunner, AgentSpec};
use enki_core::id::{AttemptNo, EffectId, ExecutionId, StepIx};
use enki_core::tier::Purpose;
use enki_process::supervise::{SUBCOMMAND, supervise_main};
use enki_process::{BaseEnv, ChildLimits, CommandAgent, CommandAgentConfig};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

const AT_ONCE: u32 = 8;
const RUNS: u32 = 4000;

#[tokio::main]
async fn measure() {
    let dir = tempfile::tempdir().unwrap();
    let config = CommandAgentConfig::new("/bin/true").base_env(BaseEnv::from_vars(std::env::vars_os()));
    let own = std::env::current_exe().unwrap();
    let ways = [
        ("marks", Arc::new(CommandAgent::new(config.clone()))),
        ("supervisor", Arc::new(CommandAgent::new(config.supervisor(own, ChildLimits::default())))),
    ];
    println!("{} processors, {AT_ONCE} at once, {RUNS} runs", std::thread::available_parallelism().unwrap());
    for (way, agent) in ways {
        let mut ratios = Vec::new();
        for round in 0..5 {
            let bare = rate(|_| async {
                let mut command = tokio::process::Command::new("/bin/true");
                let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                assert!(command.spawn().unwrap().wait_with_output().await.unwrap().status.success());
            })
            .await;
            let (agent, folder) = (Arc::clone(&agent), dir.path().join(format!("{way}-{round}")));
            let agents = rate(move |n| {
                let (agent, spec) = (Arc::clone(&agent), spec(&folder, round * RUNS + n));
                async move {
                    let mut session = agent.start(spec).await.unwrap();
                    while !matches!(session.next().await, AgentEvent::Ended(_)) {}
                }
            })
            .await;
            let ratio = agents.rate / bare.rate;
            println!(
                "bare {:6.0}/s {:4.0} us   {way} {:6.0}/s {:4.0} us   ratio {ratio:.2}",
                bare.rate, bare.cpu, agents.rate, agents.cpu
            );
            ratios.push(ratio);
        }
        ratios.sort_by(f64::total_cmp);
        println!("{way}: median ratio {:.2}", ratios[ratios.len() / 2]);
    }
}

fn main() -> std::process::ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|arg| arg == SUBCOMMAND).is_some() {
        return supervise_main(args).into();
    }
    measure();
    std::process::ExitCode::SUCCESS
}

async fn rate<F: Future<Output = ()> + Send + 'static>(run: impl Fn(u32) -> F + Clone + Send + 'static) -> Rate {
    let (began, cpu_before) = (Instant::now(), cpu());
    let lanes: Vec<_> = (0..AT_ONCE)
        .map(|lane| {
            let run = run.clone();
            tokio::spawn(async move {
                for n in (lane..RUNS).step_by(AT_ONCE as usize) {
                    run(n).await;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    let (rate, cpu) = (f64::from(RUNS) / began.elapsed().as_secs_f64(), cpu() - cpu_before);
    Rate { rate, cpu: cpu * 1e6 / f64::from(RUNS) }
}

/// Seconds of processor time of this process and its children so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(4).map(|f| f.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

/// Runs a second, and microseconds of processor time each.
struct Rate {
    rate: f64,
    cpu: f64,
}

fn spec(dir: &Path, n: u32) -> AgentSpec {
    let execution = ExecutionId::new(u128::from(std::process::id()));
    let id = EffectId::of_attempt(execution, StepIx(n), AttemptNo(1));
    let mut spec = AgentSpec::new(id, execution, "step".parse().unwrap(), AttemptNo(1), Purpose::Work);
    spec.workspace = "/".into();
    spec.log = dir.join(format!("{n}.log"));
    spec
}
