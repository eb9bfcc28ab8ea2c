//! Proving who asks: from a registry's challenge to what goes into the Authorization header.
//!
//! | challenge | credential | what happens |
//! |---|---|---|
//! | Basic | user and password | they are sent |
//! | Bearer | none, user and password | oci-client asks the token service |
//! | Bearer | identity token | exchanged for an access token (OAuth 2 refresh), which oci-client cannot do |
//! | Bearer | registry token | it is sent |
//!
//! Source: distribution spec "token" and "oauth2" documents, RFC 9110 section 11.

use std::time::Duration;

use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};

use crate::auth::Credential;
use crate::error::excerpt;
use crate::registry::client::Client;
use crate::registry::endpoint::Endpoint;
use crate::registry::failure::Failure;

/// Largest answer of a token service, in bytes.
const MAX_TOKEN_ANSWER: usize = 1 << 20;

/// What goes into the Authorization header.
#[derive(Clone)]
pub(crate) enum Grant {
    Bearer(String),
    Basic { username: String, password: String },
}

impl Grant {
    pub(crate) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::Bearer(token) => request.bearer_auth(token),
            Self::Basic { username, password } => request.basic_auth(username, Some(password)),
        }
    }
}

/// What a registry wants to know, from WWW-Authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Challenge {
    /// The first challenge of a header value that we can answer.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let mut rest = header.trim_start();
        loop {
            let (scheme, after) = rest.split_once(' ').unwrap_or((rest, ""));
            let scheme = scheme.trim_matches(',');
            if scheme.is_empty() {
                return None;
            }
            let (parameters, next) = parse_parameters(after);
            let get = |name: &str| {
                parameters
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("basic") {
                return Some(Self::Basic);
            }
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = get("realm")
            {
                return Some(Self::Bearer {
                    realm,
                    service: get("service"),
                });
            }
            rest = next;
        }
    }
}

/// `name=value` pairs, values quoted or not, up to where the next challenge begins.
fn parse_parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut parameters = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(value) = after.trim_start().strip_prefix('=').filter(|_| end > 0) else {
            return (parameters, rest);
        };
        let value = value.trim_start();
        let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
            unquote(quoted)
        } else {
            let end = value.find([',', ' ']).unwrap_or(value.len());
            (value[..end].to_owned(), &value[end..])
        };
        parameters.push((name.to_owned(), value));
        rest = after;
    }
}

/// A quoted string after its opening quote, and what follows the closing one.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// What a token is to allow.
pub(crate) struct Wish<'a> {
    pub(crate) repository: &'a str,
    /// Writing, too, and reading these other repositories.
    pub(crate) push: Option<&'a Vec<String>>,
}

impl Wish<'_> {
    /// As token services call it.
    fn scopes(&self) -> Vec<String> {
        let Some(origins) = self.push else {
            return vec![format!("repository:{}:pull", self.repository)];
        };
        let mut scopes = vec![format!("repository:{}:pull,push", self.repository)];
        scopes.extend(
            origins
                .iter()
                .map(|origin| format!("repository:{origin}:pull")),
        );
        scopes
    }
}

/// Answers `challenge` with `credential`.
pub(crate) async fn log_in(
    client: &Client,
    endpoint: &Endpoint,
    wish: &Wish<'_>,
    challenge: &Challenge,
    credential: Option<&Credential>,
    timeout: Duration,
) -> Result<Grant, Failure> {
    match (challenge, credential) {
        (_, Some(Credential::RegistryToken(token))) => Ok(Grant::Bearer(token.clone())),
        (Challenge::Basic, Some(Credential::Basic { username, password })) => Ok(Grant::Basic {
            username: username.clone(),
            password: password.clone(),
        }),
        (Challenge::Basic, _) => Err(Failure::Unauthorized {
            known: false,
            detail: String::new(),
        }),
        (Challenge::Bearer { realm, service }, Some(Credential::IdentityToken(token))) => {
            exchange(
                client,
                realm,
                service.as_deref(),
                &wish.scopes(),
                token,
                timeout,
            )
            .await
        }
        // oci-client asks for one scope only.
        (Challenge::Bearer { realm, service }, credential) if wish.push.is_some() => {
            let mut url = token_service(realm)?;
            {
                let mut query = url.query_pairs_mut();
                if let Some(service) = service {
                    query.append_pair("service", service);
                }
                for scope in wish.scopes() {
                    query.append_pair("scope", &scope);
                }
            }
            let mut request = client.http.get(url);
            if let Some(Credential::Basic { username, password }) = credential {
                request = request.basic_auth(username, Some(password));
            }
            ask(request, timeout).await
        }
        (Challenge::Bearer { .. }, credential) => {
            let auth = match credential {
                Some(Credential::Basic { username, password }) => {
                    RegistryAuth::Basic(username.clone(), password.clone())
                }
                _ => RegistryAuth::Anonymous,
            };
            // `with_tag`, never a parse: oci-client's parser builds a regular expression that takes 41 ms or more.
            let image = Reference::with_tag(
                endpoint.host.clone(),
                wish.repository.to_owned(),
                "latest".to_owned(),
            );
            let oci = client.oci(endpoint)?;
            let asked = oci.auth(&image, &auth, RegistryOperation::Pull);
            match tokio::time::timeout(timeout, asked).await {
                Err(_) => Err(Failure::Stalled {
                    seconds: timeout.as_secs(),
                }),
                Ok(Ok(Some(token))) => Ok(Grant::Bearer(token)),
                Ok(Ok(None)) => Err(Failure::Protocol(
                    "it asks for a token but does not say where to get one".to_owned(),
                )),
                Ok(Err(OciDistributionError::RequestError(error))) => Err(error.into()),
                // The status is lost here. A fault of the service and a wrong password look alike; the caller tries
                // once more, which mends the one and does no harm to the other.
                Ok(Err(OciDistributionError::AuthenticationFailure(said))) => Err(Failure::Login {
                    detail: detail_of(said.as_bytes()),
                    transient: true,
                    refused: true,
                }),
                Ok(Err(other)) => Err(Failure::Login {
                    detail: excerpt(&other.to_string()),
                    transient: false,
                    refused: false,
                }),
            }
        }
    }
}

/// Services give one of them, or both, which are then equal.
#[derive(serde::Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

async fn exchange(
    client: &Client,
    realm: &str,
    service: Option<&str>,
    scopes: &[String],
    refresh_token: &str,
    timeout: Duration,
) -> Result<Grant, Failure> {
    let mut url = token_service(realm)?;
    // Form encoding, done by the URL type.
    let mut form = url.clone();
    form.set_query(None);
    form.query_pairs_mut()
        .append_pair("grant_type", "refresh_token")
        .append_pair("service", service.unwrap_or_default())
        .append_pair("client_id", "shedbox")
        .append_pair("scope", &scopes.join(" "))
        .append_pair("refresh_token", refresh_token);
    url.set_fragment(None);
    let request = client
        .http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.query().unwrap_or_default().to_owned());
    ask(request, timeout).await
}

fn token_service(realm: &str) -> Result<reqwest::Url, Failure> {
    reqwest::Url::parse(realm).map_err(|_| {
        Failure::Protocol(format!(
            "its token service has no usable address: `{}`",
            excerpt(realm)
        ))
    })
}

/// Sends a request to a token service and reads the token.
async fn ask(request: reqwest::RequestBuilder, timeout: Duration) -> Result<Grant, Failure> {
    let stalled = |_| Failure::Stalled {
        seconds: timeout.as_secs(),
    };
    let mut response = tokio::time::timeout(timeout, request.send())
        .await
        .map_err(stalled)??;
    let status = response.status();
    let body = tokio::time::timeout(timeout, read_capped(&mut response, MAX_TOKEN_ANSWER))
        .await
        .map_err(stalled)??;
    if !status.is_success() {
        return Err(Failure::Login {
            detail: detail_of(&body),
            transient: status.is_server_error() || status.as_u16() == 429,
            refused: status.is_client_error() && status.as_u16() != 429,
        });
    }
    // serde's error would quote the token.
    serde_json::from_slice::<TokenAnswer>(&body)
        .ok()
        .and_then(|answer| answer.access_token.or(answer.token))
        .map(Grant::Bearer)
        .ok_or_else(|| Failure::Protocol("its token service gave no access token".to_owned()))
}

/// The body, at most `max` bytes of it.
pub(crate) async fn read_capped(
    response: &mut reqwest::Response,
    max: usize,
) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max {
            return Err(Failure::TooLong { limit: max as u64 });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an error document says: the registry's own form, that of token services, or plain text.
pub(crate) fn detail_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        details: Option<String>,
        error_description: Option<String>,
        error: Option<String>,
    }
    if let Ok(envelope) = serde_json::from_slice::<oci_client::errors::OciEnvelope>(body) {
        let messages: Vec<&str> = envelope
            .errors
            .iter()
            .map(|error| error.message.as_str())
            .filter(|message| !message.is_empty())
            .collect();
        if !messages.is_empty() {
            return excerpt(&messages.join(", "));
        }
    }
    if let Ok(said) = serde_json::from_slice::<Said>(body)
        && let Some(text) = said.details.or(said.error_description).or(said.error)
    {
        return excerpt(&text);
    }
    let text = String::from_utf8_lossy(body);
    // A page for people in a browser says nothing in a message.
    if text.trim_start().starts_with('<') {
        String::new()
    } else {
        excerpt(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        }
    }

    #[test]
    fn challenges() {
        for (header, wanted) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull,push""#,
                Some(bearer("https://a/t", Some("s"))),
            ),
            (
                "Bearer realm=https://a/t",
                Some(bearer("https://a/t", None)),
            ),
            (
                r#"Negotiate abc, Bearer service="a\"b", realm = "r""#,
                Some(bearer("r", Some("a\"b"))),
            ),
            (
                r#"Digest realm="d", nonce="n", BEARER realm="r""#,
                Some(bearer("r", None)),
            ),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
            ("", None),
            ("Bearer realm=\"open", Some(bearer("open", None))),
        ] {
            assert_eq!(Challenge::parse(header), wanted, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_to_its_end(header in "[ -~]{0,80}") {
            let _ = Challenge::parse(&header);
        }

        #[test]
        fn a_quoted_realm_comes_back(realm in "[ -~]{0,40}", before in "(Negotiate [a-z=]{0,8}, )?") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("{before}Bearer realm=\"{quoted}\",service=s");
            proptest::prop_assert_eq!(Challenge::parse(&header), Some(bearer(&realm, Some("s"))));
        }
    }

    #[test]
    fn error_documents() {
        for (body, said) in [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                "manifest unknown",
            ),
            (
                r#"{"details":"incorrect username or password"}"#,
                "incorrect username or password",
            ),
            ("<html>busy</html>", ""),
            ("too\n many", "too many"),
            ("", ""),
        ] {
            assert_eq!(detail_of(body.as_bytes()), said);
        }
    }
}
