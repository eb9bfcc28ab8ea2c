//! Whether a spec can be met: what its own parts say, and what the host has.

use std::path::Path;

use shedbox_linux::probe;
use shedbox_spec::hosts::{self, ExtraHost};
use shedbox_spec::landlock::LandlockLevel;
use shedbox_spec::mount::{Access, Mount, validate_mounts};
use shedbox_spec::network::Network;
use shedbox_spec::sandbox::Source;
use shedbox_spec::security::{Capability, Seccomp, SeccompProfile, Security};
use shedbox_spec::user::NameOrId;
use shedbox_spec::{Error, Result, SandboxSpec, sysctl};

use crate::capabilities;
use crate::filter::filters_for;

/// Largest host name. Source: sethostname(2), HOST_NAME_MAX.
const HOST_NAME_MAX: usize = 64;

/// Checks what needs no look at the host.
pub(crate) fn spec(spec: &SandboxSpec) -> Result<()> {
    if let Some(name) = &spec.name {
        shedbox_spec::id::validate_name(name)?;
    }
    validate_mounts(&spec.mounts)?;
    let has_nul = |texts: &[String]| texts.iter().any(|text| text.contains('\0'));
    if has_nul(&spec.command)
        || has_nul(&spec.env)
        || spec.entrypoint.as_ref().is_some_and(|list| has_nul(list))
    {
        return Err(Error::invalid(
            "a command or an environment variable holds a NUL byte",
        ));
    }
    if let Some(entry) = spec
        .env
        .iter()
        .find(|entry| entry.is_empty() || entry.starts_with('='))
    {
        return Err(
            Error::invalid(format!("environment entry `{entry}` has no name"))
                .with_hint("write NAME=VALUE"),
        );
    }
    groups(&spec.groups)?;
    if let Some(dir) = spec.workdir.as_ref().filter(|dir| !dir.starts_with('/')) {
        return Err(Error::invalid(format!(
            "working directory `{dir}` is not an absolute path"
        )));
    }
    if let Some(name) = &spec.hostname {
        let fits = !name.is_empty() && name.len() <= HOST_NAME_MAX;
        let clean = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !fits || !clean {
            return Err(Error::invalid(format!("invalid host name `{name}`"))
                .with_hint("letters, digits, `-` and `.`, at most 64"));
        }
    }
    network(spec)?;
    sysctls(spec)?;
    seccomp(&spec.security)?;
    landlock(&spec.security)?;
    if let Some(key) = spec.labels.keys().find(|key| key.is_empty()) {
        return Err(Error::invalid(format!("label `{key}` has no name")));
    }
    masks(&spec.security.masked)?;
    if let Source::Rootfs(dir) = &spec.source
        && !dir.starts_with('/')
    {
        return Err(Error::invalid(format!(
            "rootfs `{dir}` is not an absolute path"
        )));
    }
    Ok(())
}

/// Groups besides the user's own, by name or number.
pub(crate) fn groups(texts: &[String]) -> Result<Vec<NameOrId>> {
    texts
        .iter()
        .map(|text| NameOrId::parse_group(text))
        .collect()
}

/// What only a network of its own can give is not asked of another mode, and everything reads.
fn network(spec: &SandboxSpec) -> Result<()> {
    for entry in &spec.extra_hosts {
        ExtraHost::parse(entry)?;
    }
    if let (false, Some(what)) = (
        matches!(spec.network, Network::Bridge(_)),
        needs_network(spec),
    ) {
        return Err(Error::invalid(format!(
            "{what} does not go with network mode `{}`",
            spec.network
        ))
        .with_hint("use the network `bridge` or one of your own"));
    }
    Ok(())
}

/// What only a network of its own can give, if that is asked for.
pub(crate) fn needs_network(spec: &SandboxSpec) -> Option<&'static str> {
    let asked = [
        (
            !spec.ports.is_empty() || spec.publish_all,
            "a published port",
        ),
        (!spec.dns.is_empty(), "a DNS server"),
        (spec.egress.is_some(), "an egress policy"),
        (hosts::name_gateway(&spec.extra_hosts), "`host-gateway`"),
    ];
    asked
        .into_iter()
        .find_map(|(asked, what)| asked.then_some(what))
}

/// Kernel parameters of namespaces that are the sandbox's own.
fn sysctls(spec: &SandboxSpec) -> Result<()> {
    let own_network = matches!(spec.network, Network::None | Network::Bridge(_));
    for (name, value) in &spec.sysctls {
        if sysctl::validate(name, value)? == sysctl::Owner::Network && !own_network {
            return Err(Error::invalid(format!(
                "sysctl \"{name}\" is not allowed with network mode `{}`: the network namespace is not its own",
                spec.network
            ))
            .with_hint("leave it out, or use the network `bridge`, `none` or one of your own"));
        }
    }
    Ok(())
}

/// Programs of the sandbox may mount, in namespaces of their own or as root inside.
pub(crate) fn mounts_inside(security: &Security) -> Result<bool> {
    Ok(security.seccomp == Seccomp::Profile(SeccompProfile::Nested)
        || capabilities::of(security)? & Capability::SysAdmin.bit() != 0)
}

/// Capabilities that exist, and a filter that can be made of what was asked for.
fn seccomp(security: &Security) -> Result<()> {
    let capabilities = capabilities::of(security)?;
    if let Seccomp::Custom(_) = security.seccomp {
        filters_for(&security.seccomp, capabilities, false, false)?;
    }
    if security.masked.iter().any(|path| !path.starts_with('/')) {
        return Err(Error::invalid("a masked path is not absolute")
            .with_hint("paths inside the sandbox begin with a slash"));
    }
    Ok(())
}

fn landlock(security: &Security) -> Result<()> {
    let asked = &security.landlock;
    asked.validate()?;
    let files = asked.has_lists() || asked.level == LandlockLevel::Require;
    if files && mounts_inside(security)? {
        return Err(Error::invalid(
            "the seccomp profile `nested` and the capability SYS_ADMIN are for mounting, which the kernel refuses \
             everywhere in a Landlock domain over files",
        )
        .with_hint("leave out the lists of paths and `--landlock require`, or the profile and the capability"));
    }
    Ok(())
}

/// Refuses CAP_SYS_ADMIN where the walls are mounts that it could take away: with it root inside unmounts what hides a
/// path, makes a read-only volume writable, and, where its id is the host's root, writes `/proc/sys` and the host's own
/// programs. (In a user namespace made inside, as the profile `nested` allows, the kernel locks these mounts.)
pub(crate) fn power_over_mounts(spec: &SandboxSpec, as_root: bool) -> Result<()> {
    if capabilities::of(&spec.security)? & Capability::SysAdmin.bit() == 0 {
        return Ok(());
    }
    let lost = if as_root {
        "run by root, it would hand the host to the code in the sandbox"
    } else if !spec.security.masked.is_empty() {
        "with it the code in the sandbox could see what is to be hidden"
    } else if spec.mounts.iter().any(|mount| {
        matches!(
            mount,
            Mount::Bind {
                access: Access::Ro,
                ..
            }
        )
    }) {
        "with it the code in the sandbox could write to read-only volumes"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("the capability SYS_ADMIN is refused: {lost}")).with_hint(
        "`--security-opt seccomp=nested` lets programs make their own namespaces and mounts without it; \
         as an ordinary user, without masks and read-only volumes, SYS_ADMIN can be had",
    ))
}

/// Paths to hide: absolute ones, and not the root, which would hide everything.
fn masks(paths: &[String]) -> Result<()> {
    for path in paths {
        let shown = path.escape_debug();
        if !path.starts_with('/') || path.contains('\0') {
            return Err(Error::invalid(format!(
                "path to hide `{shown}` is not an absolute path"
            )));
        }
        let is_root = path.split('/').all(|part| matches!(part, "" | "." | ".."));
        if is_root {
            return Err(Error::invalid(format!(
                "`{shown}` cannot be hidden: it is all of the sandbox"
            )));
        }
    }
    Ok(())
}

/// Checks that what the spec names on the host is there.
pub(crate) fn host(spec: &SandboxSpec) -> Result<()> {
    spec.security.landlock.check(probe::landlock_abi())?;
    if let Source::Rootfs(dir) = &spec.source
        && !Path::new(dir).is_dir()
    {
        return Err(Error::invalid(format!(
            "rootfs `{dir}` is not a directory on this host"
        )));
    }
    for mount in &spec.mounts {
        let Mount::Bind {
            source,
            target,
            access,
        } = mount
        else {
            continue;
        };
        match std::fs::metadata(source) {
            Ok(metadata) if *access == Access::Cow && !metadata.is_dir() => {
                return Err(Error::invalid(format!(
                    "volume `{source}:{target}:cow`: the source is not a directory"
                ))
                .with_hint("copy-on-write works on directories; mount a file `ro` or `rw`"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Error::new(
                    shedbox_spec::Kind::Denied,
                    format!("volume source `{source}` is out of the daemon's reach: {error}"),
                ));
            }
            Err(_) => {
                return Err(
                    Error::invalid(format!("volume source `{source}` does not exist"))
                        .with_hint("make it first: shedbox creates no directories on the host"),
                );
            }
        }
    }
    Ok(())
}

/// Puts what volume sources lead to in their place. Generations follow no link on the way to a source: a sandbox that
/// can write there, through another volume, would choose what its next generation mounts (CVE-2021-30465 and its kin).
/// After [`host`].
pub(crate) fn settle_sources(spec: &mut SandboxSpec) -> Result<()> {
    if let Source::Rootfs(dir) = &mut spec.source {
        *dir = settled("rootfs", dir)?;
    }
    for mount in &mut spec.mounts {
        let Mount::Bind { source, .. } = mount else {
            continue;
        };
        *source = settled("volume source", source)?;
    }
    rootfs_apart(spec)
}

fn settled(what: &str, path: &str) -> Result<String> {
    let settled = std::fs::canonicalize(path)
        .map_err(|error| Error::invalid(format!("{what} `{path}`: {error}")))?;
    settled
        .into_os_string()
        .into_string()
        .map_err(|_| Error::invalid(format!("{what} `{path}` leads to a path that is not UTF-8")))
}

/// A rootfs inside a volume that the sandbox writes could be replaced by a link to anywhere before the next generation.
fn rootfs_apart(spec: &SandboxSpec) -> Result<()> {
    let Source::Rootfs(dir) = &spec.source else {
        return Ok(());
    };
    let around = spec.mounts.iter().find_map(|mount| match mount {
        Mount::Bind {
            source,
            access: Access::Rw,
            ..
        } if Path::new(dir).starts_with(source) => Some(source),
        _ => None,
    });
    match around {
        None => Ok(()),
        Some(source) => Err(Error::invalid(format!(
            "rootfs `{dir}` is inside the volume `{source}`, which the sandbox may write"
        ))
        .with_hint("lend the volume `ro` or `cow`, or keep the rootfs elsewhere")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::Kind;

    fn bind(source: &str, access: Access) -> SandboxSpec {
        let mount = Mount::Bind {
            source: source.into(),
            target: "/data".into(),
            access,
        };
        SandboxSpec {
            mounts: vec![mount],
            ..SandboxSpec::default()
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let base = SandboxSpec::default;
        let bad = [
            (
                SandboxSpec {
                    name: Some("-x".into()),
                    ..base()
                },
                "-x",
            ),
            (
                SandboxSpec {
                    workdir: Some("rel".into()),
                    ..base()
                },
                "rel",
            ),
            (
                SandboxSpec {
                    hostname: Some("a b".into()),
                    ..base()
                },
                "a b",
            ),
            (
                SandboxSpec {
                    hostname: Some("a".repeat(65)),
                    ..base()
                },
                "host name",
            ),
            (
                SandboxSpec {
                    env: vec!["=1".into()],
                    ..base()
                },
                "=1",
            ),
            (
                SandboxSpec {
                    command: vec!["a\0".into()],
                    ..base()
                },
                "NUL",
            ),
            (
                SandboxSpec {
                    source: Source::Rootfs("rel".into()),
                    ..base()
                },
                "rel",
            ),
        ];
        for (value, word) in bad {
            let error = spec(&value).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid);
            assert!(error.message.contains(word), "{}", error.message);
        }
        assert_eq!(spec(&base()), Ok(()));
    }

    #[test]
    fn sys_admin_only_where_no_wall_is_a_mount() {
        let admin = Security {
            cap_add: vec!["SYS_ADMIN".into()],
            ..Security::default()
        };
        let spec = |mounts, masked| SandboxSpec {
            mounts,
            security: Security {
                masked,
                ..admin.clone()
            },
            ..SandboxSpec::default()
        };
        let plain = spec(Vec::new(), Vec::new());
        assert_eq!(power_over_mounts(&plain, false), Ok(()));
        assert!(power_over_mounts(&plain, true).is_err());
        let volume = |access| spec(bind("/v", access).mounts, Vec::new());
        assert_eq!(power_over_mounts(&volume(Access::Rw), false), Ok(()));
        assert!(power_over_mounts(&volume(Access::Ro), false).is_err());
        assert!(power_over_mounts(&spec(Vec::new(), vec!["/tests".into()]), false).is_err());
        assert_eq!(power_over_mounts(&bind("/v", Access::Ro), true), Ok(()));
    }

    #[test]
    fn a_rootfs_that_the_sandbox_could_replace() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let root = top.join("root");
        std::fs::create_dir(&root).unwrap();
        let with = |access| SandboxSpec {
            source: Source::Rootfs(root.to_str().unwrap().into()),
            ..bind(top.to_str().unwrap(), access)
        };
        assert_eq!(settle_sources(&mut with(Access::Ro)), Ok(()));
        assert_eq!(settle_sources(&mut with(Access::Cow)), Ok(()));
        let error = settle_sources(&mut with(Access::Rw)).unwrap_err();
        assert!(error.message.contains("is inside the volume"), "{error:?}");
    }

    #[test]
    fn volume_sources_are_looked_at() {
        let error = host(&bind("/no/such/dir", Access::Rw)).unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (Kind::Invalid, "volume source `/no/such/dir` does not exist")
        );
        assert!(
            host(&bind("/etc/passwd", Access::Cow))
                .unwrap_err()
                .message
                .contains("not a directory")
        );
        assert_eq!(host(&bind("/etc/passwd", Access::Ro)), Ok(()));
    }
}
