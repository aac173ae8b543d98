//! Tests against the fake host. What only computes is tested beside itself.

mod agents;
mod calls;
mod models;
mod plans;
mod reach;
mod together;
