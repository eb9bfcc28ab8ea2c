//! Servers of the world, asked from the host's network namespace.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::Semaphore;

use crate::host::HostNet;

const PORT: u16 = 53;
/// How long one server may take; then comes the next one.
const WAIT: Duration = Duration::from_secs(2);
/// Rounds over all servers.
const ROUNDS: usize = 2;
/// Most servers that are asked. Source: resolv.conf(5), MAXNS.
const SERVERS_MAX: usize = 3;
/// Queries of all sandboxes at once.
const QUERIES_MAX: usize = 1024;
const REPLY_MAX: usize = 64 << 10;

pub(super) struct Upstream {
    host: HostNet,
    file: PathBuf,
    known: Mutex<Option<(SystemTime, Vec<IpAddr>)>>,
    room: Semaphore,
    port: u16,
    keys: RandomState,
    queries: AtomicU64,
}

impl Upstream {
    pub(super) fn new(host: HostNet) -> Self {
        Self::at(host, Path::new("/etc/resolv.conf"), PORT)
    }

    pub(super) fn at(host: HostNet, file: &Path, port: u16) -> Self {
        Self {
            host,
            file: file.to_owned(),
            known: Mutex::default(),
            room: Semaphore::new(QUERIES_MAX),
            port,
            keys: RandomState::new(),
            queries: AtomicU64::new(0),
        }
    }

    /// Asks these servers, else the host's; the first reply counts, unless it says that the server cannot help and another
    /// one can. The id of the query is set here.
    pub(super) async fn ask(
        &self,
        servers: &[IpAddr],
        mut query: Vec<u8>,
        by_udp: bool,
    ) -> Option<Vec<u8>> {
        let _room = self.room.try_acquire().ok()?;
        let servers = if servers.is_empty() {
            self.hosts()
        } else {
            servers.to_vec()
        };
        for _ in 0..ROUNDS {
            let mut unable = None;
            for server in servers.iter().take(SERVERS_MAX) {
                let server = SocketAddr::new(*server, self.port);
                query.get_mut(..2)?.copy_from_slice(&self.next_id());
                let attempt = async {
                    if by_udp {
                        let reply = self.by_udp(server, &query).await?;
                        // TC, truncated: the whole of it comes by TCP.
                        if reply.get(2).is_none_or(|flags| flags & 2 == 0) {
                            return Ok(reply);
                        }
                    }
                    self.by_tcp(server, &query).await
                };
                match tokio::time::timeout(WAIT, attempt).await {
                    Ok(Ok(reply)) if !is_answer(&query, &reply) => {
                        tracing::debug!(%server, "answers something else");
                    }
                    Ok(Ok(reply)) if is_unable(&reply) => {
                        unable.get_or_insert(reply);
                    }
                    Ok(Ok(reply)) => return Some(reply),
                    Ok(Err(error)) => tracing::debug!(%server, %error, "does not answer"),
                    Err(_) => tracing::debug!(%server, "does not answer in time"),
                }
            }
            if unable.is_some() {
                return unable;
            }
        }
        None
    }

    /// An id that nobody can foretell: a sandbox that knew it could have somebody forge the reply to its own query, and so
    /// lead an allowed name anywhere.
    fn next_id(&self) -> [u8; 2] {
        // A keyed hash with random keys is as good as a generator here.
        let number = self.queries.fetch_add(1, Ordering::Relaxed);
        let [first, second, ..] = self.keys.hash_one(number).to_ne_bytes();
        [first, second]
    }

    async fn by_udp(&self, server: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
        let any: SocketAddr = if server.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        // A socket and so a port of its own, and connected: what others send does not come in.
        let socket = self.host.run(move || {
            let socket = std::net::UdpSocket::bind(any)?;
            socket.set_nonblocking(true)?;
            socket.connect(server)?;
            Ok(socket)
        })?;
        let socket = UdpSocket::from_std(socket)?;
        socket.send(query).await?;
        let mut reply = vec![0; REPLY_MAX];
        loop {
            let length = socket.recv(&mut reply).await?;
            // A forged one does not end the wait for the true one.
            if is_answer(query, &reply[..length]) {
                reply.truncate(length);
                return Ok(reply);
            }
        }
    }

    async fn by_tcp(&self, server: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
        let socket = self
            .host
            .run(move || Ok(shedbox_linux::tcp::socket(server).map_err(|error| error.errno)?))?;
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
        let mut stream = socket.connect(server).await?;
        let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend_from_slice(query);
        stream.write_all(&frame).await?;
        let length = stream.read_u16().await?;
        let mut reply = vec![0; usize::from(length)];
        stream.read_exact(&mut reply).await?;
        Ok(reply)
    }

    /// The host's servers; the file is read again when it has changed.
    fn hosts(&self) -> Vec<IpAddr> {
        let changed = std::fs::metadata(&self.file)
            .and_then(|file| file.modified())
            .ok();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, changed) {
            (Some((when, servers)), Some(changed)) if *when == changed => servers.clone(),
            (_, None) => Vec::new(),
            (_, Some(changed)) => {
                let text = std::fs::read_to_string(&self.file).unwrap_or_default();
                let servers = parse(&text);
                *known = Some((changed, servers.clone()));
                servers
            }
        }
    }
}

/// SERVFAIL, NOTIMP and REFUSED: another server may know. Source: RFC 1035, section 4.1.1.
fn is_unable(reply: &[u8]) -> bool {
    reply
        .get(3)
        .is_some_and(|flags| matches!(flags & 15, 2 | 4 | 5))
}

/// The same id and question: otherwise somebody has guessed the id.
fn is_answer(query: &[u8], reply: &[u8]) -> bool {
    let (Ok(query), Ok(reply)) = (
        simple_dns::Packet::parse(query),
        simple_dns::Packet::parse(reply),
    ) else {
        return false;
    };
    let same = |a: &simple_dns::Question<'_>, b: &simple_dns::Question<'_>| {
        a.qtype == b.qtype
            && a.qname
                .to_string()
                .eq_ignore_ascii_case(&b.qname.to_string())
    };
    query.id() == reply.id()
        && reply.has_flags(simple_dns::PacketFlag::RESPONSE)
        && query.questions.len() == reply.questions.len()
        && query
            .questions
            .iter()
            .zip(&reply.questions)
            .all(|(a, b)| same(a, b))
}

/// The `nameserver` lines. Source: resolv.conf(5).
fn parse(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words
                .next()
                .filter(|word| *word == "nameserver")
                .and(words.next())?;
            // A zone says which interface a link-local server is behind; without it there is no such server.
            address.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_the_host() {
        let text = "# x\nnameserver 10.0.0.53\nnameserver\nsearch a\nnameserver fd00::53 extra\nnameserver x\n";
        let expected: Vec<IpAddr> = vec!["10.0.0.53".parse().unwrap(), "fd00::53".parse().unwrap()];
        assert_eq!(parse(text), expected);
    }
}
