//! Checks the sources, and what the documentation says about them.

#![allow(missing_docs)]

mod diagram;
mod docs;
mod excerpts;
mod imports;
mod lessons;
mod links;
mod tables;
mod timelines;
