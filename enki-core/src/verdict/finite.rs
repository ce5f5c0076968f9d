//! Scores as they are read from a log: one that is no finite number cannot be written again, so the row is damaged.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

pub(crate) fn score<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
    let score = f32::deserialize(from)?;
    if score.is_finite() { Ok(score) } else { Err(D::Error::custom("a score that is no finite number")) }
}

pub(crate) fn maybe_score<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f32>, D::Error> {
    #[derive(Deserialize)]
    struct Score(#[serde(deserialize_with = "score")] f32);
    Ok(Option::<Score>::deserialize(from)?.map(|score| score.0))
}

#[cfg(test)]
mod tests {
    use crate::review::Review;
    use crate::verdict::{Finding, Severity, Verdict};

    #[test]
    fn a_score_that_is_no_finite_number_makes_a_row_a_damaged_one() {
        let verdict = Verdict { score: Some(7.25), rubric: Some(1.25), ..Verdict::default() };
        let finding = Finding::new(Severity::Minor, "x").with_points("tests", 1.25);
        let review = Review::review_only(crate::review::Reviewer::Agent { role: None }, 7.25);
        let texts = [
            (serde_json::to_string(&verdict).unwrap(), "7.25"),
            (serde_json::to_string(&verdict).unwrap(), "1.25"),
            (serde_json::to_string(&finding).unwrap(), "1.25"),
            (serde_json::to_string(&review).unwrap(), "7.25"),
        ];
        for (text, number) in texts {
            let reads = |text: &str| match text {
                text if text.contains("severity") => serde_json::from_str::<Finding>(text).map(drop),
                text if text.contains("max_fixes") => serde_json::from_str::<Review>(text).map(drop),
                text => serde_json::from_str::<Verdict>(text).map(drop),
            };
            reads(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let e = reads(&text.replace(number, "1e39")).unwrap_err();
            assert!(e.to_string().contains("no finite number"), "{text}: {e}");
        }
    }
}
