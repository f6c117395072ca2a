//! What whoever watches over a server sees of its calls: traces and lines of the log.

mod collectors;
mod lines;
mod measure;
mod program;
mod traces;
