//! Events of an outside coordinator's chains, as they are stored.

use crate::chain::outside::Event;
use crate::chain::{Report, Then, Wid};
use crate::id::AttemptNo;
use crate::review::Review;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What is recorded of a coordinator's chains; see the variant of that name of [`Event`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainsEvent<'a> {
    /// A chain exists.
    Opened {
        /// The chain.
        wid: Cow<'a, Wid>,
        /// What it is about.
        title: Cow<'a, str>,
        /// Its review.
        review: Cow<'a, Review>,
        /// What its nonces are made of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<Cow<'a, str>>,
    },
    /// An attempt may be started.
    Started {
        /// Of which chain.
        wid: Cow<'a, Wid>,
        /// Which.
        attempt: AttemptNo,
    },
    /// It ended.
    Ended {
        /// Of which chain.
        wid: Cow<'a, Wid>,
        /// Which.
        attempt: AttemptNo,
        /// How.
        report: Cow<'a, Report>,
        /// What follows.
        then: Then,
        /// The files it changed, by its own word.
        #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
        files: Cow<'a, [String]>,
    },
    /// The chain was given up.
    Cancelled {
        /// Which.
        wid: Cow<'a, Wid>,
    },
    /// The coordinator has taken notice of its end.
    Taken {
        /// Of which.
        wid: Cow<'a, Wid>,
    },
}

impl<'a> From<&'a Event> for ChainsEvent<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::Opened { wid, title, review, seed } => Self::Opened {
                wid: Cow::Borrowed(wid),
                title: Cow::Borrowed(title),
                review: Cow::Borrowed(review),
                seed: seed.as_deref().map(Cow::Borrowed),
            },
            Event::Started { wid, attempt } => Self::Started { wid: Cow::Borrowed(wid), attempt: *attempt },
            Event::Ended { wid, attempt, report, then, files } => Self::Ended {
                wid: Cow::Borrowed(wid),
                attempt: *attempt,
                report: Cow::Borrowed(report),
                then: *then,
                files: Cow::Borrowed(files),
            },
            Event::Cancelled { wid } => Self::Cancelled { wid: Cow::Borrowed(wid) },
            Event::Taken { wid } => Self::Taken { wid: Cow::Borrowed(wid) },
        }
    }
}

impl ChainsEvent<'_> {
    /// The event it stands for.
    pub(super) fn into_event(self) -> Event {
        match self {
            Self::Opened { wid, title, review, seed } => Event::Opened {
                wid: wid.into_owned(),
                title: title.into(),
                review: Box::new(review.into_owned()),
                seed: seed.map(Into::into),
            },
            Self::Started { wid, attempt } => Event::Started { wid: wid.into_owned(), attempt },
            Self::Ended { wid, attempt, report, then, files } => Event::Ended {
                wid: wid.into_owned(),
                attempt,
                report: report.into_owned(),
                then,
                files: files.into_owned(),
            },
            Self::Cancelled { wid } => Event::Cancelled { wid: wid.into_owned() },
            Self::Taken { wid } => Event::Taken { wid: wid.into_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{decode_chains, encode_chains};
    use super::*;
    use crate::chain::{Charge, Escalation};
    use crate::review::StateIx;
    use crate::tier::Purpose;
    use crate::verdict::{Gate, Verdict};

    const CHAINS: &str = include_str!("../../../tests/golden/v1/chains.jsonl");

    fn log() -> Vec<Event> {
        let wid: Wid = "wrfc_auto_1700000000000_ab12cd34_x9zz".parse().unwrap();
        let tree = Some("0123456789012345678901234567890123456789".parse().unwrap());
        let ended = |attempt, report, then| Event::Ended {
            wid: wid.clone(),
            attempt: AttemptNo(attempt),
            report,
            then,
            files: if attempt == 1 { vec!["src/a.rs".to_owned()] } else { Vec::new() },
        };
        let run = |purpose, at, charge| Then::Run { purpose, at: StateIx(at), charge };
        let reviewed = |verdict| Report::Reviewed { verdict, tree };
        let opened = |seed: Option<&str>| Event::Opened {
            wid: wid.clone(),
            title: "Add \"routes\"".into(),
            review: Box::default(),
            seed: seed.map(Into::into),
        };
        vec![
            opened(Some("5eed")),
            opened(None),
            Event::Started { wid: wid.clone(), attempt: AttemptNo(1) },
            ended(1, Report::Worked { changed: true, tree }, run(Purpose::Review, 1, Charge::Nothing)),
            ended(2, Report::Infra, run(Purpose::Review, 1, Charge::Infra)),
            ended(3, Report::NotStarted, run(Purpose::Review, 1, Charge::Spawn)),
            ended(4, Report::Interrupted, run(Purpose::Review, 1, Charge::Repeat)),
            ended(5, Report::Void, run(Purpose::Review, 1, Charge::Void)),
            ended(6, reviewed(Verdict::of(Gate::Revise).saying("no")), run(Purpose::Fix, 2, Charge::Fix)),
            ended(7, Report::Worked { changed: false, tree: None }, Then::Complete),
            ended(8, Report::Asks, Then::Escalate(Escalation::ByAgent)),
            ended(9, Report::Dead, Then::Fail),
            Event::Cancelled { wid: wid.clone() },
            Event::Taken { wid },
        ]
    }

    /// With `WRITE_GOLDEN` set it is written, which is for a format that is not released yet and for nothing else.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a switch of the test itself")]
    fn the_golden_log_is_what_was_first_written_and_read_as_it_was_meant() {
        let lines = log().iter().fold(String::new(), |all, event| all + &encode_chains(event) + "\n");
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
            std::fs::write(folder.join("chains.jsonl"), &lines).unwrap();
            return;
        }
        assert_eq!(CHAINS, lines);
        let read: Vec<Event> = CHAINS.lines().map(|line| decode_chains(line).unwrap()).collect();
        assert_eq!(read, log());
        for bad in ["", "\"taken\"", r#"{"taken":{"wid":"x"}}"#, r#"{"started":{"wid":"wrfc_a"}}"#] {
            assert!(decode_chains(bad).is_err(), "{bad}");
        }
    }
}
