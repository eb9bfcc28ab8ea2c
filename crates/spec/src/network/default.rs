//! The network of a sandbox for which none was named: `[network] default` of the configuration.

use serde::{Deserialize, Serialize};

use super::{BRIDGE, Network, name};
use crate::{Error, Result};

/// As a network, it stands for the default one.
const DEFAULT: &str = "default";

/// What `[network] default` says: `none`, `host`, or the name of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DefaultNetwork(Network);

impl DefaultNetwork {
    /// Parses the setting. What belongs to one sandbox alone (another one's network, an address, aliases) is refused.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self(Network::None)),
            "host" => Ok(Self(Network::Host)),
            DEFAULT => Err(Error::invalid("the default network cannot be `default`")),
            other => {
                name::validate(other)?;
                Ok(Self(Network::Bridge(vec![super::Attachment::to(other)])))
            }
        }
    }

    /// The mode, for a sandbox that has no need of a network of its own; else the name of the network.
    pub fn mode(&self, needs_network: bool) -> String {
        match &self.0 {
            Network::Bridge(_) => self.0.to_string(),
            _ if needs_network => BRIDGE.to_owned(),
            only => only.to_string(),
        }
    }
}

impl TryFrom<String> for DefaultNetwork {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|error| {
            format!("{error}; `default` is `none`, `host`, `bridge` or the name of a network")
        })
    }
}

impl From<DefaultNetwork> for String {
    fn from(network: DefaultNetwork) -> Self {
        network.0.to_string()
    }
}

impl Network {
    /// Puts the setting in the place of what names no network. Without one it is `none`, or `bridge` for a sandbox that
    /// needs a network (a published port, an egress policy, …).
    pub fn settle(&mut self, setting: Option<&DefaultNetwork>, needs_network: bool) {
        let named = |needed: bool| match (setting, needed) {
            (Some(setting), _) => setting.mode(needed),
            (None, true) => BRIDGE.to_owned(),
            (None, false) => "none".to_owned(),
        };
        match self {
            Self::Default => {
                *self = match named(needs_network).as_str() {
                    "none" => Self::None,
                    "host" => Self::Host,
                    network => Self::Bridge(vec![super::Attachment::to(network)]),
                };
            }
            Self::Bridge(attachments) => {
                for attachment in attachments {
                    if attachment.network == DEFAULT {
                        attachment.network = named(true);
                    }
                }
            }
            Self::None | Self::Host | Self::Container(_) => {}
        }
    }

    /// Membership in the default network, whichever that is.
    pub fn on_default() -> Self {
        Self::Bridge(vec![super::Attachment::to(DEFAULT)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Attachment;

    #[test]
    fn words_of_the_setting() {
        for word in ["none", "host", "bridge", "shop"] {
            let setting = DefaultNetwork::parse(word).unwrap();
            assert_eq!(String::from(setting), word);
        }
        for bad in ["", "default", "container:web", "name=a,ip=10.0.0.1", "a b"] {
            let error = DefaultNetwork::try_from(bad.to_owned()).unwrap_err();
            assert!(error.contains("`none`, `host`, `bridge`"), "{bad}: {error}");
        }
    }

    #[test]
    fn what_names_no_network_gets_the_setting() {
        let shop = || Network::Bridge(vec![Attachment::to("shop")]);
        // The setting, and what comes of a sandbox without a need and of one with it.
        for (setting, without, with) in [
            (None, Network::None, Network::bridge()),
            (Some("none"), Network::None, Network::bridge()),
            (Some("host"), Network::Host, Network::bridge()),
            (Some("bridge"), Network::bridge(), Network::bridge()),
            (Some("shop"), shop(), shop()),
        ] {
            let parsed = setting.map(|word| DefaultNetwork::parse(word).unwrap());
            let settled = |mut network: Network, needs| {
                network.settle(parsed.as_ref(), needs);
                network
            };
            assert_eq!(settled(Network::Default, false), without, "{setting:?}");
            assert_eq!(settled(Network::Default, true), with, "{setting:?}");
            assert_eq!(settled(Network::on_default(), false), with, "{setting:?}");
            for named in [Network::None, Network::Host, Network::bridge()] {
                assert_eq!(settled(named.clone(), false), named);
            }
        }
    }

    #[test]
    fn only_the_word_is_replaced() {
        let mut network = Network::Bridge(vec![
            Attachment {
                aliases: vec!["db".to_owned()],
                ..Attachment::to("default")
            },
            Attachment::to("other"),
        ]);
        network.settle(Some(&DefaultNetwork::parse("shop").unwrap()), false);
        assert_eq!(
            network,
            Network::Bridge(vec![
                Attachment {
                    aliases: vec!["db".to_owned()],
                    ..Attachment::to("shop")
                },
                Attachment::to("other"),
            ])
        );
    }
}
