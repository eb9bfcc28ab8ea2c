//! Keeper and init: small, static, single-threaded.
