//! Answers: JSON, nothing, errors, streams.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::{Response, StatusCode, header};
use serde::Serialize;
use shedbox_spec::{Error, Result};

use crate::stream::ChannelBody;

/// The body of every answer.
pub(crate) type Body = BoxBody<Bytes, std::io::Error>;
/// An answer.
pub(crate) type Answer = Response<Body>;

/// Lines of JSON, one value a line.
pub(crate) const LINES: &str = "application/x-ndjson";

/// A value.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => full(status, "application/json", text),
        Err(error) => failure(&Error::internal(format!(
            "cannot encode an answer: {error}"
        ))),
    }
}

/// 200 with a value, or the error.
pub(crate) fn ok<T: Serialize>(outcome: Result<T>) -> Answer {
    match outcome {
        Ok(value) => json(StatusCode::OK, &value),
        Err(error) => failure(&error),
    }
}

/// 204, or the error.
pub(crate) fn empty(outcome: Result<()>) -> Answer {
    match outcome {
        Ok(()) => bare(StatusCode::NO_CONTENT),
        Err(error) => failure(&error),
    }
}

/// 200 with a text.
pub(crate) fn text(content: &str) -> Answer {
    full(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        content.as_bytes().to_vec(),
    )
}

/// The error with its status.
pub(crate) fn failure(error: &Error) -> Answer {
    let status =
        StatusCode::from_u16(error.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // An error is two strings and a word: encoding it cannot fail.
    full(
        status,
        "application/json",
        serde_json::to_vec(error).unwrap_or_default(),
    )
}

/// 200 with a body that comes as it is made.
pub(crate) fn stream(content_type: &'static str, body: ChannelBody) -> Answer {
    let mut answer = Response::new(body.boxed());
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    answer
}

/// A body without a byte.
pub(crate) fn nothing() -> Body {
    Full::default().map_err(|never| match never {}).boxed()
}

/// A status and nothing else.
pub(crate) fn bare(status: StatusCode) -> Answer {
    let mut answer = Response::new(nothing());
    *answer.status_mut() = status;
    answer
}

fn full(status: StatusCode, content_type: &'static str, content: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::from(content).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::Kind;

    #[test]
    fn errors_have_their_status() {
        for (kind, status) in [
            (Kind::NotFound, 404),
            (Kind::Conflict, 409),
            (Kind::Invalid, 400),
            (Kind::Exhausted, 507),
        ] {
            assert_eq!(failure(&Error::new(kind, "x")).status().as_u16(), status);
        }
        assert_eq!(empty(Ok(())).status().as_u16(), 204);
        assert_eq!(
            ok(Ok(1)).headers()[header::CONTENT_TYPE],
            "application/json"
        );
    }
}
