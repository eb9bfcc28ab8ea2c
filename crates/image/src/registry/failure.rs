//! How asking an endpoint fails, whether asking again can help, and when.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use shedbox_spec::{Digest, Kind};

/// First pause between two attempts; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause of ours.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Longest pause a registry may ask for with Retry-After; beyond it, waiting is the user's decision.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);

/// Why one endpoint did not serve.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Connection, TLS or HTTP trouble. Its address is in the message around it; a redirect's, which may be signed
    /// and so a secret, is left out.
    #[error("the request failed")]
    Request(#[source] reqwest::Error),
    /// It stays silent.
    #[error("nothing arrived for {seconds} s")]
    Stalled {
        /// The configured limit.
        seconds: u64,
    },
    /// It answered with an error.
    #[error("it answered {code}{}", colon(.detail))]
    Status {
        /// The HTTP status.
        code: u16,
        /// What its error document says.
        detail: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It wants to know who asks, and is not content with the answer.
    #[error(
        "access is denied {}{}",
        if *.known { "with the stored credential" } else { "without a credential" },
        colon(.detail)
    )]
    Unauthorized {
        /// A credential was presented.
        known: bool,
        /// What it says.
        detail: String,
    },
    /// Its token service does not serve.
    #[error("its token service refuses{}", colon(.detail))]
    Login {
        /// What it says.
        detail: String,
        /// It may be a passing fault.
        transient: bool,
        /// It refuses this user, as far as can be told; otherwise it is out of order.
        refused: bool,
    },
    /// The body is shorter than the manifest says.
    #[error("the blob ends after {got} of {size} bytes")]
    Truncated {
        /// Bytes that came.
        got: u64,
        /// Bytes the manifest promises.
        size: u64,
    },
    /// The body is longer than the manifest, or our limit, says.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The promise or limit.
        limit: u64,
    },
    /// The body is not what was asked for.
    #[error("the content has digest {actual} instead of {expected}")]
    Digest {
        /// Asked for.
        expected: Digest,
        /// Served.
        actual: Digest,
    },
    /// The answer breaks the protocol.
    #[error("{0}")]
    Protocol(String),
    /// Our own side: credential files, TLS set-up.
    #[error("{message}")]
    Local {
        /// The whole chain.
        message: String,
        /// What to do about it.
        hint: Option<String>,
        /// What a caller can act on.
        kind: Kind,
    },
}

fn colon(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(": {detail}")
    }
}

impl Failure {
    /// Whether the same request may succeed later.
    pub fn transient(&self) -> bool {
        match self {
            // A certificate that does not verify will not do so in a second.
            Self::Request(error) => !is_certificate_trouble(error) && !error.is_builder(),
            Self::Stalled { .. } | Self::Truncated { .. } => true,
            Self::Status {
                code, retry_after, ..
            } => {
                matches!(code, 408 | 425 | 429 | 500..=599)
                    && *code != 501
                    && retry_after.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER)
            }
            Self::Login { transient, .. } => *transient,
            _ => false,
        }
    }

    /// After the attempts at a login: a refusal stays one, whatever it was for. Repeating wrong passwords locks accounts.
    pub(crate) fn settled(self) -> Self {
        match self {
            Self::Login {
                detail,
                refused: true,
                ..
            } => Self::Login {
                detail,
                transient: false,
                refused: true,
            },
            other => other,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Status { code: 404, .. } => Kind::NotFound,
            Self::Status { code: 403, .. }
            | Self::Unauthorized { .. }
            | Self::Login { refused: true, .. } => Kind::Denied,
            Self::Local { kind, .. } => *kind,
            _ => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Request(error) if is_certificate_trouble(error) => {
                "name the registry's certificate authority with `ca_file` in the configuration file, or set \
                 `plain_http` or `insecure` there if you trust the network"
                    .to_owned()
            }
            Self::Request(error) if error.is_connect() => {
                "check the registry's name and port, the network and the proxy settings".to_owned()
            }
            Self::Request(_) | Self::Truncated { .. } => {
                "try again; a layer that is complete is not fetched twice".to_owned()
            }
            Self::Stalled { .. } => {
                "try again, or raise `registry_timeout_s` in the configuration file".to_owned()
            }
            Self::Status {
                code: 429,
                retry_after,
                ..
            } => match retry_after {
                Some(wait) => format!(
                    "try again in {} s, log in for a higher limit, or configure a mirror",
                    wait.as_secs()
                ),
                None => "try again later, log in for a higher limit, or configure a mirror".to_owned(),
            },
            Self::Status { code: 404, .. } => {
                "check name and tag; a private repository needs a login and may pretend not to exist".to_owned()
            }
            Self::Status { code: 500..=599, .. } => {
                "the registry has a fault; try again later or configure a mirror".to_owned()
            }
            Self::Status { code: 403, .. } | Self::Unauthorized { .. } | Self::Login { .. } => {
                "check the name (registries also answer so for what does not exist), or log in with `docker login` or \
                 `podman login`"
                    .to_owned()
            }
            Self::Digest { .. } | Self::TooLong { .. } => {
                "the registry, a mirror or a proxy serves damaged content: ask its operator".to_owned()
            }
            Self::Local { hint, .. } => return hint.clone(),
            Self::Status { .. } | Self::Protocol(_) => return None,
        })
    }
}

/// rustls reports through I/O errors, whose own content is not among their sources.
fn is_certificate_trouble(error: &reqwest::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        next = match error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        let error = shedbox_spec::Error::from(error);
        Self::Local {
            message: error.message,
            hint: error.hint,
            kind: error.kind,
        }
    }
}

/// The last failure of each endpoint that was asked, in order: mirrors first, the registry itself at the end.
#[derive(Debug, Default)]
pub struct Failures(pub Vec<(String, Failure)>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (host, failure)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(
                f,
                "{separator}{host}: {}",
                shedbox_spec::error::chain(failure)
            )?;
        }
        Ok(())
    }
}

// No `source`: the chains of all endpoints are in the text.
impl std::error::Error for Failures {}

impl Failures {
    /// Of the registry itself: what a mirror says does not decide.
    pub(crate) fn kind(&self) -> Kind {
        self.0
            .last()
            .map_or(Kind::Unavailable, |(_, failure)| failure.kind())
    }

    pub(crate) fn hint(&self) -> Option<String> {
        self.0.last().and_then(|(_, failure)| failure.hint())
    }
}

/// Attempts when nobody answers at all.
const CONNECT_ATTEMPTS: u32 = 3;

/// Counts attempts and paces them.
#[derive(Debug)]
pub struct Attempts {
    /// The attempt under way, from 1.
    pub number: u32,
    limit: u32,
}

impl Attempts {
    /// At most `limit` attempts, at least one.
    pub fn new(limit: u32) -> Self {
        Self {
            number: 1,
            limit: limit.max(1),
        }
    }

    /// Progress was made: what failed before no longer counts.
    pub fn reset(&mut self) {
        self.number = 1;
    }

    /// Waits before the next attempt, or gives the failure back when there is none.
    pub async fn pause(&mut self, failure: Failure) -> Result<(), Failure> {
        // Who is offline, or has mistyped a host, shall hear of it soon.
        let limit = match &failure {
            Failure::Request(error) if error.is_connect() => self.limit.min(CONNECT_ATTEMPTS),
            _ => self.limit,
        };
        if self.number >= limit || !failure.transient() {
            return Err(failure);
        }
        let wait =
            backoff(self.number, random_fraction()).max(failure.retry_after().unwrap_or_default());
        tracing::debug!(attempt = self.number, ?wait, failure = %shedbox_spec::error::chain(&failure), "trying again");
        tokio::time::sleep(wait).await;
        self.number += 1;
        Ok(())
    }
}

/// The pause after attempt `number`: doubling, capped, between half and whole of it by `fraction` (0 to 1), so that
/// hundreds of clients do not come back in step.
fn backoff(number: u32, fraction: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << (number.saturating_sub(1)).min(16));
    doubled.min(LONGEST_PAUSE).mul_f64(0.5 + fraction / 2.0)
}

/// Random enough to spread clients: the standard library seeds its hashers from the kernel.
fn random_fraction() -> f64 {
    (RandomState::new().hash_one(0u8) >> 11) as f64 / (1u64 << 53) as f64
}

/// The value of a Retry-After header: seconds, or a date as HTTP writes it (RFC 9110, 10.2.3).
pub fn parse_retry_after(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_cap() {
        for number in 1..40 {
            let (low, high) = (backoff(number, 0.0), backoff(number, 1.0));
            assert_eq!(low * 2, high);
            assert!(high <= LONGEST_PAUSE);
        }
        assert_eq!(backoff(1, 1.0), FIRST_PAUSE);
        assert_eq!(backoff(3, 1.0), FIRST_PAUSE * 4);
        assert!((0.0..1.0).contains(&random_fraction()));
    }

    #[test]
    fn retry_after() {
        let now = jiff::Timestamp::from_second(784_111_777).unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            (" 17 ", Some(17)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(
                parse_retry_after(text, now),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_tried_again() {
        let status = |code, wait: Option<u64>| {
            Failure::Status {
                code,
                detail: String::new(),
                retry_after: wait.map(Duration::from_secs),
            }
            .transient()
        };
        for code in [408, 429, 500, 502, 503, 504] {
            assert!(status(code, None), "{code}");
        }
        for code in [400, 403, 404, 416, 501] {
            assert!(!status(code, None), "{code}");
        }
        assert!(status(429, Some(120)));
        assert!(!status(429, Some(3600)));
    }
}
