//! The process itself: sets its namespace up, then does what the daemon asks, one request after the other.
//!
//! 1. the thread in the host's network namespace    2. a namespace of its own: router, rules, listeners
//! 3. the process that starts pasta    4. what is not needed any more is given away ([`confine`])
//! 5. runtime with DNS and the proxies, packet log    6. pasta, in the background    7. requests, until nobody needs it

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use shedbox_linux::seqpacket::SeqPacket;
use shedbox_linux::served::Served;
use shedbox_linux::{net, process, userns};
use shedbox_spec::gateway::{GATEWAY_VERSION, Reply, Request};
use shedbox_spec::{Error, Kind};

use crate::audit::{Audit, Event, EventKind};
use crate::confine;
use crate::directory::Directory;
use crate::dns::Dns;
use crate::firewall::{Firewall, HOST_PROXY_PORT, NAME_PROXY_PORT};
use crate::host::HostNet;
use crate::host_access::HostAccess;
use crate::links::Links;
use crate::members::Members;
use crate::packets;
use crate::ports::Ports;
use crate::proxy::Proxy;
use crate::starter::Starter;
use crate::uplink::Uplink;

/// How often a gateway without a daemon looks whether a sandbox is left.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// How often addresses whose time is over are taken out of the sets.
const EXPIRE: Duration = Duration::from_secs(30);
const DNS_PORT: u16 = 53;

/// How a gateway is started.
#[derive(Debug)]
pub struct Options {
    /// Listening SOCK_SEQPACKET socket.
    pub listener: OwnedFd,
    /// The audit log.
    pub audit: PathBuf,
}

/// Runs a gateway until nobody needs it. The caller has one thread, which is in the host's network namespace and root of
/// the user namespace of the sandboxes.
pub fn run(options: Options) -> ExitCode {
    match start(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(hint = error.hint.as_deref(), "gateway: {}", error.message);
            ExitCode::FAILURE
        }
    }
}

fn start(options: Options) -> Result<(), Error> {
    // Without a limit of their own, thousands of connections of all sandboxes share the one of this process.
    if let Err(errno) = process::raise_open_files() {
        tracing::warn!(%errno, "the limit of open files stays as it is");
    }
    // Listings show this instead of `exe`.
    let _ = process::set_name(c"shedbox-gateway");
    let host = HostNet::start().map_err(|error| broken("start a thread", &error))?;
    net::unshare().map_err(|error| kernel("make a network namespace", &error))?;
    let namespace =
        net::own_namespace().map_err(|error| kernel("open a network namespace", &error))?;
    let user_namespace =
        userns::own_id().map_err(|error| kernel("look at the user namespace", &error))?;
    let links = Links::new().map_err(|error| kernel("set up a network namespace", &error))?;
    let firewall = Arc::new(Firewall::new().map_err(|error| {
        kernel("make firewall rules", &error).with_hint(
            "the kernel needs nf_tables with nat, fib, log and reject (Debian: `sudo modprobe -a nf_tables nft_fib_inet \
             nft_masq nft_redir nft_reject_inet nft_log nfnetlink_log`)",
        )
    })?);
    let listeners = Listeners::bind(links.has_v6)
        .map_err(|error| broken("listen in the network namespace", &error))?;
    let starter = namespace
        .try_clone()
        .and_then(|namespace| {
            host.run(move || Starter::start(namespace).map_err(std::io::Error::other))
        })
        .map_err(|error| broken("start the process that starts pasta", &error))?;
    confine(&host, &options.audit)?;
    let audit = Audit::open(&options.audit)
        .map_err(|error| broken(&format!("write {}", options.audit.display()), &error))?;
    // All threads that are started from here on are in the new namespace, and behind the walls of this one.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| broken("start the runtime", &error))?;
    let directory = Arc::new(Directory::default());
    let proxy = Proxy::new(Arc::clone(&directory), firewall.clone(), Arc::clone(&audit));
    let host_access = HostAccess::new(host.clone());
    let dns = Dns::new(
        Arc::clone(&directory),
        host.clone(),
        firewall.clone(),
        Arc::clone(&audit),
    );
    listeners
        .serve(&runtime, &dns, &proxy, &host_access)
        .map_err(|error| broken("serve the network namespace", &error))?;
    expire(&runtime, Arc::clone(&firewall));
    log_packets(
        Arc::clone(&firewall),
        Arc::clone(&directory),
        Arc::clone(&audit),
    )?;
    let uplink = Uplink::start(starter).map_err(|error| broken("start a thread", &error))?;
    let members = Members {
        namespace,
        user_namespace,
        links,
        firewall,
        directory,
        ports: Ports::new(host, runtime.handle().clone()),
        proxy,
        host_access,
        audit,
        uplink,
        attached: std::collections::HashMap::new(),
        next: 0,
    };
    answer_requests(options.listener, members)?;
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(())
}

/// Both first threads give away what they do not need; all others are started by the second of them.
fn confine(host: &HostNet, audit: &Path) -> Result<(), Error> {
    if let Some(dir) = audit.parent() {
        std::fs::create_dir_all(dir)
            .map_err(|error| broken(&format!("make {}", dir.display()), &error))?;
    }
    let theirs = audit.to_owned();
    host.run(move || confine::enter(&theirs).map_err(std::io::Error::other))
        .map_err(|error| broken("confine the gateway", &error))?;
    confine::enter(audit)?.tell();
    Ok(())
}

/// Sockets in the gateway's namespace: what is bound to a port below 1024 is bound while that is allowed.
struct Listeners {
    dns: Vec<(UdpSocket, TcpListener)>,
    names: Vec<TcpListener>,
    host: TcpListener,
}

impl Listeners {
    fn bind(has_v6: bool) -> std::io::Result<Self> {
        // A wildcard IPv6 socket takes IPv4 too, which would change how senders look: one of each.
        let mut wildcards = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))];
        if has_v6 {
            wildcards.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
        }
        let at = |address: &SocketAddr, port| SocketAddr::new(address.ip(), port);
        let dns = |address| {
            let address = at(address, DNS_PORT);
            Ok((listen_udp(address)?, listen_tcp(address)?))
        };
        Ok(Self {
            dns: wildcards.iter().map(dns).collect::<std::io::Result<_>>()?,
            names: wildcards
                .iter()
                .map(|address| listen_tcp(at(address, NAME_PROXY_PORT)))
                .collect::<std::io::Result<_>>()?,
            host: listen_tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, HOST_PROXY_PORT)))?,
        })
    }

    fn serve(
        self,
        runtime: &tokio::runtime::Runtime,
        dns: &Arc<Dns>,
        proxy: &Arc<Proxy>,
        host_access: &Arc<HostAccess>,
    ) -> std::io::Result<()> {
        let _in_runtime = runtime.enter();
        for (udp, tcp) in self.dns {
            tokio::spawn(Arc::clone(dns).serve_udp(udp));
            tokio::spawn(Arc::clone(dns).serve_tcp(tcp));
        }
        for names in self.names {
            tokio::spawn(Arc::clone(proxy).serve(names));
        }
        let host = tokio::net::TcpListener::from_std(self.host)?;
        tokio::spawn(Arc::clone(host_access).serve(host));
        Ok(())
    }
}

fn listen_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = shedbox_linux::tcp::listen(address, 4096).map_err(std::io::Error::other)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn listen_udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = shedbox_linux::udp::bind(address).map_err(std::io::Error::other)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn expire(runtime: &tokio::runtime::Runtime, firewall: Arc<Firewall>) {
    runtime.spawn(async move {
        let mut ticks = tokio::time::interval(EXPIRE);
        loop {
            ticks.tick().await;
            if let Err(error) = firewall.expire() {
                tracing::warn!(error = error.to_string(), "addresses stay allowed");
            }
        }
    });
}

/// What rules tell of goes to the audit log.
fn log_packets(
    firewall: Arc<Firewall>,
    directory: Arc<Directory>,
    audit: Arc<Audit>,
) -> Result<(), Error> {
    let listener = packets::listen().map_err(|error| {
        kernel("listen to the packet log", &error)
            .with_hint("the kernel needs nfnetlink_log (`sudo modprobe nfnetlink_log`)")
    })?;
    let work = move || {
        loop {
            // Some were lost in a flood: the log counts what it drops itself, not these.
            let Ok(messages) = listener.receive() else {
                continue;
            };
            for (kind, body) in messages {
                let Some(seen) = packets::read(kind, &body) else {
                    continue;
                };
                let member = firewall
                    .sandbox_of(seen.version)
                    .and_then(|sandbox| directory.by_id(&sandbox));
                if let Some(member) = member {
                    let host = firewall.a_name_of(&member, seen.destination);
                    audit.record(&member, packet_event(&seen, host));
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("packet-log".to_owned())
        .spawn(work)
        .map(drop)
        .map_err(|error| broken("start a thread", &error))
}

fn packet_event(seen: &packets::Seen, host: Option<String>) -> Event {
    let kind = match seen.protocol {
        crate::firewall::TCP => EventKind::Tcp,
        crate::firewall::UDP => EventKind::Udp,
        _ => EventKind::Icmp,
    };
    Event {
        kind,
        host,
        address: Some(seen.destination),
        port: seen.port,
        allowed: seen.allowed,
        reason: None,
    }
}

fn answer_requests(listener: OwnedFd, mut members: Members) -> Result<(), Error> {
    let mut clients = Served::new(listener);
    loop {
        let alone = clients
            .wait(LOOK_AROUND, |connection| {
                serve_one(connection, &mut members)
            })
            .map_err(|error| kernel("wait", &error))?;
        if alone && members.all_gone() {
            return Ok(());
        }
        // The next one, which the daemon starts, can have pasta started.
        if members.uplink.is_lost() {
            return Err(Error::internal("the process that starts pasta has ended"));
        }
    }
}

/// Serves one request; false when the connection is of no more use.
fn serve_one(connection: &SeqPacket, members: &mut Members) -> bool {
    let Ok(Some(frame)) = connection.recv() else {
        return false;
    };
    let reply = match serde_json::from_slice::<Request>(&frame.bytes) {
        Ok(request) => answer(request, frame.fds, members),
        Err(error) => Reply::Failed(Error::invalid(format!("not a request: {error}"))),
    };
    serde_json::to_vec(&reply).is_ok_and(|text| connection.send(&text, &[]).is_ok())
}

fn answer(request: Request, mut fds: Vec<OwnedFd>, members: &mut Members) -> Reply {
    let mut namespace = || {
        fds.pop()
            .ok_or_else(|| Error::invalid("the request came without a network namespace"))
    };
    let done = |outcome: Result<(), Error>| outcome.map(|()| Reply::Done);
    let outcome = match request {
        Request::Hello => Ok(Reply::Hello {
            version: GATEWAY_VERSION,
            pid: std::process::id() as i32,
            user_namespace: members.user_namespace,
            outbound: members.uplink.outbound(),
        }),
        Request::AddNetwork(network) => done(members.add_network(network)),
        Request::RemoveNetwork(group) => done(members.remove_network(group)),
        Request::Attach(attach) => {
            namespace().and_then(|fd| members.attach(*attach, &fd).map(Reply::Attached))
        }
        Request::Detach(sandbox) => {
            members.detach(&sandbox);
            Ok(Reply::Done)
        }
        Request::Connect { sandbox, endpoint } => {
            done(namespace().and_then(|fd| members.connect(&sandbox, endpoint, &fd)))
        }
        Request::Disconnect { sandbox, group } => {
            done(namespace().and_then(|fd| members.disconnect(&sandbox, group, &fd)))
        }
        Request::SetEgress { sandbox, egress } => done(members.set_egress(&sandbox, egress)),
        Request::Rename { sandbox, name } => done(members.rename(&sandbox, &name)),
        Request::List => Ok(Reply::Sandboxes(members.list())),
    };
    outcome.unwrap_or_else(Reply::Failed)
}

pub(crate) fn kernel(what: &str, error: &shedbox_linux::Error) -> Error {
    Error::new(Kind::Unsupported, format!("cannot {what}: {error}"))
}

fn broken(what: &str, error: &std::io::Error) -> Error {
    Error::internal(format!("cannot {what}: {error}"))
}
