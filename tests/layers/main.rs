//! What stands in the sources and in the documentation about them.

#![allow(missing_docs)]

mod docs;
mod excerpts;
mod imports;
mod links;
mod picture;
mod tables;
