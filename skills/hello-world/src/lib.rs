//! A skill.
