//! A command on the host's own file system, held by Landlock and a system call filter alone: `--isolation landlock`.
//!
//! For hosts without user namespaces. There is no sandbox in the sense of the other words: nothing is mounted, nothing
//! has a name, nothing stays. What a spec asks for beyond that is an error here.

use crate::error::{Error, Result};
use crate::exec::StdinMode;
use crate::landlock::{LandlockLevel, LandlockSpec};
use crate::mount::{Access, Mount};
use crate::network::Network;
use crate::sandbox::{SandboxSpec, Source};
use crate::security::{Seccomp, Security};
use crate::ulimit::Ulimit;

/// What to run and what it may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confined {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// `NAME=VALUE` on top of PATH, HOME, TMPDIR and TERM.
    pub env: Vec<String>,
    /// Working directory on the host; the private one when absent.
    pub workdir: Option<String>,
    /// Paths that may be read and executed besides the usual ones; each must exist.
    pub read: Vec<String>,
    /// Paths that may be written too.
    pub write: Vec<String>,
    /// How it is connected.
    pub network: Reach,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// Standard input is passed on.
    pub stdin: bool,
    /// Every right of the newest ABI must be had.
    pub require: bool,
}

/// How a confined command is connected. There is one network: the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// No sockets of the internet families.
    Closed,
    /// TCP to and from these ports, and nothing else.
    Ports {
        /// Ports to connect to; `None` is every port.
        connect: Vec<u16>,
        /// Ports to be bound to.
        bind: Vec<u16>,
    },
    /// The host's network, TCP limited to the ports that are named.
    Host {
        /// Ports to connect to; absent: every port.
        connect: Option<Vec<u16>>,
        /// Ports to be bound to; absent: every port.
        bind: Option<Vec<u16>>,
    },
}

impl Reach {
    /// Ports for TCP: (to connect to, to be bound to); absent: every port.
    pub fn ports(&self) -> (Option<&[u16]>, Option<&[u16]>) {
        match self {
            Self::Closed => (Some(&[]), Some(&[])),
            Self::Ports { connect, bind } => (Some(connect), Some(bind)),
            Self::Host { connect, bind } => (connect.as_deref(), bind.as_deref()),
        }
    }
}

impl Confined {
    /// What of a spec can be had without namespaces; the first thing that cannot is the error.
    pub fn from_spec(spec: &SandboxSpec) -> Result<Self> {
        refuse_what_needs_a_sandbox(spec)?;
        let argv: Vec<String> = spec
            .entrypoint
            .iter()
            .flatten()
            .filter(|program| !program.is_empty())
            .chain(&spec.command)
            .cloned()
            .collect();
        if argv.is_empty() {
            return Err(Error::invalid("no command was given"));
        }
        let landlock = &spec.security.landlock;
        landlock.validate()?;
        let mut confined = Self {
            argv,
            env: spec.env.clone(),
            workdir: spec.workdir.clone(),
            read: landlock.ro.clone(),
            write: landlock.rw.clone(),
            network: reach(&spec.network, landlock)?,
            ulimits: spec.ulimits.clone(),
            seccomp: spec.security.seccomp.clone(),
            stdin: spec.stdin == StdinMode::Pipe,
            require: landlock.level == LandlockLevel::Require,
        };
        for mount in &spec.mounts {
            confined.add(mount)?;
        }
        confined.add_workdir()?;
        Ok(confined)
    }

    fn add(&mut self, mount: &Mount) -> Result<()> {
        let Mount::Bind {
            source,
            target,
            access,
        } = mount
        else {
            return Err(cannot("a tmpfs"));
        };
        if source.trim_end_matches('/') != target.trim_end_matches('/') {
            return Err(Error::invalid(format!(
                "`--isolation landlock` mounts nothing: `{source}` cannot appear as `{target}`"
            ))
            .with_hint(format!(
                "write `--volume {source}:{source}` and use that path"
            )));
        }
        match access {
            Access::Rw => self.write.push(source.clone()),
            Access::Ro => self.read.push(source.clone()),
            Access::Cow => return Err(cannot("a copy-on-write volume")),
        }
        Ok(())
    }

    /// The working directory may be written, unless it lies where something else was said.
    fn add_workdir(&mut self) -> Result<()> {
        let Some(dir) = self.workdir.clone() else {
            return Ok(());
        };
        if !dir.starts_with('/') {
            return Err(Error::invalid(format!(
                "working directory `{dir}` is not an absolute path"
            )));
        }
        let named = self.read.iter().chain(&self.write);
        if named.clone().any(|path| is_beneath(&dir, path))
            || READABLE.iter().any(|path| is_beneath(&dir, path))
        {
            return Ok(());
        }
        if dir.trim_end_matches('/').is_empty() {
            return Err(
                Error::invalid("`--workdir /` would let the whole file system be written")
                    .with_hint("leave it out: the command then starts in a private directory"),
            );
        }
        self.write.push(dir);
        Ok(())
    }

    /// The Landlock spec whose [`check`](LandlockSpec::check) says whether a kernel will do. Closed TCP needs no
    /// Landlock: the filter refuses every internet socket.
    pub fn landlock(&self) -> LandlockSpec {
        let (connect, bind) = match &self.network {
            Reach::Closed => (None, None),
            other => other.ports(),
        };
        LandlockSpec {
            level: if self.require {
                LandlockLevel::Require
            } else {
                LandlockLevel::BestEffort
            },
            ro: vec!["/usr".to_owned()],
            rw: Vec::new(),
            tcp_connect: connect.map(<[u16]>::to_vec),
            tcp_bind: bind.map(<[u16]>::to_vec),
        }
    }
}

/// Host directories and files that every confined command may read and execute, where they are. Nothing of /etc that is
/// not here: Landlock allows what it names and cannot leave out a part of it.
pub const READABLE: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/bash.bashrc",
    "/etc/bash_completion.d",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/debian_version",
    "/etc/default/locale",
    "/etc/environment",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/inputrc",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/locale.conf",
    "/etc/localtime",
    "/etc/lsb-release",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nanorc",
    "/etc/networks",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/perl",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/profile",
    "/etc/profile.d",
    "/etc/protocols",
    "/etc/redhat-release",
    "/etc/resolv.conf",
    "/etc/rpc",
    "/etc/services",
    "/etc/shells",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/etc/timezone",
    "/etc/vim",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/kernel/cap_last_cap",
    "/proc/sys/kernel/ngroups_max",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/ostype",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/random/uuid",
    "/proc/sys/vm/overcommit_memory",
    "/proc/uptime",
    "/proc/version",
    "/sys/devices/system/cpu",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Devices that every confined command may read and write.
pub const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

fn is_beneath(path: &str, dir: &str) -> bool {
    let dir = dir.trim_end_matches('/');
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn reach(network: &Network, landlock: &LandlockSpec) -> Result<Reach> {
    let (connect, bind) = (landlock.tcp_connect.clone(), landlock.tcp_bind.clone());
    Ok(match network {
        Network::Host => Reach::Host { connect, bind },
        Network::Default | Network::None if landlock.has_ports() => Reach::Ports {
            connect: connect.unwrap_or_default(),
            bind: bind.unwrap_or_default(),
        },
        Network::Default | Network::None => Reach::Closed,
        Network::Container(_) | Network::Bridge(_) => {
            return Err(cannot("a network of its own"));
        }
    })
}

fn refuse_what_needs_a_sandbox(spec: &SandboxSpec) -> Result<()> {
    if spec.source != Source::Host {
        return Err(Error::invalid(
            "`--isolation landlock` runs the host's own programs; it has no images",
        )
        .with_hint("write `shedbox run --isolation landlock host COMMAND`"));
    }
    let security = &spec.security;
    let default = Security::default();
    let refused = [
        (spec.name.is_some(), "a name"),
        (spec.idle, "a sandbox that stays up"),
        (spec.user.is_some(), "another user"),
        (spec.hostname.is_some(), "a host name"),
        (spec.read_only, "a read-only root"),
        (!spec.labels.is_empty(), "labels"),
        (spec.shm_size.is_some(), "a /dev/shm"),
        (spec.stop_signal.is_some(), "a stop signal"),
        (spec.stop_timeout_ms.is_some(), "a stop time-out"),
        (spec.tty, "a terminal"),
        (spec.ttl_ms.is_some(), "a time to live"),
        (spec.platform.is_some(), "a platform"),
        (
            !spec.ports.is_empty() || spec.publish_all,
            "a published port",
        ),
        (!spec.dns.is_empty(), "a DNS server"),
        (spec.egress.is_some(), "an egress policy"),
        (spec.log_max_bytes.is_some(), "a log"),
        (!spec.extra_hosts.is_empty(), "lines in /etc/hosts"),
        (!security.cap_add.is_empty(), "capabilities"),
        (!security.masked.is_empty(), "hidden paths"),
        (
            security.no_new_privileges != default.no_new_privileges,
            "new privileges",
        ),
        (security.seccomp == Seccomp::Log, "a log of system calls"),
        (!spec.limits.is_empty(), "limits by cgroup"),
    ];
    if let Some((_, what)) = refused.into_iter().find(|(asked, _)| *asked) {
        return Err(cannot(what));
    }
    if security.landlock.level == LandlockLevel::Off {
        return Err(Error::invalid(
            "`--isolation landlock` without Landlock would be no isolation",
        ));
    }
    Ok(())
}

fn cannot(what: &str) -> Error {
    Error::invalid(format!(
        "`--isolation landlock` cannot give the command {what}"
    ))
    .with_hint("leave that option out, or run it in a sandbox, where user namespaces can be had")
}

#[cfg(test)]
#[path = "confined_tests.rs"]
mod tests;
