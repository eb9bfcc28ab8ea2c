//! Who sends: the pid of a process that speaks on a connected unix socket. Source: unix(7), SO_PASSCRED.
//!
//! `SO_PEERCRED` names who called listen(2), which is not who serves a socket that was handed over.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::net::{self, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::errno::{Context, Result};

/// From now on the kernel notes beside each arriving message who has sent it (or no longer).
pub fn note_senders(socket: impl AsFd, on: bool) -> Result<()> {
    net::sockopt::set_socket_passcred(socket, on).call("setsockopt", || "SO_PASSCRED".into())
}

/// Waits for the next message and gives the pid of its sender in this process's pid namespace. The message stays to be
/// received. `None`: the other end has gone, or is of a pid namespace that cannot be seen from here.
pub fn of_next_message(socket: impl AsFd) -> Result<Option<i32>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(16))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::PEEK | RecvFlags::CMSG_CLOEXEC;
    loop {
        match net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            flags,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            other => {
                other.call("recvmsg", String::new)?;
                break;
            }
        }
    }
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid.as_raw_nonzero().get()),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seqpacket::SeqPacket;

    #[test]
    fn the_sender_is_named_and_the_message_stays() {
        let (a, b) = SeqPacket::pair().unwrap();
        note_senders(&a, true).unwrap();
        b.send(b"hello", &[]).unwrap();
        assert_eq!(
            of_next_message(&a).unwrap(),
            Some(std::process::id() as i32)
        );
        note_senders(&a, false).unwrap();
        assert_eq!(a.recv().unwrap().unwrap().bytes, b"hello");
        drop(b);
        assert_eq!(of_next_message(&a).unwrap(), None);
    }
}
