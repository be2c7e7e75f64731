//! What a segment found out from its bitmaps and keeps: a question for the days of users comes again and again, and there
//! are many bitmaps to go through.

use std::sync::Arc;

/// Lists of one kind that were asked for, by key, in limited memory.
pub(super) struct Kept<K, T> {
    lists: Vec<(K, Arc<Vec<T>>)>,
}

impl<K, T> Default for Kept<K, T> {
    fn default() -> Self {
        Self { lists: Vec::new() }
    }
}

impl<K: PartialEq, T> Kept<K, T> {
    pub(super) fn get(&self, key: &K) -> Option<Arc<Vec<T>>> {
        self.lists.iter().find(|(known, _)| known == key).map(|(_, list)| Arc::clone(list))
    }

    /// Keep a list. Where all together would have more than `bytes_max`, the others go.
    pub(super) fn keep(&mut self, key: K, list: &Arc<Vec<T>>, bytes_max: usize) {
        let items: usize = self.lists.iter().map(|(_, list)| list.len()).sum();
        if (items + list.len()) * size_of::<T>() > bytes_max {
            self.lists.clear();
        }
        self.lists.push((key, Arc::clone(list)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_kept_up_to_a_limit() {
        let mut kept: Kept<u8, u32> = Kept::default();
        let list = |length: usize| Arc::new(vec![7_u32; length]);
        kept.keep(1, &list(2), 16);
        kept.keep(2, &list(2), 16);
        assert_eq!((kept.get(&1), kept.get(&2), kept.get(&3)), (Some(list(2)), Some(list(2)), None));
        kept.keep(3, &list(1), 16);
        assert_eq!((kept.get(&1), kept.get(&3)), (None, Some(list(1))));
        kept.keep(4, &list(9), 16);
        assert_eq!((kept.get(&3), kept.get(&4)), (None, Some(list(9))), "one is kept, however long");
    }
}
