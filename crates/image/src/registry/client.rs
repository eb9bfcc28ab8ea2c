//! HTTP clients, made when the network is first needed.
//!
//! Making one costs 6 to 36 ms (the system's root certificates are read), so work that stays offline makes none. One
//! client serves all endpoints of the same transport: connections are kept and shared between pulls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};

use crate::error::{Error, Result};
use crate::registry::endpoint::{Endpoint, Transport};

const USER_AGENT: &str = concat!("shedbox/", env!("CARGO_PKG_VERSION"));

/// The clients of one transport.
pub(crate) struct Client {
    /// For manifests and blobs.
    pub(crate) http: reqwest::Client,
    /// For token exchange; made at the first login, as it reads the certificates again.
    oci: Mutex<Option<oci_client::Client>>,
    ca: Option<Vec<u8>>,
    timeout: Duration,
}

impl Client {
    /// oci-client for `endpoint`, which has this client's transport.
    pub(crate) fn oci(&self, endpoint: &Endpoint) -> Result<oci_client::Client> {
        let mut made = self.oci.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(oci) = &*made {
            return Ok(oci.clone());
        }
        let oci = oci_client::Client::try_from(ClientConfig {
            protocol: if endpoint.transport.plain_http {
                ClientProtocol::Http
            } else {
                ClientProtocol::Https
            },
            accept_invalid_certificates: endpoint.transport.insecure,
            extra_root_certificates: self
                .ca
                .clone()
                .map(|data| Certificate {
                    encoding: CertificateEncoding::Pem,
                    data,
                })
                .into_iter()
                .collect(),
            platform_resolver: None,
            read_timeout: Some(self.timeout),
            connect_timeout: Some(self.timeout),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        })
        .map_err(|error| unusable(endpoint, shedbox_spec::error::chain(&error)))?;
        Ok(made.insert(oci).clone())
    }
}

fn unusable(endpoint: &Endpoint, reason: String) -> Error {
    Error::Configuration {
        registry: endpoint.name.clone(),
        reason,
    }
}

/// All clients made so far.
pub(crate) struct Clients {
    timeout: Duration,
    made: Mutex<HashMap<Transport, Arc<Client>>>,
}

impl Clients {
    /// `timeout` is for connecting, and for silence while an answer is awaited.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            made: Mutex::default(),
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The client for `endpoint`. Blocks for as long as reading certificates takes.
    pub(crate) fn get(&self, endpoint: &Endpoint) -> Result<Arc<Client>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&endpoint.transport) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(self.make(endpoint)?);
        made.insert(endpoint.transport.clone(), Arc::clone(&client));
        Ok(client)
    }

    fn make(&self, endpoint: &Endpoint) -> Result<Client> {
        install_provider();
        let fail = |reason: String| unusable(endpoint, reason);
        let transport = &endpoint.transport;
        let ca = transport
            .ca_file
            .as_ref()
            .map(|file| {
                std::fs::read(file).map_err(|error| fail(format!("ca_file {file}: {error}")))
            })
            .transpose()?;

        let certificates = match &ca {
            Some(pem) => reqwest::Certificate::from_pem_bundle(pem).map_err(|error| {
                fail(format!("ca_file: {}", shedbox_spec::error::chain(&error)))
            })?,
            None => Vec::new(),
        };
        if ca.is_some() && certificates.is_empty() {
            return Err(fail("ca_file holds no certificate".to_owned()));
        }
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(self.timeout)
                .tls_danger_accept_invalid_certs(transport.insecure)
                .tls_certs_merge(certificates.clone());
            if transport.local {
                builder.no_proxy()
            } else {
                builder
            }
        };
        let made = match builder().build() {
            // A machine without root certificates (no ca-certificates installed) can still speak plain HTTP. Where that
            // leads on to HTTPS, nobody is trusted.
            Err(_) if transport.plain_http => builder().tls_certs_only([]).build(),
            made => made,
        };
        let http = made.map_err(|error| fail(shedbox_spec::error::chain(&error)))?;

        Ok(Client {
            http,
            oci: Mutex::default(),
            ca,
            timeout: self.timeout,
        })
    }
}

/// rustls is built without a default provider: ring's is the one this program uses. Somebody else in the process may
/// have installed one already; that one then serves.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider()
            .install_default()
            .is_err()
        {
            tracing::debug!("a TLS provider is installed already");
        }
    });
}
