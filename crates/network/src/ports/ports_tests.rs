use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

const SANDBOX: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";
/// RLIMIT_NOFILE.
const NOFILE: u32 = 7;
const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbb";
/// The "sandbox": another address of the loopback interface.
const TARGET: TargetAddresses = TargetAddresses {
    v4: Ipv4Addr::new(127, 0, 0, 77),
    v6: None,
};

fn ports() -> Ports {
    Ports::new(HostNet::start().unwrap(), Handle::current())
}

fn spec(text: &str) -> Vec<PortSpec> {
    shedbox_spec::network::port::parse(text).unwrap()
}

fn specs(texts: &[String]) -> Vec<PortSpec> {
    texts.iter().flat_map(|text| spec(text)).collect()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("it ends")
}

/// A server inside that sends back what comes; its port.
async fn tcp_echo() -> u16 {
    let listener = TcpListener::bind((TARGET.v4, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            });
        }
    });
    port
}

/// A server inside that answers each datagram with the number of the client's port and what came.
async fn udp_echo() -> u16 {
    let socket = UdpSocket::bind((TARGET.v4, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..count], from).await;
        }
    });
    port
}

async fn echoes(address: SocketAddr) {
    let mut client = within(TcpStream::connect(address)).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut back = String::new();
    within(client.read_to_string(&mut back)).await.unwrap();
    assert_eq!(back, "hello", "{address}");
}

fn v6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_random_port_is_the_same_for_both_families_and_comes_back() {
    let ports = ports();
    let inside = tcp_echo().await;
    let wanted = spec(&inside.to_string());
    let first = ports.publish(SANDBOX, TARGET, &wanted, &[]).unwrap();
    let port = first[0].host_port;
    assert!(
        first
            .iter()
            .all(|own| own.host_port == port && own.container == inside)
    );
    assert_eq!(first.len(), 1 + usize::from(v6()));
    echoes(SocketAddr::new([127, 0, 0, 1].into(), port)).await;
    if v6() {
        echoes(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port)).await;
    }
    assert_eq!(ports.of(SANDBOX), first);
    ports.withdraw(SANDBOX);
    assert_eq!(
        ports.publish(SANDBOX, TARGET, &wanted, &first).unwrap(),
        first
    );
    echoes(SocketAddr::new([127, 0, 0, 1].into(), port)).await;
    // Taken by somebody else meanwhile: another one, not an error.
    ports.withdraw(SANDBOX);
    let taken = ports
        .publish(OTHER, TARGET, &spec(&format!("{port}:1")), &[])
        .unwrap();
    assert_eq!(taken[0].host_port, port);
    let moved = ports.publish(SANDBOX, TARGET, &wanted, &first).unwrap();
    assert_ne!(moved[0].host_port, port);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_or_nothing_and_who_has_it() {
    let ports = ports();
    let free = ports
        .publish(OTHER, TARGET, &spec("127.0.0.1::80"), &[])
        .unwrap()[0]
        .host_port;
    ports.withdraw(OTHER);
    let theirs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = theirs.local_addr().unwrap().port();
    let wanted = specs(&[
        format!("127.0.0.1:{free}:80"),
        format!("127.0.0.1:{taken}:81"),
    ]);
    let error = ports.publish(SANDBOX, TARGET, &wanted, &[]).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    assert_eq!(
        error.message,
        format!("port 127.0.0.1:{taken}/tcp is in use")
    );
    assert!(error.hint.is_some());
    assert_eq!(ports.of(SANDBOX), []);
    // The first one is free again.
    drop(std::net::TcpListener::bind(("127.0.0.1", free)).unwrap());

    ports
        .publish(OTHER, TARGET, &spec(&format!("{free}:80")), &[])
        .unwrap();
    let error = ports
        .publish(SANDBOX, TARGET, &spec(&format!("127.0.0.1:{free}:80")), &[])
        .unwrap_err();
    assert_eq!(
        (error.kind, error.message),
        (
            Kind::Conflict,
            format!("port 127.0.0.1:{free}/tcp is in use by sandbox bbbbbbbbbbbb")
        )
    );
    ports.withdraw(OTHER);
    let twice = specs(&[
        format!("127.0.0.1:{free}:80"),
        format!("127.0.0.1:{free}:81"),
    ]);
    let error = ports.publish(SANDBOX, TARGET, &twice, &[]).unwrap_err();
    assert_eq!(
        error.message,
        format!("port 127.0.0.1:{free}/tcp is published twice")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn udp_ports_are_not_shared() {
    let ports = ports();
    let first = ports
        .publish(SANDBOX, TARGET, &spec("127.0.0.1::53/udp"), &[])
        .unwrap();
    let port = first[0].host_port;
    for wanted in [format!("{port}:53/udp"), format!("127.0.0.1:{port}:53/udp")] {
        let error = ports
            .publish(OTHER, TARGET, &spec(&wanted), &[])
            .unwrap_err();
        assert!(
            error
                .message
                .ends_with(&format!(":{port}/udp is in use by sandbox aaaaaaaaaaaa")),
            "{}",
            error.message
        );
    }
    // TCP is something else; other tests may have that port, so several are tried.
    let both = (0..32).any(|_| {
        let udp = ports
            .publish(SANDBOX, TARGET, &spec("127.0.0.1::53/udp"), &[])
            .unwrap();
        let tcp = spec(&format!("127.0.0.1:{}:53", udp[0].host_port));
        ports.publish(OTHER, TARGET, &tcp, &[]).is_ok()
    });
    assert!(both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_gives_its_first_free_port() {
    let ports = ports();
    // Two neighbours that are free, of which the first is then taken.
    let (theirs, first) = (0..100)
        .find_map(|_| {
            let theirs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = theirs.local_addr().unwrap().port();
            std::net::TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
            Some((theirs, port))
        })
        .unwrap();
    let range = format!("127.0.0.1:{first}-{}:80", first + 1);
    let had = ports.publish(SANDBOX, TARGET, &spec(&range), &[]).unwrap();
    assert_eq!(had[0].host_port, first + 1);
    let error = ports
        .publish(OTHER, TARGET, &spec(&range), &[])
        .unwrap_err();
    assert_eq!(
        error.message,
        format!(
            "none of the ports 127.0.0.1:{first}-{}/tcp is free",
            first + 1
        )
    );
    ports.withdraw(SANDBOX);
    drop(theirs);
    // What was had before goes first.
    let again = ports.publish(SANDBOX, TARGET, &spec(&range), &had).unwrap();
    assert_eq!(again, had);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_the_host_does_not_have() {
    let error = ports()
        .publish(SANDBOX, TARGET, &spec("192.0.2.9:8080:80"), &[])
        .unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::Invalid, "this host has no address 192.0.2.9")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_inside_is_a_reset_outside() {
    let ports = ports();
    let unused = {
        let gone = TcpListener::bind((TARGET.v4, 0)).await.unwrap();
        gone.local_addr().unwrap().port()
    };
    let had = ports
        .publish(SANDBOX, TARGET, &spec(&format!("127.0.0.1::{unused}")), &[])
        .unwrap();
    // It may come so early that connecting itself fails.
    let error = within(async {
        TcpStream::connect(("127.0.0.1", had[0].host_port))
            .await?
            .read(&mut [0])
            .await
    });
    assert_eq!(error.await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withdrawing_frees_ports_and_ends_connections_at_once() {
    let ports = ports();
    let (tcp, udp) = (tcp_echo().await, udp_echo().await);
    let wanted = specs(&[format!("127.0.0.1::{tcp}"), format!("127.0.0.1::{udp}/udp")]);
    for _ in 0..50 {
        let had = ports.publish(SANDBOX, TARGET, &wanted, &[]).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", had[0].host_port))
            .await
            .unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(within(client.read_u8()).await.unwrap(), b'x');
        ports.withdraw(SANDBOX);
        std::net::UdpSocket::bind(("127.0.0.1", had[1].host_port)).unwrap();
        let refused = std::net::TcpStream::connect(("127.0.0.1", had[0].host_port));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let error = within(client.read(&mut [0])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_a_limit_to_connections() {
    let connections = Connections::new(2);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut clients = Vec::new();
    let mut entries = Vec::new();
    for _ in 0..3 {
        clients.push(
            TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap(),
        );
        entries.push(connections.enter(listener.accept().await.unwrap().0));
    }
    assert!(entries[0].is_some() && entries[1].is_some() && entries[2].is_none());
    let error = within(clients[2].read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    entries.clear();
    assert_eq!(connections.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_find_their_way_back_to_the_address_that_was_asked() {
    let ports = ports();
    let inside = udp_echo().await;
    let had = ports
        .publish(SANDBOX, TARGET, &spec(&format!("{inside}/udp")), &[])
        .unwrap();
    let port = had[0].host_port;
    let mut asked = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 5])];
    if v6() {
        asked.push(Ipv6Addr::LOCALHOST.into());
    }
    for address in asked {
        let any = if address.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        // Several clients, who get their own answers.
        let mut clients = Vec::new();
        for number in 0..20u8 {
            let client = UdpSocket::bind(any).await.unwrap();
            client
                .send_to(&[number; 900], (address, port))
                .await
                .unwrap();
            clients.push(client);
        }
        for (number, client) in clients.iter().enumerate() {
            let mut buffer = [0; 2000];
            let (count, from) = within(client.recv_from(&mut buffer)).await.unwrap();
            assert_eq!(from, SocketAddr::new(address, port));
            assert_eq!(buffer[..count], [number as u8; 900]);
        }
        let largest = vec![7; 65_000];
        clients[0].send_to(&largest, (address, port)).await.unwrap();
        let mut buffer = vec![0; 65_535];
        let (count, _) = within(clients[0].recv_from(&mut buffer)).await.unwrap();
        assert!(buffer[..count] == largest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_client_makes_room() {
    let ports = ports();
    let inside = udp_echo().await;
    let had = ports
        .publish(
            SANDBOX,
            TARGET,
            &spec(&format!("127.0.0.1::{inside}/udp")),
            &[],
        )
        .unwrap();
    let to = ("127.0.0.1", had[0].host_port);
    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut buffer = [0; 8];
    for number in 0..1100u32 {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(&number.to_be_bytes(), to).await.unwrap();
        within(client.recv_from(&mut buffer)).await.unwrap();
        assert_eq!(buffer[..4], number.to_be_bytes());
    }
    let after = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(after - before <= 1024 + 8, "{before} {after}");
    ports.withdraw(SANDBOX);
    within(async {
        while std::fs::read_dir("/proc/self/fd").unwrap().count() >= before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64
}

/// Processor time of this process in clock ticks: user and system of proc_pid_stat(5).
fn ticks(stat: &std::fs::File) -> u64 {
    let mut text = [0; 1024];
    let length = stat.read_at(&mut text, 0).unwrap();
    let text = String::from_utf8_lossy(&text[..length]);
    let fields = text.rsplit_once(')').unwrap().1.split_whitespace();
    fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_connections_wait_and_nothing_spins() {
    let ports = ports();
    let inside = tcp_echo().await;
    let published = ports
        .publish(SANDBOX, TARGET, &spec(&format!("127.0.0.1::{inside}")), &[])
        .unwrap();
    let at = SocketAddr::from(([127, 0, 0, 1], published[0].host_port));
    echoes(at).await;
    let (soft, hard) = shedbox_linux::process::limit_of(0, NOFILE).unwrap();
    let stat = std::fs::File::open("/proc/self/stat").unwrap();
    // Numbers are given from below: those that are free below the highest one go first.
    let mut fill = Vec::new();
    let most = descriptors() + 16;
    shedbox_linux::process::set_limit(NOFILE, most, hard).unwrap();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        fill.push(file);
    }
    fill.pop();
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let (before, began) = (ticks(&stat), std::time::Instant::now());
    let waited = tokio::time::timeout(Duration::from_secs(1), client.read_u8()).await;
    assert!(waited.is_err(), "{waited:?}");
    let spent = ticks(&stat) - before;
    assert!(spent < 30, "{spent} ticks in {:?}", began.elapsed());
    drop(fill);
    shedbox_linux::process::set_limit(NOFILE, soft, hard).unwrap();
    assert_eq!(within(client.read_u8()).await.unwrap(), b'x');
}
