//! Reading prose: sentences, words and names. Total on any text.

/// A run of signs between spaces, without the punctuation around it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token<'t> {
    pub(super) text: &'t str,
    /// It stands between backticks.
    pub(super) quoted: bool,
    /// A comma or the like follows.
    pub(super) ends_part: bool,
}

/// The sentences of a text, each as its tokens. A line end or a semicolon ends a sentence too.
pub(super) fn sentences(text: &str) -> Vec<Vec<Token<'_>>> {
    let mut all = Vec::new();
    for line in text.split(['\n', '\r', ';']) {
        let mut sentence = Vec::new();
        let mut quoted = false;
        for raw in line.split_whitespace() {
            let starts = quoted || raw.trim_start_matches(['(', '"', '\'']).starts_with('`');
            quoted ^= raw.matches('`').count() % 2 == 1;
            let ends = raw.trim_end_matches(['`', '"', '\'', ')']).ends_with(['.', '!', '?']);
            let text = raw.trim_matches(is_around);
            // A dot in front belongs to the name, as in `.gitignore`.
            let dot = raw.trim_start_matches(['(', '"', '\'', '`']).starts_with('.') && !text.is_empty();
            let text = if dot { &raw[raw.find(text).unwrap_or(1).saturating_sub(1)..][..=text.len()] } else { text };
            if !text.is_empty() {
                let ends_part = raw.trim_end_matches(['`', '"', '\'', ')']).ends_with([',', ':']);
                sentence.push(Token { text, quoted: starts, ends_part });
            }
            if ends && !sentence.is_empty() && !is_abbreviation(text) {
                all.push(std::mem::take(&mut sentence));
            }
        }
        if !sentence.is_empty() {
            all.push(sentence);
        }
    }
    all
}

fn is_around(c: char) -> bool {
    matches!(c, ',' | ';' | ':' | '(' | ')' | '`' | '"' | '\'' | '.' | '!' | '?' | '[' | ']')
}

fn is_abbreviation(text: &str) -> bool {
    ["e.g", "i.e", "etc", "cf", "vs"].contains(&text)
}

/// The words of a text in lower case, without names of things: what is quoted as code, and paths and symbols.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for token in sentences(text).into_iter().flatten() {
        if token.quoted || token.text.contains(['_', '.', '\\']) || token.text.contains("::") {
            continue;
        }
        let parts = token.text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’');
        all.extend(parts.filter(|part| !part.is_empty()).map(str::to_lowercase));
    }
    all
}

/// Whether a word is a form of a verb or noun: `fix`, `fixes`, `fixed`, `fixing`. Both in lower case.
pub(super) fn is_form_of(word: &str, base: &str) -> bool {
    const ENDS: &[&str] = &["", "s", "es", "d", "ed", "ing"];
    let with = |stem: &str, ends: &[&str]| word.strip_prefix(stem).is_some_and(|end| ends.contains(&end));
    if with(base, ENDS) {
        // Not `ing` after an `e`, not `d` after a consonant: those are other words.
        return true;
    }
    if let Some(stem) = base.strip_suffix('e') {
        return with(stem, &["ing"]);
    }
    if let Some(stem) = base.strip_suffix('y') {
        return with(stem, &["ies", "ied"]);
    }
    // `plan`, `planned`: the last letter twice.
    base.chars().next_back().is_some_and(|last| with(&format!("{base}{last}"), &["ed", "ing"]))
}

/// Whether a token is the path of a file inside the project: it has an ending, and is no pattern, address or version.
pub(super) fn is_file(token: &str) -> bool {
    const NONE: &[&str] = &["e.g", "i.e", "a.m", "p.m", "node.js", "next.js", "vue.js", "react.js"];
    const ADDRESSES: &[&str] = &["com", "org", "net", "io", "dev"];
    let Some((stem, end)) = token.rsplit_once('.') else { return false };
    let inside = !token.starts_with('/') && !token.contains("//") && !token.contains("..");
    let plain = !token.contains(['*', '?', '[', '{', '(', '=', '<', '@', '$', ':']);
    let ending = (1..=5).contains(&end.len())
        && end.bytes().all(|b| b.is_ascii_alphanumeric())
        && end.bytes().any(|b| b.is_ascii_alphabetic());
    let named = !stem.is_empty() && !stem.ends_with('/') && stem.chars().any(char::is_alphanumeric);
    let number = stem.trim_start_matches('v').chars().all(|c| c.is_ascii_digit() || c == '.');
    inside
        && plain
        && ending
        && named
        && !number
        && !NONE.contains(&token.to_lowercase().as_str())
        && (token.contains('/') || !ADDRESSES.contains(&end))
}

/// A path in the one form in which paths are compared.
pub(super) fn clean(path: &str) -> &str {
    let path = path.trim();
    path.strip_prefix("./").unwrap_or(path)
}

/// Whether a token is written like a symbol of source: `snake_case`, `a::b`, `f()`, `CamelCase`.
pub(super) fn is_symbol(token: &str) -> bool {
    token.contains("::") || token.contains("()") || token.contains('_') || is_camel(token)
}

/// `ProfileUpdate`, `parseConfig`; not `HTTP`, and not a name that people write this way in prose.
pub(super) fn is_camel(token: &str) -> bool {
    const PROSE: &[&str] = &[
        "GitHub",
        "GitLab",
        "OpenAPI",
        "OpenAI",
        "PostgreSQL",
        "MySQL",
        "SQLite",
        "MongoDB",
        "GraphQL",
        "JavaScript",
        "TypeScript",
        "NodeJS",
        "LaTeX",
        "macOS",
        "iOS",
        "DevOps",
        "OAuth",
        "WebSocket",
        "WebSockets",
        "YouTube",
        "LinkedIn",
        "PowerShell",
        "RabbitMQ",
        "DynamoDB",
        "APIs",
        "URLs",
        "IDs",
        "PRs",
        "UIs",
        "CLIs",
    ];
    let letters = token.chars().all(|c| c.is_ascii_alphanumeric());
    let later = token.chars().skip(1).any(char::is_uppercase);
    letters && later && token.chars().any(char::is_lowercase) && !PROSE.contains(&token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_are_known_and_longer_words_are_not() {
        for (word, base) in [
            ("fix", "fix"),
            ("fixes", "fix"),
            ("fixed", "fix"),
            ("fixing", "fix"),
            ("creating", "create"),
            ("created", "create"),
            ("planned", "plan"),
            ("queries", "query"),
            ("routes", "route"),
        ] {
            assert!(is_form_of(word, base), "{word}");
        }
        for (word, base) in [("prefix", "fix"), ("fixture", "fix"), ("address", "add"), ("planet", "plan")] {
            assert!(!is_form_of(word, base), "{word}");
        }
    }

    #[test]
    fn sentences_keep_names_whole_and_drop_what_stands_around_them() {
        let text = "Create `src/a.rs` (with B). Then run `cargo test`, e.g. in .github/ci.yml!";
        let seen = sentences(text);
        let texts: Vec<Vec<&str>> = seen.iter().map(|s| s.iter().map(|t| t.text).collect()).collect();
        assert_eq!(
            texts,
            [
                &["Create", "src/a.rs", "with", "B"][..],
                &["Then", "run", "cargo", "test", "e.g", "in", ".github/ci.yml"]
            ]
        );
        assert!(seen[0][1].quoted && seen[1][2].quoted && seen[1][3].quoted && !seen[1][4].quoted);
    }

    #[test]
    fn files_are_told_from_addresses_versions_and_patterns() {
        for file in ["src/a.rs", "README.md", ".github/ci.yml", "a.toml", "x/y.test.ts"] {
            assert!(is_file(file), "{file}");
        }
        for other in ["e.g", "/profile", "example.com", "1.2", "v1.2b", "src/*.sh", "../x.rs", "https://a.b", "and/or"]
        {
            assert!(!is_file(other), "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(\\PC|[`.,;\n'\"() ]|src/a.rs|’){0,60}") {
            for token in sentences(&text).into_iter().flatten() {
                proptest::prop_assert!(!token.text.is_empty());
                let _ = (is_file(token.text), is_symbol(token.text), clean(token.text));
            }
            for word in words(&text) {
                let _ = is_form_of(&word, "fix") || is_form_of("fixes", &word);
            }
        }
    }
}
