//! Which model does a task, and in which tier. The first that says something counts: whoever asks for the run, the note,
//! the project, and last the kind of run. What touches what must not go wrong is never light.

use crate::error::CliError;
use enki_core::tier::Tier;
use serde_json::Value;

/// What somebody says of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish<'a> {
    pub(crate) model: Option<&'a str>,
    pub(crate) tier: Option<Tier>,
}

/// What was chosen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Chosen {
    /// A model that is no tier's.
    pub(crate) model: Option<String>,
    /// None leaves it to the plan's default.
    pub(crate) tier: Option<Tier>,
    /// Why it is not what was wished.
    pub(crate) raised: Option<String>,
}

/// Chooses for work that is described so. A model's name before a tier, of one who says both; a name that stands for no tier
/// leaves the tier to whoever says one.
pub(crate) fn choose(
    asked: Wish<'_>,
    noted: Wish<'_>,
    project: Option<&str>,
    last: Option<Tier>,
    about: &str,
) -> Chosen {
    let (asked_for, noted_for) = (asked.model.and_then(tier_of), noted.model.and_then(tier_of));
    let of_note = noted.tier.or(noted_for);
    let tier = asked_for.or(asked.tier).or(of_note);
    let silent = asked.model.is_none() && noted.model.is_none() && tier.is_none();
    let project = project.filter(|_| silent);
    let tier = tier.or_else(|| project.and_then(tier_of)).or(last);
    let own = |name: &&str| tier_of(name).is_none();
    let model = match asked.model {
        Some(name) => Some(name).filter(own),
        None => noted.model.filter(own).or(project.filter(own)),
    };
    let path = if tier == Some(Tier::Light) { guarded(about) } else { None };
    Chosen {
        model: model.map(str::to_owned),
        tier: if path.is_some() { Some(Tier::Standard) } else { tier },
        raised: path.map(|path| format!("raised from light to standard: it is about {path}")),
    }
}

/// A tier by its name.
pub(crate) fn tier(word: &str) -> Result<Tier, CliError> {
    serde_json::from_value(Value::String(word.to_ascii_lowercase()))
        .map_err(|_| CliError::usage(format!("{word:?} is no tier")).hint("there are light, standard and heavy"))
}

/// The tier that a model's name stands for.
pub(crate) fn tier_of(model: &str) -> Option<Tier> {
    match model.to_ascii_lowercase().as_str() {
        "haiku" => Some(Tier::Light),
        "sonnet" => Some(Tier::Standard),
        "opus" => Some(Tier::Heavy),
        _ => None,
    }
}

/// The first path in a text that is of permissions, checks, secrets or migrations.
fn guarded(about: &str) -> Option<&str> {
    let edge = |c: char| c.is_whitespace() || "`'\"()[]<>,;:".contains(c);
    about.split(edge).map(|word| word.trim_end_matches('.')).find(|word| {
        let path = word.to_ascii_lowercase();
        let parts: Vec<&str> = path.split('/').collect();
        let file = parts.last().copied().unwrap_or_default();
        // A word alone is no path: it may be about anything.
        let is_path = parts.len() > 1 || file.contains('.') || FILES.contains(&file);
        let stem = file.split('.').find(|part| !part.is_empty()).unwrap_or_default();
        is_path
            && (FILES.contains(&file)
                || parts.iter().any(|part| FOLDERS.contains(part))
                || STEMS.contains(&stem)
                || [".pem", ".key"].iter().any(|end| file.ends_with(end)))
    })
}

/// Folders that say so.
const FOLDERS: &[&str] =
    &[".github", ".circleci", ".claude", ".enki", "migrations", "migrate", "secrets", "permissions"];

/// Files that say so by their whole name.
const FILES: &[&str] = &["codeowners", "jenkinsfile", ".gitlab-ci.yml", "sudoers", "id_rsa"];

/// And by the first part of it.
const STEMS: &[&str] = &["env", "secrets", "secret", "credentials", "permissions", "permission", "migration"];

#[cfg(test)]
mod tests {
    use super::*;

    fn wish<'a>(model: impl Into<Option<&'a str>>, tier: impl Into<Option<Tier>>) -> Wish<'a> {
        Wish { model: model.into(), tier: tier.into() }
    }

    #[test]
    fn the_first_who_says_something_counts() {
        use Tier::{Heavy, Light, Standard};
        let nothing = Wish::default();
        for (asked, noted, project, last, model, tier) in [
            (nothing, nothing, None, None, None, None),
            (nothing, nothing, None, Some(Heavy), None, Some(Heavy)),
            (nothing, nothing, Some("haiku"), Some(Heavy), None, Some(Light)),
            (nothing, nothing, Some("gpt-5"), Some(Heavy), Some("gpt-5"), Some(Heavy)),
            (nothing, wish("opus", None), Some("haiku"), None, None, Some(Heavy)),
            (nothing, wish("opus", Light), None, None, None, Some(Light)),
            (nothing, wish("gpt-5", None), Some("haiku"), Some(Standard), Some("gpt-5"), Some(Standard)),
            (wish(None, Light), wish("opus", Standard), None, None, None, Some(Light)),
            (wish(None, Heavy), wish("gpt-5", None), None, None, Some("gpt-5"), Some(Heavy)),
            (wish("opus", Light), wish("gpt-5", Standard), None, None, None, Some(Heavy)),
            (wish("gpt-5", None), wish("haiku", Light), Some("opus"), None, Some("gpt-5"), Some(Light)),
            (wish("gpt-5", Heavy), wish("haiku", Light), None, None, Some("gpt-5"), Some(Heavy)),
        ] {
            let chosen = choose(asked, noted, project, last, "Mend the shop");
            let said = (chosen.model.as_deref(), chosen.tier, chosen.raised);
            assert_eq!(said, (model, tier, None), "{asked:?} {noted:?} {project:?} {last:?}");
        }
    }

    #[test]
    fn what_must_not_go_wrong_is_never_light_and_it_is_said_why() {
        let light = wish(None, Tier::Light);
        for about in [
            "Rename a job in `.github/workflows/ci.yml`.",
            "one line in config/permissions.toml, please",
            "(db/migrations/0007_users.sql)",
            "put it into .env",
            "CODEOWNERS has a typo",
            "rotate deploy/server.pem",
        ] {
            let chosen = choose(light, Wish::default(), None, None, about);
            assert_eq!(chosen.tier, Some(Tier::Standard), "{about}");
            assert!(chosen.raised.is_some_and(|why| why.starts_with("raised from light to standard: it is about ")));
        }
        for about in ["Rename a button", "The permission to speak", "a secret migration of birds", "src/keys.rs"] {
            assert_eq!(choose(light, Wish::default(), None, None, about).tier, Some(Tier::Light), "{about}");
        }
        let heavy = choose(wish("opus", None), Wish::default(), None, None, "put it into .env");
        assert_eq!((heavy.tier, heavy.raised), (Some(Tier::Heavy), None), "what is more stays");
    }
}
