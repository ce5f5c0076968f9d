//! One JSON file: a list of entries, or an object with such a list among fields of its own.

use enki_core::recall::{Decision, Entry, Failure, Kind, Pattern, Preference};
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::marker::PhantomData;

/// What a file has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Document {
    pub(crate) entries: Vec<Entry>,
    /// The name of the list and the fields beside it, if the file is an object.
    shell: Option<(String, Map<String, Value>)>,
}

/// Where a file is wrong, and how.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) reason: String,
}

impl Document {
    pub(crate) fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, Wrong> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        match kind {
            Kind::Decision => read::<Decision>(bytes, Entry::Decision),
            Kind::Pattern => read::<Pattern>(bytes, Entry::Pattern),
            Kind::Failure => read::<Failure>(bytes, Entry::Failure),
            Kind::Preference => read::<Preference>(bytes, Entry::Preference),
        }
    }

    pub(crate) fn to_bytes(&self, kind: Kind) -> Vec<u8> {
        let list: Vec<Kept<'_>> = self.entries.iter().map(Kept).collect();
        let text = match &self.shell {
            None => serde_json::to_string_pretty(&list),
            Some((name, more)) => {
                let name = if name.is_empty() { kind.plural() } else { name };
                let mut whole: Map<String, Value> = more.clone();
                whole.insert(name.to_owned(), serde_json::to_value(&list).unwrap_or_default());
                serde_json::to_string_pretty(&whole)
            }
        };
        let mut text = text.expect("entries have texts as keys");
        text.push('\n');
        text.into_bytes()
    }
}

/// An entry without the name of its kind, which is that of the file.
struct Kept<'a>(&'a Entry);

impl Serialize for Kept<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Entry::Decision(it) => it.serialize(to),
            Entry::Pattern(it) => it.serialize(to),
            Entry::Failure(it) => it.serialize(to),
            Entry::Preference(it) => it.serialize(to),
        }
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8], entry: fn(T) -> Entry) -> Result<Document, Wrong> {
    let file: File<T> = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        // The place stands before the reason already.
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or(&reason).to_owned();
        Wrong { line: line.max(1), column: column.max(1), reason }
    })?;
    Ok(Document { entries: file.list.into_iter().map(entry).collect(), shell: file.shell })
}

struct File<T> {
    list: Vec<T>,
    shell: Option<(String, Map<String, Value>)>,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for File<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // By hand, because an untagged enum would forget the lines of what is wrong inside.
        from.deserialize_any(FileVisitor(PhantomData))
    }
}

struct FileVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for FileVisitor<T> {
    type Value = File<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<File<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = seq.next_element()? {
            list.push(entry);
        }
        Ok(File { list, shell: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<File<T>, A::Error> {
        let is_list = |name: &str| name == "entries" || Kind::ALL.iter().any(|kind| kind.plural() == name);
        let (mut list, mut name, mut more) = (Vec::new(), String::new(), Map::new());
        while let Some(key) = map.next_key::<String>()? {
            if is_list(&key) && name.is_empty() {
                (list, name) = (map.next_value()?, key);
            } else {
                more.insert(key, map.next_value()?);
            }
        }
        if name.is_empty() && !more.is_empty() {
            return Err(de::Error::custom("there is no list of entries in it"));
        }
        Ok(File { list, shell: Some((name, more)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_file_survive_with_what_is_not_known() {
        for text in [
            r#"[{"id":"dec_1","what":"a","owner":"me"}]"#,
            r#"{"version":2,"decisions":[{"id":"dec_1","what":"a","owner":{"x":[1]}}],"note":"hm"}"#,
        ] {
            let document = Document::parse(Kind::Decision, text.as_bytes()).unwrap();
            let bytes = document.to_bytes(Kind::Decision);
            assert_eq!(Document::parse(Kind::Decision, &bytes).unwrap(), document);
            let (mut old, new): (Value, Value) =
                (serde_json::from_str(text).unwrap(), serde_json::from_slice(&bytes).unwrap());
            let (old, new) = if old.is_array() { (old[0].take(), new[0].clone()) } else { (old, new) };
            for (key, value) in old.as_object().unwrap().iter().filter(|(key, _)| *key != "decisions") {
                assert_eq!(&new[key], value);
            }
        }
        let empty = Document::parse(Kind::Pattern, b"{}").unwrap().to_bytes(Kind::Pattern);
        assert_eq!(String::from_utf8(empty).unwrap(), "{\n  \"patterns\": []\n}\n");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, line, column, part) in [
            ("[\n  {\"id\": \"a\",,}\n]", 2, 14, "key must be a string"),
            ("[\n  {\"id\": \"a\"},\n  {\"what\": 3}\n]", 3, 12, "expected a string"),
            ("", 1, 1, "EOF"),
            ("[{\"id\": \"a\"", 1, 11, "EOF"),
            ("3", 1, 1, "list of entries"),
            ("{\"version\": 1}", 1, 14, "no list of entries"),
            ("[] trailing", 1, 4, "trailing"),
        ] {
            let wrong = Document::parse(Kind::Decision, text.as_bytes()).unwrap_err();
            assert!(wrong.reason.contains(part), "{wrong:?}");
            assert_eq!((wrong.line, wrong.column), (line, column), "{text} {wrong:?}");
        }
    }
}
