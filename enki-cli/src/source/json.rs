//! JSON (RFC 8259) as a tree with places. Written by hand: no parser in use gives the place of every value.

use super::node::{Key, Node, Value};
use super::problem::Problem;
use super::{MAX_DEPTH, MAX_VALUES, too_deep, too_many, twice};
use std::collections::HashMap;

pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut reader = Reader { text, at: 0, values: 0 };
    let node = reader.value(0)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.unexpected("the end of the file"));
    }
    Ok(node)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    values: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, expected: &str) -> Problem {
        let found = match self.text[self.at..].chars().next() {
            None => "the end of the file".to_owned(),
            Some(c) => format!("{c:?}"),
        };
        let end = self.text[self.at..].chars().next().map_or(self.at, |c| self.at + c.len_utf8());
        Problem::new(self.at..end, format!("expected {expected}, found {found}"))
    }

    fn value(&mut self, depth: usize) -> Result<Node, Problem> {
        self.space();
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(too_many(self.at));
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => return Err(too_deep(self.at)),
            Some(b'{') => self.table(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word()?,
            Some(b'\'') => return Err(self.unexpected("a value").help("texts stand in double quotes")),
            Some(b'/' | b'#') => return Err(self.unexpected("a value").help("JSON has no comments; use TOML or YAML")),
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { span: start..self.at, value })
    }

    fn table(&mut self, depth: usize) -> Result<Value, Problem> {
        self.at += 1;
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Table(entries));
        }
        loop {
            self.space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                let comma = self.peek() == Some(b'}');
                let problem = self.unexpected("a key in double quotes");
                return Err(if comma { problem.help("remove the comma before it") } else { problem });
            }
            let key = Key { name: self.string()?, span: start..self.at };
            if let Some(first) = seen.insert(key.name.clone(), entries.len()) {
                return Err(twice(&key.name, key.span, entries[first].0.span.clone()));
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("`:`"));
            }
            self.at += 1;
            let node = self.value(depth + 1)?;
            entries.push((key, node));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Table(entries));
                }
                _ => return Err(self.unexpected("`,` or `}`")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            self.space();
            if self.peek() == Some(b']') {
                return Err(self.unexpected("a value").help("remove the comma before it"));
            }
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.unexpected("`,` or `]`")),
            }
        }
    }

    fn string(&mut self) -> Result<String, Problem> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                None | Some(b'\n' | b'\r') => {
                    return Err(Problem::new(start..self.at, "this text has no closing quote on its line")
                        .help("write a line break as \\n"));
                }
                Some(_) => {
                    let c = self.unexpected("").message;
                    let c = c.trim_start_matches("expected , found ");
                    return Err(Problem::new(
                        self.at..self.at + 1,
                        format!("the control character {c} is not allowed"),
                    )
                    .help("write it as an escape, such as \\t or \\u0000"));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let start = self.at;
        self.at += 1;
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start),
            _ => return Err(Problem::new(start..start + 1, "unknown escape").help("write a backslash as \\\\")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode(&mut self, start: usize) -> Result<char, Problem> {
        let bad = |end| Problem::new(start..end, "not a character").help("write \\u and four hex digits");
        let high = self.hex4().ok_or_else(|| bad(start + 2))?;
        let code = if (0xd800..0xdc00).contains(&high) {
            let low = if self.text[self.at..].starts_with("\\u") {
                self.at += 1;
                self.hex4()
            } else {
                None
            };
            let low = low.filter(|l| (0xdc00..0xe000).contains(l)).ok_or_else(|| bad(start + 6))?;
            0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| bad(self.at))
    }

    /// The four digits after a `u`.
    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at + 1..self.at + 5)?;
        let code = digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?;
        self.at += 5;
        code
    }

    fn number(&mut self) -> Result<Value, Problem> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')) {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        let bad = || Problem::new(start..self.at, format!("{text:?} is not a number"));
        // serde_json knows the grammar: no leading zero, no lone point, no hexadecimal.
        let number: serde_json::Number = serde_json::from_str(text).map_err(|_| bad())?;
        if let Some(int) = number.as_i128() {
            return Ok(Value::Int(int));
        }
        number.as_f64().filter(|f| f.is_finite()).map(Value::Float).ok_or_else(bad)
    }

    fn word(&mut self) -> Result<Value, Problem> {
        let start = self.at;
        while matches!(self.peek(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_')) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            word => Err(Problem::new(start..self.at, format!("expected a value, found {word:?}"))
                .help("texts stand in double quotes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Int(i) => i64::try_from(*i).map_or_else(|_| serde_json::json!(*i as f64), Into::into),
            Value::Float(f) => serde_json::json!(f),
            Value::Text(t) => t.as_str().into(),
            Value::List(items) => items.iter().map(plain).collect(),
            Value::Table(entries) => entries.iter().map(|(k, v)| (k.name.clone(), plain(v))).collect(),
        }
    }

    proptest::proptest! {
        /// Against serde_json: the same texts are accepted, with the same values.
        #[test]
        fn the_same_texts_are_json_as_for_serde_json(text in "[\\[\\]{},:\"a\\\\u00d8c1e.+\\- \t\ntrueflsn]{0,24}") {
            let theirs: Result<serde_json::Value, _> = serde_json::from_str(&text);
            match (parse(&text), theirs) {
                (Ok(ours), Ok(theirs)) => proptest::prop_assert_eq!(plain(&ours).to_string(), theirs.to_string()),
                (Ok(ours), Err(error)) => proptest::prop_assert!(false, "{text:?} is {ours:?}, but {error}"),
                (Err(problem), Ok(_)) => proptest::prop_assert!(problem.message.contains("twice"), "{text:?}: {}", problem.message),
                (Err(_), Err(_)) => {}
            }
        }
    }

    #[test]
    fn escapes_become_characters() {
        let node = parse(r#"["\u00e9\ud83d\ude42\n\"\\"]"#).unwrap();
        assert_eq!(node.at(0).unwrap().value, Value::Text("é🙂\n\"\\".into()));
        for bad in [r#""\ud83d""#, r#""\udc00""#, r#""\x""#, r#""\u12""#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
