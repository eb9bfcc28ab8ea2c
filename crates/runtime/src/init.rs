//! Init: PID 1 of a generation, our own code and never the image's.
//!
//! One thread, one poll loop. It starts commands for clients that connect to the sandbox socket, reaps, ends what runs
//! out of time or loses its client, carries the streams of the main process, and leaves when the generation ends. It
//! never waits for anybody: answers that a client does not take are dropped with the client.
//!
//! It cannot be traced or signalled from inside (PID 1 without handlers, not dumpable), and no descriptor of its own
//! passes to a command.

mod ending;
mod requests;
mod starting;

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use shedbox_linux::clone::{Stack, exit_now};
use shedbox_linux::errno::{Context, Errno};
use shedbox_linux::poll::{Interest, Readiness, poll};
use shedbox_linux::process::{self, ChildSignals};
use shedbox_linux::seqpacket::{self, SeqPacket};
use shedbox_linux::{fd, net, seccomp};
use shedbox_spec::control::{Failure, InitEvent, Reply};
use shedbox_spec::generation::GenerationSpec;
use shedbox_spec::network::NetworkNamespace;

use crate::denials::Denials;
use crate::exec::Execs;
use crate::failure::{Staged, failure};
use crate::group::Groups;
use crate::guards;
use crate::landlock;
use crate::log::LogWriter;
use crate::main_process::{MainProcess, Place};
use crate::rootfs;
use crate::surroundings::Surroundings;

/// Children reaped, connections taken and messages read in one round of the loop: whoever floods one of them must not
/// keep the others waiting.
const AT_ONCE: usize = 256;
/// How long no connection is taken after there was no descriptor left for one.
const NO_DESCRIPTORS: Duration = Duration::from_millis(100);

/// First number of the descriptors that a generation starts with.
const FIRST_FD: i32 = 3;

/// Descriptors that the daemon handed over for this generation.
pub(crate) struct Handed {
    /// The daemon's end of it watches this generation.
    pub(crate) control: SeqPacket,
    /// The sandbox socket; not served before [`Request::Activate`](shedbox_spec::control::Request::Activate).
    pub(crate) listener: OwnedFd,
    /// Directory of the log.
    pub(crate) log: OwnedFd,
    /// Says one byte when the id maps are written; absent when the user namespace is an older one.
    pub(crate) mapped: Option<OwnedFd>,
    /// Directory of the generation's cgroup, when it has one. Init was born in its leaf `init` and may make others
    /// beside it; the controllers are enabled for them. What is cloned goes right into a leaf
    /// (`clone::borrow_process`), because moving a process waits for every processor of the host.
    pub(crate) cgroup: Option<OwnedFd>,
}

/// Runs a generation in the process that was cloned for it.
pub(crate) fn run(spec: GenerationSpec, handed: Handed) -> ! {
    // A panic must not unwind into the keeper's frames that this copy still has on its stack.
    let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| start(spec, handed)))
        .unwrap_or(101);
    exit_now(status)
}

fn start(spec: GenerationSpec, handed: Handed) -> i32 {
    let Handed {
        control,
        listener,
        log,
        mapped,
        cgroup,
    } = handed;
    let has_map = mapped.is_some();
    let mut fds = vec![control.into(), listener, log];
    fds.extend(mapped);
    fds.extend(cgroup);
    let Ok(fds) = fd::start_over_with(fds, FIRST_FD) else {
        return 1;
    };
    let mut fds = fds.into_iter();
    let (Some(control), Some(listener), Some(log)) = (fds.next(), fds.next(), fds.next()) else {
        return 1;
    };
    let control = SeqPacket::from(control);
    let mapped = if has_map { fds.next() } else { None };
    match Init::prepare(spec, listener, log, mapped, fds.next()) {
        Err(failure) => {
            report(&control, &InitEvent::Failed(failure));
            1
        }
        Ok((mut init, warnings)) => {
            let landlock = init.around.landlock.clone();
            report(&control, &InitEvent::Ready { warnings, landlock });
            init.connections.add(control);
            init.serve();
            0
        }
    }
}

fn report(control: &SeqPacket, event: &InitEvent) {
    if let Ok(text) = serde_json::to_vec(event) {
        let _ = control.try_send(&text, &[]); // a daemon that has gone finds out by Status
    }
}

/// A client, or the daemon on its control socket.
pub(crate) struct Connection {
    id: u32,
    socket: SeqPacket,
    role: Role,
}

/// What a connection is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Nothing: a request may come.
    Asking,
    /// A command in the foreground.
    Exec,
    /// Follows the main process.
    Follower,
    /// Waits for the end of the generation.
    Stopper,
    /// A file operation in a process of its own.
    Files {
        /// That process.
        pid: i32,
    },
}

impl Connection {
    pub(crate) fn socket(&self) -> &SeqPacket {
        &self.socket
    }
}

/// All connections. The control socket is the first, number 0.
#[derive(Default)]
struct Connections {
    list: Vec<Connection>,
    next: u32,
}

impl Connections {
    fn add(&mut self, socket: SeqPacket) -> u32 {
        let id = self.next;
        self.next += 1;
        self.list.push(Connection {
            id,
            socket,
            role: Role::Asking,
        });
        id
    }

    fn get(&mut self, id: u32) -> Option<&mut Connection> {
        self.list.iter_mut().find(|connection| connection.id == id)
    }

    /// Answers without waiting; a client whose socket is full loses its connection.
    fn reply(&mut self, id: u32, reply: &Reply, fds: &[std::os::fd::BorrowedFd<'_>]) {
        let Some(connection) = self.get(id) else {
            return;
        };
        let sent = serde_json::to_vec(reply)
            .is_ok_and(|text| connection.socket.try_send(&text, fds).is_ok());
        if !sent {
            self.close(id);
        }
    }

    fn close(&mut self, id: u32) {
        self.list.retain(|connection| connection.id != id);
    }
}

/// See the module.
pub(crate) struct Init {
    around: Surroundings,
    /// In the log mode of seccomp.
    denials: Option<Denials>,
    /// Cgroups of the commands, when there are any.
    groups: Option<Groups>,
    /// Processes that the kernel had killed for want of memory when we last looked.
    oom_kills: u64,
    /// The daemon has frozen, or is about to freeze, every leaf of the cgroup but init's own: nothing may be started.
    paused: bool,
    listener: OwnedFd,
    /// Directory of the log and of `exit.json`.
    log_dir: OwnedFd,
    log: LogWriter,
    children: ChildSignals,
    stack: Stack,
    connections: Connections,
    execs: Execs,
    main: Option<MainProcess>,
    /// Accepts clients: this is the current generation, not a spare.
    active: bool,
    /// When the generation ends by itself.
    expires: Option<Instant>,
    stopping: Option<ending::Stopping>,
    /// Children may have ended that were not reaped in the last round.
    unreaped: bool,
    /// Connections wait in the queue of the listener until then.
    accepts_again: Option<Instant>,
    /// The loop ends.
    over: bool,
}

/// What an entry of the poll list stands for.
enum Source {
    Children,
    Listener,
    Connection(u32),
    Main(Place),
    Exec(u32),
    /// What the kernel says of the generation's memory.
    Memory,
    Denials,
}

impl Init {
    /// Namespaces to working rootfs. Nothing of the image has run when this returns.
    fn prepare(
        spec: GenerationSpec,
        listener: OwnedFd,
        log_dir: OwnedFd,
        mapped: Option<OwnedFd>,
        cgroup: Option<OwnedFd>,
    ) -> Result<(Self, Vec<String>), Failure> {
        let stage = "init";
        let plain = |call: &'static str| move |errno| failure(stage, call.to_owned(), errno as i32);
        if let Some(mapped) = mapped
            && fd::read(&mapped, &mut [0]).stage("id map")? == 0
        {
            return Err(failure("id map", "the keeper gave up".into(), 0));
        }
        process::not_dumpable().map_err(plain("prctl(PR_SET_DUMPABLE)"))?;
        process::set_name(c"shedbox-init").map_err(plain("prctl(PR_SET_NAME)"))?;
        process::reset_signals().map_err(plain("signal"))?;
        process::block_signals().map_err(plain("sigprocmask"))?;
        process::set_umask(0o022);
        let children = ChildSignals::new().map_err(plain("signalfd"))?;
        // Its own session: it has no terminal and never gets one.
        process::new_session().map_err(plain("setsid"))?;
        if spec.own_keyring {
            match process::new_session_keyring() {
                Ok(()) | Err(process::Errno::ENOSYS) => {}
                Err(errno) => return Err(plain("keyctl(KEYCTL_JOIN_SESSION_KEYRING)")(errno)),
            }
        }
        process::set_host_name(&spec.hostname)
            .call("sethostname", || spec.hostname.clone())
            .stage("host name")?;
        if spec.network == NetworkNamespace::Own {
            net::loopback_up().stage("network")?;
        }
        let warnings = rootfs::build(&spec)?;
        let mut around = Surroundings::new(spec)?;
        guards::hold(&around.spec)?;
        // What init will use outside the tree of the sandbox.
        let own: Vec<_> = [Some(&log_dir), cgroup.as_ref()]
            .into_iter()
            .flatten()
            .map(AsFd::as_fd)
            .collect();
        // Nothing that is started from here on can leave the capability set of the spec or, unless that was asked for,
        // gain privileges. Landlock and the filter do without: init has CAP_SYS_ADMIN in its user namespace.
        if around.spec.no_new_privileges {
            process::no_new_privileges().map_err(plain("prctl(PR_SET_NO_NEW_PRIVS)"))?;
        }
        around.landlock = landlock::enter(&around.spec.landlock, around.spec.mounts_inside, &own)?;
        process::limit_bounding_set(around.spec.capabilities)
            .map_err(plain("prctl(PR_CAPBSET_DROP)"))?;
        // The filter refuses nothing that init itself needs, and init never lifts a restriction.
        let mut denials = None;
        if around.spec.seccomp_asks {
            let listener = seccomp::install_asking(&around.spec.seccomp);
            denials = Some(Denials::new(
                listener.map_err(plain("seccomp(NEW_LISTENER)"))?,
            ));
        } else if !around.spec.seccomp.is_empty() {
            seccomp::install(&around.spec.seccomp).map_err(plain("seccomp"))?;
        }
        let log = LogWriter::open(log_dir.as_fd(), around.spec.log_max_bytes).stage("log")?;
        let expires = around
            .spec
            .ttl_ms
            .map(|ttl| Instant::now() + Duration::from_millis(ttl));
        let init = Self {
            around,
            denials,
            groups: cgroup.map(Groups::new),
            oom_kills: 0,
            paused: false,
            listener,
            log_dir,
            log,
            children,
            stack: Stack::new(256 << 10).stage(stage)?,
            connections: Connections::default(),
            execs: Execs::default(),
            main: None,
            active: false,
            expires,
            stopping: None,
            unreaped: false,
            accepts_again: None,
            over: false,
        };
        Ok((init, warnings))
    }

    fn serve(&mut self) {
        while !self.over {
            // With something to tidy up, look first whether anybody wants anything.
            let has_work = self.groups.as_ref().is_some_and(Groups::has_work);
            let timeout = if self.unreaped || has_work {
                Some(Duration::ZERO)
            } else {
                self.next_deadline()
                    .map(|at| at.saturating_duration_since(Instant::now()))
            };
            let (sources, interests) = self.interests();
            let Ok(seen) = poll(&interests, timeout) else {
                return;
            };
            drop(interests);
            if has_work
                && !seen.iter().any(|ready| ready.any())
                && let Some(groups) = &mut self.groups
            {
                groups.work();
            }
            self.dispatch(sources, &seen);
            self.keep_deadlines(Instant::now());
        }
    }

    fn interests(&self) -> (Vec<Source>, Vec<Interest<'_>>) {
        let read = |fd| Interest {
            fd,
            read: true,
            write: false,
        };
        let mut list = vec![(Source::Children, read(self.children.as_fd()))];
        if self.active && self.accepts_again.is_none() {
            list.push((Source::Listener, read(self.listener.as_fd())));
        }
        for connection in &self.connections.list {
            list.push((
                Source::Connection(connection.id),
                read(connection.socket.as_fd()),
            ));
        }
        if self.around.spec.oom_group
            && let Some(fd) = self.groups.as_ref().and_then(Groups::memory_events)
        {
            let change = Interest {
                fd,
                read: false,
                write: false,
            };
            list.push((Source::Memory, change));
        }
        for (number, master) in self.execs.unattended_terminals() {
            list.push((Source::Exec(number), read(master)));
        }
        if let Some(denials) = &self.denials {
            list.push((Source::Denials, read(denials.fd())));
        }
        if let Some(main) = &self.main {
            list.extend(
                main.interests()
                    .into_iter()
                    .map(|(place, interest)| (Source::Main(place), interest)),
            );
        }
        list.into_iter().unzip()
    }

    fn dispatch(&mut self, sources: Vec<Source>, seen: &[Readiness]) {
        let mut main = Vec::new();
        let mut children = self.unreaped;
        for (source, ready) in sources.into_iter().zip(seen) {
            if !ready.any() {
                continue;
            }
            match source {
                // Last, so that a follow-up that is there already still finds its command.
                Source::Children => children = true,
                Source::Listener => self.accept(),
                Source::Connection(id) => self.hear(id),
                Source::Main(place) => main.push(place),
                Source::Exec(number) => self.execs.discard_output(number),
                Source::Memory => self.memory_changed(),
                Source::Denials => {
                    if let Some(denials) = &mut self.denials {
                        denials.serve();
                    }
                }
            }
        }
        if !main.is_empty()
            && let Some(process) = &mut self.main
        {
            process.serve(&main, &mut self.log);
        }
        if children {
            self.children.clear();
            self.reap();
        }
        self.end_when_drained();
    }

    fn accept(&mut self) {
        for _ in 0..AT_ONCE {
            let socket = match seqpacket::accept(self.listener.as_fd()) {
                Ok(Some(socket)) => socket,
                Ok(None) => return,
                Err(error) => {
                    // No descriptors or no memory; asking again at once would only burn a processor.
                    if error.errno != Errno::EAGAIN {
                        self.accepts_again = Instant::now().checked_add(NO_DESCRIPTORS);
                    }
                    return;
                }
            };
            // The owner of the sandbox is uid 0 inside; nobody else has a say, whatever the mode of the socket is.
            if socket.peer().is_ok_and(|(uid, _, _)| uid == 0) {
                let id = self.connections.add(socket);
                // The request has mostly come with the connection: one round of the loop saved.
                self.hear(id);
            }
            if !self.active {
                return;
            }
        }
    }

    fn reap(&mut self) {
        for _ in 0..AT_ONCE {
            let Ok(Some(ended)) = process::reap(false) else {
                self.unreaped = false;
                return;
            };
            self.child_ended(&ended);
        }
        self.unreaped = true;
    }

    fn next_deadline(&self) -> Option<Instant> {
        let stopping = self
            .stopping
            .as_ref()
            .and_then(|stopping| stopping.deadline);
        let accepts = self.accepts_again;
        [self.execs.next_deadline(), self.expires, stopping, accepts]
            .into_iter()
            .flatten()
            .min()
    }
}
