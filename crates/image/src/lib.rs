//! Images in and out of the store: the only network code.
