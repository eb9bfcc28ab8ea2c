//! Logins that come with a request, in a header.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;
use shedbox_spec::api::RegistryCredentials;
use shedbox_spec::{Error, Result};

/// Name of the header.
pub const HEADER: &str = "x-registry-auth";
/// Name of the header of a build, which may pull from several registries.
pub const CONFIG_HEADER: &str = "x-registry-config";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

/// What the header says; `None` for nothing, which clients send as the empty object.
pub fn credentials(header: Option<&str>) -> Result<Option<RegistryCredentials>> {
    let text = header.unwrap_or("").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = || Error::invalid("X-Registry-Auth is not base64 of a JSON object");
    let bytes = decode(text).ok_or_else(invalid)?;
    let fields: Fields = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    Ok(fields.credentials())
}

/// The logins of a build by registry, in the words of Docker's own files: `127.0.0.1:5000`, `https://host/v1/`.
pub fn all(header: Option<&str>) -> Result<BTreeMap<String, RegistryCredentials>> {
    let text = header.unwrap_or("").trim();
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    let invalid = || Error::invalid("X-Registry-Config is not base64 of a JSON object");
    let bytes = decode(text).ok_or_else(invalid)?;
    let fields: Option<BTreeMap<String, Fields>> =
        serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    Ok(fields
        .into_iter()
        .flatten()
        .filter_map(|(registry, fields)| Some((registry, fields.credentials()?)))
        .collect())
}

/// The login for a registry, whose host is `host`.
pub fn for_registry<'a>(
    all: &'a BTreeMap<String, RegistryCredentials>,
    host: &str,
) -> Option<&'a RegistryCredentials> {
    let bare = |key: &str| {
        let key = key
            .strip_prefix("https://")
            .or_else(|| key.strip_prefix("http://"))
            .unwrap_or(key);
        let key = key.split('/').next().unwrap_or_default().to_owned();
        // Docker's own registry is kept under another name.
        match key.strip_prefix("index.") {
            Some(rest) if rest == host => rest.to_owned(),
            _ => key,
        }
    };
    all.get(host).or_else(|| {
        all.iter()
            .find(|(key, _)| bare(key) == host)
            .map(|(_, login)| login)
    })
}

fn decode(text: &str) -> Option<Vec<u8>> {
    [URL_SAFE, STANDARD, URL_SAFE_NO_PAD, STANDARD_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(text).ok())
}

impl Fields {
    fn credentials(self) -> Option<RegistryCredentials> {
        let mut fields = self;
        if fields.username.is_empty()
            && let Some((username, password)) = STANDARD
                .decode(&fields.auth)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .as_deref()
                .and_then(|text| text.split_once(':'))
        {
            username.clone_into(&mut fields.username);
            password.clone_into(&mut fields.password);
        }
        let some = [
            &fields.username,
            &fields.identitytoken,
            &fields.registrytoken,
        ]
        .iter()
        .any(|text| !text.is_empty());
        some.then_some(RegistryCredentials {
            username: fields.username,
            password: fields.password,
            identity_token: fields.identitytoken,
            registry_token: fields.registrytoken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_of_a_build() {
        let text = r#"{"127.0.0.1:5000":{"username":"a","password":"b"},"https://index.hub/v1/":{"auth":"dTpw"},"x":{}}"#;
        let logins = all(Some(&URL_SAFE.encode(text))).unwrap();
        let user = |host: &str| for_registry(&logins, host).map(|login| login.username.as_str());
        assert_eq!(user("127.0.0.1:5000"), Some("a"));
        assert_eq!(user("hub"), Some("u"));
        assert_eq!(user("x"), None);
        assert!(all(None).unwrap().is_empty());
        assert!(all(Some("bnVsbA==")).unwrap().is_empty());
        assert!(all(Some("%")).is_err());
    }

    #[test]
    fn all_forms() {
        let of = |json: &str| credentials(Some(&URL_SAFE.encode(json)));
        assert!(of("{}").unwrap().is_none());
        assert!(credentials(None).unwrap().is_none());
        let login = of(r#"{"username":"u","password":"p","serveraddress":"x"}"#)
            .unwrap()
            .unwrap();
        assert_eq!(
            (login.username.as_str(), login.password.as_str()),
            ("u", "p")
        );
        let auth = STANDARD.encode("u:p:q");
        let login = of(&format!(r#"{{"auth":"{auth}"}}"#)).unwrap().unwrap();
        assert_eq!(
            (login.username.as_str(), login.password.as_str()),
            ("u", "p:q")
        );
        assert!(credentials(Some("%%%")).is_err());
        assert!(of("[").is_err());
    }
}
