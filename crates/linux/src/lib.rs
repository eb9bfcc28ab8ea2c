//! Typed wrappers over kernel calls: the only unsafe code of shedbox. Knows nothing of sandboxes.
//!
//! Each module is one kernel feature. `unsafe` is denied for the crate and allowed module by module, where a call has
//! no safe wrapper in nix or rustix.

pub mod activation;
pub mod bpf;
pub mod cgroupns;
pub mod clone;
pub mod contact;
pub mod content;
pub mod disk;
pub mod epoll;
pub mod errno;
pub mod fd;
pub mod inotify;
pub mod inroot;
pub mod meta;
pub mod mount;
pub mod net;
pub mod netlink;
pub mod nft;
pub mod orphans;
pub mod path;
pub mod pidfd;
pub mod poll;
pub mod probe;
pub mod process;
pub mod pty;
pub mod refusal;
pub mod rtnetlink;
pub mod seccomp;
pub mod sender;
pub mod seqpacket;
pub mod served;
pub mod signals;
pub mod spawn;
pub mod splice;
pub mod stream;
pub mod tcp;
pub mod terminal;
pub mod tree;
pub mod udp;
pub mod userns;
pub mod xattr;

pub use errno::{Error, Result};
