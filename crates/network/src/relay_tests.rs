use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Two ends and the relay between them.
async fn relayed() -> (TcpStream, TcpStream, JoinHandle<io::Result<()>>) {
    let (left, a) = pair().await;
    let (b, right) = pair().await;
    (left, right, tokio::spawn(relay(a, b)))
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future)
        .await
        .expect("it ends")
}

/// Numbers that differ at each place, so that nothing lost, doubled or moved stays unseen.
fn block(seed: u64, index: u64) -> Vec<u8> {
    let mut state = seed ^ (index << 20);
    let mut bytes = Vec::with_capacity(64 << 10);
    while bytes.len() < 64 << 10 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

async fn write_blocks(mut to: impl AsyncWriteExt + Unpin, seed: u64, count: u64) {
    for index in 0..count {
        to.write_all(&block(seed, index)).await.unwrap();
    }
    to.shutdown().await.unwrap();
}

async fn read_blocks(mut from: impl AsyncReadExt + Unpin, seed: u64, count: u64) {
    let mut bytes = vec![0; 64 << 10];
    for index in 0..count {
        from.read_exact(&mut bytes).await.unwrap();
        assert!(bytes == block(seed, index), "block {index}");
    }
    assert_eq!(from.read(&mut bytes).await.unwrap(), 0);
}

async fn both_ways(left: TcpStream, right: TcpStream, count: u64) {
    let (left_reads, left_writes) = left.into_split();
    let (right_reads, right_writes) = right.into_split();
    let tasks = [
        tokio::spawn(write_blocks(left_writes, 1, count)),
        tokio::spawn(write_blocks(right_writes, 2, count)),
        tokio::spawn(read_blocks(left_reads, 2, count)),
        tokio::spawn(read_blocks(right_reads, 1, count)),
    ];
    for task in tasks {
        within(task).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_each_way_at_once() {
    let (left, right, task) = relayed().await;
    both_ways(left, right, 1024).await;
    within(task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copying_loop_does_the_same() {
    let (left, a) = pair().await;
    let (b, right) = pair().await;
    let task = tokio::spawn(async move {
        let broken = AtomicBool::new(false);
        let (forth, back) = tokio::join!(copy(&a, &b, &broken), copy(&b, &a, &broken));
        assert!(forth.is_ok() && back.is_ok());
    });
    both_ways(left, right, 128).await;
    within(task).await.unwrap();
}

#[tokio::test]
async fn half_a_connection_goes_on() {
    let (mut left, mut right, task) = relayed().await;
    left.write_all(b"question").await.unwrap();
    left.shutdown().await.unwrap();
    let mut question = String::new();
    within(right.read_to_string(&mut question)).await.unwrap();
    assert_eq!(question, "question");
    for part in ["an ", "answer"] {
        right.write_all(part.as_bytes()).await.unwrap();
        let mut bytes = vec![0; part.len()];
        within(left.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(bytes, part.as_bytes());
    }
    drop(right);
    assert_eq!(within(left.read(&mut [0])).await.unwrap(), 0);
    within(task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset() {
    let (left, mut right, task) = relayed().await;
    tcp::abort(&left).unwrap();
    let error = within(right.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(within(task).await.unwrap().is_err());
}

#[tokio::test]
async fn a_reset_of_a_side_that_has_ended_its_direction_is_seen() {
    let (mut left, mut right, task) = relayed().await;
    left.shutdown().await.unwrap();
    assert_eq!(within(right.read(&mut [0])).await.unwrap(), 0);
    tcp::abort(&left).unwrap();
    assert!(within(task).await.unwrap().is_err());
    let error = within(right.read(&mut [0])).await;
    // What has been read to its end is at its end; writing shows the reset.
    assert!(error.is_err() || right.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn what_was_said_before_a_reset_arrives() {
    let (mut left, mut right, task) = relayed().await;
    // A server that answers, does not read what comes, and closes: the kernel resets.
    left.write_all(&vec![0; 1 << 20]).await.unwrap();
    right.write_all(b"413 too much").await.unwrap();
    let mut some = [0; 10];
    within(right.read_exact(&mut some)).await.unwrap();
    drop(right);
    let mut said = Vec::new();
    let error = within(left.read_to_end(&mut said)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(said, b"413 too much");
    assert!(within(task).await.unwrap().is_err());
}

#[tokio::test]
async fn who_does_not_read_holds_the_writer_back() {
    let (left, right, task) = relayed().await;
    let mut sent = 0;
    let chunk = vec![0; 1 << 20];
    // Buffers of two connections and a pipe are full at some point.
    while tokio::time::timeout(Duration::from_millis(500), left.writable())
        .await
        .is_ok()
    {
        if let Ok(count) = left.try_write(&chunk) {
            sent += count;
        }
        assert!(sent < 256 << 20, "nothing holds the writer back");
    }
    drop(left);
    tcp::abort(&right).unwrap();
    assert!(within(task).await.unwrap().is_err());
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_connections_leave_no_descriptor() {
    let before = descriptors() - 2 * pipes::kept();
    let mut all = Vec::new();
    for _ in 0..25 {
        for number in 0..20u8 {
            let (mut left, mut right, task) = relayed().await;
            left.write_all(&[number]).await.unwrap();
            assert_eq!(within(right.read_u8()).await.unwrap(), number);
            all.push((left, right, task));
        }
        for (number, (left, right, task)) in all.drain(..).enumerate() {
            match number % 3 {
                0 => tcp::abort(&left).unwrap(),
                1 => tcp::abort(&right).unwrap(),
                _ => {}
            }
            drop((left, right));
            let _ = within(task).await.unwrap();
        }
    }
    assert_eq!(descriptors() - 2 * pipes::kept(), before);
}
