//! The lower layer of the `host` image: a skeleton whose `usr`, `etc` and the like are bound from the host.
//!
//! The skeleton is made once for each shape of host and never written again, because living overlays stand on it; a
//! host whose shape has changed gets another one.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::error::{Doing, Result, on_path};

/// Directories of the host that are bound when they are real directories.
const SHARED: &[&str] = &[
    "usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32",
];

/// Empty directories of the sandbox itself, with their modes.
const OWN: &[(&str, u32)] = &[
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
    ("run", 0o755),
    ("mnt", 0o755),
    ("media", 0o755),
    ("opt", 0o755),
    ("srv", 0o755),
    ("home", 0o755),
    ("root", 0o700),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/tmp", 0o1777),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
];

/// Secrets in /etc. A name that ends in `*` stands for every entry that begins with it, `*x` in the middle for both
/// ends. What the daemon's user cannot read is closed anyway; these are for those who are more than an ordinary user.
const SECRETS: &[&str] = &[
    "/etc/shadow*",
    "/etc/gshadow*",
    "/etc/sudoers*",
    "/etc/security/opasswd*",
    "/etc/ssl/private",
    "/etc/ssh/*key",
    "/etc/krb5.keytab",
    "/etc/wireguard",
    "/etc/NetworkManager/system-connections",
    "/etc/ppp",
    "/etc/ipsec.secrets",
    "/etc/docker/key.json",
    "/etc/machine-id",
];

/// What one entry of the skeleton is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Directory(u32),
    Link(String),
}

/// What the host looks like, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Shape {
    /// Names of [`SHARED`] that are real directories.
    directories: Vec<&'static str>,
    /// Names of [`SHARED`] that are symbolic links, with their targets.
    links: Vec<(&'static str, String)>,
}

/// What a generation of the `host` image stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostRootfs {
    /// The skeleton.
    pub(crate) lower: PathBuf,
    /// Host directories to bind read-only: (source, target).
    pub(crate) binds: Vec<(String, String)>,
    /// Paths to hide.
    pub(crate) masked: Vec<String>,
}

/// Makes the skeleton below `dir` unless it is there.
pub(crate) fn prepare(dir: &Path) -> Result<HostRootfs> {
    let shape = look(Path::new("/"));
    let plan = plan(&shape);
    let lower = dir.join(format!("{:016x}", fingerprint(&plan)));
    if !lower.is_dir() {
        build(&plan, dir, &lower)?;
    }
    let binds = shape
        .directories
        .iter()
        .map(|name| (format!("/{name}"), format!("/{name}")))
        .collect();
    let masked = SECRETS.iter().flat_map(|pattern| expand(pattern)).collect();
    Ok(HostRootfs {
        lower,
        binds,
        masked,
    })
}

fn look(root: &Path) -> Shape {
    let mut shape = Shape::default();
    for name in SHARED {
        let path = root.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => shape.directories.push(name),
            Ok(metadata) if metadata.is_symlink() => {
                if let Some(target) = std::fs::read_link(&path)
                    .ok()
                    .and_then(|target| target.into_os_string().into_string().ok())
                {
                    shape.links.push((name, target));
                }
            }
            _ => {}
        }
    }
    shape
}

fn plan(shape: &Shape) -> Vec<(String, Entry)> {
    let own = OWN
        .iter()
        .map(|(name, mode)| ((*name).to_owned(), Entry::Directory(*mode)));
    let shared = shape
        .directories
        .iter()
        .map(|name| ((*name).to_owned(), Entry::Directory(0o755)));
    let links = shape
        .links
        .iter()
        .map(|(name, target)| ((*name).to_owned(), Entry::Link(target.clone())));
    own.chain(shared)
        .chain(links)
        .chain([("var/run".to_owned(), Entry::Link("/run".to_owned()))])
        .collect()
}

/// FNV-1a over the plan: names the skeleton of one shape of host.
fn fingerprint(plan: &[(String, Entry)]) -> u64 {
    format!("{plan:?}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

fn build(plan: &[(String, Entry)], dir: &Path, lower: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .doing(|| on_path("make directory", dir))?;
    let new = dir.join(format!(".new-{}", std::process::id()));
    if new.exists() {
        // Left by a daemon that was killed here; it holds nothing but empty directories and links.
        std::fs::remove_dir_all(&new).doing(|| on_path("remove", &new))?;
    }
    make_directory(&new, 0o755)?;
    for (name, entry) in plan {
        let path = new.join(name);
        match entry {
            Entry::Directory(mode) => make_directory(&path, *mode)?,
            Entry::Link(target) => symlink(target, &path).doing(|| on_path("make link", &path))?,
        }
    }
    std::fs::rename(&new, lower).doing(|| on_path("make directory", lower))
}

fn make_directory(path: &Path, mode: u32) -> Result<()> {
    // The mode is set again, because mkdir applies the umask.
    std::fs::create_dir(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .doing(|| on_path("make directory", path))
}

/// The existing paths that a pattern of [`SECRETS`] stands for.
fn expand(pattern: &str) -> Vec<String> {
    let Some((head, tail)) = pattern.split_once('*') else {
        return if Path::new(pattern).exists() {
            vec![pattern.to_owned()]
        } else {
            Vec::new()
        };
    };
    let (dir, prefix) = head.rsplit_once('/').unwrap_or(("", head));
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix) && name.ends_with(tail))
        .map(|name| format!("{dir}/{name}"))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_usr_becomes_links() {
        let shape = Shape {
            directories: vec!["usr", "etc"],
            links: vec![("bin", "usr/bin".into())],
        };
        let plan = plan(&shape);
        assert!(plan.contains(&("bin".into(), Entry::Link("usr/bin".into()))));
        assert!(plan.contains(&("usr".into(), Entry::Directory(0o755))));
        assert!(plan.contains(&("tmp".into(), Entry::Directory(0o1777))));
        let other = Shape {
            directories: vec!["usr", "etc", "bin"],
            links: vec![],
        };
        assert_ne!(fingerprint(&plan), fingerprint(&super::plan(&other)));
    }

    #[test]
    fn a_skeleton_is_built_once_with_its_modes() {
        let dir = tempfile::tempdir().unwrap();
        let first = prepare(&dir.path().join("host")).unwrap();
        let mode = |name: &str| {
            std::fs::metadata(first.lower.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777
        };
        assert_eq!(
            (mode("tmp"), mode("root"), mode("var/tmp")),
            (0o1777, 0o700, 0o1777)
        );
        assert!(first.binds.contains(&("/usr".into(), "/usr".into())));
        assert!(
            first.masked.iter().any(|path| path == "/etc/shadow"),
            "{:?}",
            first.masked
        );
        std::fs::write(first.lower.join("mark"), "").unwrap();
        assert_eq!(prepare(&dir.path().join("host")).unwrap(), first);
        assert!(first.lower.join("mark").exists(), "not built anew");
    }

    #[test]
    fn patterns() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().to_str().unwrap();
        for name in [
            "ssh_host_rsa_key",
            "ssh_host_rsa_key.pub",
            "shadow",
            "shadow-",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(
            expand(&format!("{base}/*key")),
            [format!("{base}/ssh_host_rsa_key")]
        );
        assert_eq!(
            expand(&format!("{base}/shadow*")),
            [format!("{base}/shadow"), format!("{base}/shadow-")]
        );
        assert_eq!(expand(&format!("{base}/none")), Vec::<String>::new());
    }
}
