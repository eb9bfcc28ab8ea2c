use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A listener of host access whose connections were all going to this address.
async fn access(destination: SocketAddrV4) -> (Arc<HostAccess>, SocketAddr) {
    let host = HostNet::start().unwrap();
    let access = HostAccess::with_destination(host, move |_| Ok(destination));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&access).serve(listener));
    (access, address)
}

async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut reads, mut writes) = stream.split();
            let _ = tokio::io::copy(&mut reads, &mut writes).await;
        });
    }
}

/// It is reset: so early, perhaps, that connecting itself fails.
async fn refused(entrance: SocketAddr) {
    let attempt = async { TcpStream::connect(entrance).await?.read(&mut [0]).await };
    assert_eq!(
        attempt.await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn the_hosts_loopback_is_reached_by_either_family() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address).await else {
            assert!(address.starts_with('['), "IPv4 is always there");
            continue;
        };
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(echo(listener));
        let (_, entrance) = access(SocketAddrV4::new(HOST_ADDRESS, port)).await;
        let mut client = TcpStream::connect(entrance).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let mut back = String::new();
        client.read_to_string(&mut back).await.unwrap();
        assert_eq!(back, "hello");
    }
}

#[tokio::test]
async fn where_nobody_listens_there_is_a_reset() {
    let port = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap().port()
    };
    let (_, entrance) = access(SocketAddrV4::new(HOST_ADDRESS, port)).await;
    refused(entrance).await;
}

/// Who connects to the listener itself would choose the port of the host by its own address.
#[tokio::test]
async fn what_was_going_elsewhere_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(echo(listener));
    let (_, entrance) = access(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), port)).await;
    refused(entrance).await;
}

#[tokio::test]
async fn without_a_redirection_there_is_no_destination() {
    let access = HostAccess::new(HostNet::start().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let entrance = listener.local_addr().unwrap();
    tokio::spawn(access.serve(listener));
    refused(entrance).await;
}

#[tokio::test]
async fn the_connections_of_a_sandbox_end_with_its_permission() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(echo(listener));
    let (access, entrance) = access(SocketAddrV4::new(HOST_ADDRESS, port)).await;
    let mut client = TcpStream::connect(entrance).await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
    access.close(client.local_addr().unwrap().ip());
    let error = client.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
