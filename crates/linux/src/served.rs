//! A listener and the connections it has accepted, served by one thread: what the long-lived processes of shedbox are.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::errno::Result;
use crate::poll::{Interest, poll};
use crate::process;
use crate::seqpacket::{self, SeqPacket};

/// Clients of one process, all of the same owner.
#[derive(Debug)]
pub struct Served {
    listener: OwnedFd,
    connections: Vec<SeqPacket>,
}

impl Served {
    /// Nobody is connected yet.
    pub fn new(listener: OwnedFd) -> Self {
        Self {
            listener,
            connections: Vec::new(),
        }
    }

    /// Waits until somebody wants something, or for so long, and lets `serve` deal with each who does: false from it when
    /// a connection is of no more use. Gives whether nobody came and nobody is connected.
    pub fn wait(
        &mut self,
        timeout: Duration,
        mut serve: impl FnMut(&SeqPacket) -> bool,
    ) -> Result<bool> {
        let interests: Vec<Interest<'_>> = std::iter::once(self.listener.as_fd())
            .chain(self.connections.iter().map(AsFd::as_fd))
            .map(|fd| Interest {
                fd,
                read: true,
                write: false,
            })
            .collect();
        let seen = poll(&interests, Some(timeout))?;
        let ready: Vec<usize> = (0..seen.len()).filter(|index| seen[*index].any()).collect();
        let alone = ready.is_empty() && self.connections.is_empty();
        // From the back, so that removing one does not move those that are still to come.
        for index in ready.into_iter().rev() {
            if index == 0 {
                self.accept();
            } else if !serve(&self.connections[index - 1]) {
                self.connections.swap_remove(index - 1);
            }
        }
        Ok(alone)
    }

    fn accept(&mut self) {
        // Only the owner's processes may ask: inside our user namespace the owner is uid 0.
        if let Ok(Some(connection)) = seqpacket::accept(self.listener.as_fd())
            && connection
                .peer()
                .is_ok_and(|(uid, _, _)| uid == process::own_uid())
        {
            self.connections.push(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_come_ask_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut served = Served::new(seqpacket::listen(&path).unwrap());
        let nobody = |_: &SeqPacket| panic!("nobody has asked");
        assert!(served.wait(Duration::ZERO, nobody).unwrap(), "alone");
        let client = SeqPacket::connect(&path).unwrap();
        assert!(
            !served.wait(Duration::ZERO, nobody).unwrap(),
            "somebody comes"
        );
        assert!(
            !served.wait(Duration::ZERO, nobody).unwrap(),
            "somebody is there"
        );
        client.send(b"hello", &[]).unwrap();
        let mut heard = Vec::new();
        let mut serve = |connection: &SeqPacket| match connection.recv().unwrap() {
            Some(frame) => {
                heard.push(frame.bytes);
                true
            }
            None => false,
        };
        served.wait(Duration::ZERO, &mut serve).unwrap();
        drop(client);
        assert!(!served.wait(Duration::ZERO, &mut serve).unwrap(), "it goes");
        assert_eq!(heard, [b"hello"]);
        assert!(served.wait(Duration::ZERO, nobody).unwrap(), "alone again");
    }
}
