//! The macros of `skillhost-sdk`.
