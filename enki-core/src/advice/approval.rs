//! Who confirms how work was divided into steps (G26).

/// Who made a plan out of a wish.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Author {
    /// A person wrote every step: there is nothing left to ask.
    Person,
    /// A recipe added steps or edges.
    Recipe,
    /// An agent divided the work.
    Coordinator,
}

/// How much a person wants to be asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Preset {
    /// Shows a decomposition once. Also named `vibecoding`.
    #[default]
    Interactive,
    /// Goes at once. Also named `justvibes`.
    Autonomous,
}

impl Preset {
    /// What holds for decompositions where nothing else is said.
    #[must_use]
    pub const fn decomposition(self) -> Decomposition {
        match self {
            Self::Interactive => Decomposition::Ask,
            Self::Autonomous => Decomposition::Auto,
        }
    }
}

/// What becomes of a plan that no person wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decomposition {
    /// It is held until a person has seen it.
    Ask,
    /// It starts.
    Auto,
}

/// Whether an execution of that many steps is held for approval before anything starts.
#[must_use]
pub const fn is_held(author: Author, steps: usize, policy: Decomposition) -> bool {
    match (author, policy) {
        (Author::Person, _) | (_, Decomposition::Auto) => false,
        (Author::Recipe | Author::Coordinator, Decomposition::Ask) => steps >= 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_person_wrote_is_asked_about_and_only_from_two_steps_on() {
        for (author, steps, preset, held) in [
            (Author::Person, 9, Preset::Interactive, false),
            (Author::Recipe, 2, Preset::Interactive, true),
            (Author::Recipe, 2, Preset::Autonomous, false),
            (Author::Coordinator, 1, Preset::Interactive, false),
            (Author::Coordinator, 2, Preset::Interactive, true),
        ] {
            assert_eq!(is_held(author, steps, preset.decomposition()), held, "{author:?} {steps} {preset:?}");
        }
    }
}
