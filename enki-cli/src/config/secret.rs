//! Texts that look like secrets, so that they are never echoed.

pub use enki_core::redact::looks_secret;

/// The text with everything that looks secret replaced by stars, byte for byte.
#[must_use]
pub(super) fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut name = "";
        let mut rest = line;
        while !rest.is_empty() {
            let ends = |c: char| c.is_whitespace() || "\"',=[]{}()#".contains(c);
            let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
            if looks_secret(name, word) {
                out.extend(word.bytes().map(|_| '*'))
            } else {
                out.push_str(word)
            }
            rest = &rest[word.len()..];
            let Some(sign) = rest.chars().next() else { break };
            out.push(sign);
            rest = &rest[sign.len_utf8()..];
            if sign == '=' {
                let before = &line[..line.len() - rest.len() - 1];
                name = before.trim_end().trim_end_matches(['"', '\'']).rsplit(ends).next().unwrap_or("");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_keeps_the_shape() {
        let text = "a = \"x\" # hm\nenv = { MY_TOKEN = \"hunter2hunter2\", LANG = \"de_DE.UTF-8\" }\nargs = ['--k=sk-ant-0123456789ab']\n";
        let masked = mask(text);
        assert_eq!(masked.len(), text.len());
        assert_eq!(
            masked,
            "a = \"x\" # hm\nenv = { MY_TOKEN = \"**************\", LANG = \"de_DE.UTF-8\" }\nargs = ['--k=*******************']\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_its_length(text in "(\\PC|[\"'=\n ]|sk-ant-012345678901|TOKEN){0,12}") {
            proptest::prop_assert_eq!(mask(&text).len(), text.len());
        }
    }
}
