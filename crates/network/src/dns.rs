//! The DNS of sandboxes, at the gateway's addresses: names of their networks, and the rest of the world's.
//!
//! Who asks is known by the address, which the firewall ties to an interface. Names of the world are looked up from the
//! host's network namespace, so they are found without a way out, too. Under an egress policy only allowed names are looked
//! up, and the firewall learns their addresses before the answer is sent. Source: RFC 1035.

mod answer;
mod question;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use shedbox_linux::udp;
use shedbox_spec::network::egress::Verdict;
use simple_dns::{Packet, QCLASS, QTYPE, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use self::answer::Answer;
use self::upstream::Upstream;
use crate::acceptor::Acceptor;
use crate::audit::{Audit, Event, EventKind};
use crate::directory::{Directory, Member};
use crate::host::HostNet;
use crate::policy;
use crate::quota::{Place, Quota};
use crate::wall::Wall;

/// Most queries of one sandbox at once.
const QUERIES_MAX: usize = 64;
/// Most TCP connections of one sandbox at once.
const STREAMS_MAX: usize = 16;
/// How long one may be silent.
const STREAM_SILENCE: Duration = Duration::from_secs(10);
/// Queries that one TCP connection may ask.
const STREAM_QUERIES: usize = 256;
/// Largest answer by UDP: what a client says, but no more than this (RFC 9715).
const UDP_MAX: u16 = 1232;
const UDP_PLAIN: u16 = 512;
const QUERY_MAX: usize = 4096;

/// The server.
pub struct Dns {
    directory: Arc<Directory>,
    wall: Arc<dyn Wall>,
    audit: Arc<Audit>,
    upstream: Upstream,
    queries: Arc<Quota>,
    streams: Arc<Quota>,
}

impl Dns {
    /// A server that asks the host's servers for what it does not know.
    pub fn new(
        directory: Arc<Directory>,
        host: HostNet,
        wall: Arc<dyn Wall>,
        audit: Arc<Audit>,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory,
            wall,
            audit,
            upstream: Upstream::new(host),
            queries: Quota::new(QUERIES_MAX),
            streams: Quota::new(STREAMS_MAX),
        })
    }

    /// Answers at a socket of [`udp::bind`], for ever.
    pub async fn serve_udp(self: Arc<Self>, socket: std::net::UdpSocket) {
        let socket = match UdpSocket::from_std(socket) {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                tracing::error!(%error, "names are not answered");
                return;
            }
        };
        let mut buffer = vec![0; QUERY_MAX];
        loop {
            let received = socket
                .async_io(tokio::io::Interest::READABLE, || {
                    udp::receive(&*socket, &mut buffer)
                })
                .await;
            let Ok(received) = received else {
                continue;
            };
            let query = buffer[..received.length].to_vec();
            let (dns, socket) = (Arc::clone(&self), Arc::clone(&socket));
            tokio::spawn(async move {
                if let Some(reply) = dns.answer(received.from.ip(), &query, true).await {
                    // One that does not fit the buffer is as good as lost on the way: the client asks again.
                    let _ = udp::send(&*socket, &reply, received.from, received.to);
                }
            });
        }
    }

    /// Answers at a TCP listener, for ever.
    pub async fn serve_tcp(self: Arc<Self>, listener: std::net::TcpListener) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "names are not answered by TCP");
                return;
            }
        };
        let acceptor = Acceptor::new(listener);
        while let Some(client) = acceptor.next().await {
            let dns = Arc::clone(&self);
            let Some((peer, place)) = self.stream_of(&client) else {
                continue;
            };
            tokio::spawn(async move {
                let _place = place;
                // Its end, or an error of its own: nobody is to be told.
                let _ = dns.converse(client, peer).await;
            });
        }
    }

    /// Who has connected, if it is a sandbox that does not hold too many connections already.
    fn stream_of(&self, client: &TcpStream) -> Option<(SocketAddr, Place)> {
        let peer = client.peer_addr().ok()?;
        let member = self.directory.by_address(peer.ip())?;
        Some((peer, self.streams.take(&member.sandbox)?))
    }

    async fn converse(&self, mut client: TcpStream, peer: SocketAddr) -> std::io::Result<()> {
        for _ in 0..STREAM_QUERIES {
            let length = tokio::time::timeout(STREAM_SILENCE, client.read_u16()).await??;
            let mut query = vec![0; usize::from(length).min(QUERY_MAX)];
            tokio::time::timeout(STREAM_SILENCE, client.read_exact(&mut query)).await??;
            if usize::from(length) > QUERY_MAX {
                return Ok(());
            }
            let Some(reply) = self.answer(peer.ip(), &query, false).await else {
                return Ok(());
            };
            let length = u16::try_from(reply.len()).map_err(std::io::Error::other)?;
            let mut frame = length.to_be_bytes().to_vec();
            frame.extend(reply);
            tokio::time::timeout(STREAM_SILENCE, client.write_all(&frame)).await??;
        }
        Ok(())
    }

    /// The reply to a query; none to what is no query.
    async fn answer(&self, from: IpAddr, query: &[u8], by_udp: bool) -> Option<Vec<u8>> {
        let Ok(packet) = Packet::parse(query) else {
            return answer::malformed(query);
        };
        if packet.has_flags(simple_dns::PacketFlag::RESPONSE) {
            return None;
        }
        let room = match packet.opt() {
            _ if !by_udp => u16::MAX,
            Some(opt) => opt.udp_packet_size.clamp(UDP_PLAIN, UDP_MAX),
            None => UDP_PLAIN,
        };
        let reply = Answer::to(&packet, room);
        let (Some(member), [question]) =
            (self.directory.by_address(from), packet.questions.as_slice())
        else {
            return reply.code(RCODE::Refused);
        };
        let Some(_place) = self.queries.take(&member.sandbox) else {
            return reply.code(RCODE::Refused);
        };
        let of_the_internet = matches!(
            question.qclass,
            QCLASS::CLASS(simple_dns::CLASS::IN) | QCLASS::ANY
        );
        if !of_the_internet || !question::is_plain(&packet, question.qtype) {
            return reply.code(RCODE::NotImplemented);
        }
        let name = question.qname.to_string().to_ascii_lowercase();
        match self.own(&member, &name, question.qtype) {
            Own::Addresses(addresses) => return reply.addresses(&addresses),
            Own::Name(name) => return reply.name(&name),
            Own::Unknown => return reply.code(RCODE::NameError),
            Own::No => {}
        }
        let refusal = self.refusal(&member, &name);
        if member.egress().is_some() || refusal.is_some() {
            self.audit.record(
                &member,
                Event {
                    kind: EventKind::Dns,
                    host: Some(name.clone()),
                    address: None,
                    port: None,
                    allowed: refusal.is_none(),
                    reason: refusal.map(str::to_owned),
                },
            );
        }
        if refusal.is_some() {
            return reply.code(RCODE::NameError);
        }
        let egress = member.egress();
        if egress.is_some() && answer::is_service_binding(question.qtype.into()) {
            // They carry addresses of their own, which nobody would learn of.
            return reply.addresses(&[]);
        }
        let ours = question::ours(&packet, question, query);
        let Some(found) = self.upstream.ask(&member.dns, ours, by_udp).await else {
            return reply.code(RCODE::ServerFailure);
        };
        let Ok(mut found) = Packet::parse(&found) else {
            return reply.code(RCODE::ServerFailure);
        };
        let keep = |address: IpAddr| {
            let by_address = egress
                .as_deref()
                .and_then(|egress| policy::address_verdict(egress, address));
            // Names of the world that lead into our own networks would be a way around their borders.
            !self.directory.is_ours(address)
                && by_address != Some(Verdict::Deny)
                && (egress.is_none()
                    || by_address == Some(Verdict::Allow)
                    || !policy::is_never(address))
        };
        if egress.is_some() {
            answer::hold_to(&mut found, &name);
        }
        let learned = answer::filter(&mut found, keep);
        if egress.is_some()
            && let Err(error) = self.wall.learn(&member, &name, &learned)
        {
            tracing::warn!(%error, name, "an answer is withheld");
            return reply.code(RCODE::ServerFailure);
        }
        answer::finish(&found, packet.id(), room, &packet)
    }

    /// What our own networks say of a name.
    fn own(&self, member: &Member, name: &str, kind: QTYPE) -> Own {
        if let Some(address) = answer::reverse_address(name) {
            if kind == QTYPE::TYPE(TYPE::PTR)
                && let Some((name, network)) = self.directory.reverse(member, address)
            {
                return Own::Name(format!("{name}.{network}"));
            }
            return if self.directory.is_ours(address) {
                Own::Unknown
            } else {
                Own::No
            };
        }
        let Some(addresses) = self.directory.resolve(member, name) else {
            return Own::No;
        };
        let v6 = match kind {
            QTYPE::TYPE(TYPE::A) => Some(false),
            QTYPE::TYPE(TYPE::AAAA) => Some(true),
            QTYPE::ANY => None,
            _ => return Own::Addresses(Vec::new()),
        };
        Own::Addresses(
            addresses
                .into_iter()
                .filter(|address| v6.is_none_or(|v6| address.is_ipv6() == v6))
                .collect(),
        )
    }

    /// Why a name of the world is not looked up.
    fn refusal(&self, member: &Member, name: &str) -> Option<&'static str> {
        if !self.directory.has_way_out(member) {
            return Some("its networks are internal");
        }
        let egress = member.egress()?;
        (!policy::name_allowed(&egress, name)).then_some("the name is not allowed")
    }
}

/// What our own networks say.
enum Own {
    Addresses(Vec<IpAddr>),
    Name(String),
    Unknown,
    /// Nothing: it is somebody else's.
    No,
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
