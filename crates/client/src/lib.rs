//! What programs link to use shedbox: sync, no runtime.
