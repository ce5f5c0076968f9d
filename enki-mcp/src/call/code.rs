//! The closed list of codes that an envelope has (model section 13).

use crate::failure::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($variant:ident $name:literal $exit:literal),+ $(,)?) => {
        /// What became of a call. The names are stable, and there are no others.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
        #[expect(missing_docs, reason = "the variants are the codes of that name")]
        pub enum CallCode {
            $(#[serde(rename = $name)] $variant,)+
        }

        impl CallCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The exit code of a command that ends so.
            #[must_use]
            pub const fn exit(self) -> u8 {
                match self { $(Self::$variant => $exit,)+ }
            }
        }
    };
}

codes! {
    Ok "OK" 0,
    DryRun "DRY_RUN" 0,
    Internal "INTERNAL" 1,
    CommandFailed "COMMAND_FAILED" 1,
    ParseError "PARSE_ERROR" 1,
    ValidationError "VALIDATION_ERROR" 2,
    PlanInvalid "PLAN_INVALID" 2,
    RequestIdConflict "REQUEST_ID_CONFLICT" 2,
    AmbiguousTaskSelection "AMBIGUOUS_TASK_SELECTION" 2,
    InvalidState "INVALID_STATE" 2,
    DependencyFailed "DEPENDENCY_FAILED" 2,
    NotAllowed "NOT_ALLOWED" 2,
    TaskSessionRequired "TASK_SESSION_REQUIRED" 2,
    SafetyBlocked "SAFETY_BLOCKED" 2,
    Stale "STALE" 2,
    Environment "ENVIRONMENT" 3,
    WorktreeNotFound "WORKTREE_NOT_FOUND" 3,
    WorkUnmerged "WORK_UNMERGED" 4,
    NotMerged "NOT_MERGED" 4,
    Locked "LOCKED" 5,
    Fenced "FENCED" 5,
    StoreVersion "STORE_VERSION" 6,
    StoreCorrupt "STORE_CORRUPT" 6,
    ExecutionFailed "EXECUTION_FAILED" 7,
    CheckFailed "CHECK_FAILED" 7,
    ConflictMetadata "CONFLICT_METADATA" 7,
    ConflictMixed "CONFLICT_MIXED" 7,
    Timeout "TIMEOUT" 7,
    OutputLimit "OUTPUT_LIMIT" 7,
    BudgetExhausted "BUDGET_EXHAUSTED" 7,
    ApprovalRequired "APPROVAL_REQUIRED" 8,
    WorkpadNotCurrent "WORKPAD_NOT_CURRENT" 8,
    Rewound "REWOUND" 8,
    NotFound "NOT_FOUND" 9,
    TaskSessionNotFound "TASK_SESSION_NOT_FOUND" 9,
}

impl CallCode {
    /// Whether the call did what it was to do.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok | Self::DryRun)
    }

    /// `exitCode` of the envelope: 0 exactly when it is well. What safety forbids was never begun.
    pub(crate) const fn in_envelope(self) -> i16 {
        match self {
            Self::SafetyBlocked => -1,
            code => code.exit() as i16,
        }
    }
}

impl CallCode {
    /// The code of a failure, with what a code outside of the list was called.
    pub(crate) const fn of(code: Code) -> (Self, Option<&'static str>) {
        let known = match code {
            Code::NotFound => Self::NotFound,
            Code::AmbiguousTaskSelection => Self::AmbiguousTaskSelection,
            Code::ValidationError => Self::ValidationError,
            Code::PlanInvalid => Self::PlanInvalid,
            Code::RequestIdConflict => Self::RequestIdConflict,
            Code::InvalidState => Self::InvalidState,
            Code::DependencyFailed => Self::DependencyFailed,
            Code::ApprovalRequired => Self::ApprovalRequired,
            Code::NotAllowed => Self::NotAllowed,
            Code::Stale => Self::Stale,
            Code::SafetyBlocked => Self::SafetyBlocked,
            Code::Environment => Self::Environment,
            Code::Locked => Self::Locked,
            Code::Unavailable => return (Self::Internal, Some("UNAVAILABLE")),
        };
        (known, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As model section 13 lists them, by exit code. A new one has to be added there too.
    const MODEL: &str = "\
0 OK DRY_RUN
1 INTERNAL COMMAND_FAILED PARSE_ERROR
2 VALIDATION_ERROR PLAN_INVALID REQUEST_ID_CONFLICT AMBIGUOUS_TASK_SELECTION INVALID_STATE DEPENDENCY_FAILED NOT_ALLOWED TASK_SESSION_REQUIRED SAFETY_BLOCKED STALE
3 ENVIRONMENT WORKTREE_NOT_FOUND
4 WORK_UNMERGED NOT_MERGED
5 LOCKED FENCED
6 STORE_VERSION STORE_CORRUPT
7 EXECUTION_FAILED CHECK_FAILED CONFLICT_METADATA CONFLICT_MIXED TIMEOUT OUTPUT_LIMIT BUDGET_EXHAUSTED
8 APPROVAL_REQUIRED WORKPAD_NOT_CURRENT REWOUND
9 NOT_FOUND TASK_SESSION_NOT_FOUND
";

    #[test]
    fn the_list_is_closed_and_ok_is_exit_0() {
        let mut listed = String::new();
        for exit in 0..10 {
            let names = CallCode::ALL.iter().filter(|code| code.exit() == exit).map(|code| code.as_str());
            listed.push_str(&format!("{exit} {}\n", names.collect::<Vec<_>>().join(" ")));
        }
        assert_eq!(listed, MODEL);
        for code in CallCode::ALL {
            assert_eq!(code.is_ok(), code.in_envelope() == 0, "{code:?}");
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
