//! Scores of items while a question is answered, and the sources that they come from.

use std::cell::RefCell;

/// An item of a history, a session or a basket, and how much it says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source {
    /// Code of the item.
    pub item: u32,
    /// How much it counts, above 0.
    pub weight: f64,
}

/// So many rooms for scores are kept by a thread between questions.
const ROOMS_MAX: usize = 8;

thread_local! {
    /// Rooms without a score: to ask for half a megabyte of zeros and give it back takes as long as some algorithms.
    static ROOMS: RefCell<Vec<Room>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug, Default)]
struct Room {
    by_item: Vec<f64>,
    is_touched: Vec<bool>,
    touched: Vec<u32>,
}

impl Room {
    fn clear(&mut self) {
        for item in self.touched.drain(..) {
            self.by_item[item as usize] = 0.0;
            self.is_touched[item as usize] = false;
        }
    }
}

/// Scores by code of item. Most items have none.
#[derive(Debug)]
pub struct Scores(Room);

impl Drop for Scores {
    fn drop(&mut self) {
        let mut room = std::mem::take(&mut self.0);
        room.clear();
        // Not while the thread ends.
        let _ = ROOMS.try_with(|rooms| {
            let mut rooms = rooms.borrow_mut();
            if rooms.len() < ROOMS_MAX {
                rooms.push(room);
            }
        });
    }
}

impl Scores {
    /// No scores, with room for items with codes below `items`.
    pub fn new(items: usize) -> Self {
        let mut room = ROOMS.try_with(|rooms| rooms.borrow_mut().pop()).ok().flatten().unwrap_or_default();
        room.by_item.resize(items, 0.0);
        room.is_touched.resize(items, false);
        Self(room)
    }

    /// Forgets all scores, and keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds to the score of an item. Items past the room are ignored.
    pub fn add(&mut self, item: u32, value: f64) {
        let Some(score) = self.0.by_item.get_mut(item as usize) else { return };
        *score += value;
        if !self.0.is_touched[item as usize] {
            self.0.is_touched[item as usize] = true;
            self.0.touched.push(item);
        }
    }

    /// The score of an item.
    pub fn of(&self, item: u32) -> f64 {
        self.0.by_item.get(item as usize).copied().unwrap_or(0.0)
    }

    /// The items with a score, and it, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f64)> + '_ {
        self.0.touched.iter().map(|&item| (item, self.0.by_item[item as usize]))
    }

    /// The highest score, 0 without any.
    pub fn max(&self) -> f64 {
        self.iter().map(|(_, score)| score).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_was_used_is_empty() {
        for (items, item) in [(10, 9), (3, 2), (20, 19), (5, 4)] {
            let mut scores = Scores::new(items);
            assert!(scores.iter().next().is_none() && (0..30).all(|item| scores.of(item) == 0.0));
            // The last has room, the one after it has not.
            scores.add(item, 1.5);
            scores.add(item + 1, 1.0);
            assert_eq!(scores.iter().collect::<Vec<_>>(), [(item, 1.5)]);
        }
        let (mut one, other) = (Scores::new(4), Scores::new(4));
        one.add(1, 2.0);
        assert_eq!((one.of(1), other.of(1)), (2.0, 0.0));
    }
}
