//! A program on a pseudo-terminal, and what a person sees on its screen.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The program, its terminal, and the screen as it is now.
pub(crate) struct Pty {
    pub(crate) child: Child,
    master: File,
    slave: File,
    screen: Arc<(Mutex<Screen>, Condvar)>,
}

impl Pty {
    /// Starts it.
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        let screen = Arc::new((Mutex::new(Screen::default()), Condvar::new()));
        let end = || slave.try_clone().unwrap();
        command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
        command.stdin(end()).stdout(end()).stderr(end());
        let pty =
            Self { master: File::from(master), child: Self::spawn(&mut command, &slave, columns, rows), slave, screen };
        let (mut read, screen) = (pty.master.try_clone().unwrap(), Arc::clone(&pty.screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = read.read(&mut bytes) {
                screen.0.lock().unwrap().feed(&bytes[..n]);
                screen.1.notify_all();
            }
        });
        pty
    }

    fn spawn(command: &mut Command, slave: &File, columns: u16, rows: u16) -> Child {
        set_size(slave, columns, rows);
        command.spawn().unwrap()
    }

    /// Presses keys.
    pub(crate) fn keys(&self, keys: &str) {
        (&self.master).write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line.
    pub(crate) fn line(&self, line: &str) {
        self.keys(&format!("{line}\r"));
    }

    /// Waits until the screen is so.
    pub(crate) fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let screen = self.screen.0.lock().unwrap();
        let late = Duration::from_secs(60);
        let (screen, over) = self.screen.1.wait_timeout_while(screen, late, |screen| !is(&screen.text())).unwrap();
        assert!(!over.timed_out(), "it never was so: {what}\n{}", screen.text());
        screen.text()
    }

    /// Waits until that is on the screen.
    pub(crate) fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Another size. No terminal of a session tells the program, so it is told here.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        set_size(&self.slave, columns, rows);
        self.signal(Signal::WINCH);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends, and all that it wrote is on the screen.
    pub(crate) fn end(&mut self) -> ExitStatus {
        crate::common::until(|| self.child.try_wait().unwrap().is_some());
        let status = self.child.wait().unwrap();
        (&self.slave).write_all(b"\r\n[it ended]").unwrap();
        self.shows("[it ended]");
        status
    }

    /// Whether lines are read as people type them, with Ctrl-C for a signal, on the usual screen with a cursor.
    pub(crate) fn is_as_it_was(&self) -> bool {
        let usual = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        let screen = self.screen.0.lock().unwrap();
        tcgetattr(&self.slave).unwrap().local_modes.contains(usual)
            && !screen.alternate
            && !screen.hidden
            && !screen.pastes
    }

    /// Whether anything that it wrote had a colour.
    pub(crate) fn had_colour(&self) -> bool {
        self.screen.0.lock().unwrap().coloured
    }

    /// Whether it is full screen now.
    pub(crate) fn is_full_screen(&self) -> bool {
        let raw = !tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON);
        self.screen.0.lock().unwrap().alternate && raw
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn set_size(slave: &File, columns: u16, rows: u16) {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(slave, size).unwrap();
}

/// As much of a terminal as is needed here: cursor, clearing, two screens; of the looks of characters nothing.
#[derive(Default)]
pub(crate) struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    alternate: bool,
    hidden: bool,
    pastes: bool,
    /// Whether anything had a colour.
    coloured: bool,
    /// What is not whole yet.
    held: Vec<u8>,
}

impl Screen {
    fn text(&self) -> String {
        let line = |row: &Vec<char>| row.iter().filter(|c| **c != '\0').collect::<String>().trim_end().to_owned();
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let whole = match std::str::from_utf8(&held) {
            Ok(_) => held.len(),
            Err(error) => error.valid_up_to(),
        };
        let text = std::str::from_utf8(&held[..whole]).unwrap();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let len = if c == '\u{1b}' {
                match self.sequence(&text[at + 1..]) {
                    Some(len) => len + 1,
                    None => break,
                }
            } else {
                self.put(c);
                c.len_utf8()
            };
            at += len;
        }
        self.held = held[at..].to_vec();
    }

    fn put(&mut self, c: char) {
        match c {
            '\r' => self.column = 0,
            '\n' => self.row += 1,
            c if c.is_control() => {}
            c => {
                while self.rows.len() <= self.row {
                    self.rows.push(Vec::new());
                }
                let row = &mut self.rows[self.row];
                while row.len() <= self.column {
                    row.push(' ');
                }
                row[self.column] = c;
                self.column += 1;
                // A wide one stands on two cells.
                if ('\u{1100}'..='\u{ffdc}').contains(&c) && !('\u{2010}'..='\u{2e7f}').contains(&c) {
                    row.resize(row.len().max(self.column + 1), ' ');
                    row[self.column] = '\0';
                    self.column += 1;
                }
            }
        }
    }

    /// Does what stands after an escape, and gives how long it is; nothing if its end is not there yet.
    fn sequence(&mut self, text: &str) -> Option<usize> {
        let Some(rest) = text.strip_prefix('[') else { return text.chars().next().map(char::len_utf8) };
        let end = rest.find(|c: char| ('@'..='~').contains(&c))?;
        let number = |n: usize| rest[..end].split(';').nth(n).and_then(|n| n.parse::<usize>().ok());
        match (&rest[end..=end], &rest[..end]) {
            ("H", _) => {
                (self.row, self.column) = (number(0).unwrap_or(1) - 1, number(1).unwrap_or(1) - 1);
            }
            // Bold, dim and their ends are no colours.
            ("m", looks) => {
                let number = |look: &str| look.parse::<u32>().unwrap_or(0);
                self.coloured |=
                    looks.split(';').map(number).any(|look| (30..=38).contains(&look) || (90..=97).contains(&look));
            }
            ("J", "2") => self.rows.clear(),
            ("h", "?1049") => {
                self.alternate = true;
                self.rows.clear();
            }
            ("l", "?1049") => {
                (self.alternate, self.row, self.column) = (false, 0, 0);
                self.rows.clear();
            }
            ("h" | "l", "?25") => self.hidden = &rest[end..=end] == "l",
            ("h" | "l", "?2004") => self.pastes = &rest[end..=end] == "h",
            _ => {}
        }
        Some(end + 2)
    }
}
