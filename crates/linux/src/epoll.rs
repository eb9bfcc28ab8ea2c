//! epoll(7): one thread that waits for many descriptors.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};

use crate::errno::{Context, Result};

/// A set of descriptors, each with a token that comes back when it is readable or its other end has gone.
///
/// All methods may be called from any thread while another one waits. A descriptor that is closed everywhere leaves
/// the set by itself; one that still has copies in other processes must be removed.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// An empty set.
    pub fn new() -> Result<Self> {
        epoll::create(CreateFlags::CLOEXEC)
            .map(Self)
            .call("epoll_create1", String::new)
    }

    /// Adds a descriptor: level-triggered.
    pub fn add(&self, fd: impl AsFd, token: u64) -> Result<()> {
        epoll::add(&self.0, fd, EventData::new_u64(token), EventFlags::IN)
            .call("epoll_ctl", || format!("ADD {token}"))
    }

    /// Reports a descriptor again, or no longer, without forgetting it.
    pub fn listen_to(&self, fd: impl AsFd, token: u64, wanted: bool) -> Result<()> {
        let flags = if wanted {
            EventFlags::IN
        } else {
            EventFlags::ONESHOT
        };
        epoll::modify(&self.0, fd, EventData::new_u64(token), flags)
            .call("epoll_ctl", || format!("MOD {token}"))
    }

    /// Forgets a descriptor.
    pub fn remove(&self, fd: impl AsFd) -> Result<()> {
        epoll::delete(&self.0, fd).call("epoll_ctl", || "DEL".into())
    }

    /// Waits until at least one descriptor has something to say and returns the tokens.
    pub fn wait(&self) -> Result<Vec<u64>> {
        let mut events = [Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        }; 64];
        loop {
            match epoll::wait(&self.0, &mut events[..], None) {
                Err(rustix::io::Errno::INTR) => {}
                other => {
                    let count = other.call("epoll_wait", String::new)?;
                    return Ok(events[..count]
                        .iter()
                        .map(|event| event.data.u64())
                        .collect());
                }
            }
        }
    }
}

/// A descriptor that another thread can make readable: eventfd(2).
#[derive(Debug)]
pub struct Wakeup(OwnedFd);

impl Wakeup {
    /// Not readable yet.
    pub fn new() -> Result<Self> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(Self)
            .call("eventfd", String::new)
    }

    /// Makes it readable.
    pub fn wake(&self) {
        // EAGAIN means that the counter is full, hence readable already; nothing else can go wrong.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes it unreadable.
    pub fn clear(&self) {
        // EAGAIN means that it was not readable.
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_until_muted() {
        let set = Epoll::new().unwrap();
        let (one, two) = (Wakeup::new().unwrap(), Wakeup::new().unwrap());
        set.add(&one, 1).unwrap();
        set.add(&two, 2).unwrap();
        one.wake();
        assert_eq!(set.wait().unwrap(), [1]);
        set.listen_to(&one, 1, false).unwrap();
        two.wake();
        assert_eq!(set.wait().unwrap(), [2]);
        two.clear();
        set.listen_to(&one, 1, true).unwrap();
        assert_eq!(set.wait().unwrap(), [1]);
        set.remove(&one).unwrap();
        two.wake();
        assert_eq!(set.wait().unwrap(), [2]);
    }

    #[test]
    fn a_muted_descriptor_stays_silent_when_its_peer_closes() {
        let set = Epoll::new().unwrap();
        let (kept, gone) = crate::seqpacket::SeqPacket::pair().unwrap();
        let other = Wakeup::new().unwrap();
        set.add(&kept, 1).unwrap();
        set.add(&other, 2).unwrap();
        set.listen_to(&kept, 1, false).unwrap();
        drop(gone);
        // EPOLLHUP cannot be masked; ONESHOT limits it to one report.
        other.wake();
        let mut tokens = set.wait().unwrap();
        tokens.sort_unstable();
        assert!(tokens == [1, 2] || tokens == [2]);
        assert_eq!(set.wait().unwrap(), [2]);
    }
}
