//! What root may do beyond other users, given up: all but what is needed to deal with files and users of one's own.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// What installers and archivers that run as root count on. Under rules for paths it reaches no file more.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::NET_BIND_SERVICE);

pub(super) fn give_up() -> Result<(), String> {
    let failed = |what: &str, e: Errno| format!("giving up privileges: {what}: {e}");
    set_no_new_privs(true).map_err(|e| failed("no new ones", e))?;
    let own = capabilities(None).map_err(|e| failed("which there are", e))?;
    if own.permitted.is_empty() {
        return Ok(());
    }
    // Before those that are needed to do it are gone. The kernel knows no more than 64.
    for bit in (0..64).map(|bit| CapabilitySet::from_bits_retain(1 << bit)).filter(|bit| !KEPT.contains(*bit)) {
        match remove_capability_from_bounding_set(bit) {
            // INVAL: this kernel knows no such one. PERM: a user that may not, and then has none of it to lose.
            Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
            Err(e) => return Err(failed("for programs that are started", e)),
        }
    }
    clear_ambient_capability_set().map_err(|e| failed("those that pass on", e))?;
    let kept = own.permitted.intersection(KEPT);
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(|e| failed("of this process", e))
}
