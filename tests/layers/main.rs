//! What stands in the sources and in the documentation about them.

#![allow(missing_docs)]

mod docs;
mod imports;
mod picture;
mod tables;
