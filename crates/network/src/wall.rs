//! What DNS tells the firewall.

use std::net::IpAddr;

use crate::directory::Member;

/// Lets addresses pass that a name was resolved to.
pub trait Wall: Send + Sync {
    /// A member was given these addresses for a name that its policy allows, each with its time to live in seconds. When
    /// it returns they can be reached, as far as the rules for the name say.
    fn learn(
        &self,
        member: &Member,
        name: &str,
        addresses: &[(IpAddr, u32)],
    ) -> std::io::Result<()>;

    /// Names that a member was given an address for, and that are still good.
    fn names_of(&self, member: &Member, address: IpAddr) -> Vec<String>;
}
