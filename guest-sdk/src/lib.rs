//! What a skill author uses.
