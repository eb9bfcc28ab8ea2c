//! The registry protocol: endpoints, login, manifests, blobs that resume.
//!
//! oci-client makes the token exchange and gives the document types. Manifests and blobs themselves are fetched with
//! the HTTP client it is built on, because three things they need are out of reach behind its interface: an error
//! there carries no headers, so Retry-After is lost (and a status only sometimes); manifests and error documents are
//! read into memory without a limit; and a resumed transfer does not show Content-Range, so where it resumes must be
//! believed. Source: OCI distribution spec, RFC 9110.

pub(crate) mod blob;
pub(crate) mod client;
pub(crate) mod endpoint;
pub mod failure;
pub(crate) mod session;
mod tags;
mod token;
pub(crate) mod upload;
