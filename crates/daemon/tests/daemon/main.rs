//! A daemon, a keeper and sandboxes of the `host` image, as the user who runs the tests.

mod concurrency;
mod crash;
mod home;
mod lifecycle;
mod lifetime;
