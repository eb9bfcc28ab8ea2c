//! One repository at a registry and its mirrors, for the length of one pull: login state and requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderMap, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use sha2::Digest as _;
use shedbox_spec::Digest;
use shedbox_spec::api::AuthSources;
use shedbox_spec::config::Config;

use crate::auth::Credential;
use crate::credentials;
use crate::error::{Error, Result};
use crate::registry::client::Clients;
use crate::registry::endpoint::{Endpoint, endpoints};
use crate::registry::failure::{Attempts, Failure, Failures, parse_retry_after};
use crate::registry::token::{self, Challenge, Grant, detail_of, read_capped};

/// Largest manifest or index, in bytes: what registries themselves accept.
pub(crate) const MAX_MANIFEST: usize = 4 << 20;
/// Largest error document that is read, in bytes.
const MAX_ERROR: usize = 64 << 10;
/// A mirror is a shortcut: it is not worth the patience the registry itself gets.
const MIRROR_ATTEMPTS: u32 = 2;

/// Where credentials come from.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    /// The client's files.
    Files(AuthSources),
    /// Given with the request; for the registry itself, not for its mirrors.
    Given(Credential),
}

impl From<&AuthSources> for Credentials {
    fn from(sources: &AuthSources) -> Self {
        let given = sources.credentials.as_ref().map(Credential::from_request);
        match given {
            Some(Some(credential)) => Self::Given(credential),
            // One that is empty is no login, and says that none is wanted.
            Some(None) => Self::Files(AuthSources::default()),
            None => Self::Files(sources.clone()),
        }
    }
}

/// What is to be done with a repository: it decides whom to ask, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    /// Mirrors have no part in it.
    Push {
        /// Repositories of the same registry that blobs may be taken from.
        origins: Vec<String>,
    },
}

/// What the credential files say.
#[derive(Default)]
enum Known {
    #[default]
    NotLooked,
    Anonymous,
    As(Credential),
}

/// Login state at one endpoint. `count` tells a request that was refused whether somebody else has logged in since.
#[derive(Default)]
struct Login {
    grant: Option<Grant>,
    count: u64,
    known: Known,
}

struct Place {
    endpoint: Endpoint,
    login: tokio::sync::Mutex<Login>,
}

/// A repository at its endpoints.
pub(crate) struct Session {
    clients: Arc<Clients>,
    repository: String,
    credentials: Credentials,
    access: Access,
    places: Vec<Place>,
    attempts: u32,
    /// The first endpoint that has served; those before it have failed and are not asked again.
    first: AtomicUsize,
}

/// A document and what it claims to be.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) media_type: Option<String>,
}

impl Session {
    pub(crate) fn new(
        clients: Arc<Clients>,
        config: &Config,
        registry: &str,
        repository: &str,
        credentials: Credentials,
        access: Access,
    ) -> Result<Self> {
        let places = endpoints(config, registry)?
            .into_iter()
            .filter(|endpoint| access == Access::Pull || !endpoint.mirror)
            .map(|endpoint| Place {
                endpoint,
                login: tokio::sync::Mutex::default(),
            })
            .collect();
        Ok(Self {
            clients,
            repository: repository.to_owned(),
            credentials,
            access,
            places,
            attempts: config.registry_attempts,
            first: AtomicUsize::new(0),
        })
    }

    /// Endpoints that are worth asking, as indexes.
    pub(crate) fn candidates(&self) -> std::ops::Range<usize> {
        self.first.load(Ordering::Relaxed)..self.places.len()
    }

    pub(crate) fn host(&self, place: usize) -> String {
        self.places[place].endpoint.host.clone()
    }

    pub(crate) fn attempts(&self, place: usize) -> Attempts {
        Attempts::new(if self.places[place].endpoint.mirror {
            self.attempts.min(MIRROR_ATTEMPTS)
        } else {
            self.attempts
        })
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.clients.timeout()
    }

    /// Fetches a manifest or index by tag or digest, from the first endpoint that has it.
    pub(crate) async fn manifest(
        &self,
        what: &str,
        reference: &str,
        expected: Option<&Digest>,
        accept: &str,
    ) -> Result<Fetched> {
        let ask = |place| self.manifest_once(place, reference, expected, accept);
        let (place, fetched) = self.first_of(self.candidates(), what, ask).await?;
        self.first.store(place, Ordering::Relaxed);
        Ok(fetched)
    }

    /// Asks one place after the other, each as often as it may be, until one has an answer; which one it was.
    pub(crate) async fn first_of<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        places: impl Iterator<Item = usize>,
        what: &str,
        ask: impl Fn(usize) -> F,
    ) -> Result<(usize, T)> {
        let mut failures = Failures::default();
        for place in places {
            let mut attempts = self.attempts(place);
            let failure = loop {
                match ask(place).await {
                    Ok(answer) => return Ok((place, answer)),
                    Err(failure) => {
                        if let Err(failure) = attempts.pause(failure).await {
                            break failure;
                        }
                    }
                }
            };
            failures.0.push((self.host(place), failure));
        }
        Err(Error::Fetch {
            what: what.to_owned(),
            failures,
        })
    }

    async fn manifest_once(
        &self,
        place: usize,
        reference: &str,
        expected: Option<&Digest>,
        accept: &str,
    ) -> Result<Fetched, Failure> {
        let path = format!("manifests/{reference}");
        let mut response = self
            .request(place, reqwest::Method::GET, &path, Some(accept), 0)
            .await?;
        let announced = content_digest(response.headers());
        let media_type = header(response.headers(), "content-type").map(|value| {
            let end = value.find(';').unwrap_or(value.len());
            value[..end].trim().to_ascii_lowercase()
        });
        let bytes = self
            .in_time(read_capped(&mut response, MAX_MANIFEST))
            .await??;
        let actual = Digest::from_bytes(&sha2::Sha256::digest(&bytes).into());
        if let Some(expected) = expected.or(announced.as_ref())
            && *expected != actual
        {
            return Err(Failure::Digest {
                expected: expected.clone(),
                actual,
            });
        }
        Ok(Fetched {
            bytes,
            digest: actual,
            media_type,
        })
    }

    /// The digest a tag has now, without fetching what it names: registries do not count that against pull limits.
    /// One attempt at each endpoint; `None` when nobody says, for whatever reason, and fetching will tell.
    pub(crate) async fn current_digest(&self, tag: &str, accept: &str) -> Option<Digest> {
        for place in self.candidates() {
            let path = format!("manifests/{tag}");
            match self
                .request(place, reqwest::Method::HEAD, &path, Some(accept), 0)
                .await
            {
                Ok(response) => return content_digest(response.headers()),
                Err(failure) => {
                    tracing::debug!(host = %self.host(place), failure = %shedbox_spec::error::chain(&failure), "HEAD of a manifest");
                }
            }
        }
        None
    }

    /// One request, logging in when asked to. A success status, or a failure.
    pub(crate) async fn request(
        &self,
        place: usize,
        method: reqwest::Method,
        path: &str,
        accept: Option<&str>,
        from: u64,
    ) -> Result<reqwest::Response, Failure> {
        let url = self.url(place, path);
        let decorate = |mut request: reqwest::RequestBuilder| {
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            request
        };
        self.send(place, method, &url, &decorate, self.timeout())
            .await
    }

    /// The address of something in the repository.
    pub(crate) fn url(&self, place: usize, path: &str) -> String {
        let endpoint = &self.places[place].endpoint;
        format!(
            "{}{}/{path}",
            endpoint.base(),
            endpoint.repository(&self.repository)
        )
    }

    /// The same for any address that the registry gives, and a request that `decorate` completes: more than once, when a
    /// login is needed. An answer is due within `patience`.
    pub(crate) async fn send(
        &self,
        place: usize,
        method: reqwest::Method,
        url: &str,
        decorate: &(dyn Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder + Send + Sync),
        patience: Duration,
    ) -> Result<reqwest::Response, Failure> {
        let endpoint = &self.places[place].endpoint;
        let client = self.clients.get(endpoint)?;
        // What proves who we are is for this host alone, whatever address it sends us to.
        let origin = |url: &str| reqwest::Url::parse(url).map(|url| url.origin());
        let own =
            matches!((origin(url), origin(&endpoint.base())), (Ok(one), Ok(other)) if one == other);
        let (mut grant, mut count) = {
            let login = self.places[place].login.lock().await;
            (login.grant.clone(), login.count)
        };
        let mut refused_before = !own;
        loop {
            let mut request = decorate(client.http.request(method.clone(), url));
            if let Some(grant) = grant.as_ref().filter(|_| own) {
                request = grant.apply(request);
            }
            let response = within(patience, request.send()).await??;
            match response.status() {
                status if status.is_success() => return Ok(response),
                StatusCode::UNAUTHORIZED if !refused_before => {
                    refused_before = true;
                    let Some(challenge) = challenge(response.headers()) else {
                        return Err(Failure::Unauthorized {
                            known: grant.is_some(),
                            detail: self.error_text(response).await,
                        });
                    };
                    (grant, count) = self.log_in(place, &client, &challenge, count).await?;
                }
                StatusCode::UNAUTHORIZED => {
                    let login = self.places[place].login.lock().await;
                    return Err(Failure::Unauthorized {
                        known: matches!(login.known, Known::As(_)),
                        detail: self.error_text(response).await,
                    });
                }
                status => {
                    let retry_after = header(response.headers(), RETRY_AFTER.as_str())
                        .and_then(|value| parse_retry_after(&value, jiff::Timestamp::now()));
                    return Err(Failure::Status {
                        code: status.as_u16(),
                        detail: self.error_text(response).await,
                        retry_after,
                    });
                }
            }
        }
    }

    /// A new grant, unless somebody else has got one since `seen`.
    async fn log_in(
        &self,
        place: usize,
        client: &crate::registry::client::Client,
        challenge: &Challenge,
        seen: u64,
    ) -> Result<(Option<Grant>, u64), Failure> {
        let Place { endpoint, login } = &self.places[place];
        let mut login = login.lock().await;
        if login.count == seen {
            let repository = endpoint.repository(&self.repository);
            if matches!(login.known, Known::NotLooked) {
                let found = self.credential(endpoint, &repository).await?;
                login.known = found.map_or(Known::Anonymous, Known::As);
            }
            let mut attempts = Attempts::new(MIRROR_ATTEMPTS.min(self.attempts));
            let grant = loop {
                let credential = match &login.known {
                    Known::As(credential) => Some(credential),
                    Known::Anonymous | Known::NotLooked => None,
                };
                let wish = token::Wish {
                    repository: &repository,
                    push: match &self.access {
                        Access::Pull => None,
                        Access::Push { origins } => Some(origins),
                    },
                };
                match token::log_in(
                    client,
                    endpoint,
                    &wish,
                    challenge,
                    credential,
                    self.timeout(),
                )
                .await
                {
                    Ok(grant) => break grant,
                    Err(failure) => attempts.pause(failure).await.map_err(Failure::settled)?,
                }
            };
            login.grant = Some(grant);
            login.count += 1;
        }
        Ok((login.grant.clone(), login.count))
    }

    async fn credential(
        &self,
        endpoint: &Endpoint,
        repository: &str,
    ) -> Result<Option<Credential>, Failure> {
        match &self.credentials {
            Credentials::Given(credential) => {
                Ok(Some(credential.clone()).filter(|_| !endpoint.mirror))
            }
            Credentials::Files(sources) => {
                let (sources, name) = (sources.clone(), endpoint.name.clone());
                let repository = repository.to_owned();
                tokio::task::spawn_blocking(move || credentials::find(&sources, &name, &repository))
                    .await
                    .map_err(|error| Failure::Protocol(error.to_string()))?
                    .map_err(Failure::from)
            }
        }
    }

    /// What an error document says; nothing when it cannot be read.
    async fn error_text(&self, mut response: reqwest::Response) -> String {
        match self.in_time(read_capped(&mut response, MAX_ERROR)).await {
            Ok(Ok(body)) => detail_of(&body),
            _ => String::new(),
        }
    }

    /// Gives up when nothing has come of `future` for the configured time.
    pub(crate) async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        within(self.timeout(), future).await
    }
}

async fn within<T>(patience: Duration, future: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(patience, future)
        .await
        .map_err(|_| Failure::Stalled {
            seconds: patience.as_secs(),
        })
}

pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

pub(super) fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    Digest::parse(&header(headers, "docker-content-digest")?).ok()
}

fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(Challenge::parse)
}
