//! The rubric: a score from findings, pure (spec of the review loop, section 5).

use super::finding::{Finding, Severity};

/// What a finding is about, with its share of the score in percent.
const CATEGORIES: [(&str, f32); 10] = [
    ("organization", 12.0),
    ("naming", 10.0),
    ("error handling", 12.0),
    ("testing", 12.0),
    ("performance", 10.0),
    ("security", 12.0),
    ("documentation", 8.0),
    ("solid/dry", 10.0),
    ("dependencies", 6.0),
    ("maintainability", 8.0),
];

/// Share of what is of no category known here: that of an average one.
const OTHER: f32 = 10.0;
/// Most that one category can cost, before its share.
const MOST: f32 = 10.0;

/// A score from 0 to 10 with two decimals: 10 less each category's share of its points, weighted by severity. Findings
/// without points cost nothing. More findings, points or severity never raise it.
///
/// ```
/// use enki_core::verdict::{Finding, Severity, rubric};
/// let injection = Finding::new(Severity::Critical, "SQL injection in the search").with_points("security", 2.0);
/// assert_eq!(rubric::score(&[injection]), 9.52);
/// assert_eq!(rubric::score(&[]), 10.0);
/// ```
#[must_use]
pub fn score(findings: &[Finding]) -> f32 {
    let lost: f32 = CATEGORIES.iter().map(|(name, share)| share / 100.0 * cost(findings, |c| c == *name)).sum();
    let other = OTHER / 100.0 * cost(findings, |c| CATEGORIES.iter().all(|(name, _)| c != *name));
    let score = (10.0 - lost - other).clamp(0.0, 10.0);
    (score * 100.0).round() / 100.0
}

/// The grade of a score, from `A` to `F`.
#[must_use]
pub fn grade(score: f32) -> char {
    match score {
        s if s >= 9.0 => 'A',
        s if s >= 7.0 => 'B',
        s if s >= 5.0 => 'C',
        s if s >= 3.0 => 'D',
        _ => 'F',
    }
}

/// The names of the categories, in the order in which they are listed.
pub fn categories() -> impl Iterator<Item = &'static str> {
    CATEGORIES.iter().map(|(name, _)| *name)
}

/// What findings of one category cost, before its share.
fn cost(findings: &[Finding], is_it: impl Fn(&str) -> bool) -> f32 {
    let of_it = findings.iter().filter(|finding| is_it(&category(finding)));
    of_it.map(|finding| finding.points.unwrap_or(0.0) * weight(finding.severity)).sum::<f32>().min(MOST)
}

/// The name as the table has it: `error_handling`, `Error-Handling` and `error handling` are one.
fn category(finding: &Finding) -> String {
    finding.category.as_deref().unwrap_or_default().trim().to_lowercase().replace(['_', '-'], " ")
}

const fn weight(severity: Severity) -> f32 {
    match severity {
        Severity::Critical => 2.0,
        Severity::Major => 1.5,
        Severity::Minor => 1.0,
        Severity::Nitpick => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn findings() -> impl Strategy<Value = Vec<Finding>> {
        let severity =
            prop::sample::select(vec![Severity::Critical, Severity::Major, Severity::Minor, Severity::Nitpick]);
        let name = prop::sample::select(vec!["security", "Error_Handling", "naming", "whatever"]);
        prop::collection::vec(
            (severity, name, 0.25f32..=3.0).prop_map(|(s, c, p)| Finding::new(s, "x").with_points(c, p)),
            0..40,
        )
    }

    #[test]
    fn shares_are_a_whole() {
        assert!((CATEGORIES.iter().map(|(_, share)| share).sum::<f32>() - 100.0).abs() < f32::EPSILON);
    }

    #[test]
    fn the_reference_findings_cost_what_the_table_says() {
        let of = |s, c, p| score(&[Finding::new(s, "x").with_points(c, p)]);
        assert_eq!(of(Severity::Critical, "error handling", 1.5), 9.64);
        assert_eq!(of(Severity::Critical, "testing", 3.0), 9.28);
        assert_eq!(of(Severity::Minor, "naming", 0.5), 9.95);
        assert_eq!((grade(9.28), grade(6.99), grade(0.0)), ('A', 'C', 'F'));
    }

    proptest! {
        #[test]
        fn it_is_in_range_and_one_more_finding_never_raises_it(all in findings(), more in findings()) {
            let before = score(&all);
            prop_assert!((0.0..=10.0).contains(&before));
            let joined: Vec<Finding> = all.into_iter().chain(more).collect();
            prop_assert!(score(&joined) <= before);
        }
    }
}
