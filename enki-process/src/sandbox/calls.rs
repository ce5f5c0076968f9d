//! The filter of system calls: what no agent needs, and what reaches past rules for paths.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// Calls by their numbers on x86-64 and on aarch64; none where there is no such call.
#[rustfmt::skip]
const FORBIDDEN: &[(&str, Option<i64>, Option<i64>)] = &[
    // Other processes: their memory, descriptors, secrets.
    ("ptrace", Some(101), Some(117)), ("process_vm_readv", Some(310), Some(270)), ("process_vm_writev", Some(311), Some(271)),
    ("kcmp", Some(312), Some(272)), ("pidfd_getfd", Some(438), Some(438)),
    ("keyctl", Some(250), Some(219)), ("add_key", Some(248), Some(217)), ("request_key", Some(249), Some(218)),
    // Other trees and namespaces.
    ("mount", Some(165), Some(40)), ("umount2", Some(166), Some(39)), ("pivot_root", Some(155), Some(41)),
    ("chroot", Some(161), Some(51)), ("move_mount", Some(429), Some(429)), ("open_tree", Some(428), Some(428)),
    ("fsopen", Some(430), Some(430)), ("fsconfig", Some(431), Some(431)), ("fsmount", Some(432), Some(432)),
    ("fspick", Some(433), Some(433)), ("mount_setattr", Some(442), Some(442)), ("open_tree_attr", Some(467), Some(467)),
    ("setns", Some(308), Some(268)), ("unshare", Some(272), Some(97)),
    // A file without its path.
    ("open_by_handle_at", Some(304), Some(265)),
    // Ways into the kernel that many holes were found in.
    ("bpf", Some(321), Some(280)), ("perf_event_open", Some(298), Some(241)), ("userfaultfd", Some(323), Some(282)),
    ("io_uring_setup", Some(425), Some(425)), ("io_uring_enter", Some(426), Some(426)),
    ("io_uring_register", Some(427), Some(427)), ("modify_ldt", Some(154), None), ("fanotify_init", Some(300), Some(262)),
    ("lookup_dcookie", Some(212), Some(18)),
    // The machine.
    ("reboot", Some(169), Some(142)), ("kexec_load", Some(246), Some(104)), ("kexec_file_load", Some(320), Some(294)),
    ("init_module", Some(175), Some(105)), ("finit_module", Some(313), Some(273)), ("delete_module", Some(176), Some(106)),
    ("swapon", Some(167), Some(224)), ("swapoff", Some(168), Some(225)), ("acct", Some(163), Some(89)),
    ("settimeofday", Some(164), Some(170)), ("clock_settime", Some(227), Some(112)), ("clock_adjtime", Some(305), Some(266)),
    ("adjtimex", Some(159), Some(171)), ("sethostname", Some(170), Some(161)), ("setdomainname", Some(171), Some(162)),
    ("quotactl", Some(179), Some(60)), ("quotactl_fd", Some(443), Some(443)), ("vhangup", Some(153), Some(58)),
    ("syslog", Some(103), Some(116)), ("iopl", Some(172), None), ("ioperm", Some(173), None),
    // The x32 variants with numbers of their own.
    ("x32 ptrace", Some(521), None), ("x32 kexec_load", Some(528), None), ("x32 process_vm_readv", Some(539), None),
    ("x32 process_vm_writev", Some(540), None),
];

const CLONE: (Option<i64>, Option<i64>) = (Some(56), Some(220));
const CLONE3: (Option<i64>, Option<i64>) = (Some(435), Some(435));
const SOCKET: (Option<i64>, Option<i64>) = (Some(41), Some(198));
const IOCTL: (Option<i64>, Option<i64>) = (Some(16), Some(29));
const X32_IOCTL: (Option<i64>, Option<i64>) = (Some(514), None);

/// `clone` with any of these makes a namespace: mount, cgroup, uts, ipc, user, pid, net, time.
const NAMESPACES: [u64; 8] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000, 0x80];
/// Puts characters into a terminal as if they were typed; the second is the same for a selection on a console.
const TYPING: [u64; 2] = [0x5412, 0x541c];
/// Families of sockets beside which none may be made: local ones, IPv4, IPv6, and the one that asks the kernel about
/// interfaces.
const FAMILIES: [u64; 4] = [1, 2, 10, 16];
const SOCK_RAW: u64 = 3;
const SOCK_PACKET: u64 = 10;
/// What of a socket's type is its kind; the rest are flags.
const KIND: u64 = 0xf;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

pub(super) fn forbid() -> Result<(), String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => TargetArch::x86_64,
        "aarch64" => TargetArch::aarch64,
        other => return Err(format!("the filter of system calls is not made for {other}")),
    };
    let failed = |e: &dyn std::fmt::Display| format!("the filter of system calls: {e}");
    for (rules, errno) in [(forbidden(arch).map_err(|e| failed(&e))?, EPERM), (without_clone3(arch), ENOSYS)] {
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch);
        let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|e| failed(&e))?;
        seccompiler::apply_filter(&program).map_err(|e| failed(&e))?;
    }
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn add(rules: &mut Rules, arch: TargetArch, of: (Option<i64>, Option<i64>), how: &[SeccompRule]) {
    let number = if arch == TargetArch::x86_64 { of.0 } else { of.1 };
    let Some(number) = number else { return };
    rules.insert(number, how.to_vec());
    if arch == TargetArch::x86_64 {
        // The same calls once more, for programs with short pointers.
        rules.insert(number | 0x4000_0000, how.to_vec());
    }
}

fn forbidden(arch: TargetArch) -> Result<Rules, seccompiler::BackendError> {
    use SeccompCmpArgLen::Dword;
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let is = |index, op, value| SeccompCondition::new(index, Dword, op, value);
    let mut rules = Rules::new();
    for (_, x86, arm) in FORBIDDEN {
        add(&mut rules, arch, (*x86, *arm), &[]);
    }
    let flags = NAMESPACES.iter().map(|flag| SeccompRule::new(vec![is(0, MaskedEq(*flag), *flag)?]));
    add(&mut rules, arch, CLONE, &flags.collect::<Result<Vec<_>, _>>()?);
    let typing = TYPING.iter().map(|request| SeccompRule::new(vec![is(1, Eq, *request)?]));
    let typing = typing.collect::<Result<Vec<_>, _>>()?;
    add(&mut rules, arch, IOCTL, &typing);
    add(&mut rules, arch, X32_IOCTL, &typing);
    let strange = FAMILIES.iter().map(|family| is(0, Ne, *family)).collect::<Result<Vec<_>, _>>()?;
    let internet = |family, kind| SeccompRule::new(vec![is(0, Eq, family)?, is(1, MaskedEq(KIND), kind)?]);
    // Of the kernel's own only the one of interfaces: others are firewalls, audit and the like.
    let netlink = SeccompRule::new(vec![is(0, Eq, 16)?, is(2, Ne, 0)?])?;
    let sockets = vec![
        SeccompRule::new(strange)?,
        internet(2, SOCK_RAW)?,
        internet(10, SOCK_RAW)?,
        internet(2, SOCK_PACKET)?,
        netlink,
    ];
    add(&mut rules, arch, SOCKET, &sockets);
    Ok(rules)
}

/// Its flags are in memory, where no filter sees them. Told that there is no such call, libraries take `clone`.
fn without_clone3(arch: TargetArch) -> Rules {
    let mut rules = Rules::new();
    add(&mut rules, arch, CLONE3, &[]);
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_made_for_both_machines() {
        for arch in [TargetArch::x86_64, TargetArch::aarch64] {
            let rules = forbidden(arch).unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EPERM), arch).unwrap();
            let program: BpfProgram = filter.try_into().unwrap();
            // What the kernel takes at most.
            assert!(program.len() < 4096, "{}", program.len());
        }
    }

    #[test]
    fn no_call_is_listed_twice() {
        let mut numbers: Vec<i64> = FORBIDDEN.iter().filter_map(|(_, x86, _)| *x86).collect();
        numbers.sort_unstable();
        let before = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), before);
    }
}
