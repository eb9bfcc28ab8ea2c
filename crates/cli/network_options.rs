//! Options about networks.

use anyhow::Result;
use shedbox_spec::Error;
use shedbox_spec::hosts;
use shedbox_spec::network::egress::{Egress, EgressRule, Verdict};
use shedbox_spec::network::port::{self, PortSpec};
use shedbox_spec::network::{DnsOptions, Network, name, parse_ip, parse_ip6};

/// Options of `run` and `create`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct NetworkOptions {
    /// Network of the sandbox: `none`, `host`, `bridge`, `container:NAME` or the name of a network; several of these with
    /// the option once for each. Without it what the configuration says (`[network] default`), else `none`, or `bridge`
    /// when an option asks for a network
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Publish a port at the host, or a range of them
    #[arg(short, long, value_name = "[ADDRESS:][HOST:]PORT[/udp]")]
    publish: Vec<String>,
    /// Publish every port that the image exposes, at ports that are free
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// Expose a port, for `--publish-all`
    #[arg(long, value_name = "PORT[-PORT][/udp]")]
    expose: Vec<String>,
    /// IPv4 address on the network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// IPv6 address on the network
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,
    /// Further name on the network
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// Server for names outside of our networks, instead of the host's
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Domain that short names are looked up in
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Option of the resolver, for example `ndots:1`
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    #[command(flatten)]
    pub(crate) egress: EgressOptions,
}

/// An egress policy: options of `run`, `create`, `update` and `egress set`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct EgressOptions {
    /// What happens to what no rule speaks of: `allow` or `deny`. `deny` when something is allowed expressly
    #[arg(long, value_name = "VERDICT")]
    egress: Option<String>,
    /// Let this pass: a name, `*.name`, an address, a subnet or `*`, and perhaps `:PORT` or `:PORT-PORT`
    #[arg(long, value_name = "RULE")]
    egress_allow: Vec<String>,
    /// Let this not pass, whatever is allowed
    #[arg(long, value_name = "RULE")]
    egress_deny: Vec<String>,
}

impl EgressOptions {
    /// The policy, if one was asked for.
    pub(crate) fn policy(&self) -> Result<Option<Egress>> {
        if self.egress.is_none() && self.egress_allow.is_empty() && self.egress_deny.is_empty() {
            return Ok(None);
        }
        let rules = |texts: &[String]| {
            texts
                .iter()
                .map(|text| EgressRule::parse(text))
                .collect::<Result<Vec<_>, _>>()
        };
        let default = match &self.egress {
            Some(word) => Verdict::parse(word)?,
            None if self.egress_allow.is_empty() => Verdict::Allow,
            None => Verdict::Deny,
        };
        Ok(Some(Egress {
            default,
            allow: rules(&self.egress_allow)?,
            deny: rules(&self.egress_deny)?,
        }))
    }

    fn any(&self) -> bool {
        self.egress.is_some() || !self.egress_allow.is_empty() || !self.egress_deny.is_empty()
    }
}

impl NetworkOptions {
    /// The mode with what belongs to its networks.
    pub(crate) fn mode(&self, add_host: &[String]) -> Result<Network> {
        let host = hosts::name_gateway(add_host);
        let asks = [
            (!self.publish.is_empty(), "--publish"),
            (self.publish_all, "--publish-all"),
            (self.ip.is_some(), "--ip"),
            (self.ip6.is_some(), "--ip6"),
            (!self.network_alias.is_empty(), "--network-alias"),
            (!self.dns.is_empty(), "--dns"),
            (!self.dns_search.is_empty(), "--dns-search"),
            (!self.dns_option.is_empty(), "--dns-option"),
            (self.egress.any(), "--egress"),
            (host, "--add-host NAME:host-gateway"),
        ];
        let asked = asks
            .iter()
            .find(|(asked, _)| *asked)
            .map(|(_, option)| *option);
        let mut network = match (self.network.as_slice(), asked) {
            ([], Some(_)) => Network::on_default(),
            (values, _) => Network::parse_all(values)?,
        };
        match (&mut network, asked) {
            (Network::Bridge(attachments), _) => {
                let own = self.ip.is_some() || self.ip6.is_some() || !self.network_alias.is_empty();
                if own && attachments.len() > 1 {
                    return Err(Error::invalid(
                        "`--ip`, `--ip6` and `--network-alias` do not say which of the networks they mean",
                    )
                    .with_hint("write `--network name=NETWORK,ip=ADDRESS,alias=NAME`")
                    .into());
                }
                for attachment in attachments.iter_mut().take(usize::from(own)) {
                    if let Some(ip) = &self.ip {
                        attachment.ip = Some(parse_ip(ip)?);
                    }
                    if let Some(ip) = &self.ip6 {
                        attachment.ip6 = Some(parse_ip6(ip)?);
                    }
                    for alias in &self.network_alias {
                        attachment.aliases.push(name::alias(alias)?);
                    }
                }
            }
            (_, None) => {}
            (mode, Some(option)) => {
                return Err(Error::invalid(format!(
                    "`{option}` does not go with network mode `{mode}`"
                ))
                .with_hint("use `--network bridge` or the name of a network")
                .into());
            }
        }
        Ok(network)
    }

    /// Published ports.
    pub(crate) fn ports(&self) -> Result<Vec<PortSpec>> {
        let mut ports = Vec::new();
        for text in &self.publish {
            ports.extend(port::parse(text)?);
        }
        for text in &self.expose {
            for (container, protocol) in port::parse_exposed(text)? {
                if self.publish_all {
                    ports.push(PortSpec::anywhere(container, protocol));
                }
            }
        }
        Ok(ports)
    }

    /// How names are looked up.
    pub(crate) fn dns(&self) -> Result<DnsOptions> {
        let servers = self
            .dns
            .iter()
            .map(|text| {
                text.parse().map_err(|_| {
                    Error::invalid(format!(
                        "DNS server `{}` is no address",
                        text.escape_debug()
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
        for word in self.dns_search.iter().chain(&self.dns_option) {
            if word.is_empty() || word.contains(char::is_whitespace) {
                return Err(Error::invalid(format!(
                    "`{}` cannot stand in /etc/resolv.conf",
                    word.escape_debug()
                ))
                .into());
            }
        }
        Ok(DnsOptions {
            servers,
            search: self.dns_search.clone(),
            options: self.dns_option.clone(),
        })
    }
}
