//! What a chat knows and shows, and what keys and happenings make of it. Pure: no clock, no terminal.

use super::commands::{self, Quick};
use super::editor::{Editor, To};
use super::plans::{self, Named, Plans};
use super::questions::{self, Does, Key, Question};
use super::text::lines;
use super::view;
use crate::coordinator::{Line, Seen, Wish};
use crate::exit::Exit;
use crate::graph::{self, TextStyle};
use crate::render::{self, Paint, clock, money};
use crate::source::visible;
use crate::steer::Action;
use enki_core::agent::Usage;
use enki_core::budget::{Budget, Unit};
use enki_core::execution::EndStatus;
use enki_core::time::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::BTreeSet;

/// Who speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Voice {
    Person,
    Coordinator,
    /// Something that happened to a plan.
    Event,
    /// Enki itself.
    Note,
    /// An answer to a command, as it is.
    Answer,
    Error,
}

/// Something that was said or happened. Its lines do no harm to a terminal.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) voice: Voice,
    pub(super) lines: Vec<String>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) entries: Vec<Entry>,
    /// What the coordinator is saying, as far as it came.
    pub(super) saying: String,
    /// What it does, while it is at work.
    pub(super) turn: Option<String>,
    pub(super) plans: Plans,
    pub(super) questions: Vec<Question>,
    /// Whether to give up a plan.
    confirm: Option<Question>,
    /// Questions that the person answered, or put aside.
    answered: BTreeSet<Key>,
    /// The last line was an answer.
    just_answered: bool,
    /// Questions of which everything was told.
    told: BTreeSet<Key>,
    pub(super) editor: Editor,
    /// Rows that are scrolled away below.
    pub(super) scroll: usize,
    pub(super) size: (u16, u16),
    /// What the coordinator used in this conversation, and may use.
    pub(super) used: Usage,
    pub(super) limit: Budget,
    stopping: bool,
    /// Ctrl-C was pressed, and would leave now.
    pub(super) warned: bool,
    pub(super) leaving: bool,
    /// Who takes steps as they are.
    pub(super) person: String,
    /// Entries are still those of before.
    past: bool,
}

impl Model {
    /// A conversation as it was left.
    pub(super) fn new(history: &[Line], used: Usage, limit: Budget, size: (u16, u16)) -> Self {
        let mut model = Self { used, limit, size, past: true, ..Self::default() };
        for line in history {
            match line {
                Line::Person { at, text } => {
                    model.editor.remember(text);
                    model.add(*at, Voice::Person, text);
                }
                Line::Said { at, text, .. } => model.add(*at, Voice::Coordinator, text),
                Line::Turn { .. } | Line::Ended { .. } => {}
            }
        }
        model
    }

    /// Everything of before is there: what was said and what happened stand in order.
    pub(super) fn begin(&mut self) {
        if std::mem::take(&mut self.past) {
            self.entries.sort_by_key(|entry| entry.at);
        }
    }

    /// Something is to be seen.
    pub(super) fn see(&mut self, seen: Seen<'_>, now: Timestamp) {
        if !matches!(seen, Seen::Before(..) | Seen::Found(_)) {
            self.begin();
        }
        match seen {
            Seen::Before(state, one) | Seen::Event(state, one) => {
                if let Some(text) = render::line(state, &one.event, one.at, Paint(false)) {
                    self.add(one.at, Voice::Event, &format!("{} {text}", clock(one.at)));
                }
            }
            Seen::Found(state) | Seen::State(state) => {
                self.plans.see(state, now);
                // What is not the case any more is not asked.
                let (id, still) = (state.id(), questions::of(state));
                let of = |key: &Key| matches!(key, Key::Hold(of, _) | Key::Step(of, ..) if *of == id);
                self.questions.retain(|one| !of(&one.key) || still.iter().any(|other| other.key == one.key));
            }
            Seen::Step(id, step, text) => self.plans.step(id, step, &visible(text)),
            Seen::Waits(states) => {
                let all = states.iter().flat_map(|state| questions::of(state));
                self.questions = all.filter(|one| !self.answered.contains(&one.key)).collect();
                for question in self.questions.clone() {
                    if self.told.insert(question.key.clone()) && !question.more.is_empty() {
                        self.add(now, Voice::Answer, &question.more.join("\n"));
                    }
                }
            }
            Seen::Spoke(text) => self.add(now, Voice::Person, text),
            Seen::Begins => self.turn = Some(String::new()),
            Seen::Does(text) => self.turn = Some(visible(text)),
            Seen::Partial(piece) => self.saying.push_str(piece),
            Seen::Uses(total) => self.used = total,
            Seen::Says(_, text) => {
                self.saying.clear();
                self.add(now, Voice::Coordinator, text);
            }
            Seen::Ends(total) => {
                (self.turn, self.used, self.stopping) = (None, total, false);
                // What was seen does not go away.
                let cut = std::mem::take(&mut self.saying);
                if !cut.trim().is_empty() {
                    self.add(now, Voice::Coordinator, &format!("{cut} …"));
                }
            }
            Seen::Fails(error) => self.fails(now, error.hint.as_deref(), &error.message),
            Seen::Note(text) => self.add(now, Voice::Note, text),
            Seen::Granted(text) => self.add(now, Voice::Note, text),
            Seen::Refused(error) => {
                // It may be answered again.
                self.answered.clear();
                self.fails(now, error.hint.as_deref(), &error.message);
            }
            Seen::New => {
                let (editor, person) = (std::mem::take(&mut self.editor), std::mem::take(&mut self.person));
                *self = Self { editor, person, size: self.size, limit: self.limit, ..Self::default() };
                self.add(now, Voice::Note, "another conversation; what was begun before goes on");
            }
        }
    }

    /// A key is pressed.
    pub(super) fn key(&mut self, key: KeyEvent, now: Timestamp) -> Option<Wish> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        if control && key.code == KeyCode::Char('c') {
            return self.interrupt();
        }
        self.warned = false;
        match key.code {
            KeyCode::Char('d') if control && self.editor.text().is_empty() => return self.leave(None),
            KeyCode::Enter if alt || key.modifiers.contains(KeyModifiers::SHIFT) => self.editor.insert("\n"),
            KeyCode::Char('j') if control => self.editor.insert("\n"),
            KeyCode::Enter => return self.enter(now),
            KeyCode::Tab => self.complete(),
            KeyCode::PageUp => self.scrolls(true),
            KeyCode::PageDown => self.scrolls(false),
            KeyCode::Esc => self.scroll = 0,
            KeyCode::Up => self.editor.up(),
            KeyCode::Down => self.editor.down(),
            KeyCode::Char('p') if control => self.editor.up(),
            KeyCode::Char('n') if control => self.editor.down(),
            KeyCode::Left if control || alt => self.editor.go(To::WordLeft),
            KeyCode::Right if control || alt => self.editor.go(To::WordRight),
            KeyCode::Char('b') if alt => self.editor.go(To::WordLeft),
            KeyCode::Char('f') if alt => self.editor.go(To::WordRight),
            KeyCode::Left => self.editor.go(To::Left),
            KeyCode::Char('b') if control => self.editor.go(To::Left),
            KeyCode::Right => self.editor.go(To::Right),
            KeyCode::Char('f') if control => self.editor.go(To::Right),
            KeyCode::Home => self.editor.go(To::Home),
            KeyCode::Char('a') if control => self.editor.go(To::Home),
            KeyCode::End => self.editor.go(To::End),
            KeyCode::Char('e') if control => self.editor.go(To::End),
            KeyCode::Backspace if control || alt => self.editor.erase(To::WordLeft),
            KeyCode::Char('w') if control => self.editor.erase(To::WordLeft),
            KeyCode::Char('u') if control => self.editor.erase(To::Home),
            KeyCode::Char('k') if control => self.editor.erase(To::End),
            KeyCode::Backspace => self.editor.erase(To::Left),
            KeyCode::Char('h') if control => self.editor.erase(To::Left),
            KeyCode::Delete => self.editor.erase(To::Right),
            KeyCode::Char('d') if control => self.editor.erase(To::Right),
            KeyCode::Char(c) if !control && !alt => self.editor.insert(c.encode_utf8(&mut [0; 4])),
            _ => {}
        }
        None
    }

    /// Text is pasted. It says nothing by itself, whatever is in it.
    pub(super) fn paste(&mut self, text: &str) {
        self.warned = false;
        self.editor.insert(text);
    }

    pub(super) fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        self.scroll = self.scroll.min(view::most_scroll(self, self.scroll));
    }

    /// The question that is asked now, and how many there are.
    pub(super) fn asked(&self) -> Option<(&Question, usize)> {
        match &self.confirm {
            Some(confirm) => Some((confirm, 1)),
            None => self.questions.first().map(|first| (first, self.questions.len())),
        }
    }

    /// What may be typed on.
    pub(super) fn offers(&self) -> Vec<Quick> {
        let name = self.editor.text().strip_prefix('/').filter(|name| !name.contains(char::is_whitespace));
        name.map(Quick::beginning).unwrap_or_default()
    }

    fn add(&mut self, at: Timestamp, voice: Voice, text: &str) {
        let mut lines = lines(text);
        let more = lines.len().saturating_sub(MOST_LINES);
        if more > 0 {
            lines.truncate(MOST_LINES);
            lines.push(format!("… and {more} lines more"));
        }
        self.entries.push(Entry { at, voice, lines });
        // Who looks at what was before goes on to see it.
        if self.scroll > 0 {
            self.scroll += view::height_of_last(self);
        }
        if self.entries.len() > MOST_ENTRIES {
            self.entries.drain(..MOST_ENTRIES / 10);
        }
    }

    fn fails(&mut self, now: Timestamp, hint: Option<&str>, message: &str) {
        let hint = hint.map_or_else(String::new, |hint| format!("\nhint: {hint}"));
        self.add(now, Voice::Error, &format!("{message}{hint}"));
    }

    fn scrolls(&mut self, up: bool) {
        let page = view::page(self);
        self.scroll = if up { self.scroll + page } else { self.scroll.saturating_sub(page) };
        self.scroll = self.scroll.min(view::most_scroll(self, self.scroll));
    }

    fn leave(&mut self, why: Option<Exit>) -> Option<Wish> {
        self.leaving = true;
        Some(Wish::Leave(why))
    }

    /// Ctrl-C: what is typed goes; else the turn in flight ends; else a second one leaves.
    fn interrupt(&mut self) -> Option<Wish> {
        if self.leaving || self.warned {
            return self.leave(Some(Exit::Interrupted));
        }
        if !self.editor.text().is_empty() {
            self.editor.take();
            return None;
        }
        if self.turn.is_some() && !self.stopping {
            self.stopping = true;
            return Some(Wish::StopTurn);
        }
        self.warned = true;
        None
    }

    fn complete(&mut self) {
        if !self.editor.is_at_end() {
            return;
        }
        let all = commands::completions(self.editor.text(), &self.plans.names());
        let Some(first) = all.first() else { return };
        // As far as all of them go.
        let mut len = first.len();
        for other in &all[1..] {
            len = first
                .char_indices()
                .map(|(at, _)| at)
                .chain([first.len()])
                .take_while(|at| *at <= len && other.starts_with(&first[..*at]))
                .last()
                .unwrap_or(0);
        }
        if len > self.editor.text().len() {
            let text = first[..len].to_owned();
            self.editor.set(&text);
        }
    }

    /// What was typed is meant.
    fn enter(&mut self, now: Timestamp) -> Option<Wish> {
        if self.editor.text().trim().is_empty() {
            return None;
        }
        let line = self.editor.take();
        self.scroll = 0;
        let answers = self.asked().map(|(question, _)| (question.key.clone(), question.answer(&line)));
        if let Some((key, Some(does))) = answers {
            return self.answers(key, does, now);
        }
        // Other words are no answer, and a plan is not given up by the way.
        self.confirm = None;
        let again = std::mem::take(&mut self.just_answered) && questions::answer_word(&line).is_some();
        if again && self.questions.is_empty() {
            self.add(now, Voice::Note, "that is answered already");
            return None;
        }
        match commands::parse(&line) {
            None => Some(Wish::Say(line.trim().to_owned())),
            Some(Ok((quick, arguments))) => match self.quick(quick, arguments, now) {
                Ok(wish) => wish,
                Err(error) => {
                    self.add(now, Voice::Error, &error);
                    None
                }
            },
            Some(Err(error)) => {
                self.add(now, Voice::Error, &error);
                None
            }
        }
    }

    fn answers(&mut self, key: Key, does: Does, now: Timestamp) -> Option<Wish> {
        match does {
            Does::Write(line) => {
                self.editor.set(&line);
                return None;
            }
            Does::Steer(_) | Does::Waits(_) => {
                if self.confirm.take().is_none() {
                    self.questions.retain(|one| one.key != key);
                    self.answered.insert(key);
                }
                self.just_answered = true;
            }
        }
        match does {
            Does::Steer(action) => Some(Wish::Steer(action)),
            Does::Waits(says) => {
                self.add(now, Voice::Note, says);
                None
            }
            Does::Write(_) => None,
        }
    }

    fn quick(&mut self, quick: Quick, arguments: &str, now: Timestamp) -> Result<Option<Wish>, String> {
        let open = |plan: &plans::Seen| plan.ended.is_none();
        let (name, words) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
        let words = words.trim();
        let (budget, run_budget) = (Budget::default(), Budget::default());
        let action = match quick {
            Quick::Help => return Ok(self.tell(now, &help())),
            Quick::Cost => return Ok(self.tell(now, &self.cost())),
            Quick::Status => {
                let text: Vec<String> =
                    self.wanted(name)?.iter().map(|plan| render::execution(&plan.view(), Paint(false))).collect();
                return Ok(self.tell(now, &text.join("\n")));
            }
            Quick::Graph => {
                let style = TextStyle { width: usize::from(self.size.0).saturating_sub(4), ..TextStyle::default() };
                let text: Vec<String> =
                    self.wanted(name)?.iter().map(|plan| graph::text(&plan.view().graph(), style)).collect();
                return Ok(self.tell(now, &text.join("\n")));
            }
            Quick::Show => {
                let named = self.plans.named(name, open)?;
                let view = self.plans.get(named.plan).view();
                let text = match named.step {
                    Some(step) => render::step(&view, &view.steps[step], &[], Paint(false)),
                    None => render::execution(&view, Paint(false)),
                };
                return Ok(self.tell(now, &text));
            }
            Quick::New => return Ok(Some(Wish::New)),
            Quick::Quit => return Ok(self.leave(None)),
            Quick::Pause => Action::Pause { id: Some(self.plans.named(name, open)?.id) },
            Quick::Resume => Action::Resume { id: Some(self.plans.named(name, open)?.id), budget },
            Quick::Cancel => {
                let Named { id, plan, step } = self.plans.named(name, open)?;
                if step.is_none() {
                    self.confirm = Some(Question::cancel(&id, &visible(&self.plans.get(plan).view.title)));
                    return Ok(None);
                }
                Action::Cancel { id }
            }
            Quick::Retry => {
                let failed =
                    |plan: &plans::Seen| plan.ended != Some(EndStatus::Cancelled) && plan.view.counts.failed > 0;
                let id = self.plans.named(name, failed)?.id;
                let note = Some(words.to_owned()).filter(|note| !note.is_empty());
                Action::Retry { id, mode: None, budget, run_budget, note }
            }
            Quick::Accept => {
                if name.is_empty() || words.is_empty() {
                    return Err("say which step, and why it is good as it is: /accept STEP WHY".to_owned());
                }
                let id = self.plans.named(name, open)?.id;
                Action::Accept { id, by: self.person.clone(), why: words.to_owned() }
            }
        };
        Ok(Some(Wish::Steer(action)))
    }

    fn tell(&mut self, now: Timestamp, text: &str) -> Option<Wish> {
        self.add(now, Voice::Answer, text);
        None
    }

    /// The plan of that name, or all that are open, else the last one.
    fn wanted(&self, name: &str) -> Result<Vec<&plans::Seen>, String> {
        if !name.is_empty() {
            return Ok(vec![self.plans.get(self.plans.named(name, |_| true)?.plan)]);
        }
        let all = self.plans.in_order();
        let open: Vec<&plans::Seen> = all.iter().copied().filter(|plan| plan.ended.is_none()).collect();
        match (open.is_empty(), all.first()) {
            (false, _) => Ok(open),
            (true, Some(last)) => Ok(vec![last]),
            (true, None) => Err("there is no plan yet; say what you want".to_owned()),
        }
    }

    fn cost(&self) -> String {
        let tokens = self.used.of(Unit::Tokens);
        let mut text =
            format!("coordinator: ${:.2}, {tokens} tokens in this conversation", money(self.used.cost_micro_usd));
        let limits = [
            self.limit.cost_micro_usd.map(|most| format!("${:.2}", money(most))),
            self.limit.tokens.map(|most| format!("{most} tokens")),
        ];
        let limits: Vec<String> = limits.into_iter().flatten().collect();
        match limits.is_empty() {
            true => text.push_str("; without a limit (budget.coordinator)"),
            false => text.push_str(&format!(" of {} (budget.coordinator)", limits.join(" and "))),
        }
        for plan in self.plans.iter() {
            let cost = &plan.view.cost;
            text.push_str(&format!("\n{} {}: ${:.2}, {} tokens", plan.view.id, plan.view.title, cost.usd, cost.tokens));
            plan.view.budgets.iter().for_each(|budget| text.push_str(&format!("\n  budget {}", budget.text())));
        }
        text
    }
}

/// All commands and keys.
fn help() -> String {
    let width = Quick::ALL.iter().map(|quick| quick.help().0.len()).max().unwrap_or(0);
    let mut text = String::from("What you type is said to the coordinator. Commands:\n");
    for (usage, does) in Quick::ALL.map(Quick::help) {
        text.push_str(&format!("  {usage:width$}  {does}\n"));
    }
    text.push_str("Keys:\n");
    for (key, does) in KEYS {
        text.push_str(&format!("  {key:width$}  {does}\n"));
    }
    text
}

const KEYS: [(&str, &str); 6] = [
    ("Enter", "say it; Alt-Enter or Ctrl-J begins a new line"),
    ("Up, Down", "what you said before"),
    ("Tab", "complete a command or a name"),
    ("PgUp, PgDn, Esc", "what was said before; back to the end"),
    ("Ctrl-C", "empty the line, else stop the coordinator's turn; twice leaves"),
    ("Ctrl-D", "leave, as /quit"),
];

/// Lines of one entry.
const MOST_LINES: usize = 2_000;

/// Entries that are kept; of all the file of the conversation knows.
const MOST_ENTRIES: usize = 20_000;
