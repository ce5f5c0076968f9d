//! The changes that wait, in order.

use super::{Entry, Line};
use crate::id::{CommitId, RequestId};
use crate::limits::Limits;
use crate::refinery::ChangeKind;
use crate::tier::Priority;
use crate::time::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// So many, in order, are looked at to choose from and to predict conflicts of.
const LOOKED_AT: usize = 20;

/// A change with what is known of it here.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The change and what its publishing depends on.
    pub entry: Entry,
    pub(super) place: Place,
    /// Where the target was when it was queued, and how many changes had been merged.
    pub(super) old_base: Option<CommitId>,
    pub(super) merges_before: u64,
    /// Whether it is known what it conflicts with.
    pub(super) predicted: bool,
    /// Whether it seems to conflict with the target.
    pub(super) off: bool,
    /// Changes that it conflicts with.
    pub(super) clashes: BTreeSet<RequestId>,
}

/// The order: age, priority, how many wait for it, arrival.
pub(super) type Place = (u64, Priority, Reverse<u32>, u64);

impl Member {
    /// The request that asks for it.
    #[must_use]
    pub const fn request(&self) -> RequestId {
        self.entry.change.request
    }

    /// Where the target was when the change was queued, as far as known.
    #[must_use]
    pub const fn old_base(&self) -> Option<CommitId> {
        self.old_base
    }

    pub(super) const fn is_step(&self) -> bool {
        matches!(self.entry.change.kind, ChangeKind::Step { .. })
    }

    fn clashes_with(&self, other: &Self) -> bool {
        self.clashes.contains(&other.request()) || other.clashes.contains(&self.request())
    }
}

/// The waiting changes of a queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lot {
    members: BTreeMap<RequestId, Member>,
    order: BTreeMap<Place, RequestId>,
    /// What a failed batch was split into: tried before all others, one after the other.
    groups: VecDeque<Vec<RequestId>>,
    /// Those that are known to conflict with some other.
    clashing: BTreeSet<RequestId>,
    arrivals: u64,
}

/// The place by age of a change that is queued now. A change of higher priority goes before those that came up to one
/// step of age earlier, for each priority between them; so nothing waits for ever (Q8).
pub(super) fn age(now: Timestamp, priority: Priority, limits: &Limits) -> u64 {
    let step = u64::try_from(limits.age_step.as_millis()).unwrap_or(u64::MAX).max(1);
    u64::try_from(now.0).unwrap_or(0) / step + priority as u64
}

impl Lot {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn get(&self, request: RequestId) -> Option<&Member> {
        self.members.get(&request)
    }

    pub(super) fn in_order(&self) -> impl Iterator<Item = &Member> {
        self.order.values().map(|request| &self.members[request])
    }

    /// The first ones in order.
    pub(super) fn first(&self) -> impl Iterator<Item = &Member> {
        self.in_order().take(LOOKED_AT)
    }

    pub(super) fn arrive(&mut self, entry: Entry, head: Option<CommitId>, merges: u64) {
        self.arrivals += 1;
        let place = (entry.age, entry.priority, Reverse(entry.frees), self.arrivals);
        self.put(Member {
            entry,
            place,
            old_base: head,
            merges_before: merges,
            predicted: false,
            off: false,
            clashes: BTreeSet::new(),
        });
    }

    /// Puts a change at its place, as after it left a line.
    pub(super) fn put(&mut self, member: Member) {
        if !member.clashes.is_empty() {
            self.clashing.insert(member.request());
        }
        self.order.insert(member.place, member.request());
        self.members.insert(member.request(), member);
    }

    /// Takes a change for a line.
    pub(super) fn take(&mut self, request: RequestId) -> Option<Member> {
        let member = self.members.remove(&request)?;
        self.order.remove(&member.place);
        self.clashing.remove(&request);
        Some(member)
    }

    /// A change that leaves the queue.
    pub(super) fn remove(&mut self, request: RequestId) {
        self.take(request);
        self.leave_groups(&[request]);
    }

    pub(super) fn split(&mut self, groups: &[Vec<RequestId>]) {
        for group in groups.iter().rev() {
            self.groups.push_front(group.clone());
        }
    }

    /// These are in a line now, or gone.
    pub(super) fn leave_groups(&mut self, requests: &[RequestId]) {
        for group in &mut self.groups {
            group.retain(|request| !requests.contains(request));
        }
        self.groups.retain(|group| !group.is_empty());
    }

    pub(super) fn clash(&mut self, one: RequestId, others: impl IntoIterator<Item = RequestId>) {
        if let Some(member) = self.members.get_mut(&one) {
            member.clashes.extend(others);
            if !member.clashes.is_empty() {
                self.clashing.insert(one);
            }
        }
    }

    /// That change is on the target now: what conflicts with it conflicts with the target.
    pub(super) fn merged(&mut self, request: RequestId) {
        for other in &self.clashing {
            if let Some(member) = self.members.get_mut(other) {
                member.off |= member.clashes.contains(&request);
            }
        }
    }

    pub(super) fn with(&mut self, request: RequestId, of: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(&request) {
            of(member);
        }
    }

    /// The members of the next line, of at most `size`; none that is known to conflict with what is in the works.
    pub(super) fn pick(&self, size: usize, works: &VecDeque<Line>) -> Vec<RequestId> {
        let fits = |member: &&Member| {
            works.iter().flat_map(|line| &line.members).all(|below| !member.clashes_with(below))
                && (works.is_empty() || member.is_step())
        };
        if let Some(group) = self.groups.front() {
            let members = group.iter().filter_map(|request| self.members.get(request));
            return if members.clone().all(|member| fits(&member)) {
                members.map(Member::request).collect()
            } else {
                Vec::new()
            };
        }
        // What conflicts with the target is sent back at once; among equals the one that is least in others' way.
        let rank = |member: &&Member| {
            let (age, priority, frees, arrival) = member.place;
            (!member.off, age, priority, frees, member.clashes.len(), arrival)
        };
        let Some(leader) = self.first().filter(fits).min_by_key(rank) else { return Vec::new() };
        let mut chosen = vec![leader];
        if leader.is_step() && !leader.off {
            for member in self.first().filter(fits) {
                if chosen.len() >= size {
                    break;
                }
                let goes = member.is_step()
                    && !member.off
                    && member.entry.gate == leader.entry.gate
                    && member.request() != leader.request()
                    && chosen.iter().all(|other| !member.clashes_with(other));
                if goes {
                    chosen.push(member);
                }
            }
        }
        chosen.into_iter().map(Member::request).collect()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.order.len() != self.members.len() {
            return Err(format!("Q2: {} places for {} waiting changes", self.order.len(), self.members.len()));
        }
        let lost = self.groups.iter().flatten().find(|request| !self.members.contains_key(request));
        lost.map_or(Ok(()), |request| Err(format!("Q2: {request} is to be tried next, and does not wait")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::LineNo;
    use super::super::tests::{commit, entry, landing};
    use super::*;

    fn lot(entries: impl IntoIterator<Item = Entry>) -> Lot {
        let mut lot = Lot::default();
        entries.into_iter().for_each(|entry| lot.arrive(entry, Some(commit(1)), 0));
        lot
    }

    fn id(n: u32) -> RequestId {
        entry(n).change.request
    }

    fn off(lot: &Lot, n: u32) -> bool {
        lot.get(id(n)).unwrap().off
    }

    #[test]
    fn what_conflicts_with_a_merged_change_conflicts_with_the_target() {
        let mut lot = lot((1..=4).map(entry));
        lot.clash(id(2), [id(1)]);
        lot.clash(id(3), [id(4)]);
        lot.merged(id(1));
        assert_eq!([off(&lot, 2), off(&lot, 3), off(&lot, 4)], [true, false, false]);
        lot.merged(id(9));
        assert!(off(&lot, 2), "it still does when another one is merged");
    }

    #[test]
    fn what_comes_back_from_a_line_is_known_to_conflict_as_before() {
        let mut lot = lot((1..=2).map(entry));
        lot.clash(id(2), [id(1)]);
        let member = lot.take(id(2)).unwrap();
        lot.put(member);
        lot.merged(id(1));
        assert!(off(&lot, 2));
    }

    /// A line of one change.
    fn works(lot: &mut Lot, n: u32) -> VecDeque<Line> {
        VecDeque::from([Line::new(LineNo(1), vec![lot.take(id(n)).unwrap()], commit(1))])
    }

    #[test]
    fn a_group_of_a_failed_batch_goes_first_and_waits_for_what_it_conflicts_with() {
        let mut lot = lot((1..=4).map(entry));
        lot.split(&[vec![id(3), id(4)]]);
        assert_eq!(lot.pick(8, &VecDeque::new()), [id(3), id(4)]);
        let works = works(&mut lot, 1);
        assert_eq!(lot.pick(8, &works), [id(3), id(4)], "it goes on what is in the works");
        lot.clash(id(4), [id(1)]);
        assert_eq!(lot.pick(8, &works), [], "and nothing overtakes it");
    }

    #[test]
    fn nothing_goes_on_what_it_conflicts_with_and_a_landing_on_nothing() {
        let mut lot = lot([entry(1), landing(2), entry(3), entry(4)]);
        lot.clash(id(3), [id(1)]);
        let works = works(&mut lot, 1);
        assert_eq!(lot.pick(8, &works), [id(4)]);
    }

    #[test]
    fn a_landing_and_what_conflicts_with_the_target_go_alone() {
        let mut lot = lot([landing(1), entry(2), entry(3)]);
        let landing = landing(1).change.request;
        assert_eq!(lot.pick(8, &VecDeque::new()), [landing]);
        lot.with(id(3), |member| member.off = true);
        assert_eq!(lot.pick(8, &VecDeque::new()), [id(3)], "first of all, to be sent back");
        lot.remove(landing);
        lot.with(id(3), |member| member.off = false);
        assert_eq!(lot.pick(8, &VecDeque::new()), [id(2), id(3)]);
    }

    #[test]
    fn a_lot_that_does_not_agree_with_itself_is_noticed() {
        let mut broken = lot((1..=2).map(entry));
        assert_eq!(broken.check(), Ok(()));
        broken.split(&[vec![id(2), id(9)]]);
        assert!(broken.check().unwrap_err().contains(&id(9).to_string()));
        let mut broken = lot((1..=2).map(entry));
        broken.order.pop_first();
        assert_eq!(broken.check().unwrap_err(), "Q2: 1 places for 2 waiting changes");
    }
}
