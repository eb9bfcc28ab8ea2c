//! Calls that are newer than the libseccomp in use.
//!
//! Since Linux 5.1 a new call has the same number on every architecture. Source: arch/*/entry/syscalls of Linux 7.0.

/// Name and number. Only those that profiles name: what is in no profile has ENOSYS without being known.
const NEWER: &[(&str, i32)] = &[
    ("quotactl_fd", 443),
    ("landlock_create_ruleset", 444),
    ("landlock_add_rule", 445),
    ("landlock_restrict_self", 446),
    ("memfd_secret", 447),
    ("process_mrelease", 448),
    ("futex_waitv", 449),
    ("set_mempolicy_home_node", 450),
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
    ("listns", 470),
];

/// The number of a call, when it is one of these.
pub(super) fn number(name: &str) -> Option<i32> {
    NEWER
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

/// The name of a number, when it is one of these.
pub(super) fn name(number: i32) -> Option<&'static str> {
    NEWER
        .iter()
        .find(|(_, known)| *known == number)
        .map(|(name, _)| *name)
}
