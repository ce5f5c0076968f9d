//! The terminal itself: its modes, keys and signals. All that a chat does to the process is in this file.

use super::model::Model;
use super::view::{self, Look};
use crate::commands::Context;
use crate::coordinator::{Front, Rest, Seen, Wish};
use crate::drive::Signals;
use crate::error::CliError;
use crate::exit::Exit;
use enki_core::execution::Execution;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyEventKind};
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::crossterm::{cursor, execute};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::{self, BufWriter, Stdout, Write, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// A conversation on a terminal.
pub(super) struct Screen {
    pub(super) model: Model,
    look: Look,
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    keys: mpsc::UnboundedReceiver<Event>,
    signals: Signals,
    resized: Signal,
    /// Something changed since it was drawn, and when it may be drawn.
    dirty: bool,
    due: Instant,
    _modes: Modes,
}

/// Columns and rows.
pub(super) fn columns_and_rows() -> Result<(u16, u16), CliError> {
    size().map_err(|error| no_terminal(&error))
}

impl Screen {
    /// Takes the terminal. It is given back when this is dropped, and when this process panics.
    pub(super) fn take(model: Model, look: Look) -> Result<Self, CliError> {
        let signals = Signals::new()?;
        let resized = signal(SignalKind::window_change()).map_err(|error| no_terminal(&error))?;
        force_color_output(look.color);
        let modes = Modes::set().map_err(|error| no_terminal(&error))?;
        let backend = CrosstermBackend::new(BufWriter::new(stdout()));
        let terminal = Terminal::new(backend).map_err(|error| no_terminal(&error))?;
        let (tell, keys) = mpsc::unbounded_channel();
        // It waits for keys until the process ends; nobody else reads them.
        thread::spawn(move || read_keys(&tell));
        Ok(Self { model, look, terminal, keys, signals, resized, dirty: true, due: Instant::now(), _modes: modes })
    }

    /// Draws, if something changed.
    fn draw(&mut self) {
        if !self.dirty || Instant::now() < self.due {
            return;
        }
        self.dirty = false;
        self.due = Instant::now() + EVERY;
        let (model, look) = (&self.model, self.look);
        // Of a terminal that went away a signal tells, or its keys do.
        drop(self.terminal.draw(|frame| view::draw(model, look, frame)));
    }

    /// Draws all of it anew: something else may have written on the terminal.
    fn redraw(&mut self) {
        if let Ok(size) = self.terminal.size() {
            drop(self.terminal.resize(ratatui::layout::Rect::new(0, 0, size.width, size.height)));
        }
    }

    fn happens(&mut self, event: Event, cx: &Context) -> Option<Wish> {
        self.dirty = true;
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Release => None,
            Event::Key(key)
                if key.code == event::KeyCode::Char('l') && key.modifiers == event::KeyModifiers::CONTROL =>
            {
                self.redraw();
                None
            }
            Event::Key(key) => self.model.key(key, cx.host.now()),
            Event::Paste(text) => {
                self.model.paste(&text);
                None
            }
            // A signal tells of another size.
            Event::Resize(..) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
        }
    }
}

impl Front for Screen {
    fn show(&mut self, cx: &mut Context, seen: Seen<'_>) -> Result<(), CliError> {
        self.dirty = true;
        self.model.see(seen, cx.host.now());
        Ok(())
    }

    async fn wish(&mut self, cx: &mut Context) -> Wish {
        self.model.begin();
        loop {
            self.draw();
            tokio::select! {
                event = self.keys.recv() => match event {
                    Some(event) => {
                        if let Some(wish) = self.happens(event, cx) {
                            return wish;
                        }
                    }
                    // Nobody can type any more.
                    None => {
                        self.model.leaving = true;
                        return Wish::Leave(Some(Exit::Hangup));
                    }
                },
                signal = self.signals.next() => {
                    self.model.leaving = true;
                    return Wish::Leave(Some(signal));
                }
                _ = self.resized.recv() => {
                    if let Ok(size) = size() {
                        self.model.resize(size);
                        self.dirty = true;
                    }
                }
                () = sleep_until(self.due), if self.dirty => {}
            }
        }
    }

    async fn rest(&mut self, _: &mut Context, _: &[Execution]) -> Rest {
        Rest::Stay
    }
}

/// Reads keys as long as there is a terminal.
fn read_keys(tell: &mpsc::UnboundedSender<Event>) {
    let stdin = io::stdin();
    loop {
        // The library would read for ever from a terminal that went away: it is only asked while there is one.
        let mut wait = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut wait, None) {
            Err(Errno::INTR) => continue,
            Ok(_) if wait[0].revents() == PollFlags::IN => {}
            _ => return,
        }
        while let Ok(true) = event::poll(Duration::ZERO) {
            let Ok(event) = event::read() else { return };
            if tell.send(event).is_err() {
                return;
            }
        }
    }
}

/// What is changed of the terminal as long as a chat lasts.
struct Modes {
    /// What other threads said when they panicked: on the screen nobody could read it.
    panics: Arc<Mutex<Vec<String>>>,
    on: Arc<AtomicBool>,
}

impl Modes {
    fn set() -> io::Result<Self> {
        let (panics, on) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(true)));
        let modes = Self { panics, on };
        modes.watch_panics();
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::SetCursorStyle::DefaultUserShape)?;
        Ok(modes)
    }

    /// A panic of this thread ends the chat: its message is for the terminal as it was. Others are told of later.
    fn watch_panics(&self) {
        let (owner, on, panics) = (thread::current().id(), Arc::clone(&self.on), Arc::clone(&self.panics));
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !on.load(Ordering::SeqCst) {
                before(info);
            } else if thread::current().id() == owner {
                give_back(&on);
                before(info);
            } else {
                panics.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
            }
        }));
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        give_back(&self.on);
        for text in self.panics.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Nobody may read it any more.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

/// Puts the terminal back as it was, once.
fn give_back(on: &AtomicBool) {
    if on.swap(false, Ordering::SeqCst) {
        // A terminal that went away needs nothing.
        drop(execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, cursor::Show));
        drop(disable_raw_mode());
    }
}

fn no_terminal(error: &io::Error) -> CliError {
    CliError::environment(format!("cannot use the terminal: {error}")).hint("`enki ask` works without one")
}

/// It is drawn no more often than that.
const EVERY: Duration = Duration::from_millis(16);
