//! The quick commands, which begin with a slash: what they are called, and what they name.

/// A quick command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Quick {
    Help,
    Status,
    Show,
    Graph,
    Cost,
    Pause,
    Resume,
    Cancel,
    Retry,
    Accept,
    New,
    Quit,
}

/// What one takes after its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    Nothing,
    /// A step or an execution, or none.
    Name,
    /// The same, and then words.
    NameAndWords,
}

impl Quick {
    pub(super) const ALL: [Self; 12] = [
        Self::Help,
        Self::Status,
        Self::Show,
        Self::Graph,
        Self::Cost,
        Self::Pause,
        Self::Resume,
        Self::Cancel,
        Self::Retry,
        Self::Accept,
        Self::New,
        Self::Quit,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Status => "status",
            Self::Show => "show",
            Self::Graph => "graph",
            Self::Cost => "cost",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Accept => "accept",
            Self::New => "new",
            Self::Quit => "quit",
        }
    }

    pub(super) const fn takes(self) -> Takes {
        match self {
            Self::Help | Self::Cost | Self::New | Self::Quit => Takes::Nothing,
            Self::Status | Self::Show | Self::Graph | Self::Pause | Self::Resume | Self::Cancel => Takes::Name,
            Self::Retry | Self::Accept => Takes::NameAndWords,
        }
    }

    /// How it is written, and what it does.
    pub(super) const fn help(self) -> (&'static str, &'static str) {
        match self {
            Self::Help => ("/help", "the commands and the keys"),
            Self::Status => ("/status [PLAN]", "the steps of a plan, its holds and costs"),
            Self::Show => ("/show STEP", "all about one step"),
            Self::Graph => ("/graph [PLAN]", "the plan as a picture"),
            Self::Cost => ("/cost", "what the coordinator and its plans used"),
            Self::Pause => ("/pause [STEP|PLAN]", "start nothing new; what runs goes on"),
            Self::Resume => ("/resume [STEP|PLAN]", "go on: end a pause, answer what is held"),
            Self::Cancel => ("/cancel [STEP|PLAN]", "give up a step, or after a question a plan; its work is kept"),
            Self::Retry => ("/retry [STEP] [NOTE]", "try a failed step again, told the note"),
            Self::Accept => ("/accept STEP WHY", "take as it is what a review escalated"),
            Self::New => ("/new", "begin another conversation; this one is kept"),
            Self::Quit => ("/quit", "leave; running steps end first, once more stops them now"),
        }
    }

    /// Those whose names begin so.
    pub(super) fn beginning(with: &str) -> Vec<Self> {
        Self::ALL.into_iter().filter(|quick| quick.name().starts_with(with)).collect()
    }
}

/// A line as a command; nothing if it is words. A slash that no name follows is words too: `/etc/hosts`, `//`.
pub(super) fn parse(line: &str) -> Option<Result<(Quick, &str), String>> {
    let rest = line.trim().strip_prefix('/')?;
    let (name, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let found = match Quick::beginning(name).as_slice() {
        [] => Err(format!("there is no /{name}; /help lists the commands")),
        [one] => Ok(*one),
        several => match several.iter().find(|quick| quick.name() == name) {
            Some(quick) => Ok(*quick),
            None => {
                let names: Vec<String> = several.iter().map(|quick| format!("/{}", quick.name())).collect();
                Err(format!("/{name} may mean {}", names.join(", ")))
            }
        },
    };
    let found = found.and_then(|quick| match (quick.takes(), arguments.trim()) {
        (Takes::Nothing, text) if !text.is_empty() => Err(format!("/{} takes nothing after it", quick.name())),
        (Takes::Name, text) if text.contains(char::is_whitespace) => Err(format!("{} takes one name", quick.help().0)),
        (_, text) => Ok((quick, text)),
    });
    Some(found)
}

/// What the line may become: all that fits, as whole lines.
pub(super) fn completions(line: &str, names: &[String]) -> Vec<String> {
    let Some(rest) = line.strip_prefix('/') else { return Vec::new() };
    let Some((name, begun)) = rest.split_once(' ') else {
        let whole = |quick: Quick| {
            let space = if quick.takes() == Takes::Nothing { "" } else { " " };
            format!("/{}{space}", quick.name())
        };
        return Quick::beginning(rest).into_iter().map(whole).collect();
    };
    let takes = Quick::ALL.into_iter().find(|quick| quick.name() == name).map(Quick::takes);
    if takes.is_none_or(|takes| takes == Takes::Nothing) {
        return Vec::new();
    }
    let space = if takes == Some(Takes::NameAndWords) { " " } else { "" };
    names.iter().filter(|one| one.starts_with(begun)).map(|one| format!("/{name} {one}{space}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_by_its_beginning_if_that_is_its_own() {
        assert_eq!(parse("/retry greet mind the quotes "), Some(Ok((Quick::Retry, "greet mind the quotes"))));
        assert_eq!(parse(" /q"), Some(Ok((Quick::Quit, ""))));
        for (line, says) in [
            ("/s", "may mean /status, /show"),
            ("/nothing", "there is no /nothing; /help"),
            ("/new thing", "/new takes nothing after it"),
            ("/pause a b", "/pause [STEP|PLAN] takes one name"),
        ] {
            let error = parse(line).unwrap().unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
        for words in ["pause", "/etc/hosts is wrong", "/ what", "//", ""] {
            assert_eq!(parse(words), None, "{words}");
        }
    }

    #[test]
    fn names_are_completed() {
        let names = ["look".to_owned(), "greet".to_owned(), "green".to_owned()];
        assert_eq!(completions("/re", &names), ["/resume ", "/retry "]);
        assert_eq!(completions("/q", &names), ["/quit"]);
        assert_eq!(completions("/retry gree", &names), ["/retry greet ", "/retry green "]);
        assert_eq!(completions("/show l", &names), ["/show look"]);
        assert!(completions("/new l", &names).is_empty() && completions("look", &names).is_empty());
    }
}
