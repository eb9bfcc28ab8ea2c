//! What every command of a generation shares: environment, user, limits, and descriptors that were opened before any
//! code of the sandbox ran, so that nothing inside can have replaced what they name.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use shedbox_linux::errno::Errno;
use shedbox_linux::inroot::{self, open_root};
use shedbox_linux::meta::{self, FileKind, Stat};
use shedbox_spec::control::Failure;
use shedbox_spec::exec::{NotStarted, Obstacle};
use shedbox_spec::generation::GenerationSpec;
use shedbox_spec::landlock::LandlockInForce;
use shedbox_spec::ulimit::Ulimit;
use shedbox_spec::user::{ResolvedUser, UserSpec, resolve};

use crate::failure::{Staged, failure};
use crate::{dev, guards};

/// Largest passwd or group file that is read, in bytes.
const ACCOUNTS_MAX: usize = 4 << 20;
/// Search path of an image that sets none, as Docker has it.
pub(crate) const DEFAULT_PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// See the module.
pub(crate) struct Surroundings {
    /// The spec, less what the rootfs took from it.
    pub(crate) spec: GenerationSpec,
    /// `NAME=VALUE` of every command.
    pub(crate) env: Vec<Vec<u8>>,
    /// Resource limits that each command sets on itself.
    pub(crate) limits: Vec<Ulimit>,
    /// Added to the badness of every command when memory runs out, as text; absent when it is init's own.
    pub(crate) oom_score_adj: Option<Vec<u8>>,
    /// /dev/null.
    pub(crate) null: OwnedFd,
    /// The root of devpts.
    pub(crate) pts: OwnedFd,
    /// The root directory.
    pub(crate) root: OwnedFd,
    /// /proc.
    pub(crate) proc: OwnedFd,
    /// The domain that init is in; none before it has entered it.
    pub(crate) landlock: LandlockInForce,
    passwd: RefCell<Accounts>,
    group: RefCell<Accounts>,
}

/// A file of accounts as it was when last looked at.
#[derive(Default)]
struct Accounts {
    /// What told it from every other version of it.
    version: Option<Stat>,
    content: Rc<Vec<u8>>,
}

impl Surroundings {
    /// Opens what has to be opened early. The rootfs must stand and nothing else may have run in it.
    pub(crate) fn new(spec: GenerationSpec) -> Result<Self, Failure> {
        let stage = "surroundings";
        let open = |path: &str, flags: inroot::OFlags| {
            shedbox_linux::inroot::open_with(open_root().stage(stage)?, path, flags).stage(stage)
        };
        let null = open(dev::NULL, inroot::OFlags::RDWR)?;
        let pts = open("/dev/pts", inroot::OFlags::PATH | inroot::OFlags::DIRECTORY)?;
        let proc = open("/proc", inroot::OFlags::RDONLY | inroot::OFlags::DIRECTORY)?;
        let root = open_root().stage(stage)?;
        let mut env: Vec<Vec<u8>> = vec![
            DEFAULT_PATH.into(),
            format!("HOSTNAME={}", spec.hostname).into_bytes(),
        ];
        if spec.deny_setgroups {
            env.push(format!("APT_CONFIG={}/{}", dev::PRIVATE, dev::APT_CONF).into_bytes());
        }
        for variable in &spec.env {
            if variable.contains('\0') {
                return Err(failure(
                    stage,
                    format!("NUL in the environment variable {variable:?}"),
                    0,
                ));
            }
            set(&mut env, variable.clone().into_bytes());
        }
        let limits = guards::of_commands(&spec);
        let oom_score_adj = spec.oom_score_adj;
        let surroundings = Self {
            spec,
            oom_score_adj: oom_score_adj.map(|value| value.to_string().into_bytes()),
            limits,
            env,
            null,
            pts,
            root,
            proc,
            landlock: LandlockInForce::default(),
            passwd: RefCell::default(),
            group: RefCell::default(),
        };
        if surroundings.spec.landlock.has_lists() {
            // The lists may put the accounts out of init's own reach. What is wrong with them is told by a command.
            let _ = surroundings.user(None);
        }
        Ok(surroundings)
    }

    /// Who a command runs as: `asked`, else the sandbox's own user.
    pub(crate) fn user(&self, asked: Option<&str>) -> Result<ResolvedUser, NotStarted> {
        let text = asked.unwrap_or(&self.spec.user);
        let user = UserSpec::parse(text).map_err(nobody)?;
        let passwd = self
            .accounts("/etc/passwd", &self.passwd)
            .map_err(NotStarted::refused)?;
        let group = self
            .accounts("/etc/group", &self.group)
            .map_err(NotStarted::refused)?;
        let mut found = resolve(&user, &passwd, &group).map_err(nobody)?;
        let (uids, gids) = (&self.spec.uid_map, &self.spec.gid_map);
        if mapped(uids, found.uid) && mapped(gids, found.gid) {
            // A group that the image names and the map lacks cannot be had; it would only add rights.
            found.groups.retain(|group| mapped(gids, *group));
            if !self.spec.deny_setgroups {
                self.add_groups(&mut found, &group)?;
            }
            return Ok(found);
        }
        if asked.is_none() && self.spec.user_may_fall_back {
            return Ok(ResolvedUser {
                uid: 0,
                gid: 0,
                groups: vec![0],
                home: found.home,
            });
        }
        Err(NotStarted::refused(format!(
            "user {}:{} is outside the id map of this host; give the user subordinate ids in /etc/subuid and /etc/subgid",
            found.uid, found.gid
        )))
    }

    /// Groups that were asked for besides the user's own.
    fn add_groups(&self, user: &mut ResolvedUser, group: &[u8]) -> Result<(), NotStarted> {
        user.add_groups(&self.spec.groups, group).map_err(nobody)?;
        match user
            .groups
            .iter()
            .find(|group| !mapped(&self.spec.gid_map, **group))
        {
            None => Ok(()),
            Some(group) => Err(NotStarted::refused(format!(
                "group {group} is outside the id map of this host; give the user more subordinate ids in /etc/subgid"
            ))),
        }
    }

    /// A file of accounts in the rootfs, read anew when it has changed. It belongs to the sandbox: whatever is wrong with
    /// it must not hold init up.
    fn accounts(&self, path: &str, known: &RefCell<Accounts>) -> Result<Rc<Vec<u8>>, String> {
        // A link, or a directory that is one, leads nowhere but into this root; only a plain file is worth keeping.
        let version = meta::stat_at(&self.root, path.trim_start_matches('/'))
            .ok()
            .filter(|stat| stat.kind == FileKind::Regular);
        let mut known = known.borrow_mut();
        if version.is_none() || known.version != version {
            match inroot::read_small(&self.root, path, ACCOUNTS_MAX) {
                // Closed by the Landlock domain, so nobody inside has changed it.
                Err(error) if error.errno == Errno::EACCES => {}
                content => {
                    *known = Accounts {
                        version,
                        content: Rc::new(
                            content
                                .map_err(|error| error.to_string())?
                                .unwrap_or_default(),
                        ),
                    };
                }
            }
        }
        Ok(Rc::clone(&known.content))
    }
}

fn nobody(error: shedbox_spec::Error) -> NotStarted {
    NotStarted {
        obstacle: Obstacle::User,
        ..NotStarted::refused(error.message)
    }
}

/// Whether an id is in one of the ranges of a map.
fn mapped(ranges: &[(u32, u32)], id: u32) -> bool {
    ranges
        .iter()
        .any(|(first, count)| id.wrapping_sub(*first) < *count)
}

/// Adds `variable`, in place of one of the same name; a name without a value takes that one away.
pub(crate) fn set(env: &mut Vec<Vec<u8>>, variable: Vec<u8>) {
    let name = name_of(&variable);
    let has_value = name.len() < variable.len();
    match env.iter().position(|old| name_of(old) == name) {
        Some(place) if has_value => env[place] = variable,
        Some(place) => drop(env.remove(place)),
        None if has_value => env.push(variable),
        None => {}
    }
}

/// The name of a `NAME=VALUE`.
fn name_of(variable: &[u8]) -> &[u8] {
    variable
        .split(|byte| *byte == b'=')
        .next()
        .unwrap_or(variable)
}

/// The value of `name`.
pub(crate) fn value<'a>(env: &'a [Vec<u8>], name: &str) -> Option<&'a [u8]> {
    env.iter()
        .find(|variable| name_of(variable) == name.as_bytes())
        .and_then(|variable| variable.get(name.len() + 1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_stands() {
        let mut env = vec![b"A=1".to_vec(), b"AB=2".to_vec()];
        set(&mut env, b"A=3=x".to_vec());
        set(&mut env, b"C=".to_vec());
        assert_eq!(env, [b"A=3=x".to_vec(), b"AB=2".to_vec(), b"C=".to_vec()]);
        assert_eq!(value(&env, "A"), Some(&b"3=x"[..]));
        assert_eq!(value(&env, "C"), Some(&b""[..]));
        assert_eq!(value(&env, "B"), None);
        set(&mut env, b"AB".to_vec());
        set(&mut env, b"B".to_vec());
        assert_eq!(env, [b"A=3=x".to_vec(), b"C=".to_vec()]);
    }
}
