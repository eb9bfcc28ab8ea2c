//! From a fork of the runner to the program: the order of the restrictions.
//!
//! 1. session, standard input    2. working directory    3. resource limits    4. no_new_privs, Landlock
//! 5. capabilities    6. filters    7. the program
//!
//! Descriptors of the caller were closed by the runner; what is opened here closes by itself with the last step.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use shedbox_linux::process::{self, CStringArray, Errno};
use shedbox_linux::{fd, inroot, seccomp};
use shedbox_spec::confined::{DEVICES, READABLE};
use shedbox_spec::exec::{End, NotStarted};
use shedbox_spec::ulimit::Resource;

use super::Order;
use crate::landlock::{Domain, Reach};
use crate::launch::{c_strings, candidates, not_started};
use crate::surroundings::{DEFAULT_PATH, set, value};

/// Becomes the program, or says why not.
pub(super) fn become_it(order: &Order) -> End {
    match try_become(order) {
        Err(end) => end,
        Ok(never) => match never {},
    }
}

fn try_become(order: &Order) -> Result<Infallible, End> {
    let refused = |message: String| End::from(NotStarted::refused(message));
    let at = |stage: &'static str| {
        move |errno: Errno| refused(format!("{stage}: {}", errno.desc().to_lowercase()))
    };
    let confined = &order.confined;
    let bytes = |list: &[String]| -> Vec<Vec<u8>> {
        list.iter().map(|text| text.clone().into_bytes()).collect()
    };
    let env = environment(order);
    let program = confined.argv.first().map_or("", String::as_str);
    let candidates =
        candidates(program.as_bytes(), value(&env, "PATH").unwrap_or_default()).map_err(refused)?;
    let argv = CStringArray::new(c_strings(&bytes(&confined.argv)).map_err(refused)?);
    let envp = CStringArray::new(c_strings(&env).map_err(refused)?);
    let home = order.private.home();
    let workdir = confined
        .workdir
        .clone()
        .unwrap_or_else(|| home.to_string_lossy().into_owned());
    let directory = CString::new(workdir.clone())
        .map_err(|_| refused("NUL in the working directory".into()))?;

    // Keys of the user's session; a kernel without keyrings has none.
    let _ = process::new_session_keyring();
    process::new_session().map_err(at("setsid"))?;
    process::set_umask(0o022);
    if !confined.stdin {
        let null = open("/dev/null", inroot::OFlags::RDONLY).map_err(refused)?;
        fd::become_stdio(&null, 0)
            .map_err(|errno| at("standard input")(Errno::from_raw(errno.raw_os_error())))?;
    }
    process::change_directory(&directory)
        .map_err(|errno| not_started("chdir", errno, program, &workdir))?;
    // The kernel writes a core dump past Landlock.
    if !confined
        .ulimits
        .iter()
        .any(|limit| limit.resource == Resource::Core)
    {
        process::set_limit(Resource::Core as u32, 0, 0).map_err(at("ulimit"))?;
    }
    for limit in &confined.ulimits {
        process::set_limit(limit.resource as u32, limit.soft, limit.hard)
            .map_err(|errno| not_started("ulimit", errno, program, &workdir))?;
    }
    process::no_new_privileges().map_err(at("prctl"))?;
    enter_domain(order, &home).map_err(refused)?;
    process::limit_bounding_set(0)
        .or_else(|errno| {
            // Only who has capabilities can drop some; who has none loses nothing.
            if errno == Errno::EPERM {
                Ok(())
            } else {
                Err(errno)
            }
        })
        .map_err(at("prctl"))?;
    process::set_capabilities(0).map_err(at("capset"))?;
    process::unblock_signals().map_err(at("signal mask"))?;
    for filter in order.filters.iter().filter(|filter| !filter.is_empty()) {
        seccomp::install(filter).map_err(at("seccomp"))?;
    }
    let mut worst = Errno::ENOENT;
    for candidate in &candidates {
        match process::execute(candidate, &argv, &envp) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => worst = Errno::EACCES,
            errno => return Err(not_started("exec", errno, program, &workdir)),
        }
    }
    Err(not_started("exec", worst, program, &workdir))
}

fn environment(order: &Order) -> Vec<Vec<u8>> {
    let home = order.private.home().into_os_string().into_encoded_bytes();
    let mut env = vec![
        DEFAULT_PATH.as_bytes().to_vec(),
        [b"HOME=".as_slice(), &home].concat(),
        [b"TMPDIR=".as_slice(), &home].concat(),
    ];
    if let Some(term) = &order.term {
        env.push(format!("TERM={term}").into_bytes());
    }
    for variable in &order.confined.env {
        set(&mut env, variable.clone().into_bytes());
    }
    env
}

/// The domain: what the plan names and must be there, and what every program needs and may be there.
fn enter_domain(order: &Order, home: &Path) -> Result<(), String> {
    let confined = &order.confined;
    let home = home.to_string_lossy();
    let named = [(&confined.read, Reach::Read), (&confined.write, Reach::All)]
        .into_iter()
        .flat_map(|(list, reach)| list.iter().map(move |path| (path.as_str(), reach)))
        .chain([(home.as_ref(), Reach::All)]);
    let mut opened: Vec<(OwnedFd, Reach)> = named
        .map(|(path, reach)| Ok((open(path, inroot::OFlags::PATH)?, reach)))
        .collect::<Result<_, String>>()?;
    let usual = READABLE
        .iter()
        .map(|path| (*path, Reach::Read))
        .chain(DEVICES.iter().map(|path| (*path, Reach::Use)))
        .chain([("/proc/self", Reach::Read)]);
    for (path, reach) in usual {
        // A host without one of them has programs that do without.
        if let Ok(fd) = open(path, inroot::OFlags::PATH) {
            opened.push((fd, reach));
        }
    }
    let mut domain = Domain::new(order.abi);
    domain.handle_files();
    for (fd, reach) in &opened {
        domain.allow(fd.as_fd(), *reach);
    }
    if order.abi >= shedbox_spec::landlock::PORTS_ABI {
        (domain.tcp_connect, domain.tcp_bind) = confined.network.ports();
    }
    domain.enter()
}

/// The caller's own path, by the caller's own links.
fn open(path: &str, flags: inroot::OFlags) -> Result<OwnedFd, String> {
    inroot::open_root()
        .and_then(|root| inroot::open_with(root, path, flags))
        .map_err(|error| format!("{path}: {}", error.errno.desc().to_lowercase()))
}
