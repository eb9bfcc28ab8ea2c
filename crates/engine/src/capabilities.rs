//! Which capabilities root has inside: Docker's arithmetic over shedbox's own default.
//!
//! They hold in the sandbox's own user namespace, so none of them means anything to the host or to another sandbox.
//! What they change besides is which system calls the filter lets through, and what a reset has to make anew.

use shedbox_spec::Result;
use shedbox_spec::capability::{self, Capability, is_all};
use shedbox_spec::security::{DEFAULT_CAPABILITIES, Seccomp, SeccompProfile, Security};

/// With these a process can change the network or the mounts of its namespaces.
const CHANGE_NAMESPACES: &[Capability] = &[Capability::NetAdmin, Capability::SysAdmin];

/// The set of `security`, as bits.
///
/// `cap_add ALL`: every one but those dropped by name. `cap_drop ALL`: those added and no others. Otherwise the
/// default, less the dropped, and the added: one that is named in both lists is there, as in Docker.
pub(crate) fn of(security: &Security) -> Result<u64> {
    let added = named(&security.cap_add)?;
    let dropped = named(&security.cap_drop)?;
    Ok(if security.cap_add.iter().any(|name| is_all(name)) {
        capability::set(Capability::ALL) & !dropped
    } else if security.cap_drop.iter().any(|name| is_all(name)) {
        added
    } else {
        (capability::set(DEFAULT_CAPABILITIES) & !dropped) | added
    })
}

/// Whether a process could leave something behind in the sandbox's user or network namespace, so that a reset has to
/// make them anew: with the power over the network, or without a filter of ours that closes the keyrings.
pub(crate) fn outlive_a_reset(security: &Security) -> Result<bool> {
    Ok(leaves_keyrings_open(security) || of(security)? & capability::set(CHANGE_NAMESPACES) != 0)
}

/// Whether the filter is none of ours, which all deny the keyring calls.
pub(crate) fn leaves_keyrings_open(security: &Security) -> bool {
    match security.seccomp {
        Seccomp::Profile(profile) => profile == SeccompProfile::Unconfined,
        Seccomp::Custom(_) | Seccomp::Log => true,
    }
}

fn named(names: &[String]) -> Result<u64> {
    names
        .iter()
        .filter(|name| !is_all(name))
        .try_fold(0, |set, name| Ok(set | Capability::parse(name)?.bit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(add: &[&str], drop: &[&str]) -> Security {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Security {
            cap_add: list(add),
            cap_drop: list(drop),
            ..Security::default()
        }
    }

    #[test]
    fn arithmetic() {
        use Capability::{Chown, Kill, NetRaw, SysAdmin};
        let default = capability::set(DEFAULT_CAPABILITIES);
        let all = (1u64 << 41) - 1;
        for (add, drop, expected) in [
            (&[][..], &[][..], default),
            (&["net_raw"], &[], default | NetRaw.bit()),
            (&[], &["CAP_CHOWN"], default & !Chown.bit()),
            (&["CHOWN"], &["CHOWN"], default),
            (&[], &["ALL"], 0),
            (&["KILL"], &["all"], Kill.bit()),
            (&["ALL"], &[], all),
            (&["ALL"], &["SYS_ADMIN"], all & !SysAdmin.bit()),
            // Docker takes the added ALL first here, too.
            (&["ALL"], &["ALL"], all),
        ] {
            assert_eq!(of(&asked(add, drop)), Ok(expected), "{add:?} {drop:?}");
        }
        let error = of(&asked(&["SYS_ADMON"], &[])).unwrap_err();
        assert_eq!(error.message, "unknown capability `SYS_ADMON`");
    }

    #[test]
    fn namespaces_that_cannot_have_been_changed_are_kept() {
        let filtered = |seccomp| Security {
            seccomp,
            ..Security::default()
        };
        let profile = |profile| filtered(Seccomp::Profile(profile));
        for (security, expected) in [
            (Security::default(), false),
            (profile(SeccompProfile::Strict), false),
            (profile(SeccompProfile::Dev), false),
            (profile(SeccompProfile::Nested), false),
            (profile(SeccompProfile::Unconfined), true),
            (filtered(Seccomp::Custom("{}".into())), true),
            (filtered(Seccomp::Log), true),
            (asked(&["NET_RAW"], &[]), false),
            (asked(&["NET_ADMIN"], &[]), true),
            (asked(&["SYS_ADMIN"], &[]), true),
            (asked(&["ALL"], &["NET_ADMIN", "SYS_ADMIN"]), false),
        ] {
            assert_eq!(outlive_a_reset(&security), Ok(expected), "{security:?}");
        }
    }
}
