//! Where a registry answers: the registry itself and its mirrors, as configured.

use std::net::IpAddr;

use shedbox_spec::config::Config;

use crate::error::{Error, Result};

/// The name under which references speak of Docker Hub, and the host that answers for it.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// One host that may have the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port.
    pub host: String,
    /// What credential files and the configuration call it.
    pub name: String,
    /// Comes before the repository's name, with a slash at its end; empty for most.
    pub prefix: String,
    /// How to talk to it.
    pub transport: Transport,
    /// It is a mirror: failing here is not the end.
    pub mirror: bool,
}

/// What decides which HTTP client serves an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Transport {
    /// No TLS.
    pub plain_http: bool,
    /// TLS without checking the certificate.
    pub insecure: bool,
    /// PEM file with an additional root certificate.
    pub ca_file: Option<String>,
    /// Loopback: proxies of the environment do not apply.
    pub local: bool,
}

impl Endpoint {
    /// `scheme://host/v2/`
    pub(crate) fn base(&self) -> String {
        let scheme = if self.transport.plain_http {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{}/v2/", self.host)
    }

    /// The repository as this endpoint calls it.
    pub(crate) fn repository(&self, repository: &str) -> String {
        format!("{}{repository}", self.prefix)
    }
}

/// Mirrors of `registry` in their order, then the registry itself.
pub(crate) fn endpoints(config: &Config, registry: &str) -> Result<Vec<Endpoint>> {
    let mirrors = config
        .registries
        .get(registry)
        .map_or(&[][..], |registry| registry.mirrors.as_slice());
    let mut found = Vec::with_capacity(mirrors.len() + 1);
    for mirror in mirrors {
        found.push(
            endpoint(config, mirror, true).map_err(|reason| Error::Configuration {
                registry: registry.to_owned(),
                reason: format!("mirror `{mirror}` {reason}"),
            })?,
        );
    }
    found.push(
        endpoint(config, registry, false).map_err(|reason| Error::Configuration {
            registry: registry.to_owned(),
            reason: format!("it {reason}"),
        })?,
    );
    Ok(found)
}

/// From `[http[s]://]host[:port][/prefix]`.
fn endpoint(config: &Config, location: &str, mirror: bool) -> Result<Endpoint, &'static str> {
    let (scheme, bare) = match location.split_once("://") {
        Some(("http", bare)) => (Some(true), bare),
        Some(("https", bare)) => (Some(false), bare),
        Some(_) => return Err("has a scheme that is neither http nor https"),
        None => (None, location),
    };
    let bare = bare.trim_end_matches('/');
    let (host, prefix) = bare.split_once('/').unwrap_or((bare, ""));
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "@?#%\\".contains(c)) {
        return Err("is not `host[:port]`");
    }
    let settings = config.registries.get(host).cloned().unwrap_or_default();
    let local = is_loopback(host);
    let plain_http = settings.plain_http.or(scheme).unwrap_or(local);
    Ok(Endpoint {
        host: if host == DOCKER_HUB.0 || host == "index.docker.io" {
            DOCKER_HUB.1.to_owned()
        } else {
            host.to_owned()
        },
        name: host.to_owned(),
        prefix: if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        },
        transport: Transport {
            plain_http,
            insecure: settings.insecure,
            ca_file: settings.ca_file,
            local,
        },
        mirror,
    })
}

/// `localhost`, 127.0.0.0/8 and ::1, with or without a port: Docker's rule for plain HTTP.
fn is_loopback(host: &str) -> bool {
    let name = if let Some(rest) = host.strip_prefix('[') {
        rest.split(']').next().unwrap_or(rest)
    } else {
        host.split(':').next().unwrap_or(host)
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::config::Registry;

    fn bases(config: &Config, registry: &str) -> Vec<String> {
        endpoints(config, registry)
            .unwrap()
            .iter()
            .map(|endpoint| format!("{}{}", endpoint.base(), endpoint.repository("r")))
            .collect()
    }

    #[test]
    fn schemes() {
        let config = Config::default();
        for (registry, base) in [
            ("localhost:5000", "http://localhost:5000/v2/r"),
            ("127.8.8.8", "http://127.8.8.8/v2/r"),
            ("[::1]:5000", "http://[::1]:5000/v2/r"),
            ("localhost.example", "https://localhost.example/v2/r"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/v2/r"),
            ("docker.io", "https://registry-1.docker.io/v2/r"),
        ] {
            assert_eq!(bases(&config, registry), [base]);
        }
    }

    #[test]
    fn configured() {
        let mut config = Config::default();
        config.registries.insert(
            "docker.io".to_owned(),
            Registry {
                mirrors: vec![
                    "m.example".to_owned(),
                    "http://n.example:81/hub/".to_owned(),
                    "localhost:5".to_owned(),
                ],
                ..Registry::default()
            },
        );
        config.registries.insert(
            "m.example".to_owned(),
            Registry {
                plain_http: Some(true),
                insecure: true,
                ..Registry::default()
            },
        );
        config.registries.insert(
            "localhost:5".to_owned(),
            Registry {
                plain_http: Some(false),
                ..Registry::default()
            },
        );
        assert_eq!(
            bases(&config, "docker.io"),
            [
                "http://m.example/v2/r",
                "http://n.example:81/v2/hub/r",
                "https://localhost:5/v2/r",
                "https://registry-1.docker.io/v2/r"
            ]
        );
        let found = endpoints(&config, "docker.io").unwrap();
        assert!(found[0].transport.insecure && found[0].mirror && !found[3].mirror);
    }

    #[test]
    fn bad_mirrors_are_errors() {
        for bad in ["", "ftp://x", "a b", "user@host", "host?x"] {
            let mut config = Config::default();
            config.registries.insert(
                "r".to_owned(),
                Registry {
                    mirrors: vec![bad.to_owned()],
                    ..Registry::default()
                },
            );
            assert!(endpoints(&config, "r").is_err(), "{bad}");
        }
    }
}
