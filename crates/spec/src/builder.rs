//! Building a [`SandboxSpec`] in one expression.
//!
//! ```
//! use shedbox_spec::SandboxSpec;
//!
//! let spec = SandboxSpec::image("debian:12").env("LANG", "C.UTF-8").volume("/home/me/project", "/work");
//! assert!(spec.idle);
//! ```

use std::time::Duration;

use crate::exec::StdinMode;
use crate::landlock::LandlockLevel;
use crate::mount::{Access, Mount};
use crate::network::Network;
use crate::sandbox::{SandboxSpec, Source};
use crate::security::Seccomp;
use crate::ulimit::Ulimit;

impl SandboxSpec {
    /// A sandbox made from an image that stays up without a main process, for commands to run in.
    #[must_use]
    pub fn image(reference: impl Into<String>) -> Self {
        Self::from_source(Source::Image(reference.into()))
    }

    /// The same from the host's own programs: no image is needed.
    #[must_use]
    pub fn host() -> Self {
        Self::from_source(Source::Host)
    }

    /// The same from a directory, by absolute path.
    #[must_use]
    pub fn rootfs(directory: impl Into<String>) -> Self {
        Self::from_source(Source::Rootfs(directory.into()))
    }

    fn from_source(source: Source) -> Self {
        Self {
            source,
            idle: true,
            ..Self::default()
        }
    }

    /// Sets the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Gives it a main process: the image's Entrypoint with these arguments, or with the image's own when there are none.
    #[must_use]
    pub fn command<I: IntoIterator<Item = S>, S: Into<String>>(mut self, arguments: I) -> Self {
        self.command = arguments.into_iter().map(Into::into).collect();
        self.idle = false;
        self
    }

    /// Replaces the image's Entrypoint; an empty list removes it.
    #[must_use]
    pub fn entrypoint<I: IntoIterator<Item = S>, S: Into<String>>(mut self, program: I) -> Self {
        self.entrypoint = Some(program.into_iter().map(Into::into).collect());
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Sets the working directory; created when missing.
    #[must_use]
    pub fn workdir(mut self, path: impl Into<String>) -> Self {
        self.workdir = Some(path.into());
        self
    }

    /// Sets the user: `name|uid[:group|gid]`.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Adds a group, by name or number, to those of the user.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.groups.push(group.into());
        self
    }

    /// Sets a kernel parameter of the sandbox's own namespaces.
    #[must_use]
    pub fn sysctl(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.sysctls.insert(name.into(), value.into());
        self
    }

    /// Sets the host name.
    #[must_use]
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.hostname = Some(name.into());
        self
    }

    /// Makes a host path, absolute, visible inside; writes go to the host.
    #[must_use]
    pub fn volume(self, source: impl Into<String>, target: impl Into<String>) -> Self {
        self.bind(source, target, Access::Rw)
    }

    /// The same, with writes treated as `access` says.
    #[must_use]
    pub fn bind(
        mut self,
        source: impl Into<String>,
        target: impl Into<String>,
        access: Access,
    ) -> Self {
        self.mounts.push(Mount::Bind {
            source: source.into(),
            target: target.into(),
            access,
        });
        self
    }

    /// Adds an empty memory file system, with a size limit in bytes.
    #[must_use]
    pub fn tmpfs(mut self, target: impl Into<String>, size: Option<u64>) -> Self {
        let target = target.into();
        self.mounts.push(Mount::Tmpfs {
            target,
            size,
            mode: None,
            read_only: false,
            exec: false,
        });
        self
    }

    /// Makes the rootfs read-only.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Sets the size of `/dev/shm` in bytes.
    #[must_use]
    pub fn shm_size(mut self, bytes: u64) -> Self {
        self.shm_size = Some(bytes);
        self
    }

    /// Adds a resource limit.
    #[must_use]
    pub fn ulimit(mut self, limit: Ulimit) -> Self {
        self.ulimits.push(limit);
        self
    }

    /// Sets how much of Landlock there must be.
    #[must_use]
    pub fn landlock(mut self, level: LandlockLevel) -> Self {
        self.security.landlock.level = level;
        self
    }

    /// Lets files be read and executed beneath this path inside, by absolute path; with such paths given, nothing else
    /// of the tree is in reach but what programs need to start.
    #[must_use]
    pub fn landlock_ro(mut self, path: impl Into<String>) -> Self {
        self.security.landlock.ro.push(path.into());
        self
    }

    /// The same, and written too.
    #[must_use]
    pub fn landlock_rw(mut self, path: impl Into<String>) -> Self {
        self.security.landlock.rw.push(path.into());
        self
    }

    /// Lets TCP connect to these ports and, with those given before, to no others.
    #[must_use]
    pub fn allow_tcp_connect(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        let allowed = &mut self.security.landlock.tcp_connect;
        allowed.get_or_insert_default().extend(ports);
        self
    }

    /// Lets TCP sockets be bound to these ports (0: those that the kernel chooses) and, with those given before, to no
    /// others.
    #[must_use]
    pub fn allow_tcp_bind(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        let allowed = &mut self.security.landlock.tcp_bind;
        allowed.get_or_insert_default().extend(ports);
        self
    }

    /// Sets the network mode.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Adds a capability to the default ones; `ALL` for every one.
    #[must_use]
    pub fn cap_add(mut self, name: impl Into<String>) -> Self {
        self.security.cap_add.push(name.into());
        self
    }

    /// Takes a capability away; `ALL` for every one.
    #[must_use]
    pub fn cap_drop(mut self, name: impl Into<String>) -> Self {
        self.security.cap_drop.push(name.into());
        self
    }

    /// Sets the system call filter.
    #[must_use]
    pub fn seccomp(mut self, seccomp: Seccomp) -> Self {
        self.security.seccomp = seccomp;
        self
    }

    /// Whether programs may gain privileges by being executed (setuid, file capabilities) is up to this; they may not
    /// by default.
    #[must_use]
    pub fn no_new_privileges(mut self, on: bool) -> Self {
        self.security.no_new_privileges = on;
        self
    }

    /// Keeps the main process's standard input open for clients that attach.
    #[must_use]
    pub fn stdin_open(mut self) -> Self {
        self.stdin = StdinMode::Pipe;
        self
    }

    /// Has it removed after this time, whoever has forgotten it.
    #[must_use]
    pub fn ttl(mut self, lifetime: Duration) -> Self {
        self.ttl_ms = Some(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_set_their_fields() {
        let spec = SandboxSpec::image("a")
            .name("n")
            .env("A", "1")
            .volume("/h", "/t")
            .tmpfs("/x", Some(5))
            .label("k", "v")
            .ttl(Duration::from_secs(2));
        let expected = SandboxSpec {
            source: Source::Image("a".into()),
            idle: true,
            name: Some("n".into()),
            env: vec!["A=1".into()],
            mounts: vec![
                Mount::Bind {
                    source: "/h".into(),
                    target: "/t".into(),
                    access: Access::Rw,
                },
                Mount::Tmpfs {
                    target: "/x".into(),
                    size: Some(5),
                    mode: None,
                    read_only: false,
                    exec: false,
                },
            ],
            labels: [("k".to_owned(), "v".to_owned())].into(),
            ttl_ms: Some(2000),
            ..SandboxSpec::default()
        };
        assert_eq!(spec, expected);
        let walled = SandboxSpec::host()
            .landlock(LandlockLevel::Require)
            .landlock_ro("/usr")
            .landlock_rw("/tmp")
            .allow_tcp_connect([80])
            .allow_tcp_connect([443])
            .allow_tcp_bind([]);
        assert_eq!(
            walled.security.landlock,
            crate::landlock::LandlockSpec {
                level: LandlockLevel::Require,
                ro: vec!["/usr".into()],
                rw: vec!["/tmp".into()],
                tcp_connect: Some(vec![80, 443]),
                tcp_bind: Some(vec![]),
            }
        );
        let with_main = SandboxSpec::host().command(["sleep", "1"]);
        assert_eq!(
            (with_main.idle, with_main.command),
            (false, vec!["sleep".to_owned(), "1".to_owned()])
        );
    }
}
