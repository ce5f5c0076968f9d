//! Standard input and output of the host, which block, as streams that do not.

use std::io::{Read, Write};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// How much may wait on its way.
const WAITING: usize = 64 << 10;

/// What comes from standard input. A read that blocks cannot be cut short: its thread is left behind at the end.
pub(super) fn input(mut stdin: Box<dyn Read + Send>) -> DuplexStream {
    let (mut ours, theirs) = tokio::io::duplex(WAITING);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; WAITING];
        // Whoever reads may have gone, and so may who writes.
        while let Ok(n @ 1..) = stdin.read(&mut bytes) {
            if handle.block_on(ours.write_all(&bytes[..n])).is_err() {
                return;
            }
        }
    });
    theirs
}

/// What goes to standard output, line by line. The task ends when all is written and the stream is dropped, or the
/// reader has gone.
pub(super) fn output(mut stdout: Box<dyn Write + Send>) -> (DuplexStream, JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(WAITING);
    let handle = Handle::current();
    let task = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(ours).lines();
        while let Ok(Some(line)) = handle.block_on(lines.next_line()) {
            if stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush()).is_err() {
                return;
            }
        }
    });
    (theirs, task)
}
