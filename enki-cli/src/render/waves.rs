//! The waves of a plan, one a line.

use enki_core::advice::Waves;
use enki_core::plan::Plan;

/// Most ids that one line names; the rest is counted.
const SHOWN: usize = 12;

/// `wave 1  types, research`.
pub(crate) fn waves(plan: &Plan) -> Vec<String> {
    let waves = Waves::of(plan);
    let width = waves.iter().len().to_string().len();
    let one = |(n, wave): (usize, &[enki_core::id::StepIx])| {
        let ids: Vec<&str> = wave.iter().take(SHOWN).map(|ix| plan.step(*ix).id.as_str()).collect();
        let more = wave.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("wave {:width$}  {}{more}", n + 1, ids.join(", "))
    };
    waves.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use enki_core::plan::PlanLimits;
    use enki_core::spec::PlanSpec;
    use serde_json::json;

    #[test]
    fn a_wide_wave_is_cut_and_counted() {
        let step = |n: usize| {
            let needs = if n == 0 { json!([]) } else { json!(["s0"]) };
            json!({"id": format!("s{n}"), "title": "t", "description": "d", "needs": needs})
        };
        let steps: Vec<_> = (0..15).map(step).collect();
        let spec: PlanSpec = serde_json::from_value(json!({"steps": steps})).unwrap();
        let plan = Plan::build(&spec, &PlanLimits::default(), &Default::default()).unwrap();
        assert_eq!(
            waves(&plan),
            ["wave 1  s0", "wave 2  s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12 and 2 more"]
        );
    }
}
