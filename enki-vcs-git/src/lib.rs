//! `WorkspaceProvider` and `Refinery` of Enki on git.
//!
//! [`GitProject::open`] finds the person's repository; [`GitProject::workspaces`] and [`GitProject::refinery`] give the
//! two backends.
//!
//! # What is where
//!
//! ```text
//! .enki/copies/<task>/        where an agent works, with a `.git` made for it     the agent writes
//! .enki/capture/<task>.git    Enki's index and captured objects of it             only Enki
//! .enki/pool/<n>/             workspaces prepared ahead: files, and Enki's index     only Enki
//! .enki/lower/<n>/            trees that overlays are mounted over                only Enki
//! .enki/aside/<task>-<n>      workspaces of earlier attempts                      kept
//! .enki/refinery.git          merges are built here                               only Enki
//! .enki/spare/<commit>/       other names of objects that came in within an hour  only Enki
//! .enki/checks/<n>/           where checks run; ignored files stay                the check writes
//! .enki/logs/check-<id>.log   their output, capped
//! .enki/project.git           versions of a folder that is not a git repository   only Enki
//! refs/enki/kept/<id>         captured and imported commits                       in the person's repository
//! refs/enki/anchor/<commit>   candidates that were about to be published          in the person's repository
//! refs/enki/base/<task>       what a workspace was made from                      in the person's repository
//! refs/enki/remote/<r>/<name> what is known of a target `<r>:<name>`              in the person's repository
//! refs/enki/archive/<commit>  work that was superseded or given up                in the person's repository
//! ```
//!
//! Every git directory of ours borrows the objects of the person's repository. What agents made comes into that one
//! through git's inspection (`--strict`), and what Enki built of it as the files that its own git wrote; a ref keeps them
//! before anything is said about them. The host runs git on files
//! of an agent only through git directories of its own, so nothing that a workspace configures is ever run.
//!
//! # The life of a ref
//!
//! Nothing unmerged is ever deleted. *Landed* means: the target has the commit, or has a commit with its trailers
//! `Enki-Task` and `Enki-Attempt`, or would not change by merging it.
//!
//! | ref | made by | what it keeps | may go | by |
//! |---|---|---|---|---|
//! | `kept/<id>` | `capture`, `create` (what was left uncaptured), `import` | an attempt's change, from its capture on | landed; or archived, if superseded or given up | [`GitKeep`], once the execution is over |
//! | `anchor/<commit>` | `publish`, before the target moves | the candidate | landed, or archived | [`GitKeep`], the same |
//! | `base/<task>` | `create` | the person's commit that a workspace's files came from | with the workspace | `remove` |
//! | `heads/enki/<execution>` | `open` | the merged steps until they land | landed; one of a failed execution stays for its retry | [`GitKeep`] |
//! | `archive/<commit>` | [`GitKeep`], before it deletes a ref whose commit is not landed | superseded captures, work that a person gave up | landed, or named by a person | [`GitKeep::forget`] |
//!
//! An archived commit says by its trailers what it is, and its name follows from it, so that archiving twice is
//! archiving once. A workspace goes when its files are captured and the last capture is on a branch or archived:
//! `remove`, asked for by the driver as soon as a step is merged. Each deletion is a compare-and-swap, and comes after
//! the archive entry is durable; a ref that no row of the store knows is shown and stays.
//!
//! # What a call costs
//!
//! Processes of git that a call starts, in the usual case; a test counts them.
//!
//! | call | processes |
//! |---|---|
//! | `GitProject::open` | 5 |
//! | `create`, fresh / continued | 2 / 2; 1 more if the base is in a pack, and 1 if what the person has staged is new |
//! | `create`, from the pool or over a prepared tree, on what this process looked at or built / on anything else | 0 / 1 |
//! | `capture` of nothing / of a change / of one that adds names | 2 / 6 / 7 |
//! | `capture` or `create` where refs are not plain files | 1 more |
//! | `remove` of what is merged | 1 |
//! | `open` of an integration branch | 3 |
//! | `import` of what this process captured or published / of anything else | 0 / 3, and 1 if it brings new names |
//! | `build` of one change / of a batch that touches separate files / of a landing | 1 / 2 / 0 |
//! | `build` with commits that this process has not seen | 1 more |
//! | `build` that ends in a conflict | 2 more |
//! | `predict` of any number of pairs | 1 |
//! | `check`, beside the command | 3 |
//! | `publish` of what this process built, not checked out / of a landing | 1 / 1 |
//! | `publish` of a landing on a branch that is checked out | 2, and 1 if what is staged is new |
//! | `publish` of a batch that was built in one go | 1 more |
//! | `publish` of anything else, not checked out | 4 |
//! | `inspect` | 0, and 1 if it has to look for a commit |
//!
//! # Limits
//!
//! * A workspace is written without the person's filters: files kept by git LFS are their pointers there.
//! * Ignored files stay in check folders, so that build caches do.
//! * Settings of the person outside the repository, a global list of ignored names say, do not count in workspaces.
//!
//! # Unix only
//!
//! File descriptors, process groups and paths of bytes are used as Unix has them.

mod error;
mod git;
mod isolation;
mod keep;
mod project;
mod refinery;
mod there;
mod workspaces;

pub use error::GitError;
pub use keep::gc::{Freed, GitKeep, Item, Known, Life, Verdict};
pub use keep::recover::{Pin, Restored, Standing};
pub use project::folder::Recorded;
pub use project::side::{HeldSide, SideBranch};
pub use project::{Confined, DriftRule, Facts, GitOptions, GitProject, Head, Policy, Reach, WorkspaceMethod};
pub use refinery::GitRefinery;
pub use workspaces::GitWorkspaces;
pub use workspaces::diff::{DiffAsk, DiffFile, WorkspaceDiff};
