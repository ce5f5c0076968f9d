//! Texts that look like secrets, and how they are taken out of what is kept or passed on.
//!
//! Known values are always found. What is only known by its form or by the name before it is found at best effort: a
//! secret that is encoded, or that looks like any other word, is not.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Shortest text that is taken for a secret: shorter ones are ordinary words too often.
const SHORTEST: usize = 8;

const NAMES: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIAL"];
const STARTS: &[&str] = &[
    "sk-",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "-----BEGIN",
    "eyJhbGciOi",
];

/// Whether a value looks like a secret, by its name or by its form. A reference to a variable is none.
#[must_use]
pub fn looks_secret(name: &str, value: &str) -> bool {
    if value.len() < SHORTEST || is_reference(value) {
        return false;
    }
    // Sizes and limits are named after tokens too, but are numbers.
    let named = is_secret_name(name) && value.parse::<f64>().is_err();
    named || (value.len() >= 16 && STARTS.iter().any(|start| without_tasks(value).contains(start)))
}

/// `$NAME` or `${NAME}`.
fn is_reference(value: &str) -> bool {
    let name =
        value.strip_prefix('$').map(|name| name.strip_prefix('{').and_then(|n| n.strip_suffix('}')).unwrap_or(name));
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

/// The text without ids of tasks and without what the names of their notes begin with, which have `sk-` in them.
fn without_tasks(value: &str) -> String {
    const TASK: &str = "task-";
    let (mut out, mut rest) = (String::new(), value);
    while let Some(at) = rest.find(TASK) {
        let (before, after) = (&rest[..at], &rest[at + TASK.len()..]);
        let digits = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        let begins = !before.ends_with(char::is_alphanumeric);
        let id = begins && digits == 12;
        let note = begins && (before.ends_with("/task/") || is_dated(after));
        out.push_str(before);
        out.push_str(if id || note { " " } else { TASK });
        rest = &after[if id { digits } else { 0 }..];
    }
    out + rest
}

/// Whether it goes on as the name of a note does: an owner, a day and a time.
fn is_dated(rest: &str) -> bool {
    let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).next().unwrap_or_default();
    let mut parts = name.rsplit('-');
    let digits = |part: Option<&str>, n| part.is_some_and(|p| p.len() == n && p.bytes().all(|b| b.is_ascii_digit()));
    parts.next().is_some() && digits(parts.next(), 6) && digits(parts.next(), 8)
}

fn is_secret_name(name: &str) -> bool {
    let upper = name.to_uppercase().replace('-', "_");
    let last = upper.rsplit('.').next().unwrap_or("");
    NAMES.iter().any(|part| last.contains(part))
}

/// Takes secrets out of texts.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first: one may be part of another.
    values: Vec<String>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("values", &self.values.len()).finish()
    }
}

impl Redactor {
    /// Knows those values, besides what looks like a secret.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> =
            values.into_iter().filter(|value| value.len() >= SHORTEST && !REDACTED.contains(value)).collect();
        values.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values }
    }

    /// The text without secrets.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let mut text = keys(text);
        for value in &self.values {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), REDACTED);
            }
        }
        // A word that is taken out may have hidden a login that goes on behind it.
        logins(&words(&logins(&text)))
    }

    /// The same thing with all its texts clean, but for those of fields that are names.
    #[must_use]
    pub fn clean_all<T: Serialize + DeserializeOwned>(&self, of: T) -> T {
        // What was made of the same types is read again as them; if not, nothing is known of it that could be cleaned.
        let cleaned = serde_json::to_value(&of).ok().and_then(|mut value| {
            self.clean_value(&mut value);
            serde_json::from_value(value).ok()
        });
        cleaned.unwrap_or(of)
    }

    fn clean_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.clean(text),
            Value::Array(list) => list.iter_mut().for_each(|value| self.clean_value(value)),
            Value::Object(fields) => {
                fields
                    .iter_mut()
                    .filter(|(name, _)| !IDS.contains(&name.as_str()))
                    .for_each(|(_, v)| self.clean_value(v));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Fields by which things are found again, and commands: a changed one would mean another thing.
const IDS: &[&str] = &["id", "step", "needs", "request_id", "target", "session", "command"];

/// Blocks of keys as programs write them, also one whose end was cut off.
fn keys(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(BEGIN) {
        out.push_str(&rest[..at]);
        let block = &rest[at + BEGIN.len()..];
        let end = block.find("-----END ").map_or(block.len(), |end| {
            let after = &block[end + "-----END ".len()..];
            block.len() - after.len() + after.find("-----").map_or(after.len(), |close| close + 5)
        });
        out.push_str(REDACTED);
        rest = &block[end..];
    }
    out + rest
}

/// The password of `scheme://user:password@host`.
fn logins(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/\"'<>`".contains(c)).unwrap_or(after.len());
        rest = after;
        if let Some(sign) = after[..end].rfind('@')
            && let Some(colon) = after[..sign].find(':')
        {
            out.push_str(&after[..=colon]);
            out.push_str(REDACTED);
            rest = &after[sign..];
        }
    }
    out + rest
}

/// What is a secret by its form, or by the name before an `=`, a `:` or the word `Bearer`.
fn words(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'`,;=[]{}()<>#:&?".contains(c);
    let mut out = String::with_capacity(text.len());
    // The last word, and what stood between it and this one.
    let (mut name, mut between) = ("", String::new());
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        if word.is_empty() {
            between.push(sign);
            out.push(sign);
            rest = &rest[sign.len_utf8()..];
            continue;
        }
        if looks_secret("", word) || is_value(name, &between, word) {
            out.push_str(REDACTED);
        } else {
            out.push_str(word);
        }
        rest = &rest[word.len()..];
        (name, between) = (word, String::new());
    }
    out
}

fn is_value(name: &str, between: &str, word: &str) -> bool {
    if REDACTED.contains(word) {
        return false;
    }
    if name.eq_ignore_ascii_case("bearer") {
        return word.len() >= 16;
    }
    let (mut signs, quoted) = (between.chars().filter(|c| !c.is_whitespace()), between.contains(['"', '\'']));
    let assigned = match signs.find(|c| !matches!(c, '"' | '\'')) {
        Some('=') => true,
        // A message of a parser has words after `token:` too.
        Some(':') => quoted || word.chars().any(|c| c.is_ascii_digit()),
        _ => false,
    };
    assigned && between.matches(['=', ':']).count() == 1 && looks_secret(name, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_or_form() {
        assert!(looks_secret("agent.env.GITHUB_TOKEN", "0123456789abcdef"));
        assert!(looks_secret("agent.env.X", "sk-ant-api03-0123456789"));
        assert!(looks_secret("", "--key=ghp_0123456789abcdef0123"));
        assert!(looks_secret("", "$sk-ant-0123456789ab"));
        assert!(looks_secret("", "task-0a1b2c3d4e5f/sk-ant-0123456789ab"));
        assert!(looks_secret("", "task-0a1b2c3d4e5f6789"));
        assert!(looks_secret("", "docs/log/task/task-sk-ant-0123456789ab.md"));
        assert!(looks_secret("", "task-ada-20261128-0930-000000"));
        for (name, value) in [
            ("agent.env.MAX_TOKENS", "100000000"),
            ("agent.env.TOKEN", "$TOKEN_OF_MINE"),
            ("agent.env.LANG", "en_US.UTF-8"),
            ("", "task-0a1b2c3d4e5f"),
            ("", ".enki/copies/task-0a1b2c3d4e5f/src"),
            ("", "docs/log/task/task-ada-20261128-093112-000000.md"),
            ("", "task-ada-lovelace-20261128-093112-000000"),
            ("", "docs/log/task/task-login-page.md"),
            ("agent.env.TOKEN", "${TOKEN_OF_MINE}"),
        ] {
            assert!(!looks_secret(name, value), "{name}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_wherever_it_stands() {
        let redactor = Redactor::new(["correct horse battery".to_owned(), "short".to_owned()]);
        for (text, clean) in [
            ("it said correct horse battery twice", "it said [redacted] twice"),
            ("key sk-ant-api03-0123456789 was refused", "key [redacted] was refused"),
            ("GITHUB_TOKEN=abcdefgh12 in the log", "GITHUB_TOKEN=[redacted] in the log"),
            ("{\"api-key\": \"abcdefghij\"}", "{\"api-key\": \"[redacted]\"}"),
            ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer [redacted]"),
            ("https://me:hunter2@example.invalid/x", "https://me:[redacted]@example.invalid/x"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nafter", "[redacted]\nafter"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMII and it was cut", "[redacted]"),
            ("password: hunter2hunter2", "password: [redacted]"),
        ] {
            assert_eq!(redactor.clean(text), clean);
        }
    }

    /// A secret in the place of a password hides that a login goes on behind its slash until it is taken out.
    #[test]
    fn what_looks_like_a_login_only_without_a_secret_is_cleaned_at_once() {
        let once = Redactor::default().clean("see ://me:sk-ant-012345678901/:@host");
        assert_eq!(once, "see ://me:[redacted]@host");
        let redactor = Redactor::new(["redacted".to_owned()]);
        assert_eq!(redactor.clean(&once), once, "the mark itself is no secret");
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let redactor = Redactor::new(["short".to_owned()]);
        for text in [
            "a short text",
            "error: unexpected token: identifier `foo` at src/lib.rs:10:3",
            "max_tokens=100000000 TOKEN=$FROM_ENV",
            "see https://example.invalid/a:b@c and user@host",
            "the password is wrong",
            "ein Schlüssel ß = \"ü\"",
        ] {
            assert_eq!(redactor.clean(text), text);
        }
    }

    #[test]
    fn what_is_known_is_not_shown() {
        assert_eq!(format!("{:?}", Redactor::new(["plain words".to_owned()])), "Redactor { values: 1 }");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_cleaned_and_twice_is_once(
            text in "(\\PC|[\"'=:@/\n -]|sk-ant-012345678901|TOKEN|bearer|task-|a1b2c3d4e5f6|-----(BEGIN|END) |://){0,16}",
        ) {
            let redactor = Redactor::default();
            let once = redactor.clean(&text);
            proptest::prop_assert!(!once.contains("sk-ant-012345678901"));
            proptest::prop_assert_eq!(redactor.clean(&once), once);
        }
    }
}
