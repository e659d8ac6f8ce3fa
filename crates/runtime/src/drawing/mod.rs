//! Draws lineage as text and as SVG, and tells progress in words: for the program, and for other programs that embed pudato.

mod collapse;
mod progress;
mod svg;
mod tree;

pub use collapse::Picture;
pub use progress::how_far;

use pudato_registry::{Graph, Walk};

/// How a reader of the drawing asks for more of it.
pub struct Hints {
    /// The option that draws everything.
    pub all: &'static str,
    /// The option for a limit, from the limit's name: `depth` or `max_nodes`.
    pub limit: fn(&str) -> String,
}

impl<'a> Picture<'a> {
    /// The part of `graph`, the answer to a walk, that is drawn: a node shows only some of many neighbours, unless `full` is set.
    pub fn of(graph: &'a Graph, walk: Walk, full: bool) -> Self {
        collapse::collapse(graph, walk, full)
    }

    /// A tree: a dataset, the steps that made it, the datasets that they read, and so on.
    pub fn tree(&self, hints: &Hints) -> String {
        tree::draw(self, hints)
    }

    /// A Mermaid diagram for a Markdown page.
    pub fn mermaid(&self) -> String {
        tree::mermaid(self)
    }

    /// A complete SVG file.
    pub fn svg(&self) -> String {
        svg::draw(self)
    }
}
