//! Ports of EXPOSE: `80`, `80/udp`, `8000-8010`, `127.0.0.1:8080:80`.

use std::collections::BTreeMap;

/// A text that is no port, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Nothing before the slash.
    #[error("No port specified: {0}<empty>")]
    Missing(String),
    /// Neither a number up to 65535 nor a range of them.
    #[error("invalid containerPort: {0}")]
    Number(String),
    /// Not tcp, udp or sctp.
    #[error("invalid proto: {0}")]
    Protocol(String),
}

/// All ports of some specifications, as `80/tcp`, sorted and once each.
///
/// Ranges are merged before they are counted out: a line may hold a hundred thousand of `1-65535`.
pub(crate) fn exposed(specifications: &[String]) -> Result<Vec<String>, PortError> {
    let mut ranges = BTreeMap::<String, Vec<(u16, u16)>>::new();
    for text in specifications {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        // What comes before the last colon is the host's side; it belongs to `docker run`.
        let ports = ports
            .rsplit_once(':')
            .map_or(ports, |(_, container)| container);
        if ports.is_empty() {
            return Err(PortError::Missing(text.clone()));
        }
        let protocol = match protocol.to_ascii_lowercase() {
            empty if empty.is_empty() => "tcp".to_owned(),
            known if ["tcp", "udp", "sctp"].contains(&known.as_str()) => known,
            other => return Err(PortError::Protocol(other)),
        };
        let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
        let range = port(low).zip(port(high)).filter(|(low, high)| low <= high);
        ranges
            .entry(protocol)
            .or_default()
            .push(range.ok_or_else(|| PortError::Number(ports.to_owned()))?);
    }
    let mut names = Vec::new();
    for (protocol, mut ranges) in ranges {
        ranges.sort_unstable();
        let mut next = 0_u32;
        for (low, high) in ranges {
            let first = u32::from(low).max(next);
            names.extend((first..=u32::from(high)).map(|port| format!("{port}/{protocol}")));
            next = next.max(u32::from(high) + 1);
        }
    }
    Ok(names)
}

fn port(text: &str) -> Option<u16> {
    text.parse()
        .ok()
        .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
