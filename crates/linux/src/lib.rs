//! Typed wrappers over kernel calls: the only unsafe code.
