//! Scores of items while a question is answered, and the sources that they come from.

/// An item of a history, a session or a basket, and how much it says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source {
    /// Code of the item.
    pub item: u32,
    /// How much it counts, above 0.
    pub weight: f64,
}

/// Scores by code of item. Most items have none.
#[derive(Debug, Default)]
pub struct Scores {
    by_item: Vec<f64>,
    is_touched: Vec<bool>,
    touched: Vec<u32>,
}

impl Scores {
    /// No scores, with room for items with codes below `items`.
    pub fn new(items: usize) -> Self {
        Self { by_item: vec![0.0; items], is_touched: vec![false; items], touched: Vec::new() }
    }

    /// Forgets all scores, and keeps the room.
    pub fn clear(&mut self) {
        for item in self.touched.drain(..) {
            self.by_item[item as usize] = 0.0;
            self.is_touched[item as usize] = false;
        }
    }

    /// Adds to the score of an item. Items past the room are ignored.
    pub fn add(&mut self, item: u32, value: f64) {
        let Some(score) = self.by_item.get_mut(item as usize) else { return };
        *score += value;
        if !self.is_touched[item as usize] {
            self.is_touched[item as usize] = true;
            self.touched.push(item);
        }
    }

    /// The score of an item.
    pub fn of(&self, item: u32) -> f64 {
        self.by_item.get(item as usize).copied().unwrap_or(0.0)
    }

    /// The items with a score, and it, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f64)> + '_ {
        self.touched.iter().map(|&item| (item, self.by_item[item as usize]))
    }

    /// The highest score, 0 without any.
    pub fn max(&self) -> f64 {
        self.iter().map(|(_, score)| score).fold(0.0, f64::max)
    }
}
