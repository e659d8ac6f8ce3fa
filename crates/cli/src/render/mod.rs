//! Drawing lineage as text and as SVG.

pub mod collapse;
pub mod svg;
pub mod tree;
