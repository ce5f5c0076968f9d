//! The JSON Schema of a verdict, for runners whose agents answer by structured output.

use serde_json::{Value, json};

/// The schema of the object that [`super::Verdict::of_object`] reads, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let categories: Vec<&str> = super::rubric::categories().collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["gate", "score", "issues", "summary"],
        "properties": {
            "gate": {"type": "string", "enum": ["PASS", "REVISE", "FAIL"],
                "description": "PASS: good as it is. REVISE: good after repairs. FAIL: wrong approach, to be planned anew."},
            "score": {"type": "number", "minimum": 0, "maximum": 10},
            "summary": {"type": "string", "description": "What whoever repairs it has to know."},
            "acceptance": {"type": "object", "additionalProperties": false, "required": ["met", "total"],
                "properties": {"met": {"type": "integer", "minimum": 0}, "total": {"type": "integer", "minimum": 0}}},
            "remember": {"type": "array", "maxItems": 5, "items": remembered(),
                "description": "What later work here should know; a person decides about it. Leave it out if there is nothing."},
            "issues": {"type": "array", "items": {
                "type": "object",
                "additionalProperties": false,
                "required": ["severity", "title"],
                "properties": {
                    "id": {"type": "string", "description": "Of a finding of an earlier round, if it is that one again."},
                    "severity": {"type": "string", "enum": ["critical", "major", "minor", "nitpick"]},
                    "title": {"type": "string"},
                    "file": {"type": "string"},
                    "line": {"type": "integer", "minimum": 1},
                    "category": {"type": "string", "enum": categories},
                    "points": {"type": "number", "minimum": 0.25, "maximum": 3}
                }
            }}
        }
    })
}

/// An entry that is proposed to be remembered.
fn remembered() -> Value {
    let text = || json!({"type": "string"});
    json!({"type": "object", "required": ["kind"], "properties": {
        "kind": {"type": "string", "enum": ["decision", "pattern", "failure"]},
        "what": text(), "why": text(), "name": text(), "description": text(), "when_to_use": text(), "error": text(),
        "context": text(), "root_cause": text(), "resolution": text(), "prevention": text()
    }})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Gate, Severity, Verdict};

    #[test]
    fn what_the_schema_allows_is_read_in_full() {
        let answer = json!({"gate": "REVISE", "score": 9.9, "summary": "one thing", "acceptance": {"met": 1, "total": 1},
            "issues": [{"id": "f-1", "severity": "minor", "title": "t", "file": "a.rs", "line": 2, "category": "naming",
                "points": 0.5}]});
        let properties = schema()["properties"].as_object().unwrap().clone();
        for key in answer.as_object().unwrap().keys() {
            assert!(properties.contains_key(key), "{key}");
        }
        let verdict = Verdict::of_object(answer.as_object().unwrap());
        assert_eq!((verdict.gate, verdict.score, verdict.acceptance), (Some(Gate::Revise), Some(9.9), Some((1, 1))));
        let finding = &verdict.findings[0];
        assert_eq!((finding.id.as_str(), finding.severity, finding.line), ("f-1", Severity::Minor, Some(2)));
        assert_eq!(verdict.rubric, Some(9.95));
    }
}
