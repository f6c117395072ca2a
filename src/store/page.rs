//! Keyset paging: newest first, by `(created_at, id)`.

use crate::domain::time::Timestamp;

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page<T, I> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// The last item's position, when more follow.
    pub next: Option<Position<I>>,
}

/// A place in a list: right after this item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position<I> {
    /// When the item was created.
    pub created_at: Timestamp,
    /// The item's id.
    pub id: I,
}

impl<T, I> Page<T, I> {
    /// Makes a page of at most `size` items out of one more than that.
    pub(super) fn cut(mut items: Vec<T>, size: u32, position: fn(&T) -> Position<I>) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next = if more {
            items.last().map(position)
        } else {
            None
        };
        Self { items, next }
    }
}
