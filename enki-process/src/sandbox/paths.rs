//! Landlock: what may be opened by path, and that neither signals nor abstract sockets lead out.

use super::cover::{Grant, grants};
use super::{Sandbox, SandboxLevel};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};
use std::path::Path;

/// The newest version that was tried out. An older kernel gives what it has: see the table in docs/isolation.md.
const NEWEST: ABI = ABI::V7;

/// Devices that every program may count on. Below `/dev` nothing else is open: no disk, no memory, no kernel log.
const DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"];
/// Folders of devices that programs make for themselves.
const DEVICE_FOLDERS: &[&str] = &["/dev/pts", "/dev/shm"];

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir});
/// All but to make devices: through one of a disk everything could be read.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    Execute | ReadFile | ReadDir | WriteFile | Truncate | RemoveDir | RemoveFile | MakeDir | MakeReg | MakeSock | MakeFifo
        | MakeSym | Refer | IoctlDev
});
const DEVICE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | IoctlDev});

pub(super) fn restrict(sandbox: &Sandbox) -> Result<(), String> {
    let failed = |what: &str, why: &dyn std::fmt::Display| format!("the rules for paths: {what}: {why}");
    let mut rules = Ruleset::default()
        // Without these there is no sandbox at all, and the child does not run.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map_err(|e| failed("this kernel has no Landlock", &e))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(|e| failed("cannot be made", &e))?;
    let devices = DEVICES.iter().map(|path| (Path::new(path), DEVICE));
    let folders = DEVICE_FOLDERS.iter().map(|path| (Path::new(path), WRITE));
    let grants = grants(sandbox);
    let paths = grants.iter().map(|(path, grant)| {
        let access = match grant {
            Grant::List => AccessFs::ReadDir.into(),
            Grant::Read => READ,
            Grant::Write => WRITE,
        };
        (path.as_path(), access)
    });
    // In a tree that has nothing else, names may be seen.
    let tree = (sandbox.level == SandboxLevel::Tree).then_some((Path::new("/"), AccessFs::ReadDir.into()));
    for (path, access) in devices.chain(folders).chain(paths).chain(tree) {
        // What is gone meanwhile, or is not for this user, stays closed.
        let (Ok(fd), Ok(found)) = (PathFd::new(path), path.metadata()) else { continue };
        let access = if found.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
        rules = rules.add_rule(PathBeneath::new(fd, access)).map_err(|e| failed(&path.display().to_string(), &e))?;
    }
    let status = rules.restrict_self().map_err(|e| failed("cannot be entered", &e))?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(failed("this kernel does not enforce them", &"none is in force")),
    }
}
