//! The gateway: one process per user and root in whose network namespace the networks of all sandboxes meet.
//!
//! It owns the namespace, the interfaces and the rules in it, answers names, publishes ports and carries out egress
//! policies. The daemon tells it over a socket what is to be ([`shedbox_spec::gateway`]) and may come and go.
//!
//! Threads: one stays in the host's network namespace and makes sockets there ([`host`]); all others are in the
//! gateway's. All of them are held to what they need ([`confine`]); pasta is started by a process beside it
//! ([`starter`]).

mod acceptor;
pub mod audit;
mod confine;
mod connections;
pub mod directory;
pub mod dns;
pub mod firewall;
pub mod gateway;
pub mod host;
pub mod host_access;
mod inspect;
mod links;
mod members;
mod packets;
pub mod policy;
pub mod ports;
pub mod proxy;
mod quota;
pub mod relay;
pub mod starter;
#[cfg(test)]
mod testing;
mod uplink;
pub mod wall;
