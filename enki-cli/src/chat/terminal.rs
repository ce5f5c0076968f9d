//! The terminal itself: its modes, keys and signals. All that a chat does to the process is in this file.

use super::model::Model;
use super::view::{self, Look};
use crate::commands::Context;
use crate::coordinator::{Front, Rest, Seen, Wish};
use crate::drive::Signals;
use crate::error::CliError;
use crate::exit::Exit;
use enki_core::execution::Execution;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyEventKind};
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::dup2_stdin;
use rustix::termios::tcgetwinsize;
use std::io::{self, BufWriter, PipeWriter, Stdout, Write, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

type Drawn = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// A conversation on a terminal.
pub(super) struct Screen {
    pub(super) model: Model,
    look: Look,
    terminal: Drawn,
    keys: mpsc::UnboundedReceiver<Event>,
    signals: Signals,
    resized: Signal,
    /// Nobody can type any more.
    deaf: bool,
    /// Told once the terminal went away.
    gone: oneshot::Receiver<io::Result<PipeWriter>>,
    /// What keeps who reads keys waiting, then.
    silence: Option<io::Result<PipeWriter>>,
    /// Something changed since it was drawn, and when it may be drawn.
    dirty: bool,
    due: Instant,
    _modes: Modes,
}

/// Columns and rows of the terminal that is written on. The one that this process belongs to may be another.
pub(super) fn columns_and_rows() -> Result<(u16, u16), CliError> {
    let size = tcgetwinsize(stdout()).map_err(|error| no_terminal(&error.into()))?;
    let or = |given: u16, usual: u16| if given == 0 { usual } else { given };
    Ok((or(size.ws_col, 80), or(size.ws_row, 24)))
}

impl Screen {
    /// Takes the terminal. It is given back when this is dropped, and when this process panics.
    pub(super) fn take(model: Model, look: Look) -> Result<Self, CliError> {
        let signals = Signals::new()?;
        let resized = signal(SignalKind::window_change()).map_err(|error| no_terminal(&error))?;
        force_color_output(look.color);
        let modes = Modes::set().map_err(|error| no_terminal(&error))?;
        let terminal = cleared(model.size).map_err(|error| no_terminal(&error))?;
        let (tell, keys) = mpsc::unbounded_channel();
        thread::spawn(move || read_keys(&tell));
        let (tell, gone) = oneshot::channel();
        // Who does not look any more need not know.
        thread::spawn(move || drop(tell.send(wait_for_its_end())));
        let due = Instant::now();
        Ok(Self {
            model,
            look,
            terminal,
            keys,
            signals,
            resized,
            deaf: false,
            gone,
            silence: None,
            dirty: true,
            due,
            _modes: modes,
        })
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
        if let Ok(terminal) = cleared(self.model.size) {
            self.terminal = terminal;
        }
    }

    fn leaves(&mut self, why: Exit) -> Option<Wish> {
        // A terminal that goes away says so in several ways, and that is not a person who cannot wait.
        let again = std::mem::replace(&mut self.model.leaving, true) && why == Exit::Hangup;
        self.dirty = true;
        (!again).then_some(Wish::Leave(Some(why)))
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
            // A signal tells of another size: of a key and a resize at once, this misses one.
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
                event = self.keys.recv(), if !self.deaf => match event {
                    Some(event) => {
                        if let Some(wish) = self.happens(event, cx) {
                            return wish;
                        }
                    }
                    None => {
                        self.deaf = true;
                        if let Some(leave) = self.leaves(Exit::Hangup) {
                            return leave;
                        }
                    }
                },
                signal = self.signals.next() => {
                    if let Some(leave) = self.leaves(signal) {
                        return leave;
                    }
                }
                Ok(silence) = &mut self.gone, if self.silence.is_none() => {
                    self.silence = Some(silence);
                    if let Some(leave) = self.leaves(Exit::Hangup) {
                        return leave;
                    }
                }
                _ = self.resized.recv() => {
                    if let Ok(size) = columns_and_rows() {
                        self.model.resize(size);
                        self.redraw();
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

/// An empty screen of that size.
fn cleared((columns, rows): (u16, u16)) -> io::Result<Drawn> {
    let mut backend = CrosstermBackend::new(BufWriter::new(stdout()));
    execute!(backend, Clear(ClearType::All))?;
    // Its size is told, not asked for again at each frame.
    let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
    Terminal::with_options(backend, TerminalOptions { viewport })
}

/// Reads keys, to the end of the process: nobody else reads them.
fn read_keys(tell: &mpsc::UnboundedSender<Event>) {
    while let Ok(event) = event::read() {
        if tell.send(event).is_err() {
            return;
        }
    }
}

/// Waits until the terminal goes away. Whoever reads keys would then read nothing for ever, as fast as it can: from now
/// on it waits instead.
fn wait_for_its_end() -> io::Result<PipeWriter> {
    let stdin = io::stdin();
    loop {
        let mut end = [PollFd::new(&stdin, PollFlags::empty())];
        match poll(&mut end, None) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let (silent, open) = io::pipe()?;
    dup2_stdin(silent)?;
    Ok(open)
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
