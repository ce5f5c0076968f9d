//! What is asked beside the lines, while a check runs or before there is one.

use super::*;

fn id(n: u32) -> RequestId {
    entry(n).change.request
}

fn aside(queue: &MergeQueue) -> Option<Effect> {
    queue.effects(Timestamp(0)).find(|effect| effect.line == LineNo(0))
}

fn kind(queue: &MergeQueue) -> Option<EffectKind> {
    aside(queue).map(|effect| effect.kind)
}

fn enqueue(queue: &mut MergeQueue, n: u32) {
    hear(queue, &Input::Enqueue(Box::new(entry(n)))).unwrap();
}

fn report(queue: &mut MergeQueue, of: Effect, report: Report) -> Result<Vec<Event>, Rejected> {
    hear(queue, &Input::Report(of, report))
}

/// A queue at the check of its first change, where the second one seems to conflict with the target.
fn with_one_off() -> MergeQueue {
    let mut queue = queue();
    enqueue(&mut queue, 2);
    to_the_check(&mut queue);
    let predict = aside(&queue).unwrap();
    let predicted = Report::Predicted { of: vec![id(2)], clashes: vec![], off: vec![id(2)] };
    report(&mut queue, predict, predicted).unwrap();
    queue
}

fn conflict(n: u32) -> Build {
    Build::Conflict { request: id(n), paths: vec!["a".into()], hunks: String::new() }
}

#[test]
fn what_is_next_is_found_out_only_while_a_check_runs() {
    let mut queue = queue();
    enqueue(&mut queue, 2);
    assert_eq!((in_flight(&queue).kind, kind(&queue)), (EffectKind::Import, None));
    to_the_check(&mut queue);
    assert_eq!(kind(&queue), Some(EffectKind::Predict));
    hear(&mut queue, &Input::Pause(QueuePause::Person)).unwrap();
    assert_eq!(queue.effects(Timestamp(0)).count(), 0, "while paused nothing is asked");
}

#[test]
fn an_answer_beside_the_lines_counts_once() {
    let mut queue = queue();
    enqueue(&mut queue, 2);
    to_the_check(&mut queue);
    let mut asked = vec![aside(&queue).unwrap()];
    let predicted = Report::Predicted { of: vec![id(2)], clashes: vec![], off: vec![id(2)] };
    report(&mut queue, asked[0], predicted.clone()).unwrap();
    assert_eq!(report(&mut queue, asked[0], predicted), Err(Rejected::Stale(LineNo(0))));
    for n in 2..4 {
        asked.push(aside(&queue).unwrap());
        assert_eq!(asked.last().unwrap().kind, EffectKind::Try);
        let sent_back = Report::Tried(id(n), if n == 2 { conflict(n) } else { Build::Empty });
        report(&mut queue, *asked.last().unwrap(), sent_back.clone()).unwrap();
        assert_eq!(report(&mut queue, *asked.last().unwrap(), sent_back), Err(Rejected::Stale(LineNo(0))));
        enqueue(&mut queue, n + 1);
        asked.push(aside(&queue).unwrap());
        let predicted = Report::Predicted { of: vec![id(n + 1)], clashes: vec![], off: vec![id(n + 1)] };
        report(&mut queue, *asked.last().unwrap(), predicted).unwrap();
    }
    assert!(asked.is_sorted_by(|one, next| one.attempt < next.attempt), "{asked:?}");
}

#[test]
fn what_turns_out_to_merge_waits_like_others() {
    let mut queue = with_one_off();
    let tried = aside(&queue).unwrap();
    let events = report(&mut queue, tried, Report::Tried(id(2), Build::Empty)).unwrap();
    assert_eq!(events, [Event::Tried { request: id(2) }]);
    assert!(queue.contains(id(2)) && kind(&queue).is_none());
}

#[test]
fn what_was_withdrawn_while_it_was_tried_is_not_sent_back() {
    let mut queue = with_one_off();
    let tried = aside(&queue).unwrap();
    hear(&mut queue, &Input::Withdraw(id(2))).unwrap();
    let events = report(&mut queue, tried, Report::Tried(id(2), conflict(2))).unwrap();
    assert_eq!(events, [Event::Tried { request: id(2) }]);
}

#[test]
fn a_look_that_fails_stops_the_queue_and_advice_that_fails_does_not() {
    let failed = || Report::Failed("no disk".into());
    let mut looking = MergeQueue::new("main".parse().unwrap(), None);
    enqueue(&mut looking, 1);
    let look = aside(&looking).unwrap();
    assert_eq!(look.kind, EffectKind::Look);
    let of_advice = Effect { kind: EffectKind::Predict, ..look };
    let advice = Event::Predicted { of: vec![id(1)], clashes: vec![], off: vec![] };
    assert_eq!(report(&mut looking.clone(), of_advice, failed()), Ok(vec![advice]));
    assert_eq!(
        report(&mut looking.clone(), Effect { kind: EffectKind::Try, ..look }, failed()),
        Err(Rejected::Stale(LineNo(0)))
    );
    let why = QueuePause::Infrastructure { reason: "no disk".into() };
    assert_eq!(report(&mut looking, look, failed()), Ok(vec![Event::QueuePaused { why }]));

    let mut trying = with_one_off();
    let tried = aside(&trying).unwrap();
    let looked = Effect { kind: EffectKind::Look, ..tried };
    assert_eq!(report(&mut trying, looked, failed()), Err(Rejected::Stale(LineNo(0))), "it knows where the target is");
    assert_eq!(report(&mut trying, tried, failed()), Ok(vec![Event::Tried { request: id(2) }]));
    assert!(kind(&trying).is_none(), "it is built in its turn");

    let mut predicting = queue();
    enqueue(&mut predicting, 2);
    to_the_check(&mut predicting);
    let predict = aside(&predicting).unwrap();
    let advice = Event::Predicted { of: vec![id(2)], clashes: vec![], off: vec![] };
    assert_eq!(report(&mut predicting, predict, failed()), Ok(vec![advice]));
    assert!(kind(&predicting).is_none(), "it is not asked again");
}

#[test]
fn a_red_target_that_is_gone_stays_what_it_is_until_somebody_mends_it() {
    let mut queue = queue();
    let why = QueuePause::BaseRed { log: "red".into() };
    hear(&mut queue, &Input::Withdraw(id(1))).unwrap();
    hear(&mut queue, &Input::Pause(why.clone())).unwrap();
    enqueue(&mut queue, 2);
    assert_eq!(kind(&queue), Some(EffectKind::Look));
    assert_eq!(hear(&mut queue, &Input::Seen(None)), Ok(vec![]));
    assert_eq!(queue.paused(), Some(&why));
}
