//! Logins that come with a request, in a header.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;
use shedbox_spec::api::RegistryCredentials;
use shedbox_spec::{Error, Result};

/// Name of the header.
pub const HEADER: &str = "x-registry-auth";

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
    let bytes = [URL_SAFE, STANDARD, URL_SAFE_NO_PAD, STANDARD_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(text).ok())
        .ok_or_else(invalid)?;
    let mut fields: Fields = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
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
    Ok(some.then_some(RegistryCredentials {
        username: fields.username,
        password: fields.password,
        identity_token: fields.identitytoken,
        registry_token: fields.registrytoken,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

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
