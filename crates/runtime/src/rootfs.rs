//! The rootfs of a generation: from a fresh mount namespace to a root that shows only what the spec names.
//!
//! 1. what comes from the host is cloned as detached mounts     2. the overlay becomes the working directory
//! 3. /dev is filled     4. pivot_root     5. /proc and /sys     6. the old root goes
//! 7. /sys is filled    8. volumes, files in /etc, masks: all resolved inside
//!
//! /proc has to be mounted before the old root goes: in a user namespace the kernel allows a new proc only where one is
//! visible in full already. Targets of volumes are resolved after it has gone, so no path of the host is in reach.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use shedbox_linux::errno::Errno;
use shedbox_linux::inroot::Kind;
use shedbox_linux::meta::{self, FileKind};
use shedbox_linux::mount::{self, Attributes, FsOption, MountFlags};
use shedbox_linux::{inroot, path, process};
use shedbox_spec::control::Failure;
use shedbox_spec::generation::{GenerationSpec, Rootfs};
use shedbox_spec::mount::{Access, Mount};
use shedbox_spec::network::NetworkNamespace;
use shedbox_spec::sysctl;

use crate::failure::{Staged, failure};
use crate::overlay::{self, Layers};
use crate::{dev, guards, masks, memory_upper, sys, target};

/// What is mounted from the host holds no devices of its own and gives no rights.
const VOLUME: Attributes = Attributes {
    read_only: false,
    no_suid: true,
    no_dev: true,
    no_exec: false,
};
const READ_ONLY: Attributes = Attributes {
    read_only: true,
    ..VOLUME
};
const HARMLESS: Attributes = Attributes {
    read_only: false,
    no_suid: true,
    no_dev: true,
    no_exec: true,
};

/// A detached mount and where it goes.
struct Pending<'a> {
    tree: OwnedFd,
    target: &'a str,
    kind: Kind,
}

/// Builds the rootfs and makes it the root. Returns warnings: what could not be had and was done without.
pub(crate) fn build(spec: &GenerationSpec) -> Result<Vec<String>, Failure> {
    let Rootfs::Overlay {
        lower,
        upper,
        work,
        host_binds,
        masked,
    } = &spec.rootfs;
    let in_memory = spec.disk.filter(|room| room.in_memory);
    let (upper, work, cow_dir) = match in_memory {
        Some(room) => {
            memory_upper::mount(room, work, &cow_mounts(spec))?;
            let below = |name: &str| format!("{work}/{name}");
            (below("upper"), below("work"), below("cow"))
        }
        None => (upper.clone(), work.clone(), spec.cow_dir.clone()),
    };
    let mut pending = Vec::new();
    for (source, target) in host_binds {
        pending.push(bind(source, target, READ_ONLY, "host directories")?);
    }
    for (index, volume) in spec.mounts.iter().enumerate() {
        if let Mount::Bind {
            source,
            target,
            access,
        } = volume
        {
            pending.push(match access {
                Access::Cow => copy_on_write(spec, &cow_dir, index, (source, target))?,
                Access::Ro => bind(source, target, READ_ONLY, "volume")?,
                Access::Rw => bind(source, target, VOLUME, "volume")?,
            });
        }
    }
    let cgroup = match &spec.cgroup {
        Some(directory) => Some(own_cgroup(directory)?),
        None => None,
    };

    let layers = Layers {
        lower,
        upper: &upper,
        work: &work,
    };
    let attributes = Attributes {
        // With no_new_privileges a setuid program gains nothing anyway.
        no_suid: spec.no_new_privileges,
        no_dev: true,
        ..Attributes::default()
    };
    overlay::mount_on(&layers, attributes, &spec.mountpoint)?;
    mount::work_in(&spec.mountpoint).stage("overlay")?;
    let root = mount::target(".").stage("overlay")?;
    for name in ["proc", "sys", "dev"] {
        real_directory(&root, name)?;
    }
    dev::fill(spec)?;
    if spec.network != NetworkNamespace::Own {
        process::change_directory_to(root.as_fd())
            .map_err(|errno| failure("sys", "fchdir".into(), errno as i32))?;
        // The kernel gives a new sysfs to the owner of the network namespace alone.
        sys::fill(sys::Source::Host)?;
    }
    process::change_directory_to(root.as_fd())
        .map_err(|errno| failure("pivot", "fchdir".into(), errno as i32))?;
    mount::pivot_into_cwd().stage("pivot")?;
    let quiet = quiet();
    mount::mount_new("proc", "/proc", quiet, None).stage("proc")?;
    if spec.network == NetworkNamespace::Own {
        mount::mount_new("sysfs", "/sys", quiet | MountFlags::RDONLY, None).stage("sys")?;
    }
    mount::detach_old_root().stage("pivot")?;
    drop(root);

    if spec.network == NetworkNamespace::Own {
        sys::fill(sys::Source::Own)?;
    }
    if let Some(cgroup) = cgroup {
        attach(&cgroup, "cgroup")?;
    }
    attach_all(spec, pending)?;
    etc_files()?;
    if spec.network == NetworkNamespace::Own {
        network_settings(spec);
    }
    set_sysctls(spec)?;
    guards::bound_pids(spec);
    masks::prepare()?;
    masks::hide(masked)?;
    masks::hide_kernel_paths()?;
    masks::protect_kernel_paths()?;
    // The working directory is made when it is missing, as Docker does, and before the root turns read-only.
    let mut warnings = match target::ensure(&spec.workdir, Kind::Directory) {
        Err(error) if error.errno == Errno::EROFS => {
            vec![format!("working directory {} cannot be made", spec.workdir)]
        }
        made => made.stage("working directory").map(|_| Vec::new())?,
    };
    // What was asked to be hidden may be the working directory itself.
    let absent = masks::hide(&spec.masked)?;
    warnings.extend(
        absent
            .iter()
            .map(|path| format!("nothing to hide at {path}: it is not there")),
    );
    if spec.read_only {
        let root = inroot::open_root().stage("read-only root")?;
        mount::set_attributes(root.as_fd(), READ_ONLY, false).stage("read-only root")?;
    }
    mount::work_in("/").stage("pivot")?;
    Ok(warnings)
}

/// A directory that must be one: an image whose `/proc` is a symbolic link would have proc mounted elsewhere.
fn real_directory(root: &OwnedFd, name: &str) -> Result<(), Failure> {
    let stage = "mount points";
    match path::mkdir_at(root, name, 0o755) {
        Err(error) if error.errno == Errno::EEXIST => {}
        made => return made.stage(stage),
    }
    match meta::stat_at(root, name).stage(stage)?.kind {
        FileKind::Directory => Ok(()),
        _ => Err(failure(
            stage,
            format!("/{name} in the image is not a directory"),
            Errno::ENOTDIR as i32,
        )),
    }
}

fn bind<'a>(
    source: &str,
    target: &'a str,
    attributes: Attributes,
    stage: &str,
) -> Result<Pending<'a>, Failure> {
    // The source was free of links when the sandbox was created. Whoever can write to a directory on the way must not
    // have the next generation mount something else.
    let source = path::handle_without_links(source).stage(stage)?;
    let tree = mount::clone_tree_fd(source.as_fd()).stage(stage)?;
    if attributes != Attributes::default() {
        mount::set_attributes(tree.as_fd(), attributes, true).stage(stage)?;
    }
    let kind = if mount::is_directory(&tree).stage(stage)? {
        Kind::Directory
    } else {
        Kind::File
    };
    Ok(Pending { tree, target, kind })
}

/// The generation's own cgroup, to be read and not changed: programs look there for the limits they have. It is a part
/// of the host's mount, because a new one would begin at the root of the namespace, which an older init owns.
fn own_cgroup<'a>(directory: &str) -> Result<Pending<'a>, Failure> {
    let attributes = Attributes {
        read_only: true,
        ..HARMLESS
    };
    bind(directory, "/sys/fs/cgroup", attributes, "cgroup")
}

/// Indices in `mounts` of the copy-on-write binds.
fn cow_mounts(spec: &GenerationSpec) -> Vec<usize> {
    let cow = |mount: &Mount| {
        matches!(
            mount,
            Mount::Bind {
                access: Access::Cow,
                ..
            }
        )
    };
    (0..spec.mounts.len())
        .filter(|index| cow(&spec.mounts[*index]))
        .collect()
}

/// An overlay over a host directory, and over what snapshots have changed of it: writes go to the generation's own
/// directory and are shed with it.
fn copy_on_write<'a>(
    spec: &GenerationSpec,
    cow_dir: &str,
    index: usize,
    (source, target): (&str, &'a str),
) -> Result<Pending<'a>, Failure> {
    let dir = format!("{cow_dir}/{index}");
    let (upper, work) = (format!("{dir}/upper"), format!("{dir}/work"));
    // As for other volumes: the name leads through the descriptor, not along the path again.
    let source = path::handle_without_links(source).stage("volume")?;
    let lower: Vec<String> = spec
        .snapshots
        .iter()
        .map(|snapshot| format!("{snapshot}/cow/{index}/upper"))
        .chain([format!("/proc/self/fd/{}", source.as_raw_fd())])
        .collect();
    let layers = Layers {
        lower: &lower,
        upper: &upper,
        work: &work,
    };
    let tree = overlay::detached(&layers, VOLUME)?;
    Ok(Pending {
        tree,
        target,
        kind: Kind::Directory,
    })
}

fn attach(pending: &Pending<'_>, stage: &str) -> Result<(), Failure> {
    let place = target::ensure(pending.target, pending.kind).stage(stage)?;
    put(pending, &place, stage)
}

fn put(pending: &Pending<'_>, place: &OwnedFd, stage: &str) -> Result<(), Failure> {
    mount::attach(pending.tree.as_fd(), place.as_fd())
        .map_err(|mut error| {
            pending.target.clone_into(&mut error.detail);
            error
        })
        .stage(stage)
}

/// Volumes and memory file systems, outer targets before inner ones.
fn attach_all<'a>(spec: &'a GenerationSpec, mut pending: Vec<Pending<'a>>) -> Result<(), Failure> {
    for volume in &spec.mounts {
        if let Mount::Tmpfs {
            target,
            size,
            mode,
            read_only,
            exec,
        } = volume
        {
            let size = size.map(|size| size.to_string());
            let mode = format!("{:o}", mode.unwrap_or(0o1777));
            let mut options = vec![FsOption::Value("mode", &mode)];
            if let Some(size) = &size {
                options.push(FsOption::Value("size", size));
            }
            let attributes = Attributes {
                read_only: *read_only,
                no_exec: !exec,
                ..HARMLESS
            };
            let tree = mount::new_filesystem("tmpfs", &options, attributes).stage("tmpfs")?;
            pending.push(Pending {
                tree,
                target,
                kind: Kind::Directory,
            });
        }
    }
    pending.sort_by_key(|pending| {
        pending
            .target
            .split('/')
            .filter(|part| !part.is_empty())
            .count()
    });
    pending.iter().try_for_each(|pending| {
        let place = target::ensure(pending.target, pending.kind).stage("volume")?;
        target::not_of_the_kernel(&place, pending.target)?;
        put(pending, &place, "volume")
    })
}

/// /etc/hosts, hostname and resolv.conf come from files that [`dev::fill`] has left.
fn etc_files() -> Result<(), Failure> {
    for name in dev::ETC_FILES {
        let source = format!("{}/{name}", dev::PRIVATE);
        let tree = mount::clone_tree(&source, false).stage("etc")?;
        let path = format!("/etc/{name}");
        attach(
            &Pending {
                tree,
                target: &path,
                kind: Kind::File,
            },
            "etc",
        )?;
    }
    Ok(())
}

/// What Docker sets in a network namespace of its own. Best effort: both only widen what programs may do.
fn network_settings(spec: &GenerationSpec) {
    let last_group = spec
        .gid_map
        .iter()
        .map(|(first, count)| first + (count - 1))
        .max()
        .unwrap_or(0);
    // Another generation of this sandbox may have set them: then this writes the same again.
    let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let _ = std::fs::write(
        "/proc/sys/net/ipv4/ping_group_range",
        format!("0 {}", last_group.min(i32::MAX as u32)),
    );
}

/// What was asked for, before `/proc/sys` turns read-only.
fn set_sysctls(spec: &GenerationSpec) -> Result<(), Failure> {
    for (name, value) in &spec.sysctls {
        let path = format!("/proc/sys/{}", sysctl::path(name));
        std::fs::write(&path, value).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(0);
            failure("sysctl", format!("write({path}, {value:?})"), errno)
        })?;
    }
    Ok(())
}

/// Nothing in it is a device, a program or a way to other rights.
pub(crate) fn quiet() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC
}
