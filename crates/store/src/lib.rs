//! The disk: blobs, layers, references, upperdirs, trash.
