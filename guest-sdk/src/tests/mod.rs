//! Tests against the fake host. What only computes is tested beside itself.

mod calls;
mod models;
mod together;
