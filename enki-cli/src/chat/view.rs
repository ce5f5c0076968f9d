//! From what a chat knows to a frame. Pure, and only what is seen is laid out: a long conversation costs no more than a
//! short one.

use super::model::{Entry, Model, Voice};
use super::panel;
use super::text::{columns, cut, lines, wrapped};
use crate::render::money;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) color: bool,
    /// Only ASCII signs.
    pub(super) ascii: bool,
}

impl Look {
    /// In that colour, where there are any.
    pub(super) fn ink(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn dim() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn bold(self, color: Color) -> Style {
        self.ink(color).add_modifier(Modifier::BOLD)
    }

    fn sign(self, rich: &'static str, plain: &'static str) -> &'static str {
        if self.ascii { plain } else { rich }
    }
}

/// Who goes where.
struct Areas {
    header: Rect,
    stream: Rect,
    /// The plans: beside what is said, or below it on a narrow terminal, or nowhere.
    plans: Option<Rect>,
    /// A question, or what may be typed on.
    ask: Rect,
    input: Rect,
    foot: Rect,
}

/// Draws all of it.
pub(super) fn draw(model: &Model, look: Look, frame: &mut Frame<'_>) {
    let areas = areas(model, frame.area());
    put(frame, areas.header, vec![header(model, look, areas.header.width)]);
    let height = usize::from(areas.stream.height);
    let mut rows = rows(model, look, areas.stream.width.into(), height + model.scroll);
    let scroll = model.scroll.min(rows.len().saturating_sub(height));
    rows.drain(..scroll);
    rows.truncate(height);
    rows.reverse();
    put(frame, areas.stream, rows);
    if let Some(area) = areas.plans {
        let inner = rule(frame, area, areas.stream.y == area.y, look);
        let shown = panel::rows(&model.plans, look, inner.width.into(), inner.height.into());
        put(frame, inner, shown);
    }
    put(frame, areas.ask, ask(model, look, areas.ask.width.into()));
    input(model, look, areas.input, frame);
    put(frame, areas.foot, vec![foot(model, look, areas.foot.width.into())]);
}

/// Rows that a key scrolls.
pub(super) fn page(model: &Model) -> usize {
    usize::from(areas(model, whole(model)).stream.height).saturating_sub(2).max(1)
}

/// How far up one can scroll, looked at no further than `wanted`.
pub(super) fn most_scroll(model: &Model, wanted: usize) -> usize {
    let area = areas(model, whole(model)).stream;
    let height = usize::from(area.height);
    rows(model, Look::default(), area.width.into(), height + wanted).len().saturating_sub(height)
}

/// Rows that the last entry takes.
pub(super) fn height_of_last(model: &Model) -> usize {
    let width = usize::from(areas(model, whole(model)).stream.width);
    let Some((last, before)) = model.entries.split_last() else { return 0 };
    let rows: usize = last.lines.iter().map(|line| wrapped(line, width.saturating_sub(GUTTER).max(1)).len()).sum();
    rows + usize::from(before.last().is_some_and(|before| is_apart(before.voice, last.voice)))
}

fn whole(model: &Model) -> Rect {
    Rect::new(0, 0, model.size.0, model.size.1)
}

fn areas(model: &Model, area: Rect) -> Areas {
    let (width, mut left) = (area.width, area.height);
    let take = |left: &mut u16, wanted: u16, keep: u16| {
        let given = wanted.min(left.saturating_sub(keep));
        *left -= given;
        given
    };
    // The most needed first: where one types, what is said.
    let typed = model.editor.rows(usize::from(width).saturating_sub(GUTTER).max(1)).0.len();
    let input = take(&mut left, rows_of(typed).min(6) + 1, 0);
    let asks = take(&mut left, rows_of(ask(model, Look::default(), width.into()).len()), 3);
    let header = take(&mut left, 1, 3);
    let foot = take(&mut left, 1, 3);
    let (mut stream_width, mut below, mut beside) = (width, 0, None);
    if width >= WIDE {
        let panel = (width * 2 / 5).clamp(34, 64);
        stream_width = width - panel - 1;
        beside = Some(panel);
    } else if left >= 12 && model.plans.iter().next().is_some() {
        let wanted = panel::rows(&model.plans, Look::default(), width.into(), usize::from(left / 3)).len();
        below = take(&mut left, rows_of(wanted) + 1, 8);
    }
    let mut y = area.y;
    let mut next = |height: u16, width: u16| {
        let rect = Rect::new(area.x, y, width, height);
        y += height;
        rect
    };
    let header = next(header, width);
    let stream = next(left, stream_width);
    let under = next(below, width);
    let plans = match beside {
        Some(panel) => Some(Rect::new(area.x + stream_width + 1, stream.y, panel, stream.height)),
        None => (below > 1).then_some(under),
    };
    let ask = next(asks, width);
    let input = next(input, width);
    Areas { header, stream, plans, ask, input, foot: next(foot, width) }
}

fn rows_of(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

fn put(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>) {
    frame.render_widget(Paragraph::new(lines), area);
}

/// Draws a line on the edge of an area, and gives what is left of it.
fn rule(frame: &mut Frame<'_>, area: Rect, upright: bool, look: Look) -> Rect {
    if upright {
        let line = Line::styled(look.sign("│", "|"), Look::dim());
        put(frame, Rect { width: 1, ..area }, vec![line; area.height.into()]);
        return Rect { x: area.x + 2, width: area.width.saturating_sub(2), ..area };
    }
    let line = Line::styled(look.sign("─", "-").repeat(area.width.into()), Look::dim());
    put(frame, Rect { height: area.height.min(1), ..area }, vec![line]);
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
}

fn header(model: &Model, look: Look, width: u16) -> Line<'static> {
    let used = format!("${:.2}", money(model.used.cost_micro_usd));
    let most = model.limit.cost_micro_usd.map_or_else(String::new, |most| format!(" of ${:.2}", money(most)));
    let plans = model.plans.iter().fold(0.0, |sum, plan| sum + plan.view.cost.usd);
    let right = format!("coordinator {used}{most}  plans ${plans:.2}");
    let left = cut("enki chat", usize::from(width).saturating_sub(columns(&right) + 1));
    let gap = usize::from(width).saturating_sub(columns(&left) + columns(&right));
    Line::from(vec![
        Span::styled(left, look.bold(Color::Cyan)),
        Span::raw(" ".repeat(gap)),
        Span::styled(cut(&right, width.into()), Look::dim()),
    ])
}

/// What was said, from the last row up, at least `need` rows if there are as many.
fn rows(model: &Model, look: Look, width: usize, need: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    if let Some(does) = &model.turn {
        let text = if does.is_empty() { "the coordinator is at work" } else { does };
        out.push(Line::styled(cut(&format!("  … {text}"), width), look.ink(Color::Cyan).patch(Look::dim())));
    }
    let mut below = None;
    if !model.saying.trim().is_empty() {
        entry(&mut out, look, width, need, Voice::Coordinator, &lines(&model.saying));
        below = Some(Voice::Coordinator);
    }
    for Entry { voice, lines, .. } in model.entries.iter().rev() {
        if out.len() >= need {
            break;
        }
        if below.is_some_and(|below| is_apart(*voice, below)) {
            out.push(Line::default());
        }
        entry(&mut out, look, width, need, *voice, lines);
        below = Some(*voice);
    }
    out
}

/// Whether there is an empty row between them.
fn is_apart(above: Voice, below: Voice) -> bool {
    let quiet = |voice| matches!(voice, Voice::Event | Voice::Note | Voice::Error);
    !(quiet(above) && quiet(below))
}

fn entry(out: &mut Vec<Line<'static>>, look: Look, width: usize, need: usize, voice: Voice, lines: &[String]) {
    let (sign, style) = match voice {
        Voice::Person => (look.sign("› ", "> "), look.bold(Color::Reset)),
        Voice::Coordinator => (look.sign("● ", "* "), Style::new()),
        Voice::Event | Voice::Note => ("  ", Look::dim()),
        Voice::Answer => ("  ", Style::new()),
        Voice::Error => ("! ", look.ink(Color::Red)),
    };
    for (n, line) in lines.iter().enumerate().rev() {
        for (m, row) in wrapped(line, width.saturating_sub(GUTTER).max(1)).into_iter().enumerate().rev() {
            if out.len() >= need {
                return;
            }
            let first = n == 0 && m == 0;
            let sign_style = if voice == Voice::Coordinator { look.ink(Color::Cyan) } else { style };
            let sign = Span::styled(if first { sign } else { "  " }, sign_style);
            out.push(Line::from(vec![sign, Span::styled(row.to_owned(), style)]));
        }
    }
}

/// The question that waits, or the commands that the line may become.
fn ask(model: &Model, look: Look, width: usize) -> Vec<Line<'static>> {
    let offers = model.offers();
    if !offers.is_empty() {
        let name = offers.iter().map(|quick| quick.help().0.len()).max().unwrap_or(0);
        let line =
            |(usage, does): (&str, &str)| Line::styled(cut(&format!("  {usage:name$}  {does}"), width), Look::dim());
        return offers.iter().take(MOST_OFFERS).map(|quick| line(quick.help())).collect();
    }
    let Some((question, count)) = model.asked() else { return Vec::new() };
    let of = if count > 1 { format!(" (the first of {count})") } else { String::new() };
    let text = lines(&question.text).join(" ");
    let style = look.bold(Color::Yellow);
    let all = wrapped(&text, width.saturating_sub(GUTTER + of.len()).max(1));
    let mut out = Vec::new();
    for (n, row) in all.iter().take(MOST_QUESTION).enumerate() {
        let more = if n + 1 == MOST_QUESTION && all.len() > MOST_QUESTION { " …" } else { "" };
        let (sign, of) = if n == 0 { ("? ", of.as_str()) } else { ("  ", "") };
        out.push(Line::styled(format!("{sign}{row}{more}{of}"), style));
    }
    let mut answers = vec![Span::raw("  ")];
    for (key, does) in question.answers() {
        answers.extend([Span::styled(*key, style), Span::raw(format!(" {does}   "))]);
    }
    answers.push(Span::styled("other words go to the coordinator", Look::dim()));
    out.push(Line::from(answers));
    out
}

fn input(model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let area = rule(frame, area, false, look);
    let (rows, (row, column)) = model.editor.rows(usize::from(area.width).saturating_sub(GUTTER).max(1));
    // The cursor's row is always seen.
    let skip = (row + 1).saturating_sub(area.height.into());
    let sign = |n| if n == 0 { look.sign("› ", "> ") } else { "  " };
    let line = |(n, text): (usize, &&str)| {
        Line::from(vec![Span::styled(sign(n), look.bold(Color::Cyan)), Span::raw((*text).to_owned())])
    };
    let shown = rows.iter().enumerate().skip(skip).take(area.height.into()).map(line).collect();
    put(frame, area, shown);
    if area.height > 0 {
        let x = area.x.saturating_add(rows_of(GUTTER + column)).min(area.right().saturating_sub(1));
        frame.set_cursor_position((x, area.y + rows_of(row - skip)));
    }
}

fn foot(model: &Model, look: Look, width: usize) -> Line<'static> {
    let text = if model.leaving {
        "leaving: running steps end first; Ctrl-C stops them now"
    } else if model.warned {
        "Ctrl-C once more leaves; what runs ends first, and all is kept"
    } else if model.scroll > 0 {
        "there is more below: PgDn, or Esc for the end"
    } else if model.turn.is_some() {
        "Enter says more   Ctrl-C stops the turn   /help"
    } else {
        "Enter says it   Tab completes   /help   /quit leaves"
    };
    let style = if model.leaving || model.warned { look.ink(Color::Yellow) } else { Look::dim() };
    Line::styled(cut(text, width), style)
}

/// Columns of the sign before each row.
const GUTTER: usize = 2;

/// From that width on the plans stand beside what is said.
const WIDE: u16 = 90;

/// Rows of commands that are offered.
const MOST_OFFERS: usize = 12;

/// Rows of a question.
const MOST_QUESTION: usize = 3;
