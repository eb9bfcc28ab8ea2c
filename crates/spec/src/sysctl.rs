//! Kernel parameters that belong to a namespace of the sandbox's own: `net.*` and those of System V and POSIX IPC.

use crate::{Error, Result};

/// Those of the IPC namespace that have no prefix of their own. Source: ipc_namespaces(7), and runc's validator.
const IPC: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The namespace that a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The network namespace.
    Network,
    /// The IPC namespace.
    Ipc,
}

/// Checks a parameter's name, in the form with dots, and its value.
pub fn validate(name: &str, value: &str) -> Result<Owner> {
    let parts = || name.split('.');
    let clean = parts().all(|part| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-:@".contains(&byte))
    });
    if !clean {
        return Err(
            Error::invalid(format!("sysctl `{}` is not a name", name.escape_debug()))
                .with_hint("write it with dots, as sysctl(8) lists it: `net.core.somaxconn`"),
        );
    }
    if value.is_empty() || value.contains(['\0', '\n']) {
        return Err(Error::invalid(format!(
            "sysctl {name} cannot be set to `{}`",
            value.escape_debug()
        ))
        .with_hint("give one line that is not empty"));
    }
    match parts().next() {
        Some("net") => Ok(Owner::Network),
        _ if IPC.contains(&name) || name.starts_with("fs.mqueue.") => Ok(Owner::Ipc),
        _ => Err(Error::invalid(format!(
            "sysctl \"{name}\" is not in a separate kernel namespace"
        ))
        .with_hint("net.*, fs.mqueue.*, kernel.shm*, kernel.msg* and kernel.sem can be set")),
    }
}

/// Where it is below `/proc/sys`.
pub fn path(name: &str) -> String {
    name.replace('.', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sandbox_owns() {
        for (name, owner) in [
            ("net.core.somaxconn", Owner::Network),
            ("net.ipv4.conf.eth0.forwarding", Owner::Network),
            ("kernel.shm_rmid_forced", Owner::Ipc),
            ("kernel.sem", Owner::Ipc),
            ("fs.mqueue.msg_max", Owner::Ipc),
        ] {
            assert_eq!(validate(name, "1"), Ok(owner), "{name}");
        }
        assert_eq!(path("net.core.somaxconn"), "net/core/somaxconn");
    }

    #[test]
    fn what_it_does_not_own_or_is_no_name() {
        for (name, value, word) in [
            ("kernel.hostname", "x", "separate kernel namespace"),
            ("vm.swappiness", "1", "separate kernel namespace"),
            ("kernel.shm_", "1", "separate kernel namespace"),
            ("net/core/somaxconn", "1", "not a name"),
            ("net..somaxconn", "1", "not a name"),
            ("net.../etc/passwd", "1", "not a name"),
            ("", "1", "not a name"),
            ("net.core.somaxconn", "", "cannot be set to ``"),
            ("net.core.somaxconn", "1\n2", "cannot be set to"),
        ] {
            let error = validate(name, value).unwrap_err();
            assert!(error.message.contains(word), "{name}: {}", error.message);
        }
    }
}
