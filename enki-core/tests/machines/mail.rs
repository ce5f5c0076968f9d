//! Mail between agents: who may write and read what, requests and their answers, and that the log alone gives all of it.

use enki_core::mail::{
    Address, Draft, Event, Input, Kind, LASTS, MOST_OF_A_WORKER, MOST_SENT, MOST_UNREAD, Mail, MessageNo, Priority,
    Rejected, Status, To, invariants,
};
use enki_core::record;
use enki_core::time::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

fn worker(n: u8) -> Address {
    format!("worker/task-00000000000{n}").parse().unwrap()
}

const BOSS: Address = Address::Coordinator;

/// The state with the log that it comes from, as it is stored.
#[derive(Default)]
struct Office {
    mail: Mail,
    log: Vec<String>,
}

impl Office {
    fn say(&mut self, input: &Input, now: i64) -> Result<Option<MessageNo>, Rejected> {
        let mut new = None;
        for event in self.mail.decide(input, Timestamp(now))? {
            self.mail.apply(&event);
            self.log.push(record::encode_mail(&event));
            let stored = self.log.last().map(|line| record::decode_mail(record::FORMAT, line).unwrap());
            assert_eq!(stored.as_ref(), Some(&event), "what is stored is what happened");
            if let Event::Sent { no, .. } = event {
                new = Some(no);
            }
        }
        invariants::check(&self.mail).unwrap();
        Ok(new)
    }

    fn send(&mut self, from: Address, to: To) -> Result<MessageNo, Rejected> {
        self.say(&send(from, to, |_| {}), 0).map(Option::unwrap)
    }

    fn unread(&self, who: Address, now: i64) -> Vec<u64> {
        self.mail.unread(who, Timestamp(now)).map(|(no, _)| no.0).collect()
    }
}

fn send(from: Address, to: To, change: impl FnOnce(&mut Draft)) -> Input {
    let mut draft = Draft {
        from,
        to,
        subject: "The routes".into(),
        body: "They are there.".into(),
        priority: Priority::Normal,
        request: false,
        thread: None,
        reply_to: None,
        lasts: None,
    };
    change(&mut draft);
    Input::Send(Box::new(draft))
}

fn reply(by: Address, no: MessageNo, answer: Option<Status>) -> Input {
    Input::Reply { by, no, body: "So it is.".into(), answer }
}

#[test]
fn a_message_is_its_writers_and_its_addressees_alone() {
    let mut office = Office::default();
    let no = office.send(worker(1), To::One(BOSS)).unwrap();
    assert_eq!(office.unread(BOSS, 0), [1]);
    for (who, sees) in [(BOSS, true), (worker(1), true), (worker(2), false)] {
        let message = office.mail.get(no, Timestamp(0)).unwrap();
        assert_eq!(Mail::sees(who, message), sees, "{who}");
        assert_eq!(office.mail.thread(who, no, Timestamp(0)).count(), usize::from(sees), "{who}");
    }
    for input in [Input::Read { by: worker(2), no }, reply(worker(2), no, None)] {
        assert_eq!(office.say(&input, 0), Err(Rejected::NoMessage(no)));
    }
    let into = |draft: &mut Draft| draft.thread = Some(no);
    assert_eq!(office.say(&send(worker(2), To::One(BOSS), into), 0), Err(Rejected::NoThread(no)));
    assert_eq!(office.say(&send(worker(1), To::One(BOSS), into), 0), Ok(Some(MessageNo(2))));
    office.say(&Input::Read { by: BOSS, no }, 0).unwrap();
    assert_eq!(office.unread(BOSS, 0), [2]);
    assert_eq!(office.say(&Input::Read { by: BOSS, no }, 0), Ok(None));
    assert_eq!(office.log.len(), 3, "what was read is read once");
}

#[test]
fn all_workers_get_what_is_for_all_but_not_what_they_wrote() {
    let mut office = Office::default();
    office.send(worker(1), To::Workers).unwrap();
    assert_eq!((office.unread(worker(1), 0), office.unread(BOSS, 0)), (vec![], vec![]));
    assert_eq!(office.unread(worker(7), 0), [1], "also who begins later");
    office.say(&Input::Read { by: worker(2), no: MessageNo(1) }, 0).unwrap();
    assert_eq!((office.unread(worker(2), 0), office.unread(worker(3), 0)), (vec![], vec![1]));
    let new = office.say(&reply(worker(3), MessageNo(1), None), 0).unwrap().unwrap();
    assert_eq!(office.mail.get(new, Timestamp(0)).unwrap().to, To::One(worker(1)), "an answer is to who asked");
    assert_eq!(office.unread(worker(3), 0), [] as [u64; 0], "what was answered was read");
}

#[test]
fn a_request_is_answered_by_whom_it_is_to_and_its_end_stays() {
    use Status::{Accepted, Completed, Rejected as Refused};
    let asks = |draft: &mut Draft| draft.request = true;
    let mut office = Office::default();
    assert_eq!(office.say(&send(BOSS, To::Workers, asks), 0), Err(Rejected::RequestToAll));
    let asked = office.say(&send(BOSS, To::One(worker(1)), asks), 0).unwrap().unwrap();
    let note = office.send(BOSS, To::One(worker(1))).unwrap();
    for (who, no) in [(BOSS, asked), (worker(1), note)] {
        assert_eq!(office.say(&reply(who, no, Some(Accepted)), 0), Err(Rejected::NoRequest(no)));
    }
    let kind = |office: &Office| office.mail.get(asked, Timestamp(0)).unwrap().kind;
    office.say(&reply(worker(1), asked, None), 0).unwrap();
    assert_eq!(kind(&office), Kind::Request(None), "a word is no answer");
    for (answer, is) in [(Accepted, Accepted), (Completed, Completed)] {
        office.say(&reply(worker(1), asked, Some(answer)), 0).unwrap();
        assert_eq!(kind(&office), Kind::Request(Some(is)));
    }
    for answer in [Accepted, Refused, Completed] {
        let refused = office.say(&reply(worker(1), asked, Some(answer)), 0);
        assert_eq!(refused, Err(Rejected::Answered(asked, Completed)));
    }
    assert_eq!(office.unread(BOSS, 0).len(), 3);
}

#[test]
fn what_has_expired_is_nobodys_any_more() {
    let mut office = Office::default();
    let short = |draft: &mut Draft| draft.lasts = Some(Duration::from_secs(1));
    let no = office.say(&send(BOSS, To::One(worker(1)), short), 0).unwrap().unwrap();
    assert_eq!((office.unread(worker(1), 999).len(), office.unread(worker(1), 1000).len()), (1, 0));
    assert_eq!(office.say(&Input::Read { by: worker(1), no }, 1000), Err(Rejected::NoMessage(no)));
    assert_eq!(office.say(&reply(worker(1), no, None), 1000), Err(Rejected::NoMessage(no)));
    office.say(&send(BOSS, To::One(worker(1)), |_| {}), 1000).unwrap();
    assert_eq!(office.mail.all(Timestamp(0)).count(), 1, "it is let go of with the next fact");
    let lasts = i64::try_from(LASTS.as_millis()).unwrap() + 1000;
    assert_eq!((office.unread(worker(1), lasts - 1).len(), office.unread(worker(1), lasts).len()), (1, 0));
}

#[test]
fn what_is_no_message_is_refused_and_changes_nothing() {
    let mut office = Office::default();
    office.send(BOSS, To::One(worker(1))).unwrap();
    let other = office.send(BOSS, To::One(worker(1))).unwrap();
    let before = office.mail.clone();
    let long = |n: usize| "x".repeat(n);
    type Change = Box<dyn FnOnce(&mut Draft)>;
    let cases: [(Change, Rejected); 13] = [
        (Box::new(|d| d.subject = " ".into()), Rejected::Subject),
        (Box::new(|d| d.subject = "a\nb".into()), Rejected::Subject),
        (Box::new(|d| d.subject = "a\u{2028}b".into()), Rejected::Subject),
        (Box::new(move |d| d.subject = long(201)), Rejected::Subject),
        (Box::new(|d| d.body = "\n".into()), Rejected::Body),
        (Box::new(|d| d.body = "a\0b".into()), Rejected::Body),
        (Box::new(move |d| d.body = long(16 * 1024 + 1)), Rejected::Body),
        (Box::new(|d| d.lasts = Some(Duration::ZERO)), Rejected::Lasts),
        (Box::new(|d| d.lasts = Some(Duration::MAX)), Rejected::Lasts),
        (Box::new(|d| d.to = To::One(BOSS)), Rejected::ToSelf),
        (Box::new(|d| d.reply_to = Some(MessageNo(9))), Rejected::NoMessage(MessageNo(9))),
        (Box::new(|d| d.thread = Some(MessageNo(9))), Rejected::NoThread(MessageNo(9))),
        (
            Box::new(move |d| (d.thread, d.reply_to) = (Some(MessageNo(1)), Some(other))),
            Rejected::OtherThread(other, other, MessageNo(1)),
        ),
    ];
    for (change, why) in cases {
        assert_eq!(office.say(&send(BOSS, To::One(worker(1)), change), 0), Err(why));
    }
    assert_eq!(office.mail, before);
}

#[test]
fn nobody_fills_a_box_or_the_log() {
    let mut office = Office::default();
    for n in 0..MOST_UNREAD {
        office.send(worker(u8::try_from(n % 9).unwrap()), To::One(BOSS)).unwrap();
    }
    assert_eq!(office.send(worker(1), To::One(BOSS)), Err(Rejected::Full(BOSS)));
    office.say(&Input::Read { by: BOSS, no: MessageNo(1) }, 0).unwrap();
    office.send(worker(1), To::One(BOSS)).unwrap();

    let mut office = Office::default();
    let short = |draft: &mut Draft| draft.lasts = Some(Duration::from_secs(1));
    for now in 0..i64::from(MOST_OF_A_WORKER) {
        office.say(&send(worker(1), To::Workers, short), now * 1000).unwrap();
    }
    let late = i64::from(MOST_OF_A_WORKER) * 1000;
    let refused = office.say(&send(worker(1), To::Workers, short), late);
    assert_eq!(refused, Err(Rejected::TooMany(worker(1))), "in all, however short they last");
    for _ in 0..MOST_SENT {
        office.say(&send(BOSS, To::Workers, short), late).unwrap();
    }
    assert_eq!(office.say(&send(BOSS, To::Workers, short), late + 999), Err(Rejected::TooMany(BOSS)));
    office.say(&send(BOSS, To::Workers, short), late + 1000).expect("what has expired does not count");
}

fn address() -> impl Strategy<Value = Address> {
    (0..4_u8).prop_map(|n| if n == 0 { BOSS } else { worker(n) })
}

fn number() -> impl Strategy<Value = MessageNo> {
    (1..20_u64).prop_map(MessageNo)
}

fn status() -> impl Strategy<Value = Option<Status>> {
    prop::option::of(prop::sample::select(vec![Status::Accepted, Status::Rejected, Status::Completed]))
}

fn input() -> impl Strategy<Value = (Input, i64)> {
    let to = prop_oneof![4 => address().prop_map(To::One), 1 => Just(To::Workers)];
    let written = (address(), to, any::<bool>(), prop::option::of(number()), prop::option::of(number()), 0..9_u64)
        .prop_map(|(from, to, request, thread, reply_to, lasts)| {
            send(from, to, |draft| {
                (draft.request, draft.thread, draft.reply_to) = (request, thread, reply_to);
                draft.lasts = Some(Duration::from_secs(lasts));
            })
        });
    let read = (address(), number()).prop_map(|(by, no)| Input::Read { by, no });
    let replied = (address(), number(), status()).prop_map(|(by, no, answer)| reply(by, no, answer));
    (prop_oneof![3 => written, 1 => read, 2 => replied], 0..2_500_i64)
}

proptest! {
    /// Killed after any append, the log gives the same state; refused inputs change nothing; and what each address is
    /// told waits for it is what a look at every message gives.
    #[test]
    fn the_log_alone_gives_the_mail(inputs in prop::collection::vec(input(), 0..80)) {
        let mut office = Office::default();
        let mut now = 0;
        for (input, later) in &inputs {
            now += later;
            let before = office.mail.clone();
            if office.say(input, now).is_err() {
                prop_assert_eq!(&office.mail, &before);
            }
            let mut again = Mail::default();
            for line in &office.log {
                again.apply(&record::decode_mail(record::FORMAT, line).unwrap());
            }
            prop_assert_eq!(&again, &office.mail);
            prop_assert_eq!(again.facts(), office.log.len() as u64);
            for who in [BOSS, worker(1), worker(2), worker(3)] {
                let all = office.mail.all(Timestamp(now));
                let waits = all.filter(|(_, m)| m.from != who && m.to.includes(who) && !m.read_by.contains(&who));
                prop_assert_eq!(office.unread(who, now), waits.map(|(no, _)| no.0).collect::<Vec<_>>());
            }
        }
    }
}
