//! What those who write skills need: a crate that is pointed to the SDK that this program carries, made of a template, built, and put into the skills directory.
//!
//! In the order of an author's day: [`template`], [`project`], [`build`], [`component`], [`install`]. Nothing here prints; compilers do, where they are let.

pub mod build;
pub mod component;
pub mod document;
pub mod install;
pub mod project;
pub mod template;
