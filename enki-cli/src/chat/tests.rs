//! Whole frames as people see them, and what keys do.

use super::model::Model;
use super::view::{Look, draw};
use crate::coordinator::{Line, Seen, Wish};
use crate::look::Logged;
use crate::steer::Action;
use enki_core::agent::Usage;
use enki_core::budget::Budget;
use enki_core::chain::Escalation;
use enki_core::execution::{
    AttemptEnd, EndStatus, Event, Execution, FailReason, Next, Outcome, ProjectKind, Submitted,
};
use enki_core::id::{AttemptNo, CommitId, ExecutionId, RequestId, StepIx};
use enki_core::plan::{Plan, PlanLimits};
use enki_core::spec::{Land, PlanSpec};
use enki_core::store::Version;
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_core::workspace::Start;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};
use std::sync::Arc;

/// An execution that is played by hand.
pub(super) struct Play {
    pub(super) state: Execution,
    pub(super) all: Vec<Event>,
}

fn commit() -> CommitId {
    "0123456789012345678901234567890123456789".parse().unwrap()
}

fn cost(micro_usd: u64) -> Usage {
    let mut usage = Usage::default();
    usage.cost_micro_usd = micro_usd;
    usage
}

/// Look, then greet and say bye.
pub(super) fn plan() -> Value {
    let step = |id: &str, title: &str, needs: &[&str]| json!({"id": id, "title": title, "description": "Do it.", "needs": needs});
    json!({"title": "Greetings", "steps": [step("look", "Look around", &[]),
        step("greet", "Greet everybody", &["look"]), step("bye", "Say bye", &["look"])]})
}

impl Play {
    /// Submitted, and free to start.
    pub(super) fn new(id: u128, plan: Value) -> Self {
        Self::submitted(id, plan, false)
    }

    /// Held for approval.
    pub(super) fn held(id: u128, plan: Value) -> Self {
        Self::submitted(id, plan, true)
    }

    fn submitted(id: u128, plan: Value, approval: bool) -> Self {
        let spec: PlanSpec = serde_json::from_value(plan).unwrap();
        let submitted = Submitted {
            id: ExecutionId::new(id),
            plan: Arc::new(Plan::build(&spec, &PlanLimits::default(), &Default::default()).unwrap()),
            origin: "coordinator".into(),
            target: "main".parse().unwrap(),
            land: Land::Each,
            gate: None,
            created: Timestamp(0),
            start_at: None,
            after: None,
            approval,
            project: ProjectKind::default(),
        };
        Self { state: Execution::new(&submitted), all: vec![Event::Submitted(Box::new(submitted))] }
    }

    pub(super) fn apply(&mut self, event: Event) {
        self.state.apply(&event);
        self.all.push(event);
    }

    fn step(&self, id: &str) -> StepIx {
        self.state.plan().find(id).unwrap()
    }

    fn start(&mut self, id: &str) {
        let (step, attempt) = (self.step(id), AttemptNo(1));
        self.apply(Event::AttemptStarted {
            step,
            attempt,
            purpose: Purpose::Work,
            start: Start::Fresh { base: commit() },
            sandbox: None,
        });
        self.apply(Event::AttemptLive { step, attempt, session: None });
    }

    fn end(&mut self, id: &str, outcome: Outcome, output: &str, next: Next) {
        let mut end = AttemptEnd::new(outcome);
        end.output = Some(output.to_owned()).filter(|output| !output.is_empty());
        end.usage.cost_micro_usd = 250_000;
        self.apply(Event::AttemptEnded { step: self.step(id), attempt: AttemptNo(1), end: Box::new(end), next });
    }

    fn merge(&mut self, id: &str) {
        self.start(id);
        self.end(
            id,
            Outcome::Changed,
            "",
            Next::Merge { request: RequestId::of(self.state.id(), Some(self.step(id)), 1) },
        );
        self.apply(Event::StepMerged { step: self.step(id), commit: commit() });
    }

    pub(super) fn escalate(&mut self, id: &str) {
        self.start(id);
        self.end(id, Outcome::Changed, "", Next::Fail(FailReason::Escalated(Escalation::FixesExhausted)));
    }

    pub(super) fn cancel(&mut self) {
        self.apply(Event::CancelRequested);
        self.apply(Event::Ended { status: EndStatus::Cancelled });
    }

    /// Shows all that was not shown.
    fn show(&mut self, model: &mut Model) {
        for event in std::mem::take(&mut self.all) {
            let one = Logged { version: Version(0), at: NOW, event };
            model.see(Seen::Event(&self.state, &one), NOW);
        }
        model.see(Seen::State(&self.state), NOW);
    }
}

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn model(size: (u16, u16)) -> Model {
    let limit = Budget { cost_micro_usd: Some(5_000_000), ..Budget::default() };
    Model::new(&[], Usage::default(), limit, size)
}

/// The frame as text, one line a row.
fn frame(model: &Model) -> String {
    let (columns, rows) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(model, Look::default(), frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut out = String::new();
    for y in 0..rows {
        let mut row = String::new();
        let mut skip = 0;
        for x in 0..columns {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                row.push_str(symbol);
                skip = super::text::columns(symbol).max(1);
            }
            skip -= 1;
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

fn press(model: &mut Model, code: KeyCode) -> Option<Wish> {
    model.key(KeyEvent::new(code, KeyModifiers::NONE), NOW)
}

fn control(model: &mut Model, key: char) -> Option<Wish> {
    model.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL), NOW)
}

/// Types a line, and means it.
fn say(model: &mut Model, line: &str) -> Option<Wish> {
    line.chars().for_each(|c| assert!(press(model, KeyCode::Char(c)).is_none()));
    press(model, KeyCode::Enter)
}

/// What was put into the stream last.
fn last(model: &Model) -> String {
    model.entries.last().map(|entry| entry.lines.join("\n")).unwrap_or_default()
}

/// A plan that was talked about, approved, and is at work.
fn at_work(size: (u16, u16)) -> (Model, Play) {
    let (mut model, mut play) = (model(size), Play::held(0xabcd, plan()));
    model.see(Seen::Spoke("Greet everybody; keep the old script."), NOW);
    model.see(Seen::Begins, NOW);
    model.see(Seen::Says(1, "I made a plan of three steps.\n\n    1. look first\n    2. then the rest"), NOW);
    model.see(Seen::Ends(cost(120_000)), NOW);
    let hold = *play.state.holds().keys().next().unwrap();
    play.apply(Event::HoldClosed { hold, answer: Some(enki_core::execution::Answer::Approve) });
    play.merge("look");
    play.start("greet");
    play.show(&mut model);
    model.see(Seen::Step(play.state.id(), StepIx::at(1), "Bash: cargo test"), NOW);
    (model, play)
}

#[test]
fn empty() {
    insta::assert_snapshot!(frame(&model((100, 14))));
}

#[test]
fn talking() {
    let mut model = model((100, 20));
    model.see(Seen::Spoke("こんにちは: greet e\u{301}verybody in two languages, and mind that the old script is still called by the nightly job"), NOW);
    model.see(Seen::Begins, NOW);
    model.see(Seen::Does("Read README.md"), NOW);
    model.see(Seen::Partial("I read the READ"), NOW);
    model.see(Seen::Partial("ME: greet.sh\u{1b}[2J is called by"), NOW);
    model.paste("and this\u{1b}[31m too\nsoon");
    insta::assert_snapshot!(frame(&model));
}

#[test]
fn a_plan_at_work() {
    insta::assert_snapshot!(frame(&at_work((110, 24)).0));
}

#[test]
fn narrow() {
    insta::assert_snapshot!(frame(&at_work((60, 24)).0));
}

#[test]
fn nowhere_for_a_plan() {
    insta::assert_snapshot!(frame(&at_work((44, 9)).0));
}

#[test]
fn a_question() {
    let (mut model, mut play) = (model((100, 26)), Play::held(0xabcd, plan()));
    play.show(&mut model);
    model.see(Seen::Waits(&[&play.state]), NOW);
    insta::assert_snapshot!(frame(&model));
}

#[test]
fn offers() {
    let mut model = at_work((100, 16)).0;
    "/re".chars().for_each(|c| drop(press(&mut model, KeyCode::Char(c))));
    insta::assert_snapshot!(frame(&model));
}

#[test]
fn finished() {
    let (mut model, mut play) = at_work((100, 24));
    play.end("greet", Outcome::NoChange, "", Next::Done(enki_core::execution::DoneKind::NoChanges));
    play.merge("bye");
    play.apply(Event::Ended { status: EndStatus::Done });
    play.show(&mut model);
    model.see(Seen::Begins, NOW);
    model.see(Seen::Says(2, "Everybody is greeted."), NOW);
    model.see(Seen::Ends(cost(230_000)), NOW);
    insta::assert_snapshot!(frame(&model));
}

#[test]
fn many_plans_and_steps_are_folded() {
    let step = |n: usize| json!({"id": format!("step-{n}"), "title": format!("Step {n}"), "description": "d"});
    let wide = json!({"title": "A wide one", "steps": (0..40).map(step).collect::<Vec<_>>()});
    let (mut model, mut play) = at_work((100, 20));
    play.escalate("bye");
    play.show(&mut model);
    let mut other = Play::new(0xef01, wide);
    other.merge("step-0");
    other.start("step-30");
    other.show(&mut model);
    insta::assert_snapshot!(frame(&model));
}

#[test]
fn any_size_can_be_drawn() {
    let (mut model, play) = at_work((80, 24));
    model.see(Seen::Waits(&[&play.state]), NOW);
    model.paste("日本語\n\nx");
    for columns in [1, 2, 3, 7, 20, 59, 90, 300] {
        for rows in [1, 2, 3, 5, 9, 60] {
            model.resize((columns, rows));
            assert_eq!(frame(&model).lines().count(), usize::from(rows));
            press(&mut model, KeyCode::PageUp);
        }
    }
}

#[test]
fn no_terminal_code_of_an_agent_reaches_the_frame() {
    let (mut model, mut play) = at_work((110, 24));
    let evil = "\u{1b}]0;title\u{7}\u{1b}[2Jx\u{9b}31m\u{202e}\u{8}";
    for seen in
        [Seen::Spoke(evil), Seen::Says(1, evil), Seen::Note(evil), Seen::Begins, Seen::Does(evil), Seen::Partial(evil)]
    {
        model.see(seen, NOW);
    }
    model.see(Seen::Step(play.state.id(), StepIx::at(1), evil), NOW);
    play.end(
        "greet",
        Outcome::AgentError { message: evil.into(), transient: false },
        evil,
        Next::Fail(FailReason::AgentError { message: evil.into() }),
    );
    play.show(&mut model);
    model.paste(evil);
    let evil_ones: Vec<String> = model.entries.iter().map(|entry| entry.lines.join("\n")).collect();
    let told = evil_ones.iter().filter(|text| text.contains("]0;title"));
    assert_eq!(told.clone().filter(|text| text.contains("\\u{1b}]0;title")).count(), 4, "{evil_ones:#?}");
    assert_eq!(told.count(), 4, "each can be seen: {evil_ones:#?}");
    for command in ["/status", "/show greet", "/graph", "/cost"] {
        control(&mut model, 'u');
        control(&mut model, 'k');
        say(&mut model, command);
        let shown = frame(&model);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{command}: {shown:?}");
        assert!(shown.contains("\\u{1b}"), "{command}: it can be seen: {shown}");
    }
}

#[test]
fn a_question_is_answered_once_and_other_words_are_said() {
    let (mut model, play) = (model((100, 24)), Play::held(0xabcd, plan()));
    let waits = |model: &mut Model| model.see(Seen::Waits(&[&play.state]), NOW);
    waits(&mut model);
    let Some(Wish::Say(words)) = say(&mut model, "greet later, please") else { panic!() };
    assert_eq!((words.as_str(), model.asked().is_some()), ("greet later, please", true));
    let Some(Wish::Steer(Action::Decide { id, hold: Some(_), .. })) = say(&mut model, "y") else { panic!() };
    assert_eq!(id, play.state.id().hex());
    // What was on its way already does not ask again, and a second answer is none.
    waits(&mut model);
    assert!(model.asked().is_none() && say(&mut model, "y").is_none());
    assert_eq!(last(&model), "that is answered already");
    // It was not granted: it may be answered again.
    model.see(Seen::Refused(crate::error::CliError::usage("no").hint("why")), NOW);
    assert_eq!(last(&model), "no\nhint: why");
    waits(&mut model);
    assert!(say(&mut model, "n").is_none() && last(&model).contains("/resume goes on"));
    waits(&mut model);
    assert!(model.asked().is_none(), "it was put aside");
}

#[test]
fn what_others_answered_is_not_asked_any_more() {
    let (mut model, mut play) = (model((100, 24)), Play::held(0xabcd, plan()));
    play.show(&mut model);
    model.see(Seen::Waits(&[&play.state]), NOW);
    assert!(model.asked().is_some());
    let hold = *play.state.holds().keys().next().unwrap();
    play.apply(Event::HoldClosed { hold, answer: Some(enki_core::execution::Answer::Approve) });
    play.show(&mut model);
    assert!(model.asked().is_none());
}

#[test]
fn a_whole_plan_is_given_up_after_a_question_only() {
    let (mut model, play) = at_work((100, 24));
    assert!(say(&mut model, "/cancel").is_none());
    assert!(frame(&model).contains("give up the plan \"Greetings\"?"), "{}", frame(&model));
    assert!(matches!(say(&mut model, "wait"), Some(Wish::Say(_))) && model.asked().is_none());
    say(&mut model, "/cancel");
    let Some(Wish::Steer(Action::Cancel { id })) = say(&mut model, "y") else { panic!() };
    assert_eq!(id, play.state.id().hex());
    let Some(Wish::Steer(Action::Cancel { id })) = say(&mut model, "/cancel greet") else { panic!() };
    assert_eq!(id, play.state.task(StepIx::at(1)).to_string(), "a step needs no question");
}

#[test]
fn quick_commands_steer_or_tell() {
    let (mut model, mut play) = at_work((100, 40));
    play.escalate("bye");
    play.show(&mut model);
    let (id, task) = (play.state.id().hex(), |n: usize| play.state.task(StepIx::at(n)).to_string());
    assert!(matches!(say(&mut model, "/pause"), Some(Wish::Steer(Action::Pause { id: Some(named) })) if named == id));
    assert!(
        matches!(say(&mut model, "/resume greet"), Some(Wish::Steer(Action::Resume { id: Some(named), .. })) if named == task(1))
    );
    let Some(Wish::Steer(Action::Retry { id: named, note, .. })) = say(&mut model, "/retry bye mind the  quotes")
    else {
        panic!()
    };
    assert_eq!((named, note.as_deref()), (task(2), Some("mind the  quotes")));
    assert!(
        matches!(say(&mut model, "/retry"), Some(Wish::Steer(Action::Retry { id: named, note: None, .. })) if named == id)
    );
    assert!(say(&mut model, "/accept bye").is_none() && last(&model).contains("why it is good"));
    model.person = "ann".into();
    let Some(Wish::Steer(Action::Accept { by, why, .. })) = say(&mut model, "/accept bye good enough") else {
        panic!()
    };
    assert_eq!((by.as_str(), why.as_str()), ("ann", "good enough"));
    for (line, tells) in [
        ("/help", "/retry [STEP] [NOTE]"),
        ("/status", "exec-00000000abcd"),
        ("/show greet", "Greet everybody"),
        ("/graph", "▶  greet"),
        ("/cost", "coordinator: $0.12, 0 tokens in this conversation of $5.00"),
        ("/cost", "exec-00000000abcd Greetings: $0.50"),
        ("/show nobody", "no step or plan of this conversation is called \"nobody\""),
        ("/nothing", "there is no /nothing"),
    ] {
        assert!(say(&mut model, line).is_none());
        assert!(last(&model).contains(tells), "{line}: {}", last(&model));
    }
    assert!(
        matches!(say(&mut model, "/new"), Some(Wish::New))
            && matches!(say(&mut model, "/quit"), Some(Wish::Leave(None)))
    );
}

#[test]
fn control_c_empties_stops_and_leaves() {
    let mut model = model((80, 20));
    model.see(Seen::Begins, NOW);
    press(&mut model, KeyCode::Char('x'));
    assert!(control(&mut model, 'c').is_none() && model.editor.text().is_empty());
    assert!(matches!(control(&mut model, 'c'), Some(Wish::StopTurn)));
    model.see(Seen::Ends(Usage::default()), NOW);
    assert!(control(&mut model, 'c').is_none() && frame(&model).contains("once more leaves"));
    press(&mut model, KeyCode::Left);
    assert!(control(&mut model, 'c').is_none(), "another key was between");
    assert!(matches!(control(&mut model, 'c'), Some(Wish::Leave(Some(crate::Exit::Interrupted)))));
    assert!(matches!(control(&mut model, 'c'), Some(Wish::Leave(_))) && frame(&model).contains("leaving"));
}

#[test]
fn a_conversation_is_shown_as_it_was_left_in_the_order_of_its_happening() {
    let mut play = Play::new(0xabcd, plan());
    let lines = [
        Line::Person { at: Timestamp(1000), text: "first".into() },
        Line::Said { at: Timestamp(3000), turn: 1, text: "a plan".into() },
        Line::Person { at: Timestamp(9000), text: "second".into() },
    ];
    let mut model = Model::new(&lines, Usage::default(), Budget::default(), (80, 20));
    let one = Logged { version: Version(1), at: Timestamp(2000), event: play.all.remove(0) };
    model.see(Seen::Before(&play.state, &one), NOW);
    model.see(Seen::Found(&play.state), NOW);
    model.begin();
    let all: Vec<String> = model.entries.iter().map(|entry| entry.lines.join(" ")).collect();
    assert_eq!((all[0].as_str(), all[2].as_str(), all[3].as_str()), ("first", "a plan", "second"));
    assert!(all[1].contains("exec-00000000abcd Greetings: 3 steps"), "{all:?}");
    assert_eq!(model.plans.iter().count(), 1);
    press(&mut model, KeyCode::Up);
    press(&mut model, KeyCode::Up);
    assert_eq!(model.editor.text(), "first");
}

#[test]
fn who_scrolls_back_goes_on_to_see_the_same() {
    let mut model = model((60, 12));
    (0..200).for_each(|n| model.see(Seen::Says(n, &format!("line {n}")), NOW));
    assert!(frame(&model).contains("line 199"));
    press(&mut model, KeyCode::PageUp);
    let before = frame(&model);
    assert!(!before.contains("line 199") && before.contains("there is more below"), "{before}");
    model.see(Seen::Says(200, "a long line that is broken, since it has more characters than there are columns"), NOW);
    assert_eq!(frame(&model), before);
    (0..500).for_each(|_| drop(press(&mut model, KeyCode::PageUp)));
    assert!(frame(&model).contains("line 0\n"), "{}", frame(&model));
    press(&mut model, KeyCode::Esc);
    assert!(frame(&model).contains("there are columns"), "{}", frame(&model));
}

#[test]
fn what_is_typed_is_completed() {
    let mut model = at_work((80, 20)).0;
    let tab = |model: &mut Model, typed: &str| {
        control(model, 'u');
        typed.chars().for_each(|c| drop(press(model, KeyCode::Char(c))));
        press(model, KeyCode::Tab);
        model.editor.text().to_owned()
    };
    assert_eq!(tab(&mut model, "/he"), "/help");
    assert_eq!(tab(&mut model, "/s"), "/s", "/status or /show");
    assert_eq!(tab(&mut model, "/retry gr"), "/retry greet ");
    assert_eq!(tab(&mut model, "say gr"), "say gr");
}

#[test]
fn a_text_that_was_cut_off_stays_and_a_new_conversation_begins_empty() {
    let mut model = model((80, 20));
    model.see(Seen::Begins, NOW);
    model.see(Seen::Partial("I was about to"), NOW);
    model.see(Seen::Ends(Usage::default()), NOW);
    assert_eq!(last(&model), "I was about to …");
    say(&mut model, "first");
    model.see(Seen::New, NOW);
    assert_eq!(model.entries.len(), 1);
    press(&mut model, KeyCode::Up);
    assert_eq!(model.editor.text(), "first", "what was typed is still there");
}
