//! The binary `enki`. The only place that asks the process for its arguments, environment and clock.

use enki_cli::{Backends, Host, Terminals};
use enki_core::time::Timestamp;
#[cfg(target_os = "linux")]
use enki_process::supervise;
use std::io::{IsTerminal as _, stderr, stdin, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Between the orchestrator and an agent runs this same program, as its supervisor.
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|arg| arg == supervise::SUBCOMMAND) {
        return ExitCode::from(supervise::supervise_main(std::env::args_os().skip(2)));
    }
    let host = Host {
        args: std::env::args_os().collect(),
        env: std::env::vars_os().collect(),
        cwd: std::env::current_dir().ok(),
        clock: || Timestamp(jiff::Timestamp::now().as_millisecond()),
        pid: std::process::id(),
        boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned()),
        supervisor: std::env::current_exe().ok(),
        stdin: Box::new(stdin()),
        stdout: Box::new(stdout()),
        stderr: Box::new(stderr()),
        terminal: Terminals {
            stdin: stdin().is_terminal(),
            stdout: stdout().is_terminal(),
            stderr: stderr().is_terminal(),
        },
        columns: rustix::termios::tcgetwinsize(stdout()).ok().map(|size| size.ws_col.into()).filter(|n| *n > 0),
    };
    ExitCode::from(enki_cli::run(host, Backends::new()).code())
}
